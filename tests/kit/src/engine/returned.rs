//! Records that come back after they were deleted, and answers that are not to be believed.

use serde_json::json;
use synctable_core::sync::{ConflictPolicy, OperationState, Resolution};
use synctable_core::{Error, Record};

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::record;

/// A favourite was deleted last week, by this device or another one, and is chosen again; its request, or the first answer, is lost
/// in any way: it arrives.
pub async fn history_6_a_record_that_comes_back(harness: &dyn Place) {
    let faults = [
        None,
        Some(Fault::LostRequest),
        Some(Fault::LostAnswer),
        Some(Fault::Gateway(503)),
    ];
    for by_us in [true, false] {
        for (number, fault) in faults.into_iter().enumerate() {
            for ahead in 0..3 {
                let place = harness.another();
                let device = Device::new(&*place, &TestServer::new()).await;
                let id = format!("f{number}");
                device.server.set(&id, 1);
                device.pull().await;
                if by_us {
                    device.delete(&id).await;
                    device.push().await;
                } else {
                    device.server.drop_row(&id);
                    device.pull().await;
                }
                device.insert(&id, 2).await;
                if let Some(fault) = fault {
                    device.server.cut_at(ahead, fault);
                    let _ = device.sync.push().await;
                    device.server.calm();
                }
                device.push().await;
                device.push().await;
                assert_eq!(device.server.n(&id), Some(2), "{by_us} {fault:?} {ahead}");
                device.is_in_sync().await;
                device.sync.close().await.expect("it closes");
            }
        }
    }
}

/// The same where the server shows tombstones to nobody who asks for a record, only in the answer to an insert.
pub async fn a_record_comes_back_where_tombstones_are_hidden(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device
        .server
        .configure(|options| options.shows_tombstones = false);
    device.server.set("f", 1);
    device.pull().await;
    device.delete("f").await;
    device.push().await;
    device.insert("f", 2).await;
    assert_eq!(device.push().await.pushed, 1);
    device.is_in_sync().await;
    // Deleted and made again between two pushes.
    device.delete("f").await;
    device.insert("f", 3).await;
    device.server.drop_row("f");
    device.push().await;
    device.push().await;
    assert_eq!(device.server.n("f"), Some(3));
    device.is_in_sync().await;
}

/// The answer to an insert was lost, and somebody deleted the record: it goes here, too; if it was edited since, one is asked.
pub async fn what_others_deleted_after_our_insert_stays_deleted(harness: &dyn Place) {
    for edited in [false, true] {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::new()).await;
        device.insert_generated("title", "tea").await;
        let id = device.only_operation().await.id;
        device.push_is_cut(Fault::LostAnswer).await;
        device.server.drop_row(id.as_str());
        if edited {
            device
                .todo
                .update(&id, &json!({"title": "tea!"}))
                .await
                .expect("there");
        }
        device.push().await;
        let conflicts = device.sync.conflicts().await.expect("a queue");
        assert_eq!(conflicts.len(), usize::from(edited));
        assert!(device.server.live(&todo()).is_empty());
        device.is_sound().await;
        if !edited {
            device.is_in_sync().await;
        }
        device.sync.close().await.expect("it closes");
    }
}

/// A plain edit of a record that somebody deleted is a conflict.
pub async fn an_edit_that_meets_a_tombstone_is_a_conflict(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    device.set("a", 2).await;
    device.server.drop_row("a");
    assert_eq!(device.push().await.conflicts, 1);
    device.is_sound().await;
}

/// A record that is in conflict with a deletion and is then deleted here is in conflict no more.
pub async fn gone_there_and_deleted_here_is_no_conflict(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    device.set("a", 2).await;
    device.server.drop_row("a");
    assert_eq!(device.push().await.conflicts, 1);
    device.delete("a").await;
    assert_eq!(device.queue().await, [""; 0]);
    device.is_in_sync().await;
    // The deletion comes with a pull.
    device.server.set("c", 1);
    device.pull().await;
    device.delete("c").await;
    device.server.set("c", 2);
    assert_eq!(device.push().await.conflicts, 1);
    device.server.drop_row("c");
    device.pull().await;
    device.is_in_sync().await;
    // The same while the edit is on its way.
    device.server.set("b", 1);
    device.pull().await;
    device.set("b", 2).await;
    device.server.drop_row("b");
    let app = device.clone();
    device
        .server
        .meanwhile(async move { app.delete("b").await });
    assert_eq!(device.push().await.conflicts, 0);
    device.push().await;
    device.is_in_sync().await;
}

