//! Answers that leave out what the client has sent itself, where it asked for that (`Prefer: return=minimal`).

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use synctable_core::{Record, SYSTEM_PROPERTIES};
use synctable_wire::header;

use crate::dialect::Dialect;
use crate::handler::Call;

const PREFER: HeaderName = HeaderName::from_static(header::PREFER);

/// Whether the client has what it sent, and need not be told it.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter();
    let mut wishes = values.filter_map(|value| value.to_str().ok());
    wishes.any(|wishes| {
        let mut each = wishes.split([',', ';']);
        each.any(|wish| wish.trim().eq_ignore_ascii_case(header::PREFER_MINIMAL))
    })
}

/// The members of a record that the client cannot know, else all of the record. `has_tag` says that the version is told beside.
pub(crate) fn or_whole(call: &Call<'_>, record: &Record, has_tag: bool) -> Result<String, String> {
    let is_stored_alone = call.dialect() == Dialect::Toolkit && has_tag;
    if is_stored_alone && is_as_sent(call.body, record) {
        // Most are: there is nothing to compare member by member.
        let time = record.updated_at();
        let time = time.map_or_else(String::new, |time| format!(r#""updatedAt":"{time}","#));
        return Ok(format!(r#"{{{time}"deleted":{}}}"#, record.is_deleted()));
    }
    let whole = call.print(record, None);
    of(call.body, &whole, has_tag).ok_or(whole)
}

/// Whether a record was sent as our own client sends it, and stored as it was sent: its id, and its own members as they were written.
fn is_as_sent(sent: &[u8], record: &Record) -> bool {
    let id = record.id().as_str();
    let rest = || {
        let rest = sent.strip_prefix(br#"{"id":""#)?;
        rest.strip_prefix(id.as_bytes())?.strip_prefix(b"\"")
    };
    let members = record.body().strip_prefix('{').unwrap_or_default();
    let is_plain = !id.contains(['"', '\\']);
    is_plain
        && rest().is_some_and(|rest| match rest.strip_prefix(b",") {
            Some(rest) => rest == members.as_bytes() && members != "}",
            None => rest == b"}" && members == "}",
        })
}

/// The members of the record in an answer that the client cannot know; `None` where these would not make the very same record of what it sent.
///
/// What the client sent itself has to be stored as it came: all of it, in its order, what was added behind it.
fn of(sent: &[u8], told: &str, has_tag: bool) -> Option<String> {
    let sent: Members = serde_json::from_slice(sent).ok()?;
    let told: Members = serde_json::from_str(told).ok()?;
    if sent.get("id")? != told.get("id")? {
        return None;
    }
    let mut added = told.own();
    for member in sent.own() {
        if added.next() != Some(member) {
            return None;
        }
    }
    let ours = told
        .0
        .iter()
        .filter(|(name, _)| is_system(name) && name != "id" && !(has_tag && name == "version"));
    let ours = ours.map(|(name, value)| (&**name, value.get()));
    let members: Vec<String> = ours
        .chain(added)
        .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name)))
        .collect();
    Some(format!("{{{}}}", members.join(",")))
}

fn is_system(name: &str) -> bool {
    SYSTEM_PROPERTIES.contains(&name)
}

/// The members of an object in their order, as they are written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl Members<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name)?;
        Some(found.1.get())
    }

    /// Those that the client sets.
    fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        let members = self.0.iter().map(|(name, value)| (&**name, value.get()));
        members.filter(|(name, _)| !is_system(name))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(InOrder).map(Members)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_the_client_cannot_know_is_told() {
        let stored =
            r#"{"id":"a","t":"x","n":1.50,"deleted":false,"updatedAt":"2026","version":"v"}"#;
        for (sent, told) in [
            (
                r#"{"id":"a","t":"x","n":1.50}"#,
                Some(r#"{"deleted":false,"updatedAt":"2026","version":"v"}"#),
            ),
            // A default was added.
            (
                r#"{"id":"a","t":"x","version":"u"}"#,
                Some(r#"{"deleted":false,"updatedAt":"2026","version":"v","n":1.50}"#),
            ),
            // Another order, a member that is not kept, another spelling, twice, another record, none.
            (r#"{"id":"a","n":1.50,"t":"x"}"#, None),
            (r#"{"id":"a","n":1.50}"#, None),
            (r#"{"id":"a","t":"x","n":1.50,"m":0}"#, None),
            (r#"{"id":"a","t":"x","n":1.5}"#, None),
            (r#"{"id":"a","t":"x","t":"x","n":1.50}"#, None),
            (r#"{"id":"b","t":"x","n":1.50}"#, None),
            (r#"{"t":"x","n":1.50}"#, None),
            ("", None),
        ] {
            assert_eq!(
                of(sent.as_bytes(), stored, false).as_deref(),
                told,
                "{sent}"
            );
        }
        let stored = r#"{"id":"a","version":"v"}"#;
        assert_eq!(of(br#"{"id":"a"}"#, stored, true).as_deref(), Some("{}"));
    }

    #[test]
    fn what_is_stored_as_it_was_sent_is_seen_at_once() {
        for (sent, stored, same) in [
            (
                r#"{"id":"a","n":1.50}"#,
                r#"{"id":"a","version":"v","n":1.50}"#,
                true,
            ),
            (r#"{"id":"a"}"#, r#"{"id":"a"}"#, true),
            (r#"{"id":"a",}"#, r#"{"id":"a"}"#, false),
            (r#"{"id":"a","n":1.5}"#, r#"{"id":"a","n":1.50}"#, false),
            (r#"{"id":"a","n":1}"#, r#"{"id":"a","n":1,"m":2}"#, false),
            (r#"{"id":"a","n":1}"#, r#"{"id":"a"}"#, false),
            (r#"{"id":"a"}"#, r#"{"id":"a","n":1}"#, false),
            (r#"{"id":"b","n":1}"#, r#"{"id":"a","n":1}"#, false),
            (r#"{"n":1,"id":"a"}"#, r#"{"id":"a","n":1}"#, false),
            (
                r#"{"id":"a","deleted":false,"n":1}"#,
                r#"{"id":"a","n":1}"#,
                false,
            ),
            // Not the id that it looks like.
            (r#"{"id":"a\","n":1}"#, r#"{"id":"a","n":1}"#, false),
            ("", r#"{"id":"a"}"#, false),
        ] {
            let record = Record::from_json(stored).unwrap();
            assert_eq!(is_as_sent(sent.as_bytes(), &record), same, "{sent}");
        }
    }

    #[test]
    fn it_has_to_be_asked_for() {
        for (value, asked) in [
            ("return=minimal", true),
            ("odata.continue-on-error, Return=Minimal", true),
            ("return=representation", false),
            ("odata.continue-on-error", false),
        ] {
            let headers = HeaderMap::from_iter([(PREFER, HeaderValue::from_static(value))]);
            assert_eq!(is_asked_for(&headers), asked, "{value}");
        }
        assert!(!is_asked_for(&HeaderMap::new()));
    }
}
