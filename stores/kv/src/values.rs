//! The values of an index entry as bytes that sort like them.
//!
//! Each value is a tag, which sorts by kind, and a payload that sorts by value and tells its own end. A list of values ends with a byte
//! that sorts before every tag, so that it can be read without its schema.

use synctable_core::query::SortValue;

/// Ends a list.
const END: u8 = 0x01;
/// Ends a list of which a text was cut: engines do not take keys of any length.
const CUT_END: u8 = 0x02;
/// The most bytes of a text.
const MOST: usize = 512;
const NULL: u8 = 0x10;
const FALSE: u8 = 0x11;
const TRUE: u8 = 0x12;
const NUMBER: u8 = 0x14;
const DATE_TIME: u8 = 0x18;
const DATE: u8 = 0x1a;
const TIME: u8 = 0x1c;
const ENUM: u8 = 0x20;
const TEXT: u8 = 0x30;
const OTHER: u8 = 0x40;

/// In a text a zero byte is followed by this, its end by [`TEXT_END`].
const ESCAPED: u8 = 0xff;
const TEXT_END: u8 = 0x01;

/// The bytes of a whole list.
pub(crate) fn encode<'v>(values: impl IntoIterator<Item = &'v SortValue>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut cut = false;
    for value in values {
        push(&mut out, value);
        cut |= matches!(value, SortValue::Text(text) if text.len() > MOST);
    }
    out.push(if cut { CUT_END } else { END });
    out
}

/// True for a whole list of which a text was cut: it does not tell the order among those that begin alike.
pub(crate) fn is_cut(list: &[u8]) -> bool {
    list.last() == Some(&CUT_END)
}

/// Appends one value: the beginning of lists that start with it.
pub(crate) fn push(out: &mut Vec<u8>, value: &SortValue) {
    match value {
        SortValue::Null => out.push(NULL),
        SortValue::Bool(false) => out.push(FALSE),
        SortValue::Bool(true) => out.push(TRUE),
        SortValue::Int(value) => {
            // The nearest float keeps the order but for neighbours, which the rest tells apart: at most 512 either way.
            #[expect(clippy::cast_precision_loss, reason = "the rest makes up for it")]
            let near = *value as f64;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a float this near is whole"
            )]
            let rest = i128::from(*value) - near as i128;
            number(out, near, i16::try_from(rest).unwrap_or_default());
        }
        SortValue::Float(value) => number(out, *value, 0),
        SortValue::DateTime(time) => integer(out, DATE_TIME, time.ticks()),
        SortValue::Date(date) => integer(out, DATE, date.days().into()),
        SortValue::Time(time) => integer(out, TIME, time.ticks()),
        SortValue::Enum(position) => {
            out.push(ENUM);
            out.extend(position.to_be_bytes());
        }
        SortValue::Text(text) => {
            out.push(TEXT);
            for byte in text.bytes().take(MOST) {
                out.push(byte);
                if byte == 0 {
                    out.push(ESCAPED);
                }
            }
            out.extend([0, TEXT_END]);
        }
        SortValue::Other => out.push(OTHER),
    }
}

/// The tags of values that are of the kind of `value`: all such values lie between them.
pub(crate) fn kind(value: &SortValue) -> (u8, u8) {
    match value {
        SortValue::Null => (NULL, NULL),
        SortValue::Bool(_) => (FALSE, TRUE),
        SortValue::Int(_) | SortValue::Float(_) => (NUMBER, NUMBER),
        SortValue::DateTime(_) => (DATE_TIME, DATE_TIME),
        SortValue::Date(_) => (DATE, DATE),
        SortValue::Time(_) => (TIME, TIME),
        SortValue::Enum(_) => (ENUM, ENUM),
        SortValue::Text(_) => (TEXT, TEXT),
        SortValue::Other => (OTHER, OTHER),
    }
}

fn number(out: &mut Vec<u8>, near: f64, rest: i16) {
    // Zero has one form.
    let bits = (near + 0.0).to_bits();
    let sortable = if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    };
    out.push(NUMBER);
    out.extend(sortable.to_be_bytes());
    out.extend((rest.cast_unsigned() ^ 0x8000).to_be_bytes());
}

