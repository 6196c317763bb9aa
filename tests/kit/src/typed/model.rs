//! The class of a table's records.

use synctable_core::{FieldType, TableSchema};

use super::members::{self, Member};
use super::refusal::pascal;
use super::{Flavour, Refusal, convert};

/// The typed members of a table's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    name: String,
    pub(super) members: Vec<Declared>,
}

/// A declared member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

/// The type of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Text, `null` by default.
    Text {
        /// The most UTF-16 units that it may have.
        most: Option<usize>,
        /// It may be neither `null` nor blank.
        required: bool,
    },
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A floating point number of 64 bits.
    Double,
    /// A decimal number, which keeps its scale.
    Decimal,
    /// A point in time with an offset, `null` by default.
    Instant,
    /// A calendar date, `null` by default.
    Date,
    /// A time of day, `null` by default.
    Time,
    /// A GUID, `null` by default.
    Guid,
    /// Bytes as base64 text, `null` by default; not checked.
    Bytes,
    /// One of these words; the first one by default.
    Enum(Vec<String>),
    /// Any JSON, kept as it is, `null` by default.
    Json,
}

impl Kind {
    /// Text without limits.
    pub const TEXT: Self = Self::Text {
        most: None,
        required: false,
    };

    /// One of `words`.
    pub fn of(words: &[&str]) -> Self {
        Self::Enum(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn is_nullable(&self) -> bool {
        !matches!(
            self,
            Self::Bool | Self::Int32 | Self::Int64 | Self::Double | Self::Decimal | Self::Enum(_)
        )
    }
}

/// A record as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The id, where the text had one.
    pub id: Option<String>,
    /// The member `deleted`, where the text had it.
    pub deleted: Option<bool>,
    /// All declared members in their order, as the text of a JSON object.
    pub body: String,
}

impl Model {
    /// A class without members.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            members: Vec::new(),
        }
    }

    /// The class of tables that a [`TestServer::of_classes`](crate::engine::TestServer::of_classes) was told nothing about: what
    /// the stories and the simulator write, and members that they leave out.
    pub fn of_stories() -> Self {
        Self::new("Story")
            .with("n", Kind::Int32)
            .with("m", Kind::Int32)
            .with("text", Kind::TEXT)
            .with("log", Kind::Json)
            .with("done", Kind::Bool)
            .with("when", Kind::Instant)
            .with("uid", Kind::Guid)
            .with("mood", Kind::of(&["Calm", "Happy", "Angry"]))
            .with("more", Kind::Json)
    }

    /// With a member.
    #[must_use]
    pub fn with(mut self, name: &str, kind: Kind) -> Self {
        let nullable = kind.is_nullable();
        self.members.push(Declared {
            name: name.to_owned(),
            kind,
            nullable,
        });
        self
    }

    /// With a member that may be `null` and is so by default, whatever its type.
    #[must_use]
    pub fn with_nullable(self, name: &str, kind: Kind) -> Self {
        let mut model = self.with(name, kind);
        if let Some(member) = model.members.last_mut() {
            member.nullable = true;
        }
        model
    }

    /// The name of the class.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What queries on such records are judged by.
    pub fn schema(&self) -> TableSchema {
        self.members
            .iter()
            .fold(TableSchema::new(), |schema, member| {
                let ty = match &member.kind {
                    Kind::Text { .. } | Kind::Guid => FieldType::String,
                    Kind::Bool => FieldType::Boolean,
                    Kind::Int32 | Kind::Int64 => FieldType::Integer,
                    Kind::Double | Kind::Decimal => FieldType::Number,
                    Kind::Instant => FieldType::DateTime,
                    Kind::Date => FieldType::Date,
                    Kind::Time => FieldType::Time,
                    Kind::Bytes => FieldType::Bytes,
                    Kind::Enum(words) => FieldType::Enum(words.clone()),
                    Kind::Json => FieldType::Json,
                };
                schema.with_field(&member.name, ty)
            })
    }

    /// Reads a record. Members that are left out get their default, or keep what they have in `onto`: the body of a
    /// record that was taken before.
    pub fn take(&self, flavour: Flavour, json: &str, onto: Option<&str>) -> Result<Taken, Refusal> {
        let unreadable = |message| Refusal::Unreadable(String::new(), message);
        let sent = members::members_of(json).map_err(unreadable)?;
        let had = members::members_of(onto.unwrap_or("{}")).map_err(unreadable)?;
        let mut body = String::from("{");
        let mut invalid = Vec::new();
        for member in &self.members {
            let value = member.value(flavour, json, &sent, &had)?;
            if let Some(wrong) = member.broken_rule(&value) {
                invalid.push((member.name.clone(), wrong));
            }
            if body.len() > 1 {
                body.push(',');
            }
            body.push_str(&flavour.text(&member.name));
            body.push(':');
            body.push_str(&value);
        }
        body.push('}');
        if !invalid.is_empty() {
            return Err(Refusal::Invalid(invalid));
        }
        Ok(Taken {
            id: system(json, &sent, "id")?,
            deleted: system(json, &sent, "deleted")?,
            body,
        })
    }
}

impl Declared {
    /// The value in the server's spelling: what was sent, what the record had, or the default.
    fn value(
        &self,
        flavour: Flavour,
        json: &str,
        sent: &[Member<'_>],
        had: &[Member<'_>],
    ) -> Result<String, Refusal> {
        let Declared {
            name,
            kind,
            nullable,
        } = self;
        let Some(raw) = members::find(sent, name) else {
            return Ok(match members::find(had, name) {
                Some(kept) => kept.to_owned(),
                None if *nullable => "null".to_owned(),
                None => convert::default(flavour, kind),
            });
        };
        convert::value(flavour, name, (kind, *nullable), raw).map_err(|what| {
            let place = members::end_of(json, raw);
            Refusal::Unreadable(name.clone(), format!("{what}. Path '{name}', {place}."))
        })
    }
    /// What a value of the right type breaks.
    fn broken_rule(&self, value: &str) -> Option<String> {
        let Kind::Text { most, required } = self.kind else {
            return None;
        };
        let text: Option<String> = serde_json::from_str(value).unwrap_or_default();
        let name = pascal(&self.name);
        let text = text.unwrap_or_default();
        if required && text.trim().is_empty() {
            return Some(format!("The {name} field is required."));
        }
        let most = most.filter(|most| text.encode_utf16().count() > *most)?;
        Some(format!(
            "The field {name} must be a string with a maximum length of {most}."
        ))
    }
}

/// A system member of the record that was sent.
fn system<T: for<'de> serde::Deserialize<'de>>(
    json: &str,
    sent: &[Member<'_>],
    name: &str,
) -> Result<Option<T>, Refusal> {
    let Some(raw) = members::find(sent, name) else {
        return Ok(None);
    };
    serde_json::from_str(raw).map_err(|_| {
        let place = members::end_of(json, raw);
        let message = format!("Error converting value {raw}. Path '{name}', {place}.");
        Refusal::Unreadable(name.to_owned(), message)
    })
}
