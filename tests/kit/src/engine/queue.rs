//! The queue in the hands of the application.

use serde_json::json;
use synctable_core::query::Query;
use synctable_core::sync::{OperationKind, OperationPage, OperationState, Resolution};
use synctable_core::transport::Rejection;
use synctable_core::{Error, RecordId};

use super::device::{Device, number, todo};
use super::typed::assert_holds;
use super::{Fault, TestServer};
use crate::Place;

/// A device that holds `a` = 1 as the server does.
async fn with_a(harness: &dyn Place) -> Device {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    device
}

/// The queue lists operations in their order, with the record that each is based on.
pub async fn pending_operations_are_listed(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.insert("b", 2).await;
    device.set("a", 3).await;
    device.set("b", 4).await;
    let pending = device.sync.pending().await.expect("the queue is read");
    assert_eq!(device.queue().await, ["insert b", "replace a"]);
    assert!(pending[0].seq < pending[1].seq);
    assert_eq!((pending[0].edits, pending[0].base.clone()), (1, None));
    assert_eq!(pending[1].base, device.server.row(&todo(), "a"));
    assert_eq!(
        device
            .sync
            .operation(pending[1].seq)
            .await
            .expect("it waits"),
        pending[1]
    );
    let unknown = device.sync.operation(99).await;
    assert!(matches!(unknown, Err(Error::NoSuchOperation { seq: 99 })));
    device.is_sound().await;
}

async fn page_behind(device: &Device, after: Option<u64>) -> OperationPage {
    let page = device.sync.pending().page(3).after(after).await;
    page.expect("the queue is read")
}

