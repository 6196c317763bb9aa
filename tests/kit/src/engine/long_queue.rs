//! A queue that is longer than what a context reads of it when it opens. (The devices of these stories note every second operation.)

use futures_util::future;
use serde_json::Value;
use synctable_core::query::Query;
use synctable_core::store::WriteBatch;
use synctable_core::sync::Purge;
use synctable_core::{Record, RecordId};
use tokio::task::yield_now;

use super::device::Device;
use super::slow::{Dropped, Slow};
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::{all, id, table};

/// Runs of the queue in a store.
async fn runs(device: &Device) -> Vec<Record> {
    let mut rows = all(&device.store, &table("__meta")).await;
    rows.retain(|row| row.id().as_str().starts_with("queue-run-"));
    rows
}

/// A device that has queued `r0` to `r9`, opened anew.
async fn with_ten(harness: &dyn Place) -> Device {
    let device = Device::new(harness, &TestServer::new()).await;
    for n in 0..10 {
        device.insert(&format!("r{n}"), n).await;
    }
    assert_eq!(runs(&device).await.len(), 5);
    device.again().await
}

/// What is found of an operation does not depend on how long ago it was queued: edits join it, deletes cancel it, pulls leave it alone.
pub async fn old_operations_are_found(harness: &dyn Place) {
    let device = with_ten(harness).await;
    device.set("r0", 20).await;
    device.delete("r1").await;
    device.server.set("r2", 30);
    device.pull_only().await;
    assert_eq!(device.n("r2").await, Some(2));
    let queue = device.queue().await;
    assert_eq!(queue.len(), 9, "{queue:?}");
    assert_eq!(queue[0], "insert r0");
    device.is_sound().await;
    let next = device.again().await;
    let error = next.todo.insert(&serde_json::json!({"id": "r3"})).await;
    error.expect_err("it is there");
    next.insert("r1", 5).await;
    assert_eq!(next.queue().await.len(), 10);
    next.is_sound().await;
}

/// A push sends all of it, in order, and leaves no run behind.
pub async fn a_long_queue_is_pushed_in_order(harness: &dyn Place) {
    let device = with_ten(harness).await;
    assert_eq!(device.push().await.pushed, 10);
    let sent = device.server.changes().into_iter().map(|change| change.id);
    let expected = (0..10).map(|n| id(&format!("r{n}")));
    assert_eq!(
        sent.collect::<Vec<RecordId>>(),
        expected.collect::<Vec<_>>()
    );
    device.is_in_sync().await;
    assert_eq!(runs(&device).await, []);
    device.set("r0", 7).await;
    assert_eq!(device.queue().await, ["replace r0"]);
    device.push().await;
    device.is_in_sync().await;
}

/// Contexts that note what the other has queued lose nothing of it.
pub async fn contexts_note_each_others_operations(harness: &dyn Place) {
    let one = with_ten(harness).await;
    let other = one.again().await;
    for n in 0..6 {
        one.insert(&format!("one{n}"), n).await;
        other.set(&format!("one{n}"), 50 + n).await;
        other.insert(&format!("other{n}"), n).await;
        one.delete(&format!("other{n}")).await;
    }
    for device in [&one, &other, &one.again().await] {
        device.is_sound().await;
        assert_eq!(device.queue().await.len(), 16);
    }
    assert_eq!(other.push().await.pushed, 16);
    one.push().await;
    one.is_in_sync().await;
    assert_eq!(runs(&one).await, []);
}

/// No number is given away twice, whatever left the queue in which way.
pub async fn numbers_of_a_long_queue_are_used_once(harness: &dyn Place) {
    let device = with_ten(harness).await;
    let last = |queue: Vec<synctable_core::sync::Operation>| queue.last().map(|one| one.seq);
    let before = last(device.sync.pending().await.expect("the queue is read"));
    let purge = Purge::all().discard_pending();
    assert_eq!(
        device.todo.purge(purge).await.expect("purged").discarded,
        10
    );
    assert_eq!(runs(&device).await, []);
    let next = device.again().await;
    next.insert("a", 1).await;
    let after = last(next.sync.pending().await.expect("the queue is read"));
    assert!(after > before, "{after:?} after {before:?}");
    // The last one of a run alone.
    next.insert("b", 1).await;
    next.delete("b").await;
    let next = next.again().await;
    next.insert("c", 1).await;
    let seq = last(next.sync.pending().await.expect("the queue is read"));
    assert!(
        seq > after.map(|after| after + 1),
        "{seq:?} after {after:?}"
    );
    next.is_sound().await;
}

