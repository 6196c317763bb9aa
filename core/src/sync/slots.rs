//! Slots, which are records with their operations: read, planned on, and committed. For local changes, pushes and resolutions.

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::store::{Durability, LocalStoreExt, WriteBatch};
use crate::sync::event::{Event, Origin};
use crate::sync::guards::spread;
use crate::sync::inner::Inner;
use crate::sync::local::write::CommitError;
use crate::sync::queue::lookup::Known;
use crate::sync::queue::operation::Operation;
use crate::sync::queue::slot::Slot;
use crate::sync::system::{ATTEMPTS, META};
use crate::threads::{MaybeSend, MaybeSync};

/// Something that is to be done to a record and its operations.
pub(crate) trait Edit: MaybeSync {
    /// The record.
    fn key(&self) -> (&TableName, &RecordId);

    /// What the store was seen to hold of it, which is not read again where the index knows of that operation and of no other. Where it is
    /// something else by now, the commit finds that out, and all of it is read.
    fn known(&self) -> Option<&Known> {
        None
    }
}

impl Edit for Operation {
    fn key(&self) -> (&TableName, &RecordId) {
        (&self.table, &self.id)
    }
}

impl Inner {
    /// Reads records with their operations, but for what is `known`, for each of `keys` or for none. The caller holds the locks of the records, or
    /// the guard of the queue alone.
    pub(crate) async fn read_slots(
        &self,
        keys: &[(TableName, RecordId)],
        known: &[Option<&Known>],
    ) -> Result<Vec<Slot>, CommitError> {
        let mut slots = Vec::with_capacity(keys.len());
        let now = self.clock.now();
        let mut known = known.iter().copied();
        for group in keys.chunk_by(|left, right| left.0 == right.0) {
            let Some((table, _)) = group.first() else {
                continue;
            };
            let local_only = self.tables.get(table).device.local_only;
            let ids: Vec<RecordId> = group.iter().map(|(_, id)| id.clone()).collect();
            let mut known: Vec<Option<&Known>> =
                ids.iter().map(|_| known.next().flatten()).collect();
            // There records change beside their operations.
            if local_only {
                known.fill(None);
            }
            self.queue.confirm(table, &ids, &mut known).await?;
            let without = |is_known: fn(&Known) -> bool| {
                let pairs = ids.iter().zip(&known);
                let unknown = pairs.filter(move |(_, known)| !known.is_some_and(is_known));
                unknown.map(|(id, _)| id.clone()).collect::<Vec<_>>()
            };
            let queued = self.queue.of_records(table, &without(|_| true)).await?;
            let records = without(|known| matches!(known, Known::Slot(..)));
            let records = match &records[..] {
                [] => Vec::new(),
                ids => self.store.get(table, ids).await?,
            };
            let (mut queued, mut records) = (queued.into_iter(), records.into_iter());
            for (id, known) in ids.iter().zip(known) {
                let operations = match known {
                    Some(known) => vec![known.operation().clone()],
                    None => queued.next().unwrap_or_default(),
                };
                let record = match known {
                    Some(Known::Slot(_, record)) => record.clone(),
                    _ => records.next().flatten(),
                };
                let slot = Slot::new(table.clone(), id.clone(), record, operations);
                slots.push(slot.local_only(local_only).steps(&self.steps).at(now));
            }
        }
        Ok(slots)
    }

    /// Commits what changed in `slots` together with `batch`, brings the index up to date and tells listeners.
    pub(crate) async fn commit_slots(
        &self,
        slots: &mut [Slot],
        mut batch: WriteBatch,
        origin: Origin,
    ) -> Result<(), CommitError> {
        let mut removed = Vec::new();
        for slot in &mut *slots {
            slot.write_into(&mut batch)?;
            removed.extend(slot.removed());
        }
        self.queue.remember_end(&mut batch, &removed)?;
        if !batch.is_empty() {
            let lease = match origin {
                Origin::Push => self.lease.renew_in(&mut batch)?,
                _ => None,
            };
            self.queue.commit(batch).await?;
            if lease.is_some() {
                self.lease.set(lease);
            }
        } else if origin == Origin::Push {
            // What was to be changed is gone: perhaps another process has done it, and taken the lease for that.
            self.lease.look().await?;
        }
        for slot in slots {
            self.queue
                .record_changed(&slot.table, &slot.id, slot.removed(), &slot.operations);
            if let Some(change) = slot.record_change() {
                let (table, id) = (slot.table.clone(), slot.id.clone());
                self.listeners.emit(Event::Changed {
                    table,
                    id,
                    change,
                    origin,
                });
            }
        }
        Ok(())
    }

