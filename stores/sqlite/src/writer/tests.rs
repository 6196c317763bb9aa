//! Groups of batches, and what is left where one fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use synctable_core::store::Changes;
use synctable_core::{FieldType, Record, RecordId, TableSchema};
use tempfile::TempDir;

use synctable_core::TableName;

use super::*;
use crate::log::Log;
use crate::open::{self, Options};
use crate::place;

/// A writer on a new file, and how often it committed a transaction.
fn writer() -> (TempDir, Writer, Arc<AtomicUsize>) {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer_in(&folder);
    let schema = TableSchema::new().with_field("title", FieldType::String);
    writer
        .define(&Schema::new().with_table(table(), schema))
        .unwrap();
    let commits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&commits);
    writer
        .conn
        .commit_hook(Some(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        }))
        .unwrap();
    (folder, writer, commits)
}

fn writer_in(folder: &TempDir) -> Writer {
    let options = Options {
        path: folder.path().join("a.db"),
        create: true,
        cache: 1 << 20,
        readers: 1,
        wait: Duration::ZERO,
        keep_earlier: false,
        only_read: None,
    };
    let conn = open::open(&options).unwrap();
    let wal = place::beside(&options.path, "-wal");
    let database = InFile {
        conn: &conn,
        wal: &wal,
    };
    let changes = place::beside(&options.path, "-changes");
    let log = Log::open(changes, Duration::ZERO, &database).unwrap();
    let shared = Arc::new(Shared::new(Catalogue::load(&conn).unwrap(), Some(log)));
    let file = OpenFile::at(&options.path).unwrap();
    Writer::new(conn, file, wal, shared, options.wait)
}

fn table() -> TableName {
    TableName::new("todo").unwrap()
}

