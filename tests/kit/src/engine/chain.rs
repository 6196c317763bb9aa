//! Groups follow each other: while one is at the server, the one before it is settled and the next is marked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future;
use serde_json::json;
use synctable_core::query::Query;
use synctable_core::sync::{ConflictPolicy, ContextBuilder};
use tokio::task::yield_now;

use super::device::{Device, todo};
use super::slow::{Dropped, Slow};
use super::{Call, Fault, TestServer};
use crate::Place;
use crate::fixture::Store;

const IDS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// A device with twelve new records, which go out two by two.
async fn device(place: &dyn Place, server: &TestServer) -> Device {
    with(place, server, ConflictPolicy::Park).await
}

async fn with(place: &dyn Place, server: &TestServer, policy: ConflictPolicy) -> Device {
    let store = place.open().await.expect("the store opens");
    over(store, server, policy).await
}

async fn over(store: Store, server: &TestServer, policy: ConflictPolicy) -> Device {
    let settings = |builder: ContextBuilder| builder.push_group(2).conflicts(policy);
    let device = Device::over(store, server, settings).await;
    for id in IDS {
        device.insert(id, 1).await;
    }
    device
}

/// Servers that take changes one by one, and together: how many at once.
fn servers() -> [(TestServer, usize); 2] {
    let together = TestServer::new();
    together.configure(|options| (options.operation_ids, options.batches) = (true, Some(100)));
    [(TestServer::new(), 1), (together, 2)]
}

/// The ids of the changes that were looked at, in order.
fn looked_at(server: &TestServer) -> Vec<String> {
    let changes = server.changes().into_iter();
    changes.map(|change| change.id.to_string()).collect()
}

/// Groups go in the order of the queue, and what waits for an answer about its record waits for that.
pub async fn groups_follow_each_other_in_order(harness: &dyn Place) {
    for (server, _) in servers() {
        let place = harness.another();
        let device = device(&*place, &server).await;
        assert_eq!(device.push().await.pushed, 12);
        assert_eq!(looked_at(&server), IDS);
        device.is_in_sync().await;

        server.forget_requests();
        // A delete and a new insert of one record are two operations, and never on their way at once.
        for id in ["a", "b", "c"] {
            device.delete(id).await;
            device.insert(id, 2).await;
        }
        device.set("d", 2).await;
        assert_eq!(device.push().await.pending, 0);
        device.is_in_sync().await;
    }
}

/// A group that was marked when the push stopped has not gone out: it waits as before, is no attempt, and edits join it.
pub async fn what_was_marked_in_vain_waits_as_before(harness: &dyn Place) {
    for (server, at_once) in servers() {
        let place = harness.another();
        let device = device(&*place, &server).await;
        // The third group is lost, and the fourth is marked by then.
        let (report, _) = device.push_is_cut_at(4 / at_once, Fault::LostRequest).await;
        assert_eq!(report.pushed, 4);
        let queue = device.queue().await;
        let (attempted, waiting) = queue.split_at(at_once);
        assert!(
            attempted.iter().all(|words| words.ends_with("attempted")),
            "{queue:?}"
        );
        assert!(
            waiting.iter().all(|words| !words.contains("attempted")),
            "{queue:?}"
        );
        for operation in &device.sync.pending().await.expect("a queue")[at_once..] {
            assert_eq!(operation.attempts, 0, "{operation:?}");
        }
        let before = queue.len();
        device.set("g", 7).await;
        device.set("h", 8).await;
        assert_eq!(
            device.queue().await.len(),
            before,
            "edits join what was never sent"
        );
        device.push().await;
        assert_eq!(IDS.map(|id| server.effects(&todo(), id)), [1; 12]);
        device.is_in_sync().await;
    }
}

/// What the answer to a group leaves in the queue is looked at again: it is sent once more, or holds back what is behind it.
pub async fn what_stays_is_looked_at_again(harness: &dyn Place) {
    for (policy, conflicts) in [(ConflictPolicy::Park, 2), (ConflictPolicy::ClientWins, 0)] {
        for (server, _) in servers() {
            let place = harness.another();
            let device = with(&*place, &server, policy.clone()).await;
            device.push().await;
            for id in IDS {
                device.set(id, 2).await;
            }
            // Met when the next group is marked already.
            server.set("a", 9);
            server.set("c", 9);
            let report = device.push().await;
            assert_eq!((report.conflicts, report.pending), (conflicts, conflicts));
            assert_eq!(server.n("a"), Some(if conflicts == 0 { 2 } else { 9 }));
            assert_eq!(server.n("l"), Some(2));
            device.is_sound().await;
        }
    }
}

/// A pull that waits comes in between two groups of a long push, not at its end.
pub async fn a_waiting_pull_comes_between(harness: &dyn Place) {
    for (server, _) in servers() {
        let place = harness.another();
        let store = place.open().await.expect("the store opens");
        let slow = Slow::new(store, Dropped::Undone);
        let device = over(Arc::clone(&slow) as _, &server, ConflictPolicy::Park).await;
        let begun = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicBool::new(false));
        let (told, pulls) = (Arc::clone(&begun), Arc::clone(&asked));
        server.meanwhile_at(3, async move {
            told.store(true, Ordering::Relaxed);
            // Until the pull has come as far as it can, however long its store takes: it waits for the push then.
            while !(pulls.load(Ordering::Relaxed) && slow.is_idle()) {
                yield_now().await;
            }
        });
        let pull = async {
            while !begun.load(Ordering::Relaxed) {
                yield_now().await;
            }
            asked.store(true, Ordering::Relaxed);
            let pull = device.todo.pull(Query::all(), "all").without_push();
            pull.await.expect("the pull ends")
        };
        let (report, _) = future::join(device.push(), pull).await;
        assert_eq!(report.pushed, 12);
        let requests = server.requests();
        let is_page = |request: &super::Request| !matches!(request.call, Call::Apply(_));
        let page = requests.iter().position(is_page).expect("it was pulled");
        let behind = requests[page..].iter().filter(|request| !is_page(request));
        assert!(behind.count() >= 2, "the pull waited for the whole push");
        device.pull().await;
        device.is_in_sync().await;
    }
}

/// Groups of large records are small, so that a push does not hold hundreds of them in memory.
pub async fn groups_of_large_records_are_small(harness: &dyn Place) {
    let [_, (server, _)] = servers();
    let device = Device::new(harness, &server).await;
    let text = "x".repeat(100_000);
    for number in 0..120 {
        let new = json!({"id": format!("r{number:03}"), "text": text});
        device.todo.insert(&new).await.expect("the record is new");
    }
    assert_eq!(device.push().await.pushed, 120);
    let batches = server.batches();
    assert_eq!(batches.iter().sum::<usize>(), 120);
    // 4 MiB, once the first group has shown how large they are.
    assert!(
        batches.iter().skip(1).all(|size| *size <= 41),
        "{batches:?}"
    );
    device.is_in_sync().await;
}
