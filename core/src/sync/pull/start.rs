//! A mark that the positions of a table's named pulls have in common: it changes whenever they start anew because rows left.
//!
//! A pull demands with each page that the mark is as it was when the pull began. So no pull of another context, which knows nothing of
//! the rows that left, puts its old position back behind them.

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::store::{Expect, LocalStoreExt, WriteBatch};
use crate::sync::inner::Inner;
use crate::sync::system::{META, meta_row};

/// The mark of one table as a pull has found it.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    id: RecordId,
    /// `None` while nothing has left yet.
    row: Option<Record>,
}

impl Start {
    pub(crate) async fn read(inner: &Inner, table: &TableName) -> Result<Self, Error> {
        let id = RecordId::system(&name(table));
        let row = inner.store.get_one(&META, &id).await?;
        Ok(Self { id, row })
    }

    /// Demands of a batch that the mark still stands.
    pub(crate) fn check(&self, batch: &mut WriteBatch) {
        let expect = match &self.row {
            Some(row) => Expect::Same(Box::new(row.clone())),
            None => Expect::Absent,
        };
        batch.check(&META, &self.id, expect);
    }

    /// Whether it still stands, once a check failed that may have been this one.
    pub(crate) async fn stands(&self, inner: &Inner) -> Result<bool, Error> {
        Ok(inner.store.get_one(&META, &self.id).await? == self.row)
    }
}

/// The row of a new mark, to be put with the change that takes positions back.
pub(crate) fn anew(inner: &Inner, table: &TableName) -> Result<Record, Error> {
    Ok(meta_row(&name(table), inner.ids.next_id().as_str())?)
}

fn name(table: &TableName) -> String {
    format!("positions|{table}")
}
