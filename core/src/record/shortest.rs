//! The shortest spelling of the strings in a JSON text.

use std::borrow::Cow;

use super::members::push_json_char;

/// The same JSON with each string in its shortest spelling: of characters only `"`, `\` and those below the space are escaped, by their
/// shortest escape. All else (members and their order, numbers, white space) stays as it is. `json` must be valid.
///
/// Some servers escape all that is not ASCII; text is to come back as people wrote it, and to take no more room than that.
pub(crate) fn shortest(json: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut kept, mut from) = (0, 0);
    while let Some(at) = json.get(from..).and_then(|rest| rest.find('\\')) {
        // A backslash is nowhere but in strings, and begins an escape of at least two bytes.
        let start = from + at;
        let (character, length) = escaped(json.as_bytes(), start);
        from = start + length;
        let Some(character) = character else {
            continue;
        };
        out.push_str(json.get(kept..start).unwrap_or_default());
        push_json_char(&mut out, character);
        kept = from;
    }
    if kept == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(json.get(kept..).unwrap_or_default());
    Cow::Owned(out)
}

/// The character of the escape at `start` where it has a shorter spelling, and the bytes that the escape takes.
fn escaped(json: &[u8], start: usize) -> (Option<char>, usize) {
    match json.get(start + 1) {
        Some(b'/') => (Some('/'), 2),
        Some(b'u') => {
            let Some(unit) = hex(json, start) else {
                return (None, 2);
            };
            if let Some(character) = char::from_u32(unit) {
                // Only what has no shorter escape is as short as it can be.
                return (Some(character), 6);
            }
            let low = hex(json, start + 6).filter(|low| (0xdc00..0xe000).contains(low));
            let pair = low
                .filter(|_| (0xd800..0xdc00).contains(&unit))
                .and_then(|low| {
                    char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                });
            match pair {
                Some(character) => (Some(character), 12),
                None => (None, 6),
            }
        }
        _ => (None, 2),
    }
}

/// The number of `\uXXXX` at `start`.
fn hex(json: &[u8], start: usize) -> Option<u32> {
    let digits = json.get(start..start + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |number, digit| {
        Some(number * 16 + char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn strings_get_their_shortest_spelling_and_all_else_stays() {
        for (long, short) in [
            (
                r#"{"title":"t\u00FFp \uD83D\uDE00"}"#,
                r#"{"title":"tÿp 😀"}"#,
            ),
            (
                r#"{ "\u0061":[1.50, 1E2 ,"\/"] }"#,
                r#"{ "a":[1.50, 1E2 ,"/"] }"#,
            ),
            (r#""\u0022\u005C\u005c""#, r#""\"\\\\""#),
            (r#""\u0008\u0009\u000a\u000C\u000D""#, r#""\b\t\n\f\r""#),
            (
                r#""\u001F\u0000\u007f\u0080""#,
                "\"\\u001f\\u0000\u{7f}\u{80}\"",
            ),
            (r#""\u2028\u202E\uFFFF""#, "\"\u{2028}\u{202e}\u{ffff}\""),
            (r#""\\u0041\\\u0041""#, r#""\\u0041\\A""#),
            (r#""a\u0041\\""#, r#""aA\\""#),
        ] {
            assert_eq!(shortest(long), short, "{long}");
        }
        for same in ["", "{}", r#"{"a":"ÿ😀 /"}"#, r#"["\"","\\","\n\t\r\b\f"]"#] {
            assert!(matches!(shortest(same), Cow::Borrowed(_)), "{same}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_left_alone() {
        for odd in [
            r"\",
            r"\u",
            r"\u12",
            r"\uzzzz",
            r"\ud800",
            r"\ud800\u0",
            r"\udc00\ud800",
            "\\é",
        ] {
            assert_eq!(shortest(odd), odd);
        }
    }

    /// JSON of a value with each character escaped as the numbers say.
    fn spelled(value: &Value, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
        match value {
            Value::String(text) => spell(text, choices, out),
            Value::Array(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    out.push_str(if place > 0 { " ,\n" } else { "" });
                    spelled(item, choices, out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    out.push_str(if place > 0 { "," } else { " " });
                    spell(name, choices, out);
                    out.push(':');
                    spelled(value, choices, out);
                }
                out.push('}');
            }
            other => out.push_str(&other.to_string()),
        }
    }

    fn spell(text: &str, choices: &mut impl Iterator<Item = u8>, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            match choices.next().unwrap_or_default() % 4 {
                0 => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                1 => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04X}");
                    }
                }
                2 if character == '/' => out.push_str("\\/"),
                _ => {
                    let plain = serde_json::to_string(&character).unwrap();
                    let plain = plain.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
                    out.push_str(plain.unwrap());
                }
            }
        }
        out.push('"');
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop::collection::vec(
            prop_oneof![
                any::<char>(),
                (0_u32..0xff).prop_map(|code| char::from_u32(code).unwrap_or('x')),
                Just('\\'),
                Just('"'),
                Just('/'),
                Just('u'),
            ],
            0..12,
        )
        .prop_map(|characters| characters.into_iter().collect::<String>());
        let leaf = prop_oneof![
            text.clone().prop_map(Value::String),
            any::<i64>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec((text.clone(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_value_stays_and_nothing_gets_longer(
            value in values(),
            choices in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut json = String::new();
            spelled(&value, &mut choices.into_iter(), &mut json);
            prop_assert_eq!(&serde_json::from_str::<Value>(&json).unwrap(), &value);
            let short = shortest(&json);
            prop_assert!(short.len() <= json.len());
            prop_assert_eq!(&serde_json::from_str::<Value>(&short).unwrap(), &value);
            prop_assert_eq!(&*shortest(&short), &*short);
            // The writer of another library spells each string so, too.
            let compact: String = {
                let mut plain = String::new();
                spelled(&value, &mut std::iter::repeat(3), &mut plain);
                plain
            };
            prop_assert_eq!(&*short, compact);
        }
    }
}
