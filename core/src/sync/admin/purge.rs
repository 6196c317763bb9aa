//! Purge: removes local records without telling the server.

use std::collections::HashSet;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::{Evaluator, Expr, Query, field};
use crate::store::{LocalStoreExt, Write, WriteBatch};
use crate::sync::context::SyncContext;
use crate::sync::event::Event;
use crate::sync::inner::Inner;
use crate::sync::local::write::CommitError;
use crate::sync::pull::stamp;
use crate::sync::queue::operation::Operation;
use crate::sync::system::{DELTA, DeltaToken, META};

/// What to purge, and what to do about pending operations and pull positions.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Purge {
    filter: Option<Expr>,
    discard_pending: bool,
    keep_tokens: bool,
}

impl Purge {
    /// All records of the table.
    pub fn all() -> Self {
        Self::default()
    }

    /// The records that match.
    pub fn matching(filter: impl Into<Expr>) -> Self {
        Self {
            filter: Some(filter.into()),
            ..Self::default()
        }
    }

    /// Also drops the operations on these records, which were not pushed: those changes are lost. Without this a purge is refused while the
    /// table has pending operations.
    pub fn discard_pending(mut self) -> Self {
        self.discard_pending = true;
        self
    }

    /// Keeps the positions of named pulls, so that the next pull does not bring the purged records back. By default
    /// the positions of the table are forgotten.
    pub fn keep_tokens(mut self) -> Self {
        self.keep_tokens = true;
        self
    }
}

/// What a purge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeReport {
    /// Records that were removed.
    pub purged: u64,
    /// Operations that were dropped.
    pub discarded: u64,
}

impl SyncContext {
    /// Removes records, and with them operations and pull positions as `purge` says: one commit, all or nothing.
    pub(crate) async fn purge(
        &self,
        table: &TableName,
        purge: &Purge,
    ) -> Result<PurgeReport, Error> {
        let inner = &self.inner;
        inner.tables.ensure(table).await?;
        // No pull may store what is behind its position after that position is forgotten, and no push may be between
        // sending an operation and settling it.
        let pull = inner.guards.pull(table);
        let _pull = pull.lock().await;
        let _push = inner.guards.push.lock().await;
        loop {
            let _queue = inner.guards.queue.write().await;
            // Under the guard of the queue: what was dropped before it was ours is done by now, or never.
            inner.queue.reload().await?;
            match self.try_purge(table, purge).await {
                Ok(report) => {
                    inner.listeners.emit(Event::Purged {
                        table: table.clone(),
                        count: report.purged,
                    });
                    return Ok(report);
                }
                // Another process changed the queue meanwhile.
                Err(CommitError::Stale) => {}
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
    }

    async fn try_purge(
        &self,
        table: &TableName,
        purge: &Purge,
    ) -> Result<PurgeReport, CommitError> {
        let inner = &self.inner;
        let store = &inner.store;
        let queue = &inner.queue;
        if !purge.discard_pending && queue.count_of_table(table, 1).await? > 0 {
            let count = queue.count_of_table(table, u64::MAX).await?;
            return Err(CommitError::Failed(Error::PendingOperations {
                table: table.clone(),
                count,
            }));
        }
        let mut batch = WriteBatch::new();
        let mut report = PurgeReport::default();
        match &purge.filter {
            None => {
                report.purged = store.count(table, &Query::all()).await?;
                batch.push(Write::Clear {
                    table: table.clone(),
                });
                report.discarded = inner.drop_all(table, &mut batch).await?;
            }
            Some(filter) => {
                let asked = inner.asked(table, Query::all().filter(filter.clone()));
                let filter = asked.filter.as_ref().unwrap_or(filter);
                let ids = self.matching_ids(table, filter).await?;
                report.purged = ids.len() as u64;
                for id in &ids {
                    batch.push(Write::Delete {
                        table: table.clone(),
                        id: id.clone(),
                    });
                }
                // A pending delete has no record any more; what it deletes is judged instead.
                let declared = inner.tables.get(table);
                let evaluator = Evaluator::new(&declared.schema);
                let base_matches = |operation: &Operation| {
                    operation
                        .base
                        .as_ref()
                        .is_some_and(|base| evaluator.matches(filter, base))
                };
                let mut concerned = queue.of_table(table).await?;
                concerned
                    .retain(|operation| ids.contains(&operation.id) || base_matches(operation));
                let concerned: Vec<u64> = concerned.iter().map(|one| one.seq).collect();
                queue.drop_in(&mut batch, &concerned)?;
                report.discarded = concerned.len() as u64;
            }
        }
        if !purge.keep_tokens {
            batch = batch.put(&META, stamp::anew(inner.ids.as_ref(), table)?);
            let filter = field("table").eq(table.as_str());
            for token in store
                .query_all(&DELTA, &Query::all().filter(filter))
                .await?
            {
                if DeltaToken::from_row(&token)?.table == *table {
                    batch.push(Write::Delete {
                        table: DELTA.clone(),
                        id: token.id().clone(),
                    });
                }
            }
        }
        // Every batch of the queue demands that nobody else has changed it.
        queue.commit(batch).await?;
        if report.discarded > 0 {
            // Should this be dropped while it reads.
            queue.mark_suspect();
            queue.read().await?;
        }
        Ok(report)
    }

    async fn matching_ids(
        &self,
        table: &TableName,
        filter: &Expr,
    ) -> Result<HashSet<RecordId>, Error> {
        let mut ids = HashSet::new();
        let mut query = Query::all().filter(filter.clone()).page(1000);
        loop {
            let page = self.inner.store.query(table, &query).await?;
            ids.extend(page.records.iter().map(|record| record.id().clone()));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(ids),
            }
        }
    }
}

impl Inner {
    /// Drops what is queued for a table, and returns how much that is.
    async fn drop_all(&self, table: &TableName, batch: &mut WriteBatch) -> Result<u64, Error> {
        if self.queue.is_all_of(table).await? {
            let count = self.queue.count().await?;
            self.queue.clear_in(batch).await?;
            return Ok(count);
        }
        let dropped = self.queue.of_table(table).await?;
        let dropped: Vec<u64> = dropped.iter().map(|operation| operation.seq).collect();
        self.queue.drop_in(batch, &dropped)?;
        Ok(dropped.len() as u64)
    }
}
