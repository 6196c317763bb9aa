//! Bugs in what a store says was changed, and in the check that a table was not.

use synctable_core::store::{
    Changes, LocalStore, Position, StoreCapabilities, StoreError, WriteBatch,
};
use synctable_testkit::async_trait;

use crate::{Bug, Store};

/// The last name of each answer is left out.
#[derive(Debug, Default)]
pub(crate) struct LosesNames;

#[async_trait]
impl Bug for LosesNames {
    async fn changes_since(
        &self,
        store: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let mut answer = store.changes_since(since, limit).await?;
        if let Changes::Known { changed, .. } = &mut answer {
            changed.pop();
        }
        Ok(answer)
    }
}

/// A position is a whole commit: the rest of one is never told.
#[derive(Debug, Default)]
pub(crate) struct StandsStill;

#[async_trait]
impl Bug for StandsStill {
    async fn changes_since(
        &self,
        store: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let mut answer = store.changes_since(since, limit).await?;
        if let Changes::Known { next, .. } = &mut answer
            && next.place() > 0
        {
            *next = Position::new(next.log(), next.commit() + 1, 0);
        }
        Ok(answer)
    }
}

/// Only some commits are known.
#[derive(Debug, Default)]
pub(crate) struct ForgetsSoon;

#[async_trait]
impl Bug for ForgetsSoon {
    async fn changes_since(
        &self,
        store: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let now = store.position().await?;
        if now.log() == since.log() && now.commit() > since.commit() + 5 {
            return Ok(Changes::Unknown { now });
        }
        store.changes_since(since, limit).await
    }
}

/// Since a position that it does not know, nothing has changed.
#[derive(Debug, Default)]
pub(crate) struct KnowsEverything;

#[async_trait]
impl Bug for KnowsEverything {
    async fn changes_since(
        &self,
        store: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        Ok(match store.changes_since(since, limit).await? {
            Changes::Unknown { now } => Changes::Known {
                changed: Vec::new(),
                next: now,
                more: false,
            },
            known @ Changes::Known { .. } => known,
        })
    }
}

/// The log ends where the next commit will.
#[derive(Debug, Default)]
pub(crate) struct ReachesAhead;

#[async_trait]
impl Bug for ReachesAhead {
    async fn position(&self, store: &Store) -> Result<Position, StoreError> {
        let here = store.position().await?;
        Ok(Position::new(here.log(), here.commit() + 1, 0))
    }
}

/// All openings number their commits in one log.
#[derive(Debug, Default)]
pub(crate) struct KeepsPositions;

/// The id of that log.
const ALWAYS: u64 = 7;

async fn inside(store: &Store, position: Position) -> Result<Position, StoreError> {
    let log = store.position().await?.log();
    Ok(Position::new(log, position.commit(), position.place()))
}

fn outside(position: Position) -> Position {
    Position::new(ALWAYS, position.commit(), position.place())
}

#[async_trait]
impl Bug for KeepsPositions {
    async fn position(&self, store: &Store) -> Result<Position, StoreError> {
        Ok(outside(store.position().await?))
    }
    async fn changes_since(
        &self,
        store: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let since = inside(store, since).await?;
        Ok(match store.changes_since(since, limit).await? {
            Changes::Unknown { now } => Changes::Unknown { now: outside(now) },
            Changes::Known {
                changed,
                next,
                more,
            } => Changes::Known {
                changed,
                next: outside(next),
                more,
            },
        })
    }
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let mut inner = without_unchanged(&batch);
        for unchanged in batch.unchanged() {
            let since = inside(store, unchanged.since).await?;
            inner = inner.expect_unchanged(&unchanged.table, since);
        }
        store.commit(inner).await.map(outside)
    }
    fn capabilities(&self, store: &Store) -> StoreCapabilities {
        store.capabilities().with_persistent(true)
    }
}

/// Every table is unchanged.
#[derive(Debug, Default)]
pub(crate) struct IgnoresUnchanged;

#[async_trait]
impl Bug for IgnoresUnchanged {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        store.commit(without_unchanged(&batch)).await
    }
}

/// Nobody's own writes are told from those of others.
#[derive(Debug, Default)]
pub(crate) struct CountsOwnWrites;

#[async_trait]
impl Bug for CountsOwnWrites {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let mut nobodys = WriteBatch::new().durability(batch.get_durability());
        for unchanged in batch.unchanged() {
            nobodys = nobodys.expect_unchanged(&unchanged.table, unchanged.since);
        }
        let nobodys = nobodys.with_checks(batch.checks().to_vec());
        store
            .commit(nobodys.with_writes(batch.writes().to_vec()))
            .await
    }
}

/// Checks are judged first, and the writes done when others have had their turn.
#[derive(Debug, Default)]
pub(crate) struct JudgesEarly;

#[async_trait]
impl Bug for JudgesEarly {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        store.commit(batch.clone().with_writes(Vec::new())).await?;
        // Until another batch that was on its way has been judged, too.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let unchecked = without_unchanged(&batch).with_checks(Vec::new());
        store.commit(unchecked).await
    }
}

pub(crate) fn without_unchanged(batch: &WriteBatch) -> WriteBatch {
    let mut other = WriteBatch::new().durability(batch.get_durability());
    if let Some(author) = batch.get_author() {
        other = other.author(author);
    }
    let other = other.with_checks(batch.checks().to_vec());
    other.with_writes(batch.writes().to_vec())
}
