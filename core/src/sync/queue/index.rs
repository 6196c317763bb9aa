//! What memory holds of the queue: the newest operations, and for each record that has one the numbers it may have.
//!
//! The store is the truth; the index saves a lookup per change. It can be behind when another context or process
//! writes to the same store or when a commit was dropped half-way: `catch_up` sees to both. What the store keeps of it is in
//! [`runs`](super::runs).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::name::{RecordId, TableName};
use crate::store::{Author, LocalStore, Position, StoreError};
use crate::sync::queue::operation::Operation;
use crate::sync::queue::runs::{Run, Trace, trace};

/// The queue: its index, and the store that holds it.
pub(crate) struct Queue {
    pub(super) store: Arc<dyn LocalStore>,
    /// How many schema steps this context knows.
    pub(super) steps: u32,
    /// How long the tail may grow, and how many operations a run names.
    run: usize,
    index: Mutex<Index>,
}

#[derive(Debug)]
struct Index {
    /// The last sequence number that was given away.
    last: u64,
    /// The operations that no run names.
    tail: BTreeMap<u64, Trace>,
    /// The tables of the tail, and perhaps more.
    tables: BTreeSet<TableName>,
    /// Where the tail begins.
    noted: u64,
    /// The runs of the store by where they begin; `None` until they were read.
    runs: Option<BTreeMap<u64, Part>>,
    /// The operations of the tail and, once they were read, of the runs, by record. Those of runs may be gone.
    traces: BTreeSet<(Trace, u64)>,
    /// A commit was dropped or failed in an unknown way: reload before relying on the index.
    suspect: bool,
    /// As whom this context changes the queue.
    author: Author,
    /// What others have changed up to here is in the index. `None` until it was read.
    known: Option<Position>,
}

/// A part of the queue, and whose operations may be in it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) seqs: Range<u64>,
    pub(super) tables: BTreeSet<TableName>,
}

