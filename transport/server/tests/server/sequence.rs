//! `updatedAt`: one for each commit, strictly increasing, in the order of commits.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use futures_util::future::join_all;
use synctable_core::store::{LocalStore, WriteBatch};
use synctable_core::{Record, TableName, TableSchema, Timestamp};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;

use crate::common::*;

const HOUR: i64 = 60 * 60 * 1000;
const YEAR: i64 = 365 * 24 * HOUR;

#[track_caller]
fn assert_strictly_increasing(times: &[Timestamp]) {
    for pair in times.windows(2) {
        assert!(pair[0] < pair[1], "{pair:?} in {times:?}");
    }
}

async fn time_of_post(server: &TableServer) -> Timestamp {
    post(server, "/tables/soft", "{}")
        .await
        .expect(201)
        .updated_at()
}

#[tokio::test]
async fn times_grow_while_the_clock_jumps() {
    let clock = TestClock::new();
    let server = builder(Arc::new(MemoryStore::new()), &clock)
        .build()
        .await
        .unwrap();
    let mut times = Vec::new();
    for jump in [
        0,
        0,
        5,
        -HOUR,
        HOUR,
        10 * YEAR,
        -20 * YEAR,
        0,
        10 * YEAR,
        1,
        -1,
    ] {
        clock.advance(jump);
        times.push(time_of_post(&server).await);
    }
    assert_strictly_increasing(&times);
    assert_eq!(times[0].millis(), NOON);
    assert_eq!(times[1].millis(), NOON + 1);
    assert_eq!(times[2].millis(), NOON + 5, "the clock leads where it can");
}

