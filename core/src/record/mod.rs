//! A record: its system properties parsed, everything else as the JSON text it came with.

mod by_value;
mod draft;
mod json;
mod members;
mod revision;
mod shortest;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

pub use draft::Draft;
pub use members::push_json_text;
pub(crate) use members::{Member, Places, body_text, members_of, same_object, same_value};
pub use revision::Revision;

use shortest::shortest;

use crate::name::{NameError, RecordId, Version};
use crate::timestamp::Timestamp;
use crate::words::json_error;

/// The names of the system properties, which every record may carry beside its own members.
pub const SYSTEM_PROPERTIES: [&str; 5] = ["id", "version", "createdAt", "updatedAt", "deleted"];

/// Text that is not a record.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not a JSON object, or one with a number or text that JSON tools cannot hold (`1e400`, a lone surrogate).
    #[error("not a JSON object that can be stored: {0}")]
    Json(#[source] serde_json::Error),
    /// The `id` is missing where one is needed.
    #[error("the record has no 'id'")]
    NoId,
    /// The text is given as that of one record, but has the id of another one.
    #[error(
        "the record is '{id}', but the JSON has the id '{given}'; leave the id out, or name the other record"
    )]
    AnotherId {
        /// The record that the text is given for.
        id: RecordId,
        /// The id in the text.
        given: RecordId,
    },
    /// The `id` breaks the rule for ids.
    #[error(transparent)]
    Id(#[from] NameError),
    /// A system property has a value of another type.
    #[error("the property '{property}' must be {expected}")]
    Property {
        /// Which property.
        property: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl RecordError {
    /// An error of JSON with bounded words.
    pub(crate) fn json(error: serde_json::Error) -> Self {
        Self::Json(json_error(error))
    }
}

/// One row of a table.
///
/// System properties (`id`, `version`, `createdAt`, `updatedAt`, `deleted`) are parsed; all other members
/// stay the text they came with, so unknown members and the spelling of numbers survive exactly, and strings in their shortest spelling.
/// Cloning is cheap.
///
/// ```
/// use synctable_core::Record;
/// let record = Record::from_json(r#"{"id":"a","title":"Milk","price":1.50}"#).unwrap();
/// assert_eq!(record.id().as_str(), "a");
/// assert_eq!(record.body(), r#"{"title":"Milk","price":1.50}"#);
/// ```
#[derive(Clone)]
pub struct Record {
    id: RecordId,
    system: SystemProperties,
    body: Arc<str>,
    /// No part of what the record says: two that say the same are equal.
    revision: Option<Revision>,
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.system == other.system && self.body == other.body
    }
}

impl Eq for Record {}

/// The system properties other than the id. Serialised, they keep all that they say: for stores that have no columns for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemProperties {
    /// The server's version, absent on a record that was never at a server.
    pub version: Option<Version>,
    /// When the server made the record.
    pub created_at: Option<Timestamp>,
    /// When the server last changed the record.
    pub updated_at: Option<Timestamp>,
    /// True on a tombstone: the record is deleted but the server still lists it.
    pub deleted: bool,
}

impl Record {
    /// A record from its id and the text of a JSON object. System properties in the text are taken over, an id in it is not.
    pub fn new(id: RecordId, json: &str) -> Result<Self, RecordError> {
        let draft = Draft::from_json(json)?;
        Ok(Self {
            id,
            system: draft.system,
            body: draft.body,
            revision: None,
        })
    }

