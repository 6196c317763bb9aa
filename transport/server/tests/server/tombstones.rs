//! Tombstones that end, and who is told.

use std::sync::Arc;
use std::time::Duration;

use synctable_core::store::LocalStoreExt;
use synctable_memory::MemoryStore;
use synctable_server::TableServer;

use crate::common::*;

const DAY: i64 = 24 * 60 * 60 * 1000;
const HEADER: &str = "synctable-deletions-forgotten";
const PULL: &str = "/tables/soft?__includedeleted=true&$orderby=updatedAt&$top=1000";

async fn keeping(store: &Arc<MemoryStore>, clock: &Arc<TestClock>, days: u64) -> TableServer {
    let time = Duration::from_secs(days * 24 * 60 * 60);
    let builder = builder(Arc::clone(store) as _, clock).keep_tombstones(time);
    builder.build().await.unwrap()
}

async fn make_and_delete(server: &TableServer, id: &str) {
    post(server, "/tables/soft", &format!(r#"{{"id":"{id}"}}"#))
        .await
        .expect(201);
    delete(server, &format!("/tables/soft/{id}"))
        .await
        .expect(204);
}

/// The ids of a pull, and which deletions are not known any more.
async fn pull(server: &TableServer) -> (Vec<String>, Option<String>) {
    let answer = get(server, PULL).await.expect(200);
    let forgotten = answer.header(HEADER).map(str::to_owned);
    (answer.ids(), forgotten)
}

#[tokio::test]
async fn tombstones_go_after_their_time_and_pulls_are_told() {
    let (store, clock) = (Arc::new(MemoryStore::new()), TestClock::new());
    let server = keeping(&store, &clock, 90).await;
    make_and_delete(&server, "old").await;
    let deleted = get(&server, "/tables/soft/old?__includedeleted=true")
        .await
        .expect(200)
        .updated_at()
        .to_string();
    make_and_delete(&server, "back").await;
    clock.advance(89 * DAY);
    make_and_delete(&server, "new").await;
    assert_eq!(
        pull(&server).await,
        (vec!["old".into(), "back".into(), "new".into()], None)
    );
    put(&server, "/tables/soft/back?__includedeleted=true", "{}")
        .await
        .expect(200);
    clock.advance(2 * DAY);
    post(&server, "/tables/soft", r#"{"id":"a"}"#)
        .await
        .expect(201);
    let (ids, forgotten) = pull(&server).await;
    assert_eq!(ids, ["new", "back", "a"]);
    assert_eq!(forgotten, Some(deleted));
    get(&server, "/tables/soft/old?__includedeleted=true")
        .await
        .expect(404);
    // Who does not ask for tombstones does not miss any.
    let plain = get(&server, "/tables/soft").await.expect(200);
    assert_eq!(plain.header(HEADER), None);
    let hard = get(&server, "/tables/hard?__includedeleted=true").await;
    assert_eq!(hard.expect(200).header(HEADER), None);
    // The next server over the store knows it, whatever it keeps itself.
    let next = builder(Arc::clone(&store) as _, &clock)
        .build()
        .await
        .unwrap();
    assert_eq!(pull(&next).await.1, pull(&server).await.1);
    make_and_delete(&next, "old").await;
}

#[tokio::test]
async fn without_a_time_tombstones_stay() {
    let (store, clock) = (Arc::new(MemoryStore::new()), TestClock::new());
    let server = builder(Arc::clone(&store) as _, &clock)
        .build()
        .await
        .unwrap();
    make_and_delete(&server, "old").await;
    clock.advance(10_000 * DAY);
    make_and_delete(&server, "new").await;
    assert_eq!(
        pull(&server).await,
        (vec!["old".into(), "new".into()], None)
    );
}

#[tokio::test]
async fn many_go_a_bounded_number_at_a_time_and_the_mark_is_there_from_the_first() {
    let (store, clock) = (Arc::new(MemoryStore::new()), TestClock::new());
    let server = keeping(&store, &clock, 1).await;
    for n in 0..250 {
        make_and_delete(&server, &format!("r{n:03}")).await;
    }
    let last = get(&server, "/tables/soft/r249?__includedeleted=true").await;
    let last = last.expect(200).updated_at().to_string();
    clock.advance(2 * DAY);
    for (left, write) in [(150, "a"), (50, "b"), (0, "c"), (0, "d")] {
        post(&server, "/tables/soft", &format!(r#"{{"id":"{write}"}}"#))
            .await
            .expect(201);
        let deleted = "$filter=deleted%20eq%20true&$count=true&$top=0";
        let target = format!("/tables/soft?__includedeleted=true&{deleted}");
        let answer = get(&server, &target).await.expect(200);
        assert_eq!(answer.json()["count"], left, "{write}");
        assert_eq!(answer.header(HEADER), Some(last.as_str()), "{write}");
    }
}

#[tokio::test]
async fn a_server_that_starts_looks_for_old_tombstones() {
    let (store, clock) = (Arc::new(MemoryStore::new()), TestClock::new());
    let server = builder(Arc::clone(&store) as _, &clock)
        .build()
        .await
        .unwrap();
    make_and_delete(&server, "old").await;
    clock.advance(2 * DAY);
    keeping(&store, &clock, 1).await;
    let held = store.get_one(&table("soft"), &"old".parse().unwrap()).await;
    assert_eq!(held.unwrap(), None);
    assert!(pull(&server).await.1.is_some());
}
