//! What is opened, what is made and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::Path;

use redb::{Database, TableDefinition};
use synctable_core::query::Query;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{Record, Schema, TableName, TableSchema};
use synctable_redb::RedbStore;

fn table() -> TableName {
    TableName::new("todo").unwrap()
}

fn schema() -> Schema {
    Schema::new().with_table(table(), TableSchema::new())
}

fn record(text: &str) -> Record {
    Record::from_json(text).unwrap()
}

/// Opening must fail, leave the bytes alone, leave no other file behind and say so in one line.
fn refused(path: &Path) -> StoreError {
    let bytes = fs::read(path).ok();
    let folder = path.parent().unwrap();
    let list = || {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = list();
    let error = RedbStore::open(path).unwrap_err();
    assert!(fs::read(path).ok() == bytes, "the file was changed");
    assert_eq!(list(), before, "files were made");
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text}");
    assert!(
        text.contains(path.file_name().unwrap().to_str().unwrap()),
        "{text}"
    );
    error
}

/// A closed store file with a record in it.
async fn closed_store(path: &Path) {
    let store = RedbStore::open(path).unwrap();
    store.define(&schema()).await.unwrap();
    let batch = WriteBatch::new().put(&table(), record(r#"{"id":"a","title":"Milk"}"#));
    store.commit(batch).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn records_survive_closing_and_dropping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a ?#%é.redb");
    closed_store(&path).await;
    let store = RedbStore::open(&path).unwrap();
    let bread = record(r#"{"id":"b","title":"Bread"}"#);
    store
        .commit(WriteBatch::new().put(&table(), bread.clone()))
        .await
        .unwrap();
    drop(store);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "a dropped store leaves one file: {names:?}");
    let store = RedbStore::builder(&path).create(false).open().unwrap();
    assert_eq!(store.count(&table(), &Query::all()).await.unwrap(), 2);
    assert_eq!(
        store.get_one(&table(), bread.id()).await.unwrap(),
        Some(bread)
    );
}

#[test]
fn missing_files_are_made_only_when_wanted_and_never_without_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let error = RedbStore::builder(&path).create(false).open().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert!(!path.exists());
    let error = RedbStore::open(folder.path().join("no/a.redb")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert!(error.to_string().contains("no folder"), "{error}");
    let error = RedbStore::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotAStore);
}

#[test]
fn foreign_files_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    for bytes in [
        &b""[..],
        b"x",
        b"not a store, but some longer text\n",
        &[0; 5000],
        b"SQLite format 3\0",
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(refused(&path).kind(), StoreErrorKind::NotAStore);
    }
    fs::remove_file(&path).unwrap();
    let other = Database::create(&path).unwrap();
    drop(other);
    assert_eq!(refused(&path).kind(), StoreErrorKind::NotAStore);
    let other = Database::open(&path).unwrap();
    let write = other.begin_write().unwrap();
    let numbers: TableDefinition<u64, u64> = TableDefinition::new("synctable");
    write.open_table(numbers).unwrap();
    write.commit().unwrap();
    drop(other);
    assert_eq!(refused(&path).kind(), StoreErrorKind::NotAStore);
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    closed_store(&path).await;
    let entries: TableDefinition<&[u8], &[u8]> = TableDefinition::new("synctable");
    let newer = Database::open(&path).unwrap();
    let write = newer.begin_write().unwrap();
    let format = synctable_kv::Key::Format.encode();
    write
        .open_table(entries)
        .unwrap()
        .insert(&*format, &b"synctable kv 2"[..])
        .unwrap();
    write.commit().unwrap();
    drop(newer);
    assert_eq!(refused(&path).kind(), StoreErrorKind::FormatTooNew);
}

#[tokio::test]
async fn truncated_stores_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    closed_store(&path).await;
    let whole = fs::read(&path).unwrap();
    for length in [
        1,
        8,
        9,
        319,
        320,
        512,
        4095,
        4096,
        whole.len() / 2,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        fs::write(&path, &whole[..length]).unwrap();
        let kind = refused(&path).kind();
        let cut_short = length >= 9 && kind == StoreErrorKind::Corrupt;
        let nothing_left = length < 320 && kind == StoreErrorKind::NotAStore;
        assert!(cut_short || nothing_left, "{length} bytes: {kind:?}");
    }
}