/// The queue is read page by page, parked operations too, while others are sent and queued.
pub async fn a_long_queue_is_read_in_pages(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    for number in 0..7 {
        device.insert(&format!("r{number}"), number).await;
    }
    let first = page_behind(&device, None).await;
    assert_eq!(first.operations.len(), 3);
    // What was read is sent, and others are queued.
    device.push().await;
    for number in 3..7 {
        device.set(&format!("r{number}"), 10).await;
    }
    let second = page_behind(&device, first.next).await;
    device.insert("r8", 8).await;
    let third = page_behind(&device, second.next).await;
    assert_eq!((second.operations.len(), third.next), (3, None));
    let pages = [first.operations, second.operations, third.operations];
    let read: Vec<RecordId> = pages.concat().into_iter().map(|read| read.id).collect();
    let read: Vec<&str> = read.iter().map(RecordId::as_str).collect();
    assert_eq!(read, ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8"]);
    let all = device.sync.pending().page(100).await;
    let all = all.expect("the queue is read");
    assert_eq!((all.operations.len(), all.next), (5, None));
    assert_eq!(
        all.operations,
        device.sync.pending().await.expect("the queue is read")
    );
    device.push().await;
    let empty = device.sync.pending().page(1).await;
    let empty = empty.expect("the queue is read");
    assert_eq!((empty.operations.len(), empty.next), (0, None));
}

/// Cancelling puts the record back as the server had it, or away if it was new.
pub async fn cancel_restores_the_record(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    let restored = device
        .sync
        .cancel(device.only_seq().await)
        .await
        .expect("it waits");
    assert_eq!(restored, device.server.row(&todo(), "a"));
    device.is_in_sync().await;

    device.delete("a").await;
    device
        .sync
        .cancel(device.only_seq().await)
        .await
        .expect("it waits");
    device.is_in_sync().await;

    device.insert("b", 2).await;
    let restored = device
        .sync
        .cancel(device.only_seq().await)
        .await
        .expect("it waits");
    assert_eq!(restored, None);
    device.is_in_sync().await;
    assert!(device.server.changes().is_empty());
}

/// A cancelled operation may have reached the server after all; then the next pull brings its effect.
pub async fn cancel_of_an_attempted_operation(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.insert("b", 2).await;
    device.push_is_cut(Fault::LostAnswer).await;
    assert_eq!(device.queue().await, ["insert b attempted"]);
    device
        .sync
        .cancel(device.only_seq().await)
        .await
        .expect("it waits");
    assert_eq!(device.n("b").await, None);
    device.is_sound().await;
    device.pull().await;
    assert_eq!(device.n("b").await, Some(2));
    device.is_in_sync().await;
}

/// Cancelling an operation takes those behind it on the same record along; cancelling the last one leaves the record as
/// the one before it sent it.
pub async fn cancel_with_a_successor(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    device.push_is_cut(Fault::LostRequest).await;
    device.set("a", 3).await;
    assert_eq!(device.queue().await, ["replace a attempted", "replace a"]);
    let seqs: Vec<u64> = device
        .sync
        .pending()
        .await
        .expect("the queue")
        .iter()
        .map(|o| o.seq)
        .collect();
    device.sync.cancel(seqs[1]).await.expect("it waits");
    assert_eq!(
        (device.n("a").await, device.queue().await.len()),
        (Some(2), 1)
    );
    device.is_sound().await;

    device.delete("a").await;
    assert_eq!(device.queue().await, ["replace a attempted", "delete a"]);
    device.sync.cancel(seqs[0]).await.expect("it waits");
    assert_eq!(device.n("a").await, Some(1));
    device.is_in_sync().await;
}

/// Discarding leaves the record as it is here; a pull of the server's next change takes it over.
pub async fn discard_leaves_the_record(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    device.insert("b", 3).await;
    for operation in device.sync.pending().await.expect("the queue") {
        device.sync.discard(operation.seq).await.expect("it waits");
    }
    assert_eq!(
        (device.n("a").await, device.n("b").await),
        (Some(2), Some(3))
    );
    assert_eq!(device.push().await.pushed, 0);
    device.is_sound().await;
    device.server.set("a", 4);
    device.pull().await;
    assert_eq!(device.n("a").await, Some(4));
}

/// A record whose insert was discarded can still be edited and deleted: the server never heard of it.
pub async fn discarded_inserts_can_be_queued_again(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.insert("b", 1).await;
    device
        .sync
        .discard(device.only_seq().await)
        .await
        .expect("it waits");
    device.set("b", 2).await;
    assert_eq!(device.queue().await, ["insert b"]);
    device.push().await;
    device.is_in_sync().await;
    device.insert("c", 1).await;
    device
        .sync
        .discard(device.only_seq().await)
        .await
        .expect("it waits");
    device.delete("c").await;
    device.is_in_sync().await;
}

/// A refused operation waits until it is tried again, edited or cancelled; numbers that are not in the queue are errors.
pub async fn refused_operations_wait_for_a_decision(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.server.reject(|_, change| {
        let record = change.record.as_ref()?;
        let n = record.member("n")?.as_i64()?;
        (n > 9).then(|| Rejection::new(Some(400), "n is too large"))
    });
    device.set("a", 10).await;
    let report = device.push().await;
    assert_eq!((report.rejected, report.pending, report.pushed), (1, 1, 0));
    let seq = device.only_seq().await;
    let parked = device.sync.parked().await.expect("the queue");
    assert_eq!(
        (parked[0].status, parked[0].message.as_str()),
        (Some(400), "n is too large")
    );
    device.is_sound().await;

    // Not sent again by itself.
    device.server.forget_requests();
    device.push().await;
    assert!(device.server.requests().is_empty());

    device.sync.retry(seq).await.expect("it waits");
    assert_eq!(device.queue().await, ["replace a"]);
    assert_eq!(device.push().await.rejected, 1);
    device.set("a", 9).await;
    assert_eq!(device.queue().await, ["replace a"]);
    assert_eq!(device.push().await.pushed, 1);
    device.is_in_sync().await;
    assert!(matches!(
        device.sync.retry(seq).await,
        Err(Error::NoSuchOperation { .. })
    ));
    assert!(matches!(
        device.sync.cancel(seq).await,
        Err(Error::NoSuchOperation { .. })
    ));
    assert!(matches!(
        device.sync.discard(seq).await,
        Err(Error::NoSuchOperation { .. })
    ));
}

/// A delete of a refused insert leaves nothing; of a refused replace, a delete.
pub async fn refused_operations_can_be_deleted(harness: &dyn Place) {
    let device = with_a(harness).await;
    device
        .server
        .reject(|_, _| Some(Rejection::new(Some(422), "not today")));
    device.set("a", 2).await;
    device.insert("b", 2).await;
    assert_eq!(device.push().await.rejected, 2);
    device.delete("b").await;
    assert_eq!(device.queue().await, ["replace a rejected"]);
    device.delete("a").await;
    assert_eq!(device.queue().await, ["delete a"]);
    device.is_sound().await;
    device.server.calm();
    device.push().await;
    device.is_in_sync().await;
}

/// Changes of one record join: the queue holds the one operation that has the same effect.
pub async fn changes_of_one_record_join(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.insert("b", 1).await;
    device.set("b", 2).await;
    assert_eq!(device.queue().await, ["insert b"]);
    device.delete("b").await;
    assert_eq!(device.queue().await, [""; 0]);
    device.set("a", 2).await;
    device.set("a", 3).await;
    device.insert("c", 1).await;
    device.delete("a").await;
    assert_eq!(device.queue().await, ["delete a", "insert c"]);
    device.insert("a", 4).await;
    assert_eq!(device.queue().await, ["replace a", "insert c"]);
    let pending = device.sync.pending().await.expect("the queue");
    assert_eq!(pending[0].base, device.server.row(&todo(), "a"));
    device.push().await;
    assert_eq!(
        (device.server.n("a"), device.server.effects(&todo(), "a")),
        (Some(4), 1)
    );
    device.is_in_sync().await;
}

/// Deleting and inserting again replaces the record whole: members of the old one do not shine through.
pub async fn delete_then_insert_replaces(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.delete("a").await;
    let fresh = json!({"id": "a", "m": 5});
    device.todo.insert(&fresh).await.expect("it was deleted");
    let pending = device.sync.pending().await.expect("the queue");
    assert_eq!(pending[0].kind, OperationKind::Replace);
    device.push().await;
    let row = device.server.row(&todo(), "a").expect("it is there");
    assert_holds(&device, &row, r#"{"m":5}"#);
    assert_eq!(row.member("n"), None);
    device.is_in_sync().await;
    // The new record is still the one that the server has.
    device.delete("a").await;
    device.todo.insert(&fresh).await.expect("it was deleted");
    device
        .sync
        .discard(device.only_seq().await)
        .await
        .expect("it waits");
    device.set("a", 6).await;
    assert_eq!(device.queue().await, ["replace a"]);
    device.push().await;
    device.is_in_sync().await;
}

/// An insert that was sent may be at the server, so deleting the record leaves a delete behind it, and both are
/// found out, whether the insert had its effect or not.
pub async fn delete_of_a_sent_insert_reaches_the_server(harness: &dyn Place) {
    let device = with_a(harness).await;
    for (id, fault) in [("b", Fault::LostAnswer), ("c", Fault::LostRequest)] {
        device.insert(id, 1).await;
        device.push_is_cut(fault).await;
        device.delete(id).await;
        assert_eq!(
            device.queue().await,
            [format!("insert {id} attempted"), format!("delete {id}")]
        );
        device.is_sound().await;
        device.push().await;
        device.is_in_sync().await;
        assert_eq!(device.server.n(id), None);
    }
    let pending = device.sync.pending().await.expect("the queue");
    assert!(pending.iter().all(|o| o.state == OperationState::Pending));
    let fetched = device.todo.pull_full(Query::all()).await.expect("a pull");
    assert_eq!(fetched.added, 0);
}

/// An edit behind an operation that is at the server is discarded, and that operation comes back unsent: what is sent then is what it was
/// about, not what was discarded.
pub async fn discarded_edits_are_not_sent_by_what_was_before_them(harness: &dyn Place) {
    for again in ["as it is", "in conflict", "edited"] {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::new()).await;
        device.insert("a", 1).await;
        device.insert("b", 1).await;
        let app = device.clone();
        device.server.meanwhile(async move {
            // Both are marked, and the second has not been sent.
            app.set("b", 2).await;
            let pending = app.sync.pending().await.expect("a queue");
            let edit = pending.last().expect("it is queued").seq;
            app.sync.discard(edit).await.expect("it is there");
        });
        device.server.cut_at(0, Fault::LostAnswer);
        device.push_stops().await;
        device.server.reconnect();
        assert_eq!(device.n("b").await, Some(2), "the record stays as it is");
        let expected = match again {
            "in conflict" => {
                device.server.set("b", 9);
                assert_eq!(device.push().await.conflicts, 1);
                let parked = device.sync.conflicts().await.expect("a queue").remove(0);
                let local = parked.conflict.local.as_ref().map(number);
                assert_eq!(local, Some(1));
                let client = Resolution::Client;
                let resolved = device.sync.resolve_parked(&parked, client).await;
                resolved.expect("it is in conflict");
                1
            }
            "edited" => {
                device.set("b", 3).await;
                3
            }
            _ => 1,
        };
        device.push().await;
        assert_eq!(device.server.n("b"), Some(expected), "{again}");
        device.pull().await;
        device.is_in_sync().await;
        device.sync.close().await.expect("it closes");
    }
}
