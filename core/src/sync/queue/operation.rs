//! A queued operation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{RecordId, TableName};
use crate::record::{Record, Revision};
use crate::timestamp::Timestamp;

/// A local change that waits to be pushed.
///
/// Insert and replace send the record as the table holds it at that time; what was handed to the server
/// once stays frozen in the operation, and a later edit becomes a second operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent notes, stored as they are"
)]
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
    /// True for a record that was deleted and made again here, or that a decision brings back: a tombstone in its way is no
    /// conflict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows_delete: bool,
    /// True when an attempt may or may not have taken effect before others changed the record at the server: nobody can tell
    /// any more. A merge leaves counters to the user then, which would else be counted twice or not at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
    /// True when this store made the record's id, so that nobody else can have inserted it. Operations of 0.1 count as not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated: bool,
    /// What was sent for this operation before its content changed, while it is not known what became of it; oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<Record>,
    /// The key under which a server recognises a repeat: made when the operation is first handed over, made anew when its
    /// content, kind or base changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The members that go to the server alone, where it takes the changed ones only: decided together with the key, and kept as long
    /// as it. `None`: the record goes as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<String>>,
    /// The account under which the key was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The server's clock before the operation was first handed over, where an answer had shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_sent: Option<Timestamp>,
    /// Why the last push left it aside, and when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<Aside>,
    /// True for a conflict with a deletion: the server was seen to have no such record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// True for a conflict about which the application's handler has not answered yet: the next push asks it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unanswered: bool,
    /// The id under which the server keeps the record instead. It is never sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_id: Option<RecordId>,
    /// The operations with which it takes effect together or not at all, where the server can do that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Of how many schema steps the words of its contents are. Those of a store that never had any are of none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub words: u32,
    /// The row that it was read from, or written to since.
    #[serde(skip)]
    pub(crate) row: Seen,
}

/// The operations of a transaction that take effect together or not at all: those that have the same unit. Mostly they stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unit {
    /// The place of the first of them when they were queued. No other unit has the same.
    pub first: u64,
    /// The place of the last of them.
    pub last: u64,
}

impl Unit {
    /// No unit has more operations.
    pub(crate) const MOST: usize = 512;
}

/// The row of an operation in the store. It is no part of the operation: it does not count when operations are compared.
#[derive(Clone, Default)]
pub(crate) enum Seen {
    /// None that has a revision: the operation is new, or its store gives none.
    #[default]
    Nothing,
    /// It was read at this revision.
    Read(Revision),
    /// It was written so.
    Written(Record),
}

impl fmt::Debug for Seen {
    /// Nothing: two openings of one store give it different ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}

impl PartialEq for Seen {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Seen {}

/// The version of a base that is known to have moved, to no known version. It is never sent: the row is asked for instead.
pub(crate) const MOVED: &str = "c3luY3RhYmxlLW1vdmVk";

/// Why an operation was left aside: a failure that may be its own or everybody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Aside {
    /// The failure in a word: a [kind](crate::transport::TransportErrorKind::as_str), or `refused`.
    pub kind: String,
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The words of the failure, for a person.
    pub message: String,
    /// Not before this time of the device's clock does a push try it again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// How often in a row it had no answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub silences: u32,
    /// How often this failure was counted against it: the server was seen to work then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counted: u32,
    /// How often it waited for one before it that was aside.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deferred: u32,
    /// Since when it fails, by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What an operation does at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
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
            generated: false,
            sent: Vec::new(),
            key: None,
            members: None,
            account: None,
            first_sent: None,
            aside: None,
            gone: false,
            unanswered: false,
            other_id: None,
            unit: None,
            words: 0,
            row: Seen::default(),
        }
    }

    /// True while it waits for a decision rather than for the next push.
    pub fn is_parked(&self) -> bool {
        self.state.is_parked()
    }

    /// True while a request for it may have had an effect that is not known: it is asked about before it is sent again.
    pub fn is_unsure(&self) -> bool {
        self.state == OperationState::Attempted || self.unsure
    }

    /// The newest copy of the server's record that is known, to restore when the operation is cancelled.
    pub fn restorable(&self) -> Option<&Record> {
        self.shadow
            .as_ref()
            .or(self.base.as_ref())
            .filter(|record| !record.is_deleted())
    }
}

impl Operation {
    /// Notes that the content changed from `before`; a refused operation gets another chance.
    pub(crate) fn edited(&mut self, before: Option<&Record>) {
        // The record as it is now is what counts, even where an edit before it was discarded.
        let frozen = self.item.take();
        if self.unsure
            && let Some(before) = frozen.as_ref().or(before)
            && !self.sent.contains(before)
        {
            self.sent.push(before.clone());
        }
        self.changed();
        self.retry();
    }

    /// Notes that what is sent is not what was sent: it gets a new key, and failures do not count any more.
    pub(crate) fn changed(&mut self) {
        self.edits += 1;
        (self.key, self.account, self.members) = (None, None, None);
        self.aside = None;
    }

    /// Another chance for a refused operation; where an attempt may have had its effect after all, that is found out first.
    pub(crate) fn retry(&mut self) {
        // What the server keeps under another id would be there twice.
        if self.state == OperationState::Rejected && self.other_id.is_none() {
            self.state = if self.unsure {
                OperationState::Attempted
            } else {
                OperationState::Pending
            };
        }
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