    /// Reads JSON text with an `id`.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        Draft::from_json(text)?.into_record()
    }

    /// A record from parts that a store kept. `body` must be what [`body`](Self::body) gave; it is not parsed again.
    pub fn from_stored(id: RecordId, system: SystemProperties, body: impl Into<Arc<str>>) -> Self {
        Self {
            id,
            system,
            body: body.into(),
            revision: None,
        }
    }

    /// This record as a store has it, at that revision.
    #[must_use]
    pub fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// What the store that the record was read from calls this state of it; `None` on a record that was not read from a store, or was
    /// changed since. It is no part of the record: it does not count when records are compared, and is not in their JSON.
    pub fn revision(&self) -> Option<&Revision> {
        self.revision.as_ref()
    }

    /// The id.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// The system properties other than the id.
    pub fn system(&self) -> &SystemProperties {
        &self.system
    }

    /// The server's version, if the record was ever at a server.
    pub fn version(&self) -> Option<&Version> {
        self.system.version.as_ref()
    }

    /// When the server last changed the record.
    pub fn updated_at(&self) -> Option<Timestamp> {
        self.system.updated_at
    }

    /// True on a tombstone.
    pub fn is_deleted(&self) -> bool {
        self.system.deleted
    }

    /// True for a record that no server was seen to have.
    pub(crate) fn is_new(&self) -> bool {
        self.system.version.is_none() && self.system.updated_at.is_none()
    }

    /// The record of a row that the server does not have any more.
    pub(crate) fn tombstone(id: &RecordId) -> Self {
        let system = SystemProperties {
            deleted: true,
            ..SystemProperties::default()
        };
        Self::from_stored(id.clone(), system, "{}")
    }

    /// A record that is not a tombstone.
    pub(crate) fn live(record: Option<&Self>) -> Option<Self> {
        record.filter(|record| !record.is_deleted()).cloned()
    }

    /// The members other than system properties, as the text of a JSON object.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// This record with other system properties.
    #[must_use]
    pub fn with_system(mut self, system: SystemProperties) -> Self {
        self.system = system;
        self.revision = None;
        self
    }

    /// This record under another id.
    #[must_use]
    pub fn with_id(mut self, id: RecordId) -> Self {
        self.id = id;
        self.revision = None;
        self
    }

    /// This record with the members (not the system properties) of `other`.
    #[must_use]
    pub fn with_body_of(mut self, other: &Self) -> Self {
        self.body = Arc::clone(&other.body);
        self.revision = None;
        self
    }

    /// The whole record as one JSON object: `id`, the system properties that are set, `deleted`, then the members.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(self.body.len() + 160);
        out.push_str("{\"id\":");
        push_json_text(&mut out, self.id.as_str());
        if let Some(version) = &self.system.version {
            out.push_str(",\"version\":");
            push_json_text(&mut out, version.as_str());
        }
        if let Some(time) = self.system.created_at {
            let _ = write!(out, ",\"createdAt\":\"{time}\"");
        }
        if let Some(time) = self.system.updated_at {
            let _ = write!(out, ",\"updatedAt\":\"{time}\"");
        }
        let _ = write!(out, ",\"deleted\":{}", self.system.deleted);
        match self.body.strip_prefix('{') {
            Some("}") | None => out.push('}'),
            Some(rest) => {
                out.push(',');
                out.push_str(rest);
            }
        }
        out
    }

    /// Reads the record into any serde type. The type sees the system properties under their JSON names too.
    ///
    /// ```
    /// # use synctable_core::Record;
    /// #[derive(serde::Deserialize)]
    /// struct Todo { id: String, title: String }
    /// let record = Record::from_json(r#"{"id":"a","title":"Milk"}"#).unwrap();
    /// let todo: Todo = record.to().unwrap();
    /// assert_eq!((todo.id.as_str(), todo.title.as_str()), ("a", "Milk"));
    /// ```
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.to_json())
    }

    /// The members other than system properties, in order: name and JSON text.
    pub fn members(&self) -> Vec<(Cow<'_, str>, &str)> {
        members_of(&self.body)
    }

    /// The value of one member other than a system property; `None` where it is missing.
    pub fn member(&self, name: &str) -> Option<Value> {
        let (_, text) = self.members().into_iter().find(|(key, _)| key == name)?;
        serde_json::from_str(text).ok()
    }

    /// The members other than system properties, as a tree.
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// This record with the members of `changes` put over its own: present members keep their place, new
    /// ones follow. System properties and the id stay as they are.
    #[must_use]
    pub fn patched(&self, changes: &Draft) -> Self {
        self.overlaid(&changes.body)
    }

    /// As [`patched`](Self::patched), with the members of an object.
    pub(crate) fn overlaid(&self, body: &str) -> Self {
        let mut members = self.members();
        let mut places = Places::default();
        for (name, text) in members_of(body) {
            let place = places.find(&members, &name);
            match place.and_then(|place| members.get_mut(place)) {
                Some(slot) => slot.1 = text,
                None => members.push((name, text)),
            }
        }
        Self {
            id: self.id.clone(),
            system: self.system.clone(),
            body: body_text(&members).into(),
            revision: None,
        }
    }

    /// The record as JSON with only the members named, in the order named; a missing one is `null`.
    /// System properties count as members here.
    pub fn to_json_selected(&self, names: &[String]) -> String {
        let members = self.members();
        // Where many are asked for, looking for each among all would take as long as both numbers together.
        let mut places = HashMap::new();
        for (name, json) in members.iter().rev().filter(|_| names.len() > 8) {
            places.insert(&**name, *json);
        }
        let member = |name: &str| {
            if places.is_empty() {
                members.iter().find(|(key, _)| key == name).map(|m| m.1)
            } else {
                places.get(name).copied()
            }
        };
        let mut out = String::from("{");
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_json_text(&mut out, name);
            out.push(':');
            let time = |time: Option<Timestamp>| time.map_or("null".into(), |t| format!("\"{t}\""));
            match name.as_str() {
                "id" => push_json_text(&mut out, self.id.as_str()),
                "version" => match &self.system.version {
                    Some(version) => push_json_text(&mut out, version.as_str()),
                    None => out.push_str("null"),
                },
                "createdAt" => out.push_str(&time(self.system.created_at)),
                "updatedAt" => out.push_str(&time(self.system.updated_at)),
                "deleted" => out.push_str(if self.system.deleted { "true" } else { "false" }),
                _ => out.push_str(member(name).unwrap_or("null")),
            }
        }
        out.push('}');
        out
    }

    /// True when both are equal but for the spelling of strings: earlier releases kept them as they came.
    pub(crate) fn is_same_text(&self, other: &Self) -> bool {
        self == other
            || self.id == other.id
                && self.system == other.system
                && shortest(&self.body) == shortest(&other.body)
    }

    /// True when both are equal by value: the system properties as they are, members as JSON values, numbers digit by digit.
    pub(crate) fn is_same_value(&self, other: &Self) -> bool {
        self.id == other.id
            && self.system == other.system
            && by_value::same_json(&self.body, &other.body)
    }

    /// True when both records have the same members by value: numbers compared as numbers, the order of
    /// members ignored, `null` the same as missing. System properties and ids do not count.
    pub fn same_members(&self, other: &Self) -> bool {
        if self.body == other.body {
            return true;
        }
        same_object(&self.to_map(), &other.to_map())
    }
}

