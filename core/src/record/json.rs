//! Records in other texts: as one JSON object, strings as they are written.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::members::push_json_text;
use super::{Draft, Record};

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        if let Some(version) = &self.system.version {
            map.serialize_entry("version", version)?;
        }
        if let Some(time) = self.system.created_at {
            map.serialize_entry("createdAt", &time)?;
        }
        if let Some(time) = self.system.updated_at {
            map.serialize_entry("updatedAt", &time)?;
        }
        map.serialize_entry("deleted", &self.system.deleted)?;
        for (name, text) in self.members() {
            let raw: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(&name, raw)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = deserializer.deserialize_map(OwnedParts)?;
        // As it is written: the queue is read so.
        let draft = Draft::as_written(&parts).map_err(D::Error::custom)?;
        draft.into_record().map_err(D::Error::custom)
    }
}

/// Collects a record from any self-describing format as JSON text.
struct OwnedParts;

impl<'de> Visitor<'de> for OwnedParts {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut out = String::from("{");
        while let Some(name) = map.next_key::<String>()? {
            let raw: Box<RawValue> = map.next_value()?;
            if out.len() > 1 {
                out.push(',');
            }
            push_json_text(&mut out, &name);
            out.push(':');
            out.push_str(raw.get());
        }
        out.push('}');
        Ok(out)
    }
}
