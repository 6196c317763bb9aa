//! The position of a named pull as it is stored.

use crate::error::Error;
use crate::name::{QueryId, TableName};
use crate::query::{Query, RemoteQuery};
use crate::record::Record;
use crate::store::LocalStoreExt;
use crate::sync::inner::Inner;
use crate::sync::pull::query::{is_same, text_of};
use crate::sync::system::{DELTA, DeltaToken};

/// The position that is stored under a name, as a row and as it is; one that has not begun where there is none.
pub(crate) async fn stored_position(
    inner: &Inner,
    table: &TableName,
    query: &RemoteQuery,
    name: QueryId,
) -> Result<(Option<Record>, DeltaToken), Error> {
    let filter = text_of(query)?;
    let id = DeltaToken::id(table, &name);
    let stored = inner.store.get_one(&DELTA, &id).await?;
    let token = match stored.as_ref().map(DeltaToken::from_row).transpose()? {
        // Another context has changed it since this pull began.
        Some(token) if token.leaving || !is_same(&token.filter, &filter) => {
            return Err(Error::Contended);
        }
        Some(token) => token,
        None => DeltaToken::new(table.clone(), name, filter),
    };
    Ok((stored, token))
}

/// Whether the table has no records, so that none can have missed its deletion.
pub(crate) async fn is_empty(inner: &Inner, table: &TableName) -> Result<bool, Error> {
    let any = inner.store.query(table, &Query::all().top(1)).await?;
    Ok(any.records.is_empty())
}
