//! The text of a JSON object as a list of members, and back; equality of JSON by value.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A member: its name, and the JSON text of its value.
pub(crate) type Member<'a> = (Cow<'a, str>, &'a str);

/// Lists with more members than this are searched through a map.
const FEW: usize = 32;

/// Finds members by name, also in hostile lists, where scans for every name would take for ever.
#[derive(Debug, Default)]
pub(crate) struct Places<'a>(HashMap<Cow<'a, str>, usize>);

impl<'a> Places<'a> {
    /// The place of `name` in `members`, which have only grown at their end since the last call.
    pub(crate) fn find(&mut self, members: &[Member<'a>], name: &str) -> Option<usize> {
        if members.len() <= FEW {
            return members.iter().position(|(key, _)| key == name);
        }
        for (place, (key, _)) in members.iter().enumerate().skip(self.0.len()) {
            self.0.insert(key.clone(), place);
        }
        self.0.get(name).copied()
    }
}

/// Value equality of two JSON objects: numbers as numbers, `null` as missing.
pub(crate) fn same_object(left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    let covered = |a: &Map<String, Value>, b: &Map<String, Value>| {
        a.iter()
            .all(|(name, value)| same_value(value, b.get(name).unwrap_or(&Value::Null)))
    };
    covered(left, right) && covered(right, left)
}

/// Value equality of two JSON values: numbers as numbers, `null` as missing.
pub(crate) fn same_value(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => same_object(a, b),
        _ => left == right,
    }
}

/// Appends `text` as a JSON string in its shortest spelling: for stores and transports that print JSON from parts.
///
/// ```
/// let mut out = String::new();
/// synctable_core::push_json_text(&mut out, "two\nlines");
/// assert_eq!(out, r#""two\nlines""#);
/// ```
pub fn push_json_text(out: &mut String, text: &str) {
    // Counted and not searched for, so that many bytes are looked at in one step.
    let is_special = |byte: u8| matches!(byte, 0..b' ' | b'"' | b'\\');
    out.push('"');
    let specials = text.bytes().filter(|byte| is_special(*byte)).count();
    out.reserve(text.len() + specials + 1);
    let mut rest = text;
    for _ in 0..specials {
        // What stands between them goes as a whole. All are one byte long.
        let at = rest.bytes().position(is_special).unwrap_or(rest.len());
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = from.chars();
        if let Some(c) = chars.next() {
            push_json_char(out, c);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Appends a character of a JSON string in its shortest spelling.
pub(super) fn push_json_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c < ' ' => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// Joins members to the text of a JSON object.
pub(crate) fn body_text(members: &[(Cow<'_, str>, &str)]) -> String {
    let length: usize = members
        .iter()
        .map(|(name, text)| name.len() + text.len() + 4)
        .sum();
    let mut out = String::with_capacity(length + 2);
    out.push('{');
    for (index, (name, text)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_json_text(&mut out, name);
        out.push(':');
        out.push_str(text);
    }
    out.push('}');
    out
}

/// Splits the text of a JSON object into members; text that is no object has none.
pub(crate) fn members_of(body: &str) -> Vec<(Cow<'_, str>, &str)> {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    deserializer
        .deserialize_map(MembersVisitor)
        .unwrap_or_default()
}

/// A borrowed or owned text: JSON strings borrow where they have no escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Cow<'de, str>, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            let raw: &'de RawValue = map.next_value()?;
            members.push((name, raw.get()));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_printed_as_others_print_it(
            text in vec(prop_oneof![any::<char>(), (0..0x80_u8).prop_map(char::from)], 0..40),
        ) {
            let text: String = text.into_iter().collect();
            let mut out = String::new();
            push_json_text(&mut out, &text);
            prop_assert_eq!(out, serde_json::to_string(&text).unwrap());
        }
    }
}
