//! The side under attack: an engine over a memory store and the HTTP transport, and the good server that it knew before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use synctable_core::query::{Query, RemoteQuery};
use synctable_core::store::{LocalStore, LocalStoreExt};
use synctable_core::sync::{Operation, SyncContext, SyncTable};
use synctable_core::transport::{
    BatchAnswer, Change, ChangeFeed, Outcome, PageCursor, RemotePage, Transport,
    TransportCapabilities, TransportError,
};
use synctable_core::{Record, RecordId, Sleep, TableName};
use synctable_http::{AuthHeader, HttpTransport};
use synctable_memory::MemoryStore;

use crate::server::{Reply, Request};

/// Limits that are reached quickly.
pub(crate) const BODY: usize = 256 * 1024;
pub(crate) const HEAD: usize = 16 * 1024;
pub(crate) const ROWS: u32 = 100;
pub(crate) const RECORD: usize = 32 * 1024;

pub(crate) const TOKEN: &str = "s3cr3t";

/// A device with the records `a`, `b` and `c`.
pub(crate) struct Device {
    pub(crate) context: SyncContext,
    pub(crate) transport: Arc<Switch>,
    pub(crate) waits: Arc<Waits>,
}

/// Notes the waits and returns at once.
#[derive(Debug, Default)]
pub(crate) struct Waits(pub(crate) Mutex<Vec<Duration>>);

#[async_trait]
impl Sleep for Waits {
    async fn sleep(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
    }
}

/// All that is stored of the table and its queue.
#[derive(Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) records: Vec<Record>,
    pub(crate) operations: Vec<Operation>,
}

impl Device {
    /// A device that has pulled from the good server at `url`, and waits only a short time for a hostile one if it is
    /// to be quick.
    pub(crate) async fn new(url: &str, hostile: &Arc<AtomicBool>, quick: bool) -> Self {
        let way = |timeout| Arc::new(http(url, timeout)) as Arc<dyn Transport>;
        let waits = Arc::new(Waits::default());
        let transport = Switch {
            hurried: quick.then(|| way(Duration::from_millis(250))),
            patient: way(Duration::from_secs(300)),
            hostile: Arc::clone(hostile),
            waits: Arc::clone(&waits),
        };
        let transport = Arc::new(transport);
        let context = SyncContext::builder(Arc::new(MemoryStore::new()))
            .transport(Arc::clone(&transport))
            .open()
            .await
            .unwrap();
        let device = Self {
            context,
            transport,
            waits,
        };
        device
            .table()
            .pull_full(Query::all())
            .await
            .expect("a pull from the good server");
        device
    }

    pub(crate) fn table(&self) -> SyncTable<Record> {
        self.context.table("todo").unwrap()
    }

    pub(crate) async fn state(&self) -> State {
        let store: &Arc<dyn LocalStore> = self.context.store();
        State {
            records: store
                .query_all(self.table().name(), &Query::all())
                .await
                .unwrap(),
            operations: self.context.pending().await.unwrap(),
        }
    }
}

fn http(url: &str, timeout: Duration) -> HttpTransport {
    HttpTransport::builder(url)
        .token(TOKEN, AuthHeader::Bearer)
        .timeout(timeout)
        .idle_timeout(timeout)
        .body_limit(BODY)
        .head_limit(HEAD)
        .row_limit(ROWS)
        .record_limit(RECORD)
        .build()
        .unwrap()
}

/// A transport that has little time while the server is hostile, so that tests need not wait, and much else, so that a
/// slow machine does not matter.
#[derive(Debug)]
pub(crate) struct Switch {
    patient: Arc<dyn Transport>,
    hurried: Option<Arc<dyn Transport>>,
    hostile: Arc<AtomicBool>,
    waits: Arc<Waits>,
}

impl Switch {
    fn now(&self) -> &dyn Transport {
        match &self.hurried {
            Some(hurried) if self.hostile.load(Ordering::SeqCst) => hurried.as_ref(),
            _ => self.patient.as_ref(),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Transport for Switch {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        self.now().apply(table, change).await
    }
    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        self.now().apply_all(changes).await
    }
    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        self.now().get(table, id).await
    }
    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        self.now().page(table, query, cursor).await
    }
    fn feed(&self, table: &TableName) -> Option<&dyn ChangeFeed> {
        self.now().feed(table)
    }
    fn capabilities(&self) -> TransportCapabilities {
        self.now().capabilities()
    }
    fn address(&self) -> Option<String> {
        self.now().address()
    }
    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        let (patient, hurried) = (self.patient.for_account(account), &self.hurried);
        Some(Arc::new(Self {
            patient: patient?,
            hurried: hurried.as_ref().and_then(|way| way.for_account(account)),
            hostile: Arc::clone(&self.hostile),
            waits: Arc::clone(&self.waits),
        }))
    }
    fn begin_push(&self) {
        self.now().begin_push();
    }
    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        self.now().renew_credentials().await
    }
    fn sleep(&self) -> Option<Arc<dyn Sleep>> {
        Some(Arc::clone(&self.waits) as _)
    }
}

/// What a good server with the records `a`, `b` and `c` says.
pub(crate) fn good(request: &Request) -> Reply {
    let path = request.target.split('?').next().unwrap_or_default();
    let id = path.strip_prefix("/tables/todo/").unwrap_or_default();
    match (request.method.as_str(), id) {
        ("GET", "") => {
            let rows = ["a", "b", "c"].map(record).join(",");
            Reply::json(200, &format!(r#"{{"items":[{rows}]}}"#))
        }
        ("GET", "a" | "b" | "c") => Reply::json(200, &record(id)),
        ("GET", _) => Reply::json(404, r#"{"error":"no such record"}"#),
        ("DELETE", _) => Reply::empty(204),
        _ => {
            let status = if request.method == "POST" { 201 } else { 200 };
            Reply::with(status, &[("etag", "\"v2\"")], &request.body)
        }
    }
}

fn record(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","version":"v1","updatedAt":"2026-01-01T00:00:00.000Z","title":"good"}}"#
    )
}
