//! By what a store may find records before it judges them.

use super::{BinaryOp, Expr, Literal, Query};

/// The properties by which whoever asks may narrow any query.
const OPEN: [&str; 2] = ["id", "updatedAt"];

impl Query {
    /// The conditions by which a store may find records before it judges them: all that the filter demands, but with
    /// [`within`](Self::within) only what that demands, and the filter's bounds on `id` and `updatedAt`. Every record that the query wants
    /// meets all of them.
    ///
    /// ```
    /// use synctable_core::query::{Query, field};
    /// let query = Query::all().filter(field("year").gt(1979).and(field("id").gt("m")));
    /// assert_eq!(query.narrowing().len(), 2);
    /// assert_eq!(query.within(field("owner").eq("me")).narrowing().len(), 2);
    /// ```
    pub fn narrowing(&self) -> Vec<&Expr> {
        let mut parts = Vec::new();
        if let Some(within) = &self.within {
            within.each_demand(&mut parts);
        }
        if let Some(filter) = &self.filter {
            let mut demands = Vec::new();
            filter.each_demand(&mut demands);
            parts.extend(
                demands
                    .into_iter()
                    .filter(|part| self.within.is_none() || is_open(part)),
            );
        }
        parts
    }

    /// Whether a store may go through an index over `fields` in its order, the first `fixed` of which are the same in all
    /// records that it goes through: yes, unless that would show something of records that are not [`within`](Self::within).
    pub fn may_follow<F: AsRef<str>>(&self, fields: &[F], fixed: usize) -> bool {
        let Some(within) = &self.within else {
            return true;
        };
        if fields.iter().all(|field| OPEN.contains(&field.as_ref())) {
            return true;
        }
        let mut demands = Vec::new();
        within.each_demand(&mut demands);
        let fixed = fields.get(..fixed).unwrap_or_default();
        demands.into_iter().all(|demand| match demand {
            Expr::Binary(BinaryOp::Eq, left, right) => match (&**left, &**right) {
                (Expr::Field(path), Expr::Literal(_)) | (Expr::Literal(_), Expr::Field(path)) => {
                    path.rest().is_empty() && fixed.iter().any(|it| it.as_ref() == path.head())
                }
                _ => false,
            },
            _ => false,
        })
    }
}

impl Expr {
    /// Collects what has to be true, each for itself, for this to be true.
    pub(crate) fn each_demand<'e>(&'e self, into: &mut Vec<&'e Self>) {
        let mut waiting = vec![self];
        while let Some(expr) = waiting.pop() {
            match expr {
                Self::Binary(BinaryOp::And, left, right) => waiting.extend([&**right, &**left]),
                _ => into.push(expr),
            }
        }
    }
}

/// A comparison of an open property with a constant.
fn is_open(part: &Expr) -> bool {
    let open = |expr: &Expr| matches!(expr, Expr::Field(path) if path.rest().is_empty() && OPEN.contains(&path.head()));
    let constant =
        |expr: &Expr| matches!(expr, Expr::Literal(literal) if *literal != Literal::Null);
    match part {
        Expr::Binary(op, left, right) if op.is_comparison() => {
            open(left) && constant(right) || constant(left) && open(right)
        }
        Expr::In(value, list) => open(value) && list.iter().all(constant),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::query::Query;
    use crate::query::odata::parse_filter;

    #[test]
    fn a_rule_of_access_leaves_only_bounds_on_id_and_time_to_whoever_asks() {
        let filter = "secret eq 'a' and updatedAt gt 2020-01-01T00:00:00Z and id in ('a','b') and 'x' gt id and \
                      id eq other and length(id) eq 2 and (id gt 'a' or n eq 1)";
        let query = Query::all().filter(parse_filter(filter).unwrap());
        assert_eq!(query.narrowing().len(), 7);
        let query = query.within(parse_filter("owner eq 'me' and n gt 1").unwrap());
        let parts = query.narrowing();
        assert_eq!(parts.len(), 5, "{parts:?}");
    }

    #[test]
    fn an_index_may_be_followed_where_it_shows_nothing() {
        let free = Query::all();
        let ruled = |rule: &str| Query::all().within(parse_filter(rule).unwrap());
        assert!(free.may_follow(&["year"], 0));
        let owner = ruled("owner eq 'me'");
        assert!(owner.may_follow(&["updatedAt", "id"], 0));
        assert!(owner.may_follow(&["owner", "year"], 1));
        assert!(!owner.may_follow(&["owner", "year"], 0));
        assert!(!owner.may_follow(&["year"], 0));
        assert!(!owner.may_follow(&["updatedAt", "year"], 0));
        for rule in [
            "owner eq 'me' and n gt 1",
            "owner eq 'me' or n eq 1",
            "owner eq other",
        ] {
            assert!(!ruled(rule).may_follow(&["owner", "year"], 1), "{rule}");
        }
        assert!(ruled("owner eq 'me' and n eq 1").may_follow(&["n", "owner", "year"], 2));
    }
}
