//! The whole story over real HTTP: two devices with their own stores, one server, both offline, conflict, resolution, convergence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use serde_json::{Value, json};
use synctable::http::HttpTransport;
use synctable::query::{Query, field};
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::sync::{Purge, Resolution, SyncContext};
use synctable::{Declaration, Error, MemoryStore, Record, SqliteStore, TableName};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Server {
    url: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(store: Arc<dyn LocalStore>) -> Self {
        let server = TableServer::builder(store)
            .table(
                TableName::new("todoitem").unwrap(),
                Declaration::new().with_soft_delete(),
            )
            .build()
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            server
                .serve(listener, async { drop(stopped.await) })
                .await
                .unwrap();
        });
        Self {
            url,
            stop: Some(stop),
            task,
        }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }

    async fn device(&self, store: Arc<dyn LocalStore>) -> SyncContext {
        let http = HttpTransport::builder(&self.url).build().unwrap();
        SyncContext::builder(store)
            .transport(http)
            .open()
            .await
            .unwrap()
    }
}

async fn rows(device: &SyncContext) -> Vec<Record> {
    device
        .table::<Record>("todoitem")
        .unwrap()
        .query()
        .await
        .unwrap()
        .records
}

async fn story(
    server_store: Arc<dyn LocalStore>,
    one: Arc<dyn LocalStore>,
    two: Arc<dyn LocalStore>,
) {
    let server = Server::start(Arc::clone(&server_store)).await;
    let (ada, ben) = (server.device(one).await, server.device(two).await);
    let (ada_todos, ben_todos) = (
        ada.table::<Value>("todoitem").unwrap(),
        ben.table::<Value>("todoitem").unwrap(),
    );

    for n in 0..250 {
        ada_todos
            .insert(&json!({"id": format!("a{n}"), "text": format!("todo {n}"), "complete": false}))
            .await
            .unwrap();
    }
    ben_todos
        .insert(&json!({"id": "b1", "text": "from Ben", "complete": true}))
        .await
        .unwrap();
    assert_eq!(ada.push().await.unwrap().pushed, 250);
    assert_eq!(ben.push().parallel(8).await.unwrap().pushed, 1);
    let report = ada_todos.pull(Query::all(), "all").page(100).await.unwrap();
    assert_eq!(
        (report.fetched, report.added, report.unchanged),
        (251, 1, 250)
    );
    let report = ben_todos.pull(Query::all(), "all").await.unwrap();
    assert_eq!((report.added, report.unchanged), (250, 1));
    assert_eq!(rows(&ada).await, rows(&ben).await);

    // Both edit the same record; the second to push meets the first one's change.
    ada_todos
        .update("a7", &json!({"text": "Ada was here"}))
        .await
        .unwrap();
    ben_todos
        .update("a7", &json!({"complete": true}))
        .await
        .unwrap();
    ada.push().await.unwrap();
    let report = ben.push().await.unwrap();
    assert_eq!((report.pushed, report.conflicts, report.pending), (0, 1, 1));
    let conflict = ben.conflicts().await.unwrap().remove(0);
    assert_eq!(
        conflict.conflict.base.as_ref().unwrap().member("text"),
        Some(json!("todo 7"))
    );
    assert_eq!(
        conflict.conflict.server.as_ref().unwrap().member("text"),
        Some(json!("Ada was here"))
    );
    let refused = ben_todos.purge(Purge::all()).await;
    assert!(matches!(
        refused,
        Err(Error::PendingOperations { count: 1, .. })
    ));
    let merged = ben
        .resolve(conflict.operation.seq, Resolution::Merge)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(merged.member("text"), Some(json!("Ada was here")));
    assert_eq!(ben.push().await.unwrap().pushed, 1);

    // Only what changed comes.
    ada_todos.delete("a9").await.unwrap();
    let report = ada_todos.pull(Query::all(), "all").await.unwrap();
    assert_eq!((report.pushed, report.updated), (1, 1));
    let report = ben_todos.pull(Query::all(), "all").await.unwrap();
    assert_eq!(
        (report.fetched, report.unchanged, report.deleted),
        (2, 1, 1)
    );
    assert_eq!(
        ben_todos.pull(Query::all(), "all").await.unwrap().fetched,
        0
    );

    assert_eq!(rows(&ada).await, rows(&ben).await);
    let at_server = server_store
        .query(
            &TableName::new("todoitem").unwrap(),
            &Query::all().filter(field("deleted").eq(false)).page(1000),
        )
        .await
        .unwrap();
    // The server keeps when a record was made, which its dialect does not tell.
    let told = |record: &Record| {
        let mut system = record.system().clone();
        system.created_at = None;
        record.clone().with_system(system).to_json()
    };
    for (theirs, ours) in at_server.records.iter().zip(rows(&ada).await) {
        assert_eq!(told(theirs), ours.to_json());
    }
    assert_eq!(at_server.records.len(), 250);
    for device in [&ada, &ben] {
        assert_eq!(device.verify().await.unwrap(), []);
        device.close().await.unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_converge_over_memory() {
    story(
        Arc::new(MemoryStore::new()),
        Arc::new(MemoryStore::new()),
        Arc::new(MemoryStore::new()),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_converge_over_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Arc::new(SqliteStore::open(dir.path().join(name)).unwrap());
    story(open("server.db"), open("ada.db"), open("ben.db")).await;
}
