//! Stores that say that several may have them open at once, and bugs in what one of these knows of the others.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use synctable_core::query::Query;
use synctable_core::store::{
    ChangeLog, Changed, Changes, Expect, LocalStore, Page, Position, Revision, StoreError,
    WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use synctable_kv::KvStore;
use synctable_memory::MemoryBackend;
use synctable_testkit::{Harness, async_trait};

use crate::checks::checked;
use crate::named::without_unchanged;
use crate::{Broken, Bug, Store};

/// The place of a store that each opening has a handle on, with a bug of its own.
#[derive(Default)]
pub(crate) struct Beside<B> {
    store: Mutex<Option<Arc<Store>>>,
    bug: PhantomData<B>,
}

#[async_trait]
impl<B: Bug> Harness for Beside<B> {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        let mut store = self.store.lock().unwrap();
        let store = match &mut *store {
            Some(store) => store,
            none => none.insert(Arc::new(KvStore::open(MemoryBackend::new())?)),
        };
        Ok(Arc::new(Broken {
            bug: B::default(),
            store: Arc::clone(store),
            shared: true,
        }))
    }
}

/// Handles name revisions each in its own way.
#[derive(Debug)]
pub(crate) struct NamesItsOwn(u8);

impl Default for NamesItsOwn {
    fn default() -> Self {
        static HANDLES: AtomicU8 = AtomicU8::new(0);
        Self(HANDLES.fetch_add(1, Ordering::Relaxed))
    }
}

impl NamesItsOwn {
    fn named(&self, record: Record) -> Record {
        let revision = record.revision().map(|inner| {
            let own = [inner.as_bytes(), &[self.0]].concat();
            Revision::from_bytes(&own)
        });
        match revision {
            Some(revision) => record.at(revision),
            None => record,
        }
    }
}

#[async_trait]
impl Bug for NamesItsOwn {
    async fn get(
        &self,
        store: &Store,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let found = store.get(table, ids).await?.into_iter();
        let named = |record: Option<Record>| record.map(|record| self.named(record));
        Ok(found.map(named).collect())
    }
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let page = store.query(table, query).await?;
        let records = page.records.into_iter().map(|record| self.named(record));
        Ok(Page::new(records.collect(), page.next))
    }
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let known = |expect, stored: Option<Record>| match (expect, stored) {
            (Expect::At(revision), Some(stored))
                if self.named(stored.clone()).revision() == Some(&revision) =>
            {
                Expect::as_read(Some(&stored))
            }
            (expect, _) => expect,
        };
        checked(store, batch, known).await
    }
}

/// What a handle knows of the declarations is from its first commit, or from its own last declaration.
#[derive(Debug, Default)]
pub(crate) struct KeepsDeclarations(Mutex<Option<Schema>>);

#[async_trait]
impl Bug for KeepsDeclarations {
    async fn define(&self, store: &Store, schema: &Schema) -> Result<(), StoreError> {
        store.define(schema).await?;
        *self.0.lock().unwrap() = None;
        Ok(())
    }
    async fn redefine(
        &self,
        store: &Store,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        store.redefine(table, declaration).await?;
        *self.0.lock().unwrap() = None;
        Ok(())
    }
    async fn schema(&self, store: &Store) -> Result<Schema, StoreError> {
        let now = store.schema().await?;
        Ok(self.0.lock().unwrap().get_or_insert(now).clone())
    }
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        self.schema(store).await?;
        store.commit(batch).await
    }
}

/// What a handle has read stands for it until it commits something itself.
#[derive(Debug, Default)]
pub(crate) struct ReadsItsOwn(Mutex<HashMap<String, Page>>);

#[async_trait]
impl Bug for ReadsItsOwn {
    async fn query(
        &self,
        store: &Store,
        table: &TableName,
        query: &Query,
    ) -> Result<Page, StoreError> {
        let page = store.query(table, query).await?;
        let mut seen = self.0.lock().unwrap();
        Ok(seen
            .entry(format!("{table} {query:?}"))
            .or_insert(page)
            .clone())
    }
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let done = store.commit(batch).await;
        self.0.lock().unwrap().clear();
        done
    }
}

/// Each handle has a log of what it has committed itself.
#[derive(Debug, Default)]
pub(crate) struct KeepsItsOwnLog(Mutex<ChangeLog>);

#[async_trait]
impl Bug for KeepsItsOwnLog {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        for unchanged in batch.unchanged() {
            let log = self.0.lock().unwrap();
            if !log.is_unchanged(&unchanged.table, unchanged.since, batch.get_author()) {
                return Err(StoreError::table_changed(&unchanged.table));
            }
        }
        store.commit(without_unchanged(&batch)).await?;
        let changed = batch.writes().iter().map(Changed::by).collect();
        Ok(self.0.lock().unwrap().append(batch.get_author(), changed))
    }
    async fn position(&self, _: &Store) -> Result<Position, StoreError> {
        Ok(self.0.lock().unwrap().position())
    }
    async fn changes_since(
        &self,
        _: &Store,
        since: Position,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        Ok(self.0.lock().unwrap().since(since, limit))
    }
}

/// A check holds for what its handle has read last, which others may have changed.
#[derive(Debug, Default)]
pub(crate) struct JudgesByWhatItRead(Mutex<HashMap<RecordId, Record>>);

#[async_trait]
impl Bug for JudgesByWhatItRead {
    async fn get(
        &self,
        store: &Store,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let found = store.get(table, ids).await?;
        let mut seen = self.0.lock().unwrap();
        for record in found.iter().flatten() {
            seen.insert(record.id().clone(), record.clone());
        }
        Ok(found)
    }
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let mut checks = batch.checks().to_vec();
        for check in &mut checks {
            let seen = self.0.lock().unwrap().get(&check.id).cloned();
            let holds = match (&check.expect, seen) {
                (Expect::At(revision), Some(seen)) => seen.revision() == Some(revision),
                (Expect::Same(record), Some(seen)) => **record == seen,
                _ => false,
            };
            if holds {
                check.expect = Expect::Present;
            }
        }
        store.commit(batch.with_checks(checks)).await
    }
}
