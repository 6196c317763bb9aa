//! The one thread that writes: batches that wait together share a transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use synctable_core::store::{
    Check, Durability, Expect, StoreError, StoreErrorKind, Write, WriteBatch,
};
use synctable_core::{RecordId, Schema};
use tokio::sync::oneshot;

use crate::catalogue::{self, Catalogue};
use crate::error::{closed, describe, from_sqlite};
use crate::layout::TableLayout;
use crate::pool::Shared;
use crate::{read, rows};

/// The most batches of one transaction.
const GROUP: usize = 256;

type Reply = oneshot::Sender<Result<(), StoreError>>;

/// What the thread is asked to do.
enum Job {
    Commit(WriteBatch, Reply),
    Define(Schema, Reply),
    Close(Reply),
}

/// The way to the writing thread. Requests are done in the order in which they are sent.
#[derive(Debug)]
pub(crate) struct WriterHandle {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl WriterHandle {
    pub(crate) fn start(conn: Connection, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let (jobs, inbox) = channel();
        let writer = Writer {
            conn,
            shared,
            durability: Durability::Immediate,
            poisoned: false,
        };
        let thread = thread::Builder::new()
            .name("synctable-sqlite".into())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| {
                StoreError::new(
                    StoreErrorKind::Other,
                    "the system gives no more threads; close something and try again",
                )
                .with_source(error)
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(crate) async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.ask(|reply| Job::Commit(batch, reply)).await
    }

    pub(crate) async fn define(&self, schema: Schema) -> Result<(), StoreError> {
        self.ask(|reply| Job::Define(schema, reply)).await
    }

    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        self.ask(Job::Close).await
    }

    async fn ask(&self, job: impl FnOnce(Reply) -> Job) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job(reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for WriterHandle {
    /// Lets the thread finish what it was asked and waits for its end, so that the file is closed afterwards.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    conn: Connection,
    shared: Arc<Shared>,
    /// What `PRAGMA synchronous` is set to: `FULL` or `NORMAL`.
    durability: Durability,
    poisoned: bool,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            let mut next = Some(job);
            let mut group = Vec::new();
            while let Some(job) = next.take() {
                match job {
                    Job::Commit(batch, reply) => {
                        group.push((batch, reply));
                        if group.len() < GROUP {
                            next = inbox.try_recv().ok();
                        }
                    }
                    Job::Define(schema, reply) => {
                        self.answer(std::mem::take(&mut group));
                        let _ = reply.send(self.define(&schema));
                    }
                    Job::Close(reply) => {
                        self.answer(std::mem::take(&mut group));
                        let _ = reply.send(self.close());
                        return;
                    }
                }
            }
            self.answer(group);
        }
    }

    fn answer(&mut self, group: Vec<(WriteBatch, Reply)>) {
        let (batches, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        for (reply, result) in replies.into_iter().zip(self.commit(&batches)) {
            let _ = reply.send(result);
        }
    }

    /// Commits batches in one transaction; one answer a batch, in their order.
    fn commit(&mut self, batches: &[WriteBatch]) -> Vec<Result<(), StoreError>> {
        if batches.is_empty() {
            return Vec::new();
        }
        match self.group(batches) {
            Ok(results) => results,
            // One by one, what is fit to be done is done; of a poisoned store nothing is.
            Err(_) if batches.len() > 1 => batches
                .iter()
                .flat_map(|batch| self.commit(std::slice::from_ref(batch)))
                .collect(),
            Err(error) => vec![Err(error)],
        }
    }

    /// Tries the batches in one transaction. After an error none of them is done, or the store is poisoned.
    fn group(&mut self, batches: &[WriteBatch]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let eventual = batches
            .iter()
            .all(|batch| batch.get_durability() == Durability::Eventual);
        self.begin(if eventual {
            Durability::Eventual
        } else {
            Durability::Immediate
        })?;
        let work = |writer: &mut Self| {
            let catalogue = writer.shared.catalogue(&writer.conn)?;
            let mut results = Vec::with_capacity(batches.len());
            for batch in batches {
                let result = if batches.len() > 1 {
                    writer.apply_in_savepoint(&catalogue, batch)?
                } else {
                    Ok(apply(&writer.conn, &catalogue, batch)?)
                };
                results.push(result);
            }
            Ok(results)
        };
        let done = work(self);
        self.end(done)
    }

    /// The outer error is one that ended the whole transaction.
    fn apply_in_savepoint(
        &self,
        catalogue: &Catalogue,
        batch: &WriteBatch,
    ) -> Result<Result<(), StoreError>, StoreError> {
        run(&self.conn, "SAVEPOINT batch")?;
        let result = apply(&self.conn, catalogue, batch);
        match result {
            Err(error) if self.conn.is_autocommit() || error.kind() == StoreErrorKind::Io => {
                return Err(error);
            }
            Err(_) => run(&self.conn, "ROLLBACK TO batch")?,
            Ok(()) => {}
        }
        run(&self.conn, "RELEASE batch")?;
        Ok(result)
    }

    fn define(&mut self, schema: &Schema) -> Result<(), StoreError> {
        self.begin(Durability::Immediate)?;
        let work = |writer: &mut Self| {
            let current = writer.shared.catalogue(&writer.conn)?;
            catalogue::define(&writer.conn, &current, schema)
        };
        let done = work(self);
        if let Some(newer) = self.end(done)? {
            self.shared.publish(Arc::new(newer));
        }
        Ok(())
    }

    /// Starts a transaction whose commit is as durable as asked.
    fn begin(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(unknown());
        }
        if self.durability != durability {
            let level = match durability {
                Durability::Immediate => "FULL",
                Durability::Eventual => "NORMAL",
            };
            self.conn
                .pragma_update(None, "synchronous", level)
                .map_err(from_sqlite)?;
            self.durability = durability;
        }
        run(&self.conn, "BEGIN IMMEDIATE")
    }

