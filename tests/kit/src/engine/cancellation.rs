//! Futures that are dropped at every point where they wait: what is left is what a crash could have left, and all goes on.

use std::future::IntoFuture;
use std::sync::Arc;

use serde_json::json;
use synctable_core::Error;
use synctable_core::query::Query;
use synctable_core::sync::{CancelToken, Purge, Resolution};

use super::TestServer;
use super::device::{Device, todo};
use super::slow::{Dropped, Slow};
use crate::Place;
use crate::cancel::polled;

/// A future that needs more polls than this is not followed further.
const MOST_POLLS: usize = 400;

/// A device whose store takes its time.
async fn slow_device(place: &dyn Place, dropped: Dropped) -> (Device, Arc<Slow>) {
    let store = Slow::new(place.open().await.expect("the store opens"), dropped);
    let device = Device::over(Arc::clone(&store) as _, &TestServer::new(), |b| b).await;
    (device, store)
}

/// Drops the call that `change` makes on record `r<n>` at its n-th poll, for every n and every kind of store, and then
/// edits the record: record and operation are both changed or both not, and what is pushed in the end is the edit.
///
/// `operation` is what the queue holds if the change was made; without a `base` the record is new.
async fn dropped_change(
    harness: &dyn Place,
    base: Option<i64>,
    operation: &str,
    changed: Option<i64>,
    change: impl AsyncFn(&Device, &str),
) {
    for dropped in Dropped::ALL {
        let place = harness.another();
        let (device, store) = slow_device(&*place, dropped).await;
        for polls in 0..MOST_POLLS {
            let id = format!("r{polls}");
            if let Some(n) = base {
                device.server.set(&id, n);
                device.pull().await;
            }
            let finished = polled(change(&device, &id), polls).await.is_some();
            store.settle().await;
            for landed in [false, true] {
                let queue = device.queue().await;
                let made = queue == [format!("{operation} {id}")];
                assert!(
                    made || queue.is_empty() && !finished,
                    "{dropped:?} {polls}: {queue:?}"
                );
                let expected = if made { changed } else { base };
                assert_eq!(device.n(&id).await, expected, "{dropped:?} {polls}");
                if landed || polls % 2 == 0 {
                    break;
                }
                store.land().await;
            }
            let edit = json!({"id": id, "n": 100});
            device
                .todo
                .upsert(&edit)
                .await
                .expect("an upsert always fits");
            let queue = device.queue().await;
            assert_eq!(queue.len(), 1, "{dropped:?} {polls}: {queue:?}");
            store.land().await;
            device.push().await;
            device.is_in_sync().await;
            assert_eq!(device.server.effects(&todo(), &id), 1);
            if finished {
                break;
            }
            assert!(polls + 1 < MOST_POLLS, "the call never ends");
        }
    }
}

/// An insert that is dropped is stored with its operation, or not at all, and the record can be edited as usual.
pub async fn dropped_insert_is_whole_or_absent(harness: &dyn Place) {
    dropped_change(harness, None, "insert", Some(5), async |device, id| {
        device.insert(id, 5).await;
    })
    .await;
}

/// As before with an update.
pub async fn dropped_update_is_whole_or_absent(harness: &dyn Place) {
    dropped_change(harness, Some(1), "replace", Some(5), async |device, id| {
        device.set(id, 5).await;
    })
    .await;
}

/// As before with a delete.
pub async fn dropped_delete_is_whole_or_absent(harness: &dyn Place) {
    dropped_change(harness, Some(1), "delete", None, async |device, id| {
        device.delete(id).await;
    })
    .await;
}

/// A transaction over several records that is dropped is stored whole or not at all.
pub async fn dropped_transaction_is_whole_or_absent(harness: &dyn Place) {
    for dropped in Dropped::ALL {
        let place = harness.another();
        let (device, store) = slow_device(&*place, dropped).await;
        for polls in 0..MOST_POLLS {
            let ids = ["x", "y", "z"].map(|name| format!("{name}{polls}"));
            let mut transaction = device.sync.transaction();
            for id in &ids {
                let new = json!({"id": id, "n": 1});
                transaction.insert(&device.todo, &new).expect("staged");
            }
            let finished = polled(transaction.commit(), polls).await.is_some();
            store.land().await;
            let mut found = 0;
            for id in &ids {
                found += usize::from(device.n(id).await.is_some());
            }
            assert!(
                found == 3 || found == 0 && !finished,
                "{dropped:?} {polls}: {found}"
            );
            assert_eq!(device.queue().await.len(), found);
            device.push().await;
            device.is_in_sync().await;
            if finished {
                break;
            }
        }
    }
}

