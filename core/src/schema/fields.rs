//! The list of declared fields, and what is declared about a field beside its type.

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::FieldType;

/// A list of declared fields; a JSON object that keeps its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(pub(super) Vec<Field>);

/// A declared field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) ty: FieldType,
    pub(super) options: FieldOptions,
}

/// What is declared about a field beside its type. In a schema file it stands with the type:
///
/// ```
/// # use synctable_core::{Declarations, FieldOptions, TableName};
/// let tables = Declarations::from_json(r#"{"tables": {"todoitem": {"fields": {
///     "title": {"type": "string", "required": true, "maxLength": 50},
///     "complete": {"type": "boolean", "default": false},
///     "code": {"type": "string", "unique": true},
///     "mood": {"enum": ["Calm", "Happy"], "default": "Calm"}}}}}"#).unwrap();
/// let table = tables.table(&TableName::new("todoitem").unwrap()).unwrap();
/// let declared = FieldOptions::new().with_default(false);
/// assert_eq!(table.schema.fields.options("complete"), Some(&declared));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FieldOptions {
    /// A record must have a value: the field is neither missing nor `null`, and text is not blank.
    #[serde(skip_serializing_if = "is_false")]
    pub required: bool,
    /// What a new or replaced record gets that lacks the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The most characters of a text, each that UTF-16 writes as two counted as two, as servers of .NET count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// Server: no two records have the same value. Records without a value and tombstones do not count.
    #[serde(skip_serializing_if = "is_false")]
    pub unique: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

impl FieldOptions {
    /// Nothing beside the type.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value is required.
    #[must_use]
    pub fn with_required(mut self) -> Self {
        self.required = true;
        self
    }

    /// With a value for records that lack the field.
    #[must_use]
    pub fn with_default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// With the most characters of a text.
    #[must_use]
    pub fn with_max_length(mut self, length: u32) -> Self {
        self.max_length = Some(length);
        self
    }

    /// Each value may be there once.
    #[must_use]
    pub fn with_unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Why a field of type `ty` cannot be declared so.
    pub(super) fn misfit(&self, ty: &FieldType) -> Option<&'static str> {
        let default = self.default.as_ref().map(Value::to_string);
        if default.as_ref().is_some_and(|text| !ty.fits(text)) {
            return Some("the default does not fit the type");
        }
        if default.as_ref().is_some_and(|text| self.is_too_long(text)) {
            return Some("the default is longer than 'maxLength'");
        }
        if self.required && default.as_ref().is_some_and(|text| is_nothing(text)) {
            return Some("a value is required, and the default is blank");
        }
        if self.max_length.is_some() && *ty != FieldType::String {
            return Some("only text has a 'maxLength'");
        }
        if self.unique && default.is_some() {
            return Some("values that are unique cannot have a default");
        }
        if self.unique && matches!(ty, FieldType::Json | FieldType::GeoPoint) {
            return Some("values of this type cannot be unique");
        }
        None
    }

    /// True for the JSON text of a value that is longer than declared.
    pub(super) fn is_too_long(&self, text: &str) -> bool {
        let Some(most) = self.max_length.and_then(|most| usize::try_from(most).ok()) else {
            return false;
        };
        // No character takes more UTF-16 units than it takes bytes of JSON.
        text.len() > most
            && serde_json::from_str::<String>(text)
                .is_ok_and(|text| text.encode_utf16().count() > most)
    }
}

/// True for the JSON text of `null` and of blank text.
pub(super) fn is_nothing(text: &str) -> bool {
    text == "null"
        || text.starts_with('"')
            && serde_json::from_str::<String>(text).is_ok_and(|text| text.trim().is_empty())
}

impl Fields {
    /// The type of a field.
    pub fn get(&self, name: &str) -> Option<&FieldType> {
        self.find(name).map(|field| &field.ty)
    }

    /// What is declared about a field beside its type.
    pub fn options(&self, name: &str) -> Option<&FieldOptions> {
        self.find(name).map(|field| &field.options)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name == name)
    }

    /// Names and types in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &FieldType)> {
        self.0.iter().map(|field| (field.name.as_str(), &field.ty))
    }

    /// The names of the fields whose values are unique.
    pub fn unique(&self) -> impl Iterator<Item = &str> {
        let unique = self.0.iter().filter(|field| field.options.unique);
        unique.map(|field| field.name.as_str())
    }

    /// Names and defaults of the fields that have one, in order.
    pub fn defaults(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0
            .iter()
            .filter_map(|field| Some((field.name.as_str(), field.options.default.as_ref()?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when no field is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for field in &self.0 {
            map.serialize_entry(&field.name, field)?;
        }
        map.end()
    }
}

/// A field without options is written as its type alone, which older releases read, too.
impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
            ty: Option<&'a FieldType>,
            #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
            words: Option<&'a [String]>,
            #[serde(flatten)]
            options: &'a FieldOptions,
        }
        if self.options == FieldOptions::default() {
            return self.ty.serialize(serializer);
        }
        let (ty, words) = match &self.ty {
            FieldType::Enum(words) => (None, Some(words.as_slice())),
            ty => (Some(ty), None),
        };
        Written {
            ty,
            words,
            options: &self.options,
        }
        .serialize(serializer)
    }
}

impl Field {
    /// The field as it stands in a schema: its type, or an object with type and options.
    fn read(name: String, declared: Value) -> Result<Self, String> {
        let in_field = |error: serde_json::Error| format!("the field '{name}': {error}");
        let mut members = match declared {
            Value::Object(members) => members,
            ty => {
                let ty = serde_json::from_value(ty).map_err(in_field)?;
                return Ok(Self {
                    name,
                    ty,
                    options: FieldOptions::default(),
                });
            }
        };
        let ty = match (members.remove("type"), members.remove("enum")) {
            (Some(ty), None) => ty,
            (None, Some(words)) => serde_json::json!({ "enum": words }),
            _ => return Err(format!("the field '{name}': give a 'type' or an 'enum'")),
        };
        let ty = serde_json::from_value(ty).map_err(in_field)?;
        let options = serde_json::from_value(Value::Object(members)).map_err(in_field)?;
        Ok(Self { name, ty, options })
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of field names and types")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, declared)) = map.next_entry::<String, Value>()? {
                    fields.push(Field::read(name, declared).map_err(A::Error::custom)?);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_as_utf_16() {
        let options = FieldOptions::new().with_max_length(3);
        for (text, long) in [
            (r#""abc""#, false),
            (r#""abcd""#, true),
            (r#""\u00e4\u00f6\u00fc""#, false),
            (r#""😀a""#, false),
            (r#""😀ab""#, true),
            ("12345", false),
            ("null", false),
        ] {
            assert_eq!(options.is_too_long(text), long, "{text}");
        }
    }
}
