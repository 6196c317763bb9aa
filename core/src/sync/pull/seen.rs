//! Which rows a pull from the start has seen, for its sweep.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::name::RecordId;
use crate::record::Record;
use crate::transport::RemotePage;

/// What a pull from the start has seen.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Hashes of ids: two that are the same keep a record that should leave, and let none leave.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// The pull's position, once it is through.
    pub(crate) token: Option<Record>,
}

impl Sweep {
    /// Takes a page in; rows that cannot be read are there, too.
    pub(crate) fn see(&mut self, page: &RemotePage) {
        let records = page.records.iter().map(|record| record.id().as_str());
        let invalid = page.invalid.iter().filter_map(|row| row.id.as_deref());
        self.see_ids(records.chain(invalid));
    }

    /// Takes note of rows that are there.
    pub(super) fn see_ids<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) {
        for id in ids {
            self.seen.insert(self.hasher.hash_one(id));
        }
    }

    pub(super) fn has_seen(&self, id: &RecordId) -> bool {
        self.seen.contains(&self.hasher.hash_one(id.as_str()))
    }
}
