//! What an answer means for an operation: one pure rule, and the course that a push takes through failures.

use std::time::Duration;

use crate::sync::push::patience::RetryPolicy;
use crate::sync::queue::operation::OperationKind;
use crate::transport::{ConflictCause, TransportErrorKind};

/// How often a failure counts against an operation before it is rejected.
pub(crate) const COUNTED: u32 = 3;
/// How often an operation waits for one before it that is aside.
pub(crate) const DEFERRED: u32 = 3;
/// How often a row is read that may lag behind.
pub(crate) const READS: u32 = 3;

/// What was asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// What the operation does.
    pub kind: OperationKind,
    /// How often it was sent by this call, this time included.
    pub tries: u32,
    /// An earlier attempt may have had its effect.
    pub unsure: bool,
    /// This store made the record's id.
    pub generated: bool,
}

/// What came of it, without statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Facts {
    /// It was done.
    Done,
    /// It was done under another id.
    OtherId,
    /// There is no such record, the server says.
    Missing,
    /// Something stands in the way.
    Conflict(ConflictCause),
    /// This content is refused.
    Refused,
    /// There was no usable answer.
    Failed(TransportErrorKind),
}

/// What asking for the record has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Row {
    /// It was not asked for since the answer.
    NotAsked,
    /// There is none.
    None,
    /// It is on the version that was sent.
    AsSent,
    /// It is what was sent, or what is left of it.
    Ours,
    /// It is deleted.
    Tombstone,
    /// It is another one.
    Moved,
    /// It may not be read.
    Hidden,
}

/// What else is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "independent observations")]
pub struct Evidence {
    /// What asking for the record showed.
    pub row: Row,
    /// How often it was asked for since the answer.
    pub reads: u32,
    /// A read of the table was answered in this push.
    pub table_read: bool,
    /// The same answer came before, to the same request.
    pub repeated: bool,
    /// A request was accepted with these credentials in this push.
    pub token_accepted: bool,
    /// Other credentials were asked for in this push.
    pub renewed: bool,
    /// An operation before this one is aside.
    pub behind_aside: bool,
    /// In how many pushes it waited for one before it.
    pub deferred: u32,
    /// In how many pushes this failure counted against it, this one included.
    pub counted: u32,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

impl Default for Evidence {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            row: Row::NotAsked,
            reads: 0,
            table_read: false,
            repeated: false,
            token_accepted: false,
            renewed: false,
            behind_aside: false,
            deferred: 0,
            counted: 0,
            retry_after: None,
        }
    }
}

/// What is to be done about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It took effect.
    Accepted,
    /// Send it again, after a wait.
    RetryNow(Duration),
    /// Read the row (and the table) first, after a wait.
    AskFirst(Duration),
    /// It waits for the end of this push, or the next one, and others go on.
    SetAside,
    /// It waits for the user: the server will not take it.
    Reject,
    /// It waits for a decision between two sides.
    Park,
    /// Nothing can be sent for now.
    StopPush,
}

/// One answer with all that is known, as the rows look at it.
struct Case<'a> {
    attempt: Attempt,
    facts: Facts,
    evidence: Evidence,
    patience: &'a RetryPolicy,
}

