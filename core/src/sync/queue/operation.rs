//! A queued operation.

use serde::{Deserialize, Serialize};

use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::timestamp::Timestamp;

/// A local change that waits to be pushed.
///
/// Insert and replace send the record as the table holds it at that time; what was handed to the server
/// once stays frozen in the operation, and a later edit becomes a second operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Operation {
    /// Place in the queue; grows for ever, never used twice.
    #[serde(skip)]
    pub seq: u64,
    /// The table.
    pub table: TableName,
    /// The record's id.
    #[serde(rename = "recordId")]
    pub id: RecordId,
    /// What is to be done at the server.
    pub kind: OperationKind,
    /// How far it got.
    pub state: OperationState,
    /// When it was queued, by this device's clock.
    pub queued_at: Timestamp,
    /// How often it was handed to the transport.
    pub attempts: u32,
    /// How often its content changed since it was queued.
    pub edits: u32,
    /// The record as the server had it before the first local change; it carries the version that the
    /// write is based on. `None` for a record that was never at the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Record>,
    /// Content that the table no longer holds: the removed record of a delete, or what was sent when the record
    /// was edited afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Record>,
    /// A newer copy of the server's record that a pull met and did not apply because of this operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Record>,
    /// True for an insert that follows a delete of the same record which the server already did, by an earlier operation
    /// or by a decision for the local record: a tombstone in its way is no conflict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows_delete: bool,
    /// True when an attempt may or may not have taken effect before others changed the record at the server: nobody can tell
    /// any more. A merge leaves counters to the user then, which would else be counted twice or not at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
}

/// What an operation does at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// Makes a record.
    Insert,
    /// Replaces a record.
    Replace,
    /// Removes a record.
    Delete,
}

/// How far an operation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OperationState {
    /// Not at the server.
    Pending,
    /// Handed to the transport; whether it took effect is not known. The next push finds out before it repeats.
    Attempted,
    /// Not done: the server's record is another than expected. Waits for a resolution.
    Conflict,
    /// Not done: the server refuses it. Waits for an edit, a retry or a cancel.
    Rejected,
}

impl Operation {
    /// A new operation at the end of the queue.
    pub(crate) fn new(
        seq: u64,
        queued_at: Timestamp,
        table: &TableName,
        id: &RecordId,
        kind: OperationKind,
        base: Option<Record>,
    ) -> Self {
        Self {
            seq,
            table: table.clone(),
            id: id.clone(),
            kind,
            state: OperationState::Pending,
            queued_at,
            attempts: 0,
            edits: 0,
            base,
            item: None,
            shadow: None,
            follows_delete: false,
            unsure: false,
        }
    }

    /// True while it waits for a decision rather than for the next push.
    pub fn is_parked(&self) -> bool {
        self.state.is_parked()
    }

    /// The newest copy of the server's record that is known, to restore when the operation is cancelled.
    pub fn restorable(&self) -> Option<&Record> {
        self.shadow
            .as_ref()
            .or(self.base.as_ref())
            .filter(|record| !record.is_deleted())
    }
}

impl OperationKind {
    /// The word used in text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Replace => "replace",
            Self::Delete => "delete",
        }
    }
}

impl OperationState {
    /// True for a state that waits for a decision rather than for the next push.
    pub fn is_parked(self) -> bool {
        matches!(self, Self::Conflict | Self::Rejected)
    }

    /// The word used in text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Attempted => "attempted",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
        }
    }
}
