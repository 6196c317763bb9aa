//! The books outside of the system: which changes were made, and what must have become of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use synctable_core::Record;

/// The members of a kept record that hold tags.
pub(crate) const LOGS: [&str; 2] = ["log", "more"];

/// The tags in a log of a record.
pub(crate) fn tags_in(record: &Record, log: &str) -> Vec<String> {
    let log = record.member(log);
    log.and_then(|log| serde_json::from_value(log).ok())
        .unwrap_or_default()
}

/// Every change of a kept record carries a tag of its own. It is in one of the record's logs and counted in its `n`.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: u64,
    started: BTreeMap<String, String>,
    acknowledged: BTreeSet<String>,
    /// Records of the table of passing things, by what was done with them last.
    passing: BTreeMap<String, Passing>,
    /// The realm in which a tag or a passing record was made, as far as its client knew one. Nothing where there is one realm.
    places: BTreeMap<String, Option<usize>>,
    /// The realm of each client's store.
    homes: BTreeMap<usize, usize>,
    /// How often the users of a client have said that what is queued may go. One who was cut off may be obeyed at any time later.
    discarding: BTreeMap<usize, usize>,
    /// Tags and passing records of which a change was queued when the user discarded it.
    dropped: BTreeSet<String>,
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

    /// The realm of a client's store, if that is known.
    pub(crate) fn home(&self, client: usize) -> Option<usize> {
        self.homes.get(&client).copied()
    }

    pub(crate) fn set_home(&mut self, client: usize, realm: Option<usize>) {
        match realm {
            Some(realm) => _ = self.homes.insert(client, realm),
            None => _ = self.homes.remove(&client),
        }
    }

    /// A change was made at a client, and belongs where the client's store belongs. It is met again in later batches.
    pub(crate) fn place(&mut self, client: usize, change: &str) {
        let home = self.home(client);
        self.places.entry(change.to_owned()).or_insert(home);
    }

    /// A change was made in a realm by somebody else.
    pub(crate) fn place_at(&mut self, realm: usize, change: &str) {
        self.places.insert(change.to_owned(), Some(realm));
    }

    /// A user says that what is queued at a client may be discarded, or has been obeyed.
    pub(crate) fn may_discard(&mut self, client: usize, may: bool) {
        let said = self.discarding.entry(client).or_default();
        *said = if may {
            *said + 1
        } else {
            said.saturating_sub(1)
        };
    }

    /// A queued change was dropped with its queue.
    pub(crate) fn drop_change(&mut self, client: usize, change: &str) {
        if self.discarding.get(&client).is_some_and(|said| *said > 0) {
            self.dropped.insert(change.to_owned());
        }
    }

    /// True where the change belongs to this realm and to no other.
    fn is_of(&self, change: &str, realm: usize) -> bool {
        let place = self.places.get(change).copied().flatten();
        place.is_none_or(|place| place == realm)
    }

    /// Compares the passing records of all realms with the books.
    pub(crate) fn check_passing(&self, realms: &[&[Record]]) -> Vec<String> {
        let mut live = BTreeSet::new();
        let mut wrong = Vec::new();
        for (realm, rows) in realms.iter().enumerate() {
            for id in rows.iter().map(|row| row.id().as_str()) {
                let is_new = live.insert(id);
                if !self.passing.contains_key(id) || !self.is_of(id, realm) || !is_new {
                    wrong.push(format!("foreign: the record {id} in realm {realm}"));
                }
            }
        }
        for (id, passing) in &self.passing {
            match (passing, live.contains(id.as_str())) {
                _ if self.dropped.contains(id) => {}
                (Passing::Here, false) => wrong.push(format!("lost: the record {id}")),
                (Passing::Gone, true) => wrong.push(format!("back: the removed record {id}")),
                _ => {}
            }
        }
        wrong
    }

    /// How many changes were acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Compares the kept records of all realms with the books: what is wrong, a line each.
    pub(crate) fn check(&self, realms: &[&[Record]]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut seen = BTreeSet::new();
        for (realm, row) in (realms.iter().enumerate())
            .flat_map(|(realm, rows)| rows.iter().map(move |row| (realm, row)))
        {
            let id = row.id().as_str();
            match row.member("log") {
                Some(Value::Array(_)) => {}
                other => {
                    wrong.push(format!("lost: the log of {id} is {other:?}"));
                    continue;
                }
            }
            let tags: Vec<String> = LOGS.iter().flat_map(|log| tags_in(row, log)).collect();
            let distinct: BTreeSet<&str> = tags.iter().map(String::as_str).collect();
            let n = row.member("n").and_then(|n| n.as_i64());
            let effects = i64::try_from(distinct.len()).ok();
            if n != effects || distinct.len() != tags.len() {
                let kind = if n > effects { "doubled" } else { "lost" };
                wrong.push(format!("{kind}: {id} counts {n:?} changes of {tags:?}"));
            }
            for tag in distinct {
                let of_record = self.started.get(tag).map(String::as_str) == Some(id);
                let is_new = seen.insert(tag.to_owned());
                if !of_record || !self.is_of(tag, realm) || !is_new {
                    wrong.push(format!("foreign: {id} of realm {realm} holds {tag}"));
                }
            }
        }
        let due = self.acknowledged.difference(&seen);
        for tag in due.filter(|tag| !self.dropped.contains(*tag)) {
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
        let check = |json: &str| ledger.check(&[&[record(json)]]);
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
        assert_eq!(ledger.check(&[&[]]).len(), 1);
        assert_eq!(second, "t2");
    }

    #[test]
    fn books_of_passing_records_name_what_is_wrong() {
        let mut ledger = Ledger::default();
        let id = ledger.come();
        let (here, gone) = ([record(r#"{"id":"p0"}"#)], []);
        let count = |ledger: &Ledger| {
            let found = |rows: &[Record]| ledger.check_passing(&[rows]).len();
            (found(&here), found(&gone))
        };
        assert_eq!(count(&ledger), (0, 0));
        ledger.came(&id);
        assert_eq!(count(&ledger), (0, 1));
        ledger.go(&id);
        assert_eq!(count(&ledger), (0, 0));
        ledger.went(&id);
        assert_eq!(count(&ledger), (1, 0));
        assert_eq!(ledger.check_passing(&[&[record(r#"{"id":"x"}"#)]]).len(), 1);
    }

    #[test]
    fn books_of_two_realms_name_what_is_wrong() {
        let mut ledger = Ledger::default();
        ledger.set_home(0, Some(0));
        let (first, second) = (ledger.start("a"), ledger.start("a"));
        ledger.place(0, &first);
        ledger.set_home(0, Some(1));
        ledger.place(0, &second);
        ledger.place(0, &first);
        ledger.acknowledge(&first);
        ledger.acknowledge(&second);
        let row = |tag: &str| [record(&format!(r#"{{"id":"a","n":1,"log":["{tag}"]}}"#))];
        let (one, two) = (row(&first), row(&second));
        assert_eq!(ledger.check(&[&one, &two]), [""; 0]);
        assert_eq!(ledger.check(&[&two, &one]).len(), 2);
        assert_eq!(ledger.check(&[&one, &one]).len(), 2);
        ledger.drop_change(0, &second);
        assert_eq!(ledger.check(&[&one, &[]]).len(), 1);
        ledger.may_discard(0, true);
        ledger.drop_change(0, &second);
        assert_eq!(ledger.check(&[&one, &[]]), [""; 0]);
    }
}