fn integer(out: &mut Vec<u8>, tag: u8, value: i64) {
    out.push(tag);
    out.extend((value.cast_unsigned() ^ 1 << 63).to_be_bytes());
}

/// How many of `bytes` are a whole list; `None` if they do not begin with one.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let tag = *bytes.get(at)?;
        at += 1;
        at += match tag {
            END | CUT_END => return Some(at),
            NULL | FALSE | TRUE | OTHER => 0,
            NUMBER => 10,
            DATE_TIME | DATE | TIME => 8,
            ENUM => 4,
            TEXT => text_length(bytes.get(at..)?)?,
            _ => return None,
        };
    }
}

/// How many of `bytes` are a text with its end.
fn text_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 2;
        match *bytes.get(at - 1)? {
            ESCAPED => {}
            TEXT_END => return Some(at),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use synctable_core::{Date, TimeOfDay, Timestamp};

    use super::*;

    pub(crate) fn value() -> impl Strategy<Value = SortValue> {
        let wide = prop_oneof![
            any::<i64>(),
            (-3..3_i64).prop_map(|n| (1 << 53) + n),
            (-3..3_i64).prop_map(|n| i64::MAX - 3 + n),
            -3..3_i64
        ];
        prop_oneof![
            Just(SortValue::Null),
            any::<bool>().prop_map(SortValue::Bool),
            wide.clone().prop_map(SortValue::Int),
            any::<f64>()
                .prop_filter("JSON has finite numbers", |n| n.is_finite())
                .prop_map(SortValue::Float),
            #[expect(clippy::cast_precision_loss)]
            wide.prop_map(|n| SortValue::Float(n as f64)),
            Just(SortValue::Float(-0.0)),
            (-9..9_i64).prop_map(|n| SortValue::DateTime(Timestamp::from_ticks(n))),
            (-9..9_i32).prop_map(|n| SortValue::Date(Date::from_days(n))),
            (0..9_i64).prop_map(|n| SortValue::Time(TimeOfDay::from_ticks(n))),
            (0..4_u32).prop_map(SortValue::Enum),
            "[a\0\u{1}\u{ff}]{0,3}".prop_map(SortValue::Text),
            Just(SortValue::Other),
        ]
    }

    proptest! {
        #[test]
        fn bytes_sort_like_values(a in vec(value(), 2), b in vec(value(), 2)) {
            let order = a.iter().zip(&b).map(|(a, b)| a.compare(b)).find(|order| order.is_ne());
            let order = order.unwrap_or(std::cmp::Ordering::Equal);
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), order);
        }

        #[test]
        fn lists_tell_their_end(a in vec(value(), 0..4), rest in vec(any::<u8>(), 0..4)) {
            let bytes = encode(&a);
            prop_assert_eq!(length(&[bytes.as_slice(), &rest].concat()), Some(bytes.len()));
            prop_assert_eq!(length(bytes.get(..bytes.len() - 1).unwrap()), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(prop_oneof![Just(0_u8), Just(1), Just(TEXT), Just(NUMBER), any::<u8>()], 0..30)) {
            if let Some(length) = length(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn long_texts_are_cut_and_say_so(start in "[a-c]{500,530}", rest in "[a-c]{0,9}") {
            let (short, long) = (SortValue::Text(start.clone()), SortValue::Text(start.clone() + &rest));
            let (a, b) = (encode([&short]), encode([&long]));
            prop_assert_eq!(is_cut(&a), start.len() > MOST);
            let list = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
            prop_assert!(list(&a) <= list(&b));
            prop_assert!(a.len() <= MOST + 4);
            prop_assert_eq!(length(&b), Some(b.len()));
        }

        #[test]
        fn values_lie_within_their_kind(value in value()) {
            let bytes = encode([&value]);
            let (first, last) = kind(&value);
            prop_assert!((first..=last).contains(bytes.first().unwrap()));
        }
    }
}
