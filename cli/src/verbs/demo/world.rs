//! The world of the demo: a server and two devices, each with a store of its own.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synctable::http::HttpTransport;
use synctable::query::{Query, field};
use synctable::server::TableServer;
use synctable::store::LocalStore;
use synctable::sync::{SyncContext, SyncTable};
use synctable::{Declaration, NameError, SqliteStore, TableName};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::errors::Failure;

/// The files that a demo makes.
const STORES: [&str; 3] = ["server.db", "ada.db", "ben.db"];
/// Records in a page of the server.
const PAGE: u32 = 1000;

/// What the devices keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Todo {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) complete: bool,
    pub(super) priority: u32,
}

/// A person with a device.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) sync: SyncContext,
    pub(super) todos: SyncTable<Todo>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) ada: Person,
    pub(super) ben: Person,
    pub(super) url: String,
    server_store: Arc<dyn LocalStore>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl World {
    /// Makes the stores in `folder` and starts the server on a free port.
    pub(super) async fn open(folder: &Path) -> Result<Self, Failure> {
        if let Some(name) = STORES.iter().find(|name| folder.join(name).exists()) {
            return Err(Failure::bad_input(format!(
                "{} is there from another demo; choose another --dir, or remove it",
                folder.join(name).display()
            )));
        }
        let [server_store, ada, ben] = STORES.map(|name| SqliteStore::open(folder.join(name)));
        let server_store: Arc<dyn LocalStore> = Arc::new(server_store?);
        let schema = Declaration::new().with_soft_delete().with_page_size(PAGE);
        let server = TableServer::builder(Arc::clone(&server_store))
            .table(table()?, schema)
            .build()
            .await?;
        let cannot = |error| Failure::failed(format!("the server cannot start: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(cannot)?;
        let url = format!("http://{}", listener.local_addr().map_err(cannot)?);
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move { server.serve(listener, stopped).await });
        Ok(Self {
            ada: person("Ada", ada?, &url).await?,
            ben: person("Ben", ben?, &url).await?,
            url,
            server_store,
            stop,
            server,
        })
    }

    /// Compares what the server and both devices hold, record by record, and counts the records.
    pub(super) async fn compare(&self) -> Result<u64, Failure> {
        let (table, alive) = (table()?, field("deleted").eq(false));
        let mut query = Query::all().filter(alive).page(PAGE);
        let mut count = 0;
        loop {
            let page = self.server_store.query(&table, &query).await?;
            for person in [&self.ada, &self.ben] {
                let here = person.sync.store().query(&table, &query).await?;
                let equal = here.records.len() == page.records.len()
                    && here
                        .records
                        .iter()
                        .zip(&page.records)
                        .all(|(ours, theirs)| {
                            ours.id() == theirs.id()
                                && ours.version() == theirs.version()
                                && ours.same_members(theirs)
                        });
                if !equal {
                    return Err(Failure::failed(format!(
                        "the records of {} differ from the server's",
                        person.name
                    )));
                }
            }
            count += page.records.len() as u64;
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(count),
            }
        }
    }

    /// Stops the server and closes all stores.
    pub(super) async fn close(self) -> Result<(), Failure> {
        // The receiver is gone only if the server stopped by itself, which the next line tells.
        let _ = self.stop.send(());
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Failure::failed(format!("the server stopped: {error}"))),
            Err(error) => return Err(Failure::failed(format!("the server stopped: {error}"))),
        }
        self.ada.sync.close().await?;
        self.ben.sync.close().await?;
        self.server_store.close().await?;
        Ok(())
    }
}

fn table() -> Result<TableName, NameError> {
    TableName::new("todoitem")
}

async fn person(name: &'static str, store: SqliteStore, url: &str) -> Result<Person, Failure> {
    let http = HttpTransport::builder(url).build()?;
    let sync = SyncContext::builder(Arc::new(store))
        .transport(http)
        .open()
        .await?;
    let todos = sync.table(table()?.as_str())?;
    Ok(Person { name, sync, todos })
}