    /// Plans for each item on the slot of its record, and commits what came of it: all in one commit, unless others change the queue all
    /// the time. Then the items go in smaller portions, each of which takes less time to plan; a crash in between leaves the rest as it
    /// was. `plan` may run several times.
    pub(crate) async fn each_slot<I: Edit, T: MaybeSend>(
        &self,
        items: &[I],
        durability: Durability,
        origin: Origin,
        plan: impl FnMut(&I, &mut Slot, &mut WriteBatch) -> Result<T, Error> + MaybeSend,
    ) -> Result<Vec<T>, Error> {
        let as_planned = |planned, _: &Slot| planned;
        self.each_slot_then(items, (durability, origin), plan, as_planned)
            .await
    }

    /// The same, and makes the results of what was planned and of the slot as it is then.
    pub(crate) async fn each_slot_then<I: Edit, T: MaybeSend, R: MaybeSend>(
        &self,
        items: &[I],
        (durability, origin): (Durability, Origin),
        mut plan: impl FnMut(&I, &mut Slot, &mut WriteBatch) -> Result<T, Error> + MaybeSend,
        then: impl Fn(T, &Slot) -> R + MaybeSync,
    ) -> Result<Vec<R>, Error> {
        let mut results = Vec::with_capacity(items.len());
        let (mut rest, mut portion, mut attempt) = (items, items.len().max(1), 0);
        while !rest.is_empty() {
            if self.queue.is_suspect() {
                self.reload_queue().await?;
            }
            let (now, later) = rest.split_at(portion.min(rest.len()));
            let batch = WriteBatch::new().durability(durability);
            let trusting = attempt == 0;
            match self
                .try_slots(now, trusting, (batch, origin), &mut plan)
                .await
            {
                Ok((planned, slots)) => {
                    let planned = planned.into_iter();
                    let done = planned.filter_map(|(planned, place)| {
                        slots.get(place).map(|slot| then(planned, slot))
                    });
                    results.extend(done);
                    (rest, attempt) = (later, 0);
                }
                Err(CommitError::Stale) if attempt < ATTEMPTS => {
                    if origin == Origin::Push {
                        self.lease.look().await?;
                    }
                    attempt += 1;
                    portion = (portion / 2).max(1);
                    self.start_over(attempt).await?;
                }
                Err(CommitError::Stale) => return Err(Error::Contended),
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Ok(results)
    }

    /// Reads the queue again after a plan went stale.
    pub(crate) async fn start_over(&self, attempt: usize) -> Result<(), Error> {
        self.stand_back(attempt).await?;
        self.reload_queue().await
    }

    /// Contexts that take the queue from each other in step would go on so for ever; the engine does not sleep, so each
    /// stands back for some reads, another number in every context.
    pub(crate) async fn stand_back(&self, attempt: usize) -> Result<(), Error> {
        for _ in 0..spread(attempt, &self.ids.next_id()) {
            self.store
                .get_one(&META, &RecordId::system("store"))
                .await?;
        }
        Ok(())
    }

    /// Stale where a commit was dropped before the locks of its records came to this call: it may be done at any time, and between two
    /// reads of one plan it would be seen by one of them alone.
    pub(crate) fn is_known(&self) -> Result<(), CommitError> {
        if self.queue.is_suspect() {
            return Err(CommitError::Stale);
        }
        Ok(())
    }

    /// What was planned for each item, with the place of its slot, and the slots. `trusting`: what items know of their records is not read.
    async fn try_slots<I: Edit, T: MaybeSend>(
        &self,
        items: &[I],
        trusting: bool,
        (mut batch, origin): (WriteBatch, Origin),
        plan: &mut (impl FnMut(&I, &mut Slot, &mut WriteBatch) -> Result<T, Error> + MaybeSend),
    ) -> Result<(Vec<(T, usize)>, Vec<Slot>), CommitError> {
        let _queue = self.guards.queue.read().await;
        let _locks = self.guards.records.lock(items.iter().map(Edit::key)).await;
        self.is_known()?;
        let mut order: Vec<&I> = items.iter().collect();
        order.sort_by_key(|item| item.key());
        order.dedup_by_key(|item| item.key());
        let owned = |item: &&I| {
            let (table, id) = item.key();
            (table.clone(), id.clone())
        };
        let keys: Vec<_> = order.iter().map(owned).collect();
        let known = order.iter().map(|item| item.known().filter(|_| trusting));
        let known: Vec<_> = known.collect();
        let mut slots = self.read_slots(&keys, &known).await?;
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            let place = keys.binary_search_by(|(table, id)| (table, id).cmp(&item.key()));
            let place = place.map_err(|_| CommitError::Stale)?;
            let slot = slots.get_mut(place).ok_or(CommitError::Stale)?;
            results.push((plan(item, slot, &mut batch)?, place));
        }
        self.commit_slots(&mut slots, batch, origin).await?;
        Ok((results, slots))
    }
}
