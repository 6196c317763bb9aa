//! Packed bodies of requests: only for servers that say that they unpack them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use synctable_core::transport::{Change, ChangeKind, Outcome, Transport, TransportError};
use synctable_core::{Record, TableName};
use synctable_http::{Exchange, HttpTransport};

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

/// A server that has done what it was asked.
async fn taking_batches() -> Server {
    unpacking(|_| {
        let answers: Vec<_> = (0..9)
            .map(|n| format!(r#"{{"id":"{n}","status":204}}"#))
            .collect();
        let body = format!(r#"{{"responses":[{}]}}"#, answers.join(","));
        let headers = [
            ("Accept-Encoding", "gzip"),
            ("Synctable-Batch", "9 99999"),
            ("Content-Type", "application/json"),
        ];
        Reply::with(200, &headers, &body)
    })
    .await
}

/// Nine inserts of so many bytes each.
fn nine(bytes: usize) -> Vec<(TableName, Change)> {
    let record = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(bytes));
    let record = Record::from_json(&record).unwrap();
    let change = |number: u8| {
        let change = insert(&number.to_string());
        let own = record.clone().with_id(change.id.clone());
        (todo(), change.with_record(own))
    };
    (0..9).map(change).collect()
}

#[tokio::test]
async fn batches_are_packed_as_a_whole() {
    let server = taking_batches().await;
    let transport = server.transport();
    hear(&transport).await;
    let answer = transport.apply_all(&nine(1_000)).await.unwrap();
    assert_eq!(words(&answer), ["done"; 9].join(" "));
    let requests = server.requests();
    assert_eq!(coding(&requests[1]), Some("gzip"));
    assert!(requests[1].body.len() > 9_000 && requests[1].length < 2_000);
}

/// A server that answers each request after a time, and notes how batches come: how they are packed, and whether their answers may be.
#[derive(Debug)]
struct Noting {
    time: Duration,
    batches: Mutex<Vec<(Option<u8>, bool)>>,
}

#[async_trait]
impl Exchange for Noting {
    async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        tokio::time::sleep(self.time).await;
        let answer = http::Response::builder()
            .header("accept-encoding", "gzip")
            .header("synctable-batch", "9 99999");
        let says = |name| request.headers().contains_key(name);
        if request.method() == "GET" {
            return Ok(answer.status(404).body(Bytes::new()).unwrap());
        }
        // What was packed says how hard (RFC 1952, 2.3.1).
        let flags = says("content-encoding").then(|| request.body()[8]);
        let note = (flags, says("accept-encoding"));
        self.batches.lock().unwrap().push(note);
        let answers: Vec<_> = (0..9)
            .map(|number| format!(r#"{{"id":"{number}","status":204}}"#))
            .collect();
        let body = format!(r#"{{"responses":[{}]}}"#, answers.join(","));
        Ok(answer.body(body.into()).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn the_line_decides_how_hard_batches_are_packed() {
    let (usual, little, plain) = ((Some(0), true), (Some(4), true), (None, false));
    for (url, millis, expected) in [
        ("http://far.example", 100, [usual, little, little]),
        ("http://far.example", 300, [usual, usual, usual]),
        ("http://localhost", 300, [usual, plain, plain]),
        // A tunnel.
        ("http://localhost", 1_100, [usual, usual, usual]),
    ] {
        let server = Arc::new(Noting {
            time: Duration::from_millis(millis),
            batches: Mutex::default(),
        });
        let builder = HttpTransport::builder(url).exchange(Arc::<Noting>::clone(&server));
        let transport = builder.build().unwrap();
        hear(&transport).await;
        for _ in 0..3 {
            let answer = transport.apply_all(&nine(3_000)).await.unwrap();
            assert_eq!(words(&answer), ["done"; 9].join(" "));
        }
        let batches = server.batches.lock().unwrap();
        assert_eq!(batches[..], expected, "{url} {millis}");
    }
}
