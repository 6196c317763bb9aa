//! Commits that were dropped and come late, when the queue was read again twice already, and contexts that share a store.

use std::future::{IntoFuture, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;

use futures_util::FutureExt;
use synctable_core::query::Query;
use synctable_core::sync::Purge;
use synctable_core::threads::BoxFuture;

use super::TestServer;
use super::device::{Device, todo};
use super::slow::{Dropped, Slow};
use crate::Place;
use crate::cancel::polled;
use crate::threads::InABox;

/// A future that needs more polls than this is not followed further.
const MOST_POLLS: usize = 400;

/// Two contexts of one process over one store, the first of which loses commits that the store does later.
async fn two(place: &dyn Place) -> (Device, Device, Arc<Slow>) {
    let store = place.open().await.expect("the store opens");
    let slow = Slow::new(Arc::clone(&store), Dropped::Held);
    let server = TestServer::new();
    let one = Device::over(Arc::clone(&slow) as _, &server, |builder| builder).await;
    let other = Device::over(store, &server, |builder| builder).await;
    (one, other, slow)
}

/// Both see what the server has, and nothing is left.
async fn end_well(devices: [&Device; 2]) {
    for device in devices {
        device.push().await;
        device.pull().await;
    }
    for device in devices {
        device.is_in_sync().await;
    }
}

/// History 24. Two contexts over one store, whatever it says about processes; a batch of the first comes after two others have read
/// the queue again: nothing is lost or doubled.
pub async fn history_24_a_late_batch_of_two_contexts(harness: &dyn Place) {
    let place = harness.another();
    let (one, other, slow) = two(&*place).await;
    for polls in 0..MOST_POLLS {
        let [dropped, mine, theirs] = ["d", "m", "t"].map(|name| format!("{name}{polls}"));
        let finished = polled(one.insert(&dropped, 1), polls).await.is_some();
        other.insert(&theirs, 1).await;
        one.insert(&mine, 1).await;
        if polls % 3 == 0 {
            other.push().await;
        }
        let before = one.n(&dropped).await;
        slow.land().await;
        assert_eq!(one.n(&dropped).await, before, "{polls}: it came late");
        assert!(!finished || before.is_some(), "{polls}: lost");
        for device in [&one, &other] {
            device.set(&mine, 2).await;
            device.push().await;
        }
        end_well([&one, &other]).await;
        let effects = [&dropped, &theirs].map(|id| one.server.effects(&todo(), id));
        assert_eq!(effects, [u64::from(before.is_some()), 1], "{polls}");
        assert_eq!(one.server.n(&mine), Some(2), "{polls}");
        if finished {
            return;
        }
    }
    panic!("the insert never ends");
}

/// Another context writes all the time, faster than a page can be planned: the page is stored all the same.
pub async fn busy_contexts_do_not_starve_a_pull(harness: &dyn Place) {
    let (one, other, slow) = two(harness).await;
    for n in 0..100 {
        one.server.set(&format!("r{n:02}"), n);
    }
    let writes = Arc::new(AtomicI64::new(0));
    let (app, written) = (other.clone(), Arc::clone(&writes));
    slow.meanwhile(move || {
        let (app, n) = (app.clone(), written.fetch_add(1, Ordering::SeqCst));
        async move { app.insert(&format!("w{n}"), n).await }.in_a_box()
    });
    assert_eq!(one.pull_only().await.added, 100);
    slow.calm();
    let writes = writes.load(Ordering::SeqCst);
    assert!(writes > 0, "the other context was busy");
    let rows = i64::try_from(other.rows().await.len());
    assert_eq!(rows, Ok(100 + writes));
    end_well([&one, &other]).await;
}

/// Another context pulls newer rows while a page waits to be stored: the page is asked for again. So it is where an audit heals.
pub async fn pages_older_than_those_of_another_context(harness: &dyn Place) {
    for audits in [false, true] {
        let place = harness.another();
        let (one, other, slow) = two(&*place).await;
        for n in 0..100 {
            one.server.set(&format!("r{n:02}"), n);
        }
        let (app, server) = (other.clone(), one.server.clone());
        let times = AtomicI64::new(0);
        slow.meanwhile(move || {
            let (app, server) = (app.clone(), server.clone());
            let first = times.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    server.set("r00", -1);
                    server.drop_row("r01");
                    app.pull_only().await;
                }
            }
            .in_a_box()
        });
        if audits {
            one.todo.audit(Query::all()).await.expect("it ends");
        } else {
            one.todo
                .pull_full(Query::all())
                .without_push()
                .await
                .expect("it ends");
        }
        slow.calm();
        assert_eq!((one.n("r00").await, one.n("r01").await), (Some(-1), None));
        end_well([&one, &other]).await;
        one.sync.close().await.expect("it closes");
    }
}

