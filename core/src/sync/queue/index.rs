//! The queue's index in memory: which records have operations, in which order.
//!
//! The store is the truth; the index saves a lookup per change. It can be behind when another context or process
//! writes to the same store or when a commit was dropped half-way: `catch_up` sees to both.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::name::{RecordId, TableName};
use crate::store::{Author, LocalStore, Position, StoreError};
use crate::sync::queue::operation::{Operation, OperationState};
use crate::timestamp::Timestamp;

/// The queue: its index, and the store that holds it.
pub(crate) struct Queue {
    pub(super) store: Arc<dyn LocalStore>,
    /// How many schema steps this context knows.
    pub(super) steps: u32,
    index: Mutex<Index>,
}

#[derive(Debug)]
struct Index {
    /// The last sequence number that was given away.
    last: u64,
    operations: BTreeMap<u64, Entry>,
    by_record: HashMap<(TableName, RecordId), Vec<u64>>,
    /// A commit was dropped or failed in an unknown way: reload before relying on the index.
    suspect: bool,
    /// As whom this context changes the queue.
    author: Author,
    /// What others have changed up to here is in the index. `None` until it was read.
    known: Option<Position>,
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
    pub(crate) fn new(store: Arc<dyn LocalStore>, steps: u32) -> Self {
        Self {
            store,
            steps,
            index: Mutex::new(Index {
                last: 0,
                operations: BTreeMap::new(),
                by_record: HashMap::new(),
                suspect: false,
                author: Author::random(),
                known: None,
            }),
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

    /// As whom this context changes the queue, and up to where the index knows what others did.
    pub(super) fn standing(&self) -> (Author, Option<Position>) {
        let index = self.index();
        (index.author, index.known)
    }

    /// This context changes the queue as somebody else from now on. The index is behind until it has caught up.
    pub(super) fn becomes(&self, author: Author) {
        let mut index = self.index();
        index.author = author;
        index.suspect = true;
    }

    /// A commit of `author` says that nobody else has changed the queue up to here.
    pub(super) fn knows(&self, author: Author, position: Position) {
        let mut index = self.index();
        if index.author == author && index.known.is_some_and(|known| known < position) {
            index.known = Some(position);
        }
    }

    /// The index is what the store holds, up to here at least.
    pub(super) fn caught_up(&self, known: Position, floor: u64) {
        let mut index = self.index();
        index.known = Some(known);
        index.last = index.last.max(floor);
        index.suspect = false;
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
            index.remove(*seq);
        }
    }

    /// The number to remember as used when `removed` leaves the queue without its highest operation.
    pub(crate) fn floor_after(&self, removed: &[u64]) -> Option<u64> {
        let index = self.index();
        let highest = index.operations.keys().next_back()?;
        removed.contains(highest).then_some(index.last)
    }

    /// Takes over one operation as the store holds it.
    pub(super) fn replace(&self, seq: u64, operation: Option<&Operation>) {
        let mut index = self.index();
        index.remove(seq);
        if let Some(operation) = operation {
            index.insert(operation);
        }
    }

    /// Replaces everything by what the store holds.
    pub(super) fn replace_all(&self, operations: impl IntoIterator<Item = Operation>) {
        let mut index = self.index();
        index.operations.clear();
        index.by_record.clear();
        for operation in operations {
            index.insert(&operation);
        }
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.index().suspect
    }

    pub(crate) fn mark_suspect(&self) {
        self.index().suspect = true;
    }
}

impl Index {
    fn remove(&mut self, seq: u64) {
        let Some(entry) = self.operations.remove(&seq) else {
            return;
        };
        let key = (entry.table, entry.id);
        if let Some(seqs) = self.by_record.get_mut(&key) {
            seqs.retain(|other| *other != seq);
            if seqs.is_empty() {
                self.by_record.remove(&key);
            }
        }
    }

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
    pub(super) fn ended<T>(mut self, result: &Result<T, StoreError>) {
        self.armed = result.as_ref().is_err_and(StoreError::may_be_done);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.queue.mark_suspect();
        }
    }
}
