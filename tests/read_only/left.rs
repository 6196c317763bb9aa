//! What was left behind: closed in order, or by a process that was killed.

use std::fs;
use std::sync::Arc;

use synctable::store::{LocalStore, LocalStoreExt, StoreErrorKind};
use synctable::sync::{SyncContext, examine, store_role};
use synctable::{Record, StoreUrl};

use crate::{
    KINDS, ROWS, Tree, assert_refuses_writes, assert_whole, begun, key, killed, opened, read_only,
    row, todo, url,
};

/// Reads a store twice over, from two handles, and compares its folder afterwards.
async fn assert_read(url: &StoreUrl, folder: &std::path::Path, what: &str) {
    let before = Tree::of(folder);
    let store = read_only(url);
    assert!(store.capabilities().read_only, "{what}");
    assert_whole(&store, what).await;
    assert_refuses_writes(store.as_ref(), what).await;
    let position = store.position().await.unwrap();
    assert_eq!(store.position().await.unwrap(), position, "{what}");
    let again = read_only(url);
    assert_whole(&again, what).await;
    again.close().await.unwrap();
    let closed = store.close().await;
    closed.unwrap_or_else(|error| panic!("{what}: {error}"));
    let error = store.get_one(&todo(), row(1).id()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed, "{what}");
    drop((store, again));
    before.assert_still(folder, what);
}

#[tokio::test]
async fn what_was_closed_is_read_and_stays_as_it_is() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        begun(kind, folder.path()).await.close().await.unwrap();
        assert_read(&url(kind, folder.path()), folder.path(), kind).await;
    }
}

#[tokio::test]
async fn what_a_killed_process_left_is_read_and_stays_as_it_is() {
    for kind in KINDS {
        let folder = killed(kind).await;
        let url = url(kind, folder.path());
        assert_read(&url, folder.path(), kind).await;
        // What was read is what an opening for writing finds.
        assert_whole(&opened(&url).store, kind).await;
    }
}

#[tokio::test]
async fn rows_that_lie_in_the_log_alone_are_read_without_its_shared_memory() {
    for kind in ["sqlite", "encrypted+sqlite"] {
        let folder = killed(kind).await;
        let log = fs::metadata(folder.path().join("store-wal")).unwrap().len();
        assert!(log > 20_000, "{kind}: most of it is in the log: {log}");
        let _ = fs::remove_file(folder.path().join("store-shm"));
        let _ = fs::remove_file(folder.path().join("store-changes"));
        assert_read(&url(kind, folder.path()), folder.path(), kind).await;
    }
}

#[tokio::test]
async fn a_link_leads_to_the_file_and_its_log() {
    #[cfg(unix)]
    for kind in ["sqlite", "encrypted+sqlite", "redb"] {
        let (folder, links) = (killed(kind).await, tempfile::tempdir().unwrap());
        let link = links.path().join("store");
        std::os::unix::fs::symlink(folder.path().join("store"), &link).unwrap();
        let before = Tree::of(folder.path());
        let store = read_only(&url(kind, links.path()));
        assert_whole(&store, kind).await;
        drop(store);
        before.assert_still(folder.path(), kind);
        assert_eq!(fs::read_dir(links.path()).unwrap().count(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_backup_copy_is_read_and_stays_one() {
    for kind in KINDS {
        let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = begun(kind, folder.path()).await;
        let id = SyncContext::builder(Arc::clone(&store))
            .open()
            .await
            .unwrap();
        let copy = url(kind, copies.path());
        id.backup(copy.path()).await.unwrap();
        assert_read(&copy, copies.path(), kind).await;
        let reader = SyncContext::builder(read_only(&copy)).open().await.unwrap();
        let table = reader.table::<Record>("todo").unwrap();
        let error = table.insert(&row(901)).await.unwrap_err();
        assert!(error.to_string().contains("reading only"), "{error}");
        assert_eq!(
            table.query().order_by("id").await.unwrap().records.len(),
            ROWS
        );
    }
}

#[tokio::test]
async fn a_store_is_examined_without_a_context() {
    for kind in KINDS {
        let folder = killed(kind).await;
        let store = read_only(&url(kind, folder.path()));
        let found = examine(store.as_ref()).await.unwrap();
        assert_eq!(found.pending, ROWS as u64, "{kind}");
        assert_eq!(found.settings["colour"], "red", "{kind}");
        assert_eq!(store_role(store.as_ref()).await.unwrap(), found.role);
    }
}

#[tokio::test]
async fn a_context_says_what_is_missing() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let url = url(kind, folder.path());
        let store = url.open(key(&url), synctable::Missing::Make).unwrap().store;
        store.close().await.unwrap();
        drop(store);
        let before = Tree::of(folder.path());
        let store = read_only(&url);
        let error = SyncContext::builder(Arc::clone(&store))
            .open()
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("never that of a device"),
            "{error}"
        );
        drop(store);
        before.assert_still(folder.path(), kind);
    }
}
