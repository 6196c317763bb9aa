//! Purge: records go, nothing is told to the server, nothing that waits is lost without being asked.

use serde_json::{Value, json};
use synctable_core::Error;
use synctable_core::query::{Query, field};
use synctable_core::sync::Purge;
use synctable_core::transport::Rejection;

use super::TestServer;
use super::device::{Device, take_turns};
use crate::Place;
use crate::threads::InABox;

/// A device that holds five records as the server does.
async fn with_five(harness: &dyn Place) -> Device {
    let device = Device::new(harness, &TestServer::new()).await;
    for number in 0..5 {
        device.server.set(&format!("r{number}"), number);
    }
    device.pull().await;
    device
}

/// A purge is refused while operations wait, with or without a filter, and then changes nothing.
pub async fn purge_is_refused_while_operations_wait(harness: &dyn Place) {
    let device = with_five(harness).await;
    device.set("r0", 100).await;
    let before = device.rows().await;
    for purge in [Purge::all(), Purge::matching(field("n").eq(3))] {
        let refused = device.todo.purge(purge).await;
        assert!(
            matches!(refused, Err(Error::PendingOperations { count: 1, .. })),
            "{refused:?}"
        );
    }
    assert_eq!(
        (device.rows().await, device.queue().await),
        (before, vec!["replace r0".into()])
    );
    let other = device.sync.table::<Value>("lines").expect("a table name");
    other
        .purge(Purge::all())
        .await
        .expect("nothing waits there");
    device.is_sound().await;
}

/// Records go without a word to the server, and the next pull brings them back.
pub async fn purged_records_come_back_with_a_pull(harness: &dyn Place) {
    let device = with_five(harness).await;
    device.server.forget_requests();
    let report = device
        .todo
        .purge(Purge::all())
        .await
        .expect("nothing waits");
    assert_eq!((report.purged, report.discarded), (5, 0));
    assert!(device.rows().await.is_empty());
    assert!(device.server.requests().is_empty());
    device.is_sound().await;
    assert_eq!(device.pull().await.added, 5);
    device.is_in_sync().await;
}

/// Where the positions of pulls are kept, purged records stay away until they change.
pub async fn purge_can_keep_positions(harness: &dyn Place) {
    let device = with_five(harness).await;
    device
        .todo
        .purge(Purge::all().keep_tokens())
        .await
        .expect("nothing waits");
    device.server.set("r1", 100);
    assert_eq!(device.pull().await.added, 1);
    device.todo.pull_full(Query::all()).await.expect("a pull");
    device.is_in_sync().await;
}

/// Positions of other tables stay when one table is purged.
pub async fn purge_leaves_other_tables_alone(harness: &dyn Place) {
    let device = with_five(harness).await;
    let lines = device.sync.table::<Value>("lines").expect("a table name");
    lines.insert(&json!({"id": "x"})).await.expect("new");
    device.push().await;
    lines.pull(Query::all(), "all").await.expect("a pull");
    let positions = |inspection: &synctable_core::sync::Inspection| {
        let tables = inspection
            .tokens
            .iter()
            .map(|token| token.table.to_string());
        tables.collect::<Vec<_>>()
    };
    let before = device.sync.inspect().await.expect("the store is read");
    assert_eq!(positions(&before), ["lines", "todo"]);
    device
        .todo
        .purge(Purge::all())
        .await
        .expect("nothing waits");
    let after = device.sync.inspect().await.expect("the store is read");
    assert_eq!(positions(&after), ["lines"]);
    assert!(lines.contains("x").await.expect("get answers"));
}

/// A purge with a filter takes the records that match.
pub async fn purge_takes_a_filter(harness: &dyn Place) {
    let device = with_five(harness).await;
    let report = device
        .todo
        .purge(Purge::matching(field("n").ge(3)))
        .await
        .expect("nothing waits");
    assert_eq!((report.purged, device.rows().await.len()), (2, 3));
    device.pull().await;
    device.is_in_sync().await;
}

/// Waiting operations are discarded when the purge is told to, with what they were parked for, and counted.
pub async fn purge_discards_operations(harness: &dyn Place) {
    let device = with_five(harness).await;
    device.set("r0", 100).await;
    device.server.set("r0", 50);
    device
        .server
        .reject(|_, change| (change.id.as_str() == "r1").then(|| Rejection::new(Some(400), "no")));
    device.set("r1", 100).await;
    let report = device.push().await;
    assert_eq!((report.conflicts, report.rejected), (1, 1));
    device.delete("r2").await;
    device.insert("new", 100).await;
    let report = device
        .todo
        .purge(Purge::all().discard_pending())
        .await
        .expect("purged");
    assert_eq!((report.purged, report.discarded), (5, 4));
    assert!(device.rows().await.is_empty() && device.queue().await.is_empty());
    assert!(device.sync.parked().await.expect("the queue").is_empty());
    device.is_sound().await;
    device.pull().await;
    device.is_in_sync().await;
}

/// A purge with a filter discards the operations on records that match, deletions of such records too, and no others.
pub async fn purge_discards_matching_operations(harness: &dyn Place) {
    let device = with_five(harness).await;
    device.set("r0", 100).await;
    device.set("r1", 1).await;
    device.delete("r4").await;
    let highest = device.sync.pending().await.expect("the queue")[2].seq;
    let purge = Purge::matching(field("n").ge(3)).discard_pending();
    let report = device.todo.purge(purge).await.expect("purged");
    assert_eq!((report.purged, report.discarded), (2, 2));
    assert_eq!(device.queue().await, ["replace r1"]);
    device.is_sound().await;
    let device = device.again().await;
    device.insert("new", 1).await;
    let pending = device.sync.pending().await.expect("the queue");
    assert!(pending[1].seq > highest, "no number is used twice");
    device.push().await;
    device.pull().await;
    device.is_in_sync().await;
}

/// A purge that is asked for while a pull is under way leaves nothing behind that the next pull would not bring.
pub async fn purge_during_a_pull(harness: &dyn Place) {
    let device = with_five(harness).await;
    device.server.configure(|options| options.page = 2);
    for number in 0..10 {
        device.server.set(&format!("s{number}"), number);
    }
    let (app, (sender, receiver)) = (device.clone(), tokio::sync::oneshot::channel());
    device.server.meanwhile_at(2, async move {
        let purge = async move { app.todo.purge(Purge::all()).await };
        let _ = sender.send(take_turns(purge.in_a_box()).await);
    });
    device.pull().await;
    let purge = receiver.await.expect("the purge was started");
    purge.await.expect("nothing waits");
    device.pull().await;
    device.is_in_sync().await;
}

/// As before when another context purges: the pull does not put its position back behind what is gone.
pub async fn purge_of_another_context_during_a_pull(harness: &dyn Place) {
    let device = with_five(harness).await;
    device.server.configure(|options| options.page = 2);
    for number in 0..10 {
        device.server.set(&format!("s{number}"), number);
    }
    let other = device.again().await;
    device.server.meanwhile_at(2, async move {
        let purge = other.todo.purge(Purge::all()).await;
        assert!(purge.expect("nothing waits").purged > 0);
    });
    let begun_anew = device.pull().await;
    assert!(begun_anew.added > 10, "{begun_anew:?}");
    device.is_in_sync().await;
}
