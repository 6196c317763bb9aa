//! What an operation comes to as a request, and what its answer says about it: pure rules.

use crate::record::Record;
use crate::sync::push::answer::Answer;
use crate::sync::push::mark::Sending;
use crate::sync::push::ours::Ours;
use crate::sync::push::policy::{Attempt, Facts, Row};
use crate::sync::queue::operation::{MOVED, Operation, OperationKind, OperationState};
use crate::transport::{Change, ChangeKind, Rejection, TransportError, TransportErrorKind};

/// The last answer of the server about an operation.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) facts: Facts,
    pub(super) record: Option<Record>,
    pub(super) refusal: Rejection,
    pub(super) error: Option<TransportError>,
    /// The record is what the server holds, even where an earlier attempt had the effect.
    pub(super) is_current: bool,
}

/// The request that the operation comes to.
pub(super) fn change(sending: &Sending) -> Change {
    let operation = &sending.operation;
    let base = operation.base.as_ref();
    let kind = match operation.kind {
        OperationKind::Insert => ChangeKind::Insert,
        OperationKind::Delete => ChangeKind::Delete,
        OperationKind::Replace if base.is_some_and(Record::is_deleted) => ChangeKind::Undelete,
        OperationKind::Replace => ChangeKind::Replace,
    };
    let version = base.and_then(Record::version);
    let mut change = Change::new(kind, operation.id.clone())
        .with_if_match(
            version
                .filter(|version| !version.as_str().is_empty())
                .cloned(),
        )
        .with_base(base.cloned())
        .with_members(operation.members.clone());
    change.operation_id.clone_from(&operation.key);
    change.record.clone_from(&sending.record);
    change
}

/// The server does not take it.
pub(super) fn rejected(said: Said) -> Answer {
    match (said.facts, said.record) {
        (Facts::OtherId, Some(record)) => Answer::OtherId(record, said.refusal),
        _ => Answer::Rejected(said.refusal),
    }
}

/// The operation with what was known of it before it was marked for this attempt.
pub(super) fn with_unsure(sending: &Sending) -> Operation {
    let mut operation = sending.operation.clone();
    operation.state = OperationState::Pending;
    operation.unsure = sending.unsure;
    operation
}

/// What an operation came to that is in already.
pub(super) fn effect(found: Ours, row: Option<Record>, sending: &Sending) -> Answer {
    match found {
        // A delete of what is gone: whatever a pull has met of it before, this is newer.
        Ours::Accepted(None) => Answer::AppliedEarlier {
            content: None,
            now: row,
        },
        Ours::Accepted(_) if !sending.unsure => Answer::Applied(row),
        Ours::Accepted(content) => Answer::AppliedEarlier { content, now: row },
        Ours::Overtaken(content) => Answer::AppliedEarlier {
            content: Some(content),
            now: row,
        },
        _ => Answer::Unknown,
    }
}

/// True for an operation of which only the row can tell what it would do: nothing would keep a delete without a base from a record
/// that others made under the same id.
pub(super) fn needs_look(operation: &Operation) -> bool {
    let version = operation.base.as_ref().and_then(Record::version);
    operation.kind == OperationKind::Delete && operation.base.is_none()
        || version.is_some_and(|version| version.as_str() == MOVED)
}

/// A row, as the policy looks at it.
pub(super) fn seen(found: &Ours, row: Option<&Record>) -> Row {
    match (found, row) {
        (Ours::Accepted(_) | Ours::Overtaken(_), _) => Row::Ours,
        (_, None) => Row::None,
        (Ours::NotApplied, Some(_)) => Row::AsSent,
        (_, Some(row)) if row.is_deleted() => Row::Tombstone,
        _ => Row::Moved,
    }
}

pub(super) fn is_hidden(error: &TransportError) -> bool {
    // A 401 may pass; only a 403 says that these credentials may not read.
    error.kind() == TransportErrorKind::Forbidden
}

pub(super) fn is_own_insert(attempt: Attempt) -> bool {
    attempt.kind == OperationKind::Insert && attempt.generated
}

/// False for an answer that cannot be the row: with an empty version, or changed in 1970.
pub(super) fn is_usable(record: &Record) -> bool {
    const A_DAY: i64 = 24 * 60 * 60 * 1000;
    let empty = record
        .version()
        .is_some_and(|version| version.as_str().is_empty());
    let epoch = record
        .updated_at()
        .is_some_and(|time| (0..A_DAY).contains(&time.millis()));
    !empty && !epoch
}
