//! Operation ids: each change takes effect once.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use synctable_core::TableName;
use synctable_core::query::Query;
use synctable_core::store::LocalStore;
use synctable_memory::MemoryStore;

use crate::common::*;

const DAY: i64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn a_repeated_change_is_answered_as_the_first_time() {
    let server = server().await;
    for table in ["hard", "soft"] {
        let list = format!("/tables/{table}");
        let path = format!("/tables/{table}/a");
        let (one, two, three) = (
            format!("{table}/1"),
            format!("{table}/2"),
            format!("{table}/3"),
        );
        let (one, two, three) = (
            [("x-operation-id", &*one)],
            [("x-operation-id", &*two)],
            [("x-operation-id", &*three)],
        );
        let body = r#"{"id":"a","n":1.0}"#;
        let first = send(&server, "POST", &list, &one, body).await.expect(201);
        let again = send(&server, "POST", &list, &one, body).await.expect(201);
        assert_eq!(again.text, first.text);
        assert_eq!(again.header("etag"), first.header("etag"));
        assert_eq!(again.header("location"), first.header("location"));

        let tag = format!("\"{}\"", first.version());
        let change = [two[0], ("if-match", tag.as_str())];
        let body = r#"{"id":"a","n":2}"#;
        let first = send(&server, "PUT", &path, &change, body).await.expect(200);
        let again = send(&server, "PUT", &path, &change, body).await.expect(200);
        assert_eq!(again.text, first.text, "without the id this would be 412");

        let tag = format!("\"{}\"", first.version());
        let change = [three[0], ("if-match", tag.as_str())];
        send(&server, "DELETE", &path, &change, "")
            .await
            .expect(204);
        let gone = get(&server, &format!("{path}?__includedeleted=true")).await;
        send(&server, "DELETE", &path, &change, "")
            .await
            .expect(204);
        let same = get(&server, &format!("{path}?__includedeleted=true")).await;
        assert_eq!(same.text, gone.text);

        let again = send(&server, "PUT", &path, &two, body).await.expect(200);
        assert_eq!(
            again.text, first.text,
            "the record is gone, the outcome is not"
        );
    }
}

