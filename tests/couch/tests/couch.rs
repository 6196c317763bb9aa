//! The example from its first pull to a conflict, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::query::{Query, field};
use synctable_core::sync::{PullReport, Resolution, SyncContext, SyncTable};
use synctable_core::transport::TransportErrorKind;
use synctable_core::{Error, TableName};
use synctable_couch::{CouchServer, CouchTransport};
use synctable_memory::MemoryStore;

struct Device {
    server: CouchServer,
    store: Arc<MemoryStore>,
    sync: SyncContext,
    todo: SyncTable<Value>,
}

impl Device {
    /// An empty device, and a server with the documents `d0` to `d9`.
    async fn new() -> Self {
        let server = CouchServer::start("todo").await.unwrap();
        for n in 0..10 {
            server.set(&format!("d{n}"), &json!({"n": n, "text": "café", "x": 1.0}));
        }
        let store = Arc::new(MemoryStore::new());
        let (sync, todo) = open(&store, &server).await;
        Self {
            server,
            store,
            sync,
            todo,
        }
    }

    /// As after the process was killed.
    async fn restart(&mut self) {
        (self.sync, self.todo) = open(&self.store, &self.server).await;
    }

    async fn pull(&self) -> PullReport {
        self.todo.pull(Query::all(), "all").await.unwrap()
    }

    async fn local(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for mut record in self.todo.query().await.unwrap().records {
            let members = record.as_object_mut().unwrap();
            let id = members.remove("id").unwrap();
            for name in ["version", "createdAt", "updatedAt", "deleted"] {
                members.remove(name);
            }
            found.insert(id.as_str().unwrap().to_owned(), record);
        }
        found
    }

    async fn is_in_sync(&self) {
        assert_eq!(self.sync.pending().await.unwrap(), []);
        assert_eq!(self.local().await, self.server.live());
        assert!(self.sync.verify().await.unwrap().is_empty());
    }

    /// The requests for changes since the last time: where each began.
    fn asked(&self) -> Vec<String> {
        let requests = self.server.requests().into_iter();
        let changes = requests.filter_map(|it| it.split_once("since=").map(|it| it.1.to_owned()));
        changes
            .map(|rest| rest.split(['&', '%', '-']).next().unwrap().to_owned())
            .collect()
    }
}

async fn open(store: &Arc<MemoryStore>, server: &CouchServer) -> (SyncContext, SyncTable<Value>) {
    let transport = CouchTransport::new(server.address());
    let builder = SyncContext::builder(Arc::<MemoryStore>::clone(store)).transport(transport);
    let sync = builder.open().await.unwrap();
    let todo = sync.table("todo").unwrap();
    (sync, todo)
}

#[tokio::test]
async fn the_first_pull_brings_everything_and_the_next_what_changed() {
    let device = Device::new().await;
    let first = device.pull().await;
    assert_eq!((first.added, first.requests), (10, 1));
    device.is_in_sync().await;
    device.server.set("d1", &json!({"n": 11}));
    device.server.set("new", &json!({"n": 1}));
    device.server.remove("d2");
    device.asked();
    let next = device.pull().await;
    assert_eq!(
        (next.fetched, next.added, next.updated, next.deleted),
        (3, 1, 1, 1)
    );
    assert_eq!(device.asked(), ["10"]);
    device.is_in_sync().await;
    assert_eq!(device.pull().await.fetched, 0);
}

#[tokio::test]
async fn changes_of_a_device_arrive_and_are_not_written_again() {
    let device = Device::new().await;
    device.pull().await;
    let new = json!({"id": "mine 1=ü", "text": "Milk", "x": 1.50});
    device.todo.insert(&new).await.unwrap();
    device.todo.update("d1", &json!({"n": 11})).await.unwrap();
    device.todo.delete("d2").await.unwrap();
    let report = device.pull().await;
    assert_eq!((report.pushed, report.unchanged), (3, 3));
    assert_eq!(report.added + report.updated + report.deleted, 0);
    assert_eq!(
        device.server.live()["d1"],
        json!({"n": 11, "text": "café", "x": 1.0})
    );
    device.is_in_sync().await;
    // What was deleted may be made again, here and at the server.
    device
        .todo
        .insert(&json!({"id": "d2", "n": 2}))
        .await
        .unwrap();
    device.sync.push().await.unwrap();
    device.todo.delete("d2").await.unwrap();
    device.sync.push().await.unwrap();
    device.pull().await;
    device.is_in_sync().await;
    device.server.set("d2", &json!({"n": 3}));
    device.pull().await;
    device.is_in_sync().await;
}

#[tokio::test]
async fn a_conflict_is_parked_and_decided() {
    for (resolution, n) in [(Resolution::Client, 100), (Resolution::Server, 50)] {
        let device = Device::new().await;
        device.pull().await;
        device.todo.update("d1", &json!({"n": 100})).await.unwrap();
        device.server.set("d1", &json!({"n": 50}));
        let report = device.sync.push().await.unwrap();
        assert_eq!((report.pushed, report.conflicts), (0, 1));
        let conflicts = device.sync.conflicts().await.unwrap();
        assert_eq!(
            conflicts[0].conflict.server.as_ref().unwrap().member("n"),
            Some(json!(50))
        );
        device.pull().await;
        device
            .sync
            .resolve(conflicts[0].operation.seq, resolution)
            .await
            .unwrap();
        device.pull().await;
        assert_eq!(device.server.live()["d1"]["n"], n);
        device.is_in_sync().await;
    }
}

