//! Reading records from text: what is accepted, and what is refused before it enters a store.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::members::{Member, Places, Text, body_text};
use super::shortest::shortest;
use super::{Record, RecordError, SystemProperties};
use crate::name::{RecordId, Version};
use crate::timestamp::Timestamp;

/// A record that may still lack its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The id, where the text had one.
    pub id: Option<RecordId>,
    /// The other system properties of the text.
    pub system: SystemProperties,
    pub(super) body: Arc<str>,
}

impl Default for Draft {
    /// No id, no members.
    fn default() -> Self {
        Self {
            id: None,
            system: SystemProperties::default(),
            body: "{}".into(),
        }
    }
}

impl Draft {
    /// Reads JSON text. Of a member that occurs twice the last one counts; an `id` of `null` or `""` is none. Strings get their shortest
    /// spelling, so that text which a program escaped is stored as people wrote it.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let mut draft = Self::as_written(text)?;
        if let Cow::Owned(short) = shortest(&draft.body) {
            draft.body = short.into();
        }
        Ok(draft)
    }

    /// The same with strings as they are written: what comes from a store is compared with what is there.
    pub(super) fn as_written(text: &str) -> Result<Self, RecordError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let parts = deserializer
            .deserialize_map(PartsVisitor)
            .map_err(RecordError::json)?;
        deserializer.end().map_err(RecordError::json)?;
        parts.into_draft()
    }

    /// Writes `value` as JSON and reads it as a record; it must serialise as an object.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, RecordError> {
        Self::from_json(&serde_json::to_string(value).map_err(RecordError::json)?)
    }

    /// The record with the id it has, or else with `id`.
    pub fn or_id(self, id: impl FnOnce() -> RecordId) -> Record {
        Record {
            id: self.id.unwrap_or_else(id),
            system: self.system,
            body: self.body,
            revision: None,
        }
    }

    /// The record with the id it has.
    pub(super) fn into_record(self) -> Result<Record, RecordError> {
        match self.id {
            Some(id) => Ok(Record {
                id,
                system: self.system,
                body: self.body,
                revision: None,
            }),
            None => Err(RecordError::NoId),
        }
    }

    /// The record `id`, which must be the id of this draft where it has one: an id in the text that would be dropped is a mistake.
    pub fn for_id(self, id: &RecordId) -> Result<Record, RecordError> {
        self.check_id(id)?;
        Ok(self.or_id(|| id.clone()))
    }

    /// Refuses the draft as one of the record `id` if it has another id.
    pub fn check_id(&self, id: &RecordId) -> Result<(), RecordError> {
        match &self.id {
            Some(given) if given != id => Err(RecordError::AnotherId {
                id: id.clone(),
                given: given.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The members other than system properties, as the text of a JSON object.
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// A record text split into system properties and members, not yet judged.
#[derive(Default)]
struct Parts<'a> {
    id: Option<&'a str>,
    version: Option<&'a str>,
    created_at: Option<&'a str>,
    updated_at: Option<&'a str>,
    deleted: Option<&'a str>,
    members: Vec<Member<'a>>,
    places: Places<'a>,
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
        let mut parts = Parts::default();
        while let Some(Text(name)) = map.next_key()? {
            let raw: &'de RawValue = map.next_value()?;
            let text = raw.get();
            match name.as_ref() {
                "id" => parts.id = Some(text),
                "version" => parts.version = Some(text),
                "createdAt" => parts.created_at = Some(text),
                "updatedAt" => parts.updated_at = Some(text),
                "deleted" => parts.deleted = Some(text),
                _ => {
                    check_value(text).map_err(A::Error::custom)?;
                    parts.push_member(name, text);
                }
            }
        }
        Ok(parts)
    }
}

impl<'a> Parts<'a> {
    fn push_member(&mut self, name: Cow<'a, str>, text: &'a str) {
        let place = self.places.find(&self.members, &name);
        match place.and_then(|place| self.members.get_mut(place)) {
            Some(slot) => slot.1 = text,
            None => self.members.push((name, text)),
        }
    }

    fn into_draft(self) -> Result<Draft, RecordError> {
        let id = match optional::<Text>(self.id, "id", "text")? {
            Some(Text(text)) if !text.is_empty() => Some(RecordId::new(&text)?),
            _ => None,
        };
        let time = |text, property| {
            let expected = "a date-time with offset such as 2026-01-31T12:00:00.000Z";
            optional::<Timestamp>(text, property, expected)
        };
        let system = SystemProperties {
            version: optional::<Text>(self.version, "version", "text")?
                .map(|text| Version::new(&text.0)),
            created_at: time(self.created_at, "createdAt")?,
            updated_at: time(self.updated_at, "updatedAt")?,
            deleted: optional(self.deleted, "deleted", "true or false")?.unwrap_or(false),
        };
        Ok(Draft {
            id,
            system,
            body: body_text(&self.members).into(),
        })
    }
}

fn optional<'a, T: Deserialize<'a>>(
    text: Option<&'a str>,
    property: &'static str,
    expected: &'static str,
) -> Result<Option<T>, RecordError> {
    match text {
        None => Ok(None),
        Some(text) => {
            serde_json::from_str(text).map_err(|_| RecordError::Property { property, expected })
        }
    }
}

/// Refuses what the raw reader lets through: numbers beyond `f64`, lone surrogates, nesting beyond 128.
fn check_value(text: &str) -> Result<(), serde_json::Error> {
    let plain = match text.as_bytes().first() {
        Some(b'{' | b'[') => false,
        // Searching for one byte is a tenth of searching for two.
        Some(b'"') => !text.contains('\\') || !text.contains("\\u"),
        Some(b'-' | b'0'..=b'9') => text.len() <= 15 && !text.contains(['e', 'E']),
        _ => true,
    };
    if plain {
        Ok(())
    } else {
        serde_json::from_str::<Checked>(text).map(|_| ())
    }
}

/// Visits a whole value without keeping it, decoding every text and number on the way.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
        while seq.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
        while map.next_entry::<Text<'de>, Checked>()?.is_some() {}
        Ok(Checked)
    }
}
