//! Packed bodies of requests: only for servers that say that they unpack them.

use synctable_core::Record;
use synctable_core::transport::{Change, ChangeKind, Outcome, Transport};
use synctable_http::HttpTransport;

use crate::batch::{insert, words};
use crate::server::{Reply, Request, Server};
use crate::{change, id, todo};

/// A change of so many bytes.
fn large(bytes: usize) -> Change {
    let json = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(bytes));
    change(ChangeKind::Replace)
        .with_record(Record::from_json(&json).unwrap())
        .with_operation_id("k")
}

/// A server that says so on its answers to reads, and answers changes by a script.
async fn unpacking(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::scripted(move |_, request| match request.method.as_str() {
        "GET" => Reply::with(
            404,
            &[("Accept-Encoding", "gzip"), ("Synctable-Batch", "9 99999")],
            "",
        ),
        _ => script(request),
    })
    .await
}

async fn hear(transport: &HttpTransport) {
    drop(transport.get(&todo(), &id("a")).await);
}

fn coding(request: &Request) -> Option<&str> {
    request.header("content-encoding")
}

#[tokio::test]
async fn large_bodies_are_packed_where_the_server_says_so() {
    let server = unpacking(|_| Reply::with(204, &[("Accept-Encoding", "gzip")], "")).await;
    let transport = server.transport();
    transport.apply(&todo(), &large(9_000)).await.unwrap();
    hear(&transport).await;
    transport.apply(&todo(), &large(9_000)).await.unwrap();
    transport.apply(&todo(), &large(1_000)).await.unwrap();
    transport.begin_push();
    transport.apply(&todo(), &large(9_000)).await.unwrap();
    let requests = server.requests();
    let codings: Vec<_> = requests.iter().map(coding).collect();
    // Nothing is known at first, reads have no body, a small one is not worth it, and a push begins without what was known.
    assert_eq!(codings, [None, None, Some("gzip"), None, None]);
    let (plain, packed) = (&requests[0], &requests[2]);
    assert_eq!(plain.body, packed.body);
    assert!(packed.length < plain.length / 10);
    for name in ["if-match", "x-operation-id", "content-type"] {
        assert_eq!(plain.header(name), packed.header(name));
    }
}

#[tokio::test]
async fn a_server_that_does_not_unpack_after_all_gets_the_body_as_it_is() {
    let server = unpacking(|request| match coding(request) {
        Some(_) => Reply::empty(415),
        None => Reply::empty(204),
    })
    .await;
    let transport = server.transport();
    hear(&transport).await;
    for _ in 0..2 {
        let outcome = transport.apply(&todo(), &large(9_000)).await.unwrap();
        assert_eq!(outcome, Outcome::Applied(None));
    }
    let requests = server.requests();
    let codings: Vec<_> = requests.iter().map(coding).collect();
    assert_eq!(codings, [None, Some("gzip"), None, None]);
}

#[tokio::test]
async fn nothing_else_is_sent_twice() {
    for status in [400, 413, 500, 503] {
        let server = unpacking(move |_| Reply::empty(status)).await;
        let transport = server.transport();
        hear(&transport).await;
        drop(transport.apply(&todo(), &large(9_000)).await);
        assert_eq!(server.requests().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn batches_are_packed_as_a_whole() {
    let server = unpacking(|_| {
        let answers: Vec<_> = (0..9)
            .map(|n| format!(r#"{{"id":"{n}","status":204}}"#))
            .collect();
        Reply::json(200, &format!(r#"{{"responses":[{}]}}"#, answers.join(",")))
    })
    .await;
    let transport = server.transport();
    hear(&transport).await;
    let record = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(1_000));
    let record = Record::from_json(&record).unwrap();
    let changes: Vec<_> = (0..9)
        .map(|n| {
            let change = insert(&n.to_string());
            let own = record.clone().with_id(change.id.clone());
            (todo(), change.with_record(own))
        })
        .collect();
    let answer = transport.apply_all(&changes).await.unwrap();
    assert_eq!(words(&answer), ["done"; 9].join(" "));
    let requests = server.requests();
    assert_eq!(coding(&requests[1]), Some("gzip"));
    assert!(requests[1].body.len() > 9_000 && requests[1].length < 2_000);
}
