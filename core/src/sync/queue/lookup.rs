//! What is asked of the queue: answered from the index where it can be, else from the operations' own rows, never from all of them.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::{Cursor, Expr, Query, field};
use crate::record::Record;
use crate::store::{Durability, StoreError, Write, WriteBatch};
use crate::sync::queue::index::Queue;
use crate::sync::queue::operation::{Operation, OperationState};
use crate::sync::queue::runs::{Noted, Run};
use crate::sync::system::{FAILURES, META, OPERATIONS, meta_row, seq_id};

/// Rows of the queue, and changes of the store, that are read at once.
pub(super) const QUEUE_PAGE: u32 = 1000;

/// At how many runs that are in use the search for others ends.
const MOST_IN_USE: usize = 64;

/// How many operations of the queue are parked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parked {
    pub(crate) conflicts: u64,
    pub(crate) rejected: u64,
}

/// What the store was seen to hold of a record with one operation.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// The operation.
    Operation(Operation),
    /// The record, too.
    Slot(Operation, Option<Record>),
}

impl Known {
    pub(crate) fn operation(&self) -> &Operation {
        match self {
            Self::Operation(operation) | Self::Slot(operation, _) => operation,
        }
    }
}

impl Queue {
    /// The operations on records of a table, oldest first, for each of `ids`.
    ///
    /// They are those of this moment. Who relies on it commits under the check that nobody else has changed the queue.
    pub(crate) async fn of_records(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Vec<Operation>>, Error> {
        self.read_runs().await?;
        let candidates = self.candidates(table, ids);
        let seqs: Vec<RecordId> = candidates.iter().flatten().copied().map(seq_id).collect();
        if seqs.is_empty() {
            return Ok(ids.iter().map(|_| Vec::new()).collect());
        }
        let mut rows = self.store.get(&OPERATIONS, &seqs).await?.into_iter();
        let mut found = Vec::with_capacity(ids.len());
        for (id, candidates) in ids.iter().zip(candidates) {
            // Mostly one, which is large.
            let mut operations = Vec::with_capacity(candidates.len());
            for row in rows.by_ref().take(candidates.len()).flatten() {
                let operation = Operation::from_row(&row)?;
                if operation.id == *id && operation.table == *table {
                    operations.push(operation);
                }
            }
            found.push(operations);
        }
        Ok(found)
    }

    /// Keeps of what is `known` of the records of a table only the operations that are the only ones, as far as the index knows.
    pub(crate) async fn confirm(
        &self,
        table: &TableName,
        ids: &[RecordId],
        known: &mut [Option<&Known>],
    ) -> Result<(), Error> {
        if known.iter().all(Option::is_none) {
            return Ok(());
        }
        self.read_runs().await?;
        for (known, found) in known.iter_mut().zip(self.candidates(table, ids)) {
            *known = known.filter(|known| found == [known.operation().seq]);
        }
        Ok(())
    }

    /// The operations on one record, oldest first.
    pub(crate) async fn of_record(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Vec<Operation>, Error> {
        let found = self.of_records(table, std::slice::from_ref(id)).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Those of these records that have no operations.
    pub(crate) async fn without_operations(
        &self,
        table: &TableName,
        ids: Vec<RecordId>,
    ) -> Result<Vec<RecordId>, Error> {
        let operations = self.of_records(table, &ids).await?;
        let pairs = ids.into_iter().zip(operations);
        Ok(pairs
            .filter(|(_, found)| found.is_empty())
            .map(|(id, _)| id)
            .collect())
    }

    /// Whether a record has an operation.
    pub(crate) async fn has_operations(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<bool, Error> {
        Ok(!self.of_record(table, id).await?.is_empty())
    }

    /// Whether a record may have operations, as far as the index knows it by itself.
    pub(crate) fn may_have_operations(&self, table: &TableName, id: &RecordId) -> bool {
        self.candidates(table, [id])
            .iter()
            .any(|found| !found.is_empty())
    }

    /// Whether the index knows an operation that the store holds.
    pub(crate) async fn knows_of(&self, operation: &Operation) -> Result<bool, Error> {
        self.read_runs().await?;
        let found = self.candidates(&operation.table, [&operation.id]);
        Ok(found.concat().contains(&operation.seq))
    }

    /// Whether an operation that the store holds is passed by: it stands before the tail, and no run names it.
    pub(crate) async fn is_lost(&self, operation: &Operation) -> Result<bool, Error> {
        Ok(!self.knows_of(operation).await? && operation.seq < self.noted())
    }

    /// Up to `count` operations from number `from` on, oldest first.
    pub(crate) async fn from(&self, from: u64, count: u32) -> Result<Vec<Operation>, StoreError> {
        let query = Query::all().page(count).after(behind(from));
        let page = self.store.query(&OPERATIONS, &query).await?;
        page.records.iter().map(Operation::from_row).collect()
    }

    /// All operations on a table, oldest first.
    pub(crate) async fn of_table(&self, table: &TableName) -> Result<Vec<Operation>, Error> {
        let is_of = field("table").eq(table.as_str());
        self.some_of(|other| other == table, &is_of, u64::MAX).await
    }

    /// Whether no other table has operations.
    pub(crate) async fn is_all_of(&self, table: &TableName) -> Result<bool, Error> {
        let is_other = field("table").ne(table.as_str());
        let found = self.some_of(|other| other != table, &is_other, 1).await?;
        Ok(found.is_empty())
    }

    /// How many operations a table has, counted up to `most`.
    pub(crate) async fn count_of_table(&self, table: &TableName, most: u64) -> Result<u64, Error> {
        let is_of = field("table").eq(table.as_str());
        let found = self.some_of(|other| other == table, &is_of, most).await?;
        Ok(found.len() as u64)
    }

    /// True when the table has an operation that a push would send.
    pub(crate) async fn is_dirty(&self, table: &TableName) -> Result<bool, Error> {
        let wanted = field("table").eq(table.as_str()).and(is_sent());
        let found = self.some_of(|other| other == table, &wanted, 1).await?;
        Ok(!found.is_empty())
    }

    /// A table other than this one that has an operation which a push would send.
    pub(crate) async fn another_table(
        &self,
        table: &TableName,
    ) -> Result<Option<TableName>, Error> {
        let wanted = field("table").ne(table.as_str()).and(is_sent());
        let found = self.some_of(|other| other != table, &wanted, 1).await?;
        Ok(found.into_iter().next().map(|operation| operation.table))
    }

    /// How many operations wait in all, parked ones too.
    pub(crate) async fn count(&self) -> Result<u64, StoreError> {
        self.store.count(&OPERATIONS, &Query::all()).await
    }

    /// Whether no operation waits, not even a parked one.
    pub(crate) async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.from(0, 1).await?.is_empty())
    }

    /// The parked operations, oldest first: those that have a failure.
    pub(crate) async fn parked(&self) -> Result<Vec<Operation>, Error> {
        let mut query = Query::all().page(QUEUE_PAGE);
        let mut found = Vec::new();
        loop {
            let page = self.store.query(&FAILURES, &query).await?;
            let ids: Vec<RecordId> = page.records.iter().map(|row| row.id().clone()).collect();
            for row in self.store.get(&OPERATIONS, &ids).await?.iter().flatten() {
                found.push(Operation::from_row(row)?);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// How many operations are parked.
    pub(crate) async fn count_parked(&self) -> Result<Parked, Error> {
        let mut parked = Parked::default();
        for operation in self.parked().await? {
            match operation.state {
                OperationState::Conflict => parked.conflicts += 1,
                OperationState::Rejected => parked.rejected += 1,
                OperationState::Pending | OperationState::Attempted => {}
            }
        }
        Ok(parked)
    }

    /// Adds to a batch that nothing is queued any more. Once it is done the index is to be [read](Self::read).
    pub(crate) async fn clear_in(&self, batch: &mut WriteBatch) -> Result<(), Error> {
        self.read_runs().await?;
        for table in [&OPERATIONS, &FAILURES] {
            let table = TableName::clone(table);
            batch.push(Write::Clear { table });
        }
        for part in self.run_parts() {
            batch.push(Write::Delete {
                table: META.clone(),
                id: Run::id(part.start),
            });
        }
        Ok(Self::end_in(batch, self.last_seq())?)
    }

    /// Adds to a batch that these operations are queued no more.
    pub(crate) fn drop_in(&self, batch: &mut WriteBatch, seqs: &[u64]) -> Result<(), StoreError> {
        for (table, seq) in seqs
            .iter()
            .flat_map(|seq| [(&OPERATIONS, seq), (&FAILURES, seq)])
        {
            batch.push(Write::Delete {
                table: TableName::clone(table),
                id: seq_id(*seq),
            });
        }
        self.remember_end(batch, seqs)
    }

    /// Adds to a batch that removes operations what keeps their numbers from being given away again.
    pub(crate) fn remember_end(
        &self,
        batch: &mut WriteBatch,
        removed: &[u64],
    ) -> Result<(), StoreError> {
        if let Some(floor) = self.floor_after(removed) {
            Self::end_in(batch, floor)?;
        }
        Ok(())
    }

    fn end_in(batch: &mut WriteBatch, used: u64) -> Result<(), StoreError> {
        batch.push(Write::Put {
            table: META.clone(),
            record: meta_row("queue", &used.to_string())?,
        });
        Ok(())
    }

    /// The first `most` operations that `wanted` describes, in the parts that have operations of such tables.
    async fn some_of(
        &self,
        tables: impl Fn(&TableName) -> bool,
        wanted: &Expr,
        most: u64,
    ) -> Result<Vec<Operation>, Error> {
        self.read_runs().await?;
        let mut found = Vec::new();
        for part in self.parts(tables) {
            let until = field("id").lt(seq_id(part.end).as_str());
            let mut query = Query::all()
                .filter(until.and(wanted.clone()))
                .page(QUEUE_PAGE)
                .after(behind(part.start));
            loop {
                let left = most.saturating_sub(found.len() as u64);
                if left == 0 {
                    return Ok(found);
                }
                query.page = Some(u32::try_from(left).unwrap_or(QUEUE_PAGE).min(QUEUE_PAGE));
                let page = self.store.query(&OPERATIONS, &query).await?;
                for row in &page.records {
                    found.push(Operation::from_row(row)?);
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
        }
        Ok(found)
    }
}

impl Queue {
    /// Reads the runs of the store, unless the index has them.
    pub(crate) async fn read_runs(&self) -> Result<(), Error> {
        while !self.knows_runs() {
            let noted = self.noted();
            let mut query = Query::all()
                .page(QUEUE_PAGE)
                .after(Some(Cursor::behind(RecordId::system(Run::PREFIX))));
            let mut runs = Vec::new();
            'rows: loop {
                let page = self.store.query(&META, &query).await?;
                for row in &page.records {
                    if !row.id().as_str().starts_with(Run::PREFIX) {
                        break 'rows;
                    }
                    runs.push(Run::from_row(row)?);
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            self.take_runs(noted, &runs);
        }
        Ok(())
    }

    /// Writes runs of a long tail. For the holder of the guard of the queue.
    ///
    /// A commit of its own, behind that of the operations: a crash between them leaves a longer tail, which is read at the next opening.
    pub(crate) async fn note(&self) -> Result<(), Error> {
        if !self.has_long_tail() {
            return Ok(());
        }
        let runs = self.tail_as_runs();
        let mut batch = WriteBatch::new().durability(Durability::Eventual);
        for run in &runs {
            batch = batch.put(&META, run.to_row()?);
        }
        if let Some(last) = runs.last() {
            batch = batch.put(&META, Noted { end: last.end }.to_row()?);
        }
        // There is no such row. That the queue was changed is what counts: an operation with a lower number that another context has under way
        // fails its check, and comes again with a higher one.
        batch = batch.delete(&OPERATIONS, &RecordId::system("fence"));
        self.commit(batch).await?;
        self.noted_as(&runs);
        Ok(())
    }

    /// Lets the runs go whose operations are all gone, but none behind many that have some: operations leave the queue from its front. For the
    /// holder of the guard of the queue. A crash before it leaves runs that name nothing any more, until the next time.
    pub(crate) async fn tidy(&self) -> Result<(), Error> {
        self.read_runs().await?;
        let mut batch = WriteBatch::new().durability(Durability::Eventual);
        let (mut gone, mut first, mut in_use) = (BTreeSet::new(), None, 0);
        for part in self.run_parts() {
            // The first operation from here on, wherever it is.
            if first.is_none_or(|first| first < part.start) {
                let found = self.from(part.start, 1).await?;
                first = Some(found.first().map_or(u64::MAX, |found| found.seq));
            }
            if first.is_some_and(|first| part.contains(&first)) {
                in_use += 1;
                if in_use >= MOST_IN_USE {
                    break;
                }
                continue;
            }
            batch = batch.delete(&META, &Run::id(part.start));
            gone.insert(part.start);
        }
        if batch.writes().is_empty() {
            return Ok(());
        }
        self.commit(batch).await?;
        self.forget_runs(&gone);
        Ok(())
    }
}

/// Behind the operation before this number.
pub(super) fn behind(from: u64) -> Option<Cursor> {
    from.checked_sub(1)
        .map(|before| Cursor::behind(seq_id(before)))
}

fn is_sent() -> Expr {
    let states = [OperationState::Pending, OperationState::Attempted];
    field("state").is_in(states.map(OperationState::as_str))
}
