//! Updates that send the changed members alone: where the server announces that it takes them, and what they are on the wire.

use synctable_core::transport::{ChangeKind, Outcome, Transport};
use synctable_core::{Record, Version};
use synctable_http::Dialect;

use crate::server::{Reply, Server};
use crate::{change, id, todo};

const ROW: &str = r#"{"id":"a","version":"v2","title":"Milk","note":"long"}"#;
const DIALECTS: [Dialect; 3] = [Dialect::Toolkit, Dialect::Zumo2, Dialect::Zumo3];

/// A change of `a` that names one member, with a key.
fn part() -> synctable_core::transport::Change {
    let record = r#"{"id":"a","title":"Milk","note":"long","n":1.50}"#;
    change(ChangeKind::Replace)
        .with_record(Record::from_json(record).unwrap())
        .with_members(Some(vec!["n".to_owned(), "title".to_owned()]))
        .with_operation_id("k1")
}

#[tokio::test]
async fn t2_members_go_by_patch_on_the_condition_of_the_version() {
    for dialect in [Dialect::Toolkit, Dialect::Zumo3] {
        let server = Server::scripted(|_, _| Reply::json(200, ROW)).await;
        let transport = server.builder().dialect(dialect).build().unwrap();
        let outcome = transport.apply(&todo(), &part()).await.unwrap();
        assert_eq!(
            outcome,
            Outcome::Applied(Some(Record::from_json(ROW).unwrap()))
        );
        let requests = server.requests();
        let [request] = requests.as_slice() else {
            panic!("one request is made: {requests:?}");
        };
        assert_eq!(
            (&*request.method, &*request.target),
            ("PATCH", "/tables/todo/a")
        );
        assert_eq!(request.body, r#"{"n":1.50,"title":"Milk"}"#);
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("if-match"), Some("\"v1\""));
        assert_eq!(request.header("x-operation-id"), Some("k1"));
    }
}

#[tokio::test]
async fn t2_nothing_goes_alone_without_a_version() {
    for version in [None, Some(Version::new(""))] {
        let server = Server::scripted(|_, _| Reply::json(200, ROW)).await;
        let transport = server.builder().build().unwrap();
        let change = part().with_if_match(version);
        transport.apply(&todo(), &change).await.unwrap();
        let requests = server.requests();
        assert_eq!(requests[0].method, "PUT");
        let whole = r#"{"id":"a","title":"Milk","note":"long","n":1.50}"#;
        assert_eq!(requests[0].body, whole);
    }
}

#[tokio::test]
async fn t2_members_are_taken_where_the_server_says_so() {
    for dialect in DIALECTS {
        let server = Server::scripted(|n, _| match n {
            1 | 2 => Reply::with(404, &[("synctable-partial-updates", "1")], ""),
            3 => Reply::empty(405),
            _ => Reply::json(200, r#"{"items":[]}"#),
        })
        .await;
        let transport = server.builder().dialect(dialect).build().unwrap();
        // Version 2 has a way of its own, whatever the server says.
        let told = dialect != Dialect::Zumo2;
        for (n, taken) in [false, told, told, told, false].into_iter().enumerate() {
            let _ = transport.get(&todo(), &id("a")).await;
            assert_eq!(
                transport.capabilities().partial_updates,
                taken,
                "{dialect} {n}"
            );
            transport.begin_push();
            assert_eq!(
                transport.capabilities().partial_updates,
                taken,
                "{dialect} {n}"
            );
        }
    }
}

#[tokio::test]
async fn t2_a_server_of_whole_records_is_told_from_a_refusal() {
    for (status, whole_only) in [
        (405, true),
        (415, true),
        (501, true),
        (400, false),
        (413, false),
        (422, false),
        (428, false),
    ] {
        let server = Server::scripted(move |_, _| Reply::empty(status)).await;
        let transport = server.builder().build().unwrap();
        let outcome = transport.apply(&todo(), &part()).await.unwrap();
        assert_eq!(
            outcome == Outcome::WholeOnly,
            whole_only,
            "{status} {outcome:?}"
        );
        // Of the whole it is the server's word about this content, or a failure, as ever.
        let whole = part().with_members(None);
        let outcome = transport.apply(&todo(), &whole).await;
        assert_ne!(outcome.ok(), Some(Outcome::WholeOnly), "{status}");
    }
    for (status, missing) in [(404, true), (410, true), (412, false)] {
        let server = Server::scripted(move |_, _| Reply::json(status, ROW)).await;
        let transport = server.builder().build().unwrap();
        let outcome = transport.apply(&todo(), &part()).await.unwrap();
        assert_eq!(outcome == Outcome::Missing, missing, "{status}");
        assert_eq!(
            matches!(outcome, Outcome::Conflict(_)),
            !missing,
            "{status}"
        );
    }
}

#[tokio::test]
async fn t2_version_2_sends_what_it_always_sent() {
    let server = Server::scripted(|_, _| Reply::json(200, ROW)).await;
    let transport = server.builder().dialect(Dialect::Zumo2).build().unwrap();
    let base = r#"{"id":"a","version":"v1","title":"Milk","note":"short","gone":1}"#;
    let change = part().with_base(Some(Record::from_json(base).unwrap()));
    transport.apply(&todo(), &change).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[0].method, "PATCH");
    let body = r#"{"id":"a","note":"long","n":1.50,"gone":null}"#;
    assert_eq!(requests[0].body, body);
}
