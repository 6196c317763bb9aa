//! Local changes: read, plan, commit as one batch, tell.

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::store::{Durability, StoreErrorKind, WriteBatch};
use crate::sync::event::Origin;
use crate::sync::identity::session::Home;
use crate::sync::inner::Inner;
use crate::sync::queue::operation::Unit;
use crate::sync::queue::slot::{Intent, Slot};
use crate::sync::server::Link;
use crate::sync::system::{ATTEMPTS, META};

/// A change to one record.
#[derive(Debug, Clone)]
pub(crate) struct Staged {
    pub(crate) table: TableName,
    pub(crate) id: RecordId,
    pub(crate) intent: Intent,
}

/// Changes that are to be stored together.
#[derive(Debug, Clone, Copy)]
struct Plan<'a> {
    staged: &'a [Staged],
    durability: Durability,
    as_one: bool,
    /// Their records are taken to be absent.
    trusting: bool,
}

/// Why a plan could not be committed.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// The state it was made against is gone: reload and plan again.
    Stale,
    /// It failed.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for CommitError {
    fn from(error: E) -> Self {
        match error.into() {
            Error::Store(error) if error.kind() == StoreErrorKind::CheckFailed => Self::Stale,
            error => Self::Failed(error),
        }
    }
}

impl Inner {
    /// Checks a new record: size, declared types.
    pub(crate) fn check_record(&self, table: &TableName, record: &Record) -> Result<(), Error> {
        self.check_size(table, record)?;
        Ok(self.tables.get(table).schema.check_record(table, record)?)
    }

    /// Checks what a change makes of a record that `known` are the earlier states, or the other sides, of: only what it changes is
    /// judged. Gives the record to store.
    pub(crate) fn check_change(
        &self,
        table: &TableName,
        record: Record,
        known: &[&Record],
    ) -> Result<Record, Error> {
        let record = self
            .tables
            .get(table)
            .schema
            .check_change(table, record, known)?;
        self.check_size(table, &record)?;
        Ok(record)
    }

    /// Checks that a record is not too large.
    pub(crate) fn check_size(&self, table: &TableName, record: &Record) -> Result<(), Error> {
        let (bytes, limit) = (record.body().len(), self.settings.max_record_bytes);
        if bytes > limit {
            return Err(Error::TooLarge {
                table: table.clone(),
                id: record.id().clone(),
                bytes,
                limit,
            });
        }
        Ok(())
    }

