//! What keeps the calls of one context apart. Contexts and processes are kept apart by checks in the store.
//!
//! Whoever takes several takes them in this order: pull, push, exchange, queue, records.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::name::{RecordId, TableName};

/// More shards than tasks that are likely to write at once, so that strangers seldom share one.
const SHARDS: u64 = 1024;

/// The guards of a context.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// One pull of a table at a time.
    pulls: std::sync::Mutex<HashMap<TableName, Arc<Mutex<()>>>>,
    /// One push at a time.
    pub(crate) push: Mutex<()>,
    pub(crate) exchange: Exchange,
    /// Local changes share it, whoever plans against the whole queue or a whole table holds it alone. Never held
    /// across a request.
    pub(crate) queue: RwLock<()>,
    /// Local changes that wait for a pull.
    pub(crate) locals: Locals,
    /// One change of a record at a time.
    pub(crate) records: RecordLocks,
}

impl Guards {
    /// The lock that pulls of a table take.
    pub(crate) fn pull(&self, table: &TableName) -> Arc<Mutex<()>> {
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(pulls.entry(table.clone()).or_default())
    }
}

/// Keeps what is sent and what is received apart: a page is fetched and stored while no push is under way, so a
/// page never carries a record from before our own write. Local changes do not wait for it.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    lock: RwLock<()>,
    /// Who waits to receive.
    waiting: AtomicUsize,
}

impl Exchange {
    /// For who asks for records, until they are stored.
    pub(crate) async fn receive(&self) -> RwLockReadGuard<'_, ()> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        self.lock.read().await
    }

    /// For who sends operations, until the answers are stored.
    pub(crate) async fn send(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write().await
    }

    /// Whether somebody waits until nothing is sent. The lock is fair: who lets it go then, and takes it again, comes behind.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Somebody waits until this is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How much a pull may store at once, as local changes wait for it.
#[derive(Debug)]
pub(crate) struct Locals {
    /// Whether some came since a pull asked.
    came: AtomicBool,
    rows: AtomicUsize,
}

impl Locals {
    /// Rows that a pull stores at once where somebody changes records here. While nobody does it stores twice as many each time.
    const FEW: usize = 256;

    /// A local change begins.
    pub(crate) fn begins(&self) {
        self.came.store(true, Ordering::Relaxed);
    }

    /// How many rows a pull may store at once now.
    pub(crate) fn rows_at_once(&self) -> usize {
        let rows = if self.came.swap(false, Ordering::Relaxed) {
            Self::FEW
        } else {
            self.rows.load(Ordering::Relaxed).saturating_mul(2)
        };
        self.rows.store(rows, Ordering::Relaxed);
        rows
    }
}

impl Default for Locals {
    fn default() -> Self {
        Self {
            came: AtomicBool::new(false),
            rows: AtomicUsize::new(usize::MAX),
        }
    }
}

/// Locks on records, so that two changes of one record never plan against the same state.
#[derive(Debug)]
pub(crate) struct RecordLocks {
    shards: Vec<Mutex<()>>,
}

impl Default for RecordLocks {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(())).collect(),
        }
    }
}

impl RecordLocks {
    /// Locks all these records. Shards are taken in one order everywhere, so nobody waits in a circle.
    pub(crate) async fn lock<'a>(
        &self,
        records: impl Iterator<Item = (&'a TableName, &'a RecordId)>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let mut numbers: Vec<u64> = records.map(|key| hash(key) % SHARDS).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut guards = Vec::with_capacity(numbers.len());
        for number in numbers {
            if let Some(shard) = usize::try_from(number)
                .ok()
                .and_then(|at| self.shards.get(at))
            {
                guards.push(shard.lock().await);
            }
        }
        guards
    }
}

/// A number from 0 to about 16 times `attempt`. The lot is an id that nobody else has, so that no two contexts get the same.
pub(crate) fn spread(attempt: usize, lot: &RecordId) -> u64 {
    let most = 16 * attempt as u64 + 1;
    hash((attempt, lot)) % most
}

/// The same in every run: with injected time and ids one history goes one way.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_stores_few_rows_at_once_while_local_changes_come() {
        let locals = Locals::default();
        assert_eq!(locals.rows_at_once(), usize::MAX);
        locals.begins();
        let few = Locals::FEW;
        let rows = || locals.rows_at_once();
        assert_eq!([rows(), rows(), rows()], [few, 2 * few, 4 * few]);
        locals.begins();
        assert_eq!([rows(), rows()], [few, 2 * few]);
    }
}
