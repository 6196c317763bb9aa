//! B3: a transaction that is to take effect as one goes together, and is done together or not at all.

use serde_json::json;
use synctable_core::sync::{ConflictPolicy, Resolution};
use synctable_core::transport::{Change, Rejection};

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;

/// A server that does up to four changes as one.
fn server() -> TestServer {
    let server = TestServer::new();
    server.configure(|options| {
        (options.operation_ids, options.batches, options.units) = (true, Some(100), Some(4));
    });
    server
}

/// Changes the numbers of these records, or inserts them, as one.
async fn together(device: &Device, ids: &str, n: i64) {
    let mut transaction = device.sync.transaction().as_one();
    for id in ids.split(' ') {
        let record = json!({"id": id, "n": n});
        let staged = transaction.upsert(&device.todo, &record);
        staged.expect("it is staged");
    }
    transaction.commit().await.expect("it is stored");
}

/// The numbers that the server holds.
fn at_server(device: &Device, ids: &str) -> Vec<Option<i64>> {
    ids.split(' ').map(|id| device.server.n(id)).collect()
}

/// The sizes of the units that arrived.
fn units(server: &TestServer) -> Vec<usize> {
    let changes = server.changes();
    let units = changes.chunk_by(|one, next| one.unit.is_some() && one.unit == next.unit);
    units.map(<[_]>::len).collect()
}

/// A transaction goes as one, others beside it, in the order of the queue.
pub async fn b3_a_transaction_arrives_as_one(harness: &dyn Place) {
    let device = Device::new(harness, &server()).await;
    device.insert("x", 1).await;
    together(&device, "a b c", 1).await;
    device.insert("y", 1).await;
    assert_eq!(device.push().await.pushed, 5);
    assert_eq!(units(&device.server), [1, 3, 1]);
    device.is_in_sync().await;

    device.server.forget_requests();
    together(&device, "c d", 2).await;
    together(&device, "a e x y", 2).await;
    assert_eq!(device.push().await.pushed, 6);
    assert_eq!(units(&device.server), [2, 4]);
    device.is_in_sync().await;
}

/// The first of a queue goes as one, too, though nobody knows yet what the server takes.
pub async fn b3_the_server_is_asked_before_the_first(harness: &dyn Place) {
    let device = Device::new(harness, &server()).await;
    together(&device, "a b", 1).await;
    assert_eq!(device.push().await.pushed, 2);
    assert_eq!(units(&device.server), [2]);
    device.is_in_sync().await;
}

/// Where one is refused none is done; the others wait for the decision, and nobody else does.
pub async fn b3_a_refusal_keeps_all_back(harness: &dyn Place) {
    let device = Device::new(harness, &server()).await;
    let refuse = |change: &Change| {
        let bad = change.record.as_ref()?.member("n")? == json!(13);
        bad.then(|| Rejection::new(Some(400), "thirteen"))
    };
    device.server.reject(move |_, change| refuse(change));
    together(&device, "a b c", 1).await;
    device.set("b", 13).await;
    device.insert("x", 1).await;
    device.push().await;
    // The edit was made apart, and is refused alone.
    assert_eq!(
        at_server(&device, "a b c x"),
        [Some(1), Some(1), Some(1), Some(1)]
    );
    assert_eq!(device.queue().await, ["replace b rejected"]);

    let mut transaction = device.sync.transaction().as_one();
    for (id, n) in [("d", 1), ("e", 13), ("f", 1)] {
        let staged = transaction.insert(&device.todo, &json!({"id": id, "n": n}));
        staged.expect("it is staged");
    }
    transaction.commit().await.expect("it is stored");
    device.insert("y", 1).await;
    device.push().await;
    assert_eq!(at_server(&device, "d e f y"), [None, None, None, Some(1)]);
    let waits = [
        "replace b rejected",
        "insert d",
        "insert e rejected",
        "insert f",
    ];
    assert_eq!(device.queue().await, waits);
    device.push().await;
    assert_eq!(device.queue().await, waits);
    device.is_sound().await;

    // An edit is another try, for all of them.
    device.server.forget_requests();
    device.set("e", 2).await;
    device.set("b", 2).await;
    device.push().await;
    assert_eq!(
        at_server(&device, "b d e f"),
        [Some(2), Some(1), Some(2), Some(1)]
    );
    assert_eq!(units(&device.server), [1, 3]);
    device.is_in_sync().await;
}

/// The same where another device was faster with one of them; after the decision all go together.
pub async fn b3_a_conflict_keeps_all_back(harness: &dyn Place) {
    let device = Device::new(harness, &server()).await;
    together(&device, "a b c", 1).await;
    device.push().await;
    device.server.set("b", 9);
    together(&device, "a b c", 2).await;
    let seq = device.push_to_conflict().await;
    assert_eq!(at_server(&device, "a b c"), [Some(1), Some(9), Some(1)]);
    device.is_sound().await;
    device.server.forget_requests();
    let decided = device.sync.resolve(seq, Resolution::Client).await;
    decided.expect("it is resolved");
    device.push().await;
    assert_eq!(at_server(&device, "a b c"), [Some(2); 3]);
    assert_eq!(units(&device.server), [3]);
    device.is_in_sync().await;

    // What is given up is left out.
    device.server.set("b", 19);
    together(&device, "a b c", 3).await;
    let seq = device.push_to_conflict().await;
    let decided = device.sync.resolve(seq, Resolution::Server).await;
    decided.expect("it is resolved");
    device.push().await;
    assert_eq!(at_server(&device, "a b c"), [Some(3), Some(19), Some(3)]);
    device.is_in_sync().await;
}

