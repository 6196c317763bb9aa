//! Conflicts: decided by a handler, parked and resolved later, merged. `cargo run --example conflicts`.

use std::error::Error;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use synctable::http::HttpTransport;
use synctable::query::Query;
use synctable::server::TableServer;
use synctable::sync::{
    ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy, HandlerError, Resolution,
    SyncContext, SyncTable,
};
use synctable::{Declaration, MemoryStore, TableName};

#[derive(Debug, Serialize, Deserialize)]
struct Todo {
    id: String,
    text: String,
    done: bool,
}

/// The longer text wins; where one side deleted the record, a person decides.
struct LongerText;

#[async_trait::async_trait]
impl ConflictHandler for LongerText {
    async fn resolve(&self, conflict: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
        let (Some(local), Some(server)) = (&conflict.local, &conflict.server) else {
            return Ok(ConflictDecision::Park);
        };
        if server.is_deleted() {
            return Ok(ConflictDecision::Park);
        }
        let (local, server): (Todo, Todo) = (local.to()?, server.to()?);
        Ok(if local.text.len() > server.text.len() {
            ConflictDecision::Client
        } else {
            ConflictDecision::Server
        })
    }
}

/// A device of its own, with its own store.
struct Device {
    sync: SyncContext,
    todos: SyncTable<Todo>,
}

impl Device {
    async fn open(url: &str, policy: ConflictPolicy) -> Result<Self, Box<dyn Error>> {
        let sync = SyncContext::builder(Arc::new(MemoryStore::new()))
            .transport(HttpTransport::builder(url).build()?)
            .conflicts(policy)
            .open()
            .await?;
        let todos = sync.table("todoitem")?;
        Ok(Self { sync, todos })
    }

    async fn text(&self) -> Result<String, Box<dyn Error>> {
        let milk = self.todos.get("milk").await?;
        Ok(milk.map_or_else(|| "nothing".into(), |milk| milk.text))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A server of our own, so that the example needs nothing else.
    let server = TableServer::builder(Arc::new(MemoryStore::new()))
        .table(
            TableName::new("todoitem")?,
            Declaration::new().with_soft_delete(),
        )
        .build()
        .await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { server.serve(listener, std::future::pending::<()>()).await });

    let ada = Device::open(&url, ConflictPolicy::Park).await?;
    let ben = Device::open(&url, ConflictPolicy::custom(LongerText)).await?;
    let milk = Todo {
        id: "milk".into(),
        text: "Milk".into(),
        done: false,
    };
    ada.todos.insert(&milk).await?;
    ada.sync.push().await?;
    ben.todos.pull(Query::all(), "all").await?;

    // Both edit the same record. Ben pushes second, and his handler decides at once.
    ada.todos
        .update("milk", &json!({"text": "Milk and bread"}))
        .await?;
    ben.todos.update("milk", &json!({"text": "Oat"})).await?;
    ada.sync.push().await?;
    ben.sync.push().await?;
    println!("Ben's handler took {}", ben.text().await?);

    // This time Ada pushes second. Her conflict is parked: it waits in her store, and nothing is lost.
    ben.todos
        .update("milk", &json!({"text": "Oat milk"}))
        .await?;
    ada.todos.update("milk", &json!({"done": true})).await?;
    ben.sync.push().await?;
    let report = ada.sync.push().await?;
    println!("Ada has {} conflict parked", report.conflicts);

    // They changed different members, so the changes can be joined.
    for parked in ada.sync.conflicts().await? {
        let seq = parked.operation.seq;
        ada.sync.resolve(seq, Resolution::Merge).await?;
        println!("merged into {:?}", ada.todos.get("milk").await?);
    }
    ada.sync.push().await?;
    ben.todos.pull(Query::all(), "all").await?;

    // Ben deletes what Ada edits: one side has no record, so nothing can be joined. Ada's side brings it back.
    ben.todos.delete("milk").await?;
    ada.todos
        .update("milk", &json!({"text": "Soy milk"}))
        .await?;
    ben.sync.push().await?;
    ada.sync.push().await?;
    for parked in ada.sync.conflicts().await? {
        let seq = parked.operation.seq;
        if let Err(error) = ada.sync.resolve(seq, Resolution::Merge).await {
            println!("{error}");
        }
        ada.sync.resolve(seq, Resolution::Client).await?;
    }
    ada.sync.push().await?;
    ben.todos.pull(Query::all(), "all").await?;
    println!(
        "in the end Ada has {}, Ben {}",
        ada.text().await?,
        ben.text().await?
    );
    Ok(())
}
