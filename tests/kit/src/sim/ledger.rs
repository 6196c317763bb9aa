//! The books outside of the system: which changes were made, and what must have become of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use synctable_core::Record;

/// Every change of a kept record carries a tag of its own. It is in the record's `log` and counted in its `n`.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: u64,
    started: BTreeMap<String, String>,
    acknowledged: BTreeSet<String>,
    /// Records of the table of passing things, by what was done with them last.
    passing: BTreeMap<String, Passing>,
}

/// The life of a record that one client makes and removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    /// It may be there.
    Coming,
    /// It has to be there.
    Here,
    /// It may be there still.
    Going,
    /// It has to be gone.
    Gone,
}

impl Ledger {
    /// A tag for a change of the record `id` that is about to be made.
    pub(crate) fn start(&mut self, id: &str) -> String {
        self.next += 1;
        let tag = format!("t{}", self.next);
        self.started.insert(tag.clone(), id.to_owned());
        tag
    }

    /// The change was acknowledged: from now on it may not get lost.
    pub(crate) fn acknowledge(&mut self, tag: &str) {
        self.acknowledged.insert(tag.to_owned());
    }

    /// The id of a passing record that is about to be made.
    pub(crate) fn come(&mut self) -> String {
        let id = format!("p{}", self.passing.len());
        self.passing.insert(id.clone(), Passing::Coming);
        id
    }

    /// It was made.
    pub(crate) fn came(&mut self, id: &str) {
        self.passing.insert(id.to_owned(), Passing::Here);
    }

    /// It is about to be removed.
    pub(crate) fn go(&mut self, id: &str) {
        self.passing.insert(id.to_owned(), Passing::Going);
    }

    /// It was removed.
    pub(crate) fn went(&mut self, id: &str) {
        self.passing.insert(id.to_owned(), Passing::Gone);
    }

    /// Compares the passing records of the server with the books.
    pub(crate) fn check_passing(&self, rows: &[Record]) -> Vec<String> {
        let live: BTreeSet<&str> = rows.iter().map(|row| row.id().as_str()).collect();
        let mut wrong = Vec::new();
        for (id, passing) in &self.passing {
            match (passing, live.contains(id.as_str())) {
                (Passing::Here, false) => wrong.push(format!("lost: the record {id}")),
                (Passing::Gone, true) => wrong.push(format!("back: the removed record {id}")),
                _ => {}
            }
        }
        for id in live {
            if !self.passing.contains_key(id) {
                wrong.push(format!("foreign: the record {id}"));
            }
        }
        wrong
    }

    /// How many changes were acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Compares the records of the server with the books: what is wrong, a line each.
    pub(crate) fn check(&self, rows: &[Record]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut seen = BTreeSet::new();
        for row in rows {
            let id = row.id().as_str();
            let log = match row.member("log") {
                Some(Value::Array(log)) => log,
                other => {
                    wrong.push(format!("lost: the log of {id} is {other:?}"));
                    continue;
                }
            };
            let tags: Vec<&str> = log.iter().filter_map(Value::as_str).collect();
            let distinct: BTreeSet<&str> = tags.iter().copied().collect();
            let n = row.member("n").and_then(|n| n.as_i64());
            let effects = i64::try_from(distinct.len()).ok();
            if n != effects || distinct.len() != tags.len() {
                let kind = if n > effects { "doubled" } else { "lost" };
                wrong.push(format!("{kind}: {id} counts {n:?} changes of {tags:?}"));
            }
            for tag in distinct {
                if self.started.get(tag).map(String::as_str) != Some(id) {
                    wrong.push(format!("foreign: {id} holds {tag}"));
                }
                seen.insert(tag.to_owned());
            }
        }
        for tag in self.acknowledged.difference(&seen) {
            let id = self.started.get(tag).map_or("?", String::as_str);
            wrong.push(format!("lost: the change {tag} of {id}"));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::record;

    #[test]
    fn books_name_what_is_wrong() {
        let mut ledger = Ledger::default();
        let (first, second) = (ledger.start("a"), ledger.start("a"));
        ledger.acknowledge(&first);
        let check = |json: &str| ledger.check(&[record(json)]);
        assert_eq!(check(r#"{"id":"a","n":1,"log":["t1"]}"#), [""; 0]);
        assert_eq!(check(r#"{"id":"a","n":2,"log":["t1","t2"]}"#), [""; 0]);
        let kinds = |json: &str| -> Vec<String> {
            let wrong = check(json).into_iter();
            let kind = |line: String| line.split(':').next().map(str::to_owned);
            wrong.filter_map(kind).collect()
        };
        assert_eq!(kinds(r#"{"id":"a","n":2,"log":["t1"]}"#), ["doubled"]);
        assert_eq!(kinds(r#"{"id":"a","n":1,"log":["t1","t2"]}"#), ["lost"]);
        assert_eq!(kinds(r#"{"id":"a","n":1,"log":["t2"]}"#), ["lost"]);
        assert_eq!(kinds(r#"{"id":"a","n":2,"log":["t1","t9"]}"#), ["foreign"]);
        assert_eq!(kinds(r#"{"id":"a","n":1}"#), ["lost", "lost"]);
        assert_eq!(ledger.check(&[]).len(), 1);
        assert_eq!(second, "t2");
    }

    #[test]
    fn books_of_passing_records_name_what_is_wrong() {
        let mut ledger = Ledger::default();
        let id = ledger.come();
        let (here, gone) = ([record(r#"{"id":"p0"}"#)], []);
        let count = |ledger: &Ledger| {
            let found = |rows: &[Record]| ledger.check_passing(rows).len();
            (found(&here), found(&gone))
        };
        assert_eq!(count(&ledger), (0, 0));
        ledger.came(&id);
        assert_eq!(count(&ledger), (0, 1));
        ledger.go(&id);
        assert_eq!(count(&ledger), (0, 0));
        ledger.went(&id);
        assert_eq!(count(&ledger), (1, 0));
        assert_eq!(ledger.check_passing(&[record(r#"{"id":"x"}"#)]).len(), 1);
    }
}
