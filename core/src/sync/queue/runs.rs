//! What the store keeps of the queue's index: which operations a record may have, in runs that are written once.
//!
//! The newest operations, the tail, are read when a context opens. Once they are many, their numbers are noted in a run, one row of
//! `__meta`, and the tail begins behind it. So an opening reads a few rows however long the queue is, and a record's operations are
//! found without reading all others. A run only hints: it names each operation that was queued in it, also those that are gone by now, and
//! two records may share a trace. What counts is the operation's own row.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::store::StoreError;
use crate::sync::system::{META, read, row};

/// A number that a record always has; a few others have the same one.
pub(crate) type Trace = u32;

/// The trace of a record: FNV-1a, folded. It is stored, so it never changes.
pub(crate) fn trace(table: &TableName, id: &RecordId) -> Trace {
    // No name contains a zero, so the pair can be told apart.
    let bytes = table.as_str().bytes().chain([0]).chain(id.as_str().bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded")]
    let folded = (hash ^ (hash >> 32)) as Trace;
    folded
}

/// The operations that were queued in a part of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The number behind its last operation.
    pub(crate) end: u64,
    /// The tables of its operations, and perhaps more.
    pub(crate) tables: BTreeSet<TableName>,
    /// In turn: how far a number lies behind the one before it, and the trace of its record.
    operations: Vec<(u64, Trace)>,
}

impl Run {
    /// Where the rows of runs begin in `__meta`.
    pub(crate) const PREFIX: &'static str = "queue-run-";

    /// A run of these operations, in order; `None` of none.
    pub(crate) fn of(operations: &[(u64, Trace)], tables: &BTreeSet<TableName>) -> Option<Self> {
        let (last, _) = operations.last()?;
        let mut before = 0;
        let step = |(seq, trace): &(u64, Trace)| {
            let behind = seq.saturating_sub(before);
            before = *seq;
            (behind, *trace)
        };
        Some(Self {
            end: last.saturating_add(1),
            tables: tables.clone(),
            operations: operations.iter().map(step).collect(),
        })
    }

    /// Its operations, in order, with the traces of their records.
    pub(crate) fn operations(&self) -> impl Iterator<Item = (u64, Trace)> + '_ {
        let mut at = 0_u64;
        self.operations.iter().map(move |(behind, trace)| {
            at = at.saturating_add(*behind);
            (at, *trace)
        })
    }

    /// The number of its first operation.
    pub(crate) fn start(&self) -> u64 {
        self.operations.first().map_or(self.end, |(seq, _)| *seq)
    }

    pub(crate) fn id(start: u64) -> RecordId {
        RecordId::system(&format!("{}{start:020}", Self::PREFIX))
    }

    pub(crate) fn to_row(&self) -> Result<Record, StoreError> {
        row(Self::id(self.start()), self)
    }

    pub(crate) fn from_row(record: &Record) -> Result<Self, StoreError> {
        read(&META, record)
    }
}

/// Where the tail begins: each operation before it is named by a run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) end: u64,
}

impl Noted {
    pub(crate) fn id() -> RecordId {
        RecordId::system("queue-noted")
    }

    pub(crate) fn to_row(self) -> Result<Record, StoreError> {
        row(Self::id(), &self)
    }

    pub(crate) fn from_row(record: &Record) -> Result<Self, StoreError> {
        read(&META, record)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_names_what_it_was_made_of(
            operations in proptest::collection::btree_map(1_u64..u64::MAX, any::<Trace>(), 1..40),
        ) {
            let operations: Vec<(u64, Trace)> = operations.into_iter().collect();
            let run = Run::of(&operations, &BTreeSet::new()).expect("there are some");
            let read = Run::from_row(&run.to_row().expect("it can be written")).expect("it can be read");
            prop_assert_eq!(&read, &run);
            prop_assert_eq!(read.operations().collect::<Vec<_>>(), operations.clone());
            prop_assert_eq!(Some(read.start()), operations.first().map(|(seq, _)| *seq));
            prop_assert!(operations.iter().all(|(seq, _)| *seq < read.end));
        }
    }

    #[test]
    fn a_trace_is_the_same_for_ever() {
        let table = TableName::new("todoitem").expect("a name");
        let id = RecordId::new("a").expect("an id");
        assert_eq!(trace(&table, &id), TRACE_OF_A);
        assert_ne!(
            trace(
                &TableName::new("todoitema").expect("a name"),
                &RecordId::new("b").expect("an id")
            ),
            trace(&table, &RecordId::new("ab").expect("an id")),
        );
    }

    /// Stores hold traces: another value here would lose the operations in them.
    const TRACE_OF_A: Trace = 3_039_338_321;
}
