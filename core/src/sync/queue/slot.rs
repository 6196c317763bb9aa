//! One record with its operations: what a change does to both, as a pure rule.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::{Draft, Record, SystemProperties};
use crate::schema::Steps;
use crate::store::{Expect, StoreError, Write, WriteBatch};
use crate::sync::event::RecordChange;
use crate::sync::queue::collapse::{Collapse, collapse};
use crate::sync::queue::operation::{Operation, OperationKind, OperationState, Seen};
use crate::sync::system::{FAILURES, OPERATIONS, seq_id};
use crate::threads::{MaybeSend, MaybeSync};
use crate::timestamp::Timestamp;

/// A local change as the application asks for it.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    /// A new record; an error if there is one.
    Insert(Record),
    /// The same with an id that was made here, so that nobody else has it.
    InsertNew(Record),
    /// Members put over those of the record; an error if there is none.
    Update(Draft),
    /// Members put over those of the record, made from it as it is; an error if there is none.
    Modify(Modify),
    /// All members anew; an error if there is no record.
    Replace(Record),
    /// Insert or replace.
    Upsert(Record),
    /// No more record; an error if there is none.
    Delete,
    /// The record as it is, to be sent if no server knows it and nothing else will send it.
    Send,
}

/// Makes changes from a record. It is called again when the record changed before they were stored.
#[derive(Clone)]
pub(crate) struct Modify(Arc<dyn ChangesOf>);

trait ChangesOf: MaybeSend + MaybeSync {
    fn of(&self, record: &Record) -> Result<Draft, Error>;
}

impl<F: Fn(&Record) -> Result<Draft, Error> + MaybeSend + MaybeSync> ChangesOf for F {
    fn of(&self, record: &Record) -> Result<Draft, Error> {
        self(record)
    }
}

impl Modify {
    pub(crate) fn new(
        changes: impl Fn(&Record) -> Result<Draft, Error> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        Self(Arc::new(changes))
    }
}

impl fmt::Debug for Modify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Modify(..)")
    }
}

/// A record and its operations before and after some changes.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) table: TableName,
    pub(crate) id: RecordId,
    pub(crate) record: Option<Record>,
    pub(crate) operations: Vec<Operation>,
    was_record: Option<Record>,
    was_operations: Vec<Operation>,
    local_only: bool,
    as_one: bool,
    steps: Arc<Steps>,
    pub(crate) now: Timestamp,
}

/// The record of a table that is local only by now, beside an operation about another content; none where it was deleted since.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptApart(Option<Record>);

impl Slot {
    /// The state as the store holds it; `operations` oldest first.
    pub(crate) fn new(
        table: TableName,
        id: RecordId,
        record: Option<Record>,
        operations: Vec<Operation>,
    ) -> Self {
        let (was_record, was_operations) = (record.clone(), operations.clone());
        Self {
            table,
            id,
            record,
            operations,
            was_record,
            was_operations,
            local_only: false,
            as_one: false,
            steps: Arc::default(),
            now: Timestamp::EPOCH,
        }
    }

    /// Changes leave no operations.
    pub(crate) fn local_only(mut self, yes: bool) -> Self {
        self.local_only = yes;
        self
    }

    /// What changes is to take effect together with other records: it joins nothing that was queued before.
    pub(crate) fn in_unit(mut self, yes: bool) -> Self {
        self.as_one = yes;
        self
    }

    /// The steps whose words the record is in.
    pub(crate) fn steps(mut self, steps: &Arc<Steps>) -> Self {
        self.steps = Arc::clone(steps);
        self
    }

    /// Brings an operation to the words of the record, now that its content need not be sent again as it was.
    pub(crate) fn thaw(&mut self, seq: u64) {
        let steps = Arc::clone(&self.steps);
        if let Some(operation) = self.find(seq)
            && operation.words < steps.len()
        {
            *operation = operation.clone().in_newest(&steps);
        }
    }

