//! The queue in the hands of the application: list, cancel, discard, retry, and resolve parked conflicts.

use crate::error::Error;
use crate::record::{Draft, Record};
use crate::store::{Durability, LocalStoreExt, Write, WriteBatch};
use crate::sync::context::SyncContext;
use crate::sync::decide::conflict::{ConflictDecision, ConflictDetails};
use crate::sync::decide::consult::{merge_decision, sides};
use crate::sync::decide::decision::decide;
use crate::sync::event::Origin;
use crate::sync::queue::operation::{Operation, OperationState};
use crate::sync::queue::slot::Slot;
use crate::sync::system::{FAILURES, FailureRow, seq_id};
use crate::threads::{MaybeSend, MaybeSync};
use crate::transport::Rejection;

/// An operation that waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedOperation {
    /// The operation.
    pub operation: Operation,
    /// Base, local and server record.
    pub conflict: ConflictDetails,
    /// HTTP status of a rejection.
    pub status: Option<u16>,
    /// The server's or the conflict handler's words.
    pub message: String,
}

/// How a parked conflict ends.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Resolution {
    /// The server's record is taken over; without one the local record is removed.
    Server,
    /// The local record (or its deletion) is queued again, on the version that the server was seen at.
    Client,
    /// What both sides changed is joined; an error where that is not possible.
    Merge,
    /// These members become the record's, and are queued. An id in them must be the record's.
    With(Draft),
}

impl SyncContext {
    /// The operations that wait for a decision: conflicts and refused ones, with base, local and server record.
    pub async fn parked(&self) -> Result<Vec<ParkedOperation>, Error> {
        let mut parked = Vec::new();
        for operation in self
            .pending()
            .await?
            .into_iter()
            .filter(Operation::is_parked)
        {
            parked.push(self.shown(operation).await?);
        }
        Ok(parked)
    }

    /// A parked operation with all that a decision needs.
    pub(crate) async fn shown(&self, operation: Operation) -> Result<ParkedOperation, Error> {
        let failure = self.failure(operation.seq).await?;
        let (table, id) = (&operation.table, &operation.id);
        let local = self.inner.store.get_one(table, id).await?;
        Ok(parked_operation(operation, local, failure))
    }

    /// The parked conflicts.
    pub async fn conflicts(&self) -> Result<Vec<ParkedOperation>, Error> {
        let mut parked = self.parked().await?;
        parked.retain(|parked| parked.operation.state == OperationState::Conflict);
        Ok(parked)
    }

    /// Drops an operation and those behind it on the same record, and restores the record as the server last
    /// had it. Returns the record as it now is.
    ///
    /// Of an operation that may have reached the server the effect there stays; the next pull brings it.
    pub async fn cancel(&self, seq: u64) -> Result<Option<Record>, Error> {
        self.change(seq, |slot, _, _| {
            let first = slot
                .operations
                .iter()
                .position(|operation| operation.seq == seq)
                .unwrap_or_default();
            let restored = slot
                .operations
                .get(first)
                .and_then(|operation| Record::live(operation.restorable()));
            let sent = slot
                .operations
                .get(..first)
                .and_then(<[_]>::last)
                .and_then(|frozen| frozen.item.clone());
            slot.operations.truncate(first);
            // Behind an operation that is at the server the record goes back to what that one sent.
            slot.record = if first == 0 { restored } else { sent };
            if let Some(frozen) = slot.operations.last_mut() {
                frozen.item = None;
            }
            Ok(())
        })
        .await
    }

    /// Drops an operation and those behind it on the same record, but leaves the record as it is here, until a pull brings the
    /// server's next change; one that a pull met already and kept out is taken over at once.
    pub async fn discard(&self, seq: u64) -> Result<Option<Record>, Error> {
        self.change(seq, |slot, _, _| {
            let kept = slot
                .operations
                .first()
                .and_then(|first| first.shadow.clone());
            slot.operations.retain(|operation| operation.seq < seq);
            if slot.operations.is_empty() && kept.is_some() {
                slot.record = Record::live(kept.as_ref());
            }
            Ok(())
        })
        .await
    }

