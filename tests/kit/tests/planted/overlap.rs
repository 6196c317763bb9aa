//! Bugs that show only where commits overlap or were dropped.

use std::collections::HashMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use synctable_core::store::{
    Changes, Expect, LocalStore, Position, StoreCapabilities, StoreError, WriteBatch,
};
use synctable_core::{Record, RecordId, TableName};
use synctable_testkit::async_trait;
use tokio::task::yield_now;

use crate::named::without_unchanged;
use crate::{Bug, Store};

/// Time for what else is under way.
async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Checks of tables are judged when a commit begins, those of records when it lands.
#[derive(Debug, Default)]
pub(crate) struct JudgesTablesEarly;

#[async_trait]
impl Bug for JudgesTablesEarly {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let early = batch
            .clone()
            .with_writes(Vec::new())
            .with_checks(Vec::new());
        store.commit(early).await?;
        turns(20).await;
        store.commit(without_unchanged(&batch)).await
    }
}

/// What a record holds is compared before others have had their turn; only whether it is there is judged in the commit.
#[derive(Debug, Default)]
pub(crate) struct ComparesEarly;

#[async_trait]
impl Bug for ComparesEarly {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        store.commit(batch.clone().with_writes(Vec::new())).await?;
        turns(20).await;
        let late = batch.checks().iter().cloned().map(|mut check| {
            if check.expect != Expect::Absent {
                check.expect = Expect::Present;
            }
            check
        });
        let late = late.collect();
        store.commit(batch.with_checks(late)).await
    }
}

/// `commit` returns where the log ends once it gets to answering.
#[derive(Debug, Default)]
pub(crate) struct AnswersTheEnd;

#[async_trait]
impl Bug for AnswersTheEnd {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        store.commit(batch).await?;
        turns(5).await;
        store.position().await
    }
}

/// A commit has its number in the log from its beginning, and can be read later.
#[derive(Debug, Default)]
pub(crate) struct NumbersWhatBegins(AtomicU64);

impl NumbersWhatBegins {
    fn ahead(&self, here: Position) -> Position {
        let under_way = self.0.load(Ordering::SeqCst);
        Position::new(here.log(), here.commit() + under_way, 0)
    }
}

#[async_trait]
impl Bug for NumbersWhatBegins {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        turns(5).await;
        let done = store.commit(batch).await;
        self.0.fetch_sub(1, Ordering::SeqCst);
        done
    }
    async fn position(&self, store: &Store) -> Result<Position, StoreError> {
        Ok(self.ahead(store.position().await?))
    }
    async fn changes_since(
        &self,
        store: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let here = store.position().await?;
        if here < since {
            // Nothing is written down yet of what has begun.
            return Ok(Changes::Known {
                changed: Vec::new(),
                next: since,
                more: false,
            });
        }
        store.changes_since(since, limit).await
    }
}

/// `changes_since` goes on behind commits that are under way, as if they had changed nothing.
#[derive(Debug, Default)]
pub(crate) struct PassesUnderWay(NumbersWhatBegins);

#[async_trait]
impl Bug for PassesUnderWay {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        self.0.commit(store, batch).await
    }
    async fn changes_since(
        &self,
        store: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let mut answer = self.0.changes_since(store, since, limit).await?;
        if let Changes::Known { next, more, .. } = &mut answer
            && !*more
            && *next <= store.position().await?
        {
            *next = self.0.ahead(*next);
        }
        Ok(answer)
    }
}

/// While commits are under way, what was read before is read again.
#[derive(Debug, Default)]
pub(crate) struct ReadsWhenCalm {
    under_way: AtomicU64,
    seen: Mutex<HashMap<RecordId, Option<Record>>>,
}

#[async_trait]
impl Bug for ReadsWhenCalm {
    async fn get(
        &self,
        store: &Store,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let found = store.get(table, ids).await?;
        let mut seen = self.seen.lock().unwrap();
        if self.under_way.load(Ordering::SeqCst) == 0 {
            seen.clear();
        }
        let pairs = ids.iter().zip(found);
        Ok(pairs
            .map(|(id, record)| seen.entry(id.clone()).or_insert(record).clone())
            .collect())
    }
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        turns(3).await;
        let done = store.commit(batch).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        done
    }
}

/// What becomes of the checks of a commit that lands after its future was dropped.
trait Late: Debug + Default + Send + Sync + 'static {
    fn batch(batch: WriteBatch) -> WriteBatch;
}

/// A commit that is dropped lands behind the next one.
#[derive(Debug, Default)]
pub(crate) struct LandsLate<L> {
    late: Mutex<Vec<WriteBatch>>,
    checks: PhantomData<L>,
}

/// A dropped commit lands whatever became of the rows that it demands.
pub(crate) type LandsUnjudged = LandsLate<RowsUnjudged>;

/// A dropped commit lands whatever became of the tables that it demands.
pub(crate) type LandsOverTables = LandsLate<TablesUnjudged>;

/// They are judged then: such a store keeps the contract.
#[derive(Debug, Default)]
pub(crate) struct Judged;

impl Late for Judged {
    fn batch(batch: WriteBatch) -> WriteBatch {
        batch
    }
}

/// They were judged when it began.
#[derive(Debug, Default)]
pub(crate) struct RowsUnjudged;

impl Late for RowsUnjudged {
    fn batch(batch: WriteBatch) -> WriteBatch {
        batch.with_checks(Vec::new())
    }
}

/// Those of tables were judged when it began.
#[derive(Debug, Default)]
pub(crate) struct TablesUnjudged;

impl Late for TablesUnjudged {
    fn batch(batch: WriteBatch) -> WriteBatch {
        without_unchanged(&batch)
    }
}

/// A commit that has begun.
struct Begun<'a> {
    late: &'a Mutex<Vec<WriteBatch>>,
    batch: Option<WriteBatch>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.late.lock().unwrap().extend(self.batch.take());
    }
}

#[async_trait]
impl<L: Late> Bug for LandsLate<L> {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let mut begun = Begun {
            late: &self.late,
            batch: Some(batch),
        };
        turns(2).await;
        let done = store.commit(begun.batch.take().unwrap()).await;
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for batch in late {
            let _ = store.commit(L::batch(batch)).await;
        }
        done
    }
    fn capabilities(&self, store: &Store) -> StoreCapabilities {
        store.capabilities().with_ordered_commits(false)
    }
}