/// A purge of one table with a filter, or beside another table, drops what is about it and nothing else.
pub async fn purges_of_a_long_queue_drop_their_own(harness: &dyn Place) {
    let device = with_ten(harness).await;
    let other = device.sync.table("other").expect("a table name");
    for n in 0..3 {
        let new = serde_json::json!({"id": format!("o{n}"), "n": n});
        other.insert(&new).await.expect("it is new");
    }
    let report = other.purge(Purge::all().discard_pending()).await;
    assert_eq!(report.expect("purged").discarded, 3);
    let some = synctable_core::query::field("n").lt(5);
    let report = device.todo.purge(Purge::matching(some).discard_pending());
    assert_eq!(report.await.expect("purged").discarded, 5);
    assert_eq!(device.queue().await[0], "insert r5");
    device.is_sound().await;
    assert_eq!(device.push().await.pushed, 5);
}

/// An operation that no run names is a finding: changes would pass it by.
pub async fn a_lost_run_is_found(harness: &dyn Place) {
    let device = with_ten(harness).await;
    let lost = runs(&device).await.swap_remove(2);
    let batch = WriteBatch::new().delete(&table("__meta"), lost.id());
    put_batch(&device, batch).await;
    let next = device.again().await;
    let findings = next.sync.verify().await.expect("the store is read");
    assert_eq!(findings.len(), 2, "{findings:?}");
    // A push sends the others, and ends.
    let report = next.push().await;
    assert_eq!((report.pushed, report.pending), (8, 2), "{report:?}");
}

/// A read of the runs may fall into the writing of others: each is taken once. Taken twice, one would be let go while its operations wait, and nothing
/// would find them any more.
pub async fn runs_are_read_while_others_are_noted(harness: &dyn Place) {
    for turns in 0..24 {
        let place = harness.another();
        let store = place.open().await.expect("the store opens");
        let slow = Slow::new(store, Dropped::Undone);
        let before = Device::over(slow as _, &TestServer::new(), |it| it).await;
        for n in 0..3 {
            before.insert(&format!("r{n}"), n).await;
        }
        pull_another(&before).await;
        let device = before.again().await;
        // Their ids are made here, so that no run has to be read for them; and they are enough for two.
        let mut transaction = device.sync.transaction();
        for n in 0..3 {
            let new = serde_json::json!({"n": n});
            transaction.insert(&device.todo, &new).expect("staged");
        }
        let reads = async {
            for _ in 0..turns {
                yield_now().await;
            }
            pull_another(&device).await;
        };
        let (noted, ()) = future::join(transaction.commit(), reads).await;
        noted.expect("stored");
        device.server.fail(|_, _| Some(Fault::Failure));
        device.push().await;
        device.is_sound().await;
    }
}

/// A store whose queue has no runs, as 0.1 left them, gets them.
pub async fn a_queue_without_runs_gets_them(harness: &dyn Place) {
    let device = with_ten(harness).await;
    let mut batch = WriteBatch::new().delete(&table("__meta"), &id("queue-noted"));
    for run in runs(&device).await {
        batch = batch.delete(&table("__meta"), run.id());
    }
    put_batch(&device, batch).await;
    let next = device.again().await;
    next.is_sound().await;
    next.set("r0", 20).await;
    assert_eq!(next.queue().await.len(), 10);
    assert_eq!(runs(&next).await.len(), 5);
    next.again().await.is_sound().await;
}

async fn pull_another(device: &Device) {
    let other = device.sync.table::<Value>("other").expect("a table name");
    other.pull(Query::all(), "all").await.expect("it is clean");
}

async fn put_batch(device: &Device, batch: WriteBatch) {
    device.store.commit(batch).await.expect("it is written");
}
