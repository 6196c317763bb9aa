//! B1: operations travel together where the server takes that and tells repeats; only a whole answer speaks of them.

use synctable_core::sync::OperationState;
use synctable_core::transport::Rejection;

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;

/// A server that takes many changes in one request, and recognises repeats.
fn server() -> TestServer {
    let server = TestServer::new();
    server.configure(|options| (options.operation_ids, options.batches) = (true, Some(100)));
    server
}

/// A device with the new records `a`, `b` and so on.
async fn with(place: &dyn Place, server: &TestServer, ids: &str) -> Device {
    let device = Device::new(place, server).await;
    for id in ids.split(' ') {
        device.insert(id, 1).await;
    }
    device
}

/// The ids of the changes that were looked at, in order.
fn looked_at(server: &TestServer) -> String {
    let ids = server.changes().into_iter().map(|change| change.id);
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
}

/// How often each of the records took effect.
fn effects(server: &TestServer, ids: &str) -> Vec<u64> {
    let ids = ids.split(' ');
    ids.map(|id| server.effects(&todo(), id)).collect()
}

/// What can go together goes in one request, in the order of the queue, and each record at most once.
pub async fn b1_operations_travel_together_in_order(harness: &dyn Place) {
    let device = with(harness, &server(), "a b c").await;
    assert_eq!(device.push().await.pushed, 3);
    assert_eq!(device.server.batches(), [3]);
    assert_eq!(device.server.made(), 1);
    device.is_in_sync().await;

    device.server.forget_requests();
    device.set("b", 2).await;
    device.insert("d", 1).await;
    device.delete("a").await;
    device.insert("a", 5).await;
    device.set("c", 2).await;
    let report = device.push().await;
    assert_eq!(report.pending, 0, "{report:?}");
    assert_eq!(looked_at(&device.server), "b d a c");
    device.is_in_sync().await;
}

/// An answer that says nothing leaves all of a batch open; it is found out what became of each, and nothing is done twice.
pub async fn b1_a_lost_batch_is_found_out(harness: &dyn Place) {
    for fault in [
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::BadAnswer,
        Fault::Gateway(502),
        Fault::Failure,
    ] {
        let (ids, place) = ("a b c d", harness.another());
        let device = with(&*place, &server(), ids).await;
        device.server.fault(fault);
        assert_eq!(device.push().await.pushed, 4, "{fault:?}");
        assert_eq!(effects(&device.server, ids), [1; 4], "{fault:?}");
        device.is_in_sync().await;

        // With no second try the operations wait, and the next push finds out.
        for id in ids.split(' ') {
            device.set(id, 2).await;
        }
        device.push_is_cut(fault).await;
        let done = [Fault::LostAnswer, Fault::BadAnswer, Fault::Gateway(502)].contains(&fault);
        assert_eq!(device.server.n("d"), Some(if done { 2 } else { 1 }));
        // Somebody else was faster with one of them.
        device.server.set("c", 9);
        device.push().await;
        let conflicts = device.sync.conflicts().await.expect("a queue").len();
        assert_eq!(conflicts, usize::from(!done), "{fault:?}");
        assert_eq!(device.server.n("c"), Some(9), "{fault:?}");
        assert_eq!(effects(&device.server, "a b d"), [2; 3], "{fault:?}");
        device.is_sound().await;
        if done {
            device.pull().await;
            device.is_in_sync().await;
        }
    }
}

/// What may be in by a lost batch is not taken back here alone, and no edit joins it.
pub async fn b1_what_a_lost_batch_holds_may_be_in(harness: &dyn Place) {
    let device = with(harness, &server(), "a b c d").await;
    device.push_is_cut(Fault::LostAnswer).await;
    let sent = ["insert a", "insert b", "insert c", "insert d"];
    let sent = sent.map(|operation| format!("{operation} attempted"));
    assert_eq!(device.queue().await, sent);
    device.delete("c").await;
    device.set("d", 2).await;
    let queue = device.queue().await;
    assert_eq!(queue[..4], sent);
    assert_eq!(queue[4..], ["delete c", "replace d"]);
    device.push().await;
    assert_eq!(device.server.n("c"), None);
    assert_eq!(device.server.n("d"), Some(2));
    assert_eq!(effects(&device.server, "a b c d"), [1, 1, 2, 2]);
    device.is_in_sync().await;
}

/// A batch that is refused as it is makes the next ones smaller, at last single, and no operation counts it as a failure of its own.
pub async fn b1_a_refused_batch_is_halved(harness: &dyn Place) {
    let ids = "a b c d e f g h i j";
    for (taken, batches) in [
        (3, vec![10, 5, 2, 2, 2, 2, 2]),
        (1, vec![10, 5, 2]),
        (0, vec![10, 5, 2]),
    ] {
        let place = harness.another();
        let device = with(&*place, &server(), ids).await;
        device.server.take_batches_up_to(Some(taken));
        assert_eq!(device.push().await.pushed, 10, "{taken}");
        assert_eq!(device.server.batches(), batches);
        assert_eq!(looked_at(&device.server), ids);
        // The size is remembered.
        device.set("a", 2).await;
        device.set("b", 2).await;
        device.push().await;
        let more = device.server.batches().len() - batches.len();
        assert_eq!(more, usize::from(taken == 3));
        device.is_in_sync().await;
    }

    // One that fails is counted once for each push, however often it travelled in vain.
    let place = harness.another();
    let device = with(&*place, &server(), ids).await;
    device.server.take_batches_up_to(Some(1));
    fails_at(&device.server, "c", Fault::Failure);
    for times in 1..3 {
        let report = device.push().await;
        assert_eq!((report.aside, report.rejected), (1, 0), "{times}");
        device.insert(&format!("more{times}"), 1).await;
    }
    device.push().await;
    let parked = device.sync.parked().await.expect("a queue");
    assert!(parked[0].message.starts_with("tried 3 times"), "{parked:?}");
    device.is_sound().await;
}

