//! JSON compared by value, exactly: as a store sees it that keeps values and no text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::members::Text;

/// True when both texts are the same JSON: the order of members, white space and the spelling of strings and numbers do not count, of members with one
/// name the last one does. Numbers are compared digit by digit, so two decimals that a `f64` cannot tell apart differ; `null` is not missing.
///
/// Text that is not JSON equals only itself.
pub(crate) fn same_json(left: &str, right: &str) -> bool {
    left == right || of(left).is_some_and(|left| of(right) == Some(left))
}

/// A value, with its parts in the one form that all spellings of it have.
#[derive(Debug, PartialEq)]
enum Json<'a> {
    /// `true`, `false` or `null`.
    Word(&'a str),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(BTreeMap<Cow<'a, str>, Json<'a>>),
}

/// `0.digits` times ten to the power of `exponent`. Zero has no digits, no sign and the exponent 0.
#[derive(Debug, PartialEq)]
struct Number {
    negative: bool,
    digits: String,
    exponent: i64,
}

fn of(text: &str) -> Option<Json<'_>> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    match text.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<Text<'_>, &RawValue> = serde_json::from_str(text).ok()?;
            let members = members.into_iter();
            let members = members.map(|(name, value)| Some((name.0, of(value.get())?)));
            members.collect::<Option<_>>().map(Json::Object)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let items = items.into_iter().map(|item| of(item.get()));
            items.collect::<Option<_>>().map(Json::List)
        }
        b'"' => {
            let Text(text) = serde_json::from_str(text).ok()?;
            Some(Json::Text(text))
        }
        b'-' | b'0'..=b'9' => number(text).map(Json::Number),
        _ => Some(Json::Word(text)),
    }
}

fn number(text: &str) -> Option<Number> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let digits = significant.trim_end_matches('0').to_owned();
    if digits.is_empty() {
        return Some(Number {
            negative: false,
            digits,
            exponent: 0,
        });
    }
    let leading = i64::try_from(all.len() - significant.len()).ok()?;
    let before_point = i64::try_from(whole.len()).ok()?;
    let exponent = exponent.checked_add(before_point)?.checked_sub(leading)?;
    Some(Number {
        negative,
        digits,
        exponent,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn spellings_of_one_value_are_the_same() {
        let same = [
            [
                r#"{"a":1,"b":[2,3]}"#,
                r#" { "b" : [2.0,30e-1], "a":1e0 } "#,
            ],
            [r#""\u0041\/""#, r#""A/""#],
            ["1.10", "1.1"],
            ["0", "-0.00e7"],
            ["1200", "1.2E+3"],
            ["0.00012", "1.2e-4"],
            [r#"{"a":1,"a":2}"#, r#"{"a":2}"#],
            ["[]", "[ ]"],
        ];
        for [left, right] in same {
            assert!(same_json(left, right), "{left} {right}");
        }
    }

    #[test]
    fn other_values_differ() {
        let others = [
            [r#"{"a":null}"#, "{}"],
            ["0.1", "0.10000000000000000001"],
            ["9007199254740993", "9007199254740992"],
            ["1", "-1"],
            ["12", "1.2"],
            ["1", r#""1""#],
            ["[1,2]", "[2,1]"],
            ["true", "false"],
            ["not json", "not  json"],
            ["1e99999999999999999999", "1e9999999999999999999"],
        ];
        for [left, right] in others {
            assert!(!same_json(left, right), "{left} {right}");
        }
    }

    proptest! {
        /// As the decimals that two texts stand for, moved to whole numbers.
        #[test]
        fn decimals_are_the_same_where_their_difference_is_none(
            left in -2000_i64..2000, right in -2000_i64..2000,
            left_places in 0_usize..4, right_places in 0_usize..4, zeros in 0_usize..3,
        ) {
            let spelled = |value: i64, places: usize, zeros: usize| {
                let digits = format!("{:0>1$}", value.abs(), places + 1);
                let (whole, fraction) = digits.split_at(digits.len() - places);
                let sign = if value < 0 { "-" } else { "" };
                let fraction = format!("{fraction}{}", "0".repeat(zeros));
                match fraction.as_str() {
                    "" => format!("{sign}{whole}"),
                    fraction => format!("{sign}{whole}.{fraction}"),
                }
            };
            let scaled = |value: i64, places: usize| value * 10_i64.pow(4 - u32::try_from(places).unwrap());
            let texts = [spelled(left, left_places, zeros), spelled(right, right_places, 0)];
            let same = scaled(left, left_places) == scaled(right, right_places);
            prop_assert_eq!(same_json(&texts[0], &texts[1]), same, "{:?}", texts);
        }

        /// What is the same exactly is the same to everybody else.
        #[test]
        fn it_is_finer_than_equality_of_numbers(
            left in "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?(e-?[0-9])?",
            right in "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?(e-?[0-9])?",
        ) {
            if same_json(&left, &right) {
                let numbers = [&left, &right].map(|text| serde_json::from_str::<Value>(text).unwrap().as_f64());
                prop_assert_eq!(numbers[0], numbers[1]);
            }
        }
    }
}
