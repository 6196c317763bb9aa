//! The way to the writer: a thread that commits what waits together, or the caller itself when it is alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use synctable_core::store::{Position, StoreError, Write, WriteBatch};
use synctable_core::{Schema, TableName, TableSchema};
use tokio::sync::oneshot;

use crate::error::{closed, no_threads};
use crate::writer::Writer;

/// The most batches of one transaction.
const GROUP: usize = 256;
/// The most checks and writes of a batch that is committed by its caller.
const SMALL: usize = 8;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
/// Empty once the store is closed.
type Cell = Mutex<Option<Writer>>;

/// What the thread is asked to do.
enum Job {
    Commit(WriteBatch, Ticket, Reply<Position>),
    Define(Schema, Reply<()>),
    Redefine(TableName, TableSchema, Reply<()>),
    Checkpoint,
    Look,
    Close(Reply<()>),
}

/// Requests are done in the order in which they are made.
#[derive(Debug)]
pub(crate) struct Queue {
    writer: Arc<Cell>,
    /// How many batches are on their way.
    batches: Arc<AtomicUsize>,
    /// Whether the last batches that waited were several: then others will come soon, and sharing a transaction with them
    /// is cheaper than being first.
    crowded: Arc<AtomicBool>,
    /// Whether a caller that is alone commits by itself.
    inline: bool,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Counts a batch as on its way until dropped.
struct Ticket(Arc<AtomicUsize>);

impl Queue {
    pub(crate) fn start(writer: Writer, inline: bool) -> Result<Self, StoreError> {
        let writer = Arc::new(Mutex::new(Some(writer)));
        let (jobs, inbox) = channel();
        let cell = Arc::clone(&writer);
        let crowded = Arc::new(AtomicBool::new(false));
        let crowd = Arc::clone(&crowded);
        let thread = thread::Builder::new()
            .name("synctable-sqlite".into())
            .spawn(move || work(&cell, &inbox, &crowd))
            .map_err(no_threads)?;
        Ok(Self {
            writer,
            batches: Arc::default(),
            crowded,
            inline,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(crate) async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let alone = self.batches.fetch_add(1, Ordering::AcqRel) == 0;
        let ticket = Ticket(Arc::clone(&self.batches));
        if alone
            && self.inline
            && !self.crowded.load(Ordering::Relaxed)
            && is_small(&batch)
            && let Some(result) = self.commit_inline(&batch)
        {
            return result;
        }
        self.ask(|reply| Job::Commit(batch, ticket, reply)).await
    }

    /// Commits here and now; `None` where that would mean to wait, and then nothing was done.
    fn commit_inline(&self, batch: &WriteBatch) -> Option<Result<Position, StoreError>> {
        let mut cell = match self.writer.try_lock() {
            Ok(cell) => cell,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let writer = cell.as_mut()?;
        let result = writer.commit_at_once(batch);
        if writer.wants_checkpoint()
            && let Some(jobs) = &self.jobs
        {
            let _ = jobs.send(Job::Checkpoint);
        }
        result
    }

    pub(crate) async fn define(&self, schema: Schema) -> Result<(), StoreError> {
        self.ask(|reply| Job::Define(schema, reply)).await
    }

    pub(crate) async fn redefine(
        &self,
        table: TableName,
        declaration: TableSchema,
    ) -> Result<(), StoreError> {
        self.ask(|reply| Job::Redefine(table, declaration, reply))
            .await
    }

    /// Has the thread settle what others have left in the change log. Waits for nothing.
    pub(crate) fn look(&self) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(Job::Look);
        }
    }

    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        self.ask(Job::Close).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job(reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Queue {
    /// Lets the thread finish what it was asked and waits for its end, so that the file is closed afterwards.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// True for a batch that is done in about the time that waking a thread takes.
fn is_small(batch: &WriteBatch) -> bool {
    batch.checks().len() + batch.writes().len() <= SMALL
        && !batch
            .writes()
            .iter()
            .any(|write| matches!(write, Write::Clear { .. }))
}

/// Does jobs until the store is closed or no more can come.
fn work(cell: &Cell, inbox: &Receiver<Job>, crowded: &AtomicBool) {
    while let Ok(job) = inbox.recv() {
        let mut next = Some(job);
        let mut group = Vec::new();
        while let Some(job) = next.take() {
            match job {
                Job::Commit(batch, ticket, reply) => {
                    group.push((batch, ticket, reply));
                    if group.len() < GROUP {
                        next = inbox.try_recv().ok();
                    }
                }
                Job::Define(schema, reply) => {
                    commit(cell, std::mem::take(&mut group));
                    let result = with(cell, |writer| writer.define(&schema));
                    let _ = reply.send(result.and_then(|done| done));
                }
                Job::Redefine(table, declaration, reply) => {
                    commit(cell, std::mem::take(&mut group));
                    let result = with(cell, |writer| writer.redefine(&table, &declaration));
                    let _ = reply.send(result.and_then(|done| done));
                }
                Job::Checkpoint => {}
                Job::Look => {
                    commit(cell, std::mem::take(&mut group));
                    let _ = with(cell, Writer::settle);
                }
                Job::Close(reply) => {
                    commit(cell, std::mem::take(&mut group));
                    let writer = lock(cell).take();
                    let _ = reply.send(writer.map_or_else(|| Err(closed()), Writer::close));
                    return;
                }
            }
        }
        if !group.is_empty() {
            crowded.store(group.len() > 1, Ordering::Relaxed);
        }
        commit(cell, group);
        let _ = with(cell, Writer::checkpoint);
    }
}

fn commit(cell: &Cell, group: Vec<(WriteBatch, Ticket, Reply<Position>)>) {
    if group.is_empty() {
        return;
    }
    let mut batches = Vec::with_capacity(group.len());
    let mut callers = Vec::with_capacity(group.len());
    for (batch, ticket, reply) in group {
        batches.push(batch);
        callers.push((ticket, reply));
    }
    let results = with(cell, |writer| writer.commit(&batches)).unwrap_or_default();
    let mut results = results.into_iter();
    for (ticket, reply) in callers {
        // First, so that a caller which goes on at once finds itself alone.
        drop(ticket);
        let _ = reply.send(results.next().unwrap_or_else(|| Err(closed())));
    }
}

fn with<T>(cell: &Cell, work: impl FnOnce(&mut Writer) -> T) -> Result<T, StoreError> {
    lock(cell).as_mut().map(work).ok_or_else(closed)
}

fn lock(cell: &Cell) -> MutexGuard<'_, Option<Writer>> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}
