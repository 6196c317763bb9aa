//! A store that a release left behind is worked with: changed, pushed to the server that it had met, resolved and pulled.

use std::sync::Arc;

use serde_json::Value;
use synctable::http::HttpTransport;
use synctable::query::{Query, field};
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::sync::{OperationState, Resolution, SyncContext};
use synctable::{Draft, MemoryStore, Record};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fixture::Fixture;
use crate::held::exported;

/// The name that the command gives to a pull without one.
const UNNAMED: &str = "default";
const SYNCED: [&str; 3] = ["movies", "notes", "people"];

/// The server that a device had met, over its store as that release left it.
struct Server {
    url: String,
    store: Arc<dyn LocalStore>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn of(fixture: &Fixture) -> Self {
        let store = fixture.server();
        let server = TableServer::builder(Arc::clone(&store))
            .schema(fixture.served())
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
        Self {
            url,
            store,
            stop,
            task,
        }
    }

    /// A device at this server.
    async fn device(&self, store: Arc<dyn LocalStore>) -> SyncContext {
        let http = HttpTransport::builder(&self.url).build().unwrap();
        let builder = SyncContext::builder(store).transport(http);
        builder.open().await.unwrap()
    }

    async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
        self.store.close().await.unwrap();
    }
}

async fn insert(sync: &SyncContext, table: &str, json: &str) {
    let record = Draft::from_json(json).unwrap().or_id(|| unreachable!());
    let table = sync.table::<Record>(table).unwrap();
    table.insert(&record).await.unwrap();
}

