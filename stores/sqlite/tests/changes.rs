//! What handles and processes on one file learn of each other's commits, and of those of programs that know nothing of us.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;
use synctable_core::query::Query;
use synctable_core::store::{
    Changed, Changes, Durability, LocalStore, LocalStoreExt, Position, StoreErrorKind, WriteBatch,
};
use synctable_core::{FieldType, Record, RecordId, Schema, TableName, TableSchema};
use synctable_sqlite::SqliteStore;
use tempfile::TempDir;

const STORE: &str = "SYNCTABLE_TEST_STORE";

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

async fn opened(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).unwrap();
    let schema = TableSchema::new().with_field("title", FieldType::String);
    let schema = Schema::new().with_table(todo(), schema);
    store.define(&schema).await.unwrap();
    store
}

/// A folder, the path of a store in it, and two handles on that.
async fn two() -> (TempDir, PathBuf, [SqliteStore; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let handles = [opened(&path).await, opened(&path).await];
    (folder, path, handles)
}

fn put(id: &str) -> WriteBatch {
    let json = format!(r#"{{"id":"{id}","title":"Milk"}}"#);
    WriteBatch::new().put(&todo(), Record::from_json(&json).unwrap())
}

/// The ids that were changed since; `None` where that is not known.
async fn since(store: &SqliteStore, position: Position) -> Option<Vec<String>> {
    match store.changes_since(position, 10_000).await.unwrap() {
        Changes::Unknown { .. } => None,
        Changes::Known { changed, .. } => {
            let name = |change: Changed| match change {
                Changed::Record { id, .. } => id.as_str().to_owned(),
                Changed::Table { .. } => "all".to_owned(),
            };
            Some(changed.into_iter().map(name).collect())
        }
    }
}

/// Whether a check holds that nobody has changed the table since.
async fn is_unchanged(store: &SqliteStore, position: Position) -> bool {
    let batch = WriteBatch::new().expect_unchanged(&todo(), position);
    match store.commit(batch).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{error}");
            false
        }
    }
}

#[tokio::test]
async fn a_handle_names_what_another_one_has_changed() {
    let (_folder, _, [one, other]) = two().await;
    let before = other.position().await.unwrap();
    assert!(is_unchanged(&other, before).await);
    let landed = one.commit(put("a")).await.unwrap();
    assert_eq!(other.position().await.unwrap(), landed);
    assert_eq!(since(&other, before).await.unwrap(), ["a"]);
    assert!(!is_unchanged(&other, before).await);
    assert!(is_unchanged(&other, landed).await);
    let after = other
        .commit(put("b").expect_unchanged(&todo(), landed))
        .await
        .unwrap();
    assert_eq!(since(&one, landed).await.unwrap(), ["b"]);
    assert!(!is_unchanged(&one, landed).await);
    assert!(is_unchanged(&one, after).await);
    // What is declared anew may have rewritten rows.
    let schema = TableSchema::new().with_field("done", FieldType::Boolean);
    one.define(&Schema::new().with_table(todo(), schema))
        .await
        .unwrap();
    assert_eq!(since(&other, after).await.unwrap(), ["all"]);
}

#[tokio::test]
async fn the_log_goes_on_while_handles_come_and_go() {
    let (_folder, path, [one, other]) = two().await;
    let before = one.position().await.unwrap();
    for (number, durability) in [Durability::Immediate, Durability::Eventual]
        .into_iter()
        .enumerate()
    {
        let guest = opened(&path).await;
        let batch = put(&format!("guest {number}")).durability(durability);
        guest.commit(batch).await.unwrap();
        // It empties SQLite's log, which is not what a stranger did.
        guest.close().await.unwrap();
        other.commit(put(&format!("other {number}"))).await.unwrap();
    }
    let names = ["guest 0", "other 0", "guest 1", "other 1"];
    assert_eq!(since(&one, before).await.unwrap(), names);
}