/// So does a push, whose marks and answers take as long to plan as the group has operations.
pub async fn busy_contexts_do_not_starve_a_push(harness: &dyn Place) {
    let (one, other, slow) = two(harness).await;
    for n in 0..100 {
        one.insert(&format!("r{n:02}"), n).await;
    }
    let writes = Arc::new(AtomicI64::new(0));
    let (app, written) = (other.clone(), Arc::clone(&writes));
    slow.meanwhile(move || {
        let (app, n) = (app.clone(), written.fetch_add(1, Ordering::SeqCst));
        async move { app.insert(&format!("w{n}"), n).await }.in_a_box()
    });
    let report = one.push().await;
    slow.calm();
    assert_eq!((report.pushed, report.aside), (100, 0));
    assert!(
        writes.load(Ordering::SeqCst) > 0,
        "the other context was busy"
    );
    end_well([&one, &other]).await;
}

/// A page whose commit was dropped and comes late does not undo an edit that was made meanwhile.
pub async fn late_pages_undo_no_edit(harness: &dyn Place) {
    let place = harness.another();
    let (one, other, slow) = two(&*place).await;
    for polls in 0..MOST_POLLS {
        let id = format!("r{polls}");
        one.server.set(&id, 1);
        one.pull().await;
        one.server.set(&id, 2);
        let pull = one.todo.pull(Query::all(), "all").without_push();
        let finished = polled(pull.into_future(), polls).await.is_some();
        let was = one.n(&id).await;
        one.set(&id, 5).await;
        slow.land().await;
        assert_eq!(one.n(&id).await, Some(5), "{polls}: the edit is undone");
        if was == Some(1) {
            // It was made on the older row: a conflict, as always.
            one.push().await;
            for parked in one.sync.conflicts().await.expect("a queue") {
                let client = synctable_core::sync::Resolution::Client;
                let seq = parked.operation.seq;
                one.sync.resolve(seq, client).await.expect("a conflict");
            }
        }
        end_well([&one, &other]).await;
        assert_eq!(one.server.n(&id), Some(5), "{polls}");
        if finished {
            return;
        }
    }
    panic!("the pull never ends");
}

/// A call that takes the queue from another context is dropped before it has read all of it: the next one reads it again, and joins what
/// the other context has queued.
pub async fn queues_that_were_half_read_are_read_again(harness: &dyn Place) {
    let place = harness.another();
    let (one, other, slow) = two(&*place).await;
    for polls in 0..MOST_POLLS {
        let id = format!("r{polls}");
        one.server.set(&id, 1);
        one.pull().await;
        one.insert(&format!("mine{polls}"), 1).await;
        other.set(&id, 2).await;
        let another = format!("x{polls}");
        let finished = polled(one.insert(&another, 1), polls).await.is_some();
        slow.land().await;
        one.set(&id, 3).await;
        let queued = one.again().await.queue().await;
        let of_row = queued.iter().filter(|words| words.ends_with(&id));
        assert_eq!(of_row.count(), 1, "{polls}: {queued:?}");
        end_well([&one, &other]).await;
        assert_eq!(one.server.n(&id), Some(3), "{polls}");
        if finished {
            return;
        }
    }
    panic!("the insert never ends");
}

/// A context pulls what became of a record before the push of another one has stored its answer: the newer of the two stays.
pub async fn answers_older_than_a_page_of_another_context(harness: &dyn Place) {
    let (one, other, _) = two(harness).await;
    let server = &one.server;
    for (n, id) in ["new", "edited", "gone"].into_iter().enumerate() {
        if n > 0 {
            server.set(id, 1);
            one.pull().await;
        }
        match id {
            "new" => other.insert(id, 2).await,
            "edited" => other.set(id, 2).await,
            _ => other.delete(id).await,
        }
        let (app, others) = (one.clone(), server.clone());
        server.meanwhile(async move {
            match id {
                "new" => others.drop_row(id),
                _ => others.set(id, 3),
            }
            app.pull_only().await;
        });
        other.push().await;
        one.pull().await;
        assert_eq!(server.n(id), (n > 0).then_some(3));
        one.is_in_sync().await;
    }
}