fn fails_at(server: &TestServer, id: &'static str, fault: Fault) {
    server.fail(move |_, change| (change.id.as_str() == id).then_some(fault));
}

/// What is said of one operation holds for that one alone.
pub async fn b1_each_operation_has_its_own_answer(harness: &dyn Place) {
    let device = with(harness, &server(), "a b c").await;
    device.push().await;
    for id in ["a", "b", "c"] {
        device.set(id, 2).await;
    }
    device.insert("d", 1).await;
    device.insert("e", 1).await;
    device.server.set("b", 7);
    device.server.reject(|_, change| {
        (change.id.as_str() == "c").then(|| Rejection::new(Some(422), "not so"))
    });
    fails_at(&device.server, "d", Fault::Forbidden);
    let report = device.push().await;
    let counts = (
        report.pushed,
        report.conflicts,
        report.rejected,
        report.aside,
    );
    assert_eq!(counts, (2, 1, 1, 1));
    assert_eq!(device.server.batches(), [3, 5]);
    assert_eq!(
        device.queue().await,
        ["replace b conflict", "replace c rejected", "insert d"]
    );
    let parked = device.sync.parked().await.expect("a queue");
    assert!(parked.iter().any(|it| it.message == "not so"), "{parked:?}");
    assert_eq!(effects(&device.server, "a b c d e"), [2, 1, 1, 0, 1]);
    device.is_sound().await;
}

/// What the server did not look at was not tried: it goes with the next request, and is as it was where there is none.
pub async fn b1_what_was_not_looked_at_is_no_attempt(harness: &dyn Place) {
    let ids = "a b c d e f g";
    let device = with(harness, &server(), ids).await;
    device.server.look_at(Some(2));
    assert_eq!(device.push().await.pushed, 7);
    assert_eq!(device.server.batches(), [7, 5, 3]);
    assert_eq!(looked_at(&device.server), ids);
    assert_eq!(effects(&device.server, ids), [1; 7]);
    device.is_in_sync().await;

    let place = harness.another();
    let device = with(&*place, &server(), ids).await;
    device.server.look_at(Some(2));
    device.server.fault_from(1, Fault::Offline);
    let (report, _) = device.push_stops().await;
    assert_eq!((report.pushed, report.pending), (2, 5));
    let pending = device.sync.pending().await.expect("a queue");
    for operation in &pending {
        assert_eq!(operation.state, OperationState::Pending, "{operation:?}");
    }
    device.server.calm();
    device.push().await;
    assert_eq!(effects(&device.server, ids), [1; 7]);
    device.is_in_sync().await;

    // A server that looks at none of a batch gets them one by one.
    let place = harness.another();
    let device = with(&*place, &server(), "a b c").await;
    device.server.look_at(Some(0));
    assert_eq!(device.push().await.pushed, 3);
    device.is_in_sync().await;
}

/// Without operation ids a lost batch could not be found out, and who takes no batches gets none.
pub async fn b1_batches_go_only_to_servers_that_take_them_and_tell_repeats(harness: &dyn Place) {
    for (operation_ids, batches) in [(false, Some(100)), (true, None), (true, Some(1))] {
        let place = harness.another();
        let server = server();
        server.configure(|options| {
            (options.operation_ids, options.batches) = (operation_ids, batches);
        });
        let device = with(&*place, &server, "a b c").await;
        assert_eq!(device.push().await.pushed, 3);
        assert_eq!(device.server.batches(), [0; 0]);
        assert_eq!(device.server.made(), 3);
        device.is_in_sync().await;
    }
}

/// An operation with which no request comes through holds up no other.
pub async fn b1_one_that_stops_each_request_holds_up_no_other(harness: &dyn Place) {
    for fault in [Fault::Status(502), Fault::LostRequest, Fault::Status(500)] {
        let place = harness.another();
        let device = with(&*place, &server(), "a b c d e").await;
        fails_at(&device.server, "c", fault);
        for push in 0..3 {
            device.push().await;
            device.insert(&format!("more{push}"), 1).await;
        }
        device.push().await;
        let ids = "a b d e more0 more1 more2";
        assert_eq!(effects(&device.server, ids), [1; 7], "{fault:?}");
        assert_eq!(device.server.n("c"), None);
        device.is_sound().await;
    }
}

/// Where no batch ever comes through, operations go one by one before long, and the next push tries again.
pub async fn b1_batches_that_always_fail_are_given_up(harness: &dyn Place) {
    let ids: Vec<String> = (0..40).map(|n| format!("r{n:02}")).collect();
    let device = with(harness, &server(), &ids.join(" ")).await;
    device.server.fail_batches();
    assert_eq!(device.push().await.pushed, 40);
    let tried = device.server.batches().len();
    assert!((1..=9).contains(&tried), "{tried} batches");
    assert_eq!(effects(&device.server, &ids.join(" ")), [1; 40]);
    device.server.calm();
    device.set("r00", 2).await;
    device.set("r01", 2).await;
    device.set("r02", 2).await;
    assert_eq!(device.push().await.pushed, 3);
    assert_eq!(device.server.batches().len(), tried + 1);
    device.is_in_sync().await;
}