#[tokio::test]
async fn a_repeat_after_a_later_change_tells_the_outcome_and_keeps_the_change() {
    let server = server().await;
    let id = [("x-operation-id", "op-1")];
    let first = send(&server, "POST", "/tables/hard", &id, r#"{"id":"a","n":1}"#)
        .await
        .expect(201);
    let later = put(&server, "/tables/hard/a", r#"{"n":2}"#)
        .await
        .expect(200);
    let again = send(&server, "POST", "/tables/hard", &id, r#"{"id":"a","n":1}"#)
        .await
        .expect(201);
    assert_eq!(again.text, first.text);
    assert_eq!(get(&server, "/tables/hard/a").await.text, later.text);
}

#[tokio::test]
async fn an_insert_without_id_is_made_once() {
    // All requests look for the outcome before the first one is committed.
    let store = TestStore::new(false, 3);
    let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
        .build()
        .await
        .unwrap();
    let id = [("x-operation-id", "op")];
    let repeats = (0..5).map(|_| send(&server, "POST", "/tables/hard", &id, r#"{"n":1}"#));
    let answers = join_all(repeats).await;
    for answer in &answers {
        assert_eq!(answer.status, 201);
        assert_eq!(answer.text, answers[0].text);
    }
    assert_eq!(store.log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn only_changes_that_were_done_are_remembered() {
    let server = server().await;
    let id = [("x-operation-id", "op"), ("if-match", "\"stale\"")];
    send(&server, "PUT", "/tables/hard/a", &id, "{}")
        .await
        .expect(404);
    let made = post(&server, "/tables/hard", r#"{"id":"a"}"#)
        .await
        .expect(201);
    send(&server, "PUT", "/tables/hard/a", &id, "{}")
        .await
        .expect(412);
    let tag = format!("\"{}\"", made.version());
    let id = [("x-operation-id", "op"), ("if-match", tag.as_str())];
    send(&server, "PUT", "/tables/hard/a", &id, r#"{"n":1}"#)
        .await
        .expect(200);
    assert_eq!(get(&server, "/tables/hard/a").await.json()["n"], json!(1));
}

#[tokio::test]
async fn an_id_of_another_change_and_an_id_that_is_none_are_refused() {
    let server = server().await;
    let op = [("x-operation-id", "op")];
    send(&server, "POST", "/tables/hard", &op, r#"{"id":"a"}"#)
        .await
        .expect(201);
    send(&server, "POST", "/tables/hard", &op, r#"{"id":"b"}"#)
        .await
        .expect(400);
    send(&server, "POST", "/tables/soft", &op, r#"{"id":"a"}"#)
        .await
        .expect(400);
    send(&server, "PUT", "/tables/hard/a", &op, "{}")
        .await
        .expect(400);
    send(&server, "DELETE", "/tables/hard/a", &op, "")
        .await
        .expect(400);
    get(&server, "/tables/hard/b").await.expect(404);

    let ours = "Zm9v-_9hYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejA";
    assert_eq!(ours.len(), 43, "what our clients send");
    let op = [("x-operation-id", ours)];
    for _ in 0..2 {
        send(&server, "PUT", "/tables/hard/a", &op, "{}")
            .await
            .expect(200);
    }
    send(&server, "DELETE", "/tables/hard/a", &op, "")
        .await
        .expect(400);

    let long = "x".repeat(128);
    send(
        &server,
        "PUT",
        "/tables/hard/a",
        &[("x-operation-id", &long)],
        "{}",
    )
    .await
    .expect(200);
    let longer = "x".repeat(129);
    for headers in [
        &[("x-operation-id", longer.as_str())] as Headers<'_>,
        &[("x-operation-id", "")],
        &[("x-operation-id", "a b")],
        &[("x-operation-id", "a\tb")],
        &[("x-operation-id", "1"), ("x-operation-id", "2")],
    ] {
        send(&server, "PUT", "/tables/hard/a", headers, "{}")
            .await
            .expect(400);
    }
}

#[tokio::test]
async fn outcomes_survive_a_restart_and_are_kept_for_thirty_days() {
    let store = Arc::new(MemoryStore::new());
    let clock = TestClock::new();
    let operations = TableName::system("__server_operations");
    let op = [("x-operation-id", "op")];
    let body = r#"{"id":"a"}"#;
    let mut first = None;
    for _ in 0..3 {
        let server = builder(Arc::<MemoryStore>::clone(&store), &clock)
            .build()
            .await
            .unwrap();
        let answer = send(&server, "POST", "/tables/hard", &op, body)
            .await
            .expect(201);
        assert_eq!(&answer.text, first.get_or_insert(answer.text.clone()));
        clock.advance(15 * DAY - 1000);
    }
    let server = builder(Arc::<MemoryStore>::clone(&store), &clock)
        .build()
        .await
        .unwrap();
    send(&server, "POST", "/tables/hard", &op, body)
        .await
        .expect(409);
    assert_eq!(store.count(&operations, &Query::all()).await.unwrap(), 0);
}

#[tokio::test]
async fn old_outcomes_go_a_bounded_number_at_a_time() {
    let store = Arc::new(MemoryStore::new());
    let clock = TestClock::new();
    let operations = TableName::system("__server_operations");
    let server = builder(Arc::<MemoryStore>::clone(&store), &clock)
        .build()
        .await
        .unwrap();
    let write = async |id: String| {
        send(
            &server,
            "POST",
            "/tables/hard",
            &[("x-operation-id", id.as_str())],
            "{}",
        )
        .await
        .expect(201);
        store.count(&operations, &Query::all()).await.unwrap()
    };
    for n in 0..250 {
        write(format!("old-{n}")).await;
    }
    clock.advance(31 * DAY);
    assert_eq!(write("new-1".into()).await, 151);
    assert_eq!(write("new-2".into()).await, 52);
    assert_eq!(write("new-3".into()).await, 3);
    assert_eq!(write("new-4".into()).await, 4);
}
