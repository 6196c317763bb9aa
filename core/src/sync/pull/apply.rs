//! Storing a page that a pull brought, together with how far the pull got.

use std::collections::HashMap;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::store::{Durability, Expect, StoreCapabilities, StoreError, Write, WriteBatch};
use crate::sync::event::{Event, Origin, RecordChange};
use crate::sync::inner::Inner;
use crate::sync::local::write::CommitError;
use crate::sync::pull::report::PullReport;
use crate::sync::pull::stamp::Stamp;
use crate::sync::queue::operation::{Operation, OperationKind, OperationState};
use crate::sync::remote::Remote;
use crate::sync::system::{ATTEMPTS, DELTA, FAILURES, OPERATIONS, seq_id};

/// Where rows come from and go to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) remote: &'a Remote,
    pub(crate) table: &'a TableName,
    pub(crate) stamp: &'a Stamp,
}

impl Inner {
    /// Stores rows of the server and the pull's token: in one commit, unless somebody changes records here meanwhile, who waits for it, or others
    /// change the queue all the time. Then the rows go in smaller portions, and the token with the last: a crash before it leaves rows that
    /// the next pull brings again.
    ///
    /// A record with queued operations is left alone: the server's row is kept with its first operation, to be restored
    /// should the operation be cancelled. A row that equals what is stored is not written. Where the stamp no longer stands,
    /// nothing is stored: another context has pulled, or has taken the positions back.
    pub(crate) async fn apply_page(
        &self,
        target: &Target<'_>,
        rows: &[Record],
        token: Option<Record>,
        report: &mut PullReport,
    ) -> Result<(), Error> {
        // Of an id that comes twice the last row counts.
        let all = rows.len();
        let latest: HashMap<&RecordId, usize> = rows
            .iter()
            .enumerate()
            .map(|(place, row)| (row.id(), place))
            .collect();
        let unique = |place: usize, row: &Record| latest.get(row.id()) == Some(&place);
        let rows: Vec<&Record> = rows
            .iter()
            .enumerate()
            .filter(|(place, row)| unique(*place, row))
            .map(|(_, row)| row)
            .collect();
        let superseded = (all - rows.len()) as u64;
        let (mut rest, mut portion, mut attempt) = (&rows[..], rows.len().max(1), 0);
        loop {
            let most = self.guards.locals.rows_at_once().min(portion);
            let (now, later) = rest.split_at(most.min(rest.len()));
            let token = token.as_ref().filter(|_| later.is_empty());
            match self.try_page(target, now, token, attempt, report).await {
                Ok(()) if later.is_empty() => break,
                Ok(()) => (rest, attempt) = (later, 0),
                Err(CommitError::Stale) if attempt < ATTEMPTS => {
                    self.look_at_home(target.remote).await?;
                    if !target.stamp.stands(self.store.as_ref()).await? {
                        return Err(Error::Contended);
                    }
                    attempt += 1;
                    portion = (portion / 2).max(1);
                    self.stand_back(attempt).await?;
                }
                Err(CommitError::Stale) => return Err(Error::Contended),
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        // An older copy of a row that came twice brought nothing.
        report.unchanged += superseded;
        Ok(())
    }

    /// Stores some rows in one commit.
    async fn try_page(
        &self,
        target: &Target<'_>,
        rows: &[&Record],
        token: Option<&Record>,
        attempt: usize,
        report: &mut PullReport,
    ) -> Result<(), CommitError> {
        let table = target.table;
        let _queue = self.guards.queue.write().await;
        if attempt > 0 || self.queue.is_suspect() {
            self.queue.reload().await?;
        }
        let ids: Vec<RecordId> = rows.iter().map(|row| row.id().clone()).collect();
        let locals = self.store.get(table, &ids).await?;
        let mut plan = PagePlan {
            keeps: self.store.capabilities(),
            batch: WriteBatch::new().durability(Durability::Eventual),
            ..PagePlan::default()
        };
        let queued = self.queue.of_records(table, &ids).await?;
        for ((row, local), queued) in rows.iter().zip(locals).zip(queued) {
            match queued.into_iter().next() {
                Some(first) => plan.shadow(row, first)?,
                None => plan.take(table, row, local.as_ref()),
            }
        }
        if let Some(token) = token {
            plan.batch.push(Write::Put {
                table: DELTA.clone(),
                record: token.clone(),
            });
        }
        let removed: Vec<u64> = plan.settled.iter().map(|(seq, _)| *seq).collect();
        self.queue.remember_end(&mut plan.batch, &removed)?;
        if !plan.batch.writes().is_empty() {
            // No one queued an operation since the index was read, and no dropped commit did.
            target.remote.session.check_in(&mut plan.batch);
            let stamp = target.stamp.renew_in(&mut plan.batch, self.ids.as_ref())?;
            self.queue.commit(plan.batch).await?;
            target.stamp.set(stamp);
        }
        for (seq, id) in &plan.settled {
            self.queue.record_changed(table, id, [*seq], &[]);
        }
        report.add(&plan.counts);
        for (id, change) in plan.changes {
            self.listeners.emit(Event::Changed {
                table: table.clone(),
                id,
                change,
                origin: Origin::Pull,
            });
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct PagePlan {
    keeps: StoreCapabilities,
    batch: WriteBatch,
    counts: PullReport,
    changes: Vec<(RecordId, RecordChange)>,
    /// Operations that the page settles, and their records.
    settled: Vec<(u64, RecordId)>,
}

impl PagePlan {
    /// Notes the server's row with the first operation on its record.
    fn shadow(&mut self, row: &Record, mut operation: Operation) -> Result<(), StoreError> {
        self.counts.kept += 1;
        let seq = operation.seq;
        let is_row = |known: &Option<Record>| {
            let known = known.as_ref();
            known.is_some_and(|known| self.keeps.keeps_as(known, row))
        };
        if is_row(&operation.base) || is_row(&operation.shadow) {
            return Ok(());
        }
        let as_read = operation.as_read()?;
        self.batch.check(&OPERATIONS, &seq_id(seq), as_read);
        let parked = operation.state == OperationState::Conflict;
        if parked && operation.kind == OperationKind::Delete && row.is_deleted() {
            // Both sides deleted it by now: nothing is left to decide.
            for table in [&*OPERATIONS, &*FAILURES] {
                let (table, id) = (table.clone(), seq_id(seq));
                self.batch.push(Write::Delete { table, id });
            }
            self.settled.push((seq, row.id().clone()));
            return Ok(());
        }
        operation.shadow = Some(row.clone());
        self.batch.push(Write::Put {
            table: OPERATIONS.clone(),
            record: operation.to_row()?,
        });
        Ok(())
    }

    /// Takes over a row whose record has no operations.
    fn take(&mut self, table: &TableName, row: &Record, local: Option<&Record>) {
        let id = row.id();
        let change = match (row.is_deleted(), local) {
            (true, None) => None,
            (true, Some(_)) => Some(RecordChange::Deleted),
            (false, None) => Some(RecordChange::Inserted),
            (false, Some(local)) if self.keeps.keeps_as(local, row) => None,
            (false, Some(_)) => Some(RecordChange::Updated),
        };
        let Some(change) = change else {
            self.counts.unchanged += 1;
            return;
        };
        let count = match change {
            RecordChange::Deleted => &mut self.counts.deleted,
            RecordChange::Inserted => &mut self.counts.added,
            RecordChange::Updated => &mut self.counts.updated,
        };
        *count += 1;
        let table = table.clone();
        let write = if change == RecordChange::Deleted {
            let id = id.clone();
            Write::Delete { table, id }
        } else {
            let record = row.clone();
            Write::Put { table, record }
        };
        // Whoever changed the record without the queue, as another pull or another program, is not overwritten unseen.
        let expect = Expect::as_read(local);
        self.batch.check(write.table(), id, expect);
        self.batch.push(write);
        self.changes.push((id.clone(), change));
    }
}
