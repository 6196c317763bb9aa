//! Connections for reading: short reads run where they are asked for, long ones on threads of their own.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use synctable_core::store::{StoreError, StoreErrorKind};
use tokio::sync::oneshot;

use crate::catalogue::{self, Catalogue};
use crate::error::{closed, from_sqlite};
use crate::open::{self, Options};
use crate::writer::run;

/// How many steps of SQLite's machine pass between two looks at the budget.
const STEPS: i32 = 1000;
/// How many thousand steps a read may take where it is asked for: well below a millisecond.
const INLINE_BUDGET: i64 = 25;

/// What the writing thread and all readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    catalogue: RwLock<Arc<Catalogue>>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue: RwLock::new(Arc::new(catalogue)),
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

/// Thousands of steps until a read is stopped.
type Budget = Arc<AtomicI64>;

type Job = Box<dyn FnOnce(&Reader) + Send>;

/// The reading connections and their threads.
#[derive(Debug)]
pub(crate) struct Pool {
    slots: Arc<Vec<Slot>>,
    workers: Mutex<Option<Workers>>,
}

/// The place of one connection, opened when it is first needed.
#[derive(Debug)]
struct Slot {
    reader: Mutex<Option<Reader>>,
    budget: Budget,
    options: Options,
    shared: Arc<Shared>,
}

/// One connection for reading.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) conn: Connection,
    budget: Budget,
}

#[derive(Debug)]
struct Workers {
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Opens the first connection.
    pub(crate) fn open(options: &Options, shared: &Arc<Shared>) -> Result<Self, StoreError> {
        // Writing touches a page of every index for each row; reading has less use for a large cache.
        let options = &Options {
            cache: options.cache / 2,
            ..options.clone()
        };
        let slots: Vec<Slot> = (0..options.readers.max(1))
            .map(|_| Slot {
                reader: Mutex::new(None),
                budget: Arc::new(AtomicI64::new(i64::MAX)),
                options: options.clone(),
                shared: Arc::clone(shared),
            })
            .collect();
        if let Some(slot) = slots.first() {
            slot.with(slot.lock(), |_| Ok(()))?;
        }
        Ok(Self {
            slots: Arc::new(slots),
            workers: Mutex::new(None),
        })
    }

    /// Runs a read here and now. `None` where no connection is free or the read takes long: nothing was done then.
    pub(crate) fn inline<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Option<Result<T, StoreError>> {
        let (slot, guard) = self
            .slots
            .iter()
            .find_map(|slot| Some((slot, slot.try_lock()?)))?;
        let mut stopped = false;
        let result = slot.with(guard, |reader| {
            reader.budget.store(INLINE_BUDGET, Ordering::Relaxed);
            let result = read(reader);
            stopped = reader.budget.swap(i64::MAX, Ordering::Relaxed) <= 0;
            // With the budget used up, the end of the read's transaction may have been stopped as well.
            if !reader.conn.is_autocommit() {
                run(&reader.conn, "ROLLBACK")?;
            }
            result
        });
        match result {
            Err(_) if stopped => None,
            result => Some(result),
        }
    }

    /// Runs a read on a thread of its own.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Box::new(move |reader: &Reader| {
            // Nobody waits any more where the caller dropped its future.
            if !reply.is_closed() {
                let _ = reply.send(read(reader));
            }
        }))?;
        answer.await.map_err(|_| closed())?
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

    /// Stops the reads that run, ends the threads and closes the connections.
    pub(crate) fn close(&self) {
        for slot in self.slots.iter() {
            slot.budget.store(0, Ordering::Relaxed);
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
            empty => empty.insert(Reader::open(&self.options, &self.budget)?),
        };
        read(reader)
    }
}

impl Reader {
    fn open(options: &Options, budget: &Budget) -> Result<Self, StoreError> {
        let mut conn = open::open_reader(options)?;
        let budget = Arc::clone(budget);
        let left = Arc::clone(&budget);
        conn.progress_handler(
            STEPS,
            Some(move || left.fetch_sub(1, Ordering::Relaxed) <= 1),
        )
        .map_err(from_sqlite)?;
        Ok(Self { conn, budget })
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
            .map_err(|error| {
                StoreError::new(
                    StoreErrorKind::Other,
                    "the system gives no more threads; close something and try again",
                )
                .with_source(error)
            })?;
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
mod tests {
    use std::time::Duration;

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
        };
        let conn = open::open(&options).unwrap();
        let shared = Arc::new(Shared::new(Catalogue::load(&conn).unwrap()));
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
            reading.off_thread(count).await
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
                reader.budget.store(0, Ordering::Relaxed);
                drop(snapshot);
                Ok(())
            };
            pool.inline(read).unwrap().unwrap();
        }
    }
}