/// Opens the store, reads all of it, writes and closes.
async fn used(path: &Path, check: bool) -> Result<Vec<Record>, StoreError> {
    let store = RedbStore::builder(path).check(check).open()?;
    let found = store.query_all(&table(), &Query::all()).await?;
    let batch = WriteBatch::new().put(&table(), record(r#"{"id":"b","title":"Bread"}"#));
    store.commit(batch).await?;
    store.close().await?;
    Ok(found)
}

/// Whatever byte of a file is wrong: an error or an answer, and the process goes on.
#[tokio::test]
async fn damaged_stores_end_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    closed_store(&path).await;
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    // Headers are dense in meaning; of the rest some.
    let places = (0..whole.len()).filter(|at| *at < 320 || at % 4096 < 32 || at % 211 == 0);
    for at in places.filter(|at| whole[*at] != 0) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = RedbStore::open(&path) {
            let same = fs::read(&path).unwrap() == bytes;
            assert!(same, "{at}: refused ({error}), but changed");
        }
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = used(&path, false).await {
            refused += 1;
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{text}");
        }
    }
    assert!(refused > 30, "{refused} refused");
}

#[tokio::test]
async fn damage_that_looks_like_data_is_found_by_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    closed_store(&path).await;
    let whole = fs::read(&path).unwrap();
    for found in [b"Milk", b"Silk"] {
        let mut bytes = whole.clone();
        let places = (0..whole.len() - 4).filter(|at| whole[*at..].starts_with(b"Milk"));
        places.for_each(|at| bytes[at..at + 4].copy_from_slice(found));
        fs::write(&path, &bytes).unwrap();
        let checked = used(&path, true).await;
        if found == b"Milk" {
            assert_eq!(checked.unwrap().len(), 1);
        } else {
            assert_eq!(checked.unwrap_err().kind(), StoreErrorKind::Corrupt);
            assert_eq!(used(&path, false).await.unwrap().len(), 1);
        }
    }
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let first = RedbStore::open(&path).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    drop(first);
    RedbStore::open(&path).unwrap();
}

/// Names a store for the test below.
#[cfg(unix)]
const STORE: &str = "SYNCTABLE_TEST_STORE";

#[cfg(unix)]
#[test]
#[ignore = "the process that the next test starts"]
fn opens() {
    match RedbStore::open(std::env::var_os(STORE).unwrap()) {
        Ok(_) => println!("outcome opened"),
        Err(error) => println!("outcome {:?}", error.kind()),
    }
}

#[cfg(unix)]
#[test]
fn what_may_not_be_written_is_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let open = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "opens", "--ignored", "--nocapture"]);
        // Root may do anything, so the child is somebody else.
        if fs::metadata(folder.path()).unwrap().uid() == 0 {
            command.uid(65534).gid(65534);
        }
        let output = command.env(STORE, &path).output();
        let text = String::from_utf8(output.map_or(Vec::new(), |it| it.stdout)).unwrap();
        let outcome = text.split_once("outcome ")?.1;
        Some(outcome.lines().next()?.to_owned())
    };
    mode(folder.path(), 0o777);
    if open().as_deref() != Some("opened") {
        eprintln!("skipped: this test runs as root and others cannot run its binary");
        return;
    }
    fs::remove_file(&path).unwrap();
    mode(folder.path(), 0o555);
    assert_eq!(open().unwrap(), "Permission", "a folder that is only read");
    assert!(!path.exists());
    mode(folder.path(), 0o777);
    drop(RedbStore::open(&path).unwrap());
    for (file, what) in [(0o444, "only read"), (0o000, "not even read")] {
        mode(&path, file);
        assert_eq!(open().unwrap(), "Permission", "a file that is {what}");
    }
    mode(&path, 0o666);
    mode(folder.path(), 0o555);
    assert_eq!(open().unwrap(), "opened", "nothing is made beside a store");
    mode(folder.path(), 0o777);
}
