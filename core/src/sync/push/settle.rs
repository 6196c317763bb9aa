//! What an answer of the server does to the store: one commit for a group of answers.

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::planted::planted;
use crate::record::{Record, SystemProperties};
use crate::schema::MergeRules;
use crate::store::{Durability, Write, WriteBatch};
use crate::sync::context::Inner;
use crate::sync::decide::conflict::{ConflictDecision, ConflictDetails};
use crate::sync::decide::merge::join;
use crate::sync::event::{Event, Origin};
use crate::sync::queue::operation::{Operation, OperationKind, OperationState};
use crate::sync::queue::slot::Slot;
use crate::sync::system::{FAILURES, FailureRow};
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

/// What is known about an operation that was handed to the transport.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Done; the record as the server now has it, where it said so.
    Applied(Option<Record>),
    /// Done by an earlier attempt, whose answer the server remembers; and the record as the server has it now.
    AppliedEarlier {
        record: Option<Record>,
        now: Option<Record>,
    },
    /// Not done, and how the conflict was decided.
    Conflict {
        server: Option<Record>,
        decision: ConflictDecision,
        message: String,
        /// It may have been done before others changed the record: see [`Operation::unsure`].
        unsure: bool,
    },
    /// Not done, for good.
    Rejected(Rejection),
    /// Not done so far, though an attempt may still be on its way; not tried again by itself.
    GaveUp(Rejection),
    /// Not handed over after all.
    NotSent,
    /// Not known.
    Unknown,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Its effect is at the server, or it is not wanted any more.
    Done,
    /// It will be sent again with other content or on another version.
    Again,
    /// Parked because of a conflict.
    Conflict,
    /// Parked because it was refused.
    Rejected,
    /// As before.
    Open,
}

/// An answer together with the operation it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) seq: u64,
    pub(crate) table: TableName,
    pub(crate) id: RecordId,
    pub(crate) answer: Answer,
}

impl Inner {
    /// Stores a group of answers about different records in one commit.
    pub(crate) async fn settle(&self, answers: &[Answered]) -> Result<Vec<Settled>, Error> {
        let mut keys: Vec<_> = answers
            .iter()
            .map(|a| (a.table.clone(), a.id.clone()))
            .collect();
        keys.sort_unstable();
        // Eventual: an answer that a power cut takes away is asked for again before the operation is repeated.
        let settled = self
            .with_slots(&keys, Durability::Eventual, Origin::Push, |slots, batch| {
                answers
                    .iter()
                    .map(|answered| {
                        let slot = slots
                            .iter_mut()
                            .find(|slot| slot.table == answered.table && slot.id == answered.id);
                        slot.map_or(Ok(Settled::Open), |slot| settle_one(slot, batch, answered))
                    })
                    .collect::<Result<Vec<_>, Error>>()
            })
            .await?;
        for (answered, settled) in answers.iter().zip(&settled) {
            let (seq, table, id) = (answered.seq, answered.table.clone(), answered.id.clone());
            match settled {
                Settled::Conflict => self.emit(Event::ConflictParked { seq, table, id }),
                Settled::Rejected => self.emit(Event::OperationRejected { seq, table, id }),
                Settled::Done | Settled::Again | Settled::Open => {}
            }
        }
        Ok(settled)
    }
}

