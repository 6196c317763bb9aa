//! A store of which one call fails, or every call from one on.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, Durability, LocalStore, Page, Plan, Position, ProcessLock, StoreCapabilities,
    StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};

use crate::fixture::Store;

/// Which calls fail, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The number of the first call that fails, of the first write where only writes do.
    pub(crate) at: usize,
    pub(crate) kind: StoreErrorKind,
    pub(crate) how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// This call, and no other.
    Once,
    /// This write, and no other; a commit is done all the same.
    DoneOnce,
    /// It and every later one.
    FromThen,
    /// As [`FromThen`](Self::FromThen), but reads go on.
    WritesFromThen,
    /// As [`WritesFromThen`](Self::WritesFromThen), but the first commit that fails is done all the same.
    DoneThenWrites,
}

/// The store under test with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Store,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: usize,
    writes: usize,
    commits: usize,
    immediate: usize,
    fault: Option<Fault>,
    hit: bool,
}

/// What the call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    /// It may fail with a check.
    Commit,
    Define,
}

impl Faulty {
    pub(crate) fn new(inner: Store, fault: Option<Fault>) -> Arc<Self> {
        let state = State {
            fault,
            ..State::default()
        };
        Arc::new(Self {
            inner,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on calls fail; they are counted from the beginning.
    pub(crate) fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// No call fails any more.
    pub(crate) fn recover(&self) {
        self.state().fault = None;
    }

    /// True once a call has failed.
    pub(crate) fn is_hit(&self) -> bool {
        self.state().hit
    }

    /// Commits so far.
    pub(crate) fn commits(&self) -> usize {
        self.state().commits
    }

    /// Commits so far that were to be on the disk before their answer.
    pub(crate) fn immediate(&self) -> usize {
        self.state().immediate
    }

    /// Commits and declarations so far.
    pub(crate) fn writes(&self) -> usize {
        self.state().writes
    }

    /// The store without the fault.
    pub(crate) fn sound(&self) -> Store {
        Arc::clone(&self.inner)
    }

    /// The error of this call, and whether it is done all the same.
    fn verdict(&self, call: Call) -> Option<(StoreError, bool)> {
        let mut state = self.state();
        let (calls, writes) = (state.calls, state.writes);
        state.calls += 1;
        state.writes += usize::from(call != Call::Read);
        state.commits += usize::from(call == Call::Commit);
        let fault = state.fault?;
        let due = match fault.how {
            How::Once => calls == fault.at,
            How::DoneOnce => call != Call::Read && writes == fault.at,
            How::FromThen => calls >= fault.at,
            How::WritesFromThen | How::DoneThenWrites => call != Call::Read && writes >= fault.at,
        };
        if !due {
            return None;
        }
        let done = matches!(fault.how, How::DoneThenWrites | How::DoneOnce)
            && call == Call::Commit
            && !state.hit;
        state.hit = true;
        let kind = match fault.kind {
            // Only a commit has checks.
            StoreErrorKind::CheckFailed if call != Call::Commit => StoreErrorKind::Io,
            kind => kind,
        };
        Some((StoreError::new(kind, "the store fails in this test"), done))
    }

    fn fails(&self, call: Call) -> Result<(), StoreError> {
        self.verdict(call).map_or(Ok(()), |(error, _)| Err(error))
    }
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl LocalStore for Faulty {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.fails(Call::Define)?;
        self.inner.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.fails(Call::Read)?;
        self.inner.schema().await
    }
    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        self.fails(Call::Define)?;
        self.inner.redefine(table, declaration).await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.fails(Call::Read)?;
        self.inner.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.fails(Call::Read)?;
        self.inner.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let immediate = batch.get_durability() == Durability::Immediate;
        self.state().immediate += usize::from(immediate);
        match self.verdict(Call::Commit) {
            None => self.inner.commit(batch).await,
            Some((error, false)) => Err(error),
            Some((error, true)) => {
                self.inner.commit(batch).await?;
                Err(error)
            }
        }
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.fails(Call::Read)?;
        self.inner.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.fails(Call::Read)?;
        self.inner.changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        self.inner.capabilities()
    }
    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.fails(Call::Read)?;
        self.inner.count(table, query).await
    }
    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        self.fails(Call::Read)?;
        self.inner.explain(table, query).await
    }
    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        self.fails(Call::Read)?;
        self.inner.try_lock().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.fails(Call::Read)?;
        self.inner.check().await
    }

    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        self.fails(Call::Read)?;
        self.inner.backup(path, mark).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
