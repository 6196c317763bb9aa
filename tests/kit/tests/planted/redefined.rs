//! Bugs about declarations that are replaced.

use std::sync::Mutex;

use synctable_core::query::Query;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreCapabilities, StoreError, WriteBatch};
use synctable_core::{Record, TableName, TableSchema};
use synctable_testkit::async_trait;

use super::{Bug, Store};

/// What is declared of a table.
async fn declared(store: &Store, table: &TableName) -> Result<TableSchema, StoreError> {
    let schema = store.schema().await?;
    Ok(schema.table(table).cloned().unwrap_or_default())
}

/// Puts every record of a table again, with a member changed.
async fn rewrite(
    store: &Store,
    table: &TableName,
    change: impl Fn(&Record) -> String,
) -> Result<(), StoreError> {
    let mut batch = WriteBatch::new();
    for record in store.query_all(table, &Query::all()).await? {
        let (id, system) = (record.id().clone(), record.system().clone());
        batch = batch.put(table, Record::from_stored(id, system, change(&record)));
    }
    store.commit(batch).await.map(drop)
}

/// Text that is a number becomes one.
#[derive(Debug, Default)]
pub(crate) struct ConvertsContents;

#[async_trait]
impl Bug for ConvertsContents {
    async fn redefine(
        &self,
        store: &Store,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        store.redefine(table, declaration).await?;
        rewrite(store, table, |record| record.body().replace("\"7\"", "7")).await
    }
}

/// What is declared no more is gone.
#[derive(Debug, Default)]
pub(crate) struct DropsRemoved;

#[async_trait]
impl Bug for DropsRemoved {
    async fn redefine(
        &self,
        store: &Store,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        store.redefine(table, declaration).await?;
        let declared = |name: &str| declaration.field(name).is_some();
        rewrite(store, table, |record| {
            let members = record.members().into_iter();
            let kept = members.filter(|(name, _)| declared(name));
            let texts: Vec<String> = kept
                .map(|(name, text)| format!("{name:?}:{text}"))
                .collect();
            format!("{{{}}}", texts.join(","))
        })
        .await
    }
}

/// What was declared before stays declared.
#[derive(Debug, Default)]
pub(crate) struct KeepsOldFields;

#[async_trait]
impl Bug for KeepsOldFields {
    async fn redefine(
        &self,
        store: &Store,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        let before = declared(store, table).await?;
        let new = declaration.fields.iter();
        let new = new.filter(|(name, _)| before.field(name).is_none());
        let fields = before.fields.iter().chain(new);
        let all = fields.fold(TableSchema::new(), |all, (name, ty)| {
            all.with_field(name, ty.clone())
        });
        store.redefine(table, &all).await
    }
}

/// Says that it is done.
#[derive(Debug, Default)]
pub(crate) struct DoesNothing;

#[async_trait]
impl Bug for DoesNothing {
    async fn redefine(&self, _: &Store, _: &TableName, _: &TableSchema) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The declaration before is stored again at the end.
#[derive(Debug, Default)]
pub(crate) struct OnlyWhileOpen(Mutex<Option<(TableName, TableSchema)>>);

#[async_trait]
impl Bug for OnlyWhileOpen {
    async fn redefine(
        &self,
        store: &Store,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        let before = declared(store, table).await?;
        *self.0.lock().unwrap() = Some((table.clone(), before));
        store.redefine(table, declaration).await
    }
    fn capabilities(&self, store: &Store) -> StoreCapabilities {
        store.capabilities().with_persistent(true)
    }
    async fn close(&self, store: &Store) -> Result<(), StoreError> {
        let before = self.0.lock().unwrap().take();
        if let Some((table, before)) = before {
            store.redefine(&table, &before).await?;
        }
        store.close().await
    }
}
