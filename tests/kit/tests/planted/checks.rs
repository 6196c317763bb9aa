//! Bugs in what a batch demands: its checks, and the revisions that they name.

use synctable_core::query::Query;
use synctable_core::store::{
    Expect, LocalStore, LocalStoreExt, Page, Position, Revision, StoreError, WriteBatch,
};
use synctable_core::{Record, RecordId, TableName};
use synctable_testkit::async_trait;

use crate::{Bug, Store};

/// Every check holds.
#[derive(Debug, Default)]
pub(crate) struct IgnoresChecks;

#[async_trait]
impl Bug for IgnoresChecks {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let mut unchecked = WriteBatch::new();
        for write in batch.writes() {
            unchecked.push(write.clone());
        }
        store.commit(unchecked).await
    }
}

/// Records of one version are taken for the same.
#[derive(Debug, Default)]
pub(crate) struct ComparesVersionsOnly;

#[async_trait]
impl Bug for ComparesVersionsOnly {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let lax = |expect, stored: Option<Record>| match (expect, stored) {
            (Expect::Same(record), Some(stored)) if record.version() == stored.version() => {
                Expect::Same(Box::new(stored))
            }
            (expect, _) => expect,
        };
        checked(store, batch, lax).await
    }
}

/// A record may be at any revision, if it is there.
#[derive(Debug, Default)]
pub(crate) struct TakesAnyRevision;

#[async_trait]
impl Bug for TakesAnyRevision {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let lax = |expect, _| match expect {
            Expect::At(_) => Expect::Present,
            expect => expect,
        };
        checked(store, batch, lax).await
    }
}

/// A revision is what the record holds: one that comes back has the revision it had.
#[derive(Debug, Default)]
pub(crate) struct NamesContents;

impl NamesContents {
    fn named(record: Record) -> Record {
        let revision = Revision::of_content(&record);
        record.at(revision)
    }
}

#[async_trait]
impl Bug for NamesContents {
    async fn get(
        &self,
        store: &Store,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let found = store.get(table, ids).await?.into_iter();
        Ok(found.map(|record| record.map(Self::named)).collect())
    }
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let page = store.query(table, query).await?;
        let records = page.records.into_iter().map(Self::named).collect();
        Ok(Page::new(records, page.next))
    }
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let named = |expect, stored: Option<Record>| match (expect, stored) {
            (Expect::At(revision), Some(stored))
                if Self::named(stored.clone()).revision() == Some(&revision) =>
            {
                Expect::as_read(Some(&stored))
            }
            (expect, _) => expect,
        };
        checked(store, batch, named).await
    }
}

/// Queries tell no revision.
#[derive(Debug, Default)]
pub(crate) struct LosesRevisions;

#[async_trait]
impl Bug for LosesRevisions {
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let page = store.query(table, query).await?;
        let lost = |record: Record| {
            let system = record.system().clone();
            record.with_system(system)
        };
        Ok(Page::new(
            page.records.into_iter().map(lost).collect(),
            page.next,
        ))
    }
}

/// Commits the batch with other checks, each made of one of its own and of what is stored.
pub(crate) async fn checked(
    store: &Store,
    batch: WriteBatch,
    other: impl Fn(Expect, Option<Record>) -> Expect + Send,
) -> Result<Position, StoreError> {
    let mut checks = Vec::new();
    for mut check in batch.checks().iter().cloned() {
        let stored = store.get_one(&check.table, &check.id).await?;
        check.expect = other(check.expect, stored);
        checks.push(check);
    }
    store.commit(batch.with_checks(checks)).await
}
