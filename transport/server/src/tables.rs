//! The tables that are served.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use synctable_core::store::{LocalStore, StoreError};
use synctable_core::{
    Declaration, Declarations, FieldType, IdSource, Schema, ServerRules, TableName, TableSchema,
    Timestamp,
};

use crate::dialect::Dialect;
use crate::error::Failure;
use crate::fill;
use crate::sequence::Sequence;

/// The server's own table with the last commit time of every table.
pub(crate) const SEQUENCES: &str = "__server_sequences";
/// The server's own table with the outcomes of operations.
pub(crate) const OPERATIONS: &str = "__server_operations";
/// Its field with the operation's id as the client sent it.
pub(crate) const OPERATION_FIELD: &str = "operation";
/// The server's own table with the times from which on it is sure of something.
pub(crate) const MARKS: &str = "__server_marks";

/// The server's own table of unique values and the records that have them.
pub(crate) const UNIQUE: &str = "__server_unique";

/// One table: what is declared about it and the times of its commits.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    pub(crate) declared: Declaration,
    /// Where ids come from, if not from where all tables have them.
    pub(crate) ids: Option<Arc<dyn IdSource>>,
    pub(crate) sequence: Sequence,
    /// False where nobody has written to it yet: then the store does not know it.
    pub(crate) is_made: bool,
}

impl Table {
    fn new(name: TableName, declared: Declaration, ids: Option<Arc<dyn IdSource>>) -> Self {
        let sequence = Sequence::new(name.clone());
        Self {
            name,
            declared,
            ids,
            sequence,
            is_made: true,
        }
    }

    /// A table that anybody may begin to write to.
    fn not_made(name: TableName) -> Self {
        Self {
            is_made: false,
            ..Self::new(name, Declaration::new(), None)
        }
    }

    /// Its fields and indexes.
    pub(crate) fn schema(&self) -> &TableSchema {
        &self.declared.schema
    }

    /// What the server does with it.
    pub(crate) fn rules(&self) -> &ServerRules {
        &self.declared.server
    }

    /// Records in a page, at least one: as many as the table says, else as the client asks for, up to [`LONGEST_PAGE`].
    pub(crate) fn page_size(&self, dialect: Dialect, top: Option<u64>) -> u32 {
        let asked = top.and_then(|top| u32::try_from(top.min(LONGEST_PAGE)).ok());
        let said = self.rules().page_size.or(asked.filter(|top| *top > 0));
        said.unwrap_or_else(|| dialect.default_page()).max(1)
    }

    /// The largest `$top`.
    pub(crate) fn max_top(&self, dialect: Dialect) -> u32 {
        let top = self.rules().max_top;
        top.unwrap_or_else(|| dialect.default_max_top())
    }
}

/// The most records of a page of a table that does not say.
const LONGEST_PAGE: u64 = 1000;

/// All tables, and whether others are made on first use.
#[derive(Debug)]
pub(crate) struct Tables {
    served: RwLock<HashMap<TableName, Arc<Table>>>,
    /// How many tables may be made on first use.
    spare: Option<usize>,
    declared: usize,
}

impl Tables {
    /// Declares the tables and the server's own ones in the store, makes the stored rows follow it, and serves them, except tables that stay on
    /// their device. `spare` is how many others may be made on first use, `ids` where some have their ids from.
    pub(crate) async fn open(
        store: &dyn LocalStore,
        declarations: &Declarations,
        spare: Option<usize>,
        mut ids: HashMap<TableName, Arc<dyn IdSource>>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let operations = TableSchema::new()
            .with_field(OPERATION_FIELD, FieldType::String)
            .with_index([OPERATION_FIELD])
            .with_index(["updatedAt"]);
        let mut all = Schema::new()
            .with_table(TableName::system(SEQUENCES), TableSchema::new())
            .with_table(TableName::system(OPERATIONS), operations)
            .with_table(TableName::system(MARKS), TableSchema::new())
            .with_table(TableName::system(UNIQUE), TableSchema::new());
        let mut served = HashMap::new();
        for (name, table) in declarations.tables() {
            if table.device.local_only {
                all = all.with_table(name.clone(), table.schema.clone());
            } else {
                all = all.with_table(name.clone(), in_order(table.schema.clone()));
                let table = Table::new(name.clone(), table.clone(), ids.remove(name));
                served.insert(name.clone(), Arc::new(table));
            }
        }
        let declared = served.len();
        if spare.is_some() {
            for (name, _) in store.schema().await?.tables() {
                if !name.is_system() && declarations.table(name).is_none() {
                    all = all.with_table(name.clone(), in_order(TableSchema::new()));
                    let table = Table::new(name.clone(), Declaration::new(), None);
                    served.insert(name.clone(), Arc::new(table));
                }
            }
        }
        store.define(&all).await?;
        let synced = declarations.tables();
        let synced = synced.filter(|(_, table)| !table.device.local_only);
        let synced = synced.map(|(name, table)| (name, &table.schema));
        fill::follow_all(store, synced, now).await?;
        Ok(Self {
            declared,
            served: RwLock::new(served),
            spare,
        })
    }

    /// The tables that are served now.
    pub(crate) fn declared(&self) -> Vec<Arc<Table>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        served.values().map(Arc::clone).collect()
    }

    /// The name of a table from a URL, where it may be in either case.
    pub(crate) fn name(text: &str) -> Result<TableName, Failure> {
        TableName::new(&text.to_lowercase()).map_err(|error| Failure::not_found(error.to_string()))
    }

    /// The table of this name; one that may come into being is not made yet.
    pub(crate) fn find(&self, name: TableName) -> Result<Arc<Table>, Failure> {
        match self.served(&name) {
            Some(table) => Ok(table),
            None if self.spare.is_some() => Ok(Arc::new(Table::not_made(name))),
            None => Err(Failure::no_table(&name)),
        }
    }

    /// The table of this name, which comes into being because something is put into it.
    pub(crate) async fn make(
        &self,
        store: &dyn LocalStore,
        name: &TableName,
    ) -> Result<Arc<Table>, Failure> {
        if let Some(table) = self.served(name) {
            return Ok(table);
        }
        if self.count() >= self.declared + self.spare.unwrap_or(0) {
            tracing::warn!(table = %name, "no room for another table");
            return Err(Failure::no_table(name));
        }
        let schema = Schema::new().with_table(name.clone(), in_order(TableSchema::new()));
        store.define(&schema).await?;
        fill::forget(store, name).await?;
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let table = served
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Table::new(name.clone(), Declaration::new(), None)));
        Ok(Arc::clone(table))
    }

    fn served(&self, name: &TableName) -> Option<Arc<Table>> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        served.get(name).map(Arc::clone)
    }

    fn count(&self) -> usize {
        self.served
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// With the index that every pull goes along.
fn in_order(table: TableSchema) -> TableSchema {
    table.with_index(["updatedAt", "id"])
}