/// What may be done without a network, to records of every kind.
async fn change(sync: &SyncContext) {
    insert(
        sync,
        "movies",
        r#"{"id":"today","title":"today","year":2026,"score":2.50}"#,
    )
    .await;
    insert(sync, "notes", r#"{"id":"today-\u6771","number":1e3}"#).await;
    insert(sync, "drafts", r#"{"id":"d3","text":"mine alone, too"}"#).await;
    let people = sync.table::<Record>("people").unwrap();
    let older = serde_json::json!({"age": 7});
    people.update("p1", &older).await.unwrap();
    let movies = sync.table::<Record>("movies").unwrap();
    movies.delete("m10").await.unwrap();
}

/// The only line of a record, as `export` prints it.
async fn line(sync: &SyncContext, table: &str, id: &str) -> String {
    let table = sync.table::<Record>(table).unwrap();
    let record = table.get(id).await.unwrap();
    record.map_or_else(|| format!("no {id}"), |record| record.to_json())
}

async fn goes_on(fixture: &Fixture) {
    let what = &fixture.name;
    let server = Server::of(fixture).await;
    let sync = server.device(fixture.device()).await;
    let waiting = sync.pending_count().await.unwrap();
    change(&sync).await;
    assert_eq!(sync.pending_count().await.unwrap(), waiting + 4, "{what}");

    // All is sent but what waits for a decision.
    let report = sync.push().await.unwrap();
    assert_eq!(
        (
            report.conflicts,
            report.rejected,
            report.aside,
            report.pending
        ),
        (2, 1, 0, 3),
        "{what}"
    );
    assert_eq!(report.pushed, waiting + 4 - 3, "{what}");
    for parked in sync.parked().await.unwrap() {
        let seq = parked.operation.seq;
        if parked.operation.state == OperationState::Rejected {
            sync.cancel(seq).await.unwrap();
            continue;
        }
        let resolution = match parked.operation.id.as_str() {
            "m01" => Resolution::With(
                Draft::from_json(r#"{"title":"agreed","year":2001,"score":1.50}"#).unwrap(),
            ),
            _ => Resolution::Client,
        };
        sync.resolve(seq, resolution).await.unwrap();
    }
    assert_eq!(sync.push().await.unwrap().pushed, 2, "{what}");
    assert_eq!(sync.pending_count().await.unwrap(), 0, "{what}");

    // The pulls go on: what has changed since comes, and not the rest.
    let movies = sync.table::<Record>("movies").unwrap();
    let pulled = movies.pull(Query::all(), UNNAMED).await.unwrap();
    assert_eq!((pulled.added, pulled.deleted), (0, 0), "{what}: {pulled:?}");
    assert!(pulled.fetched < 15, "{what}: {pulled:?}");
    let recent = Query::all().filter(field("year").gt(1990));
    let pulled = movies.pull(recent, "recent").await.unwrap();
    assert_eq!((pulled.added, pulled.left), (0, 0), "{what}: {pulled:?}");
    assert!(pulled.fetched < 10, "{what}: {pulled:?}");
    for table in ["notes", "people"] {
        let table = sync.table::<Record>(table).unwrap();
        let pulled = table.pull(Query::all(), UNNAMED).await.unwrap();
        assert_eq!((pulled.added, pulled.deleted), (0, 0), "{what}: {pulled:?}");
    }

    as_it_was_meant(&sync, what).await;
    // A device that begins today has the same, and nothing of what is local only.
    let fresh = server.device(Arc::new(MemoryStore::new())).await;
    for table in SYNCED {
        let there = fresh.table::<Record>(table).unwrap();
        there.pull(Query::all(), UNNAMED).await.unwrap();
        assert_eq!(
            exported(&sync, table).await,
            exported(&fresh, table).await,
            "{what}: {table}"
        );
    }
    assert!(sync.verify().await.unwrap().is_empty(), "{what}");
    fresh.close().await.unwrap();
    sync.close().await.unwrap();
    server.stop().await;

    // And it opens once more.
    let sync = SyncContext::builder(fixture.device()).open().await.unwrap();
    assert_eq!(exported(&sync, "drafts").await.len(), 3, "{what}");
    as_it_was_meant(&sync, what).await;
    sync.close().await.unwrap();
}

/// What the device's changes of then and of today come to, in the digits in which they were typed.
async fn as_it_was_meant(sync: &SyncContext, what: &str) {
    let long = format!("long-{}-y", "x".repeat(240));
    for (table, id, members) in [
        (
            "movies",
            "m01",
            r#""title":"agreed","year":2001,"score":1.50}"#,
        ),
        ("movies", "m02", r#""title":"kept here","year":1982,"#),
        ("movies", "m04", r#""title":"edited here","year":1984,"#),
        (
            "movies",
            "m05",
            r#""title":"again","year":1985,"score":2.50,"#,
        ),
        ("movies", "m08", r#""title":"replaced here","year":1}"#),
        ("movies", "m09", r#""title":"made again","year":2009}"#),
        (
            "movies",
            "new-smile-\u{1f600}",
            r#""title":"made here","year":1999,"score":1e3,"undeclared":1.50}"#,
        ),
        (
            "movies",
            "today",
            r#""title":"today","year":2026,"score":2.50}"#,
        ),
        ("notes", "n1", r#""stars":3,"text":"plain"}"#),
        (
            "notes",
            "unsure",
            r#""number":1.50,"text":"edited behind it"}"#,
        ),
        ("notes", "today-\u{6771}", r#""number":1e3}"#),
        ("notes", &long, r#""list":[1e3,1.50]}"#),
        ("people", "p0", r#""age":31,"code":"A1""#),
        ("people", "p1", r#""age":7,"code":null"#),
    ] {
        let line = line(sync, table, id).await;
        assert!(line.contains(members), "{what}: {line}");
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["deleted"], false, "{what}: {line}");
    }
    for id in ["m06", "m07", "m10"] {
        assert_eq!(line(sync, "movies", id).await, format!("no {id}"), "{what}");
    }
}

#[tokio::test]
async fn a_plain_store_goes_on() {
    for fixture in Fixture::all() {
        if !fixture.scheme().starts_with("encrypted") {
            goes_on(&fixture).await;
        }
    }
}

#[tokio::test]
async fn a_sealed_store_goes_on() {
    for fixture in Fixture::all() {
        if fixture.scheme().starts_with("encrypted") {
            goes_on(&fixture).await;
        }
    }
}
