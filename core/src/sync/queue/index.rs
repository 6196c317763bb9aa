//! The queue's index in memory: which records have operations, in which order.
//!
//! The store is the truth; the index saves a lookup per change. It can be behind when another process
//! writes to the same store or when a commit was dropped half-way. Every batch that relies on it therefore checks rows
//! which would differ then, and a failed check reloads it. Above all that is the claim: whoever changes the queue after another context,
//! or after a commit of its own that was dropped, does so only after it put a new claim and read the queue anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::IdSource;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::store::{LocalStore, StoreError, StoreErrorKind};
use crate::sync::queue::operation::{Operation, OperationState};
use crate::timestamp::Timestamp;

/// The queue: its index, and the store that holds it.
pub(crate) struct Queue {
    pub(super) store: Arc<dyn LocalStore>,
    pub(super) ids: Arc<dyn IdSource>,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// The last sequence number that was given away.
    last: u64,
    operations: BTreeMap<u64, Entry>,
    by_record: HashMap<(TableName, RecordId), Vec<u64>>,
    /// A commit was dropped or failed in an unknown way: reload before relying on the index.
    suspect: bool,
    claim: Option<Record>,
}

/// One queued operation as the index knows it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) table: TableName,
    pub(crate) id: RecordId,
    pub(crate) state: OperationState,
    /// Not before this time does a push try it again by itself.
    pub(crate) next_try: Option<Timestamp>,
}

impl Queue {
    pub(crate) fn new(store: Arc<dyn LocalStore>, ids: Arc<dyn IdSource>) -> Self {
        Self {
            store,
            ids,
            index: Mutex::default(),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Every change below is made in one go, so a poisoned index is whole all the same.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new sequence number, larger than all before.
    pub(crate) fn next_seq(&self) -> u64 {
        let mut index = self.index();
        index.last += 1;
        index.last
    }

    /// The row that stands while no other context has changed the queue: see [`reload`](Self::reload).
    pub(crate) fn claim(&self) -> Option<Record> {
        self.index().claim.clone()
    }

    /// A new claim was put. The index is behind until the queue was read after it: should that be dropped or fail, the next call reads it.
    pub(crate) fn set_claim(&self, row: Record) {
        let mut index = self.index();
        index.claim = Some(row);
        index.suspect = true;
    }

    /// The operations on a record, oldest first.
    pub(crate) fn of_record(&self, table: &TableName, id: &RecordId) -> Vec<u64> {
        self.index()
            .by_record
            .get(&(table.clone(), id.clone()))
            .cloned()
            .unwrap_or_default()
    }

    /// The operations of a table, oldest first.
    pub(crate) fn of_table(&self, table: &TableName) -> Vec<u64> {
        self.index()
            .operations
            .iter()
            .filter(|(_, entry)| entry.table == *table)
            .map(|(seq, _)| *seq)
            .collect()
    }

    /// A table other than this one that has an operation which a push would send.
    pub(crate) fn another_table(&self, table: &TableName) -> Option<TableName> {
        let index = self.index();
        let mut entries = index.operations.values();
        let other = entries.find(|entry| entry.table != *table && !entry.state.is_parked());
        other.map(|entry| entry.table.clone())
    }

    /// True when the table has an operation that a push would send.
    pub(crate) fn is_dirty(&self, table: &TableName) -> bool {
        self.index()
            .operations
            .values()
            .any(|entry| entry.table == *table && !entry.state.is_parked())
    }

    /// How many operations wait in all, parked ones too.
    pub(crate) fn len(&self) -> u64 {
        self.index().operations.len() as u64
    }

    /// How many operations are in a state.
    pub(crate) fn count(&self, state: OperationState) -> u64 {
        self.index()
            .operations
            .values()
            .filter(|entry| entry.state == state)
            .count() as u64
    }

    /// The last sequence number that was given away.
    pub(crate) fn last_seq(&self) -> u64 {
        self.index().last
    }

    /// The first operations from `start` on in order that `wanted` takes, up to `limit`, oldest first; `wanted` may end the
    /// search by returning `None`.
    pub(crate) fn select(
        &self,
        start: u64,
        limit: usize,
        mut wanted: impl FnMut(u64, &Entry) -> Option<bool>,
    ) -> Vec<u64> {
        let index = self.index();
        let mut found = Vec::new();
        for (seq, entry) in index.operations.range(start..) {
            match wanted(*seq, entry) {
                Some(true) => found.push(*seq),
                Some(false) => {}
                None => break,
            }
            if found.len() >= limit {
                break;
            }
        }
        found
    }

    /// Takes over what a commit did to the operations of one record.
    pub(crate) fn record_changed(
        &self,
        table: &TableName,
        id: &RecordId,
        operations: &[Operation],
    ) {
        let mut index = self.index();
        let key = (table.clone(), id.clone());
        for seq in index.by_record.remove(&key).unwrap_or_default() {
            index.operations.remove(&seq);
        }
        for operation in operations {
            index.insert(operation);
        }
    }

    /// Takes over that a commit removed these operations, whatever else their records have.
    pub(crate) fn removed(&self, operations: &[u64]) {
        let mut index = self.index();
        for seq in operations {
            let Some(entry) = index.operations.remove(seq) else {
                continue;
            };
            let key = (entry.table, entry.id);
            if let Some(seqs) = index.by_record.get_mut(&key) {
                seqs.retain(|other| other != seq);
                if seqs.is_empty() {
                    index.by_record.remove(&key);
                }
            }
        }
    }

    /// The number to remember as used when `removed` leaves the queue without its highest operation.
    pub(crate) fn floor_after(&self, removed: &[u64]) -> Option<u64> {
        let index = self.index();
        let highest = index.operations.keys().next_back()?;
        removed.contains(highest).then_some(index.last)
    }

    /// Replaces everything by what the store holds.
    pub(crate) fn replace_all(&self, operations: impl IntoIterator<Item = Operation>, floor: u64) {
        let mut index = self.index();
        index.operations.clear();
        index.by_record.clear();
        index.last = index.last.max(floor);
        for operation in operations {
            index.insert(&operation);
        }
        index.suspect = false;
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.index().suspect
    }

    pub(crate) fn mark_suspect(&self) {
        self.index().suspect = true;
    }
}

impl Index {
    fn insert(&mut self, operation: &Operation) {
        let entry = Entry {
            table: operation.table.clone(),
            id: operation.id.clone(),
            state: operation.state,
            next_try: operation.aside.as_ref().and_then(|aside| aside.next_try),
        };
        self.last = self.last.max(operation.seq);
        let seqs = self
            .by_record
            .entry((entry.table.clone(), entry.id.clone()))
            .or_default();
        if let Err(place) = seqs.binary_search(&operation.seq) {
            seqs.insert(place, operation.seq);
        }
        self.operations.insert(operation.seq, entry);
    }
}

/// Marks the index as suspect unless the commit it accompanies came to a known end: covers a dropped future.
pub(super) struct InFlight<'a> {
    queue: &'a Queue,
    armed: bool,
}

impl<'a> InFlight<'a> {
    pub(super) fn new(queue: &'a Queue) -> Self {
        Self { queue, armed: true }
    }

    /// The commit has ended like this.
    pub(super) fn ended(mut self, result: &Result<(), StoreError>) {
        let unknown = |error: &StoreError| error.kind() == StoreErrorKind::Unknown;
        self.armed = result.as_ref().is_err_and(unknown);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.queue.mark_suspect();
        }
    }
}
