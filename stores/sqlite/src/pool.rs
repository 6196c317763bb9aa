//! Connections for reading: short reads run where they are asked for, long ones on threads of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use synctable_core::query::{Stop, StopOnDrop};
use synctable_core::store::StoreError;
use tokio::sync::oneshot;

use crate::catalogue::{self, Catalogue};
use crate::error::{closed, from_sqlite, no_threads};
use crate::gauge::{Gauge, STEPS};
use crate::log::Log;
use crate::only_read::OnlyRead;
use crate::open::{self, Options};
use crate::sql::functions;
use crate::writer::run;

/// How many steps a read may take where it is asked for: well below a millisecond.
const INLINE: i64 = 25_000;
/// How many steps a read may take beside the short ones, where no connection was free for it at once.
const SHORT: i64 = 250_000;
/// How many long reads run at the same time.
const LONG_READS: usize = 2;

/// What the writing thread and all readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    catalogue: RwLock<Arc<Catalogue>>,
    /// None for a copy that nobody else sees.
    log: Option<Log>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(catalogue: Catalogue, log: Option<Log>) -> Self {
        Self {
            catalogue: RwLock::new(Arc::new(catalogue)),
            log,
            closed: AtomicBool::new(false),
        }
    }

    /// The catalogue as last seen by anyone here.
    pub(crate) fn last_catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(
            &self
                .catalogue
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The catalogue of the connection's current snapshot.
    pub(crate) fn catalogue(&self, conn: &Connection) -> Result<Arc<Catalogue>, StoreError> {
        let last = self.last_catalogue();
        if catalogue::generation(conn)? == last.generation {
            return Ok(last);
        }
        let loaded = Arc::new(Catalogue::load(conn)?);
        self.publish(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Makes a committed catalogue known, unless a newer one is.
    pub(crate) fn publish(&self, catalogue: Arc<Catalogue>) {
        let mut last = self
            .catalogue
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if catalogue.generation > last.generation {
            *last = catalogue;
        }
    }

    /// What was committed, by whatever process.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            Err(closed())
        } else {
            Ok(())
        }
    }

    /// Marks the store closed; true for the first caller.
    pub(crate) fn set_closed(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }
}

type Job = Box<dyn FnOnce(&Reader) + Send>;

/// The reading connections and their threads. Long reads have a lane of their own, so that short ones never wait behind them.
#[derive(Debug)]
pub(crate) struct Pool {
    short: Lane,
    long: Lane,
}

/// Some connections, and the threads that work with them.
#[derive(Debug)]
struct Lane {
    slots: Arc<Vec<Slot>>,
    workers: Mutex<Option<Workers>>,
}

/// The place of one connection, opened when it is first needed.
#[derive(Debug)]
struct Slot {
    reader: Mutex<Option<Reader>>,
    gauge: Arc<Gauge>,
    options: Options,
    shared: Arc<Shared>,
}

/// One connection for reading.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) conn: Connection,
    pub(crate) gauge: Arc<Gauge>,
    /// Where the file may not be written.
    only_read: Option<Arc<OnlyRead>>,
}

/// Why a read was not done in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// No connection is free.
    Busy,
    /// It takes longer than the lane allows.
    TooLong,
}

/// What became of a read in a lane.
pub(crate) type Attempt<T> = Result<Result<T, StoreError>, NotNow>;

#[derive(Debug)]
struct Workers {
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Opens the first connection.
    pub(crate) fn open(options: &Options, shared: &Arc<Shared>) -> Result<Self, StoreError> {
        // What is read again and again is short; a long read goes through its pages once.
        let pool = Self {
            short: Lane::new(options, shared, options.readers.max(1), options.cache),
            long: Lane::new(options, shared, LONG_READS, options.cache / 4),
        };
        if let Some(slot) = pool.short.slots.first() {
            slot.with(slot.lock(), |_| Ok(()))?;
        }
        Ok(pool)
    }

    /// Does on a thread what [`inline`](Self::inline) could not do. Dropping the future stops the read.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        why: NotNow,
        read: impl Fn(&Reader) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let read = Arc::new(read);
        if why == NotNow::Busy
            && let Ok(result) = self.short.off_thread(&read, SHORT).await?
        {
            return result;
        }
        let done = self.long.off_thread(&read, i64::MAX).await?;
        // Only closing ends it before its time.
        done.unwrap_or_else(|_| Err(closed()))
    }

    /// Runs a read here and now, where that is quick.
    pub(crate) fn inline<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Attempt<T> {
        let mut slots = self.short.slots.iter();
        let (slot, reader) = slots
            .find_map(|slot| Some((slot, slot.try_lock()?)))
            .ok_or(NotNow::Busy)?;
        let attempt = slot.with(reader, |reader| Ok(reader.attempt(INLINE, None, read)));
        attempt.unwrap_or_else(|error| Ok(Err(error)))
    }

    /// Stops the reads that run, ends the threads and closes the connections.
    pub(crate) fn close(&self) {
        self.short.close();
        self.long.close();
    }
}