    /// The time that new operations carry.
    pub(crate) fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// Applies one change of the application.
    pub(crate) fn apply(
        &mut self,
        intent: &Intent,
        next_seq: &mut dyn FnMut() -> u64,
    ) -> Result<(), Error> {
        let not_found = || Error::NotFound {
            table: self.table.clone(),
            id: self.id.clone(),
        };
        match (intent, &self.record) {
            (Intent::Insert(_) | Intent::InsertNew(_), Some(_)) => Err(Error::AlreadyExists {
                table: self.table.clone(),
                id: self.id.clone(),
            }),
            (Intent::Insert(new) | Intent::Upsert(new), None) => {
                self.change(OperationKind::Insert, Some(new.clone()), next_seq)
            }
            (Intent::InsertNew(new), None) => {
                self.change(OperationKind::Insert, Some(new.clone()), next_seq)?;
                if let Some(operation) = self.operations.last_mut() {
                    operation.generated = true;
                }
                Ok(())
            }
            (Intent::Update(changes), Some(old)) => {
                self.change(OperationKind::Replace, Some(old.patched(changes)), next_seq)
            }
            (Intent::Modify(modify), Some(old)) => {
                let changes = modify.0.of(old)?;
                changes.check_id(&self.id)?;
                let new = old.patched(&changes);
                self.change(OperationKind::Replace, Some(new), next_seq)
            }
            (Intent::Replace(new) | Intent::Upsert(new), Some(old)) => {
                let new = old.clone().with_body_of(new);
                self.change(OperationKind::Replace, Some(new), next_seq)
            }
            (Intent::Send, Some(old)) if self.operations.is_empty() && old.is_new() => {
                let new = old.clone();
                self.change(OperationKind::Replace, Some(new), next_seq)
            }
            (Intent::Send, _) => Ok(()),
            (Intent::Delete, Some(_)) => self.change(OperationKind::Delete, None, next_seq),
            (Intent::Update(_) | Intent::Modify(_) | Intent::Replace(_) | Intent::Delete, None) => {
                Err(not_found())
            }
        }
    }

    fn change(
        &mut self,
        kind: OperationKind,
        new: Option<Record>,
        next_seq: &mut dyn FnMut() -> u64,
    ) -> Result<(), Error> {
        let mut new = new.map(|record| match kind {
            OperationKind::Insert => record.with_system(SystemProperties::default()),
            _ => record,
        });
        if self.local_only {
            // What was queued before may still go; what is changed from now on may not go with it.
            if let Some(last) = self.operations.last_mut()
                && last.kind != OperationKind::Delete
                && last.item.is_none()
            {
                last.item.clone_from(&self.record);
            }
            self.record = new;
            return Ok(());
        }
        let Some(last) = self.operations.last_mut() else {
            let at_server = self.record.as_ref().is_some_and(|record| !record.is_new());
            let operation = match (kind, at_server) {
                (OperationKind::Insert, _) | (OperationKind::Replace, false) => {
                    Some((OperationKind::Insert, None))
                }
                // Never at the server and nothing queued (its operation was discarded): nothing to tell.
                (OperationKind::Delete, false) => None,
                (_, true) => Some((kind, self.record.clone())),
            };
            if let Some((kind, base)) = operation {
                let (seq, now) = (next_seq(), self.now);
                let mut new = Operation::new(seq, now, &self.table, &self.id, kind, base);
                new.words = self.steps.len();
                self.operations.push(new);
            }
            self.record = new;
            return Ok(());
        };
        let is_new = |was: &Operation| was.seq != last.seq;
        let may_join = (last.unit.is_none() && !self.as_one)
            || last.is_parked()
            || self.was_operations.iter().all(is_new);
        let state = if !may_join {
            // What belongs to a unit stays as it is, and apart.
            OperationState::Attempted
        } else if last.unsure && last.state != OperationState::Attempted {
            // It may be at the server after all, as one that met a record there.
            OperationState::Conflict
        } else {
            last.state
        };
        let before = self.record.as_ref();
        let collapsed = collapse(last.kind, state, kind);
        if collapsed != Collapse::Append && last.words < self.steps.len() {
            // What it sends next is another content.
            *last = last.clone().in_newest(&self.steps);
        }
        match collapsed {
            Collapse::Keep => last.edited(before),
            Collapse::Become(other) => {
                if last.kind == OperationKind::Delete {
                    let system = last
                        .base
                        .as_ref()
                        .map(|base| base.system().clone())
                        .unwrap_or_default();
                    new = new.map(|record| record.with_system(system));
                    last.follows_delete = true;
                }
                last.kind = other;
                last.edited(before);
                let gone = last.shadow.as_ref().map_or(last.gone, Record::is_deleted);
                if last.kind == OperationKind::Delete
                    && last.state == OperationState::Conflict
                    && gone
                {
                    // The server deleted it, too: there is no conflict any more.
                    self.operations.pop();
                }
            }
            Collapse::Drop => {
                let dropped = self.operations.pop();
                // A stranger that a pull met under the same id is shown now.
                new = dropped.and_then(|operation| Record::live(operation.shadow.as_ref()));
            }
            Collapse::Append => {
                if last.kind != OperationKind::Delete && last.item.is_none() {
                    last.item.clone_from(&self.record);
                }
                let mut operation =
                    Operation::new(next_seq(), self.now, &self.table, &self.id, kind, None);
                operation.follows_delete = last.kind == OperationKind::Delete;
                operation.words = self.steps.len();
                self.operations.push(operation);
            }
            Collapse::Illegal => {
                return Err(match kind {
                    OperationKind::Insert => Error::AlreadyExists {
                        table: self.table.clone(),
                        id: self.id.clone(),
                    },
                    _ => Error::NotFound {
                        table: self.table.clone(),
                        id: self.id.clone(),
                    },
                });
            }
        }
        self.record = new;
        Ok(())
    }

