//! Stores that are opened for reading only: they show what an opening for writing would show, and no byte of their folder changes.
#![cfg(feature = "full")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod beside;
mod disks;
mod left;
mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use synctable::encrypted::RawKey;
use synctable::query::Query;
use synctable::store::{LocalStore, LocalStoreExt, WriteBatch};
use synctable::sync::SyncContext;
use synctable::{Missing, OpenedStore, Record, StoreKey, StoreUrl, TableName};

/// Every kind of store with files.
const KINDS: [&str; 6] = [
    "sqlite",
    "redb",
    "sled",
    "encrypted+sqlite",
    "encrypted+redb",
    "encrypted+sled",
];
/// How many records are in a store that is left.
const ROWS: usize = 40;

fn key(url: &StoreUrl) -> Option<StoreKey> {
    let raw = || StoreKey::Raw(RawKey::from_bytes([7; 32]));
    url.is_encrypted().then(raw)
}

fn url(kind: &str, folder: &Path) -> StoreUrl {
    let url = format!("{kind}:{}", folder.join("store").display());
    url.parse().unwrap()
}

fn opened(url: &StoreUrl) -> OpenedStore {
    url.open(key(url), Missing::Refuse).unwrap()
}

fn read_only(url: &StoreUrl) -> Arc<dyn LocalStore> {
    let opened = url.open_read_only(key(url));
    opened
        .unwrap_or_else(|error| panic!("{url}: {error}"))
        .store
}

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

fn row(number: usize) -> Record {
    Record::from_json(&format!(r#"{{"id":"{number:03}","n":{number}}}"#)).unwrap()
}

/// A device's store with records, a queue and a setting, still open.
async fn begun(kind: &str, folder: &Path) -> Arc<dyn LocalStore> {
    let url = url(kind, folder);
    let store = url.open(key(&url), Missing::Make).unwrap().store;
    let sync = SyncContext::builder(Arc::clone(&store))
        .open()
        .await
        .unwrap();
    let table = sync.table::<Record>("todo").unwrap();
    for number in 0..ROWS {
        table.insert(&row(number)).await.unwrap();
    }
    sync.set_setting("colour", "red").await.unwrap();
    store
}

/// A folder as the process leaves it that is killed while it has a store open.
async fn killed(kind: &str) -> tempfile::TempDir {
    let (live, left) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = begun(kind, live.path()).await;
    copy_all(live.path(), left.path());
    store.close().await.unwrap();
    left
}

/// By another process: to open and close the files of a live SQLite store here would let go of its locks.
fn copy_all(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    copy.arg("-R").arg(from.join(".")).arg(to);
    assert!(copy.status().unwrap().success());
}

/// All records, and what a context makes of them.
async fn assert_whole(store: &Arc<dyn LocalStore>, what: &str) {
    let found = store.query_all(&todo(), &Query::all()).await.unwrap();
    let expected: Vec<Record> = (0..ROWS).map(row).collect();
    let texts = |rows: &[Record]| rows.iter().map(Record::to_json).collect::<Vec<_>>();
    assert_eq!(texts(&found), texts(&expected), "{what}");
    let sync = SyncContext::builder(Arc::clone(store))
        .open()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(sync.pending().await.unwrap().len(), ROWS, "{what}");
    let colour = sync.setting("colour").await.unwrap();
    assert_eq!(colour.as_deref(), Some("red"), "{what}");
    assert!(sync.verify().await.unwrap().is_empty(), "{what}");
    // Another name, which no store has yet.
    let other = sync.table::<Record>("other").unwrap();
    let records = other.query().order_by("id").await.unwrap().records;
    assert!(records.is_empty(), "{what}");
}

async fn assert_refuses_writes(store: &dyn LocalStore, what: &str) {
    let batch = WriteBatch::new().put(&todo(), row(900));
    let refused = store.commit(batch).await.unwrap_err();
    assert!(refused.to_string().contains("reading only"), "{what}");
    let found = store.get_one(&todo(), row(900).id()).await.unwrap();
    assert_eq!(found, None, "{what}");
}

/// Names, lengths, times and contents of all that is in a folder, and its own time.
#[derive(Debug, PartialEq)]
struct Tree(BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)>);

impl Tree {
    fn of(folder: &Path) -> Self {
        let time = |path: &Path| fs::symlink_metadata(path).unwrap().modified().unwrap();
        let mut found = BTreeMap::from([(folder.to_owned(), (time(folder), None))]);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(Self::of(&path).0);
            } else {
                let file = (time(&path), Some(fs::read(&path).unwrap()));
                found.insert(path, file);
            }
        }
        Self(found)
    }

    fn assert_still(&self, folder: &Path, what: &str) {
        let after = Self::of(folder);
        let names = |tree: &Self| tree.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(self), "{what}");
        for (path, file) in &self.0 {
            assert!(after.0[path] == *file, "{what}: {} changed", path.display());
        }
    }
}