fn settle_one(
    slot: &mut Slot,
    batch: &mut WriteBatch,
    answered: &Answered,
) -> Result<Settled, Error> {
    let seq = answered.seq;
    let newer = slot.operations.last().is_some_and(|last| last.seq != seq);
    let Some(operation) = slot.find(seq) else {
        // Cancelled while it was at the server. If it took effect and nothing newer waits, show that.
        if slot.operations.is_empty() {
            match &answered.answer {
                Answer::Applied(Some(record)) => slot.record = live(Some(record)),
                Answer::AppliedEarlier { now, .. } => slot.record = live(now.as_ref()),
                _ => {}
            }
        }
        return Ok(Settled::Done);
    };
    match &answered.answer {
        Answer::Unknown => Ok(Settled::Open),
        Answer::NotSent => {
            operation.state = OperationState::Pending;
            operation.attempts = operation.attempts.saturating_sub(1);
            slot.condense(seq);
            Ok(Settled::Open)
        }
        Answer::Applied(record) => {
            applied(slot, seq, record.as_ref());
            Ok(Settled::Done)
        }
        Answer::AppliedEarlier { record, now } => {
            applied(slot, seq, record.as_ref());
            match slot.operations.first_mut() {
                // It meets what others did since; should it be cancelled, that is restored.
                Some(next) => next.shadow = now.clone().or_else(|| Some(tombstone(&slot.id))),
                None => slot.record = live(now.as_ref()),
            }
            Ok(Settled::Done)
        }
        Answer::Rejected(rejection) => {
            if newer {
                // It was edited meanwhile: what was refused is not what would be sent now.
                if slot.condense(seq)
                    && let Some(operation) = slot.find(seq)
                {
                    operation.state = OperationState::Pending;
                }
                return Ok(Settled::Again);
            }
            reject(operation, batch, rejection)
        }
        Answer::GaveUp(_) if newer => Ok(Settled::Open),
        Answer::GaveUp(rejection) => {
            operation.unsure = true;
            reject(operation, batch, rejection)
        }
        Answer::Conflict {
            server,
            decision,
            message,
            unsure,
        } => {
            operation.unsure |= unsure;
            if !slot.condense(seq) {
                // Inserted, met a stranger at the server, and deleted meanwhile: the stranger is shown.
                slot.record = live(server.as_ref());
                return Ok(Settled::Done);
            }
            if newer && *decision != ConflictDecision::Park && !planted!(DecisionOverEdit) {
                // The decision was made on content that has changed since. Sent again on the old version, the
                // operation meets the same conflict, and the decision is made anew.
                if let Some(operation) = slot.find(seq) {
                    operation.state = OperationState::Pending;
                }
                return Ok(Settled::Again);
            }
            decide(slot, batch, seq, server.as_ref(), decision, message)
        }
    }
}

/// Parks an operation with the words of the server.
fn reject(
    operation: &mut Operation,
    batch: &mut WriteBatch,
    rejection: &Rejection,
) -> Result<Settled, Error> {
    operation.state = OperationState::Rejected;
    let failure = FailureRow {
        status: rejection.status,
        message: rejection.message.clone(),
        server: None,
    };
    batch.push(Write::Put {
        table: FAILURES.clone(),
        record: failure.to_row(operation.seq)?,
    });
    Ok(Settled::Rejected)
}

/// The operation took effect: it leaves the queue, and the server's answer becomes the record unless it was edited meanwhile.
fn applied(slot: &mut Slot, seq: u64, record: Option<&Record>) {
    let Some(place) = slot
        .operations
        .iter()
        .position(|operation| operation.seq == seq)
    else {
        return;
    };
    let done = slot.operations.remove(place);
    let answer = record.filter(|record| !record.is_deleted());
    let Some(next) = slot.operations.get_mut(place) else {
        if done.kind != OperationKind::Delete
            && let Some(answer) = answer
        {
            slot.record = Some(answer.clone());
        }
        return;
    };
    if done.kind == OperationKind::Delete {
        return;
    }
    if planted!(AnswerOverEdit) {
        slot.record = answer.cloned();
    }
    // What the server now has is what the newer edit is based on.
    let sent = done.item.clone().or_else(|| slot.record.clone());
    next.base = answer.cloned().or(sent);
    if planted!(OldBaseOfSuccessor) {
        next.base = done.base;
    }
    if let (Some(local), Some(base)) = (&mut slot.record, &next.base) {
        *local = local.clone().with_system(base.system().clone());
    }
}