fn record(id: &str) -> Record {
    Record::new(RecordId::new(id).unwrap(), r#"{"title":"Milk"}"#).unwrap()
}

fn put(id: &str) -> WriteBatch {
    WriteBatch::new().put(&table(), record(id))
}

fn ids(writer: &Writer) -> Vec<String> {
    let mut statement = writer
        .conn
        .prepare("SELECT id FROM todo ORDER BY id")
        .unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.collect::<Result<_, _>>().unwrap()
}

fn kinds<T>(results: Vec<Result<T, StoreError>>) -> Vec<Option<StoreErrorKind>> {
    results
        .into_iter()
        .map(|result| result.err().map(|error| error.kind()))
        .collect()
}

#[test]
fn a_failing_batch_of_a_group_undoes_only_itself() {
    let (_folder, mut writer, commits) = writer();
    let nowhere = TableName::new("nowhere").unwrap();
    let group = [
        put("a"),
        // Sees the batch before it.
        put("x").expect_absent(&table(), record("a").id()),
        // Fails after its first write.
        put("y").put(&nowhere, record("y")),
        put("b").expect_same(&table(), record("a")),
        put("a").delete(&table(), record("b").id()),
        put("c").expect_absent(&table(), record("b").id()),
    ];
    let results = kinds(writer.commit(&group));
    let expected = [
        None,
        Some(StoreErrorKind::CheckFailed),
        Some(StoreErrorKind::UnknownTable),
        None,
        None,
        None,
    ];
    assert_eq!(results, expected);
    assert_eq!(ids(&writer), ["a", "c"]);
    assert_eq!(commits.load(Ordering::Relaxed), 1, "one transaction");
}

#[test]
fn a_batch_for_which_there_is_no_room_leaves_the_others_alone() {
    let (_folder, mut writer, _) = writer();
    let pages: u32 = writer
        .conn
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    let limit = |writer: &Writer, pages: u32| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        writer.conn.query_row(&sql, [], |_| Ok(())).unwrap();
    };
    limit(&writer, pages + 4);
    let body = format!(r#"{{"title":"{}"}}"#, "x".repeat(100_000));
    let large = Record::new(RecordId::new("large").unwrap(), &body).unwrap();
    let large = WriteBatch::new()
        .put(&table(), record("l"))
        .put(&table(), large);
    let results = kinds(writer.commit(&[put("a"), large.clone(), put("b")]));
    assert_eq!(results, [None, Some(StoreErrorKind::Full), None]);
    assert_eq!(ids(&writer), ["a", "b"]);
    limit(&writer, 1_000_000);
    assert_eq!(kinds(writer.commit(&[large])), [None]);
}

#[test]
fn a_failing_commit_fails_every_batch() {
    let (_folder, mut writer, _) = writer();
    writer.conn.commit_hook(Some(|| true)).unwrap();
    let results = kinds(writer.commit(&[put("a"), put("b")]));
    assert_eq!(results, [Some(StoreErrorKind::Other); 2]);
    assert_eq!(ids(&writer), [""; 0]);
    writer.conn.commit_hook(None::<fn() -> bool>).unwrap();
    assert_eq!(kinds(writer.commit(&[put("a"), put("b")])), [None; 2]);
}

#[test]
fn a_poisoned_writer_does_nothing_more() {
    let (_folder, mut writer, commits) = writer();
    writer.poison();
    let results = kinds(writer.commit(&[put("a"), put("b")]));
    assert_eq!(results, [Some(StoreErrorKind::Unknown); 2]);
    assert_eq!(
        writer.define(&Schema::new()).unwrap_err().kind(),
        StoreErrorKind::Unknown
    );
    assert_eq!(commits.load(Ordering::Relaxed), 0);
    assert_eq!(writer.close().unwrap_err().kind(), StoreErrorKind::Unknown);
}

#[test]
#[cfg(unix)]
fn nothing_is_committed_to_a_file_that_is_gone() {
    let (folder, mut writer, commits) = writer();
    let (path, aside) = (folder.path().join("a.db"), folder.path().join("b.db"));
    assert_eq!(kinds(writer.commit(&[put("a")])), [None]);
    std::fs::rename(&path, &aside).unwrap();
    let gone = Some(StoreErrorKind::Gone);
    assert_eq!(kinds(writer.commit(&[put("b"), put("c")])), [gone; 2]);
    let eventual = put("d").durability(Durability::Eventual);
    assert_eq!(kinds(writer.commit(&[eventual])), [gone]);
    assert_eq!(
        writer.define(&Schema::new()).unwrap_err().kind(),
        StoreErrorKind::Gone
    );
    assert_eq!(commits.load(Ordering::Relaxed), 1);
    // Another file in its place is no better.
    std::fs::copy(&aside, &path).unwrap();
    assert_eq!(kinds(writer.commit(&[put("b")])), [gone]);
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(kinds(writer.commit(&[put("e")])), [None]);
    assert_eq!(ids(&writer), ["a", "e"]);
}

#[test]
#[cfg(unix)]
fn a_file_that_goes_during_a_commit_leaves_it_unknown_and_ends_all_writes() {
    let (folder, mut writer, _) = writer();
    let path = folder.path().join("a.db");
    let removed = path.clone();
    let remove = move || std::fs::remove_file(&removed).is_err();
    writer.conn.commit_hook(Some(remove)).unwrap();
    let results = kinds(writer.commit(&[put("a")]));
    assert_eq!(results, [Some(StoreErrorKind::Unknown)]);
    let results = kinds(writer.commit(&[put("b")]));
    assert_eq!(results, [Some(StoreErrorKind::Gone)]);
    assert_eq!(ids(&writer), ["a"]);
    assert!(writer.close().is_err());
}

#[test]
fn a_long_log_is_copied_into_the_file() {
    let (folder, mut writer, _) = writer();
    let file = || folder.path().join("a.db").metadata().unwrap().len();
    let body = format!(r#"{{"title":"{}"}}"#, "x".repeat(1 << 20));
    let mut rounds = 0..;
    let before = file();
    while file() == before {
        let round = rounds.next().unwrap();
        assert!(round < 40, "the log is never copied");
        let large = Record::new(RecordId::new(&round.to_string()).unwrap(), &body).unwrap();
        let batch = WriteBatch::new().put(&table(), large);
        writer.commit_at_once(&batch).unwrap().unwrap();
        writer.checkpoint();
    }
    assert!(rounds.start > 10, "not after each commit");
    writer.close().unwrap();
}

#[test]
fn only_groups_that_may_be_lost_go_without_a_sync() {
    let (_folder, mut writer, _) = writer();
    let level = |writer: &Writer| {
        writer
            .conn
            .pragma_query_value(None, "synchronous", |row| row.get::<_, u32>(0))
            .unwrap()
    };
    let (full, normal) = (2, 1);
    let eventual = || put("a").durability(Durability::Eventual);
    for (group, expected) in [
        (vec![eventual(), eventual()], normal),
        (vec![eventual(), put("b")], full),
        (vec![eventual()], normal),
        (vec![put("b")], full),
    ] {
        assert!(writer.commit(&group).iter().all(Result::is_ok));
        assert_eq!(level(&writer), expected);
    }
}

#[test]
fn what_another_handle_left_without_its_mark_is_settled() {
    let (folder, mut writer, commits) = writer();
    let before = writer.shared.log().unwrap().position().value;
    let mut other = writer_in(&folder);
    other.begin(Durability::Immediate).unwrap();
    let id = record("a").id().clone();
    let name = Changed::Record { table: table(), id };
    other.note(None, vec![name.clone()]);
    other.append(false).unwrap();
    // While it commits, nobody else can, and nothing is waited for.
    writer.settle();
    let since = |writer: &Writer| writer.shared.log().unwrap().since(before, 10).value;
    let known = |changed: Vec<Changed>| move |found: Changes| matches!(found, Changes::Known { changed: it, .. } if it == changed);
    assert!(known(vec![])(since(&writer)));
    drop(other);
    writer.settle();
    assert!(known(vec![name])(since(&writer)));
    assert_eq!(commits.load(Ordering::Relaxed), 0);
    assert_eq!(kinds(writer.commit(&[put("b")])), [None]);
}
