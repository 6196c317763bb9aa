//! Which lane a read is done in, and what ends it.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use synctable_core::store::StoreErrorKind;
use tempfile::TempDir;

use super::*;
use crate::read::Snapshot;

fn pool() -> (TempDir, Connection, Arc<Shared>, Pool) {
    let folder = tempfile::tempdir().unwrap();
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
    let shared = Arc::new(Shared::new(Catalogue::load(&conn).unwrap(), None));
    let pool = Pool::open(&options, &shared).unwrap();
    (folder, conn, shared, pool)
}

#[tokio::test]
async fn closing_stops_a_read_that_would_go_on_for_ever() {
    let (_folder, _conn, shared, pool) = pool();
    let pool = Arc::new(pool);
    let (started, start) = channel();
    let reading = Arc::clone(&pool);
    let read = tokio::spawn(async move {
        let numbers = "WITH RECURSIVE all_of_them(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM all_of_them) \
                       SELECT count(*) FROM all_of_them";
        let count = move |reader: &Reader| {
            started.send(()).unwrap();
            let count = reader
                .conn
                .query_row(numbers, [], |row| row.get::<_, i64>(0));
            count.map_err(from_sqlite)
        };
        reading.off_thread(NotNow::TooLong, count).await
    });
    tokio::task::yield_now().await;
    start.recv().unwrap();
    assert!(shared.set_closed());
    pool.close();
    let error = read.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed);
}

#[test]
fn a_read_that_is_stopped_at_its_very_end_leaves_no_transaction() {
    let (_folder, _conn, _shared, pool) = pool();
    // SQLite looks at the budget every thousand steps of a statement, counted over all its runs.
    for _ in 0..STEPS {
        let read = |reader: &Reader| {
            let snapshot = Snapshot::begin(&reader.conn)?;
            reader.gauge.enter(0, None);
            drop(snapshot);
            Ok(())
        };
        pool.inline(read).unwrap().unwrap();
    }
}

/// Goes on until it is stopped; says when it began.
fn endless(began: Sender<()>) -> impl Fn(&Reader) -> Result<i64, StoreError> + Send + Sync {
    move |reader| {
        let _ = began.send(());
        let numbers = "WITH RECURSIVE all_of_them(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM all_of_them) \
                       SELECT count(*) FROM all_of_them";
        let count = reader.conn.query_row(numbers, [], |row| row.get(0));
        count.map_err(from_sqlite)
    }
}

#[tokio::test]
async fn dropping_a_long_read_stops_it_and_meanwhile_short_ones_are_answered() {
    let (_folder, _conn, _shared, pool) = pool();
    let (started, start) = channel();
    let mut long = Vec::new();
    for _ in 0..LONG_READS {
        let mut read = Box::pin(pool.off_thread(NotNow::TooLong, endless(started.clone())));
        let polled = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        long.push(read);
        start.recv().unwrap();
    }
    let one = |reader: &Reader| {
        let one = reader
            .conn
            .query_row("SELECT 1", [], |row| row.get::<_, i64>(0));
        one.map_err(from_sqlite)
    };
    assert!(matches!(pool.inline(one), Ok(Ok(1))));
    assert_eq!(pool.off_thread(NotNow::Busy, one).await.unwrap(), 1);
    drop(long);
    // Both threads are free again.
    for _ in 0..LONG_READS {
        assert_eq!(pool.off_thread(NotNow::TooLong, one).await.unwrap(), 1);
    }
}
