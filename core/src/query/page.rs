//! One page of a query over any sequence of records: what every store must answer.
#![allow(missing_docs)]
use super::Query;
use crate::store::{Page, StoreError};
use crate::{Record, TableSchema};
pub fn page_of<I>(_query: &Query, _schema: &TableSchema, _records: I) -> Result<Page, StoreError>
where
    I: IntoIterator<Item = Result<Record, StoreError>>,
{
    Ok(Page::default())
}
