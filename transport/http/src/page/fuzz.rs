//! Pages that are nearly right.

#[path = "../../../../core/tests/fuzz/mutate.rs"]
pub(crate) mod mutate;

use http::{HeaderMap, StatusCode};
use mutate::{Raw, mutated, try_many};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::text;

const LIMITS: RowLimits = RowLimits {
    rows: 5,
    bytes: 300,
};

const PAGES: [&str; 4] = [
    r#"{"items":[{"id":"a","version":"v","updatedAt":"2026-02-01T00:00:00Z","n":[1,{"x":null}]},{"id":"b"}],"count":2,"nextLink":"$skip=2"}"#,
    r#"{"results":[{"id":"a","t":"\ud83d\ude00"}],"count":1}"#,
    r#"[{"id":"a"},{"id":"b","deleted":true},17]"#,
    r#"{"error":{"code":"x","message":"not today"}}"#,
];

const WORDS: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "1e999",
    "\\ud800",
    "\\u0000",
    "\"id\":\"a/b\",",
    "\"items\":[],",
    "\"nextLink\":5,",
    "\"count\":-1,",
    "{}",
    "{\"id\":\"c\"},",
    "\r\n",
    "\0",
    "-",
    "<html>",
];

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.len() < 2000
}

/// All rows of a page are accounted for, and none of them is more than it says.
#[test]
fn pages() {
    try_many(20_000, &mutated(&PAGES, &WORDS), |Raw(body)| {
        let rows = match serde_json::from_slice::<Value>(&body) {
            Ok(Value::Array(rows)) => Some(rows),
            _ => None,
        };
        match listing(&body, LIMITS) {
            Ok(listing) => {
                prop_assert!(listing.rows() <= LIMITS.rows);
                prop_assert!(rows.is_none_or(|rows| rows.len() == listing.rows()));
                for record in &listing.records {
                    let again = Record::from_json(&record.to_json());
                    prop_assert_eq!(again.ok(), Some(record.clone()));
                }
                for row in &listing.invalid {
                    prop_assert!(is_one_line(&row.reason), "{}", row.reason);
                    let id = row.id.as_deref().map(RecordId::new);
                    prop_assert!(id.is_none_or(|id| id.is_ok()));
                }
            }
            Err(ListingError::TooManyRows) => {
                prop_assert!(rows.is_none_or(|rows| rows.len() > LIMITS.rows));
            }
            Err(ListingError::NotAPage(what)) => {
                let all_objects = rows.is_some_and(|rows| rows.iter().all(Value::is_object));
                prop_assert!(!all_objects, "{what}");
                prop_assert!(is_one_line(&what), "{what}");
            }
        }
        let words = text::words(StatusCode::BAD_REQUEST, &HeaderMap::new(), &body);
        prop_assert!(is_one_line(&words) && !words.is_empty(), "{words}");
        Ok(())
    });
}
