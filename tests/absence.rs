//! Devices that were away longer than the server keeps deletions end equal to it, over HTTP and in each dialect.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use synctable::http::{Dialect, HttpTransport};
use synctable::query::Query;
use synctable::server::TableServer;
use synctable::store::{LocalStore, LocalStoreExt};
use synctable::sync::{ConflictPolicy, SyncContext, SyncTable};
use synctable::{Clock, Declaration, MemoryStore, TableName, Timestamp};
use tokio::net::TcpListener;

const DAY: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug)]
struct Days(AtomicI64);

impl Clock for Days {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A server that keeps deletions for a day.
async fn serve(store: Arc<dyn LocalStore>, clock: &Arc<Days>) -> String {
    let table = Declaration::new().with_soft_delete().with_page_size(7);
    let server = TableServer::builder(store)
        .table(TableName::new("todo").unwrap(), table)
        .clock(Arc::<Days>::clone(clock))
        .keep_tombstones(Duration::from_secs(24 * 60 * 60))
        .build()
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { server.serve(listener, std::future::pending::<()>()).await });
    url
}

async fn device(url: &str, dialect: Dialect) -> (SyncContext, SyncTable<Value>) {
    let http = HttpTransport::builder(url)
        .dialect(dialect)
        .build()
        .unwrap();
    let sync = SyncContext::builder(Arc::new(MemoryStore::new()))
        .transport(http)
        .conflicts(ConflictPolicy::ServerWins)
        .open()
        .await
        .unwrap();
    let table = sync.table("todo").unwrap();
    (sync, table)
}

async fn held(table: &SyncTable<Value>) -> BTreeMap<String, i64> {
    let rows = table.query().await.unwrap().records;
    let rows = rows.into_iter().map(|row| {
        let id = row["id"].as_str().unwrap().to_owned();
        (id, row["n"].as_i64().unwrap())
    });
    rows.collect()
}

#[tokio::test]
async fn a_device_that_was_away_too_long_lets_go_of_what_was_deleted() {
    for dialect in [Dialect::Toolkit, Dialect::Zumo2, Dialect::Zumo3] {
        let clock = Arc::new(Days(AtomicI64::new(1_769_860_800_000)));
        let store = Arc::new(MemoryStore::new());
        let url = serve(Arc::clone(&store) as _, &clock).await;
        let (home_sync, home) = device(&url, dialect).await;
        let (away_sync, away) = device(&url, dialect).await;
        for n in 0..40 {
            let row = json!({"id": format!("r{n:02}"), "n": n});
            home.insert(&row).await.unwrap();
        }
        home_sync.push().await.unwrap();
        away.pull(Query::all(), "all").await.unwrap();
        assert_eq!(held(&away).await.len(), 40);
        away.update("r00", &json!({"n": 100})).await.unwrap();
        away.insert(&json!({"id": "made away", "n": 1}))
            .await
            .unwrap();

        for n in 0..30 {
            home.delete(format!("r{n:02}")).await.unwrap();
        }
        home_sync.push().await.unwrap();
        clock.0.fetch_add(3 * DAY, Ordering::SeqCst);
        home.insert(&json!({"id": "late", "n": 2})).await.unwrap();
        home_sync.push().await.unwrap();
        let table = TableName::new("todo").unwrap();
        let at_server = store.query_all(&table, &Query::all()).await.unwrap();
        assert_eq!(at_server.len(), 11, "no tombstone is left");

        let pull = away.pull(Query::all(), "all").without_push();
        let report = pull.await.unwrap();
        assert_eq!(report.deleted, 29, "{dialect:?}: {report:?}");
        assert_eq!(held(&away).await["r00"], 100, "it waits to be sent");
        away_sync.push().await.unwrap();
        away.pull(Query::all(), "all").await.unwrap();
        home.pull(Query::all(), "all").await.unwrap();
        assert_eq!(held(&away).await, held(&home).await, "{dialect:?}");
        assert_eq!(held(&away).await.len(), 12);
        assert_eq!(away_sync.pending_count().await.unwrap(), 0);
        let again = away.pull(Query::all(), "all").await.unwrap();
        assert_eq!(again.fetched, 0, "{dialect:?}: it has a position");
    }
}
