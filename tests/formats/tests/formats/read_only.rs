//! What a release wrote is read as it is: nothing is brought forward, and no byte of its files changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use synctable::query::Query;
use synctable::store::{LocalStore, LocalStoreExt, StoreErrorKind, WriteBatch};
use synctable::sync::{SyncContext, examine};
use synctable::{Record, Schema, TableName, TableSchema};

use crate::fixture::{Fixture, TABLES};
use crate::held::exported;
use crate::marks::marks;

type Tree = BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)>;

/// Names, times and contents of all that is in a folder, and its own time.
fn tree(folder: &Path) -> Tree {
    let mut found = BTreeMap::new();
    let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    found.insert(folder.to_owned(), (time(folder), None));
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.insert(path.clone(), (time(&path), Some(content)));
        }
    }
    found
}

fn assert_same(before: &Tree, folder: &Path, what: &str) {
    let after = tree(folder);
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(before), "{what}");
    for (path, file) in before {
        assert!(after[path] == *file, "{what}: {} changed", path.display());
    }
}

async fn all(store: &dyn LocalStore, table: &TableName) -> Vec<String> {
    let records = store.query_all(table, &Query::all()).await.unwrap();
    records.iter().map(Record::to_json).collect()
}

async fn assert_refuses(store: &Arc<dyn LocalStore>, what: &str) {
    assert!(store.capabilities().read_only, "{what}");
    let movies = TableName::new("movies").unwrap();
    let row = Record::from_json(r#"{"id":"a"}"#).unwrap();
    let refused = store.commit(WriteBatch::new().put(&movies, row)).await;
    let kind = refused.unwrap_err().kind();
    assert_eq!(kind, StoreErrorKind::Unsupported, "{what}");
    store
        .define(&store.schema().await.unwrap())
        .await
        .expect("what is known already is no change");
    let new = TableName::new("new").unwrap();
    let schema = Schema::new().with_table(new, TableSchema::new());
    let kind = store.define(&schema).await.unwrap_err().kind();
    assert_eq!(kind, StoreErrorKind::Unsupported, "{what}");
}

#[tokio::test]
async fn a_device_is_read_unconverted() {
    for fixture in Fixture::all() {
        let what = &fixture.name;
        let before = tree(fixture.folder());
        let store = fixture.device_read_only();
        assert_refuses(&store, what).await;
        let sync = SyncContext::builder(Arc::clone(&store))
            .schema(fixture.schema())
            .open()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        for table in TABLES {
            let expected = fixture.expected(table);
            assert_eq!(exported(&sync, table).await, expected, "{what}: {table}");
        }
        let queue = sync.pending().await.unwrap();
        assert_eq!(queue.len(), fixture.expected("pending").len(), "{what}");
        let conflicts = sync.conflicts().await.unwrap();
        assert_eq!(conflicts.len(), fixture.expected("conflicts").len());
        assert_eq!(
            sync.inspect().await.unwrap().tokens.len(),
            fixture.expected("positions").len()
        );
        let found = examine(store.as_ref()).await.unwrap();
        assert_eq!(found.pending, queue.len() as u64, "{what}");
        let findings = sync.verify().await.unwrap();
        assert!(findings.is_empty(), "{what}: {findings:?}");
        store.check().await.unwrap();
        let movies = sync.table::<Record>("movies").unwrap();
        let refused = movies.delete("no-such").await.unwrap_err();
        let insert = Record::from_json(r#"{"id":"mine"}"#).unwrap();
        let refused_too = movies.insert(&insert).await.unwrap_err();
        assert!(
            refused_too.to_string().contains("reading only"),
            "{what}: {refused_too} {refused}"
        );
        sync.close().await.unwrap();
        drop((sync, store));
        assert_same(&before, fixture.folder(), what);
    }
}

#[tokio::test]
async fn a_killed_server_is_read_as_an_opening_for_writing_would_find_it() {
    for fixture in Fixture::all() {
        let what = &format!("the server of {}", fixture.name);
        let before = tree(fixture.folder());
        let store = fixture.server_read_only();
        let mut seen = Vec::new();
        let schema = store.schema().await.unwrap();
        for (table, _) in schema.tables() {
            seen.push((table.clone(), all(store.as_ref(), table).await));
        }
        assert!(seen.iter().any(|(_, rows)| rows.len() > 5), "{what}");
        store.close().await.unwrap();
        drop(store);
        assert_same(&before, fixture.folder(), what);

        let store = fixture.server();
        for (table, rows) in &seen {
            assert_eq!(all(store.as_ref(), table).await, *rows, "{what}: {table}");
        }
        assert_eq!(store.schema().await.unwrap(), schema, "{what}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_of_what_is_read_is_a_store_of_today() {
    for fixture in Fixture::all() {
        let what = &fixture.name;
        let before = tree(fixture.folder());
        let target = tempfile::tempdir().unwrap();
        let store = fixture.device_read_only();
        // Beside the other, under the name by which the fixture finds it.
        let copied = fixture.copied_to(target.path());
        let path = copied.device_path();
        let done = synctable::sync::backup_store(store.as_ref(), &path).await;
        done.unwrap_or_else(|error| panic!("{what}: {error}"));
        store.close().await.unwrap();
        drop(store);
        assert_same(&before, fixture.folder(), what);
        let sync = SyncContext::builder(copied.device()).open().await.unwrap();
        for table in TABLES {
            let expected = fixture.expected(table);
            assert_eq!(exported(&sync, table).await, expected, "{what}: {table}");
        }
        sync.close().await.unwrap();
        drop(sync);
        let _ = marks(fixture.scheme(), &path);
    }
}