/// Carries out a decision on a conflict. The operation is known to have had no effect, and is the only one on its record.
pub(crate) fn decide(
    slot: &mut Slot,
    batch: &mut WriteBatch,
    seq: u64,
    server: Option<&Record>,
    decision: &ConflictDecision,
    message: &str,
) -> Result<Settled, Error> {
    let parked = |slot: &mut Slot, batch: &mut WriteBatch, message: &str| {
        if let Some(operation) = slot.find(seq) {
            operation.state = OperationState::Conflict;
        }
        let failure = FailureRow {
            status: None,
            message: message.to_owned(),
            server: server.cloned(),
        };
        batch.push(Write::Put {
            table: FAILURES.clone(),
            record: failure.to_row(seq)?,
        });
        Ok(Settled::Conflict)
    };
    match decision {
        ConflictDecision::Park => parked(slot, batch, message),
        ConflictDecision::Server => {
            slot.operations.retain(|operation| operation.seq != seq);
            slot.record = live(server);
            Ok(Settled::Done)
        }
        ConflictDecision::Client => {
            send_again(slot, seq, server);
            Ok(if slot.find(seq).is_some() {
                Settled::Again
            } else {
                Settled::Done
            })
        }
        ConflictDecision::With(record) => {
            let kept = slot
                .record
                .clone()
                .unwrap_or_else(|| record.clone().with_id(slot.id.clone()));
            slot.record = Some(kept.with_id(slot.id.clone()).with_body_of(record));
            if let Some(operation) = slot.find(seq)
                && operation.kind == OperationKind::Delete
            {
                operation.kind = OperationKind::Replace;
            }
            send_again(slot, seq, server);
            Ok(Settled::Again)
        }
    }
}

/// Bases the operation on what the server was seen to hold, so that the next attempt is conditional on exactly that.
fn send_again(slot: &mut Slot, seq: u64, server: Option<&Record>) {
    let exists = server.is_some_and(|record| !record.is_deleted());
    let Some(operation) = slot.find(seq) else {
        return;
    };
    if operation.kind == OperationKind::Delete && !exists {
        // Both sides deleted it.
        slot.operations.retain(|operation| operation.seq != seq);
        return;
    }
    operation.state = OperationState::Pending;
    operation.edits += 1;
    operation.item = None;
    // An earlier attempt that is still on its way comes too late, unless the server's record is the one that it was sent for.
    let version = |record: Option<&Record>| record.and_then(Record::version).cloned();
    operation.unsure &= version(operation.base.as_ref()) == version(server);
    if !planted!(OldBaseAfterDecision) {
        operation.base = server.cloned();
    }
    operation.shadow = None;
    // The decision was made over the deletion, so the tombstone of it is not another conflict.
    operation.follows_delete = server.is_none();
    operation.kind = match (operation.kind, server) {
        (OperationKind::Delete, _) => OperationKind::Delete,
        (_, Some(_)) => OperationKind::Replace,
        (_, None) => OperationKind::Insert,
    };
    let system = server
        .map(|record| record.system().clone())
        .unwrap_or_default();
    if let Some(record) = &mut slot.record {
        let mut system = system;
        system.deleted = false;
        *record = record.clone().with_system(system);
    }
}

/// The merged record as a decision, or why there is none.
pub(crate) fn merge_decision(
    rules: &MergeRules,
    conflict: &ConflictDetails,
) -> Result<ConflictDecision, String> {
    let (Some(local), Some(server)) = (
        &conflict.local,
        conflict
            .server
            .as_ref()
            .filter(|record| !record.is_deleted()),
    ) else {
        return Err("one side deleted the record".into());
    };
    let unsure = conflict.operation.unsure;
    let open = unsure && !planted!(CountsUnsureChanges);
    let merged = join(rules, open, conflict.base.as_ref(), local, server);
    if !merged.clashes.is_empty() {
        let names = merged.clashes.join(", ");
        Err(if unsure {
            format!(
                "both sides changed {names}, and an answer was lost, so the change may be in already"
            )
        } else {
            format!("both sides changed {names}")
        })
    } else if merged.record.same_members(server) {
        Ok(ConflictDecision::Server)
    } else {
        Ok(ConflictDecision::With(merged.record))
    }
}

/// The record of a row that the server does not have any more.
pub(crate) fn tombstone(id: &RecordId) -> Record {
    let system = SystemProperties {
        deleted: true,
        ..SystemProperties::default()
    };
    Record::from_stored(id.clone(), system, "{}")
}

/// A record that is not a tombstone.
pub(crate) fn live(record: Option<&Record>) -> Option<Record> {
    record.filter(|record| !record.is_deleted()).cloned()
}
