//! The disk of a client: a store whose calls take their time and fail.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, Page, Plan, Position, ProcessLock, StoreCapabilities, StoreError,
    StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use tokio::task::yield_now;

use super::dice::Dice;
use super::witness::Witness;
use super::world::finish;
use crate::fixture::Store;

/// A store as one run of a program sees it: a new one is made after each crash, over the same records.
#[derive(Debug)]
pub(crate) struct Disk {
    inner: Store,
    dice: Arc<Mutex<Dice>>,
    /// Of 1000 calls, so many fail.
    permille: u32,
    calm: Arc<AtomicBool>,
    /// A commit ended without an answer: nothing more is taken until the store is opened again.
    broken: AtomicBool,
    /// Commits that were dropped while they waited; `None` where they are never done.
    late: Option<Mutex<Vec<WriteBatch>>>,
    /// Keeps the books where there is more than one realm.
    witness: Option<Witness>,
}

/// A commit that waits. It may be done when nobody waits for it any more.
struct Waiting<'a> {
    disk: &'a Disk,
    batch: Option<WriteBatch>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let (Some(batch), Some(late)) = (self.batch.take(), &self.disk.late) {
            let mut late = late.lock().unwrap_or_else(PoisonError::into_inner);
            late.push(batch);
        }
    }
}

/// How a call ends.
enum Ending {
    Well,
    /// Nothing was done.
    Failed,
    /// It was done, but the answer is an error.
    Unknown,
    /// It was done, or not, or will be later: the answer says that nobody knows.
    InDoubt {
        done: bool,
    },
}

impl Disk {
    pub(crate) fn new(
        inner: Store,
        dice: Arc<Mutex<Dice>>,
        permille: u32,
        calm: Arc<AtomicBool>,
        holds: bool,
        witness: Option<Witness>,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            dice,
            permille,
            calm,
            broken: AtomicBool::new(false),
            late: holds.then(Mutex::default),
            witness,
        })
    }

    /// True when nothing can be written before the store is opened again.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// Whether it may do commits late.
    pub(crate) fn holds(&self) -> bool {
        self.late.is_some()
    }

    /// How many commits are held back that were dropped.
    pub(crate) fn held(&self) -> usize {
        let late = self.late.as_ref();
        late.map_or(0, |late| {
            late.lock().unwrap_or_else(PoisonError::into_inner).len()
        })
    }

    /// Does one of the commits that were dropped; one whose checks no longer hold is not done. `None` if there is none at `place`.
    pub(crate) fn land(&self, place: usize) -> Option<Result<Position, StoreError>> {
        let batch = {
            let mut late = self.late.as_ref()?.lock();
            let late = late.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut());
            (place < late.len()).then(|| late.swap_remove(place))?
        };
        if self.is_broken() {
            return Some(Err(unknown()));
        }
        // In one go: nothing else happens between.
        let done = finish(async { Ok(self.done(batch).await) });
        Some(done.unwrap_or_else(|_| Err(failed())))
    }

    /// Does a commit, under the eyes of the witness.
    async fn done(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let Some(witness) = &self.witness else {
            return self.inner.commit(batch).await;
        };
        let lost = witness.before(&self.inner, &batch).await?;
        let position = self.inner.commit(batch.clone()).await?;
        witness.after(&batch, lost);
        Ok(position)
    }

    async fn turn(&self) -> Ending {
        let (yields, fails, unknown, doubt) = {
            let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
            (
                dice.below(3),
                dice.permille(self.permille),
                dice.permille(200),
                dice.below(4),
            )
        };
        for _ in 0..yields {
            yield_now().await;
        }
        match (fails && !self.calm.load(Ordering::SeqCst), unknown, doubt) {
            (false, ..) => Ending::Well,
            (true, false, 0) => Ending::InDoubt { done: true },
            (true, false, 1) => Ending::InDoubt { done: false },
            (true, false, _) => Ending::Failed,
            (true, true, _) => Ending::Unknown,
        }
    }

    async fn read(&self) -> Result<(), StoreError> {
        match self.turn().await {
            Ending::Well | Ending::Unknown => Ok(()),
            Ending::Failed | Ending::InDoubt { .. } => Err(failed()),
        }
    }
}

fn failed() -> StoreError {
    StoreError::new(StoreErrorKind::Io, "the disk fails")
}

fn in_doubt() -> StoreError {
    let message = "the connection broke during the commit; it is not known whether it was done";
    StoreError::new(StoreErrorKind::InDoubt, message)
}

fn unknown() -> StoreError {
    let message = "it is not known whether the batch was done; open the store again";
    StoreError::new(StoreErrorKind::Unknown, message)
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl LocalStore for Disk {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.read().await?;
        self.inner.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.inner.schema().await
    }
    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        self.read().await?;
        self.inner.redefine(table, declaration).await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.read().await?;
        self.inner.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.read().await?;
        self.inner.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        if self.is_broken() {
            return Err(unknown());
        }
        let mut waiting = Waiting {
            disk: self,
            batch: Some(batch),
        };
        let ending = self.turn().await;
        let batch = waiting.batch.take().unwrap_or_default();
        match ending {
            Ending::Failed => Err(failed()),
            Ending::Well => {
                let done = self.done(batch).await;
                yield_now().await;
                done
            }
            Ending::Unknown => {
                // A check that does not hold is known all the same.
                self.done(batch).await?;
                self.broken.store(true, Ordering::SeqCst);
                Err(unknown())
            }
            Ending::InDoubt { done: true } => {
                self.done(batch).await?;
                Err(in_doubt())
            }
            Ending::InDoubt { done: false } => {
                // Where commits are late, this one may be done yet.
                waiting.batch = Some(batch);
                Err(in_doubt())
            }
        }
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.read().await?;
        self.inner.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.read().await?;
        self.inner.changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        // A commit waits for its turn, so that two may change places.
        self.inner.capabilities().with_ordered_commits(false)
    }
    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.read().await?;
        self.inner.count(table, query).await
    }
    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        self.inner.explain(table, query).await
    }
    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        self.inner.try_lock().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        self.inner.backup(path, mark).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
