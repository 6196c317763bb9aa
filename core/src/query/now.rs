//! Questions about the present.

use super::{Expr, Function, Literal, Query};
use crate::timestamp::Timestamp;

impl Query {
    /// The query with `now` in place of each `now()` of its filter. Whoever answers a query does this first.
    ///
    /// ```
    /// use synctable_core::query::{Query, field};
    /// use synctable_core::query::odata::parse_filter;
    /// let now = "2026-01-31T12:00:00Z".parse().unwrap();
    /// let asked = Query::all().filter(parse_filter("due lt now()").unwrap());
    /// assert_eq!(asked.at(now), Query::all().filter(field("due").lt(now)));
    /// ```
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        if self.asks_for_now() {
            self.filter = self.filter.map(|filter| {
                filter.map_parts(&|part| match part {
                    Expr::Call(Function::Now, _) => Expr::Literal(Literal::DateTime(now)),
                    other => other,
                })
            });
        }
        self
    }

    /// Whether the filter asks for the present: what it finds changes without any record changing.
    pub fn asks_for_now(&self) -> bool {
        let mut parts = self.filter.iter().flat_map(Expr::walk);
        parts.any(|part| matches!(part, Expr::Call(Function::Now, _)))
    }
}