#[tokio::test]
async fn a_conflict_with_a_deletion_is_decided() {
    for (resolution, left) in [(Resolution::Client, 10), (Resolution::Server, 9)] {
        let device = Device::new().await;
        device.pull().await;
        device.todo.update("d1", &json!({"n": 100})).await.unwrap();
        device.server.remove("d1");
        assert_eq!(device.sync.push().await.unwrap().conflicts, 1);
        let conflicts = device.sync.conflicts().await.unwrap();
        device.pull().await;
        device
            .sync
            .resolve(conflicts[0].operation.seq, resolution)
            .await
            .unwrap();
        device.pull().await;
        assert_eq!(device.server.live().len(), left);
        device.is_in_sync().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_has_one_effect() {
    let device = Device::new().await;
    device.pull().await;
    device
        .todo
        .insert(&json!({"id": "mine", "n": 7}))
        .await
        .unwrap();
    device.server.lose_answer();
    // The server is asked what became of it.
    assert_eq!(device.sync.push().await.unwrap().pushed, 1);
    device.pull().await;
    assert_eq!(device.server.live()["mine"], json!({"n": 7}));
    device.is_in_sync().await;
}

#[tokio::test]
async fn a_device_that_comes_back_after_deletions_were_forgotten_lets_them_go() {
    let device = Device::new().await;
    device.pull().await;
    for id in ["d1", "d2", "d3"] {
        device.server.remove(id);
    }
    device.todo.update("d3", &json!({"n": 33})).await.unwrap();
    device
        .todo
        .insert(&json!({"id": "mine", "n": 7}))
        .await
        .unwrap();
    device.server.compact();
    device.asked();
    let pull = device.todo.pull(Query::all(), "all").without_push().page(4);
    assert_eq!(pull.await.unwrap().deleted, 2);
    assert_eq!(device.asked(), ["10", "0", "7"]);
    assert_eq!(device.sync.pending().await.unwrap().len(), 2);
    device.sync.push().await.unwrap();
    for conflict in device.sync.conflicts().await.unwrap() {
        device
            .sync
            .resolve(conflict.operation.seq, Resolution::Server)
            .await
            .unwrap();
    }
    device.pull().await;
    device.is_in_sync().await;
}

#[tokio::test]
async fn a_process_that_is_killed_goes_on_where_it_was() {
    let mut device = Device::new().await;
    device.server.break_after(3);
    let pull = device.todo.pull(Query::all(), "all").page(2);
    let Err(Error::Transport(error)) = pull.await else {
        panic!("the server ends connections");
    };
    assert_eq!(error.kind(), TransportErrorKind::Broken);
    device.restart().await;
    device.server.mend();
    assert_eq!(device.local().await.len(), 6);
    device.server.set("d0", &json!({"n": 100}));
    device.server.remove("d1");
    device.asked();
    let rest = device.pull().await;
    assert_eq!((rest.fetched, rest.requests), (6, 1));
    assert_eq!(device.asked(), ["6"]);
    device.is_in_sync().await;
}

#[tokio::test]
async fn pages_without_records_lead_on() {
    let device = Device::new().await;
    device.pull().await;
    for n in 0..20 {
        device
            .server
            .set(&format!("_design/view{n}"), &json!({"language": "query"}));
    }
    device.server.set("d1", &json!({"n": 11}));
    let pull = device.todo.pull(Query::all(), "all").page(4).await.unwrap();
    assert_eq!((pull.requests, pull.fetched), (6, 1));
    assert_eq!(device.local().await["d1"], json!({"n": 11}));
}

#[tokio::test]
async fn what_does_not_match_any_more_leaves() {
    let device = Device::new().await;
    let low = || Query::all().filter(field("n").lt(5));
    let pull = async || device.todo.pull(low(), "low").await.unwrap();
    assert_eq!(pull().await.added, 5);
    device.server.set("d1", &json!({"n": 50}));
    device.server.set("d8", &json!({"n": 0}));
    let report = pull().await;
    assert_eq!((report.added, report.deleted), (1, 1));
    assert!(!device.local().await.contains_key("d1"));
}

#[tokio::test]
async fn pulls_in_full_and_audits_read_pages() {
    let device = Device::new().await;
    let full = device.todo.pull_full(Query::all()).page(3).await.unwrap();
    assert_eq!(full.added, 10);
    device.server.remove("d1");
    device.server.set("d2", &json!({"n": 22}));
    let report = device.todo.audit(Query::all()).await.unwrap();
    assert_eq!((report.stale, report.surplus), (1, 1));
    device.is_in_sync().await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_unknown_table() {
    let device = Device::new().await;
    let other = device.sync.table::<Value>("other").unwrap();
    assert_eq!(other.name(), &TableName::new("other").unwrap());
    let Err(Error::Transport(error)) = other.pull(Query::all(), "all").await else {
        panic!("there is no such database");
    };
    assert_eq!(error.kind(), TransportErrorKind::UnknownTable);
}
