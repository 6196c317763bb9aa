//! Decisions on conflicts, carried out.

use crate::error::Error;
use crate::record::Record;
use crate::store::{Write, WriteBatch};
use crate::sync::decide::conflict::ConflictDecision;
use crate::sync::push::answer::Settled;
use crate::sync::queue::operation::{OperationKind, OperationState};
use crate::sync::queue::slot::Slot;
use crate::sync::system::{FAILURES, FailureRow};
use crate::transport::Rejection;

/// Carries out a decision on a conflict. The operation is known to have had no effect, and is the only one on its record. `asks`: the
/// application will be asked about what is parked.
pub(crate) fn decide(
    slot: &mut Slot,
    batch: &mut WriteBatch,
    seq: u64,
    server: Option<&Record>,
    decision: &ConflictDecision,
    refusal: &Rejection,
    asks: bool,
) -> Result<Settled, Error> {
    // What a pull met before is older than the row that this push has read, unless it is another context's pull.
    let newer = slot
        .find(seq)
        .and_then(|operation| operation.shadow.clone())
        .filter(|met| is_newer(met, server));
    let gone = newer.as_ref().or(server).is_none_or(Record::is_deleted);
    let parked = |slot: &mut Slot, batch: &mut WriteBatch| {
        if let Some(operation) = slot.find(seq) {
            operation.state = OperationState::Conflict;
            operation.aside = None;
            operation.unanswered = asks;
            operation.gone = server.is_none_or(Record::is_deleted);
            if operation.shadow.is_some() {
                // A tombstone that this server does not show is kept, too.
                let hidden = operation.shadow.take().filter(Record::is_deleted);
                let row = newer.or_else(|| server.cloned()).or(hidden);
                operation.shadow = row.or_else(|| Some(Record::tombstone(&operation.id)));
            }
        }
        let failure = FailureRow {
            status: refusal.status,
            message: refusal.message.clone(),
            server: server.cloned(),
        };
        batch.push(Write::Put {
            table: FAILURES.clone(),
            record: failure.to_row(seq)?,
        });
        Ok(Settled::Conflict)
    };
    match decision {
        // Both sides deleted it: there is nothing to decide.
        ConflictDecision::Park
            if gone
                && slot
                    .find(seq)
                    .is_some_and(|operation| operation.kind == OperationKind::Delete) =>
        {
            slot.operations.retain(|operation| operation.seq != seq);
            Ok(Settled::Done)
        }
        ConflictDecision::Park => parked(slot, batch),
        ConflictDecision::Server => {
            slot.operations.retain(|operation| operation.seq != seq);
            slot.record = Record::live(server);
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
            if let Some(operation) = slot.find(seq) {
                operation.item = None;
                if operation.kind == OperationKind::Delete {
                    operation.kind = OperationKind::Replace;
                }
            }
            send_again(slot, seq, server);
            Ok(Settled::Again)
        }
    }
}

/// Bases the operation on what the server was seen to hold, so that the next attempt is conditional on exactly that.
pub(crate) fn send_again(slot: &mut Slot, seq: u64, server: Option<&Record>) {
    let exists = server.is_some_and(|record| !record.is_deleted());
    // Without the version of the tombstone nothing could be demanded of it: a new record meets it instead.
    let server = server.filter(|record| exists || record.version().is_some());
    let Some(operation) = slot.find(seq) else {
        return;
    };
    if operation.kind == OperationKind::Delete && !exists {
        // Both sides deleted it.
        slot.operations.retain(|operation| operation.seq != seq);
        return;
    }
    operation.state = OperationState::Pending;
    operation.changed();
    // An earlier attempt that is still on its way comes too late, unless the server's record is the one that it was sent for.
    let version = |record: Option<&Record>| record.and_then(Record::version).cloned();
    let open = operation.is_unsure() && version(operation.base.as_ref()) == version(server);
    operation.unsure = open;
    if !open {
        operation.sent.clear();
    }
    operation.base = server.cloned();
    // Another context may have pulled since the server was asked: that comes out again at the next attempt, or when this is cancelled.
    operation.shadow.take_if(|met| !is_newer(met, server));
    (operation.gone, operation.unanswered) = (false, false);
    // The decision was made over the deletion, so the tombstone of it is not another conflict.
    operation.follows_delete = !exists;
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

/// True where a pull met a newer row than this answer shows. In one context no page is stored between a request and its answer, in
/// another one there may be.
pub(crate) fn is_newer(met: &Record, answer: Option<&Record>) -> bool {
    answer.is_some_and(|answer| met.updated_at() > answer.updated_at())
}
