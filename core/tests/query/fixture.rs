//! One record with values of all kinds, and whether a filter holds for it.

use proptest::prelude::*;
use synctable_core::query::odata::parse_filter;
use synctable_core::query::{BinaryOp, Evaluator, Expr, FieldPath, Literal, field};
use synctable_core::{Date, FieldType, Record, TableSchema, TimeOfDay, Timestamp};

pub(crate) const RECORD: &str = r#"{
    "id":"Rec-1", "version":"v7", "updatedAt":"2024-02-29T12:00:00.5Z",
    "s":"Straße", "i":9007199254740993, "n":2.5, "b":true, "d":"2024-02-29", "t":"13:14:15.5",
    "dt":"2024-02-29T12:00:00+01:00", "midnight":"2024-02-29T00:00:00Z", "bytes":"AAEC",
    "p":{"type":"Point","coordinates":[13.4,52.5]}, "q":{"coordinates":[1.34e1,52.50],"type":"Point"},
    "j":{"city":"Ulm","zip":null,"deep":{"n":1},"d":"2024-02-29","x":1,"x":2}, "low":"low", "high":"high", "other":"low",
    "mid":"mid",
    "free":"a\u0000\"é\"", "date":"2024-02-29", "datetime":"2024-02-29T11:00:00Z", "time":"13:14:15.500",
    "whole":7, "float":7.0, "big":9223372036854775808, "huge":1e300, "minus":-0, "off":false,
    "nil":null, "list":[1,{"a":null}], "same":[1.0,{}], "place":{"type":"Point","coordinates":[13.4,52.5]},
    "guid":"6F9619FF-8b86-d011-b42d-00cf4fc964ff",
    "bad_d":"2023-02-29", "bad_t":"25:00", "bad_dt":"soon", "bad_p":[1,2], "bad_e":"MID", "bad_i":"7", "bad_s":7,
    "": "empty", "a/b":"slash", "\u00e9t\u00e9":"summer"
}"#;

/// One field of each type, twice for some, and some with a value of another type.
pub(crate) fn schema() -> TableSchema {
    let words = |words: &[&str]| FieldType::Enum(words.iter().map(|&word| word.into()).collect());
    [
        ("s", FieldType::String),
        ("i", FieldType::Integer),
        ("n", FieldType::Number),
        ("b", FieldType::Boolean),
        ("d", FieldType::Date),
        ("t", FieldType::Time),
        ("dt", FieldType::DateTime),
        ("midnight", FieldType::DateTime),
        ("bytes", FieldType::Bytes),
        ("p", FieldType::GeoPoint),
        ("q", FieldType::GeoPoint),
        ("j", FieldType::Json),
        ("low", words(&["low", "mid", "high"])),
        ("mid", words(&["low", "mid", "high"])),
        ("high", words(&["low", "mid", "high"])),
        ("other", words(&["high", "low"])),
        ("bad_d", FieldType::Date),
        ("bad_t", FieldType::Time),
        ("bad_dt", FieldType::DateTime),
        ("bad_p", FieldType::GeoPoint),
        ("bad_e", words(&["low", "mid", "high"])),
        ("bad_i", FieldType::Integer),
        ("bad_s", FieldType::String),
    ]
    .into_iter()
    .fold(TableSchema::new(), |schema, (name, ty)| {
        schema.with_field(name, ty)
    })
}

pub(crate) fn matches(filter: &Expr) -> bool {
    let record = Record::from_json(RECORD).unwrap();
    Evaluator::new(&schema()).matches(filter, &record)
}

pub(crate) fn holds(filter: &str) -> bool {
    matches(&parse_filter(filter).unwrap_or_else(|error| panic!("{filter}: {error}")))
}

#[track_caller]
pub(crate) fn all_hold(filters: &[&str]) {
    for filter in filters {
        assert!(holds(filter), "{filter}");
    }
}

#[track_caller]
pub(crate) fn none_holds(filters: &[&str]) {
    for filter in filters {
        assert!(!holds(filter), "{filter}");
    }
}

pub(crate) fn literal(literal: Literal) -> Expr {
    Expr::Literal(literal)
}

pub(crate) fn binary(op: BinaryOp, left: &Expr, right: &Expr) -> Expr {
    Expr::Binary(op, Box::new(left.clone()), Box::new(right.clone()))
}

pub(crate) fn equal(left: Expr, right: impl Into<Expr>) -> Expr {
    Expr::Binary(BinaryOp::Eq, Box::new(left), Box::new(right.into()))
}

pub(crate) fn path(names: &[&str]) -> Expr {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Expr::Field(FieldPath::nested(names).unwrap())
}

/// The float nearest to an integer.
#[expect(clippy::cast_precision_loss, reason = "near is what is wanted")]
pub(crate) fn float_near(int: i64) -> f64 {
    int as f64
}

/// A field of the record or a constant, of any kind.
pub(crate) fn operand() -> impl Strategy<Value = Expr> {
    let names = [
        "s",
        "i",
        "n",
        "b",
        "d",
        "t",
        "dt",
        "midnight",
        "p",
        "q",
        "j",
        "low",
        "mid",
        "high",
        "other",
        "date",
        "datetime",
        "time",
        "whole",
        "float",
        "big",
        "off",
        "nil",
        "list",
        "same",
        "guid",
        "bad_e",
        "j/d",
        "id",
        "updatedAt",
        "deleted",
    ];
    let texts = [
        "",
        "low",
        "2024-02-29",
        "2024-02-29T11:00:00Z",
        "13:14:15.5",
        "Straße",
        "x",
    ];
    let near = prop_oneof![
        Just(0),
        -3..3_i64,
        any::<i64>(),
        Just(i64::MIN),
        Just(i64::MAX)
    ];
    prop_oneof![
        6 => proptest::sample::select(names.to_vec()).prop_map(|name| field(name).into()),
        2 => proptest::sample::select(texts.to_vec()).prop_map(Expr::from),
        2 => near.clone().prop_map(Expr::from),
        2 => near.prop_map(|near| Expr::from(float_near(near) / 2.0)),
        1 => any::<f64>().prop_map(Expr::from),
        1 => any::<bool>().prop_map(Expr::from),
        1 => Just(Expr::from(Literal::Null)),
        1 => any::<i64>().prop_map(|ticks| Expr::from(Timestamp::from_ticks(ticks))),
        1 => (19_781..19_784).prop_map(|days| Expr::from(Date::from_days(days))),
        1 => any::<i64>().prop_map(|ticks| Expr::from(TimeOfDay::from_ticks(ticks))),
        1 => Just(literal(Literal::Guid("6f9619ff-8b86-d011-b42d-00cf4fc964ff".into()))),
        1 => Just(literal(Literal::Point { longitude: 13.4, latitude: 52.5 })),
    ]
}
