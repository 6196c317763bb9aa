//! Cursors as text.

use proptest::prelude::*;
use synctable_core::query::{Cursor, CursorError, OrderBy, Query, SortKey, SortValue};
use synctable_core::{Date, RecordId, TimeOfDay, Timestamp};

use crate::pages::sort_key;

fn order(terms: usize) -> Vec<OrderBy> {
    (0..terms)
        .fold(Query::all(), |query, _| query.order_by("x"))
        .order
}

/// Reads back as the same, down to the bits: `Debug` tells `-0.0` from `0.0` and prints every float exactly.
#[track_caller]
fn assert_round_trip(key: &SortKey, left: Option<u64>) {
    let text = Cursor::new(key, left).as_str().to_owned();
    let position = Cursor::from_text(&text)
        .position(&order(key.values.len()))
        .unwrap();
    assert_eq!(
        format!("{:?}", (&position.key, position.left)),
        format!("{:?}", (key, left)),
        "{text}"
    );
}

#[test]
fn values_at_the_edges_read_back() {
    let values = vec![
        SortValue::Null,
        SortValue::Bool(false),
        SortValue::Int(i64::MIN),
        SortValue::Int(i64::MAX),
        SortValue::Int(1),
        SortValue::Float(1.0),
        SortValue::Float(-0.0),
        SortValue::Float(5e-324),
        SortValue::Float(f64::MAX),
        SortValue::Float(0.1 + 0.2),
        SortValue::DateTime(Timestamp::MIN),
        SortValue::DateTime(Timestamp::MAX),
        SortValue::Date(Date::from_days(i32::MIN)),
        SortValue::Date(Date::from_days(i32::MAX)),
        SortValue::Time(TimeOfDay::from_ticks(i64::MAX)),
        SortValue::Enum(u32::MAX),
        SortValue::Text("\0\"\\é\u{2028}😀".to_owned()),
        SortValue::Text("1".to_owned()),
        SortValue::Other,
    ];
    // The engine's own tables have ids that a user's record may not have.
    let id = RecordId::system(&format!("a/b\n\"{}", "x".repeat(300)));
    assert_round_trip(
        &SortKey {
            values,
            id: id.clone(),
        },
        Some(u64::MAX),
    );
    assert_round_trip(
        &SortKey {
            values: Vec::new(),
            id,
        },
        None,
    );
}

#[test]
fn cursor_of_a_plain_query_is_short() {
    let id = RecordId::new("0f8fad5b-d9cb-469f-a165-70867728950e").unwrap();
    let values = vec![SortValue::Int(12)];
    assert!(Cursor::new(&SortKey { values, id }, None).as_str().len() < 64);
}

#[test]
fn hostile_text_is_refused() {
    let nan = f64::NAN.to_bits();
    let infinite = f64::INFINITY.to_bits();
    let deep = "[".repeat(100_000);
    for text in [
        "",
        " ",
        "null",
        "1",
        "[]",
        "{}",
        "\"a\"",
        "{",
        r#"{"i":1}"#,
        r#"{"i":null}"#,
        r#"{"k":[],"l":1}"#,
        r#"{"i":"a","x":1}"#,
        r#"{"i":"a","i":"b"}"#,
        r#"{"i":"a"} x"#,
        r#"{"i":"a","l":-1}"#,
        r#"{"i":"a","l":1.5}"#,
        r#"{"i":"a","l":18446744073709551616}"#,
        r#"{"i":"\ud800"}"#,
        r#"{"i":"a","k":null}"#,
        r#"{"i":"a","k":["n","n"]}"#,
        r#"{"i":"a","k":[1]}"#,
        r#"{"i":"a","k":[null]}"#,
        r#"{"i":"a","k":["x"]}"#,
        r#"{"i":"a","k":[{"i":1,"s":"a"}]}"#,
        r#"{"i":"a","k":[{"i":9223372036854775808}]}"#,
        r#"{"i":"a","k":[{"i":"1"}]}"#,
        r#"{"i":"a","k":[{"e":-1}]}"#,
        r#"{"i":"a","k":[{"d":2147483648}]}"#,
        &format!(r#"{{"i":"a","k":[{{"f":{nan}}}]}}"#),
        &format!(r#"{{"i":"a","k":[{{"f":{infinite}}}]}}"#),
        &format!(r#"{{"i":"a","k":{deep}"#),
        &deep,
    ] {
        for terms in [0, 1] {
            // A cursor without values is one of a query without an order.
            let position = Cursor::from_text(text).position(&order(terms));
            assert_eq!(position, Err(CursorError), "{text:.60}");
        }
    }
}

#[test]
fn cursor_does_not_show_its_record() {
    let id = RecordId::new("secret").unwrap();
    let cursor = Cursor::new(
        &SortKey {
            values: Vec::new(),
            id,
        },
        None,
    );
    assert_eq!(format!("{cursor:?}"), "Cursor(..)");
    assert!(!CursorError.to_string().contains("secret"));
}

proptest! {
    #[test]
    fn every_position_reads_back(key in (0..4_usize).prop_flat_map(sort_key), left in any::<Option<u64>>()) {
        assert_round_trip(&key, left);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}", terms in 0..3_usize) {
        let _ = Cursor::from_text(&text).position(&order(terms));
    }

    /// A cursor with one byte changed either is refused or reads as some position, which has a text of its own.
    #[test]
    fn damaged_text_is_read_or_refused(key in sort_key(2), at in any::<prop::sample::Index>(), byte in b' '..127) {
        let mut text = Cursor::new(&key, Some(7)).as_str().to_owned().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(position) = Cursor::from_text(&String::from_utf8_lossy(&text)).position(&order(2)) {
            assert_round_trip(&position.key, position.left);
        }
    }
}
