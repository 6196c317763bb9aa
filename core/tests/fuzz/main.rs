//! Text from strangers that is nearly right: filters, queries, times, records.
//!
//! `SYNCTABLE_CASES=1000000 cargo test -p synctable-core --release --test fuzz` tries more, `SYNCTABLE_FUZZ_SECONDS=3600` goes on for an hour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod mutate;

use mutate::{mutated_text, try_many};
use proptest::prelude::*;
use synctable_core::query::odata::{
    Spelling, parse_filter, parse_order_by, parse_select, percent_decode, percent_encode,
};
use synctable_core::query::{Query, RemoteQuery, page_of};
use synctable_core::store::StoreErrorKind;
use synctable_core::{Draft, FieldType, Record, RecordId, TableName, TableSchema, Timestamp};

const CASES: u32 = 20_000;

const FILTERS: [&str; 8] = [
    "id eq 'a' and (n gt 5 or not done)",
    "startswith(tolower(title),'a''b') eq true",
    "updatedAt ge cast(2026-02-01T00:00:00.000Z,Edm.DateTimeOffset)",
    "n in (1,-2.5e3,null) and a/b/c ne 3",
    "year(at) sub 1 eq 2025 mul 1 div 1 mod 7",
    "geo.distance(place,geography'POINT(1 -2)') lt 3.5",
    "substring(title,indexof(title,'x'),2) eq concat('a','b')",
    "guid eq 01234567-89ab-cdef-0123-456789abcdef or d eq 2026-02-01 or t eq 12:34:56.7",
];
const WORDS: [&str; 24] = [
    "(",
    ")",
    "'",
    "''",
    ",",
    "/",
    " ",
    "-",
    "%27",
    "%",
    "$",
    "&",
    "=",
    " and ",
    " not ",
    " in ",
    "null",
    "9999999999999999999",
    "1e999",
    "\0",
    "\u{1f480}",
    "\u{feff}",
    "@",
    "+",
];

fn is_one_line(error: &impl ToString) -> bool {
    let text = error.to_string();
    !text.chars().any(char::is_control) && text.len() < 1000
}

/// What is read is printed so that it is read as the same again.
#[test]
fn filters() {
    try_many(CASES, &mutated_text(&FILTERS, &WORDS), |text| {
        match parse_filter(&text) {
            Ok(filter) => {
                let query = RemoteQuery::from(Query::all().filter(filter));
                // Not every spelling has words for everything.
                if let Ok(printed) = query.to_query_string(Spelling::V4) {
                    let again = RemoteQuery::from_odata(&printed);
                    prop_assert_eq!(again.as_ref(), Ok(&query), "{}", printed);
                }
                // This one says some things in other words, but they can be read where they are not too many.
                if let Ok(printed) = query.to_query_string(Spelling::V2) {
                    let short = printed.len() < 2000;
                    prop_assert!(
                        !short || RemoteQuery::from_odata(&printed).is_ok(),
                        "{printed}"
                    );
                }
            }
            Err(error) => prop_assert!(is_one_line(&error), "{error}"),
        }
        for refused in [parse_order_by(&text).err(), parse_select(&text).err()] {
            prop_assert!(refused.is_none_or(|error| is_one_line(&error)));
        }
        Ok(())
    });
}

/// Whatever a filter asks for, judging it takes no more than its budget.
#[test]
fn judged_filters() {
    let doubled = "concat(concat(t,t),concat(t,t))".replace('t', "concat(title,title)");
    let nested = "replace(replace(replace(title,'a',title),'a',title),'a',title) eq 'x'";
    let seeds = [
        FILTERS[1],
        FILTERS[4],
        FILTERS[6],
        "length(replace(replace(title,'a','aaaaaaaaaa'),'a','aaaaaaaaaa')) gt 5",
        nested,
        &format!("indexof(toupper({doubled}),tolower({doubled})) ge 0 or contains({doubled},'b')"),
        "substring(trim(concat(title,id)),-5,9223372036854775807) in (title,'a',null,concat('a',title))",
    ];
    let words = [
        "replace(",
        "concat(",
        "title,",
        "title)",
        ",'a'",
        ",title",
        ")",
        "(",
        "tolower(",
        "not ",
        " eq ",
        " or ",
        "trim(",
        "substring(",
        ",1",
        ",-1",
    ];
    let records: Vec<Record> = [1, 100, 20_000]
        .iter()
        .map(|length| {
            let json = format!(
                r#"{{"id":"{length}","title":"{}","n":{length}}}"#,
                "a".repeat(*length)
            );
            Record::from_json(&json).unwrap()
        })
        .collect();
    let schema = TableSchema::new().with_field("title", FieldType::String);
    try_many(CASES / 4, &mutated_text(&seeds, &words), |text| {
        let Ok(filter) = parse_filter(&text) else {
            return Ok(());
        };
        let mut query = Query::all().filter(filter);
        query.budget.steps = 1_000_000;
        match page_of(&query, &schema, records.iter().cloned().map(Ok)) {
            Ok(page) => prop_assert!(page.records.len() <= records.len()),
            Err(error) => {
                prop_assert_eq!(error.kind(), StoreErrorKind::OverBudget);
                prop_assert!(is_one_line(&error), "{error}");
            }
        }
        Ok(())
    });
}

