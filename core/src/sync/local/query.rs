//! A query on a local table.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::name::TableName;
use crate::query::{Cursor, Expr, FieldPath, Query};
use crate::store::Plan;
use crate::sync::context::SyncContext;
use crate::sync::inner::Inner;
use crate::sync::local::typed::{Typed, typed};
use crate::sync::tables::or_nothing;
use crate::threads::{BoxFuture, MaybeSend, boxed};

/// A query on a local table. Await it: with [`page`](Self::page) for one page, otherwise for everything it describes.
///
/// ```
/// # async fn example(sync: synctable_core::sync::SyncContext) -> Result<(), synctable_core::Error> {
/// use synctable_core::query::field;
/// let todos = sync.table::<serde_json::Value>("todoitem")?;
/// let open = todos.query().filter(field("complete").eq(false)).order_by("text").page(50).await?;
/// for todo in &open.records { println!("{}", todo["text"]); }
/// # Ok(()) }
/// ```
#[must_use = "a query does nothing until it is awaited"]
pub struct TableQuery<T> {
    context: SyncContext,
    table: TableName,
    query: Query,
    marker: Typed<T>,
}

/// What a query found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QueryPage<T> {
    /// The records in order.
    pub records: Vec<T>,
    /// Where the next page starts, if there is one.
    pub next: Option<Cursor>,
}

impl<T> TableQuery<T> {
    pub(crate) fn new(context: SyncContext, table: TableName, query: Query) -> Self {
        Self {
            context,
            table,
            query,
            marker: PhantomData,
        }
    }

    /// Only records that match; several filters must all match.
    pub fn filter(mut self, filter: impl Into<Expr>) -> Self {
        self.query = self.query.filter(filter);
        self
    }

    /// Ordered by a member, small first.
    pub fn order_by(mut self, path: impl Into<FieldPath>) -> Self {
        self.query = self.query.order_by(path);
        self
    }

    /// Ordered by a member, large first.
    pub fn order_by_desc(mut self, path: impl Into<FieldPath>) -> Self {
        self.query = self.query.order_by_desc(path);
        self
    }

    /// Without the first `count` records.
    pub fn skip(mut self, count: u64) -> Self {
        self.query = self.query.skip(count);
        self
    }

    /// At most `count` records.
    pub fn top(mut self, count: u64) -> Self {
        self.query = self.query.top(count);
        self
    }

    /// One page of at most `count` records.
    pub fn page(mut self, count: u32) -> Self {
        self.query = self.query.page(count);
        self
    }

    /// The page behind a position of an earlier page.
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.query = self.query.after(Some(cursor));
        self
    }

    /// How many records match the filter.
    pub async fn count(self) -> Result<u64, Error> {
        let inner = &self.context.inner;
        let query = inner.asked(&self.table, self.query);
        Ok(or_nothing(inner.store.count(&self.table, &query).await)?)
    }

    /// How the store would answer: which declared index it uses, if any.
    pub async fn explain(self) -> Result<Plan, Error> {
        let (name, inner) = (&self.table, &self.context.inner);
        inner.tables.ensure(name).await?;
        let query = inner.asked(name, self.query);
        Ok(inner.store.explain(name, &query).await?)
    }
}

impl Inner {
    /// A query as it is meant here: with names as they are declared, at this time.
    pub(crate) fn asked(&self, table: &TableName, query: Query) -> Query {
        query
            .named(&self.tables.get(table).schema)
            .at(self.clock.now())
    }
}

impl<T: DeserializeOwned> TableQuery<T> {
    async fn run(self) -> Result<QueryPage<T>, Error> {
        let (name, inner) = (&self.table, &self.context.inner);
        let mut query = inner.asked(name, self.query);
        let one_page = query.page.is_some();
        query.page.get_or_insert(1000);
        let mut records = Vec::new();
        loop {
            let page = or_nothing(inner.store.query(name, &query).await)?;
            for record in &page.records {
                records.push(typed(name, record)?);
            }
            if one_page || page.next.is_none() {
                return Ok(QueryPage {
                    records,
                    next: page.next,
                });
            }
            query.after = page.next;
        }
    }
}

impl<T: DeserializeOwned + MaybeSend + 'static> IntoFuture for TableQuery<T> {
    type Output = Result<QueryPage<T>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        boxed(self.run())
    }
}

impl<T> IntoIterator for QueryPage<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.records.into_iter()
    }
}

impl<T> fmt::Debug for TableQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableQuery")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
