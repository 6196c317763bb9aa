//! The declared tables, in the store and in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::schema::{Schema, TableSchema};
use crate::store::{Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use crate::sync::system::{ATTEMPTS, META, meta_row, meta_value};

/// The tables of a store, as a context knows them.
#[derive(Debug)]
pub(crate) struct Tables {
    store: Arc<dyn LocalStore>,
    /// One new table at a time, so that no declaration is lost between reading and writing the list.
    new: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
    /// Those that became local only, or ceased to be, when this was opened; and which it is now.
    moved: Vec<(TableName, bool)>,
}

#[derive(Debug)]
struct Known {
    schema: Schema,
    /// Each shared, so that no change copies its declaration.
    tables: HashMap<TableName, Arc<TableSchema>>,
}

impl Known {
    fn of(schema: Schema) -> Self {
        let tables = schema.tables();
        let shared = tables.map(|(name, table)| (name.clone(), Arc::new(table.clone())));
        Self {
            tables: shared.collect(),
            schema,
        }
    }
}

impl Tables {
    /// Joins declarations to those that the store has, and defines all.
    pub(crate) async fn open(store: Arc<dyn LocalStore>, addition: &Schema) -> Result<Self, Error> {
        let (before, schema) = declare(store.as_ref(), addition).await?;
        let moved = schema.tables().filter_map(|(name, now)| {
            let was = before.table(name)?.local_only;
            (was != now.local_only).then(|| (name.clone(), now.local_only))
        });
        Ok(Self {
            store,
            new: tokio::sync::Mutex::default(),
            moved: moved.collect(),
            known: Mutex::new(Known::of(schema)),
        })
    }

    /// The tables that became local only, or ceased to be, when this was opened; and which it is now.
    pub(crate) fn moved(&self) -> &[(TableName, bool)] {
        &self.moved
    }

    /// All of them.
    pub(crate) fn schema(&self) -> Schema {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.schema.clone()
    }

    /// The declaration of one; without fields where there is none.
    pub(crate) fn get(&self, table: &TableName) -> Arc<TableSchema> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tables.get(table).cloned().unwrap_or_default()
    }

    /// Makes sure that a table exists, declaring it without fields on first use.
    pub(crate) async fn ensure(&self, table: &TableName) -> Result<(), Error> {
        if self.is_known(table) {
            return Ok(());
        }
        let _new = self.new.lock().await;
        let addition = Schema::new().with_table(table.clone(), TableSchema::new());
        let schema = self.schema().merged(&addition)?;
        let (_, schema) = declare(self.store.as_ref(), &schema).await?;
        let known = Known::of(schema);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    fn is_known(&self, table: &TableName) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tables.contains_key(table)
    }
}

/// The answer of a read. A table that was never declared holds nothing, and reading makes none: whoever only reads writes nothing.
pub(crate) fn or_nothing<T: Default>(answer: Result<T, StoreError>) -> Result<T, StoreError> {
    match answer {
        Err(error) if error.kind() == StoreErrorKind::UnknownTable => Ok(T::default()),
        answer => answer,
    }
}

/// Joins declarations to those that the store has, whoever made them, and defines all. Returns those from before and all.
async fn declare(store: &dyn LocalStore, addition: &Schema) -> Result<(Schema, Schema), Error> {
    let id = RecordId::system("schema");
    for _ in 0..ATTEMPTS {
        let row = store.get_one(&META, &id).await?;
        let stored = match &row {
            Some(row) => Schema::from_json(&meta_value(row)?)?,
            None => Schema::new(),
        };
        let schema = stored.merged(addition)?;
        if store.capabilities().read_only {
            // What is not there reads as empty.
            return Ok((stored, schema));
        }
        // A crash before the commit leaves tables that the list does not name; their next use adds them.
        store.define(&schema).await?;
        if schema == stored {
            return Ok((stored, schema));
        }
        // A power cut that takes it back is the same.
        let batch = WriteBatch::new().durability(Durability::Eventual);
        let batch = match row {
            Some(row) => batch.expect_same(&META, row),
            None => batch.expect_absent(&META, &id),
        };
        let batch = batch.put(&META, meta_row("schema", &schema.to_json())?);
        match store.commit(batch).await {
            Ok(_) => return Ok((stored, schema)),
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Contended)
}
