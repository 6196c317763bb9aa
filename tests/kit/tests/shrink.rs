//! Bad histories are made small. What is bad is not the engine: it is the server, the way there, or the store.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use synctable_core::query::{Query, RemoteQuery};
use synctable_core::store::{
    Changes, LocalStore, Page, Position, StoreCapabilities, StoreError, WriteBatch,
};
use synctable_core::transport::{
    Change, Outcome, PageCursor, RemotePage, Transport, TransportCapabilities, TransportError,
};
use synctable_core::{Record, RecordId, Schema, TableName};
use synctable_memory::MemoryStore;
use synctable_testkit::engine::TestServer;
use synctable_testkit::sim::{FarSide, History, Line, Simulation};

/// A store that commits without its checks.
#[derive(Debug, Default)]
struct Unchecked(MemoryStore);

#[async_trait]
impl LocalStore for Unchecked {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.0.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.0.schema().await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.0.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.0.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let unchecked = WriteBatch::new().durability(batch.get_durability());
        self.0
            .commit(unchecked.with_writes(batch.writes().to_vec()))
            .await
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.0.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.0.changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        self.0.capabilities()
    }
}

/// A server on the way to which tombstones get lost.
#[derive(Debug)]
struct Lossy(TestServer);

#[async_trait]
impl FarSide for Lossy {
    fn connect(&self, line: Line) -> Arc<dyn Transport> {
        Arc::new(LossyWay(self.0.connect(line)))
    }
    async fn live(&self, table: &TableName) -> Vec<Record> {
        self.0.live(table)
    }
    fn violations(&self) -> Vec<String> {
        self.0.violations()
    }
}

#[derive(Debug)]
struct LossyWay(Arc<dyn Transport>);

#[async_trait]
impl Transport for LossyWay {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        self.0.apply(table, change).await
    }
    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        self.0.get(table, id).await
    }
    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let mut page = self.0.page(table, query, cursor).await?;
        page.records.retain(|record| !record.is_deleted());
        Ok(page)
    }
    fn capabilities(&self) -> TransportCapabilities {
        self.0.capabilities()
    }
    fn address(&self) -> Option<String> {
        self.0.address()
    }
    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        let way = self.0.for_account(account)?;
        Some(Arc::new(Self(way)))
    }
    fn begin_push(&self) {
        self.0.begin_push();
    }
    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        self.0.renew_credentials().await
    }
}

fn memory() -> Simulation {
    Simulation::new(|| Arc::new(MemoryStore::new()))
}

/// Histories of each of these end badly.
fn broken() -> [(&'static str, Simulation); 3] {
    let careless = memory().server(|_, _| {
        let server = TestServer::new();
        server.configure(|options| options.checks_versions = false);
        Arc::new(server)
    });
    let lossy = memory().server(|_, _| Arc::new(Lossy(TestServer::new())));
    let unchecked = Simulation::new(|| Arc::new(Unchecked::default()));
    [
        ("a server that checks no versions", careless),
        ("a way on which tombstones get lost", lossy),
        ("a store that checks nothing", unchecked),
    ]
}

/// A bad history is made small, and its text replays it.
#[test]
fn bad_histories_are_shrunk() {
    for (what, simulation) in broken() {
        let seed = (0..1_000).find(|seed| !simulation.run(*seed).findings.is_empty());
        let seed = seed.expect("a history ends badly");
        let (history, summary) = simulation
            .shrink(&History::of(seed))
            .expect("it is bad still");
        let report = simulation.report(seed);
        let read: History = history.to_string().parse().expect("a history is read");
        println!("{what}: {report}");
        assert!(summary.steps <= 60, "{what}: {history}: {summary:?}");
        assert_eq!(simulation.replay(&read), summary);
        let end = format!(
            "replay with: SYNCTABLE_SEED={history} cargo test -p synctable-testkit \
             bad_histories_are_shrunk -- --exact --nocapture"
        );
        assert!(report.ends_with(&end), "{report}");
        // It is not the engine.
        assert_eq!(memory().replay(&read).findings, [""; 0]);
    }
}