    /// Queues a refused operation again as it is, or has the next push try one that is aside, whenever it was to be tried.
    ///
    /// A conflict needs a decision instead: [`Error::IsConflict`]. So does a record that the server keeps under another id
    /// ([`Error::OtherId`]): sent again it would be there twice.
    pub async fn retry(&self, seq: u64) -> Result<Option<Record>, Error> {
        self.change(seq, |slot, _, operation| {
            if operation.state == OperationState::Conflict {
                return Err(Error::IsConflict { seq });
            }
            if let Some(id) = &operation.other_id {
                return Err(Error::OtherId {
                    seq,
                    id: id.clone(),
                });
            }
            if let Some(operation) = slot.find(seq) {
                operation.retry();
                // What failed so far still counts, or a refusal would be put off for ever.
                if let Some(aside) = &mut operation.aside {
                    aside.next_try = None;
                }
            }
            Ok(())
        })
        .await
    }

    /// Ends a parked conflict. Returns the record as it now is, `None` if it is gone.
    ///
    /// [`Resolution::Server`] also ends it where the server keeps a new record under another id: it is taken over under that id, and
    /// the local one is removed.
    ///
    /// It is ended on what the store knows now. A decision that was made on what [`conflicts`](Self::conflicts) listed a while ago
    /// goes through [`resolve_parked`](Self::resolve_parked), so that an edit or a pull in between is not overwritten unseen.
    pub async fn resolve(&self, seq: u64, resolution: Resolution) -> Result<Option<Record>, Error> {
        self.resolve_listed(seq, None, resolution).await
    }

    /// Ends a parked conflict exactly as it was listed. If it has changed since, by an edit here or a newer row of the server, nothing
    /// is done and the error is [`Error::ConflictChanged`]: list it again.
    pub async fn resolve_parked(
        &self,
        parked: &ParkedOperation,
        resolution: Resolution,
    ) -> Result<Option<Record>, Error> {
        self.resolve_listed(parked.operation.seq, Some(&parked.conflict), resolution)
            .await
    }

    async fn resolve_listed(
        &self,
        seq: u64,
        listed: Option<&ConflictDetails>,
        resolution: Resolution,
    ) -> Result<Option<Record>, Error> {
        let with = match &resolution {
            Resolution::With(draft) => {
                let operation = self.operation(seq).await?;
                // Which of its values are new shows when both sides are at hand.
                Some(draft.clone().for_id(&operation.id)?)
            }
            _ => None,
        };
        let inner = &self.inner;
        let choose = move |operation: &Operation, details: &ConflictDetails| {
            Ok(match &resolution {
                Resolution::Server => ConflictDecision::Server,
                Resolution::Client => ConflictDecision::Client,
                Resolution::Merge => {
                    let declared = inner.tables.get(&operation.table);
                    merge_decision(&declared, details)
                        .map_err(|reason| Error::CannotMerge { seq, reason })?
                }
                Resolution::With(_) => match &with {
                    Some(record) => {
                        let (table, known) = (&operation.table, sides(details));
                        ConflictDecision::With(inner.check_change(table, record.clone(), &known)?)
                    }
                    None => return Err(Error::NoSuchOperation { seq }),
                },
            })
        };
        self.end_conflict(seq, listed, &choose, &Rejection::new(None, ""))
            .await
    }