#[tokio::test]
async fn what_a_program_of_others_writes_is_not_passed_over() {
    let (_folder, path, [one, other]) = two().await;
    let stranger = Connection::open(&path).unwrap();
    let write = || {
        let sql = "INSERT OR REPLACE INTO todo (id, deleted, title) VALUES ('x', 0, 'Bread')";
        stranger.execute(sql, []).unwrap();
    };
    let before = one.commit(put("a")).await.unwrap();
    write();
    assert!(!is_unchanged(&other, before).await);
    assert_eq!(since(&one, before).await, None);
    assert_eq!(since(&other, before).await, None);
    // Where entries of others could explain that somebody has committed, too.
    let before = one.commit(put("b")).await.unwrap();
    write();
    assert!(!is_unchanged(&other, before).await);
    let here = one.position().await.unwrap();
    assert_ne!(here.log(), before.log());
    assert!(is_unchanged(&one, here).await);
    other.commit(put("c")).await.unwrap();
    assert_eq!(since(&one, here).await.unwrap(), ["c"]);
}

#[tokio::test]
async fn a_file_that_was_put_back_has_another_log() {
    let (_folder, path, [one, other]) = two().await;
    one.commit(put("a")).await.unwrap();
    other.close().await.unwrap();
    one.close().await.unwrap();
    let copy = fs::read(&path).unwrap();
    let store = opened(&path).await;
    let place = store.commit(put("b")).await.unwrap();
    let beside = |suffix| format!("{}{suffix}", path.display());
    let changes = fs::read(beside("-changes")).unwrap();
    store.close().await.unwrap();
    fs::write(&path, copy).unwrap();
    fs::write(beside("-changes"), changes).unwrap();
    let store = opened(&path).await;
    assert_eq!(since(&store, place).await, None);
    assert!(!is_unchanged(&store, place).await);
    store.commit(put("c")).await.unwrap();
    assert_eq!(since(&store, place).await, None);
}

#[tokio::test]
#[cfg(unix)]
async fn a_log_that_was_removed_makes_no_check_pass() {
    let (_folder, path, [one, other]) = two().await;
    let before = other.position().await.unwrap();
    one.commit(put("a")).await.unwrap();
    let changes = PathBuf::from(format!("{}-changes", path.display()));
    fs::remove_file(&changes).unwrap();
    let third = opened(&path).await;
    let start = third.position().await.unwrap();
    one.commit(put("b")).await.unwrap();
    assert!(!is_unchanged(&third, start).await);
    assert!(!is_unchanged(&other, before).await);
    let here = one.position().await.unwrap();
    for store in [&third, &other] {
        store.commit(put("c")).await.unwrap();
    }
    assert_eq!(since(&one, here).await.unwrap(), ["c", "c"]);
}

#[tokio::test]
#[cfg(unix)]
async fn where_others_could_not_be_told_nothing_is_committed() {
    let (_folder, path, [one, other]) = two().await;
    let changes = PathBuf::from(format!("{}-changes", path.display()));
    fs::remove_file(&changes).unwrap();
    fs::create_dir(&changes).unwrap();
    let error = one.commit(put("a")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io, "{error}");
    assert!(error.to_string().contains("a.db-changes"), "{error}");
    let all = other.query_all(&todo(), &Query::all()).await.unwrap();
    assert_eq!(all, []);
    fs::remove_dir(&changes).unwrap();
    one.commit(put("a")).await.unwrap();
}

#[tokio::test]
#[cfg(unix)]
async fn the_file_is_its_owners_alone_and_ends_with_the_last_handle() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (folder, path, [one, other]) = two().await;
    let changes = PathBuf::from(format!("{}-changes", path.display()));
    let mode = fs::metadata(&changes).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // By whatever name the store is opened, it has one log.
    let link = folder.path().join("link.db");
    symlink(&path, &link).unwrap();
    let third = opened(&link).await;
    let before = one.position().await.unwrap();
    third.commit(put("a")).await.unwrap();
    assert_eq!(since(&one, before).await.unwrap(), ["a"]);
    let copy = folder.path().join("copy.db");
    one.backup(&copy, put("b")).await.unwrap();
    assert_eq!(since(&one, before).await.unwrap(), ["a"]);
    for store in [one, third] {
        store.close().await.unwrap();
        assert!(changes.exists());
    }
    drop(other);
    let names = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.db", "copy.db", "link.db"]);
}