/// An edit that was dropped may still be stored later, while a pull brings the record: both the edit and its operation
/// are kept, or none.
pub async fn edit_whose_commit_lands_late_is_not_overwritten(harness: &dyn Place) {
    for dropped in Dropped::ALL {
        let place = harness.another();
        let (device, store) = slow_device(&*place, dropped).await;
        for polls in 0..MOST_POLLS {
            let id = format!("r{polls}");
            device.server.set(&id, 1);
            device.pull().await;
            let finished = polled(device.set(&id, 5), polls).await.is_some();
            store.settle().await;
            device.server.set(&id, 9);
            device.pull_only().await;
            store.land().await;
            let edited = device.queue().await == [format!("replace {id}")];
            let expected = if edited { 5 } else { 9 };
            assert_eq!(device.n(&id).await, Some(expected), "{dropped:?} {polls}");
            device.push().await;
            device.is_sound().await;
            for conflict in device.sync.conflicts().await.expect("the queue") {
                let seq = conflict.operation.seq;
                device
                    .sync
                    .resolve(seq, Resolution::Server)
                    .await
                    .expect("resolved");
            }
            device.is_in_sync().await;
            if finished {
                break;
            }
        }
    }
}

/// Inserts, replaces and deletes a record each and drops the push at its n-th poll, for every n; `next` is the device
/// that goes on from there.
async fn dropped_push(harness: &dyn Place, next: impl AsyncFn(Device) -> Device) {
    for dropped in Dropped::ALL {
        let place = harness.another();
        let (mut device, store) = slow_device(&*place, dropped).await;
        for polls in 0..MOST_POLLS {
            let ids = ["insert", "replace", "delete"].map(|kind| format!("{kind}{polls}"));
            device.server.set(&ids[1], 1);
            device.server.set(&ids[2], 1);
            device.pull().await;
            device.insert(&ids[0], 2).await;
            device.set(&ids[1], 2).await;
            device.delete(&ids[2]).await;
            let finished = polled(device.sync.push().into_future(), polls)
                .await
                .is_some();
            store.settle().await;
            device = next(device).await;
            let report = device.push().await;
            assert_eq!(
                (report.conflicts, report.pending),
                (0, 0),
                "{dropped:?} {polls}"
            );
            store.land().await;
            device.is_in_sync().await;
            for id in &ids {
                assert_eq!(device.server.effects(&todo(), id), 1, "{dropped:?} {id}");
            }
            if finished {
                break;
            }
            assert!(polls + 1 < MOST_POLLS, "the push never ends");
        }
    }
}

/// A push that is dropped anywhere, and another one: every operation has one effect, and both sides are equal.
pub async fn dropped_push_then_another(harness: &dyn Place) {
    dropped_push(harness, async |device| device).await;
}

/// As before with an edit of each record in between, and a context that was opened anew as after a crash.
pub async fn dropped_push_then_a_crash(harness: &dyn Place) {
    dropped_push(harness, async |device| {
        let next = device.again().await;
        next.is_sound().await;
        next
    })
    .await;
}

/// A pull that is dropped anywhere, and another one: both sides are equal, and the edit that waited still waits.
pub async fn dropped_pull_then_another(harness: &dyn Place) {
    for dropped in Dropped::ALL {
        let place = harness.another();
        let (device, store) = slow_device(&*place, dropped).await;
        device.server.configure(|options| options.page = 2);
        for number in 0..6 {
            device.server.set(&format!("r{number}"), 0);
        }
        device.pull().await;
        for polls in 0..MOST_POLLS {
            let n = 10 + i64::try_from(polls).expect("a small number");
            device.server.set("r0", n);
            device.server.set(&format!("new{polls}"), n);
            device.server.drop_row("r2");
            device.server.set("r3", n);
            device.server.set("r2", n);
            device.server.set("r1", n);
            device.set("r5", n).await;
            let pull = device.todo.pull(Query::all(), "all").without_push();
            let finished = polled(pull.into_future(), polls).await.is_some();
            store.settle().await;
            if polls % 2 == 0 {
                store.land().await;
            }
            device.again().await.is_sound().await;
            device.pull_only().await;
            store.land().await;
            assert_eq!(device.queue().await, ["replace r5"]);
            device.push().await;
            device.is_in_sync().await;
            if finished {
                break;
            }
            assert!(polls + 1 < MOST_POLLS, "the pull never ends");
        }
    }
}

