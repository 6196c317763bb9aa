//! What the two servers say to a record that they cannot take.

use serde_json::Value;

use super::Flavour;

/// Why a record is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The values of members break rules of their class: the name of each member, and what is wrong with it.
    Invalid(Vec<(String, String)>),
    /// The text cannot be read as a record of the class: the member, empty for the whole, and what is wrong with it.
    Unreadable(String, String),
}

impl Refusal {
    /// The status that the server answers with.
    ///
    /// The Toolkit fails at what it cannot read, as if that were its own fault: a client cannot tell it from an outage.
    pub fn status(&self, flavour: Flavour) -> u16 {
        match (self, flavour) {
            (Self::Unreadable(..), Flavour::Toolkit) => 500,
            _ => 400,
        }
    }

    /// The body that the server answers with: a list, nothing, or the details of a problem.
    pub fn body(&self, flavour: Flavour) -> String {
        match (self, flavour) {
            (Self::Unreadable(..), Flavour::Toolkit) => String::new(),
            (Self::Invalid(members), Flavour::Toolkit) => {
                let results = members.iter().map(|(member, message)| {
                    let (name, text) = (Value::from(pascal(member)), Value::from(message.as_str()));
                    format!(r#"{{"memberNames":[{name}],"errorMessage":{text}}}"#)
                });
                format!("[{}]", results.collect::<Vec<_>>().join(","))
            }
            (_, Flavour::Zumo3) => {
                let errors = self.members().into_iter().map(|(member, message)| {
                    let (name, text) = (Value::from(member), Value::from(message));
                    format!("{name}:[{text}]")
                });
                let errors: Vec<String> = errors.collect();
                format!(
                    r#"{{"errors":{{{}}},"type":"https://tools.ietf.org/html/rfc9110#section-15.5.1","title":"One or more validation errors occurred.","status":400,"traceId":"00-0-0-00"}}"#,
                    errors.join(",")
                )
            }
        }
    }

    /// What a person should read: each member with what is wrong with it.
    pub fn words(&self, flavour: Flavour) -> String {
        let lines = self.members().into_iter().map(|(member, message)| {
            let member = match flavour {
                Flavour::Toolkit => pascal(member),
                Flavour::Zumo3 => member.to_owned(),
            };
            if member.is_empty() {
                message.to_owned()
            } else {
                format!("{member}: {message}")
            }
        });
        lines.collect::<Vec<_>>().join("; ")
    }

    fn members(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Invalid(members) => members
                .iter()
                .map(|(member, message)| (member.as_str(), message.as_str()))
                .collect(),
            Self::Unreadable(member, message) => vec![(member, message)],
        }
    }
}

/// The name of a member in its class.
pub(super) fn pascal(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
