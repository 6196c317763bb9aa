//! How members are merged that both sides of a conflict changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FieldType, TableSchema};
use crate::record::SYSTEM_PROPERTIES;

/// What a merge does with a member that the device and the server both changed.
///
/// `Max`, `Min`, `Counter` (of whole numbers) and `Set` come to the same value whatever the order in which devices push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MergeRule {
    /// The conflict is left to the user. This is so without a rule, too, but then objects are merged member by member.
    Manual,
    /// The server's value stays.
    Server,
    /// The local value is sent: the last writer wins, by the order in which writes reach the server.
    #[serde(alias = "last")]
    Client,
    /// The greater value, in the order by which queries sort; text that is a point in time counts as such.
    Max,
    /// The smaller value.
    Min,
    /// A number that both sides raised or lowered: both changes count.
    Counter,
    /// A list without order and repetition: what either side added is in, what the local side removed is out.
    Set,
}

impl MergeRule {
    /// All rules.
    pub const ALL: [Self; 7] = [
        Self::Manual,
        Self::Server,
        Self::Client,
        Self::Max,
        Self::Min,
        Self::Counter,
        Self::Set,
    ];
}

/// Rules by member; a member inside of an object is named by its path: `address/city`. The name `*` stands for
/// every member without a rule of its own.
///
/// ```
/// use synctable_core::{MergeRule, MergeRules};
/// let rules = MergeRules::new().with("likes", MergeRule::Counter).with("*", MergeRule::Client);
/// assert_eq!(rules.find("likes"), Some(MergeRule::Counter));
/// assert_eq!(rules.find("title"), Some(MergeRule::Client));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MergeRules(BTreeMap<String, MergeRule>);

/// The name of the rule for all members without one.
const REST: &str = "*";

impl MergeRules {
    /// No rules: members that both sides changed are left to the user.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a rule for the member at `path`.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, rule: MergeRule) -> Self {
        self.0.insert(path.into(), rule);
        self
    }

    /// The rule for the member at `path`.
    pub fn find(&self, path: &str) -> Option<MergeRule> {
        self.0.get(path).or_else(|| self.0.get(REST)).copied()
    }

    /// Paths and rules, by path.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, MergeRule)> {
        self.0.iter().map(|(path, rule)| (path.as_str(), *rule))
    }

    /// True without rules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These rules with those of `newer` put over them.
    pub(super) fn merged(mut self, newer: &Self) -> Self {
        self.0.extend(newer.0.clone());
        self
    }
}

/// Why a rule cannot be used in a table.
pub(super) fn misfit(path: &str, rule: MergeRule, table: &TableSchema) -> Option<&'static str> {
    let (name, nested) = match path.split_once('/') {
        Some((name, _)) => (name, true),
        None => (path, false),
    };
    if path.split('/').any(str::is_empty) {
        return Some("name a field, or a path such as address/city");
    }
    if SYSTEM_PROPERTIES.contains(&name) {
        return Some("it is a system property");
    }
    let declared = table.field(name)?;
    match rule {
        _ if nested && !matches!(declared, FieldType::Json) => {
            Some("the field is not declared as json, so it has no members")
        }
        MergeRule::Counter
            if !nested
                && !matches!(
                    declared,
                    FieldType::Integer | FieldType::Number | FieldType::Json
                ) =>
        {
            Some("a counter needs a field of type integer, number or json")
        }
        MergeRule::Set if !nested && !matches!(declared, FieldType::Json) => {
            Some("a set needs a field of type json")
        }
        _ => None,
    }
}
