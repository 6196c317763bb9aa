//! Numbered steps by which an application changes the schema of a store that is in use.
//!
//! The *words* of a record are numbered, too: those of number n are the words of an application that knows the first n steps. What a server holds is
//! in the words of no number, as it has made the steps that hold everywhere, and no others. [`lens`] takes a record from words to words.

mod convert;
mod declared;
mod lens;

use serde::{Deserialize, Serialize};

use super::{FieldType, SchemaError};
use crate::name::TableName;
use crate::record::SYSTEM_PROPERTIES;

/// The steps of an application, all that it has ever had, numbered from one in the order in which they were released. They are given each time a
/// context is opened and never change: a release adds some at the end.
///
/// ```
/// use synctable_core::{FieldType, Step, Steps};
/// let steps = Steps::new()
///     .step(1, Step::rename("todos", "title", "name").here())
///     .step(2, Step::retype("todos", "rank", FieldType::String, FieldType::Integer).everywhere())
///     .step(3, Step::index("todos", ["name"]));
/// assert!(steps.check().is_ok());
/// assert_eq!(steps.len(), 3);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    steps: Vec<(u32, Step)>,
}

/// One step: a change of a table, and where it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    table: String,
    change: Change,
    /// The server has made the step, too.
    everywhere: bool,
}

/// A change of which is still to be said where it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Placeless {
    table: String,
    change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Change {
    Rename {
        from: String,
        to: String,
    },
    Remove {
        field: String,
    },
    Retype {
        field: String,
        old: FieldType,
        new: FieldType,
    },
    Index {
        fields: Vec<String>,
    },
}

impl Step {
    /// The field `from` is called `to` from now on. Should a record have a member `to` already, the two exchange their names, so nothing is lost.
    pub fn rename(
        table: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Placeless {
        let (from, to) = (from.into(), to.into());
        Placeless::new(table, Change::Rename { from, to })
    }

    /// The field is declared no more. Records keep its value as a member like any other.
    pub fn remove(table: impl Into<String>, field: impl Into<String>) -> Placeless {
        let field = field.into();
        Placeless::new(table, Change::Remove { field })
    }

    /// The field, which was of type `old`, is of type `new`. A value that says the same in the new type is written so: text that is a number, a number as
    /// text, 0 and 1 as `false` and `true`, and their opposites. Any other that does not fit stays exactly as it is.
    ///
    /// Where the step holds here only, a value is written anew only if it comes back to the very text that the server has: `"1"` becomes `1`, and `"1e0"`
    /// stays. A value that was of the new type before, against its declaration, goes back as one of the old type.
    pub fn retype(
        table: impl Into<String>,
        field: impl Into<String>,
        old: FieldType,
        new: FieldType,
    ) -> Placeless {
        let field = field.into();
        Placeless::new(table, Change::Retype { field, old, new })
    }

    /// An index over these fields, in order. It concerns this store alone.
    #[must_use]
    pub fn index<S: Into<String>>(
        table: impl Into<String>,
        fields: impl IntoIterator<Item = S>,
    ) -> Self {
        let fields = fields.into_iter().map(Into::into).collect();
        Placeless::new(table, Change::Index { fields }).here()
    }
}

impl Placeless {
    fn new(table: impl Into<String>, change: Change) -> Self {
        let table = table.into();
        Self { table, change }
    }

    /// Here only: the server and devices with another release keep the old words. Every record that comes in or goes out is translated.
    #[must_use]
    pub fn here(self) -> Step {
        self.at(false)
    }

    /// Everywhere: the server has made the step before any device does, and takes what is queued in the old words once it is translated.
    #[must_use]
    pub fn everywhere(self) -> Step {
        self.at(true)
    }

    fn at(self, everywhere: bool) -> Step {
        Step {
            table: self.table,
            change: self.change,
            everywhere,
        }
    }
}

impl Steps {
    /// No steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the step of this number.
    #[must_use]
    pub fn step(mut self, number: u32, step: Step) -> Self {
        self.steps.push((number, step));
        self
    }

    /// How many there are, which is the number of the last.
    pub fn len(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// True without steps.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Checks that the steps are numbered from one, that they name tables and fields that can be, and that none which holds everywhere is about a field that
    /// an earlier one named here only: the server knows it under another name.
    pub fn check(&self) -> Result<(), SchemaError> {
        for (place, (number, step)) in self.steps.iter().enumerate() {
            let bad = |reason| SchemaError::Step {
                number: *number,
                reason,
            };
            if usize::try_from(*number).ok() != Some(place + 1) {
                return Err(bad("steps are numbered from one, without gaps"));
            }
            if TableName::new(&step.table).is_err() {
                return Err(bad("its table has a name that no table can have"));
            }
            let names = step.names();
            let wrong = |name: &&str| {
                name.is_empty() || name.starts_with("__") || name.contains(['/', '"'])
            };
            let system = |name: &&str| SYSTEM_PROPERTIES.contains(name);
            if names.is_empty() || names.iter().any(wrong) {
                return Err(bad("it names a field that cannot be declared"));
            }
            if !step.is_index() && names.iter().any(system) {
                return Err(bad("system properties stay as they are"));
            }
            if matches!(&step.change, Change::Rename { from, to } if from == to) {
                return Err(bad("the new name is the old one"));
            }
            let earlier = self.steps.iter().take(place).map(|(_, earlier)| earlier);
            let mut here = earlier.filter(|earlier| {
                !earlier.everywhere && !earlier.is_index() && earlier.table == step.table
            });
            let meets = |earlier: &Step| earlier.names().iter().any(|name| names.contains(name));
            if step.everywhere && here.any(meets) {
                return Err(bad(
                    "it holds everywhere, and an earlier one changed the same field here only",
                ));
            }
        }
        Ok(())
    }

    /// The steps of a table behind those of number `after`, in order, with their numbers.
    fn of<'a>(
        &'a self,
        table: &'a TableName,
        after: u32,
    ) -> impl DoubleEndedIterator<Item = (u32, &'a Step)> {
        let steps = self.steps.iter().map(|(number, step)| (*number, step));
        steps.filter(move |(number, step)| *number > after && step.table == table.as_str())
    }

    /// The tables that steps behind those of number `after` are about.
    pub(crate) fn tables(&self, after: u32) -> Vec<TableName> {
        let steps = self.steps.iter().filter(|(number, _)| *number > after);
        let names = steps.filter_map(|(_, step)| TableName::new(&step.table).ok());
        let mut tables: Vec<TableName> = names.collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// The steps as they are told apart: an application may add some, and change none.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().map(|(_, step)| step)
    }
}

impl Step {
    /// The fields that it names.
    fn names(&self) -> Vec<&str> {
        match &self.change {
            Change::Rename { from, to } => vec![from, to],
            Change::Remove { field } | Change::Retype { field, .. } => vec![field],
            Change::Index { fields } => fields.iter().map(String::as_str).collect(),
        }
    }

    fn is_index(&self) -> bool {
        matches!(self.change, Change::Index { .. })
    }
}

#[cfg(test)]
mod tests;