#[tokio::test]
async fn times_are_stored_as_they_are_printed() {
    let store = Arc::new(MemoryStore::new());
    let server = builder(Arc::<MemoryStore>::clone(&store), &TestClock::new())
        .build()
        .await
        .unwrap();
    let answer = post(&server, "/tables/soft", r#"{"id":"a"}"#).await;
    let id = [Record::from_json(r#"{"id":"a"}"#).unwrap().id().clone()];
    let stored = store
        .get(&table("soft"), &id)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(stored.updated_at(), Some(answer.updated_at()));
    assert_eq!(stored.system().created_at, Some(answer.updated_at()));
}

#[tokio::test]
async fn times_go_on_after_a_restart_though_the_newest_record_is_gone() {
    let store = Arc::new(MemoryStore::new());
    let clock = TestClock::new();
    let mut times = Vec::new();
    for _ in 0..3 {
        let server = builder(Arc::<MemoryStore>::clone(&store), &clock)
            .build()
            .await
            .unwrap();
        for _ in 0..3 {
            let made = post(&server, "/tables/hard", r#"{"id":"newest"}"#)
                .await
                .expect(201);
            times.push(made.updated_at());
            delete(&server, "/tables/hard/newest").await.expect(204);
        }
        clock.advance(-HOUR);
    }
    assert_strictly_increasing(&times);
}

#[tokio::test]
async fn times_start_after_records_that_someone_else_stored() {
    let store = Arc::new(MemoryStore::new());
    let clock = TestClock::new();
    let schema = synctable_core::Schema::new().with_table(table("soft"), TableSchema::new());
    store.define(&schema).await.unwrap();
    let record = |id: &str, at: &str| {
        Record::from_json(&format!(r#"{{"id":"{id}","updatedAt":"{at}"}}"#)).unwrap()
    };
    let batch = WriteBatch::new()
        .put(&table("soft"), record("a", "2030-01-01T00:00:00.0005Z"))
        .put(&table("soft"), record("b", "2029-01-01T00:00:00Z"));
    store.commit(batch).await.unwrap();
    let server = builder(store, &clock).build().await.unwrap();
    let time = time_of_post(&server).await;
    assert_eq!(time.to_string(), "2030-01-01T00:00:00.001Z");
}

/// Many writes of several kinds to both tables at once.
async fn storm(server: &TableServer) {
    let path = |n: usize| {
        format!(
            "/tables/{}",
            if n.is_multiple_of(2) { "soft" } else { "hard" }
        )
    };
    join_all((0..60).map(|n| async move {
        let id = format!("r{}", n % 20);
        let body = format!(r#"{{"id":"{id}","n":{n}}}"#);
        let record = format!("{}/{id}", path(n));
        match n / 20 {
            0 => post(server, &path(n), &body).await,
            1 => put(server, &record, &body).await,
            _ => delete(server, &record).await,
        }
    }))
    .await;
}

fn times_of(store: &TestStore, name: &str) -> Vec<Timestamp> {
    let name: TableName = table(name);
    let log = store.log.lock().unwrap();
    log.iter()
        .filter(|(t, _)| *t == name)
        .map(|(_, time)| *time)
        .collect()
}

#[tokio::test]
async fn concurrent_commits_happen_in_the_order_of_their_times() {
    for (ordered, yields) in [(true, 0), (true, 5), (false, 0), (false, 5)] {
        let store = TestStore::new(ordered, yields);
        let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
            .build()
            .await
            .unwrap();
        storm(&server).await;
        for name in ["soft", "hard"] {
            let times = times_of(&store, name);
            assert!(times.len() >= 2, "{name}: {times:?}");
            assert_strictly_increasing(&times);
        }
    }
}

#[tokio::test]
async fn commits_of_a_table_wait_for_each_other() {
    for ordered in [true, false] {
        let store = TestStore::new(ordered, 3);
        let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
            .build()
            .await
            .unwrap();
        // Some come while the others' commit is under way.
        join_all((0..20).map(|n| {
            let server = &server;
            async move {
                for _ in 0..n {
                    tokio::task::yield_now().await;
                }
                time_of_post(server).await
            }
        }))
        .await;
        assert_eq!(store.most_under_way.load(Ordering::SeqCst), 1);
        assert!(times_of(&store, "soft").len() > 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_over_one_store_share_one_sequence() {
    let store = TestStore::new(true, 1);
    let clock = TestClock::new();
    let mut tasks = Vec::new();
    for n in 0..2 {
        let server = builder(Arc::<TestStore>::clone(&store), &clock)
            .build()
            .await
            .unwrap();
        tasks.push(tokio::spawn(async move {
            for m in 0..50 {
                let body = format!(r#"{{"id":"{n}-{m}"}}"#);
                post(&server, "/tables/soft", &body).await.expect(201);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let times = times_of(&store, "soft");
    assert_eq!(times.len(), 100);
    let unique: std::collections::BTreeSet<_> = times.iter().collect();
    assert_eq!(unique.len(), 100, "{times:?}");
}

#[tokio::test]
async fn a_failed_commit_gives_its_place_back() {
    let store = TestStore::new(true, 3);
    let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
        .build()
        .await
        .unwrap();
    time_of_post(&server).await;
    *store.fault.lock().unwrap() = Some(synctable_core::store::StoreErrorKind::Io);
    let answers = join_all((0..10).map(|_| post(&server, "/tables/soft", "{}"))).await;
    let failed = answers.iter().filter(|answer| answer.status == 500).count();
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(
        (failed, made),
        (10, 0),
        "the store fails, and all shared the commit"
    );
    assert_eq!(
        get(&server, "/tables/soft?$count=true").await.json()["count"],
        1
    );
    time_of_post(&server).await;
    assert_strictly_increasing(&times_of(&store, "soft"));
}

/// Drops a request at each of its polls; the store then does, or does not do, the commit later.
#[tokio::test]
async fn a_dropped_request_does_not_break_the_order() {
    for ordered in [true, false] {
        for polls in 1..12 {
            let store = TestStore::new(ordered, 4);
            let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
                .build()
                .await
                .unwrap();
            time_of_post(&server).await;
            {
                let mut dropped = pin!(post(&server, "/tables/soft", r#"{"id":"late"}"#));
                let mut context = Context::from_waker(Waker::noop());
                for _ in 0..polls {
                    if dropped.as_mut().poll(&mut context).is_ready() {
                        break;
                    }
                }
            }
            for _ in 0..3 {
                time_of_post(&server).await;
            }
            assert_strictly_increasing(&times_of(&store, "soft"));
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_done_after_its_request_was_dropped_does_not_go_back_in_time() {
    let store = TestStore::new(false, 0);
    let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
        .build()
        .await
        .unwrap();
    store.hold_and_drop(post(&server, "/tables/soft", r#"{"id":"late"}"#));
    time_of_post(&server).await;
    assert!(
        store.release_held().await.is_err(),
        "the late commit lost its place"
    );
    get(&server, "/tables/soft/late").await.expect(404);
    time_of_post(&server).await;
    assert_strictly_increasing(&times_of(&store, "soft"));
}

#[tokio::test]
async fn a_rival_between_reading_and_writing_is_a_conflict_or_is_written_over() {
    let store = TestStore::new(true, 0);
    let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
        .build()
        .await
        .unwrap();
    let rival = |version: &str| {
        let json = format!(
            r#"{{"id":"a","version":"{version}","updatedAt":"2026-01-31T12:00:00Z","by":"rival"}}"#
        );
        let batch = WriteBatch::new().put(&table("soft"), Record::from_json(&json).unwrap());
        store.rivals.lock().unwrap().push_back(batch);
    };
    rival("r1");
    let answer = post(&server, "/tables/soft", r#"{"id":"a","by":"me"}"#)
        .await
        .expect(409);
    assert_eq!(answer.header("etag"), Some("\"r1\""));

    rival("r2");
    let headers = [("if-match", "\"r1\"")];
    let answer = send(&server, "PUT", "/tables/soft/a", &headers, r#"{"by":"me"}"#)
        .await
        .expect(412);
    assert_eq!(answer.header("etag"), Some("\"r2\""));
    assert_eq!(answer.json()["by"], "rival");

    rival("r3");
    let headers = [("if-match", "\"r2\"")];
    send(&server, "DELETE", "/tables/soft/a", &headers, "")
        .await
        .expect(412);

    rival("r4");
    let answer = put(&server, "/tables/soft/a", r#"{"by":"me"}"#)
        .await
        .expect(200);
    assert_eq!(get(&server, "/tables/soft/a").await.text, answer.text);
}

#[tokio::test]
async fn a_record_that_rivals_never_leave_alone_is_busy() {
    let store = TestStore::new(true, 0);
    let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
        .build()
        .await
        .unwrap();
    post(&server, "/tables/soft", r#"{"id":"a"}"#)
        .await
        .expect(201);
    for n in 0..1000 {
        let json = format!(r#"{{"id":"a","version":"{n}"}}"#);
        let batch = WriteBatch::new().put(&table("soft"), Record::from_json(&json).unwrap());
        store.rivals.lock().unwrap().push_back(batch);
    }
    let answer = put(&server, "/tables/soft/a", "{}").await.expect(503);
    assert_eq!(answer.header("retry-after"), Some("1"));
}