    /// Applies changes in order, all or nothing, in one commit of this durability. `as_one`: the server is to do the same. Returns each record as it
    /// is after its change.
    pub(crate) async fn write(
        &self,
        staged: &[Staged],
        durability: Durability,
        as_one: bool,
    ) -> Result<Vec<Option<Record>>, Error> {
        for change in staged {
            self.tables.ensure(&change.table).await?;
        }
        let all_new = staged
            .iter()
            .all(|change| matches!(change.intent, Intent::Insert(_) | Intent::InsertNew(_)));
        // In the name of the account of this moment: a change of it meanwhile is for later changes.
        let link = self.server.link();
        let named = link.named_account().is_some();
        for attempt in 0..ATTEMPTS {
            if self.queue.is_suspect() {
                self.reload_queue().await?;
            }
            if named && (attempt > 0 || link.owner().is_none()) {
                self.look_at_owner(&link).await?;
            }
            // New ids are seldom taken: the first attempt leaves it to the store's check to find out.
            let trusting = all_new && attempt == 0;
            let plan = Plan {
                staged,
                durability,
                as_one,
                trusting,
            };
            match self.try_write(plan, &link).await {
                Ok(records) => {
                    self.note_queue().await;
                    return Ok(records);
                }
                Err(CommitError::Stale) if trusting => {}
                Err(CommitError::Stale) => self.start_over(attempt).await?,
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(Error::Contended)
    }

    /// Writes a long tail of the queue into runs. Nothing depends on it but how much the next opening reads: where it cannot be done, the next
    /// change tries it again.
    async fn note_queue(&self) {
        if self.queue.has_long_tail() {
            let _queue = self.guards.queue.write().await;
            let _ = self.queue.note().await;
        }
    }

    /// Lets runs of the queue go that name nothing any more. Nothing depends on it.
    pub(crate) async fn tidy_queue(&self) {
        if self.queue.may_have_runs() {
            let _queue = self.guards.queue.write().await;
            let _ = self.queue.tidy().await;
        }
    }

    async fn try_write(
        &self,
        plan: Plan<'_>,
        link: &Link,
    ) -> Result<Vec<Option<Record>>, CommitError> {
        let Plan {
            staged,
            durability,
            as_one,
            trusting,
        } = plan;
        self.guards.locals.begins();
        let _queue = self.guards.queue.read().await;
        let _locks = self
            .guards
            .records
            .lock(staged.iter().map(|change| (&change.table, &change.id)))
            .await;
        self.is_known()?;
        let mut keys: Vec<(TableName, RecordId)> = staged
            .iter()
            .map(|change| (change.table.clone(), change.id.clone()))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let mut slots = if trusting && keys.len() == staged.len() {
            if !made_here(staged) {
                self.queue.read_runs().await?;
            }
            self.empty_slots(&keys)
        } else {
            self.read_slots(&keys, &[]).await?
        };
        if as_one {
            slots = slots.into_iter().map(|slot| slot.in_unit(true)).collect();
        }
        let mut after = Vec::with_capacity(staged.len());
        for change in staged {
            let place =
                keys.binary_search_by(|(table, id)| (table, id).cmp(&(&change.table, &change.id)));
            let Some(slot) = place.ok().and_then(|place| slots.get_mut(place)) else {
                return Err(CommitError::Stale);
            };
            let before = slot.record.clone();
            slot.apply(&change.intent, &mut || self.queue.next_seq())?;
            // What is new was judged when it was staged.
            let is_edit = matches!(
                change.intent,
                Intent::Update(_) | Intent::Modify(_) | Intent::Replace(_) | Intent::Upsert(_)
            );
            if let Some(record) = slot.record.take_if(|_| is_edit) {
                let known: Vec<&Record> = before.iter().collect();
                slot.record = Some(self.check_change(&slot.table, record, &known)?);
            }
            after.push(slot.record.clone());
        }
        if as_one {
            make_unit(&mut slots);
        }
        let mut batch = WriteBatch::new().durability(durability);
        if link.named_account().is_some() {
            // Another context may have given the store to somebody else.
            let owner = link.owner().ok_or(CommitError::Stale)?;
            batch.check(&META, &Home::id(), owner);
        }
        self.commit_slots(&mut slots, batch, Origin::Local).await?;
        Ok(after)
    }

    /// Slots of records that are taken to be absent. Those with operations are left out, which ends the attempt.
    fn empty_slots(&self, keys: &[(TableName, RecordId)]) -> Vec<Slot> {
        let now = self.clock.now();
        let unknown =
            |key: &&(TableName, RecordId)| !self.queue.may_have_operations(&key.0, &key.1);
        let slot = |(table, id): &(TableName, RecordId)| {
            let local_only = self.tables.get(table).device.local_only;
            Slot::new(table.clone(), id.clone(), None, Vec::new())
                .local_only(local_only)
                .steps(&self.steps)
                .at(now)
        };
        keys.iter().take_while(unknown).map(slot).collect()
    }
}

/// Notes with each new operation that all of them belong together.
fn make_unit(slots: &mut [Slot]) {
    let new = |slot: &Slot| slot.new_operations().collect::<Vec<_>>();
    let mut all: Vec<u64> = slots.iter().flat_map(new).collect();
    all.sort_unstable();
    let (Some(first), Some(last)) = (all.first().copied(), all.last().copied()) else {
        return;
    };
    if !(2..=Unit::MOST).contains(&all.len()) {
        return;
    }
    for slot in slots {
        for operation in &mut slot.operations {
            if all.binary_search(&operation.seq).is_ok() {
                operation.unit = Some(Unit { first, last });
            }
        }
    }
}

/// Whether all records have ids that were made here, so that there can be no operation on any of them.
fn made_here(staged: &[Staged]) -> bool {
    staged
        .iter()
        .all(|change| matches!(change.intent, Intent::InsertNew(_)))
}
