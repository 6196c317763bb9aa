//! The names of properties in a query: matched without regard to case, and checked where fields are declared.

use synctable_core::TableSchema;
use synctable_core::query::{RemoteQuery, UnknownField};

/// The query with the names as they are declared. What matches nothing is an error where fields are declared, and else stays as it is.
pub(crate) fn resolve(
    query: RemoteQuery,
    schema: &TableSchema,
) -> Result<RemoteQuery, UnknownField> {
    let query = query.named(schema);
    query.check_fields(schema)?;
    Ok(query)
}

#[cfg(test)]
mod tests {
    use synctable_core::FieldType;
    use synctable_core::query::{Query, field};

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
            Query::all().filter(field("nothing").eq(1)).into(),
            Query::all().order_by("nothing").into(),
            Query::all().select(["nothing"]),
        ] {
            assert!(resolve(query.clone(), &schema()).is_err(), "{query:?}");
            assert_eq!(resolve(query.clone(), &TableSchema::new()).unwrap(), query);
        }
    }
}
