//! Several changes in one request: what is sent, and which of them go along.

use std::sync::{Arc, Mutex};

use synctable_core::transport::{
    BatchAnswer, BatchLimits, Change, ChangeAnswer, ChangeKind, Outcome, Rejection, Transport,
    TransportErrorKind as Kind,
};
use synctable_core::{Record, TableName, Version};
use synctable_http::{Dialect, HttpTransport};

use crate::server::{Reply, Request, Server};
use crate::{id, todo};

/// A server that announces batches of so many changes and bytes, and answers them by a script.
pub(crate) async fn announcing(
    limits: &'static str,
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::scripted(move |_, request| {
        if request.method == "GET" && request.target.contains("hello") {
            let ids = ("Synctable-Operation-Ids", "1");
            return Reply::with(404, &[ids, ("Synctable-Batch", limits)], "");
        }
        script(request)
    })
    .await
}

/// Lets a transport hear what the server announces.
pub(crate) async fn hear(transport: &HttpTransport) {
    drop(transport.get(&todo(), &id("hello")).await);
    assert!(transport.capabilities().batches.is_some());
}

/// The way to such a server, which has heard it.
pub(crate) async fn heard(server: &Server, dialect: Dialect) -> HttpTransport {
    let transport = server.builder().dialect(dialect).build().unwrap();
    hear(&transport).await;
    transport
}

/// An insert, an update and a delete.
pub(crate) fn three() -> Vec<(TableName, Change)> {
    vec![
        (todo(), insert("n 1")),
        (todo(), replace("u")),
        (TableName::new("done").unwrap(), delete("d")),
    ]
}

