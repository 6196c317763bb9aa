//! Names that a table declares.

use synctable_core::query::odata::parse_filter;
use synctable_core::query::{RemoteQuery, field};
use synctable_core::{FieldType, TableSchema};

fn declared() -> TableSchema {
    TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("extra", FieldType::Json)
}

/// The name that is refused, if any.
fn refused(query: &RemoteQuery) -> Option<String> {
    query
        .check_fields(&declared())
        .err()
        .map(|error| error.name)
}

#[test]
fn declared_names_and_system_properties_are_known() {
    let filter = "title eq 'a' and extra/any/thing eq 1 and not (-length(id) in (1, day(updatedAt)) or deleted)";
    let query = RemoteQuery::all()
        .filter(parse_filter(filter).unwrap())
        .order_by("createdAt")
        .order_by_desc("extra/x")
        .select(["id", "version", "title"]);
    assert_eq!(refused(&query), None);
}

#[test]
fn other_names_are_refused_wherever_they_are() {
    for filter in [
        "x",
        "not x",
        "-(x) eq 1",
        "x eq 1",
        "1 eq x",
        "title eq 'a' or (deleted and x/title gt 1)",
        "x in (1, 2)",
        "title in ('a', x)",
        "contains(title,x)",
    ] {
        let query = RemoteQuery::all().filter(parse_filter(filter).unwrap());
        assert_eq!(refused(&query).as_deref(), Some("x"), "{filter}");
    }
    assert_eq!(
        refused(&RemoteQuery::all().order_by("x/title")).as_deref(),
        Some("x")
    );
    assert_eq!(
        refused(&RemoteQuery::all().select(["title", "x"])).as_deref(),
        Some("x")
    );
    assert_eq!(
        refused(&RemoteQuery::all().order_by("Title")).as_deref(),
        Some("Title")
    );
}

#[test]
fn without_declared_fields_any_name_is_known() {
    let query = RemoteQuery::all()
        .filter(field("x").eq(1))
        .order_by("y")
        .select(["z"]);
    assert_eq!(query.check_fields(&TableSchema::new()), Ok(()));
}

#[test]
fn the_message_is_one_printable_line() {
    let error = RemoteQuery::all()
        .order_by("a\n\u{1b}[31m")
        .check_fields(&declared())
        .unwrap_err();
    assert_eq!(error.to_string(), r"there is no property 'a\n\u{1b}[31m'");
}
