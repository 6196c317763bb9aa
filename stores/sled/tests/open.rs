//! What is opened, what is made and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use synctable_core::query::Query;
use synctable_core::store::{LocalStore, StoreError, StoreErrorKind};
use synctable_sled::SledStore;
use synctable_testkit::file_tests;
use synctable_testkit::files::{
    FileStore, assert_one_line, closed_store, contents, refused, todo, used,
};

struct Sled;

impl FileStore for Sled {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SledStore::builder(path).create(create).open()?))
    }
}

file_tests!(Sled);

#[test]
fn databases_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let other = sled::open(&path).unwrap();
    other.insert("a", "b").unwrap();
    drop(other);
    assert_eq!(refused::<Sled>(&path).kind(), StoreErrorKind::NotAStore);
    for text in [&b""[..], b"x", b"synctable sled x", b"\xff\xfe"] {
        fs::write(path.join("synctable"), text).unwrap();
        assert_eq!(refused::<Sled>(&path).kind(), StoreErrorKind::NotAStore);
    }
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    closed_store::<Sled>(&path).await;
    fs::write(path.join("synctable"), "synctable sled 2").unwrap();
    assert_eq!(refused::<Sled>(&path).kind(), StoreErrorKind::FormatTooNew);
}

#[tokio::test]
async fn a_snapshot_that_was_half_written_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    closed_store::<Sled>(&path).await;
    fs::write(path.join("snap.0000000000000060.generating"), "").unwrap();
    let store = SledStore::open(&path).unwrap();
    assert_eq!(store.count(&todo(), &Query::all()).await.unwrap(), 1);
}

/// Whatever byte of sled's log is wrong, or missing: an error or an answer, and the process goes on.
#[tokio::test]
async fn damaged_stores_end_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    closed_store::<Sled>(&path).await;
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
            let outcome = async { used(&SledStore::open(&path)?).await };
            if let Err(error) = outcome.await {
                refused += 1;
                assert_one_line(&error);
            }
        }
    }
    assert!(refused > 3, "{refused} refused");
}
