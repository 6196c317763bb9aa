//! The server over a store with threads of its own, group commit and files.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

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
async fn times_stay_unique_under_load_and_over_restarts() {
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
        assert_eq!(times.len(), items.len());
        assert!(newest < times.last().cloned(), "round {round}");
        newest = times.last().cloned();
        clock.advance(-3_600_000);
    }
}
