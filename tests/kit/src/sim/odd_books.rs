//! The books of the odd tables: what each record may hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use synctable_core::{Record, TableName};

use super::odd_server::{CLOSED, LETTERS, ODD};

/// What a record is after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its member `v` is this.
    Here(u64),
    Gone,
}

/// A record; one client alone makes, edits and deletes it.
#[derive(Debug)]
struct Entry {
    author: usize,
    table: &'static str,
    /// A change is being made.
    busy: bool,
    acknowledged: Option<State>,
    /// Changes after that one that may have been made.
    maybe: Vec<State>,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    next: u64,
    entries: BTreeMap<String, Entry>,
}

impl Books {
    /// A number that was never given before.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A record is about to be made.
    pub(super) fn make(&mut self, author: usize, table: &'static str, id: &str, state: State) {
        let entry = Entry {
            author,
            table,
            busy: true,
            acknowledged: None,
            maybe: vec![state],
        };
        self.entries.insert(id.to_owned(), entry);
    }

    /// A record of the odd table that an author may change: it is there, and nobody changes it now.
    pub(super) fn own(
        &self,
        author: usize,
        which: u64,
        fit: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let here = |entry: &Entry| matches!(entry.acknowledged, Some(State::Here(_)));
        let own: Vec<&String> = self
            .entries
            .iter()
            .filter(|(id, entry)| {
                let mine = entry.author == author && entry.table == ODD;
                mine && !entry.busy && here(entry) && fit(id)
            })
            .map(|(id, _)| id)
            .collect();
        let place = which.checked_rem(own.len() as u64)?;
        own.get(usize::try_from(place).ok()?)
            .map(|id| (*id).clone())
    }

    /// A record is about to be changed.
    pub(super) fn begin(&mut self, id: &str, state: State) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.busy = true;
            entry.maybe.push(state);
        }
    }

    /// The change was acknowledged.
    pub(super) fn acknowledge(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.acknowledged = entry.maybe.pop();
            entry.maybe.clear();
        }
    }

    /// It was not made.
    pub(super) fn refuse(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.maybe.pop();
        }
    }

    /// Whoever made the change has ended.
    pub(super) fn end(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.busy = false;
        }
    }

    /// Compares the server's rows with the books.
    pub(super) fn check(&self, rows: &BTreeMap<TableName, Vec<Record>>) -> Result<(), String> {
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (table, rows) in rows {
            for row in rows {
                let v = row.member("v").and_then(|v| v.as_u64()).unwrap_or_default();
                let id = row.id().as_str();
                // Letters have ids of their own, and what was kept under another id has that of its author before it.
                let name = if table.as_str() == LETTERS {
                    format!("l{v}")
                } else {
                    id.split('~').next().unwrap_or(id).to_owned()
                };
                found.entry(name).or_default().push(v);
            }
        }
        for (id, entry) in &self.entries {
            let rows = found.remove(id).unwrap_or_default();
            let known = entry.maybe.iter().chain(&entry.acknowledged);
            let may_be: BTreeSet<Option<u64>> = known
                .map(|state| match state {
                    State::Here(v) => Some(*v),
                    State::Gone => None,
                })
                .chain(entry.acknowledged.is_none().then_some(None))
                .collect();
            let fits = match &rows[..] {
                [] => may_be.contains(&None),
                [v] => may_be.contains(&Some(*v)),
                // The answer about another id was lost, and asking shows nothing: it may be there twice.
                [v, ..] => id.starts_with('r') && may_be.contains(&Some(*v)),
            };
            if !fits {
                return Err(format!("{}/{id} is {rows:?}, not {may_be:?}", entry.table));
            }
        }
        match found.keys().next() {
            None => Ok(()),
            Some(id) => Err(format!("nobody made {id}")),
        }
    }

    /// The tables.
    pub(super) const TABLES: [&'static str; 3] = [ODD, LETTERS, CLOSED];
}
