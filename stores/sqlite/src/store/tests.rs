//! Which reads are done on the thread that asks, and which are too long for it.

use std::future::Future;
use std::task::{Context, Waker};

use synctable_core::query::{Expr, Stop, field};
use synctable_core::{FieldType, TableSchema};
use tempfile::TempDir;

use super::*;
use crate::pool::NotNow;

/// A store with a table of texts. Of what is not declared nothing is for SQL to judge or to sort.
async fn store(declared: bool, rows: usize, text: &str) -> (TempDir, SqliteStore, TableName) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("a.db")).unwrap();
    let table = TableName::new("t").unwrap();
    let schema = if declared {
        TableSchema::new().with_field("title", FieldType::String)
    } else {
        TableSchema::new()
    };
    let schema = Schema::new().with_table(table.clone(), schema);
    store.define(&schema).await.unwrap();
    let batch = (0..rows).fold(WriteBatch::new(), |batch, n| {
        let json = format!(r#"{{"id":"r{n:05}","title":"{text} {n}"}}"#);
        batch.put(&table, Record::from_json(&json).unwrap())
    });
    store.commit(batch).await.unwrap();
    (folder, store, table)
}

impl SqliteStore {
    /// Whether a page is found where it is asked for; if not, why.
    fn page_here(&self, table: &TableName, query: &Query) -> Result<usize, NotNow> {
        let page = |reader: &Reader| read::query(reader, &self.shared, table, query);
        self.pool
            .inline(page)
            .map(|page| page.unwrap().records.len())
    }

    fn count_here(&self, table: &TableName, query: &Query) -> Result<u64, NotNow> {
        let count = |reader: &Reader| read::count(reader, &self.shared, table, query);
        self.pool.inline(count).map(Result::unwrap)
    }
}

fn any_of(parts: usize, part: impl Fn(usize) -> Expr) -> Expr {
    (1..parts).fold(part(0), |filter, n| filter.or(part(n)))
}

fn expensive(parts: usize) -> Expr {
    any_of(parts, |n| {
        field("title").to_lower().contains(format!("zz{n}"))
    })
}

#[tokio::test]
async fn what_the_evaluator_does_for_few_rows_may_be_too_long_for_the_thread_that_asks() {
    for declared in [false, true] {
        // Far fewer rows than those of which SQLite's machine alone takes long.
        let (_folder, store, table) = store(declared, 100, "the title of a row").await;
        let long = Query::all().filter(expensive(450));
        assert_eq!(store.page_here(&table, &long), Err(NotNow::TooLong));
        assert_eq!(store.count_here(&table, &long), Err(NotNow::TooLong));
        let ruled = Query::all().within(expensive(450).not());
        assert_eq!(store.page_here(&table, &ruled), Err(NotNow::TooLong));
        let ordered = (0..8_000).fold(Query::all(), |query, n| query.order_by(format!("m{n}")));
        assert_eq!(store.page_here(&table, &ordered), Err(NotNow::TooLong));
        let fewer = (0..300).fold(Query::all(), |query, n| query.order_by(format!("m{n}")));
        assert_eq!(store.page_here(&table, &fewer), Err(NotNow::TooLong));
        // They are answered all the same.
        for (query, found) in [(&long, 0), (&ruled, 100), (&fewer, 100)] {
            let page = store.query(&table, query).await.unwrap();
            assert_eq!(page.records.len(), found);
        }
        for short in [
            Query::all(),
            Query::all().filter(field("title").contains("title")),
            Query::all()
                .filter(field("other").is_null())
                .order_by("other"),
            Query::all().within(field("title").starts_with("the")),
        ] {
            assert_eq!(store.page_here(&table, &short), Ok(100), "{short:?}");
            assert_eq!(store.count_here(&table, &short), Ok(100), "{short:?}");
        }
    }
}

#[tokio::test]
async fn long_texts_are_not_copied_by_the_dozen_where_they_are_asked_for() {
    let (_folder, store, table) = store(false, 60, &"x".repeat(100_000)).await;
    assert_eq!(store.page_here(&table, &Query::all()), Err(NotNow::TooLong));
    assert_eq!(store.page_here(&table, &Query::all().top(2)), Ok(2));
}

/// They would be done twice, and the first time most of the way.
#[tokio::test]
async fn many_records_are_not_tried_where_they_are_asked_for() {
    let (_folder, store, table) = store(false, 300, "the title of a row").await;
    let mut context = Context::from_waker(Waker::noop());
    // Both threads for long reads are held up, so that what goes there is not ready.
    let (goes_on, waits) = std::sync::mpsc::channel::<()>();
    let waits = Arc::new(std::sync::Mutex::new(waits));
    let mut held_up: Vec<_> = std::iter::repeat_with(|| {
        let waits = Arc::clone(&waits);
        let wait = move |_: &Reader| Ok(waits.lock().unwrap().recv().is_ok());
        Box::pin(store.pool.off_thread(NotNow::TooLong, wait))
    })
    .take(2)
    .collect();
    for read in &mut held_up {
        assert!(read.as_mut().poll(&mut context).is_pending());
    }
    let ids = |count: usize| -> Vec<RecordId> {
        let ids = (0..count).map(|n| RecordId::new(&format!("r{n:05}")).unwrap());
        ids.rev().collect()
    };
    for (count, is_here) in [(1, true), (256, true), (257, false)] {
        let ids = ids(count);
        let polled = Box::pin(store.get(&table, &ids))
            .as_mut()
            .poll(&mut context);
        assert_eq!(polled.is_ready(), is_here, "{count}");
    }
    // Both before either is awaited: which of them takes which is open.
    for _ in &held_up {
        goes_on.send(()).unwrap();
    }
    for read in held_up {
        assert!(read.await.unwrap());
    }
    // The first of these is not there.
    let ids = ids(301);
    let found = store.get(&table, &ids).await.unwrap();
    let there = ids
        .iter()
        .enumerate()
        .map(|(at, id)| (at > 0).then_some(id));
    assert!(there.eq(found.iter().map(|it| it.as_ref().map(Record::id))));
}

/// So few rows that SQLite itself never looks whether it has to stop.
#[tokio::test]
async fn the_evaluator_ends_when_nobody_waits() {
    let (_folder, store, table) = store(false, 20, "the title of a row").await;
    let ordered = (0..300).fold(Query::all(), |query, n| query.order_by(format!("m{n}")));
    for query in [Query::all().filter(expensive(50)), ordered] {
        let reader = |reader: &Reader| {
            let gone = Stop::default();
            gone.stop();
            reader.gauge.enter(i64::MAX, Some(gone));
            Ok(read::query(reader, &store.shared, &table, &query).is_err())
        };
        assert!(store.pool.inline(reader).unwrap().unwrap(), "{query:?}");
        let mut asked = Box::pin(store.query(&table, &query));
        let _ = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(asked);
        assert!(store.query(&table, &query).await.is_ok());
    }
}
