//! What SQLite says of how it runs a statement, in the words of a [`Plan`].

use synctable_core::TableSchema;
use synctable_core::store::{Access, Plan};

/// The plan that the lines of `EXPLAIN QUERY PLAN` describe. `sorted_here` says that rows are sorted after SQLite
/// found them.
///
/// The lines are for people and differ between releases: what is not understood is [`Access::Unknown`].
pub(crate) fn plan<'a>(
    lines: impl IntoIterator<Item = &'a str>,
    schema: &TableSchema,
    sorted_here: bool,
) -> Plan {
    let mut access = Access::Unknown;
    let mut in_order = !sorted_here;
    for line in lines {
        if line.starts_with("USE TEMP B-TREE FOR") {
            in_order = false;
        } else if let Some(found) = access_of(line, schema) {
            access = found;
        }
    }
    Plan::new(access, in_order)
}

fn access_of(line: &str, schema: &TableSchema) -> Option<Access> {
    let (searches, rest) = match line.strip_prefix("SEARCH ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("SCAN ")?),
    };
    let Some((_, index)) = rest.split_once(" USING ") else {
        return Some(Access::Scan);
    };
    let (index, terms) = index.rsplit_once(" (").unwrap_or((index, ""));
    let declared = index.split_once("INDEX ix_").and_then(|(_, name)| {
        let mut names = name.split('/').skip(1).map(str::to_owned);
        let fields: Vec<String> = names.by_ref().collect();
        let known = schema.indexes.iter().any(|index| index.fields == fields);
        known.then_some(fields)
    });
    Some(match declared {
        Some(fields) => Access::Index {
            fields,
            equal: terms.matches("=?").count(),
            range: terms.contains("<?") || terms.contains(">?"),
        },
        None if searches && terms.starts_with("id") => Access::Ids,
        None => Access::Scan,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_sqlite_are_understood() {
        let schema = TableSchema::new().with_index(["year", "title"]);
        let index = |equal, range| Access::Index {
            fields: vec!["year".into(), "title".into()],
            equal,
            range,
        };
        for (line, access) in [
            ("SCAN t", Access::Scan),
            ("SCAN t USING INDEX sqlite_autoindex_t_1", Access::Scan),
            (
                "SEARCH t USING INDEX sqlite_autoindex_t_1 (id=?)",
                Access::Ids,
            ),
            ("SCAN t USING INDEX ix_t/year/title", index(0, false)),
            (
                "SEARCH t USING INDEX ix_t/year/title (year=? AND title>? AND title<?)",
                index(1, true),
            ),
            (
                "SEARCH t USING COVERING INDEX ix_t/year/title (year=? AND title=?)",
                index(2, false),
            ),
            ("SEARCH t USING INDEX ix_t/other (other=?)", Access::Scan),
            ("COMPOUND QUERY", Access::Unknown),
        ] {
            assert_eq!(
                plan([line], &schema, false),
                Plan::new(access, true),
                "{line}"
            );
        }
        let sorted = plan(
            ["SCAN t", "USE TEMP B-TREE FOR LAST TERM OF ORDER BY"],
            &schema,
            false,
        );
        assert_eq!(sorted, Plan::new(Access::Scan, false));
    }
}
