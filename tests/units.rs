//! A transaction as one over sockets (B3): with the reference server it is done whole or not at all, over all of its tables.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use serde_json::{Value, json};
use synctable::MemoryStore;
use synctable::http::{Dialect, HttpTransport};
use synctable::query::Query;
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::sync::{OperationState, Resolution, SyncContext, SyncTable};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A task that ends with the test.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve() -> (String, Task) {
    let store = Arc::new(MemoryStore::new()) as Arc<dyn LocalStore>;
    let server = TableServer::builder(store).any_table(true).build();
    let server = server.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let never = std::future::pending::<()>();
        server.serve(listener, never).await.unwrap();
    });
    (url, Task(task))
}

struct Device {
    sync: SyncContext,
    orders: SyncTable<Value>,
    lines: SyncTable<Value>,
}

impl Device {
    async fn new(url: &str, dialect: Dialect) -> Self {
        let transport = HttpTransport::builder(url).dialect(dialect);
        let builder = SyncContext::builder(Arc::new(MemoryStore::new()));
        let builder = builder.transport(transport.build().unwrap());
        let sync = builder.open().await.unwrap();
        Self {
            orders: sync.table("orders").unwrap(),
            lines: sync.table("lines").unwrap(),
            sync,
        }
    }

    /// Sets the number of the order and of its lines as one.
    async fn order(&self, n: i64) {
        let mut transaction = self.sync.transaction().as_one();
        let order = json!({"id": "o", "n": n});
        transaction.upsert(&self.orders, &order).unwrap();
        for id in ["a", "b"] {
            let line = json!({"id": id, "n": n});
            transaction.upsert(&self.lines, &line).unwrap();
        }
        transaction.commit().await.unwrap();
    }

    async fn pull(&self) {
        for table in [&self.orders, &self.lines] {
            table.pull(Query::all(), "all").await.unwrap();
        }
    }

    /// The numbers of the order and of its lines.
    async fn numbers(&self) -> [Option<i64>; 3] {
        let order = self.orders.get("o").await.unwrap();
        let (a, b) = (self.lines.get("a").await, self.lines.get("b").await);
        [order, a.unwrap(), b.unwrap()].map(|record| record?.get("n")?.as_i64())
    }
}

#[tokio::test]
async fn an_order_arrives_whole_or_not_at_all() {
    for dialect in [Dialect::Toolkit, Dialect::Zumo3, Dialect::Zumo2] {
        let (url, _server) = serve().await;
        let device = Device::new(&url, dialect).await;
        let other = Device::new(&url, dialect).await;
        device.order(1).await;
        assert_eq!(device.sync.push().await.unwrap().pushed, 3);
        other.pull().await;
        assert_eq!(other.numbers().await, [Some(1); 3], "{dialect}");

        // The other one is faster with a line.
        other.lines.update("a", &json!({"n": 7})).await.unwrap();
        other.sync.push().await.unwrap();
        device.order(2).await;
        let report = device.sync.push().await.unwrap();
        assert_eq!((report.pushed, report.conflicts, report.pending), (0, 1, 3));
        other.pull().await;
        assert_eq!(other.numbers().await, [Some(1), Some(7), Some(1)]);

        let parked = device.sync.parked().await.unwrap();
        let operation = &parked.first().expect("one is parked").operation;
        assert_eq!(operation.state, OperationState::Conflict);
        let decided = device.sync.resolve(operation.seq, Resolution::Client).await;
        decided.unwrap();
        assert_eq!(device.sync.push().await.unwrap().pushed, 3);
        other.pull().await;
        assert_eq!(other.numbers().await, [Some(2); 3], "{dialect}");
    }
}