/// A server that keeps a new record under another id is asked once; taking its side moves the record there.
pub async fn another_id_is_sent_once(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.rename_inserts(true);
    device.insert("a", 1).await;
    let report = device.push().await;
    assert_eq!((report.rejected, report.pushed), (1, 0));
    let parked = device.sync.parked().await.expect("a queue");
    assert!(parked[0].message.contains("'a-renamed'"), "{parked:?}");
    let seq = parked[0].operation.seq;
    let again = device.sync.retry(seq).await;
    assert!(matches!(again, Err(Error::OtherId { .. })), "{again:?}");
    // Not even an edit sends it again.
    device.set("a", 2).await;
    device.push().await;
    assert_eq!(device.server.live(&todo()).len(), 1);
    device
        .sync
        .resolve(seq, Resolution::Server)
        .await
        .expect("it is taken");
    assert_eq!(device.n("a").await, None);
    assert_eq!(device.n("a-renamed").await, Some(1));
    device.is_in_sync().await;
}

/// A change that is answered with an empty version is read again, so that the next edit is no conflict.
pub async fn empty_versions_are_read_again(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.blank_versions(true);
    device.insert("a", 1).await;
    assert_eq!(device.push().await.pushed, 1);
    device.set("a", 2).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.conflicts), (1, 0));
    device.is_in_sync().await;
}

/// Rows with neither a version nor a time are updated, not inserted again.
pub async fn rows_without_versions_are_updated(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.bare_rows(true);
    device.server.put(&todo(), &record(r#"{"id":"a","n":1}"#));
    device
        .todo
        .pull_full(synctable_core::query::Query::all())
        .await
        .expect("a pull");
    device.set("a", 2).await;
    assert_eq!(device.only_operation().await.kind.as_str(), "replace");
    let base: Option<Record> = device.only_operation().await.base;
    assert_eq!(base.and_then(|base| base.member("n")), Some(1.into()));
    device.push().await;
    assert_eq!(device.server.n("a"), Some(2));
    device.set("a", 3).await;
    device.push().await;
    assert_eq!(device.server.n("a"), Some(3));
}

/// `retry` of a conflict says that it is one.
pub async fn retry_of_a_conflict_says_so(harness: &dyn Place) {
    let server = TestServer::new();
    let device = Device::with(harness, &server, ConflictPolicy::Park).await;
    server.set("a", 1);
    device.pull().await;
    device.set("a", 2).await;
    server.set("a", 9);
    let seq = device.push_to_conflict().await;
    let again = device.sync.retry(seq).await;
    assert!(matches!(again, Err(Error::IsConflict { .. })), "{again:?}");
    assert_eq!(
        device.only_operation().await.state,
        OperationState::Conflict
    );
}

/// The network sends an insert twice; the answer that comes is that of the second one, "taken", and just then the row cannot be read.
/// What is in the way may be ours, whatever is edited before somebody looks.
pub async fn what_is_in_the_way_may_be_ours(harness: &dyn Place) {
    for fault in [Fault::Unavailable, Fault::Failure, Fault::Offline] {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::foreign()).await;
        device.insert("a", 1).await;
        device.server.set("a", 1);
        device.server.hide_table(&todo(), fault);
        // It leaves the insert aside, or stops.
        let _ = device.sync.push().await;
        device.set("a", 2).await;
        device.server.show_table(&todo());
        device.push().await;
        assert_eq!(device.server.n("a"), Some(2), "{fault:?}");
        device.is_in_sync().await;
        device.sync.close().await.expect("it closes");
    }
}
