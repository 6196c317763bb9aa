//! A store whose engine blocks, off the threads that async tasks share.
//!
//! This crate starts no thread: where the work is done is said by an [`Offload`], which the application or a store's crate brings.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use async_trait::async_trait;
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, Page, Plan, Position, ProcessLock, StoreCapabilities, StoreError,
    StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use tokio::sync::oneshot;

use crate::backend::KvBackend;
use crate::store::KvStore;

/// Work to be done, once.
pub type Job = Box<dyn FnOnce() + Send>;

/// What a job may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lane {
    /// Nothing: it begins whatever other jobs are under way, of either kind.
    Read,
    /// The commits that were handed in before it: one after the other, in that order.
    Commit,
}

/// Where the jobs of an [`Offloaded`] store run. A job that is not run has to be dropped: its caller gets an error then.
pub trait Offload: Debug + Send + Sync + 'static {
    /// Takes a job to run it elsewhere, and returns at once.
    fn run(&self, lane: Lane, job: Job);
}

/// A [`KvStore`] whose calls are done where an [`Offload`] says, or [inline](Self::inline).
///
/// Only commits and declarations pass one queue, in the order of their first polls; reads wait neither for it nor for each other, as far as the
/// engine lets them. A future that is dropped before its first poll does nothing; after it, the work is done to its end. A panic of a worker is an
/// error of the call, and of every later one. Dropping the store waits for what is still under way, as opening it again has to find it closed.
#[derive(Debug)]
pub struct Offloaded<B: KvBackend> {
    store: Arc<KvStore<B>>,
    offload: Option<Arc<dyn Offload>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A worker panicked.
    broken: AtomicBool,
    running: Mutex<usize>,
    none_runs: Condvar,
}

/// Counts a job from its call to its end, whatever that is.
struct Running(Arc<State>);

impl Running {
    fn new(state: &Arc<State>) -> Self {
        *state.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(Arc::clone(state))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *running -= 1;
        self.0.none_runs.notify_all();
    }
}

impl<B: KvBackend> Offloaded<B> {
    /// A store whose calls run on `offload`.
    pub fn new(store: KvStore<B>, offload: Arc<dyn Offload>) -> Self {
        Self {
            store: Arc::new(store),
            offload: Some(offload),
            state: Arc::default(),
        }
    }

    /// A store whose calls run on the thread that polls them: for engines that do not block, and for programs that have one thread to spare for
    /// the store anyway.
    pub fn inline(store: KvStore<B>) -> Self {
        Self {
            store: Arc::new(store),
            offload: None,
            state: Arc::default(),
        }
    }

    async fn call<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&KvStore<B>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(offload) = &self.offload else {
            return work(&self.store);
        };
        if self.state.broken.load(Ordering::SeqCst) {
            return Err(panicked(lane));
        }
        let (told, answer) = oneshot::channel();
        let (store, state) = (Arc::clone(&self.store), Arc::clone(&self.state));
        let running = Running::new(&self.state);
        let job = move || {
            let mut done = None;
            // Commits that were queued behind a panic are not done.
            if !state.broken.load(Ordering::SeqCst) {
                done = catch_unwind(AssertUnwindSafe(|| work(&store))).ok();
                if done.is_none() {
                    state.broken.store(true, Ordering::SeqCst);
                }
            }
            // Whoever has the answer may drop the store, and open it again.
            drop(store);
            drop(running);
            if let Some(done) = done {
                // A dropped future has no use for it.
                let _ = told.send(done);
            }
        };
        offload.run(lane, Box::new(job));
        answer.await.unwrap_or_else(|_| Err(panicked(lane)))
    }
}

fn panicked(lane: Lane) -> StoreError {
    let kind = match lane {
        Lane::Read => StoreErrorKind::Other,
        Lane::Commit => StoreErrorKind::Unknown,
    };
    let message =
        "a worker of the store ended in a panic; open the store again to see what is in it";
    StoreError::new(kind, message)
}

impl<B: KvBackend> Drop for Offloaded<B> {
    fn drop(&mut self) {
        let mut running = self
            .state
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while *running > 0 {
            running = self
                .state
                .none_runs
                .wait(running)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: KvBackend> LocalStore for Offloaded<B> {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        let schema = schema.clone();
        self.call(Lane::Commit, move |store| store.define_now(&schema))
            .await
    }

    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        let (table, declaration) = (table.clone(), declaration.clone());
        self.call(Lane::Commit, move |store| {
            store.redefine_now(&table, &declaration)
        })
        .await
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        self.call(Lane::Read, KvStore::schema_now).await
    }

    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let (table, ids) = (table.clone(), ids.to_vec());
        self.call(Lane::Read, move |store| store.get_now(&table, &ids))
            .await
    }

    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        let (table, query) = (table.clone(), query.clone());
        self.call(Lane::Read, move |store| store.query_now(&table, &query))
            .await
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        self.call(Lane::Commit, move |store| store.commit_now(&batch))
            .await
    }

    async fn position(&self) -> Result<Position, StoreError> {
        if self.store.is_shared() {
            return self.call(Lane::Read, KvStore::position_now).await;
        }
        self.store.position().await
    }

    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        if self.store.is_shared() {
            let read = move |store: &KvStore<B>| store.changes_now(since, limit);
            return self.call(Lane::Read, read).await;
        }
        self.store.changes_since(since, limit).await
    }

    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }

    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        let (table, query) = (table.clone(), query.clone());
        self.call(Lane::Read, move |store| store.count_now(&table, &query))
            .await
    }

    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        let (table, query) = (table.clone(), query.clone());
        self.call(Lane::Read, move |store| store.explain_now(&table, &query))
            .await
    }

    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        self.call(Lane::Read, KvStore::try_lock_now).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.call(Lane::Read, KvStore::check_now).await
    }

    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        let path = path.to_owned();
        self.call(Lane::Read, move |store| store.backup_now(&path, &mark))
            .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.call(Lane::Commit, KvStore::close_now).await
    }
}
