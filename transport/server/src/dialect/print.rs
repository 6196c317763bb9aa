//! How records and pages are printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::StatusCode;
use serde_json::{Map, Value, json};
use synctable_core::{Draft, Record, SystemProperties, TableSchema};

use crate::error::Fault;

/// A whole record without `createdAt`, which the newer dialects do not know.
pub(super) fn without_creation(record: &Record) -> String {
    let system = SystemProperties {
        created_at: None,
        ..record.system().clone()
    };
    record.clone().with_system(system).to_json()
}

/// The record with a null for every declared field that it lacks: clients of the older dialects take the columns
/// of a page from its first record.
pub(super) fn filled(record: &Record, schema: &TableSchema) -> Record {
    let members = record.members();
    let missing: Map<String, Value> = schema
        .fields
        .iter()
        .filter(|(field, _)| !members.iter().any(|(name, _)| name == field))
        .map(|(field, _)| (field.to_owned(), Value::Null))
        .collect();
    match Draft::from_serialize(&missing) {
        Ok(nulls) if !missing.is_empty() => record.patched(&nulls),
        _ => record.clone(),
    }
}

/// `{"items":[..]}`, with `count` and `nextLink` where there is one.
pub(super) fn page(items: &[String], count: Option<u64>, next: Option<&str>) -> String {
    let mut out = format!("{{\"items\":[{}]", items.join(","));
    if let Some(count) = count {
        let _ = write!(out, ",\"count\":{count}");
    }
    if let Some(next) = next {
        let next = Value::from(next);
        let _ = write!(out, ",\"nextLink\":{next}");
    }
    out.push('}');
    out
}

/// `[..]`, or `{"results":[..],"count":n}`.
pub(super) fn array(items: &[String], count: Option<u64>) -> String {
    let items = items.join(",");
    match count {
        Some(count) => format!("{{\"results\":[{items}],\"count\":{count}}}"),
        None => format!("[{items}]"),
    }
}

/// `[{"memberNames":[..],"errorMessage":".."}]`
pub(super) fn results(faults: &[Fault]) -> String {
    let results: Vec<Value> = faults
        .iter()
        .map(
            |Fault {
                 member, message, ..
             }| {
                let names: Vec<&str> = [member.as_str()]
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .collect();
                json!({ "memberNames": names, "errorMessage": message })
            },
        )
        .collect();
    Value::from(results).to_string()
}

/// The details of a problem: `{"errors":{"member":[".."]},..}`, and the same as one line, as in all other errors.
pub(super) fn problem(status: StatusCode, faults: &[Fault], line: &str) -> String {
    let mut errors: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Fault {
        member, message, ..
    } in faults
    {
        errors.entry(member).or_default().push(message);
    }
    json!({
        "errors": errors,
        "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
        "title": "One or more validation errors occurred.",
        "status": status.as_u16(),
        "error": line,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use synctable_core::FieldType;

    use super::*;

    fn record() -> Record {
        Record::from_json(
            r#"{"id":"a","version":"v","createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-02T00:00:00Z","n":1.50}"#,
        )
        .unwrap()
    }

    #[test]
    fn prints_records() {
        assert_eq!(
            without_creation(&record()),
            r#"{"id":"a","version":"v","updatedAt":"2026-01-02T00:00:00.000Z","deleted":false,"n":1.50}"#
        );
        let schema = TableSchema::new()
            .with_field("b", FieldType::String)
            .with_field("n", FieldType::Number);
        assert_eq!(filled(&record(), &schema).body(), r#"{"n":1.50,"b":null}"#);
        assert_eq!(filled(&record(), &TableSchema::new()), record());
    }

    #[test]
    fn prints_pages() {
        assert_eq!(page(&[], None, None), r#"{"items":[]}"#);
        assert_eq!(
            page(&["1".into(), "2".into()], Some(7), Some("%24skip=1&b=\"")),
            r#"{"items":[1,2],"count":7,"nextLink":"%24skip=1&b=\""}"#
        );
        assert_eq!(array(&[], None), "[]");
        assert_eq!(
            array(&["1".into(), "2".into()], Some(7)),
            r#"{"results":[1,2],"count":7}"#
        );
    }
}
