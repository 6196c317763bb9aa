//! An operation id that the server does not know, and since when it would.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use synctable_core::query::Query;
use synctable_core::store::{LocalStore, WriteBatch};
use synctable_core::{RecordId, TableName};
use synctable_memory::MemoryStore;
use synctable_server::{Access, AccessRequest, Grant, Refusal, TableServer};

use crate::common::*;

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
const SINCE: &str = "synctable-operation-unknown-since";
const NOON_TEXT: &str = "2026-01-31T12:00:00.000Z";
const BODY: &str = r#"{"id":"a"}"#;

async fn over(store: &Arc<MemoryStore>, clock: &Arc<TestClock>) -> TableServer {
    builder(Arc::<MemoryStore>::clone(store), clock)
        .build()
        .await
        .unwrap()
}

/// A server that keeps ids for some days.
async fn keeping(store: &Arc<MemoryStore>, clock: &Arc<TestClock>, days: u64) -> TableServer {
    builder(Arc::<MemoryStore>::clone(store), clock)
        .keep_operation_ids(Duration::from_secs(days * 86_400))
        .build()
        .await
        .unwrap()
}

/// What the answer to an insert of the record `a`, which is there, tells about an id.
async fn since(server: &TableServer, id: &str) -> Option<String> {
    let headers = [("x-operation-id", id)];
    let answer = send(server, "POST", "/tables/hard", &headers, BODY)
        .await
        .expect(409);
    answer.header(SINCE).map(str::to_owned)
}