    /// The place of an operation in this slot.
    pub(crate) fn find(&mut self, seq: u64) -> Option<&mut Operation> {
        self.operations
            .iter_mut()
            .find(|operation| operation.seq == seq)
    }

    /// The record as it is here, where the table is local only by now and the operation that left before is about another content: what
    /// becomes of the operation does not touch it.
    pub(crate) fn kept_apart(&mut self, seq: u64) -> Option<KeptApart> {
        let (local_only, record) = (self.local_only, self.record.clone());
        let operation = self.find(seq).filter(|_| local_only)?;
        let sends = match operation.kind {
            OperationKind::Delete => None,
            _ => Some(operation.item.as_ref()?),
        };
        (sends != record.as_ref()).then_some(KeptApart(record))
    }

    /// Puts the record back that was [kept apart](Self::kept_apart); the operation, if it is still queued, goes on with what it is about.
    pub(crate) fn put_back(&mut self, seq: u64, KeptApart(kept): KeptApart) {
        let settled = std::mem::replace(&mut self.record, kept);
        if let Some(record) = self.record.take() {
            let system = settled.as_ref().map(|settled| settled.system().clone());
            self.record = Some(record.with_system(system.unwrap_or_default()));
        }
        if let Some(operation) = self.find(seq)
            && operation.kind != OperationKind::Delete
            && operation.item.is_none()
        {
            operation.item = settled;
        }
    }

    /// It goes again as it was. What was changed behind it joins it, unless one of both belongs to a unit.
    pub(crate) fn reopen(&mut self, seq: u64) {
        let Some(operation) = self.find(seq) else {
            return;
        };
        operation.state = OperationState::Pending;
        let behind = self.operations.iter().skip_while(|it| it.seq != seq);
        if behind.take(2).all(|it| it.unit.is_none()) {
            self.condense(seq);
        }
    }