/// A commit of one row that takes one page writes that page, and nothing of ours besides.
#[tokio::test]
async fn the_log_takes_no_page_of_a_commit() {
    const COMMITS: u64 = 100;
    let (_folder, path, [one, other]) = two().await;
    one.commit(put("a")).await.unwrap();
    let length = || {
        fs::metadata(format!("{}-wal", path.display()))
            .unwrap()
            .len()
    };
    let before = length();
    for number in 0..COMMITS {
        let store = if number % 10 == 0 { &other } else { &one };
        store.commit(put("a")).await.unwrap();
    }
    assert_eq!((length() - before) / (4096 + 24), COMMITS);
}

#[tokio::test]
#[ignore = "the child of a_process_that_follows_others_has_all"]
async fn writes() {
    let Some(path) = env::var_os(STORE) else {
        return;
    };
    let store = opened(Path::new(&path)).await;
    let process = std::process::id();
    for number in 0_u32..150 {
        let id = format!("r{}", (number * 7 + process) % 11);
        let json = format!(r#"{{"id":"{id}","title":"{process} {number}"}}"#);
        let batch = match number % 5 {
            4 => WriteBatch::new().delete(&todo(), &RecordId::new(&id).unwrap()),
            _ => WriteBatch::new().put(&todo(), Record::from_json(&json).unwrap()),
        };
        store
            .commit(batch.durability(Durability::Eventual))
            .await
            .unwrap();
    }
    store.close().await.unwrap();
}

fn start(path: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["writes", "--exact", "--nocapture", "--ignored"])
        .env(STORE, path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Two processes write, one of which is killed; a third one reads only what it is told was changed.
#[tokio::test]
async fn a_process_that_follows_others_has_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = opened(&path).await;
    let mut place = store.position().await.unwrap();
    let mut copy: BTreeMap<RecordId, Record> = BTreeMap::new();
    let mut children = vec![start(&path), start(&path)];
    let (mut names, mut rounds, mut dies) = (0, 0, Some(start(&path)));
    loop {
        let over = children
            .iter_mut()
            .all(|it| it.try_wait().unwrap().is_some());
        if over && dies.is_none() {
            // What the killed one has not marked is settled by the next commit.
            store.commit(put("last")).await.unwrap();
            rounds += 1;
            assert!(rounds < 1000, "the last commit is never named");
        }
        let found = store.changes_since(place, 3).await.unwrap();
        let (changed, more) = match found {
            Changes::Known {
                changed,
                next,
                more,
            } => {
                place = next;
                (changed, more)
            }
            Changes::Unknown { now } => {
                place = now;
                (vec![Changed::Table { table: todo() }], false)
            }
        };
        names += changed.len();
        for change in changed {
            match change {
                Changed::Record { id, .. } => match store.get_one(&todo(), &id).await.unwrap() {
                    Some(record) => drop(copy.insert(id, record)),
                    None => drop(copy.remove(&id)),
                },
                Changed::Table { .. } => {
                    let all = store.query_all(&todo(), &Query::all()).await.unwrap();
                    copy = all.into_iter().map(|it| (it.id().clone(), it)).collect();
                }
            }
        }
        if names > 50
            && let Some(mut child) = dies.take()
        {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if over && dies.is_none() && !more && copy.keys().any(|id| id.as_str() == "last") {
            break;
        }
        tokio::task::yield_now().await;
    }
    let held: Vec<Record> = copy.into_values().collect();
    assert_eq!(held, store.query_all(&todo(), &Query::all()).await.unwrap());
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert!(names > 100, "{names}");
}
