//! Bugs in what is written, read and kept.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use synctable_core::query::{Cursor, DEFAULT_PAGE, Direction, Query};
use synctable_core::store::{
    LocalStore, LocalStoreExt, Page, Position, StoreCapabilities, StoreError, Write, WriteBatch,
};
use synctable_core::{Record, RecordId, TableName};
use synctable_testkit::async_trait;

use crate::{Bug, Store, rewritten};

/// The last of several writes is not done.
#[derive(Debug, Default)]
pub(crate) struct LosesLastWrite;

#[async_trait]
impl Bug for LosesLastWrite {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let several = batch.writes().len() > 1;
        let last = batch.writes().len() - usize::from(several);
        store
            .commit(rewritten(batch, |index, write| {
                (index < last).then_some(write)
            }))
            .await
    }
}

/// Each write is a batch of its own.
#[derive(Debug, Default)]
pub(crate) struct SplitsBatch;

#[async_trait]
impl Bug for SplitsBatch {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let checks = rewritten(batch.clone(), |_, _| None);
        let mut position = store.commit(checks).await?;
        for write in batch.writes() {
            let mut single = WriteBatch::new();
            single.push(write.clone());
            position = store.commit(single).await?;
            tokio::task::yield_now().await;
        }
        Ok(position)
    }
}

/// The next page starts one record too far.
#[derive(Debug, Default)]
pub(crate) struct SkipsARecord;

#[async_trait]
impl Bug for SkipsARecord {
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let size = query.page.unwrap_or(DEFAULT_PAGE);
        let longer = query.clone().page(size.saturating_add(1));
        let next = store.query(table, &longer).await?.next;
        let page = store.query(table, query).await?;
        Ok(Page::new(page.records, page.next.and(next)))
    }
}

/// The cursor is a number of records to skip.
#[derive(Debug, Default)]
pub(crate) struct CountsRows;

#[async_trait]
impl Bug for CountsRows {
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let mut query = query.clone();
        if let Some(cursor) = query.after.take() {
            query.skip = cursor.as_str().parse().unwrap();
        }
        let page = store.query(table, &query).await?;
        let seen = query.skip + page.records.len() as u64;
        let next = page.next.map(|_| Cursor::from_text(&seen.to_string()));
        Ok(Page::new(page.records, next))
    }
}

/// A record that was read once is never read again.
#[derive(Debug, Default)]
pub(crate) struct ReadsStale(Mutex<HashMap<RecordId, Option<Record>>>);

#[async_trait]
impl Bug for ReadsStale {
    async fn get(
        &self,
        store: &Store,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let found = store.get(table, ids).await?;
        let mut seen = self.0.lock().unwrap();
        let pairs = ids.iter().zip(found);
        Ok(pairs
            .map(|(id, record)| seen.entry(id.clone()).or_insert(record).clone())
            .collect())
    }
}

/// Upper and lower case are the same.
#[derive(Debug, Default)]
pub(crate) struct FoldsIds;

#[async_trait]
impl Bug for FoldsIds {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let folded = |id: &RecordId| RecordId::system(&id.as_str().to_lowercase());
        let batch = rewritten(batch, |_, write| {
            Some(match write {
                Write::Put { table, record } => {
                    let id = folded(record.id());
                    Write::Put {
                        table,
                        record: record.with_id(id),
                    }
                }
                Write::Delete { table, id } => Write::Delete {
                    table,
                    id: folded(&id),
                },
                clear @ Write::Clear { .. } => clear,
            })
        });
        store.commit(batch).await
    }
}

/// Deletes are not done.
#[derive(Debug, Default)]
pub(crate) struct ForgetsDelete;

#[async_trait]
impl Bug for ForgetsDelete {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let kept = |_, write| (!matches!(write, Write::Delete { .. })).then_some(write);
        store.commit(rewritten(batch, kept)).await
    }
}

/// Every order is ascending.
#[derive(Debug, Default)]
pub(crate) struct IgnoresDirection;

#[async_trait]
impl Bug for IgnoresDirection {
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let mut query = query.clone();
        for term in &mut query.order {
            term.direction = Direction::Ascending;
        }
        store.query(table, &query).await
    }
}

/// Every second commit lets others pass.
#[derive(Debug, Default)]
pub(crate) struct CommitsOutOfOrder(AtomicUsize);

#[async_trait]
impl Bug for CommitsOutOfOrder {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        if self.0.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            tokio::task::yield_now().await;
        }
        store.commit(batch).await
    }
}

/// `close` does nothing.
#[derive(Debug, Default)]
pub(crate) struct StaysOpen;

#[async_trait]
impl Bug for StaysOpen {
    fn capabilities(&self, store: &Store) -> StoreCapabilities {
        store.capabilities().with_persistent(true)
    }
    async fn close(&self, _: &Store) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Deleted records come back when the store is opened again.
#[derive(Debug, Default)]
pub(crate) struct Resurrects(Mutex<WriteBatch>);

#[async_trait]
impl Bug for Resurrects {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        for write in batch.writes() {
            if let Write::Delete { table, id } = write
                && let Some(record) = store.get_one(table, id).await?
            {
                self.0.lock().unwrap().push(Write::Put {
                    table: table.clone(),
                    record,
                });
            }
        }
        store.commit(batch).await
    }
    async fn close(&self, store: &Store) -> Result<(), StoreError> {
        let deleted = self.0.lock().unwrap().clone();
        store.commit(deleted).await?;
        store.close().await
    }
}
