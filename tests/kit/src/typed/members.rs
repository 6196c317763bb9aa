//! The members of a JSON object with their places in the text, as the older server names them in its refusals.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A member: its name, and the JSON text of its value as a part of the text it came in.
pub(super) type Member<'a> = (String, &'a str);

struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::deserialize(deserializer).map(Name)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            members.push((name.into_owned(), value.get()));
        }
        Ok(members)
    }
}

/// The members of an object in their order; what is wrong where there is none.
pub(super) fn members_of(text: &str) -> Result<Vec<Member<'_>>, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(Members);
    members
        .and_then(|members| deserializer.end().map(|()| members))
        .map_err(|_| match text.trim_start().chars().next() {
            None => "A non-empty request body is required.".to_owned(),
            Some('{') => {
                let place = place(text, text.len());
                format!("Unexpected end when reading JSON. Path '', {place}.")
            }
            Some(first) => format!(
                "Unexpected character encountered while parsing value: {first}. Path '', line 0, position 0."
            ),
        })
}

/// The last member of a name, in any case of its letters.
pub(super) fn find<'a>(members: &[Member<'a>], name: &str) -> Option<&'a str> {
    let named = members
        .iter()
        .rev()
        .find(|(found, _)| found.eq_ignore_ascii_case(name));
    named.map(|(_, value)| *value)
}

/// Where a value ends in the text that it is a part of: the line, and the UTF-16 units before it in the line.
pub(super) fn end_of(text: &str, value: &str) -> String {
    let end = value.as_ptr() as usize - text.as_ptr() as usize + value.len();
    place(text, end)
}

fn place(text: &str, end: usize) -> String {
    let before = text.get(..end).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    format!("line {line}, position {}", last.encode_utf16().count())
}
