//! What 0.1 left behind opens, and its queue is sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use synctable::http::HttpTransport;
use synctable::query::Query;
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::sync::{Resolution, SyncContext};
use synctable::{Declaration, SqliteStore, TableName};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A copy of a fixture that may be written to.
fn opened(folder: &Path, name: &str) -> Arc<SqliteStore> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/0.1");
    let copy = folder.join(name);
    std::fs::copy(fixtures.join(name), &copy).unwrap();
    Arc::new(SqliteStore::open(&copy).unwrap())
}

#[tokio::test]
async fn a_queue_of_0_1_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server_store = opened(folder.path(), "server.sqlite");
    let table = TableName::new("todoitem").unwrap();
    let server = TableServer::builder(Arc::clone(&server_store) as Arc<dyn LocalStore>)
        .table(table.clone(), Declaration::new().with_soft_delete())
        .build()
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let serve = server.serve(listener, async { drop(stopped.await) });
        serve.await.unwrap();
    });

    let store = opened(folder.path(), "device.sqlite");
    let http = HttpTransport::builder(&url).build().unwrap();
    let sync = SyncContext::builder(store)
        .transport(http)
        .open()
        .await
        .unwrap();
    let found = sync.pending().await.unwrap();
    let queue: Vec<String> = found
        .iter()
        .map(|o| format!("{} {} {}", o.kind.as_str(), o.id, o.state.as_str()))
        .collect();
    assert_eq!(
        queue,
        [
            "replace disputed conflict",
            "replace edited attempted",
            "delete removed pending",
            "insert made pending",
            "replace sent pending",
        ]
    );
    assert!(sync.verify().await.unwrap().is_empty());

    let report = sync.push().await.unwrap();
    let counts = (
        report.pushed,
        report.conflicts,
        report.rejected,
        report.aside,
    );
    assert_eq!(counts, (4, 1, 0, 0));
    let parked = sync.conflicts().await.unwrap().remove(0);
    let server_side = parked.conflict.server.as_ref().unwrap();
    assert_eq!(server_side.member("title"), Some("theirs".into()));
    sync.resolve_parked(&parked, Resolution::Client)
        .await
        .unwrap();
    assert_eq!(sync.push().await.unwrap().pushed, 1);

    // The position of 0.1 goes on, and both sides hold the same.
    let todos = sync.table::<Value>("todoitem").unwrap();
    let pulled = todos.pull(Query::all(), "all").await.unwrap();
    assert_eq!(pulled.added, 0);
    let mut titles: Vec<(String, String)> = Vec::new();
    for record in todos.query().order_by("id").await.unwrap() {
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        titles.push((text("id"), text("title")));
    }
    let expected = [
        ("disputed", "ours"),
        ("edited", "edited here"),
        ("kept", "kept"),
        ("made", "made here"),
        ("sent", "sent"),
    ];
    let expected = expected.map(|(id, title)| (id.to_owned(), title.to_owned()));
    assert_eq!(titles, expected);
    let audit = todos.audit(Query::all()).compare_only().await.unwrap();
    assert!(audit.is_clean(), "{audit:?}");

    sync.close().await.unwrap();
    drop(stop);
    task.await.unwrap();
    server_store.close().await.unwrap();
}
