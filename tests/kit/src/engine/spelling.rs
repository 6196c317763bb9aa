//! Text as people wrote it, ids that contradict, and records that nothing would send.

use std::sync::Arc;

use serde_json::json;
use serde_json::value::RawValue;
use synctable_core::query::Query;
use synctable_core::store::{LocalStore, LocalStoreExt, WriteBatch};
use synctable_core::sync::{OperationKind, Resolution, SyncTable};
use synctable_core::{Declaration, Draft, Error, Record, RecordError};

use super::TestServer;
use super::device::{Device, todo};
use crate::Place;
use crate::fixture::{declare_all, id, record};

/// A text as some programs write it, and as people do.
const ESCAPED: &str = r#"{"n":1,"t\u0069tle":"t\u00FFp \uD83D\uDE00\/","list":["\u0041",1.50]}"#;
const PLAIN: &str = r#"{"n":1,"title":"tÿp 😀/","list":["A",1.50]}"#;

/// A server that keeps text as it comes, also where the others of a run have types.
pub(super) fn exact() -> TestServer {
    let server = TestServer::new();
    server.configure(|options| options.typed = false);
    server
}

/// The record `a` with the text as an earlier release stored it: names of members were always short.
fn long(of: &Record) -> Record {
    let text = ESCAPED.replace("t\\u0069tle", "title");
    Record::from_stored(of.id().clone(), of.system().clone(), text)
}

async fn stored(device: &Device) -> Record {
    let found = device.store.get_one(&todo(), &id("a")).await;
    found.expect("get answers").expect("it is there")
}