#[test]
fn query_strings() {
    let seeds = [
        "$filter=id%20eq%20%27a%27&$orderby=n%20desc,id&$top=5&$skip=2&$count=true",
        "$select=id,n&__includeDeleted=true&x=y",
        "%24filter=%28n%20gt%205%29&$inlinecount=allpages",
        "$filter=contains(title,'%25')&custom=%C3%A9",
    ];
    try_many(CASES, &mutated_text(&seeds, &WORDS), |text| {
        match RemoteQuery::from_odata(&text) {
            Ok(query) => {
                if let Ok(printed) = query.to_query_string(Spelling::V4) {
                    let again = RemoteQuery::from_odata(&printed);
                    prop_assert_eq!(again.as_ref(), Ok(&query), "{}", printed);
                    prop_assert!(
                        printed.is_ascii() && !printed.contains([' ', '#', '\r', '\n']),
                        "{}",
                        printed
                    );
                }
            }
            Err(error) => prop_assert!(is_one_line(&error), "{error}"),
        }
        if let Ok(plain) = percent_decode(&text) {
            prop_assert_eq!(percent_decode(&percent_encode(&plain)).unwrap(), plain);
        }
        Ok(())
    });
}

#[test]
fn timestamps() {
    let seeds = [
        "2026-02-01T00:00:00.000Z",
        "9999-12-31T23:59:59.9999999Z",
        "0001-01-01T00:00:00Z",
        "2024-02-29T23:59:59.123456789+14:00",
        "1969-12-31t23:59:59-00:30",
    ];
    let words = [
        "0", "9", ".", ":", "-", "+", "Z", "T", "29", "60", "24", "\0", " ", "\u{661}",
    ];
    try_many(CASES, &mutated_text(&seeds, &words), |text| {
        match text.parse::<Timestamp>() {
            Ok(time) => {
                prop_assert!((Timestamp::MIN..=Timestamp::MAX).contains(&time));
                let printed = time.to_string();
                let again = printed.parse::<Timestamp>().unwrap();
                // Printing may cut digits, and never rounds up.
                prop_assert!(
                    again <= time && time.millis() == again.millis(),
                    "{printed}"
                );
            }
            Err(error) => prop_assert!(is_one_line(&error), "{error}"),
        }
        Ok(())
    });
}

#[test]
fn records() {
    let seeds = [
        r#"{"id":"a","version":"v1","createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-02-01T00:00:00.123Z","deleted":false,"title":"Milk","n":1.50}"#,
        r#"{"id":"a b","nested":{"x":[1,-2e3,null,true,"\ud83d\ude00\u0000"]},"":0}"#,
        r#" { "id" : "é" , "a" : [ ] , "b" : { } } "#,
    ];
    let words = [
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "1e999",
        "\\ud800",
        "\\u0000",
        "\"id\":\"b\",",
        "\"deleted\":true,",
        "\"version\":null,",
        "\"updatedAt\":\"\",",
        "-",
        "0",
        "\0",
        "/",
        "../",
        "\r\n",
    ];
    try_many(CASES, &mutated_text(&seeds, &words), |text| {
        match Record::from_json(&text) {
            Ok(record) => {
                let printed = record.to_json();
                let again = Record::from_json(&printed);
                prop_assert_eq!(again.ok(), Some(record.clone()), "{}", printed);
                prop_assert!(record.same_members(&record));
                for (name, value) in record.members() {
                    prop_assert!(
                        serde_json::from_str::<serde_json::Value>(value).is_ok(),
                        "{name}"
                    );
                }
            }
            Err(error) => prop_assert!(is_one_line(&error), "{error}"),
        }
        if let Err(error) = Draft::from_json(&text) {
            prop_assert!(is_one_line(&error), "{error}");
        }
        Ok(())
    });
}

#[test]
fn names() {
    try_many(
        CASES,
        &mutated_text(&["a-1 (draft)", "todo_item", ".."], &WORDS),
        |text| {
            if let Ok(id) = RecordId::new(&text) {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert!(
                    !text.contains(['/', '\\', '?', '"']) && !text.chars().any(char::is_control)
                );
            }
            if let Ok(table) = TableName::new(&text) {
                prop_assert!(table.as_str().is_ascii() && !table.is_system());
            }
            Ok(())
        },
    );
}
