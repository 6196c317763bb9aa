//! Values: JSON texts for records and constants for filters, from the same pools.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use synctable_core::query::Literal;
use synctable_core::{Date, FieldType, TimeOfDay, Timestamp};

const WORDS: [&str; 38] = [
    "",
    " ",
    "a",
    "A",
    "b",
    "ab",
    " ab ",
    "milk",
    "Milk",
    "MILK\t",
    "ß",
    "SS",
    "İ",
    "ǅ",
    "Σς",
    "é",
    "e\u{301}",
    "日本",
    "😀",
    "%",
    "_",
    "a%b",
    "'",
    "''",
    "\"",
    "\\",
    "a/b",
    "\0",
    "a\0b",
    "\n",
    "\u{a0}x\u{a0}",
    "1",
    "1.0",
    "-5",
    "true",
    "null",
    "AAAA",
    "a+b=",
];
const NUMBERS: [&str; 32] = [
    "0",
    "-0",
    "0.0",
    "-0.0",
    "1",
    "1.0",
    "1.50",
    "1.5",
    "1e2",
    "1E+2",
    "100",
    "-1",
    "-7",
    "2",
    "3",
    "0.5",
    "2.5",
    "-2.5",
    "0.1",
    "1e-7",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "12345678901234567890",
    "1e308",
    "-1.7976931348623157e308",
    "5e-324",
];
const DATE_TIMES: [&str; 8] = [
    "2024-02-29T11:30:00.500Z",
    "2024-02-29T12:30:00.5+01:00",
    "2024-02-29T00:00:00Z",
    "2024-02-29T23:59:59.9999999Z",
    "1969-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
    "2024-02-29t11:30:00.50000000z",
];
const DATES: [&str; 5] = [
    "2024-02-29",
    "2024-03-01",
    "1969-12-31",
    "0001-01-01",
    "9999-12-31",
];
const TIMES: [&str; 6] = [
    "00:00:00",
    "11:30",
    "11:30:00.500",
    "11:30:00.5",
    "23:59:59.9999999",
    "23:59:59.999999999",
];
const NO_TIMES: [&str; 4] = [
    "2024-02-30",
    "2024-02-29T25:00:00Z",
    "2024-02-29T12:00:00",
    "24:00",
];
const GUIDS: [&str; 3] = [
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "0F8FAD5B-D9CB-469F-A165-70867728950E",
    "00000000-0000-0000-0000-000000000000",
];
const POINTS: [(f64, f64); 5] = [
    (0.0, 0.0),
    (13.405, 52.52),
    (-180.0, -90.0),
    (180.0, 90.0),
    (2.35, 48.857),
];
const NESTED: [&str; 14] = [
    "{}",
    "[]",
    "[1,2.0]",
    "[1.0,2]",
    r#"{"b":1}"#,
    r#"{ "b" : 1.0 }"#,
    r#"{"b":null}"#,
    r#"{"b":{"c":"milk"}}"#,
    r#"{"b":{"c":[null]}}"#,
    r#"{"b":"2024-02-29"}"#,
    r#"[{"b":1}]"#,
    r#"{"type":"Point","coordinates":[1,200]}"#,
    r#"{"type":"Point","coordinates":[1,2,3]}"#,
    r#"{"b":"é","B":true}"#,
];

/// The words that enums are made of.
pub(crate) const ENUM_WORDS: [&str; 6] = ["PG", "G", "R", "milk", "é", ""];

fn words() -> BoxedStrategy<String> {
    prop_oneof![
        8 => select(&WORDS[..]).prop_map(str::to_owned),
        3 => select(&ENUM_WORDS[..]).prop_map(str::to_owned),
        1 => select(&DATE_TIMES[..]).prop_map(str::to_owned),
        1 => select(&DATES[..]).prop_map(str::to_owned),
        1 => select(&TIMES[..]).prop_map(str::to_owned),
        1 => select(&NO_TIMES[..]).prop_map(str::to_owned),
        1 => select(&GUIDS[..]).prop_map(str::to_owned),
        2 => ".{0,8}",
    ]
    .boxed()
}

fn quoted(text: &str) -> String {
    json!(text).to_string()
}

fn pool(texts: &'static [&'static str]) -> BoxedStrategy<String> {
    select(texts).prop_map(quoted).boxed()
}