/// A cancel, a discard, a retry or a resolution that is dropped anywhere is done or not done, and can be asked for again.
pub async fn dropped_decisions_are_whole_or_absent(harness: &dyn Place) {
    for dropped in Dropped::ALL {
        let place = harness.another();
        let (device, store) = slow_device(&*place, dropped).await;
        for polls in 0..MOST_POLLS {
            let ids = ["cancel", "client", "server"].map(|kind| format!("{kind}{polls}"));
            for id in &ids {
                device.server.set(id, 1);
            }
            device.pull().await;
            for id in &ids {
                device.set(id, 2).await;
                device.server.set(id, 9);
            }
            assert_eq!(device.push().await.conflicts, 3);
            let pending = device.sync.pending().await.expect("the queue");
            let sync = &device.sync;
            let seqs: Vec<u64> = pending.iter().map(|operation| operation.seq).collect();
            let finished = [
                polled(sync.cancel(seqs[0]), polls).await.is_some(),
                polled(sync.resolve(seqs[1], Resolution::Client), polls)
                    .await
                    .is_some(),
                polled(sync.resolve(seqs[2], Resolution::Server), polls)
                    .await
                    .is_some(),
            ];
            store.land().await;
            device.again().await.is_sound().await;
            device.push().await;
            let choices = [Resolution::Server, Resolution::Client, Resolution::Server];
            for (seq, choice) in seqs.iter().zip(choices) {
                match sync.resolve(*seq, choice).await {
                    Ok(_) | Err(Error::NoSuchOperation { .. }) => {}
                    Err(error) => panic!("{dropped:?} {polls}: {error}"),
                }
            }
            device.push().await;
            device.pull().await;
            assert_eq!(device.server.n(&ids[1]), Some(2));
            // A cancelled operation shows its base until the server changes the record again.
            device.todo.pull_full(Query::all()).await.expect("a pull");
            device.is_in_sync().await;
            if finished == [true; 3] {
                break;
            }
        }
    }
}

/// A purge that is dropped anywhere is done or not done.
pub async fn dropped_purge_is_whole_or_absent(harness: &dyn Place) {
    for dropped in Dropped::ALL {
        let place = harness.another();
        let (device, store) = slow_device(&*place, dropped).await;
        for polls in 0..MOST_POLLS {
            for number in 0..3 {
                device.server.set(&format!("r{number}"), number);
            }
            device.pull().await;
            device.set("r1", 100).await;
            let purge = device.todo.purge(Purge::all().discard_pending());
            let finished = polled(purge, polls).await.is_some();
            store.land().await;
            let state = (device.rows().await.len(), device.queue().await.len());
            assert!(
                state == (0, 0) || state == (3, 1) && !finished,
                "{dropped:?} {polls}: {state:?}"
            );
            device.again().await.is_sound().await;
            device.push().await;
            device.pull().await;
            device.is_in_sync().await;
            if finished {
                break;
            }
        }
    }
}

/// A push that is cancelled by its token stops between any two requests; what it was about is found out by the next one.
pub async fn cancelled_push_goes_on(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    for place in 0..5usize {
        for number in 0..5 {
            device.insert(&format!("r{place}{number}"), number).await;
        }
        let token = CancelToken::new();
        let other = token.clone();
        device
            .server
            .meanwhile_at(place, async move { other.cancel() });
        let stopped = device.sync.push().cancel(&token).await;
        let Err(Error::PushStopped { report, source }) = stopped else {
            panic!("the push is not stopped: {stopped:?}");
        };
        assert!(matches!(*source, Error::Cancelled), "{source:?}");
        assert_eq!(
            (report.pushed, report.pending),
            (place as u64, 5 - place as u64)
        );
        device.is_sound().await;
        device.push().await;
        device.is_in_sync().await;
        for number in 0..5 {
            assert_eq!(
                device.server.effects(&todo(), &format!("r{place}{number}")),
                1
            );
        }
    }
}
