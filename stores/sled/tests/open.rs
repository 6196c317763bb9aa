//! What is opened, what is made and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use synctable_core::query::Query;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{Record, Schema, TableName, TableSchema};
use synctable_sled::SledStore;

fn table() -> TableName {
    TableName::new("todo").unwrap()
}

fn schema() -> Schema {
    Schema::new().with_table(table(), TableSchema::new())
}

fn record(text: &str) -> Record {
    Record::from_json(text).unwrap()
}

/// All files in a folder, and what they hold.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.insert(path, bytes);
        }
    }
    files
}

/// Opening must fail, leave all files alone, make none and say so in one line.
fn refused(path: &Path) -> StoreError {
    let before = contents(path.parent().unwrap());
    let error = SledStore::open(path).unwrap_err();
    assert!(
        contents(path.parent().unwrap()) == before,
        "files were changed"
    );
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text}");
    assert!(
        text.contains(path.file_name().unwrap().to_str().unwrap()),
        "{text}"
    );
    error
}

/// A closed store with a record in it.
async fn closed_store(path: &Path) {
    let store = SledStore::open(path).unwrap();
    store.define(&schema()).await.unwrap();
    let batch = WriteBatch::new().put(&table(), record(r#"{"id":"a","title":"Milk"}"#));
    store.commit(batch).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn records_survive_closing_and_dropping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a ?#%é.sled");
    closed_store(&path).await;
    let store = SledStore::open(&path).unwrap();
    let bread = record(r#"{"id":"b","title":"Bread"}"#);
    store
        .commit(WriteBatch::new().put(&table(), bread.clone()))
        .await
        .unwrap();
    drop(store);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(
        names.len(),
        1,
        "a dropped store leaves one folder: {names:?}"
    );
    let store = SledStore::builder(&path).create(false).open().unwrap();
    assert_eq!(store.count(&table(), &Query::all()).await.unwrap(), 2);
    assert_eq!(
        store.get_one(&table(), bread.id()).await.unwrap(),
        Some(bread)
    );
}

#[test]
fn missing_folders_are_made_only_when_wanted_and_never_without_the_one_around_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sled");
    let error = SledStore::builder(&path).create(false).open().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert!(!path.exists());
    let error = SledStore::open(folder.path().join("no/a.sled")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert!(error.to_string().contains("no folder"), "{error}");
    let error = SledStore::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotAStore);
}

#[test]
fn foreign_folders_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "a file").unwrap();
    assert_eq!(refused(&path).kind(), StoreErrorKind::NotAStore);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(refused(&path).kind(), StoreErrorKind::NotAStore);
    let other = sled::open(&path).unwrap();
    other.insert("a", "b").unwrap();
    drop(other);
    assert_eq!(refused(&path).kind(), StoreErrorKind::NotAStore);
    for text in [&b""[..], b"x", b"synctable sled x", b"\xff\xfe"] {
        fs::write(path.join("synctable"), text).unwrap();
        assert_eq!(refused(&path).kind(), StoreErrorKind::NotAStore);
    }
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    closed_store(&path).await;
    fs::write(path.join("synctable"), "synctable sled 2").unwrap();
    assert_eq!(refused(&path).kind(), StoreErrorKind::FormatTooNew);
}

#[tokio::test]
async fn a_snapshot_that_was_half_written_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    closed_store(&path).await;
    fs::write(path.join("snap.0000000000000060.generating"), "").unwrap();
    let store = SledStore::open(&path).unwrap();
    assert_eq!(store.count(&table(), &Query::all()).await.unwrap(), 1);
}

/// Whatever byte of sled's log is wrong, or missing: an error or an answer, and the process goes on.
#[tokio::test]
async fn damaged_stores_end_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    closed_store(&path).await;
    let whole = contents(&path);
    let mut refused = 0;
    for (name, bytes) in &whole {
        if name.file_name().unwrap() == "synctable" {
            continue;
        }
        let flipped = (0..bytes.len()).filter(|at| bytes[*at] != 0 && at % 7 == 0);
        let flipped = flipped.map(|at| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            bytes
        });
        let cut = [0, 1, bytes.len() / 2, bytes.len().saturating_sub(1)];
        for damaged in flipped.chain(cut.map(|length| bytes[..length.min(bytes.len())].to_vec())) {
            fs::remove_dir_all(&path).unwrap();
            for (name, bytes) in &whole {
                fs::create_dir_all(name.parent().unwrap()).unwrap();
                fs::write(name, bytes).unwrap();
            }
            fs::write(name, damaged).unwrap();
            let used = async {
                let store = SledStore::open(&path)?;
                let found = store.query_all(&table(), &Query::all()).await?;
                let batch =
                    WriteBatch::new().put(&table(), record(r#"{"id":"b","title":"Bread"}"#));
                store.commit(batch).await?;
                store.close().await?;
                Ok::<_, StoreError>(found)
            };
            if let Err(error) = used.await {
                refused += 1;
                let text = error.to_string();
                assert!(!text.contains(char::is_control), "{text}");
            }
        }
    }
    assert!(refused > 3, "{refused} refused");
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sled");
    let first = SledStore::open(&path).unwrap();
    let error = SledStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    drop(first);
    SledStore::open(&path).unwrap();
}

/// Names a store for the test below.
#[cfg(unix)]
const STORE: &str = "SYNCTABLE_TEST_STORE";

#[cfg(unix)]
#[test]
#[ignore = "the process that the next test starts"]
fn opens() {
    match SledStore::open(std::env::var_os(STORE).unwrap()) {
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
    let path = folder.path().join("a.sled");
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
    fs::remove_dir_all(&path).unwrap();
    mode(folder.path(), 0o555);
    assert_eq!(open().unwrap(), "Permission", "a folder that is only read");
    assert!(!path.exists());
    mode(folder.path(), 0o777);
    drop(SledStore::open(&path).unwrap());
    assert_eq!(open().unwrap(), "Permission", "a store of somebody else");
}
