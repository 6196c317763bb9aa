//! Putting a server together.

use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_core::{Clock, IdSource, Schema, SystemClock, TableName, TableSchema, UuidV7};

use crate::handler::Core;
use crate::limits::Limits;
use crate::server::TableServer;
use crate::tables::Tables;

/// Collects what a [`TableServer`] shall be.
#[derive(Debug)]
pub struct TableServerBuilder {
    store: Arc<dyn LocalStore>,
    schema: Schema,
    any_table: bool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    limits: Limits,
}

impl TableServerBuilder {
    pub(crate) fn new(store: Arc<dyn LocalStore>) -> Self {
        Self {
            store,
            schema: Schema::new(),
            any_table: false,
            clock: Arc::new(SystemClock),
            ids: Arc::new(UuidV7),
            limits: Limits::default(),
        }
    }

    /// Serves the tables of `schema`, with their fields, soft delete, page size and largest `$top`; tables that are
    /// local to a device are left out. A table that was given before stays as it was given.
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = self.schema.tables().fold(schema, |schema, (name, table)| {
            schema.with_table(name.clone(), table.clone())
        });
        self
    }

    /// Serves one table.
    #[must_use]
    pub fn table(mut self, name: TableName, options: TableSchema) -> Self {
        self.schema = self.schema.with_table(name, options);
        self
    }

    /// Whether a table that is not declared is made on its first use; without, it is answered with 404. Default false.
    #[must_use]
    pub fn any_table(mut self, yes: bool) -> Self {
        self.any_table = yes;
        self
    }

    /// Takes the time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the ids of records that come without one from `ids`.
    #[must_use]
    pub fn ids(mut self, ids: Arc<dyn IdSource>) -> Self {
        self.ids = ids;
        self
    }

    /// Sets the bounds of requests and connections.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Declares the tables in the store and makes the server.
    ///
    /// # Errors
    /// What the store says: most often that a field was declared with another type before.
    pub async fn build(self) -> Result<TableServer, StoreError> {
        let spare = self.any_table.then_some(self.limits.tables);
        let tables = Tables::open(&*self.store, &self.schema, spare).await?;
        let core = Core::new(self.store, self.clock, self.ids, self.limits, tables);
        Ok(TableServer::new(core))
    }
}
