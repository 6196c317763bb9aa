//! The server on sockets: connections, their bounds, and its end. Times are real but tiny, and nothing sleeps:
//! every test waits for what must happen.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use synctable_core::Record;
use synctable_core::store::{LocalStore, WriteBatch};
use synctable_memory::MemoryStore;
use synctable_server::Limits;
use tokio::net::TcpStream;

use crate::common::{Read, TestStore, table};
use crate::wire::*;

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let running = serve_memory(Limits::default()).await;
    let mut client = running.connect().await;
    client
        .request("POST", "/tables/hard", r#"{"id":"a"}"#)
        .await;
    assert_eq!(client.answer().await.0, 201);
    client.request("GET", "/tables/hard/a", "").await;
    client.request("GET", "/tables/hard/b", "").await;
    client.request("DELETE", "/tables/hard/a", "").await;
    let (status, body) = client.answer().await;
    assert_eq!(status, 200);
    assert!(body.starts_with(r#"{"id":"a","version":"#), "{body}");
    assert_eq!(client.answer().await.0, 404);
    assert_eq!(client.answer().await.0, 204);
}

#[tokio::test]
async fn head_tells_the_length_and_sends_no_body() {
    let running = serve_memory(Limits::default()).await;
    let mut client = running.connect().await;
    client
        .request("POST", "/tables/hard", r#"{"id":"a"}"#)
        .await;
    let (_, body) = client.answer().await;
    client.request("HEAD", "/tables/hard/a", "").await;
    let head = client.head().await;
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{head}"
    );
    client.request("GET", "/tables/hard/a", "").await;
    assert_eq!(client.answer().await, (200, body));
}

#[tokio::test]
async fn stopping_finishes_the_request_in_flight_and_closes_idle_connections() {
    let store = TestStore::gated();
    let mut limits = Limits::default();
    limits.header_timeout = LONG;
    limits.drain_timeout = LONG;
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let mut silent = running.connect().await;
    let mut idle = running.connect().await;
    idle.request("GET", "/tables/hard/none", "").await;
    assert_eq!(idle.answer().await.0, 404);
    let mut busy = running.connect().await;
    busy.request("POST", "/tables/hard", r#"{"id":"a"}"#).await;
    store.started.notified().await;

    running.stop.send(()).unwrap();
    assert_eq!(idle.end().await, "");
    assert_eq!(silent.end().await, "");
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "no new connections"
    );
    assert!(!running.task.is_finished(), "a request is in flight");
    store.gate.as_ref().unwrap().add_permits(1);
    assert_eq!(busy.answer().await.0, 201);
    assert_eq!(busy.end().await, "");
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_cuts_what_does_not_finish() {
    let store = TestStore::gated();
    let mut limits = Limits::default();
    limits.drain_timeout = SHORT;
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let mut stuck = running.connect().await;
    stuck.request("POST", "/tables/hard", "{}").await;
    store.started.notified().await;
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
    assert_eq!(stuck.end().await, "");
}

#[tokio::test]
async fn a_client_with_slow_headers_is_cut_while_a_good_one_works() {
    let mut limits = Limits::default();
    limits.header_timeout = SHORT;
    let running = serve_memory(limits).await;
    let mut slow = running.connect().await;
    slow.send("GET /tables/hard HTTP/1.1\r\nhost: ").await;
    let mut silent = running.connect().await;
    let mut good = running.connect().await;
    good.request("POST", "/tables/hard", r#"{"id":"a"}"#).await;
    assert_eq!(good.answer().await.0, 201);
    assert_eq!(slow.end().await, "");
    assert_eq!(silent.end().await, "");
    let mut good = running.connect().await;
    good.request("GET", "/tables/hard/a", "").await;
    assert_eq!(good.answer().await.0, 200);
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408() {
    let mut limits = Limits::default();
    limits.body_timeout = SHORT;
    let running = serve_memory(limits).await;
    let mut slow = running.connect().await;
    slow.send("POST /tables/hard HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{")
        .await;
    assert_eq!(slow.answer().await.0, 408);
    assert_eq!(slow.end().await, "");
}

#[tokio::test]
async fn a_change_that_did_not_begin_in_time_is_answered_with_503() {
    let store = TestStore::new(true, 0);
    store
        .reads
        .lock()
        .unwrap()
        .extend([Read::Answer, Read::Answer, Read::Hang]);
    let mut limits = Limits::default();
    limits.handler_timeout = SHORT;
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let mut client = running.connect().await;
    client
        .request("POST", "/tables/hard", r#"{"id":"a"}"#)
        .await;
    let (status, body) = client.answer().await;
    assert_eq!(status, 503);
    assert!(body.contains("it was not done"), "{body}");
    let mut client = running.connect().await;
    client.request("GET", "/tables/hard/a", "").await;
    assert_eq!(client.answer().await.0, 404);
}

/// A rival made the first attempt fail, and the second did not begin.
#[tokio::test]
async fn a_change_that_failed_and_did_not_begin_again_in_time_is_answered_with_503() {
    let store = TestStore::new(true, 0);
    let mut limits = Limits::default();
    limits.handler_timeout = SHORT;
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let rival = Record::from_json(r#"{"id":"a","updatedAt":"2026-01-31T12:00:00Z"}"#).unwrap();
    let batch = WriteBatch::new().put(&table("hard"), rival);
    store.rivals.lock().unwrap().push_back(batch);
    // The end of the table's times is read behind the record.
    let reads = [Read::Answer, Read::Answer, Read::Hang];
    store.reads.lock().unwrap().extend(reads);
    let mut client = running.connect().await;
    client
        .request("POST", "/tables/hard", r#"{"id":"a"}"#)
        .await;
    assert_eq!(client.answer().await.0, 503);
    assert!(store.rivals.lock().unwrap().is_empty(), "it did begin once");
}

/// Whether the store keeps an order or not, and whether it has a row to remove or one to write.
#[tokio::test]
async fn a_commit_that_did_not_end_in_time_is_answered_with_504() {
    for ordered in [true, false] {
        for (method, target) in [
            ("POST", "/tables/hard"),
            ("PUT", "/tables/hard/b"),
            ("DELETE", "/tables/hard/b"),
            ("DELETE", "/tables/soft/b"),
        ] {
            let store = TestStore::new(ordered, 0);
            let mut limits = Limits::default();
            limits.handler_timeout = SHORT;
            let running = serve(Arc::<TestStore>::clone(&store), limits).await;
            let mut client = running.connect().await;
            for list in ["/tables/hard", "/tables/soft"] {
                client.request("POST", list, r#"{"id":"b"}"#).await;
                assert_eq!(client.answer().await.0, 201);
            }
            store.hold_next.store(true, Ordering::SeqCst);
            client.request(method, target, r#"{"n":1}"#).await;
            let head = client.head().await;
            assert!(
                head.starts_with("http/1.1 504 "),
                "{method} {target}: {head}"
            );
            assert!(!head.contains("retry-after"), "{head}");
            store.release_held().await.expect("it was done after all");
        }
    }
}

/// As with one change: it is in doubt where one of them may be done.
#[tokio::test]
async fn a_batch_that_did_not_end_in_time_is_answered_as_its_changes_would_be() {
    let one = |id: &str| {
        let headers = format!(r#"{{"x-operation-id":"{id}"}}"#);
        format!(
            r#"{{"id":"{id}","method":"POST","url":"hard","headers":{headers},"body":{{"id":"{id}"}}}}"#
        )
    };
    let body = format!(r#"{{"requests":[{},{}]}}"#, one("a"), one("b"));
    for status in [503, 504] {
        let store = TestStore::new(true, 0);
        let mut limits = Limits::default();
        limits.handler_timeout = SHORT;
        let running = serve(Arc::<TestStore>::clone(&store), limits).await;
        if status == 504 {
            store.hold_next.store(true, Ordering::SeqCst);
        } else {
            let reads = [Read::Hang, Read::Hang];
            store.reads.lock().unwrap().extend(reads);
        }
        let mut client = running.connect().await;
        client.request("POST", "/tables/$batch", &body).await;
        assert_eq!(client.answer().await.0, status);
        if status == 504 {
            store.release_held().await.expect("it was done after all");
        }
    }
}

#[tokio::test]
async fn every_answer_tells_the_time_of_the_servers_clock_once() {
    let mut limits = Limits::default();
    limits.body_timeout = SHORT;
    limits.handler_timeout = SHORT;
    limits.body = 1000;
    let store = TestStore::new(true, 0);
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let head = "host: localhost\r\ncontent-type: application/json\r\n";
    for (request, status) in [
        (
            format!(
                "POST /tables/hard HTTP/1.1\r\n{head}content-length: 10\r\n\r\n{{\"id\":\"a\"}}"
            ),
            201,
        ),
        (format!("GET /tables/hard/a HTTP/1.1\r\n{head}\r\n"), 200),
        (format!("HEAD /tables/hard/a HTTP/1.1\r\n{head}\r\n"), 200),
        (
            format!("OPTIONS /tables/hard/a HTTP/1.1\r\n{head}\r\n"),
            204,
        ),
        (
            format!("GET /tables/hard/a HTTP/1.1\r\n{head}if-none-match: *\r\n\r\n"),
            304,
        ),
        (
            format!("GET /tables/hard?$filter=( HTTP/1.1\r\n{head}\r\n"),
            400,
        ),
        (format!("GET / HTTP/1.1\r\n{head}\r\n"), 404),
        (format!("PATCH /tables/hard HTTP/1.1\r\n{head}\r\n"), 405),
        (
            format!("POST /tables/hard HTTP/1.1\r\n{head}content-length: 10\r\n\r\n{{"),
            408,
        ),
        (
            format!("POST /tables/hard HTTP/1.1\r\n{head}content-length: 1001\r\n\r\n"),
            413,
        ),
        (format!("DELETE /tables/hard/a HTTP/1.1\r\n{head}\r\n"), 504),
    ] {
        store.hold_next.store(status == 504, Ordering::SeqCst);
        let mut client = running.connect().await;
        client.send(&request).await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        let dates: Vec<_> = head
            .lines()
            .filter(|line| line.starts_with("date:"))
            .collect();
        assert_eq!(dates, ["date: sat, 31 jan 2026 12:00:00 gmt"], "{head}");
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_announced_or_not() {
    let mut limits = Limits::default();
    limits.body = 1000;
    let running = serve_memory(limits).await;
    let mut client = running.connect().await;
    client
        .send("POST /tables/hard HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1001\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.0, 413);

    let mut client = running.connect().await;
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    client
        .send(&format!(
            "POST /tables/hard HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}"
        ))
        .await;
    assert_eq!(client.answer().await.0, 413);
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let mut limits = Limits::default();
    limits.headers = 16 * 1024;
    let running = serve_memory(limits).await;
    let large = format!("x: {}\r\n", "y".repeat(20_000));
    let many = "x: y\r\n".repeat(1000);
    for (headers, status) in [(large, 431), (many, 431), ("x: y\r\n".to_owned(), 404)] {
        let mut client = running.connect().await;
        client
            .send(&format!(
                "GET /tables/hard/a HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"
            ))
            .await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    }
}

#[tokio::test]
async fn junk_ends_its_own_connection_only() {
    let running = serve_memory(Limits::default()).await;
    for junk in [
        "\0\x01\x02\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/0.9\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /tables/hard HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        "POST /tables/hard HTTP/1.1\r\ncontent-length: -1\r\n\r\n{}",
        "POST /tables/hard HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = running.connect().await;
        client.send(junk).await;
        let rest = client.end().await;
        assert!(!rest.contains("HTTP/1.1 20"), "{junk:?}: {rest}");
    }
    let mut good = running.connect().await;
    good.request("GET", "/tables/hard/a", "").await;
    assert_eq!(good.answer().await.0, 404);
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_room() {
    let store = TestStore::gated();
    let mut limits = Limits::default();
    limits.connections = 1;
    let running = serve(Arc::<TestStore>::clone(&store), limits).await;
    let mut first = running.connect().await;
    first.request("POST", "/tables/hard", "{}").await;
    store.started.notified().await;
    let mut second = running.connect().await;
    second.request("POST", "/tables/soft", "{}").await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    store.gate.as_ref().unwrap().add_permits(2);
    assert_eq!(first.answer().await.0, 201);
    drop(first);
    assert_eq!(second.answer().await.0, 201);
    assert_eq!(store.most_under_way.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn answers_that_are_not_read_share_a_room() {
    let mut limits = Limits::default();
    (limits.answers, limits.page) = (40 << 20, 16 << 20);
    limits.write_timeout = LONG;
    let store = Arc::new(MemoryStore::new());
    let running = serve(Arc::<MemoryStore>::clone(&store), limits).await;
    // A page is larger than what the buffers of both sides hold.
    let text = "x".repeat(1_000_000);
    let batch = (0..15).fold(WriteBatch::new(), |batch, n| {
        let json = format!(r#"{{"id":"{n}","text":"{text}"}}"#);
        batch.put(&table("hard"), Record::from_json(&json).unwrap())
    });
    store.commit(batch).await.unwrap();
    let mut silent = Vec::new();
    for status in [200, 200, 503] {
        let mut client = running.connect_narrowly().await;
        client.request("GET", "/tables/hard", "").await;
        let head = client.head().await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
        silent.push(client);
    }
    // Small answers and changes go on.
    let mut other = running.connect().await;
    other.request("GET", "/tables/hard?$select=id", "").await;
    assert_eq!(other.answer().await.0, 503, "its records are large");
    other.request("GET", "/tables/hard/none", "").await;
    assert_eq!(other.answer().await.0, 404);
    other.request("POST", "/tables/hard", r#"{"id":"a"}"#).await;
    assert_eq!(other.answer().await.0, 201);
    // Whoever goes gives room.
    drop(silent);
    let status = loop {
        other.request("GET", "/tables/hard?$top=15", "").await;
        match other.answer().await.0 {
            503 => {}
            status => break status,
        }
    };
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let mut limits = Limits::default();
    limits.connections = 1;
    limits.write_timeout = SHORT;
    let running = serve_memory(limits).await;
    let mut client = running.connect().await;
    let body = format!(r#"{{"id":"a","text":"{}"}}"#, "x".repeat(1_000_000));
    client.request("POST", "/tables/hard", &body).await;
    assert_eq!(client.answer().await.0, 201);
    // More answers than the buffers of both sides hold.
    for _ in 0..64 {
        client.request("GET", "/tables/hard/a", "").await;
    }
    let mut next = running.connect().await;
    next.request("GET", "/tables/hard/b", "").await;
    assert_eq!(next.answer().await.0, 404);
    drop(client);
}
