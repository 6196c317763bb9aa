//! What servers are asked: a query, and what only a server looks at.

use super::{Expr, FieldPath, Query, UnknownField};
use crate::schema::TableSchema;
use crate::timestamp::Timestamp;

/// What a server is asked: which records, and in what form.
///
/// A store answers the [`query`](Self::query) in it; the rest is between a client and a server. Every `Query` is one, and the four
/// methods below make one of a `Query`:
///
/// ```
/// use synctable_core::query::{Query, RemoteQuery, field};
/// let query = Query::all().filter(field("complete").eq(false)).include_deleted();
/// assert_eq!(query.to_odata().as_deref(), Ok("$filter=(complete eq false)&__includeDeleted=true"));
/// assert_eq!(RemoteQuery::from(Query::all().top(5)), RemoteQuery::from_odata("$top=5").unwrap());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RemoteQuery {
    /// Which records, in which order and window. [`Query::page`] is how many are welcome at once. What only a store looks at
    /// (`within`, `budget`, `stop`, `after`) is not sent.
    pub query: Query,
    /// The members wanted, system properties included; `None` is all.
    pub select: Option<Vec<String>>,
    /// Whether the count of all matching records is wanted, `skip` and `top` ignored.
    pub total: bool,
    /// Whether tombstones are wanted.
    pub include_deleted: bool,
    /// Further parameters, passed to the server as they are.
    pub parameters: Vec<(String, String)>,
}

impl From<Query> for RemoteQuery {
    fn from(query: Query) -> Self {
        Self {
            query,
            ..Self::default()
        }
    }
}

macro_rules! asked_of_servers {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) |$remote:ident| $set:block)*) => {
        impl RemoteQuery {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(self, $($argument: $kind),*) -> Self {
                let mut $remote = self;
                $set
                $remote
            }
        )*}

        impl Query {$(
            $(#[$doc])*
            ///
            /// What servers are asked: no store looks at it.
            #[must_use]
            pub fn $name(self, $($argument: $kind),*) -> RemoteQuery {
                RemoteQuery::from(self).$name($($argument),*)
            }
        )*}
    };
}

asked_of_servers! {
    /// Only the members named.
    select(names: impl IntoIterator<Item = impl Into<String>>) |remote| {
        remote.select = Some(names.into_iter().map(Into::into).collect());
    }

    /// With the count of all matching records.
    with_total() |remote| {
        remote.total = true;
    }

    /// With tombstones.
    include_deleted() |remote| {
        remote.include_deleted = true;
    }

    /// With a further parameter for the server.
    parameter(name: impl Into<String>, value: impl Into<String>) |remote| {
        remote.parameters.push((name.into(), value.into()));
    }
}

impl RemoteQuery {
    /// All records.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only records that match; several filters must all match.
    #[must_use]
    pub fn filter(self, filter: impl Into<Expr>) -> Self {
        self.with(|query| query.filter(filter))
    }

    /// Ordered by `path`, small first; after the orders already given.
    #[must_use]
    pub fn order_by(self, path: impl Into<FieldPath>) -> Self {
        self.with(|query| query.order_by(path))
    }

    /// Ordered by `path`, large first; after the orders already given.
    #[must_use]
    pub fn order_by_desc(self, path: impl Into<FieldPath>) -> Self {
        self.with(|query| query.order_by_desc(path))
    }

    /// Without the first `count` records of the result.
    #[must_use]
    pub fn skip(self, count: u64) -> Self {
        self.with(|query| query.skip(count))
    }

    /// At most `count` records in the whole result.
    #[must_use]
    pub fn top(self, count: u64) -> Self {
        self.with(|query| query.top(count))
    }

    /// At most `count` records a page.
    #[must_use]
    pub fn page(self, count: u32) -> Self {
        self.with(|query| query.page(count))
    }

    /// With `now` in place of each `now()`: see [`Query::at`].
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        self.with(|query| query.at(now))
    }

    /// With names as they are declared, those of the selection too: see [`Query::named`].
    #[must_use]
    pub fn named(mut self, schema: &TableSchema) -> Self {
        for name in self.select.iter_mut().flatten() {
            if let Some(declared) = super::names::declared(name, schema) {
                declared.clone_into(name);
            }
        }
        self.with(|query| query.named(schema))
    }

    /// Checks that it names only what the table declares, in the selection too: see [`Query::check_fields`].
    ///
    /// # Errors
    /// The first name that is not there.
    pub fn check_fields(&self, schema: &TableSchema) -> Result<(), UnknownField> {
        self.query.check_fields(schema)?;
        let mut selected = self.select.iter().flatten();
        selected.try_for_each(|name| super::fields::check_name(name, schema))
    }

    /// The query with the first name of each path given by `name`; `None` leaves it as it is.
    #[must_use]
    pub(crate) fn renamed(mut self, name: &dyn Fn(&str) -> Option<String>) -> Self {
        for selected in self.select.iter_mut().flatten() {
            if let Some(there) = name(selected) {
                *selected = there;
            }
        }
        self.with(|query| query.renamed(name))
    }

    fn with(mut self, change: impl FnOnce(Query) -> Query) -> Self {
        self.query = change(self.query);
        self
    }
}