    /// Joins the operations behind `seq` back into it: it is now known that it had no effect, so there is
    /// nothing to freeze any more. Returns false when the two cancel each other and nothing is left but what the
    /// server was seen to hold.
    pub(crate) fn condense(&mut self, seq: u64) -> bool {
        let Some(place) = self
            .operations
            .iter()
            .position(|operation| operation.seq == seq)
        else {
            return false;
        };
        let later: Vec<Operation> = self.operations.drain(place + 1..).collect();
        let Some(operation) = self.operations.last_mut() else {
            return false;
        };
        let other = |item: &Record| self.record.as_ref() != Some(item);
        if later.is_empty() && operation.item.as_ref().is_some_and(other) {
            // The edit behind it was discarded: what was frozen is what it is about.
            return true;
        }
        let frozen = operation.item.take();
        let state = if operation.unsure {
            OperationState::Conflict
        } else {
            OperationState::Pending
        };
        for next in later {
            operation.unit = operation.unit.or(next.unit);
            match collapse(operation.kind, state, next.kind) {
                Collapse::Become(kind) => {
                    operation.follows_delete |= operation.kind == OperationKind::Delete;
                    operation.kind = kind;
                    operation.edited(frozen.as_ref());
                }
                Collapse::Drop => {
                    let dropped = self.operations.pop();
                    self.record =
                        dropped.and_then(|operation| Record::live(operation.shadow.as_ref()));
                    return false;
                }
                _ => operation.edited(frozen.as_ref()),
            }
        }
        true
    }

    /// What happened to the record, if anything.
    pub(crate) fn record_change(&self) -> Option<RecordChange> {
        match (&self.was_record, &self.record) {
            (None, Some(_)) => Some(RecordChange::Inserted),
            (Some(_), None) => Some(RecordChange::Deleted),
            (Some(old), Some(new)) if old != new => Some(RecordChange::Updated),
            _ => None,
        }
    }

    /// The numbers of operations that were added.
    pub(crate) fn new_operations(&self) -> impl Iterator<Item = u64> + '_ {
        let before = |seq: u64| self.was_operations.iter().any(|was| was.seq == seq);
        let seqs = self.operations.iter().map(|operation| operation.seq);
        seqs.filter(move |seq| !before(*seq))
    }

    /// The numbers of operations that were removed.
    pub(crate) fn removed(&self) -> impl Iterator<Item = u64> + '_ {
        let after = |seq: u64| self.operations.iter().any(|operation| operation.seq == seq);
        self.was_operations
            .iter()
            .map(|operation| operation.seq)
            .filter(move |seq| !after(*seq))
    }

    /// Adds to `batch` what turns the state before into the state after, on the condition that the state
    /// before still stands. The operations know then as what they were written.
    pub(crate) fn write_into(&mut self, batch: &mut WriteBatch) -> Result<(), StoreError> {
        if self.was_record != self.record {
            let expect = Expect::as_read(self.was_record.as_ref());
            batch.check(&self.table, &self.id, expect);
            batch.push(match &self.record {
                Some(record) => Write::Put {
                    table: self.table.clone(),
                    record: record.clone(),
                },
                None => Write::Delete {
                    table: self.table.clone(),
                    id: self.id.clone(),
                },
            });
        }
        for old in &self.was_operations {
            let new = self
                .operations
                .iter()
                .find(|operation| operation.seq == old.seq);
            if new == Some(old) {
                continue;
            }
            batch.check(&OPERATIONS, &seq_id(old.seq), old.as_read()?);
            if new.is_none() {
                batch.push(Write::Delete {
                    table: OPERATIONS.clone(),
                    id: seq_id(old.seq),
                });
            }
            if old.is_parked() && !new.is_some_and(Operation::is_parked) {
                batch.push(Write::Delete {
                    table: FAILURES.clone(),
                    id: seq_id(old.seq),
                });
            }
        }
        for new in &mut self.operations {
            match self
                .was_operations
                .iter()
                .find(|operation| operation.seq == new.seq)
            {
                Some(old) if old == new => continue,
                Some(_) => {}
                None => batch.check(&OPERATIONS, &seq_id(new.seq), Expect::Absent),
            }
            let row = new.to_row()?;
            new.row = Seen::Written(row.clone());
            batch.push(Write::Put {
                table: OPERATIONS.clone(),
                record: row,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
