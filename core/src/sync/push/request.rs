//! What an operation comes to as a request, and what its answer says about it: pure rules.

use crate::record::Record;
use crate::sync::push::answer::Answer;
use crate::sync::push::mark::Sending;
use crate::sync::push::ours::Ours;
use crate::sync::push::policy::{Attempt, Facts};
use crate::sync::queue::operation::{Operation, OperationKind, OperationState};
use crate::transport::{Change, ChangeKind, Rejection, TransportError, TransportErrorKind};

/// The version of a base that is known to have moved, to no known version. It is never sent: the row is asked for instead.
pub(crate) const MOVED: &str = "c3luY3RhYmxlLW1vdmVk";

/// The last answer of the server about an operation.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) facts: Facts,
    pub(super) record: Option<Record>,
    pub(super) refusal: Rejection,
    pub(super) error: Option<TransportError>,
}

/// A request in the words that it was first sent in, whatever the operation is told in by now.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) change: Change,
    /// The number of its words.
    pub(super) words: u32,
}

impl Outgoing {
    pub(super) fn of(sending: &Sending) -> Self {
        Self {
            change: change(sending),
            words: sending.operation.words,
        }
    }
}

/// The request that the operation comes to.
fn change(sending: &Sending) -> Change {
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