/// A row of the table.
struct Rule {
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests and people"))]
    name: &'static str,
    when: fn(&Case<'_>) -> bool,
    then: fn(&Case<'_>) -> Verdict,
}

/// What an answer to a change means. It depends on its arguments alone.
///
/// A transport says what happened, without statuses ([`Facts`]); the engine knows what it asked ([`Attempt`]) and what else it
/// has seen ([`Evidence`]). [`judge`] reads the first row of this table that fits:
///
/// | row | what happened | what is known | verdict |
/// |---|---|---|---|
/// | done | it was done | | accepted |
/// | other id | done under another id | | reject: sent again it would be there twice |
/// | no table yet | "no such record" | no read of the table was answered in this push | ask first: the table may be missing |
/// | gone anyway | "no such record", to a delete | the table is there | accepted |
/// | gone | "no such record" | the row was not read | ask first |
/// | met | a conflict | the row was not read | ask first |
/// | ours | a conflict | the row is what was sent | accepted |
/// | hidden | "taken", to an unsure insert of a generated id | rows may not be read | accepted: nobody else has that id |
/// | lagging | a conflict | the row is on the version that was sent, read less than three times | ask first, after a while |
/// | not moved | "taken" | the row is not there, may not be read, or is on the version that was sent; said once | retry now |
/// | refused | "taken" | the same, said twice, nothing aside before it | reject: it is no conflict of versions |
/// | lags | "another version" | the row is on the version that was sent, read three times | set aside |
/// | orphan | a conflict without a live row, or "taken" | an operation before it is aside | set aside, three times at most |
/// | moved | a conflict | the row is another | park: a decision is needed |
/// | refused again | its content is refused, to an unsure attempt | the row was not read | ask first: it may be in |
/// | in already | its content is refused | the row is what was sent | accepted |
/// | refused and moved | its content is refused, to an unsure attempt | the row is another | park: a decision is needed |
/// | orphan refused | its content is refused | an operation before it is aside | set aside, three times at most |
/// | content | its content is refused | | reject |
/// | no line | no connection | tries are left | retry now: nothing was sent |
/// | offline | no connection, a network's page, another address | | stop the push |
/// | stale token | the credentials are refused | nothing was accepted with them, others were not asked for | retry now with others |
/// | again and again | any other failure | counted three times | reject |
/// | own or everybody's | any other failure | | set aside |
///
/// A test turns each row around, and the simulator has to notice it.
pub fn judge(
    attempt: Attempt,
    facts: Facts,
    evidence: Evidence,
    patience: &RetryPolicy,
) -> Verdict {
    let case = Case {
        attempt,
        facts,
        evidence,
        patience,
    };
    for row in TABLE {
        if (row.when)(&case) {
            return (row.then)(&case);
        }
    }
    // The last row fits everything.
    Verdict::SetAside
}

impl Case<'_> {
    fn no_record(&self) -> bool {
        self.facts == Facts::Missing
    }

    fn in_the_way(&self) -> bool {
        matches!(self.facts, Facts::Conflict(_) | Facts::Missing)
    }

    fn taken(&self) -> bool {
        self.facts == Facts::Conflict(ConflictCause::Existing)
    }

    fn not_moved(&self) -> bool {
        matches!(self.evidence.row, Row::None | Row::AsSent | Row::Hidden)
    }

    fn waits(&self) -> bool {
        self.evidence.behind_aside && self.evidence.deferred < DEFERRED
    }

    fn failed(&self, kinds: &[TransportErrorKind]) -> bool {
        matches!(self.facts, Facts::Failed(kind) if kinds.contains(&kind))
    }

    fn after(&self, attempt: u32) -> Duration {
        let Evidence { retry_after, .. } = self.evidence;
        self.patience.delay(attempt.max(1), retry_after)
    }
}

/// The table, in the order in which its rows are read.
const TABLE: &[Rule] = &[
    Rule {
        name: "done",
        when: |case| case.facts == Facts::Done,
        then: |_| Verdict::Accepted,
    },
    Rule {
        name: "other id",
        when: |case| case.facts == Facts::OtherId,
        then: |_| Verdict::Reject,
    },
    Rule {
        name: "no table yet",
        when: |case| case.no_record() && !case.evidence.table_read,
        then: |_| Verdict::AskFirst(Duration::ZERO),
    },
    Rule {
        name: "gone anyway",
        when: |case| case.no_record() && case.attempt.kind == OperationKind::Delete,
        then: |_| Verdict::Accepted,
    },
    Rule {
        name: "gone",
        when: |case| case.no_record() && case.evidence.row == Row::NotAsked,
        then: |_| Verdict::AskFirst(Duration::ZERO),
    },
    Rule {
        name: "met",
        when: |case| case.in_the_way() && case.evidence.row == Row::NotAsked,
        then: |_| Verdict::AskFirst(Duration::ZERO),
    },
    Rule {
        name: "ours",
        when: |case| case.in_the_way() && case.evidence.row == Row::Ours,
        then: |_| Verdict::Accepted,
    },
    Rule {
        name: "hidden",
        when: |case| {
            let own = case.attempt.kind == OperationKind::Insert && case.attempt.generated;
            case.taken() && own && case.attempt.unsure && case.evidence.row == Row::Hidden
        },
        then: |_| Verdict::Accepted,
    },
    Rule {
        name: "lagging",
        when: |case| {
            let asked = case.evidence.reads >= READS || case.evidence.repeated;
            case.in_the_way() && case.evidence.row == Row::AsSent && !asked
        },
        then: |case| Verdict::AskFirst(case.after(case.evidence.reads)),
    },
    Rule {
        name: "not moved",
        when: |case| case.taken() && case.not_moved() && !case.evidence.repeated,
        then: |case| {
            Verdict::RetryNow(match case.attempt.kind {
                OperationKind::Insert => Duration::ZERO,
                _ => case.after(case.attempt.tries),
            })
        },
    },
    Rule {
        name: "refused",
        when: |case| case.taken() && case.not_moved() && !case.waits(),
        then: |_| Verdict::Reject,
    },
    Rule {
        name: "lags",
        when: |case| case.in_the_way() && case.evidence.row == Row::AsSent && !case.taken(),
        then: |_| Verdict::SetAside,
    },
    Rule {
        name: "orphan",
        when: |case| {
            let live = case.evidence.row == Row::Moved;
            case.in_the_way() && !live && case.waits()
        },
        then: |_| Verdict::SetAside,
    },
    Rule {
        name: "moved",
        when: |case| case.in_the_way(),
        then: |_| Verdict::Park,
    },
    Rule {
        // It may be in: over another dialect the server meets its key with another request, and refuses that one.
        name: "refused again",
        when: |case| {
            case.facts == Facts::Refused
                && case.attempt.unsure
                && case.evidence.row == Row::NotAsked
        },
        then: |_| Verdict::AskFirst(Duration::ZERO),
    },
    Rule {
        name: "in already",
        when: |case| case.facts == Facts::Refused && case.evidence.row == Row::Ours,
        then: |_| Verdict::Accepted,
    },
    Rule {
        name: "refused and moved",
        when: |case| {
            case.facts == Facts::Refused && case.attempt.unsure && case.evidence.row == Row::Moved
        },
        then: |_| Verdict::Park,
    },
    Rule {
        name: "orphan refused",
        when: |case| case.facts == Facts::Refused && case.waits(),
        then: |_| Verdict::SetAside,
    },
    Rule {
        name: "content",
        when: |case| case.facts == Facts::Refused,
        then: |_| Verdict::Reject,
    },
    Rule {
        name: "no line",
        when: |case| {
            let none = case.failed(&[TransportErrorKind::Unreachable]);
            none && case.attempt.tries < case.patience.attempts()
        },
        then: |case| Verdict::RetryNow(case.after(case.attempt.tries)),
    },
    Rule {
        name: "offline",
        when: |case| {
            case.failed(&[
                TransportErrorKind::Unreachable,
                TransportErrorKind::Portal,
                TransportErrorKind::Redirected,
                TransportErrorKind::SignIn,
                TransportErrorKind::Missing,
            ])
        },
        then: |_| Verdict::StopPush,
    },
    Rule {
        name: "stale token",
        when: |case| {
            let refused = case.failed(&[TransportErrorKind::Unauthorized]);
            refused && !case.evidence.token_accepted && !case.evidence.renewed
        },
        then: |_| Verdict::RetryNow(Duration::ZERO),
    },
    Rule {
        name: "again and again",
        when: |case| case.evidence.counted >= COUNTED,
        then: |_| Verdict::Reject,
    },
    Rule {
        name: "own or everybody's",
        when: |_| true,
        then: |_| Verdict::SetAside,
    },
];

/// True where a failure may be an operation's own: it counts against it where the server is seen to do others.
pub(crate) fn may_count(kind: TransportErrorKind) -> bool {
    use TransportErrorKind as Kind;
    matches!(
        kind,
        Kind::Unauthorized
            | Kind::Forbidden
            | Kind::Failed
            | Kind::Protocol
            | Kind::TooLarge
            | Kind::BadRequest
            | Kind::Other
    )
}

/// What a read that failed is worth: another try after a wait, or the error.
pub(crate) fn judge_read(
    kind: TransportErrorKind,
    tries: u32,
    evidence: Evidence,
    patience: &RetryPolicy,
) -> Verdict {
    use TransportErrorKind as Kind;
    match kind {
        Kind::Unauthorized if !evidence.token_accepted && !evidence.renewed => {
            Verdict::RetryNow(Duration::ZERO)
        }
        Kind::Unreachable | Kind::Broken | Kind::Busy | Kind::Gateway | Kind::Failed
            if tries < patience.attempts() =>
        {
            Verdict::RetryNow(patience.delay(tries, evidence.retry_after))
        }
        _ => Verdict::SetAside,
    }
}

#[cfg(test)]
mod tests;