    /// Ends the transaction: commits after `Ok`, else undoes it.
    fn end<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let error = match done {
            Ok(value) => match self
                .conn
                .prepare_cached("COMMIT")
                .and_then(|mut commit| commit.execute([]))
            {
                Ok(_) => return Ok(value),
                Err(error) => match describe(&error) {
                    // The commit may be in the file or not; only opening it again tells.
                    (StoreErrorKind::Io, _) => {
                        self.poison();
                        unknown().with_source(error)
                    }
                    _ => from_sqlite(error),
                },
            },
            Err(error) => error,
        };
        if !self.conn.is_autocommit() && run(&self.conn, "ROLLBACK").is_err()
            || error.kind() == StoreErrorKind::Io
        {
            self.poison();
        }
        Err(error)
    }

    /// After a failed write or sync the system may have dropped what was written: nothing is tried again.
    fn poison(&mut self) {
        self.poisoned = true;
        let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.conn.set_db_config(config, true) {
            tracing::warn!(%error, "the write-ahead log will be copied when the store is closed");
        }
    }

    fn close(self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(unknown());
        }
        // Another process may still read; then the log stays and whoever comes next copies it.
        self.conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(from_sqlite)?;
        self.conn.close().map_err(|(_, error)| from_sqlite(error))
    }
}

/// Judges the checks of a batch and does its writes, inside the caller's transaction.
fn apply(conn: &Connection, catalogue: &Catalogue, batch: &WriteBatch) -> Result<(), StoreError> {
    for check in batch.checks() {
        judge(conn, catalogue, check)?;
    }
    for write in batch.writes() {
        let layout = catalogue.table(write.table())?;
        let statements = &layout.statements;
        let done = match write {
            Write::Put { record, .. } => {
                conn.prepare_cached(&statements.put).and_then(|mut put| {
                    rows::bind(&mut put, layout, record)?;
                    put.raw_execute()
                })
            }
            Write::Delete { id, .. } => conn
                .prepare_cached(&statements.delete)
                .and_then(|mut delete| delete.execute([id.as_str()])),
            Write::Clear { .. } => conn
                .prepare_cached(&statements.clear)
                .and_then(|mut clear| clear.execute([])),
        };
        done.map_err(from_sqlite)?;
    }
    Ok(())
}

fn judge(conn: &Connection, catalogue: &Catalogue, check: &Check) -> Result<(), StoreError> {
    let layout = catalogue.table(&check.table)?;
    let holds = match &check.expect {
        Expect::Absent => !exists(conn, layout, &check.id)?,
        Expect::Present => exists(conn, layout, &check.id)?,
        Expect::Same(record) => {
            read::row(conn, layout, &check.id)?.is_some_and(|(stored, _)| stored == **record)
        }
    };
    if holds {
        Ok(())
    } else {
        Err(StoreError::check_failed(&check.table, &check.id))
    }
}

fn exists(conn: &Connection, layout: &TableLayout, id: &RecordId) -> Result<bool, StoreError> {
    conn.prepare_cached(&layout.statements.exists)
        .and_then(|mut statement| statement.exists([id.as_str()]))
        .map_err(from_sqlite)
}

/// Runs a statement that is used again and again and answers nothing.
pub(crate) fn run(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(|_| ())
        .map_err(from_sqlite)
}

fn unknown() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unknown,
        "writing failed and it is not known what is on disk; open the store again to see",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use synctable_core::{FieldType, Record, TableName, TableSchema};
    use tempfile::TempDir;

    use super::*;
    use crate::open::{self, Options};

    /// A writer on a new file, and how often it committed a transaction.
    fn writer() -> (TempDir, Writer, Arc<AtomicUsize>) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            path: folder.path().join("a.db"),
            create: true,
            cache: 1 << 20,
            readers: 1,
            wait: Duration::ZERO,
        };
        let conn = open::open(&options).unwrap();
        let shared = Arc::new(Shared::new(Catalogue::load(&conn).unwrap()));
        let mut writer = Writer {
            conn,
            shared,
            durability: Durability::Immediate,
            poisoned: false,
        };
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

    fn kinds(results: Vec<Result<(), StoreError>>) -> Vec<Option<StoreErrorKind>> {
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
            writer.commit(&group);
            assert_eq!(level(&writer), expected);
        }
    }
}
