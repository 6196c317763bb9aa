//! This project's engine with the genuine server: everyday work.

use serde_json::{Value, json};
use synctable_core::query::{Query, field};
use synctable_core::sync::{ConflictPolicy, Purge};
use synctable_http::{Dialect, HttpTransport};

use crate::ours::{Device, http};
use crate::peers::NodeServer;

async fn device(server: &NodeServer) -> Device {
    Device::new(&server.url, Dialect::Zumo2).await
}

#[tokio::test]
async fn the_server_is_recognised() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let table = "todoitem".parse().unwrap();
    let builder = HttpTransport::builder(&server.url).detect(&table).await;
    assert_eq!(builder.unwrap().chosen_dialect(), Dialect::Zumo2);
}

#[tokio::test]
async fn offline_work_reaches_the_server_and_another_device() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let (a, b) = (device(&server).await, device(&server).await);
    for row in [
        json!({"id": "one", "text": "one", "complete": false}),
        json!({"id": "two", "text": "two", "complete": true}),
        json!({"text": "no id"}),
        json!({"id": "o'b q", "text": "ä \" '' \u{1F600}\n", "rank": 1.5}),
        json!({"id": "50%&#=", "text": null, "rank": 7, "more": "a new column"}),
        json!({"id": "bare"}),
    ] {
        a.insert(row).await;
    }
    a.text("one", "one, edited").await;
    a.delete("two").await;
    assert_eq!(a.push_all().await.pushed, 5);
    let pulled = b.pull().await;
    assert_eq!((pulled.added, pulled.invalid.len()), (5, 0));
    a.pull().await;
    assert_eq!(a.records().await, b.records().await);
    let rows = b.rows().await;
    assert_eq!(rows["one"], "one, edited");
    assert_eq!(rows["o'b q"], "ä \" '' \u{1F600}\n");
    assert!(b.records().await.iter().all(|row| row.version().is_some()
        && row.updated_at().is_some()
        && row.system().created_at.is_some()));

    // Only what changed is sent, and it comes back.
    b.todo
        .update("50%&#=", &json!({"rank": null, "text": "set"}))
        .await
        .unwrap();
    b.delete("bare").await;
    b.push_all().await;
    let pulled = a.pull().await;
    assert_eq!((pulled.updated, pulled.deleted), (1, 1));
    assert_eq!(a.records().await, b.records().await);
    // Nothing is left of a member that was taken away.
    let mut row: Value = a.todo.get("50%&#=").await.unwrap().unwrap();
    row.as_object_mut().unwrap().remove("more");
    a.todo.replace(&row).await.unwrap();
    a.push_all().await;
    b.pull().await;
    let row: Value = b.todo.get("50%&#=").await.unwrap().unwrap();
    assert_eq!(row.get("more").cloned().unwrap_or_default(), Value::Null);
}

#[tokio::test]
async fn more_than_a_thousand_rows_come_in_pages_of_every_size() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let a = device(&server).await;
    for n in 0..1_100 {
        a.insert(json!({"id": format!("r{n}"), "text": format!("row {n}")}))
            .await;
    }
    a.sync.push().parallel(8).await.unwrap();
    assert_eq!(a.sync.pending_count().await.unwrap(), 0);
    a.pull().await;
    // 50 divides the rows, 1,000 is the server's most and 5,000 more than that.
    for page in [50, 999, 1_000, 5_000] {
        let b = device(&server).await;
        let report = b.todo.pull(Query::all(), "all").page(page).await.unwrap();
        assert_eq!(report.added, 1_100, "page {page}");
        assert_eq!(b.records().await, a.records().await);
        // The next pull asks for what is new only.
        let report = b.todo.pull_full(Query::all()).page(page).await.unwrap();
        assert_eq!(
            (report.unchanged, report.updated),
            (1_100, 0),
            "page {page}"
        );
    }
    let b = device(&server).await;
    let windowed = Query::all().order_by_desc("text").skip(5).top(1_050);
    let report = b.todo.pull_full(windowed).page(100).await.unwrap();
    assert_eq!(report.added, 1_050);
}