impl fmt::Debug for Record {
    /// Shows the id and version only: contents stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("version", &self.system.version)
            .field("deleted", &self.system.deleted)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_system_properties_from_members_and_keeps_text() {
        let text = r#"{"b":1.50,"id":"x","version":"v","updatedAt":"2026-01-01T00:00:00.1Z","deleted":true,"a":[ 1, {"n":null} ],"big":12345678901234567890}"#;
        let record = Record::from_json(text).unwrap();
        assert_eq!(
            record.body(),
            r#"{"b":1.50,"a":[ 1, {"n":null} ],"big":12345678901234567890}"#
        );
        assert_eq!(record.version().unwrap().as_str(), "v");
        assert!(record.is_deleted());
        let again = Record::from_json(&record.to_json()).unwrap();
        assert_eq!(again, record);
        assert_eq!(serde_json::to_string(&record).unwrap(), record.to_json());
        assert_eq!(
            serde_json::from_str::<Record>(&record.to_json()).unwrap(),
            record
        );
    }

    #[test]
    fn the_last_of_two_equal_members_counts() {
        let record = Record::from_json(r#"{"id":"x","a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(record.body(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn records_of_many_members_keep_each_once() {
        let members: Vec<String> = (0..2000)
            .map(|n| format!(r#""m{}":{n}"#, n % 500))
            .collect();
        let record = Record::from_json(&format!(r#"{{"id":"x",{}}}"#, members.join(","))).unwrap();
        assert_eq!(record.members().len(), 500);
        assert_eq!(record.member("m7"), Some(1507.into()));
        let changes = Draft::from_json(r#"{"m499":0,"new":1}"#).unwrap();
        let patched = record.patched(&changes);
        assert_eq!(patched.members().len(), 501);
        assert_eq!(patched.member("m499"), Some(0.into()));
    }

    #[test]
    fn refuses_what_cannot_be_stored() {
        let deep = format!(
            r#"{{"id":"x","a":{}{}}}"#,
            "[".repeat(1000),
            "]".repeat(1000)
        );
        for bad in [
            r#"{"id":"x","a":1e400}"#,
            r#"{"id":"x","a":[1e400]}"#,
            r#"{"id":"x","a":"\ud800"}"#,
            "[]",
            "1",
            "",
            r#"{"id":1}"#,
            r#"{"id":"x"} x"#,
            r#"{"id":"a/b"}"#,
            r#"{"id":"x","version":1}"#,
            r#"{"id":"x","updatedAt":"yesterday"}"#,
            r#"{"id":"x","deleted":"no"}"#,
            r#"{"a":1}"#,
            r#"{"id":"x","a":NaN}"#,
            &deep,
        ] {
            assert!(Record::from_json(bad).is_err(), "{bad:.40}");
        }
    }

    #[test]
    fn patch_keeps_places_and_system_properties() {
        let record = Record::from_json(r#"{"id":"x","version":"v","a":1,"b":2}"#).unwrap();
        let patched =
            record.patched(&Draft::from_json(r#"{"b":null,"c":3,"version":"w"}"#).unwrap());
        assert_eq!(
            patched.to_json(),
            r#"{"id":"x","version":"v","deleted":false,"a":1,"b":null,"c":3}"#
        );
    }

    #[test]
    fn members_compare_by_value() {
        let record = |body| Record::new(RecordId::new("x").unwrap(), body).unwrap();
        assert!(record(r#"{"a":1,"b":null}"#).same_members(&record(r#"{"a":1.0}"#)));
        assert!(
            record(r#"{"a":{"y":1,"x":[2e0]}}"#).same_members(&record(r#"{"a":{"x":[2],"y":1}}"#))
        );
        assert!(
            !record(r#"{"a":9007199254740993}"#).same_members(&record(r#"{"a":9007199254740992}"#))
        );
        assert!(!record(r#"{"a":"1"}"#).same_members(&record(r#"{"a":1}"#)));
    }
}
