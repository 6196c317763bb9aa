//! A table as the application uses it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::{Query, RemoteQuery};
use crate::record::Record;
use crate::store::LocalStoreExt;
use crate::sync::admin::purge::{Purge, PurgeReport};
use crate::sync::context::SyncContext;
use crate::sync::local::query::TableQuery;
use crate::sync::local::typed::{Typed, typed};
use crate::sync::pull::Pull;
use crate::sync::pull::audit::Audit;
use crate::sync::tables::or_nothing;
use crate::threads::MaybeSend;

/// A handle on a table whose records are of type `T`. Made by [`SyncContext::table`]; cheap to clone.
///
/// Every change is stored together with its operation, durably, before the call returns. None of these methods
/// but [`pull`](Self::pull) and [`pull_full`](Self::pull_full) touches the network.
pub struct SyncTable<T> {
    pub(crate) context: SyncContext,
    pub(crate) name: TableName,
    marker: Typed<T>,
}

impl SyncContext {
    /// A handle on a table whose records are of type `T`: any serde type, or [`Record`](crate::Record) for the untyped form.
    /// A table that was never declared is made by its first change; until then it holds nothing.
    pub fn table<T>(&self, name: &str) -> Result<SyncTable<T>, Error> {
        Ok(SyncTable::new(self.clone(), TableName::new(name)?))
    }
}

impl<T> SyncTable<T> {
    fn new(context: SyncContext, name: TableName) -> Self {
        Self {
            context,
            name,
            marker: PhantomData,
        }
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// Brings what changed at the server since the last pull under this `name`, after pushing if the table has
    /// pending operations. The first pull brings everything.
    ///
    /// Under a name with another filter than last time it starts anew, and records leave that no named pull of the table wants any
    /// more: neither those with pending operations, nor those that were never at the server.
    pub fn pull(&self, query: impl Into<RemoteQuery>, name: &str) -> Pull {
        Pull::new(
            self.context.clone(),
            self.name.clone(),
            query.into(),
            Some(name),
        )
    }

    /// Brings everything that the query describes, every time. It may have an order, `skip` and `top` of its own.
    pub fn pull_full(&self, query: impl Into<RemoteQuery>) -> Pull {
        Pull::new(self.context.clone(), self.name.clone(), query.into(), None)
    }

    /// Compares the table with the server's rows that `query` describes and heals what differs; see [`Audit`].
    pub fn audit(&self, query: impl Into<RemoteQuery>) -> Audit {
        Audit::new(self.context.clone(), self.name.clone(), query.into())
    }

    /// Removes records here without telling the server; refused while the table has pending operations, unless
    /// told to discard them.
    pub async fn purge(&self, purge: Purge) -> Result<PurgeReport, Error> {
        self.context.purge(&self.name, &purge).await
    }

    /// How many records match the query's filter.
    pub async fn count(&self, query: &Query) -> Result<u64, Error> {
        let (store, query) = (&self.context.inner.store, self.asked(query.clone()));
        Ok(or_nothing(store.count(&self.name, &query).await)?)
    }

    /// The query as this table means it: members under their declared names, and the present in place of `now()`. Whoever asks the
    /// [`store`](SyncContext::store) itself does this first, once for all pages; queries and counts of this table do it themselves.
    #[must_use]
    pub fn asked(&self, query: Query) -> Query {
        self.context.inner.asked(&self.name, query)
    }

    /// True when a record with this id is here.
    pub async fn contains(&self, id: impl AsRef<str> + MaybeSend) -> Result<bool, Error> {
        Ok(self
            .get_record(&RecordId::new(id.as_ref())?)
            .await?
            .is_some())
    }

    async fn get_record(&self, id: &RecordId) -> Result<Option<Record>, Error> {
        let store = &self.context.inner.store;
        Ok(or_nothing(store.get_one(&self.name, id).await)?)
    }
}

impl<T: DeserializeOwned> SyncTable<T> {
    /// The record with this id, if it is here.
    pub async fn get(&self, id: impl AsRef<str> + MaybeSend) -> Result<Option<T>, Error> {
        let record = self.get_record(&RecordId::new(id.as_ref())?).await?;
        record.map(|record| typed(&self.name, &record)).transpose()
    }

    /// Starts a query; await it for the records.
    pub fn query(&self) -> TableQuery<T> {
        self.query_with(Query::all())
    }

    /// Starts from a query that exists already.
    pub fn query_with(&self, query: Query) -> TableQuery<T> {
        TableQuery::new(self.context.clone(), self.name.clone(), query)
    }
}

impl<T> Clone for SyncTable<T> {
    fn clone(&self) -> Self {
        Self::new(self.context.clone(), self.name.clone())
    }
}

impl<T> fmt::Debug for SyncTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncTable")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
