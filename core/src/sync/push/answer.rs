//! What is known about operations that were handed to the transport.

use std::time::Duration;

use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::sync::decide::conflict::ConflictDecision;
use crate::sync::push::mark::Sending;
use crate::sync::queue::lookup::Known;
use crate::sync::queue::operation::Aside;
use crate::sync::slots::Edit;
use crate::timestamp::Timestamp;
use crate::transport::{Rejection, TransportError, TransportErrorKind};

/// How long an operation rests that had no answer twice in a row; doubled each time ..
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// .. up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// What is known about an operation that was handed to the transport.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Done; the record as the server now has it, where it said so.
    Applied(Option<Record>),
    /// Done by an earlier attempt with this content; and the record as the server has it now, which others may have changed since.
    AppliedEarlier {
        content: Option<Record>,
        now: Option<Record>,
    },
    /// Not done, and how the conflict was decided.
    Conflict {
        server: Option<Record>,
        decision: ConflictDecision,
        /// Why it is parked, should it be: the words of the policy, of the handler, or else of the server.
        refusal: Rejection,
        /// It may have been done before others changed the record: see [`Operation::unsure`].
        unsure: bool,
    },
    /// Not done so far: it goes on from this row, a tombstone or what came of one.
    Rebase(Option<Record>),
    /// What it inserted was deleted at the server.
    Removed(Option<Record>),
    /// Not done, for good.
    Rejected(Rejection),
    /// Done under another id, with the server's words.
    OtherId(Record, Rejection),
    /// Failed in a way that may be its own or everybody's; `sent`: it may have had its effect.
    Aside { failure: Failure, sent: bool },
    /// Not handed over after all.
    NotSent,
    /// Not known.
    Unknown,
}

/// A failure that sets an operation aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `None` where it was refused behind another one that is aside.
    pub(crate) kind: Option<TransportErrorKind>,
    pub(crate) status: Option<u16>,
    pub(crate) message: String,
    retry_after: Option<Duration>,
    server_time: Option<Timestamp>,
}

impl Failure {
    /// What a transport says. `now`: the server's clock, as it was last seen.
    pub(crate) fn of(error: &TransportError, now: Option<Timestamp>) -> Self {
        Self {
            kind: Some(error.kind()),
            status: error.status(),
            message: error.to_string(),
            retry_after: error.retry_after(),
            server_time: error.server_time().or(now),
        }
    }

    /// What the server says about an operation whose parent may be what is missing.
    pub(crate) fn deferred(refusal: &Rejection, now: Option<Timestamp>) -> Self {
        Self {
            kind: None,
            status: refusal.status,
            message: refusal.message.clone(),
            retry_after: None,
            server_time: now,
        }
    }

    /// The same of one that waits with the one that has failed.
    pub(crate) fn behind(&self) -> Self {
        Self {
            kind: None,
            retry_after: None,
            ..self.clone()
        }
    }

    /// True where no answer came: to try again may take as long.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(
            self.kind,
            Some(TransportErrorKind::Timeout | TransportErrorKind::Broken)
        )
    }

    /// What is stored with the operation. It says when the next push may try it: not at once where the server asked for time, or
    /// gave no answer again and again.
    pub(crate) fn noted(&self, before: Option<&Aside>, now: Timestamp) -> Aside {
        let kind = self.kind.map_or("refused", TransportErrorKind::as_str);
        let same = before.filter(|before| before.kind == kind && before.status == self.status);
        let silences = match before {
            _ if !self.is_silent() => 0,
            Some(before) => before.silences.saturating_add(1),
            None => 1,
        };
        let quiet = match silences {
            0 | 1 => None,
            more => Some(
                FIRST_WAIT
                    .saturating_mul(1 << (more - 2).min(16))
                    .min(LONGEST_WAIT),
            ),
        };
        let wait = self
            .retry_after
            .map(|wait| wait.min(LONGEST_WAIT))
            .max(quiet);
        Aside {
            kind: kind.to_owned(),
            status: self.status,
            message: self.message.clone(),
            next_try: wait
                .and_then(|wait| Some(now.plus_millis(i64::try_from(wait.as_millis()).ok()?))),
            silences,
            counted: same.map_or(0, |same| same.counted),
            deferred: before.map_or(0, |before| before.deferred),
            since: same.and_then(|same| same.since).or(self.server_time),
        }
    }
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
    /// It waits for the end of the push, or the next one.
    Aside,
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
    /// An attempt before this one may have had its effect.
    pub(crate) unsure: bool,
    known: Option<Known>,
}

impl Answered {
    pub(crate) fn new(sending: Sending, delivered: Delivered) -> Self {
        let operation = sending.operation;
        // An operation whose fate was open before stays open when it was not its turn.
        let still_open = sending.unsure && matches!(delivered.answer, Answer::NotSent);
        // Where it is done it goes, and checks say whether it and the record are what they were. Where it stays more is looked at than they cover.
        let is_done = matches!(delivered.answer, Answer::Applied(_));
        Self {
            seq: operation.seq,
            table: operation.table.clone(),
            id: operation.id.clone(),
            answer: delivered.answer,
            unsure: delivered.unsure || still_open,
            known: (is_done && sending.is_all).then_some(Known::Slot(operation, sending.record)),
        }
    }

    /// True where the same request may go out once more.
    pub(crate) fn may_be_repeated(&self) -> bool {
        match &self.answer {
            Answer::Unknown => true,
            Answer::NotSent => self.unsure,
            Answer::Aside { sent, .. } => *sent,
            _ => false,
        }
    }
}

impl Edit for Answered {
    fn key(&self) -> (&TableName, &RecordId) {
        (&self.table, &self.id)
    }

    fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }
}

/// What became of a delivery.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) answer: Answer,
    /// Why nothing more can be sent.
    pub(crate) stop: Option<TransportError>,
    /// The server did a write now.
    pub(crate) accepted: bool,
    /// An attempt before this one may have had its effect.
    pub(crate) unsure: bool,
}

impl From<Answer> for Delivered {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            stop: None,
            accepted: false,
            unsure: false,
        }
    }
}
