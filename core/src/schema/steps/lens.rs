//! A record in other words: those of another number of steps, those of the server, and back.

use std::borrow::Cow;

use super::convert::{converted, there};
use super::{Change, Step, Steps};
use crate::name::TableName;
use crate::record::{Record, body_text};

type Members<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

impl Steps {
    /// A record in the words of number `words`, in those of all steps.
    pub(crate) fn forward(&self, table: &TableName, words: u32, record: Record) -> Record {
        let steps: Vec<&Step> = self.of(table, words).map(|(_, step)| step).collect();
        rewritten(record, &steps, |members| {
            for step in &steps {
                step.there(members);
            }
        })
    }

    /// A record in the words of number `words`, in those of the server. Nothing that only holds here is done to words that do not know it: they go out as
    /// they are.
    pub(crate) fn to_server(&self, table: &TableName, words: u32, record: Record) -> Record {
        let all: Vec<(u32, &Step)> = self.of(table, 0).collect();
        let steps: Vec<&Step> = all.iter().map(|(_, step)| *step).collect();
        rewritten(record, &steps, |members| {
            for (_, step) in all.iter().rev().filter(|(number, _)| *number <= words) {
                if !step.everywhere {
                    step.back(members);
                }
            }
            for (_, step) in all.iter().filter(|(number, _)| *number > words) {
                if step.everywhere {
                    step.there(members);
                }
            }
            // What the server has removed is not told to it. One that was made anew since is.
            for (place, (_, step)) in all.iter().enumerate() {
                if let Change::Remove { field } = &step.change
                    && step.everywhere
                    && !all
                        .iter()
                        .skip(place + 1)
                        .any(|(_, later)| later.makes(field))
                {
                    members.retain(|(name, _)| name != field);
                }
            }
        })
    }

    /// A record in the words of the server, in those of all steps.
    pub(crate) fn of_server(&self, table: &TableName, record: Record) -> Record {
        let here = self.of(table, 0).map(|(_, step)| step);
        let steps: Vec<&Step> = here.filter(|step| !step.everywhere).collect();
        rewritten(record, &steps, |members| {
            for step in &steps {
                step.there(members);
            }
        })
    }

    /// The name under which the server knows a member; `None` where it has another type there, so that a comparison would mean something else.
    pub(crate) fn name_there<'a>(&'a self, table: &'a TableName, name: &'a str) -> Option<&'a str> {
        let mut name = name;
        for (_, step) in self.of(table, 0).rev().filter(|(_, step)| !step.everywhere) {
            match &step.change {
                Change::Rename { from, to } if name == to => name = from,
                Change::Rename { from, to } if name == from => name = to,
                Change::Retype { field, .. } if name == field => return None,
                _ => {}
            }
        }
        Some(name)
    }

    /// The name under which a member in the words of number `words` is sent to the server.
    pub(crate) fn name_sent<'a>(
        &'a self,
        table: &'a TableName,
        words: u32,
        name: &'a str,
    ) -> &'a str {
        let here = self
            .of(table, 0)
            .rev()
            .filter(|(number, step)| *number <= words && !step.everywhere);
        let there = self.of(table, words).filter(|(_, step)| step.everywhere);
        here.chain(there)
            .fold(name, |name, (_, step)| step.other_name(name))
    }

    /// The name under which a member in the words of number `words` is known in those of all steps.
    pub(crate) fn name_now<'a>(
        &'a self,
        table: &'a TableName,
        words: u32,
        name: &'a str,
    ) -> &'a str {
        self.of(table, words)
            .fold(name, |name, (_, step)| step.other_name(name))
    }

    /// How many members of a record in the words of all steps, behind those of number `words`, do not fit the type that a step gave them.
    pub(crate) fn misfits<'a>(
        &'a self,
        table: &'a TableName,
        words: u32,
        record: &Record,
    ) -> Vec<&'a str> {
        let members = record.members();
        let mut found = Vec::new();
        let steps: Vec<(u32, &Step)> = self.of(table, words).collect();
        for (place, (_, step)) in steps.iter().enumerate() {
            let Change::Retype { field, new, .. } = &step.change else {
                continue;
            };
            let later = steps.iter().skip(place + 1);
            let mut now = field.as_str();
            let mut judged = true;
            for (_, later) in later {
                match &later.change {
                    Change::Rename { from, to } if from == now => now = to,
                    Change::Remove { field } | Change::Retype { field, .. } if field == now => {
                        judged = false;
                    }
                    _ => {}
                }
            }
            if judged
                && members
                    .iter()
                    .any(|(name, text)| name == now && !new.fits(text))
            {
                found.push(now);
            }
        }
        found
    }
}

impl Step {
    /// From the words before the step to those after it.
    fn there(&self, members: &mut Members<'_>) {
        match &self.change {
            Change::Rename { from, to } => exchange(members, from, to),
            Change::Retype { field, old, new } => write_anew(members, field, |text| {
                if self.everywhere {
                    converted(text, new)
                } else {
                    there(text, old, new)
                }
            }),
            Change::Remove { .. } | Change::Index { .. } => {}
        }
    }

    /// From the words after the step to those before it.
    fn back(&self, members: &mut Members<'_>) {
        match &self.change {
            Change::Rename { from, to } => exchange(members, from, to),
            Change::Retype { field, old, new } => {
                write_anew(members, field, |text| there(text, new, old));
            }
            Change::Remove { .. } | Change::Index { .. } => {}
        }
    }

    /// The name on the other side of the step.
    fn other_name<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.change {
            Change::Rename { from, to } if name == from => to,
            Change::Rename { from, to } if name == to => from,
            _ => name,
        }
    }

    /// True where a member of this name may be another one after the step.
    fn makes(&self, name: &str) -> bool {
        matches!(&self.change, Change::Rename { from, to } if from == name || to == name)
            || matches!(&self.change, Change::Retype { field, .. } if field == name)
    }
}

/// A rename is an exchange, so that it is its own opposite whatever a record holds.
fn exchange(members: &mut Members<'_>, one: &str, other: &str) {
    for (name, _) in members {
        if name == one {
            *name = Cow::Owned(other.to_owned());
        } else if name == other {
            *name = Cow::Owned(one.to_owned());
        }
    }
}

fn write_anew(members: &mut Members<'_>, field: &str, change: impl Fn(&str) -> Option<String>) {
    for (_, text) in members.iter_mut().filter(|(name, _)| name == field) {
        if let Some(new) = change(text).filter(|new| new.as_str() != text) {
            *text = Cow::Owned(new);
        }
    }
}

/// The record with its members changed; the very same one where no step is about its table, or nothing changes.
fn rewritten(record: Record, steps: &[&Step], change: impl FnOnce(&mut Members<'_>)) -> Record {
    if steps.iter().all(|step| step.is_index()) {
        return record;
    }
    let members = record.members();
    let mut changed: Members<'_> = members
        .into_iter()
        .map(|(name, text)| (name, Cow::Borrowed(text)))
        .collect();
    change(&mut changed);
    let texts: Vec<(Cow<'_, str>, &str)> = changed
        .iter()
        .map(|(name, text)| (Cow::Borrowed(&**name), &**text))
        .collect();
    let body = body_text(&texts);
    if body == record.body() {
        return record;
    }
    Record::from_stored(record.id().clone(), record.system().clone(), body)
}