/// A delete meets an edit at the server; before that is stored here, another context sees that the record was deleted there, too.
pub async fn a_delete_that_another_context_sees_done(harness: &dyn Place) {
    let (one, other, _) = two(harness).await;
    let server = &one.server;
    server.set("a", 1);
    one.pull().await;
    other.delete("a").await;
    server.set("a", 2);
    let (app, others) = (one.clone(), server.clone());
    server.meanwhile(async move {
        others.drop_row("a");
        app.pull_only().await;
    });
    other.push().await;
    other.is_in_sync().await;
}

/// What another context has queued can be retried and cancelled here.
pub async fn operations_of_another_context_can_be_cancelled(harness: &dyn Place) {
    let (one, other, _) = two(harness).await;
    one.insert("mine", 1).await;
    other.insert("theirs", 1).await;
    let pending = one.sync.pending().await.expect("the queue is read");
    for operation in pending {
        let seq = operation.seq;
        one.sync.retry(seq).await.expect("it is queued");
        one.sync.cancel(seq).await.expect("it is queued");
    }
    assert_eq!(other.queue().await, [""; 0]);
    end_well([&one, &other]).await;
}

/// A push that meets an edit on the way to its record, which is dropped and done late: before, after or between any two of its reads.
/// It sees all of the edit or nothing.
pub async fn pushes_behind_a_dropped_edit_see_all_of_it(harness: &dyn Place) {
    let place = harness.another();
    let (one, other, slow) = two(&*place).await;
    for [first, ahead, behind] in points(24) {
        let id = format!("r{first}-{ahead}-{behind}");
        one.server.set(&id, 1);
        other.pull().await;
        one.set(&id, 2).await;
        let mut push = one.sync.push().into_future();
        let mut pushed = turns(&mut push, first).await;
        let mut edit = one.set(&id, 5).in_a_box();
        let mut done = false;
        for _ in 0..ahead {
            done = done || turns(&mut edit, 1).await;
            pushed = pushed || turns(&mut push, 1).await;
        }
        drop(edit);
        pushed = pushed || turns(&mut push, behind).await;
        slow.land().await;
        let seen = one.n(&id).await;
        if !pushed {
            push.await.expect("the push ends");
        }
        assert!(seen == Some(5) || !done, "{id}: lost");
        assert_eq!(one.n(&id).await, seen, "{id}: undone");
        one.again().await.is_sound().await;
        end_well([&one, &other]).await;
        assert_eq!(one.server.n(&id), seen, "{id}");
    }
}

/// As before with a purge of the table.
pub async fn purges_behind_a_dropped_insert_see_all_of_it(harness: &dyn Place) {
    let place = harness.another();
    let (one, other, slow) = two(&*place).await;
    for [first, ahead, behind] in points(8) {
        let id = format!("r{first}-{ahead}-{behind}");
        let mut purge = one.todo.purge(Purge::all().discard_pending()).in_a_box();
        let mut purged = turns(&mut purge, first).await;
        let mut insert = one.insert(&id, 5).in_a_box();
        let mut done = false;
        for _ in 0..ahead {
            done = done || turns(&mut insert, 1).await;
            purged = purged || turns(&mut purge, 1).await;
        }
        drop(insert);
        purged = purged || turns(&mut purge, behind).await;
        slow.land().await;
        if !purged {
            purge.await.expect("the purge ends");
        }
        one.again().await.is_sound().await;
        end_well([&one, &other]).await;
    }
}

/// Polls before the other call begins, of both together, and after it is dropped.
fn points(first: usize) -> impl Iterator<Item = [usize; 3]> {
    let with = |first| [4, 7, 9].map(|ahead| [0, 2, 4].map(|behind| [first, ahead, behind]));
    (0..first).flat_map(with).flatten()
}

/// Polls `future` up to `times` times without dropping it; true once it is done.
async fn turns<T>(future: &mut BoxFuture<'_, T>, times: usize) -> bool {
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        if future.poll_unpin(context).is_ready() {
            return Poll::Ready(true);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
