//! The parts of an expression, without recursion: chains may be long.

use super::Expr;

/// All parts of an expression; made by [`Expr::walk`].
#[derive(Debug, Clone)]
pub struct Walk<'e> {
    open: Vec<&'e Expr>,
}

impl Expr {
    /// Every part of this expression: itself first, then what it is made of, each part before what it is made of, from left to right.
    ///
    /// ```
    /// use synctable_core::query::{Expr, field};
    /// let filter = field("year").gt(1979).and(field("title").starts_with("A"));
    /// let named = filter.walk().filter_map(|part| match part {
    ///     Expr::Field(path) => Some(path.head()),
    ///     _ => None,
    /// });
    /// assert_eq!(named.collect::<Vec<_>>(), ["year", "title"]);
    /// ```
    pub fn walk(&self) -> Walk<'_> {
        Walk { open: vec![self] }
    }
}

impl<'e> Iterator for Walk<'e> {
    type Item = &'e Expr;

    fn next(&mut self) -> Option<&'e Expr> {
        let part = self.open.pop()?;
        // The last one in is the first one out.
        match part {
            Expr::Literal(_) | Expr::Field(_) => {}
            Expr::Not(inner) | Expr::Negate(inner) => self.open.push(inner),
            Expr::Binary(_, left, right) => self.open.extend([&**right, &**left]),
            Expr::In(left, list) => {
                self.open.extend(list.iter().rev());
                self.open.push(left);
            }
            Expr::Call(_, arguments) => self.open.extend(arguments.iter().rev()),
        }
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use crate::query::odata::parse_filter;
    use crate::query::{BinaryOp, Expr, Literal, field};

    #[test]
    fn every_part_comes_once_from_left_to_right() {
        let text = "not (a eq 1) and (-b in (2,c) or contains(concat(d,'x'),e)) and f";
        let filter = parse_filter(text).unwrap();
        let mut leaves = Vec::new();
        let mut parts = 0;
        for part in filter.walk() {
            parts += 1;
            match part {
                Expr::Field(path) => leaves.push(path.to_string()),
                Expr::Literal(Literal::Int(number)) => leaves.push(number.to_string()),
                Expr::Literal(Literal::String(text)) => leaves.push(text.clone()),
                _ => {}
            }
        }
        assert_eq!(leaves.join(" "), "a 1 b 2 c d x e f");
        // Beside the leaves: and, and, not, eq, or, in, a sign and two calls.
        assert_eq!(parts, leaves.len() + 9);
        assert_eq!(filter.walk().next(), Some(&filter));
    }

    #[test]
    fn long_chains_take_no_stack() {
        let mut chain = Expr::from(field("a"));
        for n in 0..10_000 {
            chain = Expr::Binary(BinaryOp::Or, Box::new(chain), Box::new(n.into()));
        }
        assert_eq!(chain.walk().count(), 20_001);
    }
}
