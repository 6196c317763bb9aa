//! This project's engine as a device.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::sync::{ConflictPolicy, PullReport, PushReport, SyncContext, SyncTable};
use synctable_core::transport::Transport;
use synctable_core::{Error, Record};
use synctable_http::{Dialect, HttpTransport};
use synctable_memory::MemoryStore;

/// A device with a store in memory.
pub(crate) struct Device {
    pub(crate) sync: SyncContext,
    pub(crate) todo: SyncTable<Value>,
}

pub(crate) fn http(url: &str, dialect: Dialect) -> HttpTransport {
    HttpTransport::builder(url)
        .dialect(dialect)
        .build()
        .unwrap()
}

impl Device {
    pub(crate) async fn new(url: &str, dialect: Dialect) -> Self {
        Self::with(http(url, dialect), ConflictPolicy::Park).await
    }

    pub(crate) async fn with(transport: impl Transport, policy: ConflictPolicy) -> Self {
        let sync = SyncContext::builder(Arc::new(MemoryStore::new()))
            .transport(transport)
            .conflicts(policy)
            .open()
            .await
            .unwrap();
        let todo = sync.table("todoitem").unwrap();
        Self { sync, todo }
    }

    pub(crate) async fn insert(&self, row: Value) {
        self.todo.insert(&row).await.unwrap();
    }

    pub(crate) async fn text(&self, id: &str, text: &str) {
        self.todo.update(id, &json!({"text": text})).await.unwrap();
    }

    pub(crate) async fn delete(&self, id: &str) {
        self.todo.delete(id).await.unwrap();
    }

    /// Pushes; the queue must be empty then.
    #[track_caller]
    pub(crate) fn push_all(&self) -> impl Future<Output = PushReport> {
        let place = std::panic::Location::caller();
        async move {
            let report = self.push().await.unwrap();
            let left = self.sync.parked().await.unwrap();
            assert_eq!(report.pending, 0, "{place}: {report:?} {left:?}");
            report
        }
    }

    pub(crate) async fn push(&self) -> Result<PushReport, Error> {
        self.sync.push().await
    }

    pub(crate) async fn pull(&self) -> PullReport {
        self.todo.pull(Query::all(), "all").await.unwrap()
    }

    pub(crate) async fn sync(&self) {
        self.push_all().await;
        self.pull().await;
    }

    /// All records as they are kept, with their system properties.
    pub(crate) async fn records(&self) -> Vec<Record> {
        let rows = self.sync.table::<Record>("todoitem").unwrap();
        rows.query().order_by("id").await.unwrap().records
    }

    pub(crate) async fn rows(&self) -> BTreeMap<String, Value> {
        let rows = self.records().await;
        rows.iter()
            .map(|row| {
                let text = row.member("text").unwrap_or_default();
                (row.id().to_string(), text)
            })
            .collect()
    }
}
