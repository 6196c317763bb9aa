//! Rows that a pull keeps out because of pending operations: they come once those are gone.

use synctable_core::query::Query;
use synctable_core::sync::ConflictPolicy;

use super::TestServer;
use super::device::Device;
use super::pull::fill;
use crate::Place;

/// Rows of records with pending operations are kept out; they come back when the operation is cancelled.
pub async fn kept_rows_come_back_after_cancel(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 3);
    device.pull().await;
    device.set("r000", 100).await;
    device.delete("r001").await;
    device.insert("new", 100).await;
    for id in ["r000", "r001", "new"] {
        device.server.set(id, 7);
    }
    let pull = device.todo.pull(Query::all(), "all").without_push();
    let report = pull.await.expect("a pull");
    assert_eq!((report.kept, report.pushed), (3, 0));
    assert_eq!(
        (device.n("r000").await, device.n("r001").await),
        (Some(100), None)
    );
    device.is_sound().await;
    for operation in device.sync.pending().await.expect("the queue") {
        device.sync.cancel(operation.seq).await.expect("it waits");
    }
    device.is_in_sync().await;
}

/// A kept tombstone takes effect when the operation is cancelled.
pub async fn kept_tombstones_come_back_after_cancel(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 2);
    device.pull().await;
    device.set("r000", 100).await;
    device.delete("r001").await;
    device.server.drop_row("r000");
    device.server.drop_row("r001");
    let pull = device.todo.pull(Query::all(), "all").without_push();
    assert_eq!(pull.await.expect("a pull").kept, 2);
    for operation in device.sync.pending().await.expect("the queue") {
        device.sync.cancel(operation.seq).await.expect("it waits");
    }
    device.is_in_sync().await;
}

/// Rows that were kept out come back when their operations are discarded, though no pull would bring them again.
pub async fn kept_rows_come_back_after_discard(harness: &dyn Place) {
    for server in [TestServer::new(), TestServer::foreign()] {
        let place = harness.another();
        let device = Device::new(&*place, &server).await;
        fill(&server, 3);
        device.pull().await;
        device.set("r000", 100).await;
        device.insert("new", 100).await;
        server.set("r000", 7);
        server.set("new", 7);
        let pull = device.todo.pull(Query::all(), "all").without_push();
        assert_eq!(pull.await.expect("a pull").kept, 2);
        for number in 0..50 {
            // So much happens later that no overlap reaches back.
            server.configure(|options| options.ticks_per_write = 10_000_000);
            server.set("other", number);
        }
        device.pull_only().await;
        for operation in device.sync.pending().await.expect("the queue") {
            device.sync.discard(operation.seq).await.expect("it waits");
        }
        device.is_in_sync().await;
        device.pull().await;
        device.is_in_sync().await;
    }
}

/// Rows that were kept out are settled by a push as any other conflict.
pub async fn kept_rows_come_back_after_push(harness: &dyn Place) {
    let server = TestServer::new();
    let device = Device::with(harness, &server, ConflictPolicy::ServerWins).await;
    fill(&server, 3);
    device.pull().await;
    device.set("r000", 100).await;
    device.set("r001", 100).await;
    server.set("r000", 7);
    server.drop_row("r001");
    assert_eq!(device.pull_only().await.kept, 2);
    device.push().await;
    device.is_in_sync().await;
}

/// A record that is inserted here, met at the server by a pull, and deleted here is as at the server, or is deleted there next.
pub async fn deleted_insert_that_met_a_stranger(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.insert("a", 1).await;
    device.server.set("a", 7);
    assert_eq!(device.pull_only().await.kept, 1);
    device.delete("a").await;
    device.is_sound().await;
    device.push().await;
    device.pull().await;
    device.is_in_sync().await;
}
