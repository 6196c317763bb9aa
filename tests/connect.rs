//! A context whose server, address, dialect and user change over real HTTP (T3).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use synctable::http::{AuthHeader, Dialect, HttpTransport, UserToken};
use synctable::query::{Query, RemoteQuery};
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::sync::{Connection, OperationState, SyncContext};
use synctable::transport::{
    Change, Outcome, PageCursor, RemotePage, Transport, TransportCapabilities, TransportError,
    TransportErrorKind,
};
use synctable::{Error, MemoryStore, Record, RecordId, TableName};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server on loopback, gone with the test.
struct Server {
    url: String,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(store: &Arc<MemoryStore>) -> Server {
    let store = Arc::clone(store) as Arc<dyn LocalStore>;
    let server = TableServer::builder(store).any_table(true).build();
    let server = server.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let never = std::future::pending::<()>();
        server.serve(listener, never).await.unwrap();
    });
    Server { url, task }
}

fn http(server: &Server, dialect: Dialect) -> HttpTransport {
    let builder = HttpTransport::builder(&server.url).dialect(dialect);
    builder.build().unwrap()
}

/// Does the first change, loses its answer, and finds no connection any more.
#[derive(Debug)]
struct Cut {
    http: HttpTransport,
    off: AtomicBool,
}

impl Cut {
    fn is_there(&self) -> Result<(), TransportError> {
        if !self.off.load(Ordering::SeqCst) {
            return Ok(());
        }
        let kind = TransportErrorKind::Unreachable;
        Err(TransportError::new(kind, "there is no connection"))
    }
}

#[async_trait]
impl Transport for Cut {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        self.is_there()?;
        self.http.apply(table, change).await?;
        self.off.store(true, Ordering::SeqCst);
        let kind = TransportErrorKind::Broken;
        Err(TransportError::new(kind, "the answer is lost"))
    }
    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        self.is_there()?;
        self.http.get(table, id).await
    }
    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        self.is_there()?;
        self.http.page(table, query, cursor).await
    }
    fn capabilities(&self) -> TransportCapabilities {
        self.http.capabilities()
    }
    fn address(&self) -> Option<String> {
        self.http.address()
    }
}

async fn rows(store: &Arc<MemoryStore>) -> Vec<(String, Value)> {
    let table = TableName::new("todo").unwrap();
    let page = store.query(&table, &Query::all()).await.unwrap();
    let live = page.records.iter().filter(|row| !row.is_deleted());
    live.map(|row| (row.id().to_string(), row.member("n").unwrap()))
        .collect()
}

/// What was queued, and what was sent without an answer, in one dialect is settled in another one, with one effect each.
#[tokio::test]
async fn t3_a_queue_goes_on_in_another_dialect() {
    let all = [Dialect::Toolkit, Dialect::Zumo2, Dialect::Zumo3];
    for (from, to) in all.iter().flat_map(|from| all.map(|to| (*from, to))) {
        let at_server = Arc::new(MemoryStore::new());
        let server = serve(&at_server).await;
        let store = Arc::new(MemoryStore::new());
        let sync = SyncContext::builder(store).open().await.unwrap();
        let todo = sync.table::<Value>("todo").unwrap();
        let missing = sync.push().await;
        assert!(missing.is_ok(), "there is nothing to send: {missing:?}");
        for id in ["a", "b", "c"] {
            todo.insert(&json!({"id": id, "n": 1})).await.unwrap();
        }
        let offline = sync.push().await.unwrap_err();
        let Error::PushStopped { source, .. } = offline else {
            panic!("{offline}");
        };
        let kind = match *source {
            Error::Transport(error) => error.kind(),
            other => panic!("{other}"),
        };
        assert_eq!(kind, TransportErrorKind::Missing);
        sync.connect(http(&server, from)).await.unwrap();
        sync.push().await.unwrap();
        todo.update("a", &json!({"n": 2})).await.unwrap();
        todo.delete("b").await.unwrap();
        todo.insert(&json!({"id": "d", "n": 2})).await.unwrap();
        let cut = Cut {
            http: http(&server, from),
            off: AtomicBool::new(false),
        };
        sync.connect(cut).await.unwrap();
        sync.push().await.unwrap_err();
        let pending = sync.pending().await.unwrap();
        let open = pending
            .iter()
            .filter(|it| it.state == OperationState::Attempted);
        assert!(open.count() > 0, "{from} {to}: {pending:?}");
        todo.update("c", &json!({"n": 3})).await.unwrap();
        sync.disconnect();
        let builder = HttpTransport::builder(&server.url);
        let found = builder.detect(todo.name()).await.unwrap();
        assert_eq!(found.chosen_dialect(), Dialect::Toolkit);
        sync.connect(http(&server, to)).await.unwrap();
        sync.push().await.unwrap();
        let left = sync.pending().await.unwrap();
        assert!(
            left.is_empty(),
            "{from} {to}: {left:#?} {:#?}",
            sync.conflicts().await
        );
        let left = [("a", 2), ("c", 3), ("d", 2)];
        let left = left.map(|(id, n)| (id.to_owned(), json!(n)));
        assert_eq!(rows(&at_server).await, left, "{from} {to}");
        let report = todo.pull(Query::all(), "all").await.unwrap();
        assert_eq!((report.added, report.deleted), (0, 0), "{from} {to}");
    }
}

/// One server at two addresses is one by its id; another one gets nothing and gives nothing.
#[tokio::test]
async fn t3_addresses_change_and_servers_do_not_mix() {
    let (one, other) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let (here, moved, there) = (serve(&one).await, serve(&one).await, serve(&other).await);
    let store = Arc::new(MemoryStore::new());
    let builder = SyncContext::builder(store).transport(http(&here, Dialect::Toolkit));
    let sync = builder.open().await.unwrap();
    let todo = sync.table::<Value>("todo").unwrap();
    todo.insert(&json!({"id": "a", "n": 1})).await.unwrap();
    sync.push().await.unwrap();
    let user = UserToken::new();
    user.sign_in("ada", "token");
    let builder =
        HttpTransport::builder(&moved.url).auth(Arc::new(user.clone()), AuthHeader::Bearer);
    let signed = Arc::new(builder.build().unwrap());
    sync.connect(Connection::new(Arc::clone(&signed)).account("ada"))
        .await
        .unwrap();
    sync.check_identity().await.unwrap();
    todo.insert(&json!({"id": "b", "n": 1})).await.unwrap();
    sync.push().await.unwrap();
    assert_eq!(rows(&one).await.len(), 2);

    todo.insert(&json!({"id": "c", "n": 1})).await.unwrap();
    user.sign_out();
    assert!(sync.push().await.unwrap_err().needs_sign_in());
    sync.connect(http(&there, Dialect::Toolkit)).await.unwrap();
    let refused = sync.check_identity().await;
    assert!(
        matches!(refused, Err(Error::ServerChanged { .. })),
        "{refused:?}"
    );
    sync.push().await.unwrap_err();
    todo.pull(Query::all(), "all")
        .without_push()
        .await
        .unwrap_err();
    let tables = other.schema().await.unwrap();
    assert!(tables.table(todo.name()).is_none(), "nothing was written");

    user.sign_in("ada", "another-token");
    sync.connect(signed).await.unwrap();
    assert_eq!(sync.push().await.unwrap().pushed, 1);
    assert_eq!(rows(&one).await.len(), 3);
}