impl Queue {
    pub(crate) fn new(store: Arc<dyn LocalStore>, steps: u32, tail: u32) -> Self {
        Self {
            store,
            steps,
            run: usize::try_from(tail).unwrap_or(usize::MAX).max(1),
            index: Mutex::new(Index {
                last: 0,
                tail: BTreeMap::new(),
                tables: BTreeSet::new(),
                noted: 0,
                runs: None,
                traces: BTreeSet::new(),
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
    pub(super) fn caught_up(&self, known: Position, floor: u64, noted: u64) {
        let mut index = self.index();
        index.known = Some(known);
        index.last = index.last.max(floor).max(noted.saturating_sub(1));
        index.suspect = false;
        if noted > index.noted {
            // Another context has written runs, of what is known here already.
            index.noted = noted;
            index.tail = index.tail.split_off(&noted);
            index.runs = None;
        }
    }

    /// Replaces everything by the tail, as the store holds it from `noted` on.
    pub(super) fn replace_all(&self, noted: u64, tail: &[Operation]) {
        let mut index = self.index();
        index.tail.clear();
        index.tables.clear();
        index.traces.clear();
        index.noted = noted;
        index.runs = (noted == 0).then(BTreeMap::new);
        for operation in tail {
            index.insert(operation);
        }
    }

    /// Where the tail begins.
    pub(super) fn noted(&self) -> u64 {
        self.index().noted
    }

    /// Whether the runs of the store were read.
    pub(super) fn knows_runs(&self) -> bool {
        self.index().runs.is_some()
    }

    /// Takes over the runs of the store, read while the tail began at `noted`, unless it begins elsewhere by now. Those behind that were written
    /// while they were read, and are the tail here still.
    pub(super) fn take_runs(&self, noted: u64, runs: &[Run]) {
        let mut index = self.index();
        if index.noted != noted {
            return;
        }
        let runs = runs.iter().filter(|run| run.end <= noted);
        for run in runs.clone() {
            let traces = run.operations().map(|(seq, trace)| (trace, seq));
            index.traces.extend(traces);
        }
        index.runs = Some(runs.map(Part::of).collect());
    }

    /// Operations that a record may have, oldest first, for each of `ids`: among them all that it has, once the runs were read.
    pub(super) fn candidates<'a>(
        &self,
        table: &TableName,
        ids: impl IntoIterator<Item = &'a RecordId>,
    ) -> Vec<Vec<u64>> {
        let index = self.index();
        let of_record = |id: &RecordId| {
            if index.traces.is_empty() {
                return Vec::new();
            }
            let trace = trace(table, id);
            let all = index.traces.range((trace, 0)..=(trace, u64::MAX));
            all.map(|(_, seq)| *seq).collect()
        };
        ids.into_iter().map(of_record).collect()
    }

    /// The parts of the queue in which there may be operations of such tables, once the runs were read.
    pub(super) fn parts(&self, wanted: impl Fn(&TableName) -> bool) -> Vec<Range<u64>> {
        let index = self.index();
        let tail = (!index.tail.is_empty()).then(|| Part {
            seqs: index.noted..u64::MAX,
            tables: index.tables.clone(),
        });
        let mut found: Vec<Range<u64>> = Vec::new();
        let runs = index.runs.iter().flat_map(BTreeMap::values);
        for part in runs.chain(&tail) {
            if !part.tables.iter().any(&wanted) {
                continue;
            }
            match found.last_mut() {
                Some(before) if before.end == part.seqs.start => before.end = part.seqs.end,
                _ => found.push(part.seqs.clone()),
            }
        }
        found
    }

    /// The last sequence number that was given away.
    pub(crate) fn last_seq(&self) -> u64 {
        self.index().last
    }

    /// Takes over what a commit did to the operations of one record.
    pub(crate) fn record_changed(
        &self,
        table: &TableName,
        id: &RecordId,
        removed: impl IntoIterator<Item = u64>,
        operations: &[Operation],
    ) {
        let mut index = self.index();
        for seq in removed {
            index.tail.remove(&seq);
            index.traces.remove(&(trace(table, id), seq));
        }
        for operation in operations {
            index.insert(operation);
        }
    }

    /// The number to remember as used when `removed` leaves the queue without its highest operation.
    pub(crate) fn floor_after(&self, removed: &[u64]) -> Option<u64> {
        let index = self.index();
        // The end of the runs is remembered anyway.
        let highest = index.tail.keys().next_back()?;
        removed.contains(highest).then_some(index.last)
    }

    /// Takes over one operation as the store holds it.
    pub(super) fn replace(&self, seq: u64, operation: Option<&Operation>) {
        let mut index = self.index();
        if let Some(trace) = index.tail.remove(&seq) {
            index.traces.remove(&(trace, seq));
        }
        if let Some(operation) = operation {
            index.insert(operation);
        }
    }

    /// Whether the tail is so long that runs should be written of it.
    pub(crate) fn has_long_tail(&self) -> bool {
        let index = self.index();
        index.tail.len() >= self.run && !index.suspect
    }

    /// Runs of the tail.
    pub(super) fn tail_as_runs(&self) -> Vec<Run> {
        let index = self.index();
        let tail: Vec<(u64, Trace)> = index
            .tail
            .iter()
            .map(|(seq, trace)| (*seq, *trace))
            .collect();
        let runs = tail
            .chunks(self.run)
            .filter_map(|part| Run::of(part, &index.tables));
        runs.collect()
    }

    /// These runs of the tail are in the store by now.
    pub(super) fn noted_as(&self, runs: &[Run]) {
        let mut index = self.index();
        let Some(last) = runs.last() else {
            return;
        };
        index.noted = last.end;
        index.tail.clear();
        index.tables.clear();
        if let Some(known) = &mut index.runs {
            known.extend(runs.iter().map(Part::of));
        }
    }

    /// Whether there may be runs.
    pub(crate) fn may_have_runs(&self) -> bool {
        let index = self.index();
        index.runs.as_ref().is_none_or(|runs| !runs.is_empty())
    }

    /// The parts that runs name, in order, once they were read.
    pub(super) fn run_parts(&self) -> Vec<Range<u64>> {
        let index = self.index();
        let runs = index.runs.iter().flat_map(BTreeMap::values);
        runs.map(|part| part.seqs.clone()).collect()
    }

    /// The runs that begin there are gone.
    pub(super) fn forget_runs(&self, starts: &BTreeSet<u64>) {
        let mut index = self.index();
        let Some(runs) = &mut index.runs else {
            return;
        };
        let gone = starts.iter().filter_map(|start| runs.remove(start));
        let gone: Vec<Range<u64>> = gone.map(|part| part.seqs).collect();
        index
            .traces
            .retain(|(_, seq)| !gone.iter().any(|part| part.contains(seq)));
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.index().suspect
    }

    pub(crate) fn mark_suspect(&self) {
        self.index().suspect = true;
    }
}

impl Part {
    /// Where a run begins, and what it names.
    fn of(run: &Run) -> (u64, Self) {
        let part = Self {
            seqs: run.start()..run.end,
            tables: run.tables.clone(),
        };
        (run.start(), part)
    }
}

impl Index {
    fn insert(&mut self, operation: &Operation) {
        let trace = trace(&operation.table, &operation.id);
        self.last = self.last.max(operation.seq);
        self.traces.insert((trace, operation.seq));
        if operation.seq >= self.noted {
            self.tail.insert(operation.seq, trace);
            if !self.tables.contains(&operation.table) {
                self.tables.insert(operation.table.clone());
            }
        }
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
