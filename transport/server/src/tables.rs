//! The tables that are served.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use synctable_core::query::DEFAULT_PAGE;
use synctable_core::store::{LocalStore, StoreError};
use synctable_core::{Schema, TableName, TableSchema};

use crate::error::Failure;
use crate::sequence::Sequence;

/// The largest `$top` of a table that does not say.
const DEFAULT_MAX_TOP: u32 = 128_000;

/// The server's own table with the last commit time of every table.
pub(crate) const SEQUENCES: &str = "__server_sequences";
/// The server's own table with the outcomes of operations.
pub(crate) const OPERATIONS: &str = "__server_operations";

/// One table: what is declared about it and the times of its commits.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    pub(crate) schema: TableSchema,
    pub(crate) sequence: Sequence,
}

impl Table {
    fn new(name: TableName, schema: TableSchema) -> Self {
        let sequence = Sequence::new(name.clone());
        Self {
            name,
            schema,
            sequence,
        }
    }

    /// Records in a page, at least one.
    pub(crate) fn page_size(&self) -> u32 {
        self.schema.page_size.unwrap_or(DEFAULT_PAGE).max(1)
    }

    /// The largest `$top`.
    pub(crate) fn max_top(&self) -> u64 {
        u64::from(self.schema.max_top.unwrap_or(DEFAULT_MAX_TOP))
    }
}

/// All tables, and whether others are made on first use.
#[derive(Debug)]
pub(crate) struct Tables {
    served: RwLock<HashMap<TableName, Arc<Table>>>,
    /// How many tables may be made on first use.
    spare: Option<usize>,
    declared: usize,
}

impl Tables {
    /// Declares `schema` and the server's own tables in the store and serves them, except tables that stay on
    /// their device. `spare` is how many others may be made on first use.
    pub(crate) async fn open(
        store: &dyn LocalStore,
        schema: &Schema,
        spare: Option<usize>,
    ) -> Result<Self, StoreError> {
        let operations = TableSchema::new().with_index(["updatedAt"]);
        let all = schema
            .clone()
            .with_table(TableName::system(SEQUENCES), TableSchema::new())
            .with_table(TableName::system(OPERATIONS), operations);
        store.define(&all).await?;
        let served: HashMap<_, _> = schema
            .tables()
            .filter(|(_, table)| !table.local_only)
            .map(|(name, table)| {
                let table = Table::new(name.clone(), table.clone());
                (name.clone(), Arc::new(table))
            })
            .collect();
        Ok(Self {
            declared: served.len(),
            served: RwLock::new(served),
            spare,
        })
    }

    /// The table under its name in a URL, in either case.
    pub(crate) async fn find(
        &self,
        store: &dyn LocalStore,
        name: &str,
    ) -> Result<Arc<Table>, Failure> {
        let name = TableName::new(&name.to_lowercase())
            .map_err(|error| Failure::not_found(error.to_string()))?;
        if let Some(table) = self.served(&name) {
            return Ok(table);
        }
        let unknown = Failure::not_found(format!("there is no table {name}"));
        match self.spare {
            Some(spare) if self.count() < self.declared + spare => {}
            Some(_) => {
                tracing::warn!(table = %name, "no room for another table");
                return Err(unknown);
            }
            None => return Err(unknown),
        }
        let schema = Schema::new().with_table(name.clone(), TableSchema::new());
        store.define(&schema).await?;
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let table = served
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Table::new(name, TableSchema::new())));
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
