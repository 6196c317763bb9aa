//! Nothing gets stuck: an operation at which the server fails holds up neither the queue nor the pulls.

use synctable_core::Error;
use synctable_core::query::Query;

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;

/// Both kinds of server: one that recognises repeats, and one that does not.
fn servers() -> [TestServer; 2] {
    [TestServer::new(), TestServer::foreign()]
}

fn fails_at(server: &TestServer, id: &'static str, fault: Fault) {
    server.fail(move |_, change| (change.id.as_str() == id).then_some(fault));
}

/// An operation at which the server fails lets the others by, and is parked the third time; once the server can do it, it is retried.
pub async fn failing_operation_is_parked(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::foreign()).await;
    fails_at(&device.server, "bad", Fault::Failure);
    device.insert("bad", 1).await;
    for (push, left) in [(1, 1), (2, 1), (3, 0)] {
        // Where nothing else is done it does not count: the server may be at fault.
        let report = device.push().await;
        assert_eq!((report.pushed, report.aside, report.rejected), (0, 1, 0));
        device.insert(&format!("good{push}"), 1).await;
        let report = device.push().await;
        assert_eq!((report.pushed, report.aside), (1, left), "{push}");
    }
    let report = device.push().await;
    assert_eq!((report.pushed, report.rejected, report.aside), (0, 1, 0));
    assert_eq!(device.queue().await, ["insert bad rejected"]);
    let parked = device.sync.parked().await.expect("a queue");
    assert!(parked[0].message.starts_with("tried 3 times"), "{parked:?}");
    assert_eq!(parked[0].status, Some(500));
    device.is_sound().await;

    device.server.fail(|_, _| None);
    let seq = parked[0].operation.seq;
    device.sync.retry(seq).await.expect("a parked operation");
    assert_eq!(device.push().await.pushed, 1);
    device.is_in_sync().await;
}

/// An operation that the server does, but whose answer can never be read, is found to be done.
pub async fn unreadable_answers_are_done_once(harness: &dyn Place) {
    for server in servers() {
        let place = harness.another();
        let device = Device::new(&*place, &server).await;
        server.set("old", 1);
        device.pull().await;
        for (id, change) in [("new", "insert"), ("old", "set"), ("old", "delete")] {
            fails_at(&server, id, Fault::BadAnswer);
            match change {
                "insert" => device.insert(id, 5).await,
                "set" => device.set(id, 5).await,
                _ => device.todo.delete(id).await.expect("it is there"),
            }
            let before = server.effects(&todo(), id);
            let mut pushes = 0;
            while device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted")
                > 0
            {
                pushes += 1;
                assert!(pushes <= 3, "{change}: {:?}", device.queue().await);
                // The first one does not know, and says so.
                let _ = device.sync.push().await;
            }
            assert_eq!(server.effects(&todo(), id), before + 1, "{change}");
            device.pull().await;
            device.is_in_sync().await;
        }
        device.sync.close().await.expect("it closes");
    }
}

/// While the server fails at everything, nothing is parked: it is not the fault of the operations.
pub async fn an_outage_parks_nothing(harness: &dyn Place) {
    for fault in [Fault::Failure, Fault::BadAnswer] {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::foreign()).await;
        for n in 0..3 {
            device.insert(&format!("r{n}"), 1).await;
        }
        device.server.fault_always(fault);
        for _ in 0..6 {
            let (report, _) = device.push_stops().await;
            assert_eq!(
                (report.rejected, report.conflicts, report.pending),
                (0, 0, 3)
            );
        }
        device.server.calm();
        assert_eq!(device.push().await.pushed, 3);
        device.is_in_sync().await;
        device.sync.close().await.expect("it closes");
    }
}

/// A pull is not held up by what the server fails at, but by what could not be sent for another reason.
pub async fn failing_operations_do_not_hold_up_pulls(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fails_at(&device.server, "bad", Fault::Failure);
    device.insert("bad", 1).await;
    device.insert("good", 1).await;
    device.server.set("theirs", 7);
    let report = device.pull().await;
    assert_eq!((report.pushed, device.n("theirs").await), (1, Some(7)));
    assert_eq!(device.queue().await, ["insert bad attempted"]);
    // Where nothing could be sent, nothing is pulled over it.
    device.set("good", 2).await;
    device.server.fault_always(Fault::LostRequest);
    let stopped = device.todo.pull(Query::all(), "all").await;
    assert!(
        matches!(stopped, Err(Error::PushStopped { .. })),
        "{stopped:?}"
    );
    device.is_sound().await;
}
