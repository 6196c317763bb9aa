//! Beside others: who has the store open already, and who opens it later.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use synctable::query::Query;
use synctable::store::{Changes, LocalStore, LocalStoreExt, StoreErrorKind, WriteBatch};
use synctable::sync::SyncContext;

use crate::{
    KINDS, ROWS, assert_refuses_writes, assert_whole, begun, killed, opened, read_only, row, todo,
    url,
};

/// Names, lengths and times, without opening anything: that would let go of the locks of a live store of this process.
fn names(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let entries = fs::read_dir(folder).unwrap();
    let files = entries.map(|entry| {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, (meta.len(), meta.modified().unwrap()))
    });
    // Who reads a live store says there what is being read.
    files.filter(|(name, _)| !name.ends_with("-shm")).collect()
}

#[tokio::test]
async fn a_live_sqlite_store_is_read_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let writer = begun("sqlite", folder.path()).await;
    let before = names(folder.path());
    let reader = read_only(&url("sqlite", folder.path()));
    assert!(reader.capabilities().multi_process);
    assert_whole(&reader, "beside a writer").await;
    assert_refuses_writes(reader.as_ref(), "beside a writer").await;
    assert_eq!(names(folder.path()), before);

    let sync = SyncContext::builder(Arc::clone(&reader))
        .open()
        .await
        .unwrap();
    let position = reader.position().await.unwrap();
    let quiet = reader.changes_since(position, 10).await.unwrap();
    assert!(matches!(quiet, Changes::Known { changed, .. } if changed.is_empty()));
    writer
        .commit(WriteBatch::new().put(&todo(), row(700)))
        .await
        .unwrap();
    let after = reader.changes_since(position, 10).await.unwrap();
    assert!(matches!(after, Changes::Unknown { .. }), "{after:?}");
    assert_ne!(reader.position().await.unwrap(), position);
    let found = reader.get_one(&todo(), row(700).id()).await.unwrap();
    assert_eq!(found, Some(row(700)));

    // The queue of a context over it follows, too.
    let other = SyncContext::builder(Arc::clone(&writer))
        .open()
        .await
        .unwrap();
    let table = other.table::<synctable::Record>("todo").unwrap();
    table.insert(&row(701)).await.unwrap();
    assert_eq!(sync.pending().await.unwrap().len(), ROWS + 1);

    // A store with many readers is written and closed as ever.
    writer.close().await.unwrap();
    let all = reader.query_all(&todo(), &Query::all()).await.unwrap();
    assert_eq!(all.len(), ROWS + 2);
    drop((sync, reader));
    assert_eq!(
        opened(&url("sqlite", folder.path()))
            .store
            .count(&todo(), &Query::all())
            .await
            .unwrap(),
        ROWS as u64 + 2
    );
}

#[tokio::test]
async fn engines_for_one_process_say_that_they_are_taken() {
    for kind in KINDS.into_iter().filter(|kind| *kind != "sqlite") {
        let folder = tempfile::tempdir().unwrap();
        let writer = begun(kind, folder.path()).await;
        let before = names(folder.path());
        let url = url(kind, folder.path());
        let error = url.open_read_only(crate::key(&url)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Locked, "{kind}: {error}");
        assert_eq!(names(folder.path()), before, "{kind}");
        // Whoever has it open noticed nothing.
        let more = WriteBatch::new().put(&todo(), row(700));
        writer.commit(more).await.unwrap();
        writer.close().await.unwrap();
        drop(writer);
        let reader = read_only(&url);
        let found = reader.get_one(&todo(), row(700).id()).await.unwrap();
        assert_eq!(found, Some(row(700)), "{kind}");
    }
}

#[tokio::test]
async fn who_writes_later_is_not_read_half() {
    let folder = tempfile::tempdir().unwrap();
    begun("sqlite", folder.path()).await.close().await.unwrap();
    let url = url("sqlite", folder.path());
    let reader = read_only(&url);
    assert_whole(&reader, "nobody writes").await;
    // Who only opens it changes nothing that is read.
    let writer = opened(&url).store;
    assert_whole(&reader, "somebody has opened it").await;
    writer
        .commit(WriteBatch::new().put(&todo(), row(700)))
        .await
        .unwrap();
    let error = reader.get_one(&todo(), row(700).id()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    let error = reader.query(&todo(), &Query::all()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    let again = read_only(&url);
    let found = again.get_one(&todo(), row(700).id()).await.unwrap();
    assert_eq!(found, Some(row(700)));
    writer.close().await.unwrap();
    // All of it is in the file by now, but in other pages than before.
    let error = reader.query(&todo(), &Query::all()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
}

#[tokio::test]
async fn a_reader_holds_nobody_up() {
    for kind in KINDS {
        let folder = killed(kind).await;
        let url = url(kind, folder.path());
        let reader = read_only(&url);
        // From a copy, unless the engine itself lets many read.
        let writer = url.open(crate::key(&url), synctable::Missing::Refuse);
        let writer = writer
            .unwrap_or_else(|error| panic!("{kind}: {error}"))
            .store;
        let more = WriteBatch::new().put(&todo(), row(700));
        writer.commit(more).await.unwrap();
        assert_whole(&reader, kind).await;
        writer.close().await.unwrap();
    }
}
