//! Audits: what an incremental pull cannot see is found and healed.

use synctable_core::query::{Query, field};
use synctable_core::sync::{AuditReport, DifferenceKind};

use super::TestServer;
use super::device::{Device, todo};
use crate::Place;
use crate::fixture::{assert_holds, record};

async fn audit(device: &Device) -> AuditReport {
    device
        .todo
        .audit(Query::all())
        .await
        .expect("the audit ends")
}

fn found(report: &AuditReport) -> Vec<(&str, DifferenceKind)> {
    let differences = report.differences.iter();
    differences
        .map(|difference| (difference.id.as_str(), difference.kind))
        .collect()
}

/// A device with rows `a` to `e` at a server that removes rows without a trace.
async fn device(harness: &dyn Place) -> Device {
    let server = TestServer::foreign();
    server.configure(|options| options.soft_delete = false);
    for (n, id) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        server.set(id, i64::try_from(n).unwrap_or_default());
    }
    let device = Device::new(harness, &server).await;
    device.pull().await;
    device
}

/// After a pull there is nothing to find, in as many requests as there are pages.
pub async fn audit_of_an_equal_table_is_clean(harness: &dyn Place) {
    let device = device(harness).await;
    let report = audit(&device).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.compared, found(&report)), (5, vec![]));
    assert!(report.requests <= 2, "{report:?}");
}

/// Rows that were removed for good, and rows that were never pulled.
pub async fn audit_heals_what_a_pull_cannot_see(harness: &dyn Place) {
    let device = device(harness).await;
    let server = &device.server;
    server.drop_row("b");
    // Changed long ago, as far as its time tells: a pull from now on does not meet it.
    let long_ago = server.now().plus_millis(-3_600_000);
    server.put_at(&todo(), &record(r#"{"id":"c","n":70}"#), long_ago);
    server.put_at(&todo(), &record(r#"{"id":"f","n":80}"#), long_ago);
    device.pull().await;
    assert_eq!(device.n("b").await, Some(1), "a pull does not see it");
    let compared = device.todo.audit(Query::all()).compare_only().await;
    let compared = compared.expect("the audit ends");
    assert_eq!(device.n("b").await, Some(1), "nothing was changed");
    let healed = audit(&device).await;
    assert_eq!(compared.differences, healed.differences);
    assert_eq!(
        found(&healed),
        [
            ("c", DifferenceKind::Stale),
            ("f", DifferenceKind::Missing),
            ("b", DifferenceKind::Surplus),
        ]
    );
    device.is_in_sync().await;
    assert!(audit(&device).await.is_clean());
}

/// A row that the filter no longer describes is brought up to date all the same.
pub async fn audit_heals_rows_that_left_the_filter(harness: &dyn Place) {
    let device = device(harness).await;
    device.server.set("a", 9);
    device.server.drop_row("b");
    let small = Query::all().filter(field("n").lt(3));
    let pull = device.todo.pull_full(small.clone()).await;
    assert_eq!(pull.expect("the pull ends").updated, 0);
    let report = device.todo.audit(small).await.expect("the audit ends");
    assert_eq!(
        found(&report),
        [("a", DifferenceKind::Stale), ("b", DifferenceKind::Surplus)]
    );
    device.is_in_sync().await;
}

/// The server's data is put back to an older state: rows follow, and later changes are pulled though their times are older.
pub async fn audit_heals_a_restored_backup(harness: &dyn Place) {
    let device = device(harness).await;
    let backup = TestServer::foreign();
    let day = 24 * 3_600_000;
    let old = device.server.now().plus_millis(-day);
    backup.put_at(&todo(), &record(r#"{"id":"a","n":50}"#), old);
    let device = Device::over(device.store, &backup, |builder| builder).await;
    assert_eq!(device.pull().await.fetched, 0);
    let report = audit(&device).await;
    assert_eq!((report.stale, report.surplus, report.positions), (1, 4, 1));
    device.is_in_sync().await;
    let later = old.plus_millis(60_000);
    backup.put_at(&todo(), &record(r#"{"id":"z","n":1}"#), later);
    device.pull().await;
    device.is_in_sync().await;
}

/// Records with pending operations stay as they are, and so do those that nothing will send.
pub async fn audit_leaves_local_changes_alone(harness: &dyn Place) {
    let device = device(harness).await;
    device.insert("mine", 1).await;
    let seq = device.only_seq().await;
    device.sync.discard(seq).await.expect("the operation goes");
    device.set("a", 100).await;
    device.insert("new", 1).await;
    device.delete("b").await;
    device.server.set("a", 101);
    let before = device.rows().await;
    let report = audit(&device).await;
    assert_eq!(found(&report), [("mine", DifferenceKind::Unsent)]);
    assert_eq!(report.kept, 2, "{report:?}");
    assert_holds(&device.store, &todo(), &before).await;
    assert_eq!(device.queue().await.len(), 3);
    device.is_sound().await;
}
