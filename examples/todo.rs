//! A to-do list that works offline and syncs when it can: `cargo run --example todo`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synctable::http::HttpTransport;
use synctable::query::{Query, field};
use synctable::server::TableServer;
use synctable::sync::SyncContext;
use synctable::{MemoryStore, SqliteStore};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Todo {
    id: String,
    text: String,
    complete: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A server of our own, so that the example needs nothing else.
    let server = TableServer::builder(Arc::new(MemoryStore::new()))
        .any_table(true)
        .build()
        .await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { server.serve(listener, std::future::pending::<()>()).await });

    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("todo.db"))?);
    let http = HttpTransport::builder(&url).build()?;
    let sync = SyncContext::builder(store).transport(http).open().await?;
    let todos = sync.table::<Todo>("todoitem")?;

    // Offline or not: this is stored at once, together with the operation that tells the server later.
    let milk = todos
        .insert(&Todo {
            text: "Buy milk".into(),
            ..Todo::default()
        })
        .await?;
    todos
        .update(&milk.id, &serde_json::json!({"complete": true}))
        .await?;
    todos
        .insert(&Todo {
            text: "Call Ada".into(),
            ..Todo::default()
        })
        .await?;
    println!("waiting to be pushed: {}", sync.pending_count().await?);

    // Online again.
    let report = sync.push().await?;
    println!("pushed: {}", report.pushed);
    todos.pull(Query::all(), "all-todos").await?;
    for todo in todos
        .query()
        .filter(field("complete").eq(false))
        .order_by("text")
        .await?
    {
        println!("still to do: {}", todo.text);
    }
    sync.close().await?;
    Ok(())
}