/// A policy decides at once, and the same push sends all of it.
pub async fn b3_a_policy_sends_all_again(harness: &dyn Place) {
    let device = Device::with(harness, &server(), ConflictPolicy::ClientWins).await;
    together(&device, "a b c", 1).await;
    device.push().await;
    device.server.set("b", 9);
    device.server.forget_requests();
    together(&device, "a b c", 2).await;
    assert_eq!(device.push().await.pushed, 3);
    assert_eq!(at_server(&device, "a b c"), [Some(2); 3]);
    // Twice the same three.
    assert_eq!(units(&device.server), [6]);
    device.is_in_sync().await;
}

/// Whatever is lost, all are done or none is, and none twice.
pub async fn b3_a_lost_unit_is_found_out(harness: &dyn Place) {
    for fault in [
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::BadAnswer,
        Fault::Gateway(502),
        Fault::Failure,
        Fault::Offline,
    ] {
        let place = harness.another();
        let device = Device::new(&*place, &server()).await;
        device.insert("x", 1).await;
        device.push().await;
        together(&device, "a b c", 1).await;
        // The first request asks what the server takes.
        device.push_is_cut_at(1, fault).await;
        let done = [Fault::LostAnswer, Fault::BadAnswer, Fault::Gateway(502)].contains(&fault);
        let at = if done { [Some(1); 3] } else { [None; 3] };
        assert_eq!(at_server(&device, "a b c"), at, "{fault:?}");
        device.is_sound().await;
        device.again().await.push().await;
        assert_eq!(at_server(&device, "a b c"), [Some(1); 3], "{fault:?}");
        for id in ["a", "b", "c"] {
            assert_eq!(device.server.effects(&todo(), id), 1, "{fault:?}");
        }
        // None went without the others, though some went again.
        let changes = device.server.changes();
        let alone = changes.iter().filter(|change| change.unit.is_none());
        assert_eq!(alone.count(), 1, "{fault:?}");
        let arrived = if done { vec![3, 3] } else { vec![3] };
        assert_eq!(device.server.batches(), arrived, "{fault:?}");
    }
}

/// A server that fails at one of them has done none; they wait, and go together once it works.
pub async fn b3_a_failure_of_one_keeps_all_back(harness: &dyn Place) {
    let device = Device::new(harness, &server()).await;
    device.insert("x", 1).await;
    device.push().await;
    device
        .server
        .fail(|_, change| (change.id.as_str() == "b").then_some(Fault::Failure));
    together(&device, "a b c", 1).await;
    device.insert("y", 1).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.aside), (1, 3), "{report:?}");
    assert_eq!(at_server(&device, "a b c y"), [None, None, None, Some(1)]);
    device.is_sound().await;
    device.server.calm();
    assert_eq!(device.push().await.pushed, 3);
    device.is_in_sync().await;
}

/// What was queued before is not joined, and later edits stay apart, whichever of them is sent first.
pub async fn b3_others_stay_apart(harness: &dyn Place) {
    let device = Device::new(harness, &server()).await;
    device.insert("a", 1).await;
    together(&device, "a b", 2).await;
    device.set("a", 3).await;
    device.delete("b").await;
    let queue = ["insert a", "replace a", "insert b", "replace a", "delete b"];
    assert_eq!(device.queue().await, queue);
    device.push().await;
    assert_eq!(at_server(&device, "a b"), [Some(3), None]);
    assert_eq!(units(&device.server), [1, 2, 1, 1]);
    device.is_in_sync().await;
}

/// A server that takes whole records only gets all of them again as such, together.
pub async fn b3_whole_records_go_together_too(harness: &dyn Place) {
    let device = Device::new(harness, &server()).await;
    together(&device, "a b", 1).await;
    device.push().await;
    device
        .server
        .configure(|options| options.announces_members = true);
    let mut transaction = device.sync.transaction().as_one();
    for id in ["a", "b"] {
        let staged = transaction.update(&device.todo, id, &json!({"n": 2}));
        staged.expect("it is staged");
    }
    transaction.commit().await.expect("it is stored");
    assert_eq!(device.push().await.pushed, 2);
    assert_eq!(at_server(&device, "a b"), [Some(2); 2]);
    let changes = device.server.changes();
    let in_parts = changes.iter().filter(|change| change.members.is_some());
    assert_eq!(in_parts.count(), 2, "they were tried in parts");
    assert!(changes.iter().all(|change| change.unit.is_some()));
    device.is_in_sync().await;
}

/// Cancelled ones are left out; the others go.
pub async fn b3_cancelled_ones_are_left_out(harness: &dyn Place) {
    let device = Device::new(harness, &server()).await;
    together(&device, "a b c", 1).await;
    let pending = device.sync.pending().await.expect("a queue");
    let cancelled = device.sync.cancel(pending[1].seq).await;
    cancelled.expect("it is cancelled");
    assert_eq!(device.push().await.pushed, 2);
    assert_eq!(units(&device.server), [2]);
    device.is_in_sync().await;
}

/// One by one, in order: where the server knows no units, or takes no so large ones.
pub async fn b3_other_servers_get_them_one_by_one(harness: &dyn Place) {
    for (batches, most) in [(Some(100), None), (None, None), (Some(100), Some(2))] {
        let place = harness.another();
        let server = server();
        server.configure(|options| (options.batches, options.units) = (batches, most));
        let device = Device::new(&*place, &server).await;
        together(&device, "a b c", 1).await;
        assert_eq!(device.push().await.pushed, 3);
        assert!(server.changes().iter().all(|change| change.unit.is_none()));
        device.is_in_sync().await;
    }
}
