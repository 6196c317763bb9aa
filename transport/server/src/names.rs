//! The names of properties in a query: matched without regard to case, and checked where fields are declared.

use synctable_core::query::{Expr, FieldPath, Query, UnknownField, check_fields};
use synctable_core::{SYSTEM_PROPERTIES, TableSchema};

/// The query with the names as they are declared. A name matches as it is, or else in another case where exactly
/// one does. What matches nothing is an error where fields are declared, and else stays as it is.
pub(crate) fn resolve(query: Query, schema: &TableSchema) -> Result<Query, UnknownField> {
    let mut query = query;
    query.filter = query.filter.map(|filter| rename(filter, schema));
    for term in &mut query.order {
        term.path = rename_path(&term.path, schema);
    }
    for name in query.select.iter_mut().flatten() {
        if let Some(declared) = declared_name(name, schema) {
            declared.clone_into(name);
        }
    }
    check_fields(&query, schema)?;
    Ok(query)
}

fn rename(expr: Expr, schema: &TableSchema) -> Expr {
    let one = |expr: Box<Expr>| Box::new(rename(*expr, schema));
    let many = |list: Vec<Expr>| list.into_iter().map(|expr| rename(expr, schema)).collect();
    match expr {
        Expr::Literal(_) => expr,
        Expr::Field(path) => Expr::Field(rename_path(&path, schema)),
        Expr::Not(inner) => Expr::Not(one(inner)),
        Expr::Negate(inner) => Expr::Negate(one(inner)),
        Expr::Binary(op, left, right) => Expr::Binary(op, one(left), one(right)),
        Expr::In(inner, list) => Expr::In(one(inner), many(list)),
        Expr::Call(function, arguments) => Expr::Call(function, many(arguments)),
    }
}

fn rename_path(path: &FieldPath, schema: &TableSchema) -> FieldPath {
    let renamed = declared_name(path.head(), schema).and_then(|name| {
        let rest = path.rest().iter().cloned();
        FieldPath::nested(std::iter::once(name.to_owned()).chain(rest).collect())
    });
    renamed.unwrap_or_else(|| path.clone())
}

/// The one declared field or system property that `name` means.
fn declared_name<'a>(name: &str, schema: &'a TableSchema) -> Option<&'a str> {
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

#[cfg(test)]
mod tests {
    use synctable_core::FieldType;
    use synctable_core::query::field;

    use super::*;

    fn schema() -> TableSchema {
        TableSchema::new()
            .with_field("title", FieldType::String)
            .with_field("Extra", FieldType::Json)
    }

    #[test]
    fn names_take_the_case_in_which_they_are_declared() {
        let given = Query::all()
            .filter(
                field("TITLE")
                    .eq("a")
                    .or(field("extra/Deep").year().is_in([1])),
            )
            .order_by("UPDATEDAT")
            .select(["ID", "eXtra"]);
        let expected = Query::all()
            .filter(
                field("title")
                    .eq("a")
                    .or(field("Extra/Deep").year().is_in([1])),
            )
            .order_by("updatedAt")
            .select(["id", "Extra"]);
        assert_eq!(resolve(given, &schema()).unwrap(), expected);
    }

    #[test]
    fn unknown_names_are_errors_only_where_fields_are_declared() {
        for query in [
            Query::all().filter(field("nothing").eq(1)),
            Query::all().order_by("nothing"),
            Query::all().select(["nothing"]),
        ] {
            assert!(resolve(query.clone(), &schema()).is_err(), "{query:?}");
            assert_eq!(resolve(query.clone(), &TableSchema::new()).unwrap(), query);
        }
    }
}