#[tokio::test]
async fn later_pulls_bring_what_changed_and_what_was_deleted() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let (a, b) = (device(&server).await, device(&server).await);
    for n in 0..120 {
        a.insert(json!({"id": format!("r{n}"), "text": "x", "complete": n % 2 == 0}))
            .await;
    }
    a.sync().await;
    let done = Query::all().filter(field("complete").eq(true));
    let pulled = b.todo.pull(done.clone(), "done").await.unwrap();
    assert_eq!(pulled.added, 60);
    a.text("r0", "changed").await;
    a.delete("r2").await;
    a.insert(json!({"id": "new", "text": "new", "complete": true}))
        .await;
    a.push_all().await;
    let pulled = b.todo.pull(done, "done").await.unwrap();
    assert_eq!((pulled.added, pulled.updated, pulled.deleted), (1, 1, 1));
    assert_eq!(b.rows().await.len(), 60);
    assert_eq!(b.rows().await["r0"], "changed");
    // Filters of every kind that the server takes.
    for (query, count) in [
        (Query::all().filter(field("text").concat("!").eq("new!")), 1),
        (
            Query::all().filter(field("id").is_in(["r1", "r3", "r2"])),
            2,
        ),
        (
            Query::all().filter(field("text").to_lower().eq("changed")),
            1,
        ),
        (Query::all().filter(field("complete").eq(true).not()), 60),
    ] {
        let c = device(&server).await;
        let report = c.todo.pull_full(query.clone()).await.unwrap();
        assert_eq!(report.added, count, "{query:?}");
    }
}

#[tokio::test]
async fn deleted_records_come_back() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let device = || {
        Device::with(
            http(&server.url, Dialect::Zumo2),
            ConflictPolicy::ClientWins,
        )
    };
    let (a, b) = (device().await, device().await);
    a.insert(json!({"id": "one", "text": "first", "complete": true}))
        .await;
    a.sync().await;
    b.pull().await;
    a.delete("one").await;
    a.push_all().await;
    b.pull().await;
    assert!(b.rows().await.is_empty());
    // A new record with its id meets the tombstone; members that it had are gone.
    a.insert(json!({"id": "one", "text": "second"})).await;
    a.push_all().await;
    b.pull().await;
    let row: Value = b.todo.get("one").await.unwrap().unwrap();
    assert_eq!(row["text"], "second");
    assert_eq!(
        row.get("complete").cloned().unwrap_or_default(),
        Value::Null
    );
    // Deleted and made anew before any of it was sent.
    b.delete("one").await;
    b.insert(json!({"id": "one", "text": "third"})).await;
    b.push_all().await;
    a.pull().await;
    assert_eq!(a.rows().await["one"], "third");
    assert_eq!(a.records().await, b.records().await);
}

#[tokio::test]
async fn a_purge_forgets_and_the_next_pull_brings_all_again() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let a = device(&server).await;
    for n in 0..70 {
        a.insert(json!({"id": format!("r{n}"), "text": "x"})).await;
    }
    a.sync().await;
    let before = a.records().await;
    a.text("r5", "pending").await;
    assert!(a.todo.purge(Purge::all()).await.is_err(), "work is pending");
    let purged = a.todo.purge(Purge::all().discard_pending()).await.unwrap();
    assert_eq!(purged.discarded, 1);
    assert!(a.rows().await.is_empty());
    assert_eq!(a.pull().await.added, 70);
    assert_eq!(a.records().await, before);
}

#[tokio::test]
async fn an_audit_finds_nothing_amiss_after_a_sync() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let (a, b) = (device(&server).await, device(&server).await);
    for n in 0..130 {
        a.insert(json!({"id": format!("r{n}"), "text": "x"})).await;
    }
    a.delete("r7").await;
    a.sync().await;
    b.pull().await;
    let report = b.todo.audit(Query::all()).compare_only().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    a.text("r9", "changed").await;
    a.push_all().await;
    let report = b.todo.audit(Query::all()).await.unwrap();
    assert!(!report.is_clean(), "{report:?}");
    assert_eq!(b.rows().await["r9"], "changed");
}