    /// Ends a conflict, or parks it anew, as `choose` decides. `listed`: as it was shown; `refusal`: the words for one that is parked.
    pub(crate) async fn end_conflict(
        &self,
        seq: u64,
        listed: Option<&ConflictDetails>,
        choose: &(impl Fn(&Operation, &ConflictDetails) -> Result<ConflictDecision, Error> + MaybeSync),
        refusal: &Rejection,
    ) -> Result<Option<Record>, Error> {
        let failure = self.failure(seq).await?;
        self.change(seq, move |slot, batch, operation| {
            let server = failure.as_ref().and_then(|failure| failure.server.as_ref());
            if let Some(id) = &operation.other_id {
                let nothing = details(operation.clone(), None, None);
                let (seq, id) = (operation.seq, id.clone());
                return match (choose(operation, &nothing), server) {
                    (Ok(ConflictDecision::Server), Some(server)) => {
                        slot.operations.clear();
                        slot.record = None;
                        batch.push(Write::Put {
                            table: slot.table.clone(),
                            record: server.clone(),
                        });
                        Ok(())
                    }
                    _ => Err(Error::OtherId { seq, id }),
                };
            }
            if operation.state != OperationState::Conflict {
                return Err(Error::NotInConflict { seq });
            }
            let server = newest(server, operation);
            let local = content(operation, slot.record.clone());
            let details = details(operation.clone(), local, server.cloned());
            if listed.is_some_and(|listed| !listed.shows_the_same(&details)) {
                return Err(Error::ConflictChanged { seq });
            }
            let decision = choose(operation, &details)?;
            slot.condense(seq);
            decide(slot, batch, seq, server, &decision, refusal, false)?;
            Ok(())
        })
        .await
    }

    async fn failure(&self, seq: u64) -> Result<Option<FailureRow>, Error> {
        let row = self.inner.store.get_one(&FAILURES, &seq_id(seq)).await?;
        Ok(row.as_ref().map(FailureRow::from_row).transpose()?)
    }

    /// Changes the record of an operation and its queue in one commit.
    async fn change(
        &self,
        seq: u64,
        mut plan: impl FnMut(&mut Slot, &mut WriteBatch, &Operation) -> Result<(), Error> + MaybeSend,
    ) -> Result<Option<Record>, Error> {
        let operation = self.operation(seq).await?;
        if !self.inner.queue.knows_of(&operation).await? {
            // Another context has queued it.
            self.inner.reload_queue().await?;
        }
        let operation = [operation];
        let changed = self.inner.each_slot(
            &operation,
            Durability::Immediate,
            Origin::Resolution,
            |_, slot, batch| {
                let all: Vec<u64> = slot.operations.iter().map(|one| one.seq).collect();
                for other in all {
                    slot.thaw(other);
                }
                let operation = slot
                    .find(seq)
                    .cloned()
                    .ok_or(Error::NoSuchOperation { seq })?;
                plan(slot, batch, &operation)?;
                Ok(slot.record.clone())
            },
        );
        Ok(changed.await?.pop().flatten())
    }
}

fn parked_operation(
    operation: Operation,
    local: Option<Record>,
    failure: Option<FailureRow>,
) -> ParkedOperation {
    let server = newest(
        failure.as_ref().and_then(|failure| failure.server.as_ref()),
        &operation,
    )
    .cloned();
    let (status, message) = failure
        .map(|failure| (failure.status, failure.message))
        .unwrap_or_default();
    let local = content(&operation, local);
    ParkedOperation {
        conflict: details(operation.clone(), local, server),
        operation,
        status,
        message,
    }
}

/// What the operation is about: the record as it is here, unless an edit behind it was discarded.
fn content(operation: &Operation, record: Option<Record>) -> Option<Record> {
    operation.item.clone().or(record)
}

fn details(operation: Operation, local: Option<Record>, server: Option<Record>) -> ConflictDetails {
    ConflictDetails {
        base: operation.base.clone(),
        operation,
        local,
        server,
    }
}

/// What the server was last seen to hold: by the push that met the conflict, or by a later pull.
fn newest<'a>(failure: Option<&'a Record>, operation: &'a Operation) -> Option<&'a Record> {
    match (failure, operation.shadow.as_ref()) {
        // A tombstone without a time is what a later read found: the server has no such record any more.
        (Some(_), Some(shadow)) if shadow.is_deleted() && shadow.updated_at().is_none() => {
            Some(shadow)
        }
        (Some(failure), Some(shadow)) if shadow.updated_at() < failure.updated_at() => {
            Some(failure)
        }
        (failure, shadow) => shadow.or(failure),
    }
}
