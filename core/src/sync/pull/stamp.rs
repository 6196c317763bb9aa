//! A stamp on what pulls have stored of a table: it changes with each commit of a pull or an audit, and whenever positions start anew
//! because rows left.
//!
//! Rows that were asked for before another context stored newer ones are old. So a pull demands with each commit that the stamp is the one
//! that it began with, or has put itself, and begins anew where it is not: from the position that stands then. That also keeps it
//! from putting its old position back behind rows that left.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::IdSource;
use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::store::{Expect, LocalStore, LocalStoreExt, StoreError, WriteBatch};
use crate::sync::system::{META, meta_row};

/// The stamp of one table as a pull knows it.
#[derive(Debug)]
pub(crate) struct Stamp {
    table: TableName,
    /// `None` while nothing was pulled yet.
    row: Mutex<Option<Record>>,
}

impl Stamp {
    /// The stamp as it is now; to be read before the rows are asked for that are to be stored under it.
    pub(crate) async fn read(store: &dyn LocalStore, table: &TableName) -> Result<Self, Error> {
        let row = store.get_one(&META, &id(table)).await?;
        Ok(Self {
            table: table.clone(),
            row: Mutex::new(row),
        })
    }

    fn row(&self) -> MutexGuard<'_, Option<Record>> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Demands of a batch that the stamp still stands, and puts the next one, which is returned: it stands once the batch is done.
    pub(crate) fn renew_in(
        &self,
        batch: &mut WriteBatch,
        ids: &dyn IdSource,
    ) -> Result<Record, StoreError> {
        let expect = match &*self.row() {
            Some(row) => Expect::Same(Box::new(row.clone())),
            None => Expect::Absent,
        };
        batch.check(&META, &id(&self.table), expect);
        let next = anew(ids, &self.table)?;
        *batch = std::mem::take(batch).put(&META, next.clone());
        Ok(next)
    }

    /// Takes over what a commit has put.
    pub(crate) fn set(&self, row: Record) {
        *self.row() = Some(row);
    }

    /// Whether it still stands, once a check failed that may have been this one.
    pub(crate) async fn stands(&self, store: &dyn LocalStore) -> Result<bool, Error> {
        let found = store.get_one(&META, &id(&self.table)).await?;
        Ok(found == *self.row())
    }
}

/// The row of a new stamp, to be put with what takes positions back.
pub(crate) fn anew(ids: &dyn IdSource, table: &TableName) -> Result<Record, StoreError> {
    meta_row(id(table).as_str(), ids.next_id().as_str())
}

fn id(table: &TableName) -> RecordId {
    RecordId::system(&format!("positions|{table}"))
}