impl Lane {
    fn new(options: &Options, shared: &Arc<Shared>, connections: usize, cache: usize) -> Self {
        let slot = |number: usize| Slot {
            reader: Mutex::new(None),
            gauge: Arc::default(),
            options: Options {
                // Most reads find the first connection free; the others have what is left to them now and then.
                cache: if number == 0 { cache } else { cache / 2 },
                ..options.clone()
            },
            shared: Arc::clone(shared),
        };
        Self {
            slots: Arc::new((0..connections).map(slot).collect()),
            workers: Mutex::new(None),
        }
    }

    /// Runs a read on a thread of this lane, within `steps`.
    async fn off_thread<T: Send + 'static>(
        &self,
        read: &Arc<impl Fn(&Reader) -> Result<T, StoreError> + Send + Sync + 'static>,
        steps: i64,
    ) -> Result<Attempt<T>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let waits = StopOnDrop::default();
        let (read, asked) = (Arc::clone(read), waits.switch());
        self.send(Box::new(move |reader: &Reader| {
            // Nobody waits any more where the caller dropped its future.
            if !reply.is_closed() {
                let _ = reply.send(reader.attempt(steps, Some(asked), &*read));
            }
        }))?;
        answer.await.map_err(|_| closed())
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if workers.is_none() {
            *workers = Some(Workers::start(&self.slots)?);
        }
        match workers.as_ref() {
            Some(workers) => workers.jobs.send(job).map_err(|_| closed()),
            None => Err(closed()),
        }
    }

    fn close(&self) {
        for slot in self.slots.iter() {
            slot.gauge.close();
        }
        let workers = self
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Workers { jobs, threads }) = workers {
            drop(jobs);
            for thread in threads {
                let _ = thread.join();
            }
        }
        for slot in self.slots.iter() {
            slot.lock().take();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Reader>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Option<Reader>>> {
        match self.reader.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn with<T>(
        &self,
        mut reader: MutexGuard<'_, Option<Reader>>,
        read: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.shared.check_open()?;
        let reader = match &mut *reader {
            Some(reader) => reader,
            empty => empty.insert(Reader::open(&self.options, &self.gauge)?),
        };
        read(reader)
    }
}

impl Reader {
    fn open(options: &Options, gauge: &Arc<Gauge>) -> Result<Self, StoreError> {
        let mut conn = open::open_reader(options)?;
        functions::register(&conn, gauge).map_err(from_sqlite)?;
        let looked_at = Arc::clone(gauge);
        conn.progress_handler(STEPS, Some(move || looked_at.is_up()))
            .map_err(from_sqlite)?;
        Ok(Self {
            conn,
            gauge: Arc::clone(gauge),
            only_read: options.only_read.clone(),
        })
    }

    /// Runs a read within `steps`.
    fn attempt<T>(
        &self,
        steps: i64,
        stop: Option<Stop>,
        read: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Attempt<T> {
        self.gauge.enter(steps, stop);
        let result = read(self);
        let too_long = self.gauge.leave();
        // A read that was stopped at its very end may have left its transaction open.
        if !self.conn.is_autocommit()
            && let Err(error) = run(&self.conn, "ROLLBACK")
        {
            return Ok(Err(error));
        }
        // Also an error says nothing where somebody has begun to write.
        if let Some(source) = &self.only_read
            && let Err(error) = source.check()
        {
            return Ok(Err(error));
        }
        match result {
            Err(_) if too_long => Err(NotNow::TooLong),
            result => Ok(result),
        }
    }
}

impl Workers {
    fn start(slots: &Arc<Vec<Slot>>) -> Result<Self, StoreError> {
        let (jobs, inbox) = channel::<Job>();
        let inbox = Arc::new(Mutex::new(inbox));
        let threads = (0..slots.len())
            .map(|at| {
                let (slots, inbox) = (Arc::clone(slots), Arc::clone(&inbox));
                thread::Builder::new()
                    .name("synctable-sqlite-read".into())
                    .spawn(move || {
                        if let Some(slot) = slots.get(at) {
                            work(slot, &inbox);
                        }
                    })
            })
            .collect::<Result<_, _>>()
            .map_err(no_threads)?;
        Ok(Self { jobs, threads })
    }
}

/// Does jobs on one connection until no more can come.
fn work(slot: &Slot, inbox: &Mutex<Receiver<Job>>) {
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A job that is not run drops its reply, which its caller sees as closed.
        let _ = slot.with(slot.lock(), |reader| {
            job(reader);
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests;