pub(crate) fn insert(name: &str) -> Change {
    let record = format!(r#"{{"id":"{name}","title":"é\n","n":1.50}}"#);
    Change::new(ChangeKind::Insert, id(name))
        .with_record(Record::from_json(&record).unwrap())
        .with_operation_id(format!("k-{name}"))
}

pub(crate) fn replace(name: &str) -> Change {
    let mut change = insert(name).with_if_match(Some(Version::new("v\"1é")));
    change.kind = ChangeKind::Replace;
    change
}

pub(crate) fn delete(name: &str) -> Change {
    Change::new(ChangeKind::Delete, id(name))
        .with_if_match(Some(Version::new("v1")))
        .with_operation_id(format!("k-{name}"))
}

/// One answer with 204 for each of so many requests.
fn done(count: usize) -> Reply {
    let answers: Vec<_> = (0..count)
        .map(|number| format!(r#"{{"id":"{number}","status":204}}"#))
        .collect();
    Reply::json(200, &format!(r#"{{"responses":[{}]}}"#, answers.join(",")))
}

/// How many requests are in a body.
fn packed(request: &Request) -> usize {
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    body["requests"].as_array().unwrap().len()
}

/// In a word for each change: done, not tried, refused, failed.
pub(crate) fn words(answer: &BatchAnswer) -> String {
    let BatchAnswer::Each(each) = answer else {
        return format!("{answer:?}");
    };
    let word = |answer: &ChangeAnswer| match answer {
        ChangeAnswer::Alone(Ok(Outcome::Applied(_))) => "done".to_owned(),
        ChangeAnswer::Current(Outcome::Applied(_)) => "current".to_owned(),
        ChangeAnswer::Alone(Ok(Outcome::OtherId(_))) => "other".to_owned(),
        ChangeAnswer::Alone(Ok(Outcome::Missing)) => "missing".to_owned(),
        ChangeAnswer::Alone(Ok(Outcome::Conflict(_))) => "conflict".to_owned(),
        ChangeAnswer::Alone(Ok(Outcome::Rejected(_))) => "refused".to_owned(),
        ChangeAnswer::Alone(Ok(Outcome::WholeOnly)) => "whole".to_owned(),
        ChangeAnswer::Alone(Err(error)) => error.kind().as_str().to_owned(),
        ChangeAnswer::NotTried => "-".to_owned(),
        other => format!("{other:?}"),
    };
    each.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn each_change_is_a_request_as_if_it_went_alone() {
    let insert = concat!(
        r#"{"id":"0","method":"POST","url":"todo","headers":{"x-operation-id":"k-n 1"},"#,
        r#""body":{"id":"n 1","title":"é\n","n":1.50}}"#
    );
    let update = |method| {
        format!(
            concat!(
                r#"{{"id":"1","method":"{}","url":"todo/u","headers":{{"if-match":"\"v\\\"1é\"","x-operation-id":"k-u"}},"#,
                r#""body":{{"id":"u","title":"é\n","n":1.50}}}}"#
            ),
            method
        )
    };
    let delete = r#"{"id":"2","method":"DELETE","url":"done/d","headers":{"if-match":"\"v1\"","x-operation-id":"k-d"}}"#;
    for (dialect, method, version) in [
        (Dialect::Toolkit, "PUT", None),
        (Dialect::Zumo3, "PUT", Some("3.0.0")),
        (Dialect::Zumo2, "PATCH", Some("2.0.0")),
    ] {
        let server = announcing("10 10000", |_| done(3)).await;
        let transport = heard(&server, dialect).await;
        let answer = transport.apply_all(&three()).await.unwrap();
        assert_eq!(words(&answer), "done done done");
        let requests = server.requests();
        assert_eq!(requests.len(), 2);
        let request = &requests[1];
        let line = (&*request.method, &*request.target);
        assert_eq!(line, ("POST", "/tables/$batch"));
        for (name, value) in [
            ("content-type", Some("application/json")),
            ("prefer", Some("odata.continue-on-error, return=minimal")),
            ("accept", Some("application/json")),
            ("zumo-api-version", version),
            ("if-match", None),
            ("x-operation-id", None),
        ] {
            assert_eq!(request.header(name), value, "{dialect} {name}");
        }
        let update = update(method);
        let body = format!(r#"{{"requests":[{insert},{update},{delete}]}}"#);
        assert_eq!(request.body, body, "{dialect}");
    }
}

#[tokio::test]
async fn ids_and_bases_are_escaped_and_members_go_alone() {
    let server = announcing("10 10000", |_| done(3)).await;
    let transport = HttpTransport::builder(format!("{}/api/v1", server.url()))
        .token("t0k", synctable_http::AuthHeader::Bearer)
        .build()
        .unwrap();
    hear(&transport).await;
    let part = replace("p").with_members(Some(vec!["n".to_owned()]));
    let mut back = replace("b c");
    back.kind = ChangeKind::Undelete;
    let changes = [delete("a b&é"), part, back].map(|change| (todo(), change));
    let answer = transport.apply_all(&changes).await.unwrap();
    assert_eq!(words(&answer), "done done done");
    let request = &server.requests()[1];
    assert_eq!(request.target, "/api/v1/tables/$batch");
    assert_eq!(request.header("authorization"), Some("Bearer t0k"));
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let said = |n: usize, name: &str| body["requests"][n][name].clone();
    assert_eq!(said(0, "url"), "todo/a%20b%26%C3%A9");
    assert_eq!(
        (said(1, "method"), said(1, "url")),
        ("PATCH".into(), "todo/p".into())
    );
    assert_eq!(said(1, "body").to_string(), r#"{"n":1.5}"#);
    assert_eq!(said(2, "url"), "todo/b%20c?__includedeleted=true");
}

#[tokio::test]
async fn a_request_stays_within_the_limits_that_the_server_announced() {
    let changes: Vec<_> = ["a", "b", "c", "d"].map(|id| (todo(), insert(id))).into();
    let whole = {
        let server = announcing("10 10000", |request| done(packed(request))).await;
        let transport = heard(&server, Dialect::Toolkit).await;
        transport.apply_all(&changes).await.unwrap();
        server.requests()[1].body.len()
    };
    for (limits, answers, sent) in [
        (format!("10 {whole}"), "done done done done", 4),
        (format!("10 {}", whole - 1), "done done done -", 3),
        (format!("3 {whole}"), "done done done -", 3),
        (format!("2 {whole}"), "done done - -", 2),
        // What is more than the limits alone is for the server to judge, outside of a batch.
        ("10 1".to_owned(), "done - - -", 0),
    ] {
        let server = announcing(limits.clone().leak(), |request| {
            match request.target.as_str() {
                "/tables/$batch" => done(packed(request)),
                _ => Reply::empty(204),
            }
        })
        .await;
        let transport = heard(&server, Dialect::Toolkit).await;
        let answer = transport.apply_all(&changes).await.unwrap();
        assert_eq!(words(&answer), answers, "{limits}");
        let requests = server.requests();
        assert_eq!(requests.len(), 2, "{limits}");
        let request = &requests[1];
        if sent == 0 {
            assert_eq!(request.target, "/tables/todo");
        } else {
            assert_eq!(packed(request), sent, "{limits}");
        }
    }
}

#[tokio::test]
async fn a_change_that_is_not_one_request_ends_the_batch_or_goes_alone() {
    let mut back = replace("back");
    back.kind = ChangeKind::Undelete;
    let base = Record::from_json(r#"{"id":"same","title":"é\n","n":1.50}"#).unwrap();
    let same = replace("same").with_base(Some(base));
    let mut keyless = insert("keyless");
    keyless.operation_id = None;
    let elsewhere = TableName::new("elsewhere").unwrap();
    for (what, odd, alone) in [
        ("two requests", (todo(), back), "POST /tables/todo/back"),
        ("nothing to send", (todo(), same), "GET /tables/todo"),
        ("no operation id", (todo(), keyless), "POST /tables/todo"),
        ("another path", (elsewhere, insert("e")), "POST /other"),
    ] {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&log);
        let server = announcing("10 10000", move |request| {
            let path = request.target.split('?').next().unwrap();
            let line = format!("{} {path}", request.method);
            seen.lock().unwrap().push(line);
            match path {
                "/tables/$batch" => done(packed(request)),
                _ if request.method == "GET" => Reply::json(200, "[]"),
                _ => Reply::empty(204),
            }
        })
        .await;
        let transport = server
            .builder()
            .dialect(Dialect::Zumo2)
            .table_path(TableName::new("elsewhere").unwrap(), "/other")
            .build()
            .unwrap();
        hear(&transport).await;
        let last = (todo(), insert("z"));
        let behind = [
            (todo(), insert("x")),
            (todo(), insert("y")),
            odd.clone(),
            last.clone(),
        ];
        let answer = transport.apply_all(&behind).await.unwrap();
        assert_eq!(words(&answer), "done done - -", "{what}");
        // As the first one it goes as ever, and nothing passes it.
        hear(&transport).await;
        let before = server.requests().len();
        let answer = transport.apply_all(&[odd, last]).await.unwrap();
        let first = words(&answer);
        assert!(first == "done -" || first == "missing -", "{what}: {first}");
        assert_eq!(server.requests().len(), before + 1, "{what}");
        assert_eq!(
            *log.lock().unwrap(),
            ["POST /tables/$batch", alone],
            "{what}"
        );
    }
}

#[tokio::test]
async fn of_one_record_no_two_changes_go_together() {
    let server = announcing("10 10000", |request| done(packed(request))).await;
    let transport = heard(&server, Dialect::Toolkit).await;
    let done_table = TableName::new("done").unwrap();
    let changes = [
        (todo(), insert("a")),
        (done_table, insert("a")),
        (todo(), delete("a")),
        (todo(), insert("b")),
    ];
    let answer = transport.apply_all(&changes).await.unwrap();
    assert_eq!(words(&answer), "done done - -");
}

#[tokio::test]
async fn what_cannot_be_sent_is_answered_here_and_the_others_go() {
    let server = announcing("10 10000", |request| done(packed(request))).await;
    let transport = server.builder().record_limit(200).build().unwrap();
    hear(&transport).await;
    let large = format!(r#"{{"id":"large","x":"{}"}}"#, "x".repeat(200));
    let large = insert("large").with_record(Record::from_json(&large).unwrap());
    let bare = Change::new(ChangeKind::Insert, id("bare")).with_operation_id("k");
    let version = delete("v").with_if_match(Some(Version::new("a\nb")));
    let changes = [insert("a"), large, bare, version, insert("b")].map(|it| (todo(), it));
    let answer = transport.apply_all(&changes).await.unwrap();
    assert_eq!(words(&answer), "done refused bad request bad request done");
    assert_eq!(packed(&server.requests()[1]), 2);
    // With nothing else to send, nothing is sent.
    let answer = transport.apply_all(&changes[1..4]).await.unwrap();
    assert_eq!(words(&answer), "refused bad request bad request");
    let answer = transport.apply_all(&[]).await.unwrap();
    assert!(matches!(answer, BatchAnswer::Each(each) if each.is_empty()));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn without_an_announcement_the_first_change_goes_alone() {
    let server = Server::always(Reply::empty(204)).await;
    let transport = server.transport();
    assert_eq!(transport.capabilities().batches, None);
    let answer = transport.apply_all(&three()).await.unwrap();
    assert_eq!(words(&answer), "done - -");
    assert_eq!(server.request().target, "/tables/todo");
}

#[tokio::test]
async fn limits_are_known_while_the_server_says_so() {
    let server = announcing("500 1048576", |_| Reply::empty(204)).await;
    let transport = heard(&server, Dialect::Toolkit).await;
    let limits = BatchLimits::of(500).with_bytes(Some(1_048_576));
    assert_eq!(transport.capabilities().batches, Some(limits));
    transport.apply(&todo(), &delete("a")).await.unwrap();
    assert_eq!(transport.capabilities().batches, None);
}

#[tokio::test]
async fn a_lone_change_that_fails_says_nothing_of_the_others() {
    let server = announcing("10 1", |_| Reply::empty(503)).await;
    let transport = heard(&server, Dialect::Toolkit).await;
    let answer = transport.apply_all(&three()).await.unwrap();
    assert_eq!(words(&answer), "busy - -");
}

#[tokio::test]
async fn an_envelope_that_is_not_taken_says_nothing_of_any_change() {
    for status in [400, 404, 405, 410, 411, 412, 413, 415, 422, 431, 501] {
        let server = announcing("10 10000", move |_| {
            Reply::json(status, r#"{"error":"too much"}"#)
        })
        .await;
        let transport = heard(&server, Dialect::Toolkit).await;
        match transport.apply_all(&three()).await.unwrap() {
            BatchAnswer::Refused(why) => {
                assert_eq!(why, Rejection::new(Some(status), "too much"));
            }
            answer => panic!("{status}: {answer:?}"),
        }
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn any_other_failure_leaves_all_of_them_open() {
    for (reply, kind) in [
        (Reply::empty(401), Kind::Unauthorized),
        (Reply::empty(403), Kind::Forbidden),
        (Reply::empty(408), Kind::Busy),
        (Reply::empty(429), Kind::Busy),
        (Reply::empty(500), Kind::Failed),
        (Reply::empty(502), Kind::Gateway),
        (Reply::empty(503), Kind::Busy),
        (Reply::empty(504), Kind::Gateway),
        (Reply::empty(511), Kind::Portal),
        (Reply::empty(204), Kind::Protocol),
        (Reply::json(201, r#"{"responses":[]}"#), Kind::Protocol),
        (Reply::json(207, r#"{"responses":[]}"#), Kind::Protocol),
        (
            Reply::with(302, &[("location", "https://login.example.com/")], ""),
            Kind::Portal,
        ),
        (
            Reply::with(200, &[("content-type", "text/html")], "<html>"),
            Kind::Portal,
        ),
        (Reply::raw("").and_close(), Kind::Broken),
        (
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"responses\":[").and_close(),
            Kind::Broken,
        ),
    ] {
        let server = announcing("10 10000", move |_| reply.clone()).await;
        let transport = heard(&server, Dialect::Toolkit).await;
        let error = transport.apply_all(&three()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(server.requests().len(), 2);
    }
}
