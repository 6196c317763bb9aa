//! What every answer tells about the server.

use std::sync::Arc;
use std::time::Duration;

use synctable_memory::MemoryStore;
use synctable_server::TableServer;

use crate::common::*;

/// Requests of many kinds, with the statuses of their answers, to be sent in this order.
const REQUESTS: &[(&str, &str, Headers<'_>, &str, u16)] = &[
    ("POST", "/tables/hard", &[], r#"{"id":"a"}"#, 201),
    ("POST", "/tables/hard", &[], r#"{"id":"a"}"#, 409),
    ("GET", "/tables/hard", &[], "", 200),
    ("GET", "/tables/hard/a", &[], "", 200),
    ("HEAD", "/tables/hard/a", &[], "", 200),
    ("GET", "/tables/hard/a", &[("if-none-match", "*")], "", 304),
    ("PUT", "/tables/hard/a", &[("if-match", "\"x\"")], "{}", 412),
    ("PUT", "/tables/hard/a", &[], "{", 400),
    (
        "PUT",
        "/tables/hard/a",
        &[("content-type", "text/plain")],
        "{}",
        415,
    ),
    ("PATCH", "/tables/hard/a", &[], "{}", 200),
    ("PATCH", "/tables/hard", &[], "{}", 405),
    ("OPTIONS", "/tables/hard", &[], "", 204),
    ("DELETE", "/tables/hard/a", &[], "", 204),
    ("DELETE", "/tables/hard/a", &[], "", 404),
    ("GET", "/elsewhere", &[], "", 404),
];

async fn each_tells(server: &TableServer, name: &str, value: &str) {
    for (method, target, headers, body, status) in REQUESTS {
        let answer = send(server, method, target, headers, body)
            .await
            .expect(*status);
        assert_eq!(answer.header(name), Some(value), "{method} {target}");
        assert_eq!(answer.headers.get_all(name).iter().count(), 1);
    }
}

#[tokio::test]
async fn the_time_is_that_of_the_clock_of_commits() {
    let clock = TestClock::new();
    let server = builder(Arc::new(MemoryStore::new()), &clock)
        .build()
        .await
        .unwrap();
    each_tells(&server, "date", "Sat, 31 Jan 2026 12:00:00 GMT").await;
    clock.advance(61_000);
    each_tells(&server, "date", "Sat, 31 Jan 2026 12:01:01 GMT").await;
    // No header can tell a time before 1970. The HTTP layer would put the machine's in.
    clock.advance(-2 * NOON);
    each_tells(&server, "date", "Thu, 01 Jan 1970 00:00:00 GMT").await;
}

#[tokio::test]
async fn operation_ids_are_announced_with_the_time_for_which_they_are_kept() {
    let server = server().await;
    each_tells(&server, "synctable-operation-ids", "1").await;
    each_tells(&server, "synctable-operation-ids-kept", "2592000").await;

    let kept = |time| {
        builder(Arc::new(MemoryStore::new()), &TestClock::new())
            .keep_operation_ids(time)
            .build()
    };
    for (time, seconds) in [
        (Duration::from_secs(86_400), "86400"),
        (Duration::from_millis(1999), "1"),
        (Duration::ZERO, "0"),
        (Duration::MAX, "9223372036854775"),
    ] {
        let server = kept(time).await.unwrap();
        each_tells(&server, "synctable-operation-ids", "1").await;
        each_tells(&server, "synctable-operation-ids-kept", seconds).await;
    }
}

#[tokio::test]
async fn t2_changed_members_alone_are_announced() {
    each_tells(&server().await, "synctable-partial-updates", "1").await;
}

#[tokio::test]
async fn the_server_has_an_id_that_outlives_it() {
    let store = Arc::new(MemoryStore::new());
    let id = async |store: &Arc<MemoryStore>| {
        let server = builder(Arc::clone(store) as _, &TestClock::new())
            .build()
            .await
            .unwrap();
        let answer = send(&server, "GET", "/tables/hard", &[], "").await;
        let id = answer.header("synctable-server-id").unwrap().to_owned();
        each_tells(&server, "synctable-server-id", &id).await;
        id
    };
    let first = id(&store).await;
    assert_eq!(first.len(), 32);
    let again = TableServer::builder(Arc::clone(&store) as _);
    let again = again.any_table(true).build().await.unwrap();
    let answer = send(&again, "GET", "/tables/soft", &[], "").await;
    assert_eq!(answer.header("synctable-server-id"), Some(first.as_str()));
    assert_ne!(id(&Arc::new(MemoryStore::new())).await, first);
}
