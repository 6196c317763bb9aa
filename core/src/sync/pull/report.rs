//! What a pull comes to.

use crate::transport::InvalidRow;

/// Bad rows that a report lists.
pub(crate) const MAX_INVALID: usize = 100;

/// What a pull did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullReport {
    /// Rows that came and were not already part of this pull.
    pub fetched: u64,
    /// Records that are new here.
    pub added: u64,
    /// Records that changed here.
    pub updated: u64,
    /// Records that were removed here.
    pub deleted: u64,
    /// Records that left, because the pull's filter is not what it was and no named pull wants them any more.
    pub left: u64,
    /// Rows that were here already, or tombstones of records that are not here.
    pub unchanged: u64,
    /// Rows left alone because operations on their records are pending.
    pub kept: u64,
    /// Requests for pages.
    pub requests: u64,
    /// Operations that the push before the pull sent.
    pub pushed: u64,
    /// How many rows were left out because they are no records.
    pub left_out: u64,
    /// What is wrong with the rows that were left out, for at most 100 of them.
    pub invalid: Vec<InvalidRow>,
    /// Of a pull in full: records here that did not come, because the server does not have them any more or they left the filter there.
    /// A pull does not remove them; an audit does.
    pub stayed: u64,
}

impl PullReport {
    pub(crate) fn add(&mut self, other: &Self) {
        self.fetched += other.fetched;
        self.added += other.added;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.kept += other.kept;
    }
}
