//! Answers that leave out what the client has sent itself, where it asked for that (`Prefer: return=minimal`).

use std::borrow::Cow;
use std::fmt;

use http::header::ETAG;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use synctable_core::SYSTEM_PROPERTIES;
use synctable_wire::header;

use crate::respond::Response;

const PREFER: HeaderName = HeaderName::from_static(header::PREFER);

/// Whether the client has what it sent, and need not be told it.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter();
    let mut wishes = values.filter_map(|value| value.to_str().ok());
    wishes.any(|wishes| {
        let mut each = wishes.split([',', ';']);
        each.any(|wish| wish.trim().eq_ignore_ascii_case(header::PREFER_MINIMAL))
    })
}

/// The members of the record in an answer that the client cannot know; `None` where these would not make the very same record of what it sent.
///
/// What the client sent itself has to be stored as it came: all of it, in its order, what was added behind it.
pub(super) fn of(sent: &[u8], answer: &Response) -> Option<String> {
    if !matches!(answer.status(), StatusCode::OK | StatusCode::CREATED) {
        return None;
    }
    let sent: Members = serde_json::from_slice(sent).ok()?;
    let told: Members = serde_json::from_slice(answer.body()).ok()?;
    if sent.get("id")? != told.get("id")? {
        return None;
    }
    let mut added = told.own();
    for member in sent.own() {
        if added.next() != Some(member) {
            return None;
        }
    }
    let version = answer.headers().contains_key(ETAG);
    let ours = told
        .0
        .iter()
        .filter(|(name, _)| is_system(name) && name != "id" && !(version && name == "version"));
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
    use crate::respond;

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
            let answer = respond::json(StatusCode::OK, stored.to_owned());
            assert_eq!(of(sent.as_bytes(), &answer).as_deref(), told, "{sent}");
            let refused = respond::json(StatusCode::CONFLICT, stored.to_owned());
            assert_eq!(of(sent.as_bytes(), &refused), None);
        }
        let mut answer = respond::json(
            StatusCode::CREATED,
            r#"{"id":"a","version":"v"}"#.to_owned(),
        );
        answer
            .headers_mut()
            .insert(ETAG, HeaderValue::from_static("\"v\""));
        assert_eq!(of(br#"{"id":"a"}"#, &answer).as_deref(), Some("{}"));
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