fn number() -> BoxedStrategy<String> {
    prop_oneof![
        6 => select(&NUMBERS[..]).prop_map(str::to_owned),
        2 => (-9..9i64).prop_map(|number| number.to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => finite().prop_map(|number| json!(number).to_string()),
    ]
    .boxed()
}

fn finite() -> BoxedStrategy<f64> {
    prop_oneof![
        (-1e6..1e6f64),
        any::<f64>().prop_filter("finite", |number| number.is_finite()),
    ]
    .boxed()
}

fn integer() -> BoxedStrategy<i64> {
    prop_oneof![
        4 => -9..9i64,
        1 => any::<i64>(),
        2 => select(vec![100, 2024, i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1]),
    ]
    .boxed()
}

fn point() -> BoxedStrategy<(f64, f64)> {
    prop_oneof![select(&POINTS[..]), (-180.0..180.0f64, -90.0..90.0f64)].boxed()
}

fn date_time() -> BoxedStrategy<Timestamp> {
    prop_oneof![
        select(&DATE_TIMES[..]).prop_map(|text| text.parse().unwrap_or(Timestamp::EPOCH)),
        (Timestamp::MIN.ticks()..=Timestamp::MAX.ticks()).prop_map(Timestamp::from_ticks),
    ]
    .boxed()
}

fn date() -> BoxedStrategy<Date> {
    date_time().prop_map(Timestamp::date).boxed()
}

fn time() -> BoxedStrategy<TimeOfDay> {
    date_time().prop_map(Timestamp::time_of_day).boxed()
}

/// The JSON text of a value of `ty`, never null.
pub fn fitting(ty: &FieldType) -> BoxedStrategy<String> {
    match ty {
        FieldType::String => words().prop_map(|text| quoted(&text)).boxed(),
        FieldType::Integer => integer().prop_map(|number| number.to_string()).boxed(),
        FieldType::Number => number(),
        FieldType::Boolean => any::<bool>().prop_map(|value| value.to_string()).boxed(),
        FieldType::Date => {
            prop_oneof![pool(&DATES), date().prop_map(|d| quoted(&d.to_string()))].boxed()
        }
        FieldType::Time => {
            prop_oneof![pool(&TIMES), time().prop_map(|t| quoted(&t.to_string()))].boxed()
        }
        FieldType::DateTime => prop_oneof![
            pool(&DATE_TIMES),
            date_time().prop_map(|t| quoted(&t.to_string()))
        ]
        .boxed(),
        FieldType::Bytes => pool(&["", "AAAA", "AA==", "+/+/"]),
        FieldType::GeoPoint => {
            let text = |(longitude, latitude)| {
                json!({ "type": "Point", "coordinates": [longitude, latitude] }).to_string()
            };
            point().prop_map(text).boxed()
        }
        FieldType::Enum(words) => select(words.clone()).prop_map(|word| quoted(&word)).boxed(),
        _ => json()
            .prop_filter("not null", |text| text != "null")
            .boxed(),
    }
}

/// Any JSON text.
pub fn json() -> BoxedStrategy<String> {
    prop_oneof![
        4 => words().prop_map(|text| quoted(&text)),
        4 => number(),
        2 => select(&NESTED[..]).prop_map(str::to_owned),
        1 => fitting(&FieldType::GeoPoint),
        1 => select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ]
    .boxed()
}

/// Any constant.
pub fn literal() -> BoxedStrategy<Literal> {
    prop_oneof![
        1 => Just(Literal::Null),
        1 => any::<bool>().prop_map(Literal::Bool),
        3 => integer().prop_map(Literal::Int),
        1 => finite().prop_map(Literal::Float),
        2 => select(&NUMBERS[..]).prop_map(|text| text.parse().map_or(Literal::Null, Literal::Float)),
        5 => words().prop_map(Literal::String),
        1 => date_time().prop_map(Literal::DateTime),
        1 => date().prop_map(Literal::Date),
        1 => time().prop_map(Literal::Time),
        1 => select(&GUIDS[..]).prop_map(|text| Literal::Guid(text.to_owned())),
        1 => point().prop_map(|(longitude, latitude)| Literal::Point { longitude, latitude }),
    ]
    .boxed()
}

/// A constant that is likely to be comparable with values of `ty`.
pub(crate) fn literal_for(ty: &FieldType) -> BoxedStrategy<Literal> {
    match ty {
        FieldType::Integer => integer().prop_map(Literal::Int).boxed(),
        FieldType::Boolean => any::<bool>().prop_map(Literal::Bool).boxed(),
        FieldType::Date => prop_oneof![
            date().prop_map(Literal::Date),
            date_time().prop_map(Literal::DateTime)
        ]
        .boxed(),
        FieldType::Time => time().prop_map(Literal::Time).boxed(),
        FieldType::DateTime => prop_oneof![
            date_time().prop_map(Literal::DateTime),
            date().prop_map(Literal::Date)
        ]
        .boxed(),
        FieldType::GeoPoint => point()
            .prop_map(|(longitude, latitude)| Literal::Point {
                longitude,
                latitude,
            })
            .boxed(),
        FieldType::Enum(words) => select(words.clone()).prop_map(Literal::String).boxed(),
        FieldType::String | FieldType::Bytes => words().prop_map(Literal::String).boxed(),
        _ => literal(),
    }
}