/// Strings are stored in their shortest spelling, whichever way they come in; numbers and the order of members stay.
pub async fn text_is_stored_as_people_wrote_it(harness: &dyn Place) {
    let server = exact();
    let device = Device::new(harness, &server).await;
    if device.store.capabilities().by_value {
        return;
    }
    let text = format!(r#"{{"id":"a",{}"#, &ESCAPED[1..]);
    let raw: &RawValue = serde_json::from_str(&text).expect("it is JSON");
    let raws: SyncTable<Box<RawValue>> = device.sync.table("todo").expect("a table name");
    raws.insert(&raw.to_owned()).await.expect("it is new");
    assert_eq!(stored(&device).await.body(), PLAIN);
    let changes: &RawValue = serde_json::from_str(r#"{"title":"\u00e9"}"#).expect("it is JSON");
    device.todo.update("a", changes).await.expect("it is there");
    assert_eq!(stored(&device).await.body(), PLAIN.replace("tÿp 😀/", "é"));
    let again: Record = serde_json::from_str(&text).expect("it is a record");
    let records: SyncTable<Record> = device.sync.table("todo").expect("a table name");
    records.replace(&again).await.expect("it is there");
    assert_eq!(stored(&device).await.body(), PLAIN);
    device.push().await;
    let row = server.row(&todo(), "a").expect("it was sent");
    assert_eq!(row.body(), PLAIN);
    device.is_in_sync().await;
}

/// A store whose texts an earlier release kept as they came: they are the same texts to pulls and audits, and queued operations over them
/// go on.
pub async fn stores_with_other_spellings_go_on(harness: &dyn Place) {
    let server = exact();
    server.put(&todo(), &record(&format!(r#"{{"id":"a",{}"#, &PLAIN[1..])));
    let device = Device::new(harness, &server).await;
    if device.store.capabilities().by_value {
        return;
    }
    device.pull().await;
    let old = long(&stored(&device).await);
    let batch = WriteBatch::new().put(&todo(), old.clone());
    device.store.commit(batch).await.expect("it is stored");
    let report = device.todo.pull_full(Query::all()).await;
    let report = report.expect("the pull ends");
    assert_eq!((report.unchanged, report.updated), (1, 0));
    let audit = device.todo.audit(Query::all()).compare_only().await;
    assert!(audit.expect("the audit ends").is_clean());
    assert_eq!(stored(&device).await, old);

    // The base of the operation has the old spelling, and is read back by another context.
    device.set("a", 2).await;
    let device = device.again().await;
    let operation = device.only_operation().await;
    assert_eq!(operation.base.as_ref(), Some(&old));
    device.set("a", 3).await;
    device.pull_only().await;
    assert_eq!(device.only_operation().await.shadow, None);
    let cancelled = device.sync.cancel(device.only_seq().await).await;
    assert_eq!(cancelled.expect("it is cancelled"), Some(old));
    device.set("a", 4).await;
    assert_eq!(device.push().await.pushed, 1);
    assert_eq!(server.n("a"), Some(4));
    device.is_in_sync().await;
}

/// Changes that are given for one record, but have the id of another one, are refused and change nothing.
pub async fn ids_of_other_records_are_refused(harness: &dyn Place) {
    let server = TestServer::new();
    let device = Device::new(harness, &server).await;
    device.insert("a", 1).await;
    device.push().await;
    let is_refused = |result: Result<(), Error>| {
        assert!(
            matches!(
                result,
                Err(Error::Record(RecordError::AnotherId { ref id, ref given }))
                    if id.as_str() == "a" && given.as_str() == "b"
            ),
            "{result:?}"
        );
    };
    let other = json!({"id": "b", "n": 2});
    is_refused(device.todo.update("a", &other).await.map(drop));
    let changes = other.clone();
    let modified = device.todo.modify("a", move |_| changes.clone()).await;
    is_refused(modified.map(drop));
    assert_eq!(
        (
            device.n("a").await,
            device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted")
        ),
        (Some(1), 0)
    );
    server.set("a", 5);
    device.set("a", 6).await;
    let seq = device.push_to_conflict().await;
    let with = Draft::from_json(r#"{"id":"b","n":2}"#).expect("a draft");
    let resolved = device.sync.resolve(seq, Resolution::With(with)).await;
    is_refused(resolved.map(drop));
    for same in [
        json!({"id": "a", "n": 7}),
        json!({"id": null, "n": 7}),
        json!({"id": "", "n": 7}),
    ] {
        device.todo.update("a", &same).await.expect("it is there");
    }
    assert_eq!(device.n("a").await, Some(7));
}

/// Records of a table that was local only are queued when that is asked for, and not before; what is queued when a table becomes local only
/// is told.
pub async fn records_that_nothing_sends_are_queued_when_asked(harness: &dyn Place) {
    let server = TestServer::new();
    let local = declare_all(&todo(), Declaration::new().with_local_only());
    let synced = declare_all(&todo(), Declaration::new());
    let device = Device::built(harness, &server, |builder| builder.schema(local.clone())).await;
    let moved = device.sync.moved_tables().await.expect("they are counted");
    assert!(moved.is_empty(), "{moved:?}");
    device.insert("a", 1).await;
    device.insert("b", 2).await;
    let refused = device.todo.enqueue_unsent().await;
    assert!(
        matches!(refused, Err(Error::LocalOnly { .. })),
        "{refused:?}"
    );

    let over = |schema| Device::over(Arc::clone(&device.store), &server, |it| it.schema(schema));
    let device = over(synced.clone()).await;
    let moved = device.sync.moved_tables().await.expect("they are counted");
    assert_eq!(moved.len(), 1);
    let seen = (
        &moved[0].table,
        moved[0].local_only,
        moved[0].unsent,
        moved[0].pending,
    );
    assert_eq!(seen, (&todo(), false, 2, 0));
    device.push().await;
    device.pull().await;
    assert!(
        server.changes().is_empty()
            && device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted")
                == 0
    );
    device.insert("c", 3).await;
    assert_eq!(device.todo.unsent().await.expect("they are counted"), 2);
    assert_eq!(device.todo.enqueue_unsent().await.expect("queued"), 2);
    assert_eq!(device.todo.enqueue_unsent().await.expect("queued"), 0);
    let pending = device.sync.pending().await.expect("the queue");
    let inserts = pending
        .iter()
        .filter(|one| one.kind == OperationKind::Insert);
    assert_eq!(inserts.count(), 3);
    device.is_sound().await;

    let device = over(local).await;
    let moved = device.sync.moved_tables().await.expect("they are counted");
    let seen = (moved[0].local_only, moved[0].pending);
    assert_eq!(seen, (true, 3));
    let device = over(synced).await;
    assert_eq!(device.push().await.pushed, 3);
    let rows = device.rows().await;
    assert!(rows.iter().all(|row| row.version().is_some()), "{rows:?}");
    device.is_in_sync().await;
}

/// What is changed after a table became local only never leaves the device, neither by itself nor with what was queued before; and what
/// comes of that changes nothing here.
pub async fn edits_of_a_table_that_became_local_only_stay_here(harness: &dyn Place) {
    let server = exact();
    let synced = declare_all(&todo(), Declaration::new());
    let device = Device::built(harness, &server, |builder| builder.schema(synced)).await;
    for name in ["a", "b", "c", "d", "e"] {
        device.insert(name, 1).await;
    }
    device.push().await;
    device.set("a", 2).await;
    device.set("b", 2).await;
    device.delete("c").await;
    device.set("e", 2).await;
    device.insert("f", 2).await;
    // Somebody else was faster with one of them.
    server.set("e", 9);

    let local = declare_all(&todo(), Declaration::new().with_local_only());
    let device = Device::over(Arc::clone(&device.store), &server, |it| it.schema(local)).await;
    device.set("a", 3).await;
    device.set("a", 4).await;
    device.delete("b").await;
    device.insert("c", 3).await;
    device.set("d", 3).await;
    device.set("e", 3).await;
    device.set("f", 3).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.conflicts), (4, 1), "{report:?}");
    let there: Vec<_> = ["a", "b", "c", "d", "e", "f"]
        .map(|name| server.n(name))
        .into();
    let expected = [Some(2), Some(2), None, Some(1), Some(9), Some(2)];
    assert_eq!(there, expected);
    let mut here = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        here.push(device.n(name).await);
    }
    assert_eq!(here, [Some(4), None, Some(3), Some(3), Some(3), Some(3)]);
    let parked = device.sync.parked().await.expect("the queue");
    let about = parked[0].conflict.local.as_ref().expect("an edit");
    assert_eq!(about.body(), r#"{"n":2}"#);
    device.is_sound().await;
}
