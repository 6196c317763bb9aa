//! The names of members in a query.

use super::{Expr, FieldPath, Query};
use crate::record::SYSTEM_PROPERTIES;
use crate::schema::TableSchema;

impl Query {
    /// The query with names as they are declared. A name means the declared field or system property that is spelled like it, or else
    /// the only one that differs in case; every other name stays as it is.
    ///
    /// ```
    /// use synctable_core::query::{Query, field};
    /// use synctable_core::{FieldType, TableSchema};
    /// let schema = TableSchema::new().with_field("title", FieldType::String);
    /// let query = Query::all().filter(field("Title").eq("Milk")).order_by("UPDATEDAT").order_by("Other");
    /// let named = Query::all().filter(field("title").eq("Milk")).order_by("updatedAt").order_by("Other");
    /// assert_eq!(query.named(&schema), named);
    /// ```
    #[must_use]
    pub fn named(mut self, schema: &TableSchema) -> Self {
        self.filter = self.filter.map(|filter| {
            filter.map_parts(&|part| match part {
                Expr::Field(path) => Expr::Field(rename(path, schema)),
                other => other,
            })
        });
        for term in &mut self.order {
            term.path = rename(term.path.clone(), schema);
        }
        self
    }
}

impl Query {
    /// The query with the first name of each path given by `name`; `None` leaves it as it is.
    #[must_use]
    pub(crate) fn renamed(mut self, name: &dyn Fn(&str) -> Option<String>) -> Self {
        let other = |path: FieldPath| {
            let head = name(path.head()).filter(|head| head != path.head());
            let rest = path.rest().to_vec();
            let renamed = head
                .and_then(|head| FieldPath::nested(std::iter::once(head).chain(rest).collect()));
            renamed.unwrap_or(path)
        };
        self.filter = self.filter.map(|filter| {
            filter.map_parts(&|part| match part {
                Expr::Field(path) => Expr::Field(other(path)),
                part => part,
            })
        });
        for term in &mut self.order {
            term.path = other(term.path.clone());
        }
        self
    }

    /// The first names of the paths in filter and order.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &str> {
        let parts = self.filter.iter().flat_map(Expr::walk);
        let in_filter = parts.filter_map(|part| match part {
            Expr::Field(path) => Some(path.head()),
            _ => None,
        });
        let in_order = self.order.iter().map(|term| term.path.head());
        in_filter.chain(in_order)
    }
}

impl Expr {
    /// The same with every part changed by `change`, each after what it is made of.
    pub(crate) fn map_parts(self, change: &dyn Fn(Self) -> Self) -> Self {
        let one = |expr: Box<Self>| Box::new(expr.map_parts(change));
        let many = |list: Vec<Self>| {
            list.into_iter()
                .map(|expr| expr.map_parts(change))
                .collect()
        };
        // Long chains lean to the left; walking them in a loop keeps the stack flat.
        let mut chain = Vec::new();
        let mut first = self;
        while let Self::Binary(op, left, right) = first {
            chain.push((op, right));
            first = *left;
        }
        let first = match first {
            Self::Not(inner) => Self::Not(one(inner)),
            Self::Negate(inner) => Self::Negate(one(inner)),
            Self::In(inner, list) => Self::In(one(inner), many(list)),
            Self::Call(function, arguments) => Self::Call(function, many(arguments)),
            leaf => leaf,
        };
        let links = chain.into_iter().rev();
        links.fold(change(first), |left, (op, right)| {
            change(Self::Binary(op, Box::new(left), one(right)))
        })
    }
}

fn rename(path: FieldPath, schema: &TableSchema) -> FieldPath {
    let renamed = declared(path.head(), schema).and_then(|name| {
        let rest = path.rest().iter().cloned();
        FieldPath::nested(std::iter::once(name.to_owned()).chain(rest).collect())
    });
    renamed.unwrap_or(path)
}

/// The one declared field or system property that `name` means.
pub(super) fn declared<'a>(name: &str, schema: &'a TableSchema) -> Option<&'a str> {
    let all = || {
        let fields = schema.fields.iter().map(|(field, _)| field);
        fields.chain(SYSTEM_PROPERTIES)
    };
    if let Some(exact) = all().find(|declared| *declared == name) {
        return Some(exact);
    }
    let folded = name.to_lowercase();
    let mut matching = all().filter(|declared| declared.to_lowercase() == folded);
    let first = matching.next()?;
    matching.next().is_none().then_some(first)
}