#[tokio::test]
async fn conflicts_under_an_unknown_id_tell_since_when_ids_are_kept() {
    let clock = TestClock::new();
    let server = over(&Arc::new(MemoryStore::new()), &clock).await;
    clock.advance(HOUR);
    let made = [("x-operation-id", "made")];
    for list in ["/tables/hard", "/tables/soft"] {
        post(&server, list, BODY).await.expect(201);
    }
    let v2 = ("zumo-api-version", "2.0.0");
    let v3 = ("zumo-api-version", "3.0.0");
    let client = ("x-zumo-version", "x");
    let stale = ("if-match", "\"stale\"");
    let old = r#"{"version":"stale"}"#;
    let requests: &[(&str, &str, Headers<'_>, &str, u16)] = &[
        ("POST", "/tables/hard", &[], BODY, 409),
        ("POST", "/tables/hard", &[v2], BODY, 409),
        ("PUT", "/tables/hard/a", &[stale], "{}", 412),
        ("PATCH", "/tables/hard/a", &[stale, v3, client], "{}", 412),
        ("PATCH", "/tables/hard/a", &[v2], old, 409),
        ("DELETE", "/tables/hard/a", &[stale], "", 412),
        ("DELETE", "/tables/soft/a", &[stale], "", 412),
        ("POST", "/tables/soft/a", &[stale, v2], "", 412),
    ];
    for (method, target, headers, body, status) in requests {
        let answer = send(&server, method, target, headers, body)
            .await
            .expect(*status);
        assert_eq!(answer.header(SINCE), None, "no id was asked about");
        let named: Vec<_> = [("x-operation-id", "new")]
            .iter()
            .chain(*headers)
            .copied()
            .collect();
        let again = send(&server, method, target, &named, body)
            .await
            .expect(*status);
        assert_eq!(again.header(SINCE), Some(NOON_TEXT), "{method} {target}");
        assert_eq!(again.text, answer.text);
    }

    // Other answers tell nothing.
    let path = "/tables/hard/b";
    let id = r#"{"id":"b"}"#;
    for (method, target, headers, body, status) in [
        ("PUT", path, &made as Headers<'_>, "{}", 404),
        ("POST", "/tables/hard", &made, id, 201),
        ("POST", "/tables/hard", &made, id, 201),
        ("PUT", path, &made, "{}", 400),
        ("GET", path, &made, "", 200),
        ("GET", path, &[made[0], stale], "", 412),
    ] {
        let answer = send(&server, method, target, headers, body)
            .await
            .expect(status);
        assert_eq!(answer.header(SINCE), None, "{method} {target}");
    }
}

#[tokio::test]
async fn the_time_is_that_of_the_first_start_until_that_is_longer_ago_than_ids_are_kept() {
    let store = Arc::new(MemoryStore::new());
    let clock = TestClock::new();
    post(&over(&store, &clock).await, "/tables/hard", BODY)
        .await
        .expect(201);
    for days in [0, 1, 15, 30] {
        let clock = TestClock::new();
        clock.advance(days * DAY);
        let later = over(&store, &clock).await;
        assert_eq!(
            since(&later, "x").await.as_deref(),
            Some(NOON_TEXT),
            "{days}"
        );
    }
    clock.advance(40 * DAY);
    let later = over(&store, &clock).await;
    assert_eq!(
        since(&later, "x").await.as_deref(),
        Some("2026-02-10T12:00:00.000Z")
    );
    let later = keeping(&store, &clock, 1).await;
    assert_eq!(
        since(&later, "x").await.as_deref(),
        Some("2026-03-11T12:00:00.000Z")
    );
}

/// The first releases wrote down no such time.
#[tokio::test]
async fn a_store_without_that_time_begins_when_it_is_opened() {
    let store = Arc::new(MemoryStore::new());
    let clock = TestClock::new();
    let first = over(&store, &clock).await;
    let op = [("x-operation-id", "made")];
    send(&first, "POST", "/tables/hard", &op, BODY)
        .await
        .expect(201);
    let marks = TableName::system("__server_marks");
    let row = RecordId::system("operations");
    let batch = WriteBatch::new().delete(&marks, &row);
    store.commit(batch).await.unwrap();
    assert_eq!(
        since(&first, "x").await,
        None,
        "nothing is claimed without it"
    );

    clock.advance(HOUR);
    let server = over(&store, &clock).await;
    assert_eq!(
        since(&server, "x").await.as_deref(),
        Some("2026-01-31T13:00:00.000Z")
    );
    send(&server, "POST", "/tables/hard", &op, BODY)
        .await
        .expect(201);
}

/// Each of these servers forgets ids that an answer must not pretend to know of.
#[tokio::test]
async fn the_time_moves_with_what_was_removed_whoever_removed_it_and_whatever_the_clock_does_then()
{
    let store = Arc::new(MemoryStore::new());
    let clock = TestClock::new();
    let long = over(&store, &clock).await;
    let op = [("x-operation-id", "made")];
    send(&long, "POST", "/tables/hard", &op, BODY)
        .await
        .expect(201);
    clock.advance(3 * DAY);
    assert_eq!(since(&long, "x").await.as_deref(), Some(NOON_TEXT));

    let short = keeping(&store, &clock, 1).await;
    let ahead = Some("2026-02-02T12:00:00.000Z");
    assert_eq!(
        since(&short, "made").await.as_deref(),
        ahead,
        "it is forgotten"
    );
    assert_eq!(since(&long, "made").await.as_deref(), ahead);
    clock.advance(-2 * DAY);
    assert_eq!(since(&short, "made").await.as_deref(), ahead);
    let again = over(&store, &clock).await;
    assert_eq!(since(&again, "made").await.as_deref(), ahead);

    // What was recorded while the clock was wrong is removed, too, and takes nothing back.
    clock.advance(-50 * DAY);
    let back = [("x-operation-id", "back")];
    send(&again, "POST", "/tables/hard", &back, "{}")
        .await
        .expect(201);
    clock.advance(50 * DAY);
    let again = over(&store, &clock).await;
    assert_eq!(since(&again, "made").await.as_deref(), ahead);
    let operations = TableName::system("__server_operations");
    assert_eq!(store.count(&operations, &Query::all()).await.unwrap(), 0);
}

#[tokio::test]
async fn ids_are_removed_only_an_hour_after_the_time_that_is_announced() {
    let store = Arc::new(MemoryStore::new());
    let clock = TestClock::new();
    let op = [("x-operation-id", "made")];
    let server = keeping(&store, &clock, 1).await;
    send(&server, "POST", "/tables/hard", &op, BODY)
        .await
        .expect(201);
    clock.advance(DAY + HOUR);
    // A new server looks at once.
    let server = keeping(&store, &clock, 1).await;
    send(&server, "POST", "/tables/hard", &op, BODY)
        .await
        .expect(201);
    clock.advance(1);
    let server = keeping(&store, &clock, 1).await;
    assert_eq!(
        since(&server, "made").await.as_deref(),
        Some("2026-01-31T13:00:00.001Z")
    );
}

/// Everybody has a name, and may do everything.
#[derive(Debug)]
struct Named;

#[async_trait]
impl Access for Named {
    async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal> {
        Ok(match request.bearer_token() {
            Some(user) => Grant::all().for_user(user),
            None => Grant::all(),
        })
    }
}

/// A device that signed in anew asks as somebody else about what it sent before.
#[tokio::test]
async fn an_id_that_was_used_under_another_name_is_not_called_unknown() {
    let clock = TestClock::new();
    let server = builder(Arc::new(MemoryStore::new()), &clock)
        .access(Arc::new(Named))
        .build()
        .await
        .unwrap();
    clock.advance(HOUR);
    let users = [
        None,
        Some("Bearer ann"),
        Some("Bearer bob"),
        Some("Bearer eve"),
    ];
    let send_as = async |user: Option<&str>, id: &str, body: &str| {
        let mut headers = vec![("x-operation-id", id)];
        headers.extend(user.map(|user| ("authorization", user)));
        send(&server, "POST", "/tables/hard", &headers, body).await
    };
    send_as(None, "nobodys", r#"{"id":"n"}"#).await.expect(201);
    send_as(users[1], "anns", BODY).await.expect(201);
    for user in users {
        let answer = send_as(user, "new", BODY).await.expect(409);
        assert_eq!(answer.header(SINCE), Some(NOON_TEXT), "{user:?}");
        for (id, known_to, body) in [("anns", users[1], BODY), ("nobodys", None, r#"{"id":"n"}"#)] {
            let answer = send_as(user, id, body).await;
            let expected = if user == known_to { 201 } else { 409 };
            assert_eq!(answer.expect(expected).header(SINCE), None, "{user:?} {id}");
        }
    }
}

/// The first request was given up, and its commit lands after the repeat has looked for it.
#[tokio::test]
async fn a_commit_that_lands_while_its_repeat_is_judged_is_not_called_unknown() {
    for (method, target, status) in [
        ("POST", "/tables/hard", 201),
        ("PUT", "/tables/hard/b", 200),
    ] {
        let store = TestStore::new(true, 0);
        let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
            .build()
            .await
            .unwrap();
        let made = post(&server, "/tables/hard", r#"{"id":"b"}"#)
            .await
            .expect(201);
        let tag = format!("\"{}\"", made.version());
        let headers = match method {
            "POST" => vec![("x-operation-id", "op")],
            _ => vec![("x-operation-id", "op"), ("if-match", tag.as_str())],
        };
        let body = if method == "POST" { BODY } else { r#"{"n":1}"# };
        store.hold_and_drop(send(&server, method, target, &headers, body));
        // The record of an insert is read first, that of others behind the outcome.
        let reads = match method {
            "POST" => vec![Read::Release],
            _ => vec![Read::Answer, Read::Release],
        };
        store.reads.lock().unwrap().extend(reads);
        let answer = send(&server, method, target, &headers, body)
            .await
            .expect(status);
        assert_eq!(answer.header(SINCE), None);
    }
}
