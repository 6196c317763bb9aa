//! Queries: one tree of expressions, a fluent builder, the reference evaluation, and OData text in and out.

mod budget;
mod builder;
mod cursor;
mod eval;
mod expr;
mod fields;
mod functions;
mod judge;
mod kind;
mod names;
mod narrow;
mod now;
pub mod odata;
mod page;
mod remote;
mod stop;
pub mod text;
mod value;
mod walk;

pub use budget::{Budget, Excess};
pub use builder::{Field, field};
pub use cursor::{Cursor, CursorError, Position};
pub use eval::{Evaluator, SortKey, SortValue};
pub use expr::{BinaryOp, Expr, FieldPath, Function, Literal};
pub use fields::UnknownField;
pub use functions::Number;
pub use judge::Judge;
pub use kind::{Counterpart, ValueKind};
pub use page::{Window, page_by, page_of};
pub use remote::RemoteQuery;
pub use stop::{Stop, StopOnDrop, Watch};
pub use walk::Walk;

/// The number of records in a page where neither the caller nor the store says.
pub const DEFAULT_PAGE: u32 = 100;

/// What to read from a table: filter, order, window and page. The table itself is named beside it. A store answers with whole records;
/// what servers can be asked beyond that is a [`RemoteQuery`].
///
/// Records come in the order asked for; records that are equal in it come by ascending id, so every
/// order is total. Without an order they come by id. Missing members and `null` are the same; `null`
/// sorts first when ascending and last when descending.
///
/// ```
/// use synctable_core::query::{Query, field};
/// let query = Query::all()
///     .filter(field("complete").eq(false).and(field("priority").ge(2)))
///     .order_by_desc("priority")
///     .top(10);
/// assert_eq!(
///     query.to_odata().as_deref(),
///     Ok("$filter=((complete eq false) and (priority ge 2))&$orderby=priority desc&$top=10")
/// );
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// Which records; `None` is all.
    pub filter: Option<Expr>,
    /// The records that whoever asks may know of; `None` is all. To the others a store applies nothing of the query, so that not even the
    /// time of the answer tells of them: of the filter only bounds on `id` and `updatedAt` may narrow beforehand
    /// ([`narrowing`](Self::narrowing)), and only these two may be an order without sorting what was found. Servers set it for their rules of access;
    /// it is not a part of OData text.
    pub within: Option<Expr>,
    /// What the query may take.
    pub budget: Budget,
    /// Ends the reading from outside; `None` where nobody does.
    pub stop: Option<Stop>,
    /// In which order; the id always decides last.
    pub order: Vec<OrderBy>,
    /// How many records of the result to leave out at its start.
    pub skip: u64,
    /// The most records of the whole result.
    pub top: Option<u64>,
    /// The most records of one page.
    pub page: Option<u32>,
    /// Where the page starts: behind this position of an earlier page. `skip` is ignored then.
    pub after: Option<Cursor>,
}

/// One term of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBy {
    /// The member to order by.
    pub path: FieldPath,
    /// The direction.
    pub direction: Direction,
}

/// The direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Small values first, `null` before all.
    #[default]
    Ascending,
    /// Large values first, `null` after all.
    Descending,
}
