//! The server over a store with threads of its own, group commit and files.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use synctable_core::store::{LocalStore, WriteBatch};
use synctable_core::{
    Record, RecordId, Schema, SystemProperties, TableName, TableSchema, Timestamp,
};
use synctable_server::TableServer;
use synctable_sqlite::SqliteStore;

use crate::common::*;

async fn open(path: &Path, clock: &Arc<TestClock>) -> TableServer {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    builder(store, clock).build().await.unwrap()
}

/// Inserts, replacements and deletions of some records by 8 tasks at once.
async fn storm(servers: &[TableServer], round: usize) {
    let mut tasks = Vec::new();
    for task in 0..8 {
        let server = servers[task % servers.len()].clone();
        tasks.push(tokio::spawn(async move {
            for n in 0..25 {
                let id = format!("r{}", (task * 7 + n) % 30);
                let path = format!("/tables/soft/{id}?__includedeleted=true");
                let body = format!(r#"{{"id":"{id}","by":"{round}-{task}-{n}"}}"#);
                let operation = format!("{round}-{task}-{n}");
                let headers = [("x-operation-id", operation.as_str())];
                let answer = match n % 5 {
                    0 | 1 => send(&server, "POST", "/tables/soft", &headers, &body).await,
                    2 | 3 => send(&server, "PUT", &path, &headers, &body).await,
                    _ => send(&server, "DELETE", &path, &headers, "").await,
                };
                let status = answer.status.as_u16();
                assert!(
                    matches!(status, 200 | 201 | 204 | 404 | 409 | 410),
                    "{answer:?}"
                );
                if matches!(status, 200 | 201) {
                    let again = if n % 5 < 2 { "POST" } else { "PUT" };
                    let target = if n % 5 < 2 { "/tables/soft" } else { &path };
                    let repeat = send(&server, again, target, &headers, &body).await;
                    assert_eq!(repeat.text, answer.text);
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_grow_under_load_and_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let clock = TestClock::new();
    let query = "/tables/soft?$orderby=updatedAt&__includeDeleted=true&$count=true";
    let mut newest = None;
    for round in 0..3 {
        // In the last round two servers work on one file.
        let mut servers = vec![open(&path, &clock).await];
        if round == 2 {
            servers.push(open(&path, &clock).await);
        }
        storm(&servers, round).await;
        let answer = get(&servers[0], query).await.expect(200);
        let json = answer.json();
        let items = json["items"].as_array().unwrap();
        assert_eq!(json["count"], items.len());
        let times: BTreeSet<String> = items
            .iter()
            .map(|item| item["updatedAt"].as_str().unwrap().to_owned())
            .collect();
        assert!(newest < times.last().cloned(), "round {round}");
        newest = times.last().cloned();
        clock.advance(-3_600_000);
    }
}

/// The server's own tables as the first releases declared and filled them.
#[tokio::test]
async fn a_file_of_the_first_releases_keeps_its_outcomes_and_begins_to_claim() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let operations = TableName::system("__server_operations");
    {
        let store = SqliteStore::open(&path).unwrap();
        let schema = Schema::new()
            .with_table(table("hard"), TableSchema::new())
            .with_table(
                operations.clone(),
                TableSchema::new().with_index(["updatedAt"]),
            );
        store.define(&schema).await.unwrap();
        let record = Record::from_json(r#"{"id":"a","version":"v","n":1}"#).unwrap();
        let done = r#"{"request":{"verb":"POST","table":"hard","target":"a"},"record":{"id":"a","version":"v"}}"#;
        let system = SystemProperties {
            updated_at: Some(Timestamp::from_millis(NOON - 1000)),
            ..SystemProperties::default()
        };
        // The id is that of the operation `op`, encoded.
        let row = Record::from_stored(RecordId::system("b3A"), system, done);
        let batch = WriteBatch::new()
            .put(&table("hard"), record)
            .put(&operations, row);
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();
    }
    let clock = TestClock::new();
    for _ in 0..2 {
        let server = open(&path, &clock).await;
        clock.advance(1000);
        for (id, body, status, since) in [
            ("op", r#"{"id":"a","n":1}"#, 201, None),
            (
                "new",
                r#"{"id":"a","n":1}"#,
                409,
                Some("2026-01-31T12:00:00.000Z"),
            ),
        ] {
            let headers = [("x-operation-id", id)];
            let answer = send(&server, "POST", "/tables/hard", &headers, body).await;
            let answer = answer.expect(status);
            assert_eq!(answer.header("etag"), Some("\"v\""));
            assert_eq!(answer.header("synctable-operation-unknown-since"), since);
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_change_to_a_file_that_is_gone_is_answered_with_503_until_it_is_back() {
    for name in ["a.db", "a.db-wal", "a.db-shm"] {
        changed_while_it_is_gone(name).await;
    }
}

#[cfg(unix)]
async fn changed_while_it_is_gone(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = open(&folder.path().join("a.db"), &TestClock::new()).await;
    let (path, aside) = (folder.path().join(name), folder.path().join("aside"));
    post(&server, "/tables/soft", r#"{"id":"a"}"#)
        .await
        .expect(201);
    std::fs::rename(&path, &aside).unwrap();
    for answer in [
        post(&server, "/tables/soft", r#"{"id":"b"}"#).await,
        put(&server, "/tables/soft/a", r#"{"id":"a","n":1}"#).await,
        delete(&server, "/tables/soft/a").await,
    ] {
        let answer = answer.expect(503);
        assert!(answer.error().contains("nothing was written"), "{answer:?}");
        assert!(!answer.text.contains("a.db"), "{answer:?}");
    }
    std::fs::rename(&aside, &path).unwrap();
    post(&server, "/tables/soft", r#"{"id":"b"}"#)
        .await
        .expect(201);
    let listed = get(&server, "/tables/soft?$orderby=id").await.expect(200);
    assert_eq!(listed.ids(), ["a", "b"]);
}
