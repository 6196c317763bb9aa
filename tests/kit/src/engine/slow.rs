//! A store that takes its time around each commit, so that a future can be dropped at every point of it.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, Page, Plan, Position, ProcessLock, StoreCapabilities, StoreError,
    WriteBatch,
};
use synctable_core::threads::{BoxFuture, MaybeSend, MaybeSync};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use tokio::task::yield_now;

use crate::fixture::{Store, table};

/// What becomes of a commit that is dropped before it was done. The contract allows each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// It is never done.
    Undone,
    /// It is done before the next commit, as a store does that promises the order of commits.
    Ordered,
    /// It is done before the next commit by a store that promises no order.
    BeforeNext,
    /// It is done after the next commit by a store that promises no order.
    AfterNext,
    /// The store holds it back for as long as it likes.
    Held,
}

impl Dropped {
    pub(crate) const ALL: [Self; 5] = [
        Self::Undone,
        Self::Ordered,
        Self::BeforeNext,
        Self::AfterNext,
        Self::Held,
    ];
}

/// What others do while records are read.
trait Others: Fn() -> BoxFuture<'static, ()> + MaybeSend + MaybeSync {}

impl<F: Fn() -> BoxFuture<'static, ()> + MaybeSend + MaybeSync> Others for F {}

/// After so many commits.
type Ahead = (usize, BoxFuture<'static, ()>);

/// The store under test with pauses before and after each commit.
pub(crate) struct Slow {
    inner: Store,
    dropped: Dropped,
    late: Mutex<Vec<WriteBatch>>,
    others: Mutex<Option<Arc<dyn Others>>>,
    ahead: Mutex<Option<Ahead>>,
    turn: tokio::sync::Mutex<()>,
    /// Calls under way.
    calls: AtomicUsize,
}

/// A call under way, which may be dropped.
struct Underway<'a>(&'a AtomicUsize);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slow {
    pub(crate) fn new(inner: Store, dropped: Dropped) -> Arc<Self> {
        Arc::new(Self {
            inner,
            dropped,
            late: Mutex::default(),
            others: Mutex::default(),
            ahead: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            calls: AtomicUsize::new(0),
        })
    }

    fn begins(&self) -> Underway<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Underway(&self.calls)
    }

    /// Whether no call is under way: who does not wait for the store waits for something else.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
    }

    /// While many records are read others do something: once for every eight of them.
    pub(crate) fn meanwhile(
        &self,
        others: impl Fn() -> BoxFuture<'static, ()> + MaybeSend + MaybeSync + 'static,
    ) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(others));
    }

    /// Others do something after so many more commits, just ahead of the next one: what that has read is old by then.
    pub(crate) fn ahead(&self, commits: usize, others: BoxFuture<'static, ()>) {
        *self.due() = Some((commits, others));
    }

    /// True once they have done it.
    pub(crate) fn is_through(&self) -> bool {
        self.due().is_none()
    }

    fn due(&self) -> MutexGuard<'_, Option<Ahead>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done ahead of a commit.
    fn ahead_of_commit(&self) -> Option<BoxFuture<'static, ()>> {
        let mut due = self.due();
        if let Some((left, _)) = &mut *due
            && *left > 0
        {
            *left -= 1;
            return None;
        }
        due.take().map(|(_, others)| others)
    }

    /// Others do nothing any more.
    pub(crate) fn calm(&self) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits for commits that were dropped while the store under test was at them, where it keeps their order.
    pub(crate) async fn settle(&self) {
        let nobody = RecordId::system("nobody");
        let barrier = WriteBatch::new().expect_absent(&table("__meta"), &nobody);
        self.inner.commit(barrier).await.expect("there is nobody");
    }

    /// Does the commits that were dropped; one whose checks no longer hold is not done.
    pub(crate) async fn land(&self) {
        self.settle().await;
        self.land_late().await;
    }

    async fn land_late(&self) {
        let late = std::mem::take(&mut *self.late());
        for batch in late {
            let _ = self.inner.commit(batch).await;
        }
    }

    fn late(&self) -> MutexGuard<'_, Vec<WriteBatch>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slow")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// A batch that is not done yet.
struct Waiting<'a> {
    store: &'a Slow,
    batch: Option<WriteBatch>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.store.dropped != Dropped::Undone {
            self.store.late().extend(self.batch.take());
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl LocalStore for Slow {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        let _call = self.begins();
        self.inner.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        let _call = self.begins();
        self.inner.schema().await
    }
    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        let _call = self.begins();
        self.inner.redefine(table, declaration).await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let _call = self.begins();
        yield_now().await;
        let found = self.inner.get(table, ids).await;
        let others = self
            .others
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(others) = others {
            for _ in 0..ids.len() / 8 {
                others().await;
            }
        }
        found
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        let _call = self.begins();
        yield_now().await;
        self.inner.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let _call = self.begins();
        let _turn = self.turn.lock().await;
        if matches!(self.dropped, Dropped::Ordered | Dropped::BeforeNext) {
            self.land_late().await;
        }
        let mut waiting = Waiting {
            store: self,
            batch: Some(batch),
        };
        yield_now().await;
        yield_now().await;
        if let Some(others) = self.ahead_of_commit() {
            others.await;
        }
        let batch = waiting.batch.take().unwrap_or_default();
        let result = self.inner.commit(batch).await;
        if self.dropped == Dropped::AfterNext {
            self.land_late().await;
        }
        yield_now().await;
        yield_now().await;
        result
    }
    async fn position(&self) -> Result<Position, StoreError> {
        let _call = self.begins();
        self.inner.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        let _call = self.begins();
        self.inner.changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        let ordered = self.dropped == Dropped::Ordered || self.dropped == Dropped::Undone;
        let inner = self.inner.capabilities();
        inner.with_ordered_commits(inner.ordered_commits && ordered)
    }
    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        let _call = self.begins();
        self.inner.count(table, query).await
    }
    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        let _call = self.begins();
        self.inner.explain(table, query).await
    }
    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        let _call = self.begins();
        self.inner.try_lock().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        let _call = self.begins();
        self.inner.check().await
    }

    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        let _call = self.begins();
        self.inner.backup(path, mark).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        let _call = self.begins();
        self.inner.close().await
    }
}
