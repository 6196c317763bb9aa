//! One operation on its way: what is sent, what is asked, and what the answers come to.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::name::TableName;
use crate::record::Record;
use crate::sync::inner::Inner;
use crate::sync::push::answer::{Answer, Delivered, Failure};
use crate::sync::push::course::{Course, Next};
use crate::sync::push::mark::Sending;
use crate::sync::push::meaning::dropped;
use crate::sync::push::ours::{Ours, Question};
use crate::sync::push::outgoing::{Outgoing, Told};
use crate::sync::push::policy::{Attempt, Evidence, Facts, Row, Verdict, judge};
use crate::sync::push::request::{
    Said, effect, is_hidden, is_own_insert, is_usable, needs_look, rejected, seen, with_unsure,
};
use crate::sync::queue::operation::{Operation, OperationKind};
use crate::sync::remote::Remote;
use crate::timestamp::Timestamp;
use crate::transport::{
    ConflictCause, Outcome, Rejection, ServerRecord, TransportError, TransportErrorKind,
};

/// One push, as its deliveries see it.
pub(crate) struct Delivery<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) remote: &'a Remote,
    pub(crate) course: &'a Mutex<Course>,
}

/// How an operation is delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// A conflict that was decided in its favour so often is left to the user now.
    pub(crate) last_round: bool,
    /// It goes together with others, and never alone.
    pub(crate) as_one: bool,
}

/// What a question about the row came to.
enum Asked {
    Row(Option<Record>),
    Failed(TransportError),
}

impl Delivery<'_> {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what failed is tried once more.
    pub(crate) fn is_last_turn(&self) -> bool {
        self.course().last_turn
    }

    /// False while what is left of the table waits.
    pub(crate) fn may_send(&self, table: &TableName) -> bool {
        self.course().may_send(table)
    }

    /// A write was accepted.
    pub(crate) fn was_accepted(&self, operation: &Operation) {
        self.course().accepted(&operation.table, operation.seq);
    }

    /// An operation waits behind another one.
    pub(crate) fn waits(&self, operation: &Operation) {
        self.course().wait([operation.seq]);
    }

    /// The operation was refused, or waits for a decision.
    pub(crate) fn was_decided(&self, operation: &Operation) {
        self.course().decided(operation.seq);
    }

    /// Sends one operation, as it was sent before, and finds out what came of it, in the newest words. `told`: what the server has said of it when
    /// it was sent with others just now.
    pub(crate) async fn deliver(
        &self,
        sending: &Sending,
        Manner { last_round, as_one }: Manner,
        told: Option<Told>,
    ) -> Delivered {
        let mut request = Outgoing::of(sending, told);
        let mut sending = sending.in_newest(&self.inner.steps);
        let operation = &sending.operation;
        if operation.kind != OperationKind::Delete && sending.record.is_none() {
            let message = "the local record is missing; cancel the operation";
            return Answer::Rejected(Rejection::new(None, message)).into();
        }
        let mut attempt = Attempt {
            kind: operation.kind,
            tries: 1,
            unsure: sending.unsure,
            generated: operation.generated,
        };
        let looks = needs_look(operation) || sending.unsure && !self.may_repeat_blindly(operation);
        if looks && !request.is_answered() {
            match self.ask(operation).await {
                Asked::Row(row) => match self.ours(&sending, row.as_ref()) {
                    Ours::NotApplied => {}
                    found => {
                        let refusal = Rejection::new(None, "");
                        return self
                            .conclude(&sending, found, row, refusal, last_round)
                            .into();
                    }
                },
                // Who may insert but not read learns from the answer to the same insert.
                Asked::Failed(error) if is_hidden(&error) && is_own_insert(attempt) => {}
                Asked::Failed(error) => return self.failed(&sending, attempt, error),
            }
        }
        let mut said = self.send(&mut sending, &mut request, &mut attempt).await;
        let mut evidence = self.evidence(&sending.operation);
        let mut row = None;
        loop {
            if matches!(said.facts, Facts::Conflict(_))
                && let Some(found) = said.record.take()
            {
                // The answer shows the row.
                evidence.row = self.row(&sending, Some(&found));
                row = Some(found);
            }
            evidence.table_read = self.course().readable(&sending.operation.table) == Some(true);
            evidence.retry_after = said.error.as_ref().and_then(TransportError::retry_after);
            let token = self.remote.token();
            (evidence.token_accepted, evidence.renewed) = (token.accepted, token.renewed);
            match judge(attempt, said.facts, evidence, &self.remote.patience) {
                Verdict::Accepted => {
                    let accepted = said.facts == Facts::Done;
                    let answer = self.accepted(&sending, said, row).await;
                    return Delivered {
                        accepted,
                        ..answer.into()
                    };
                }
                // Another push tries it with the others.
                Verdict::RetryNow(_) if as_one => return self.aside(&sending, attempt, &said),
                Verdict::RetryNow(after) => {
                    if said.facts == Facts::Failed(TransportErrorKind::Unauthorized) {
                        // A row that is not this user's is refused with good credentials, too.
                        if self.remote.control_once(&sending.operation.table).await {
                            continue;
                        }
                        match self.remote.renew().await {
                            Ok(true) => {}
                            // The next look at the evidence sees that others were asked for.
                            Ok(false) => continue,
                            Err(error) => return self.failed(&sending, attempt, error),
                        }
                    }
                    self.remote.wait(after).await;
                    evidence.repeated = said.facts == Facts::Conflict(ConflictCause::Existing);
                    (evidence.row, evidence.reads) = (Row::NotAsked, 0);
                    attempt.tries += 1;
                    said = self.send(&mut sending, &mut request, &mut attempt).await;
                }
                Verdict::AskFirst(after) => {
                    self.remote.wait(after).await;
                    evidence.reads += 1;
                    match self.ask(&sending.operation).await {
                        Asked::Row(found) => {
                            evidence.row = self.row(&sending, found.as_ref());
                            row = found;
                        }
                        Asked::Failed(error)
                            if is_hidden(&error)
                                && matches!(
                                    said.facts,
                                    Facts::Conflict(ConflictCause::Existing) | Facts::Refused
                                ) =>
                        {
                            evidence.row = Row::Hidden;
                        }
                        Asked::Failed(error) => {
                            // What is in the way may be ours: the network may have sent it twice.
                            attempt.unsure = true;
                            return self.failed(&sending, attempt, error);
                        }
                    }
                }
                Verdict::SetAside => return self.aside(&sending, attempt, &said),
                Verdict::Reject => {
                    let unsure = sending.unsure;
                    return Delivered {
                        unsure,
                        ..rejected(said).into()
                    };
                }
                Verdict::Park => {
                    let found = match self.ours(&sending, row.as_ref()) {
                        Ours::NotApplied | Ours::Accepted(_) => Ours::Conflict { unsure: false },
                        found => found,
                    };
                    return self
                        .conclude(&sending, found, row, said.refusal, last_round)
                        .into();
                }
                Verdict::StopPush => return stopped(&sending, attempt, said),
            }
        }
    }

    /// Whether it may travel with others: it would be sent without a look at its row.
    pub(crate) fn may_travel(&self, sending: &Sending) -> bool {
        let operation = &sending.operation;
        operation.key.is_some()
            && (operation.kind == OperationKind::Delete || sending.record.is_some())
            && !needs_look(operation)
            && (!sending.unsure || self.may_repeat_blindly(operation))
            && self.course().may_send(&operation.table)
    }

    /// True where the server remembers the first attempt, so that the same request answers for it.
    fn may_repeat_blindly(&self, operation: &Operation) -> bool {
        let announced = self.remote.capabilities();
        let age = |first: Timestamp, now: Timestamp| {
            u64::try_from(now.millis().saturating_sub(first.millis())).ok()
        };
        let first = operation.first_sent.zip(announced.server_time);
        let young = first
            .and_then(|(first, now)| age(first, now))
            .zip(announced.operation_ids_kept)
            .is_some_and(|(age, kept)| u128::from(age) < kept.as_millis());
        young && operation.sent.is_empty() && operation.account == self.remote.link.account()
    }

    fn evidence(&self, operation: &Operation) -> Evidence {
        Evidence {
            behind_aside: self.course().is_behind_aside(operation.seq),
            deferred: operation.aside.as_ref().map_or(0, |aside| aside.deferred),
            ..Evidence::default()
        }
    }

    /// Sends the change once and sorts the answer.
    async fn send(
        &self,
        sending: &mut Cow<'_, Sending>,
        request: &mut Outgoing<'_>,
        attempt: &mut Attempt,
    ) -> Said {
        let answer = request.send(self.remote, sending).await;
        let is_current = request.is_current;
        let operation = &sending.operation;
        let nothing = Rejection::new(None, "");
        let said = |facts, record, refusal| Said {
            facts,
            record,
            refusal,
            error: None,
            is_current,
        };
        match answer {
            Ok(Outcome::Applied(record)) => said(Facts::Done, record, nothing),
            Ok(Outcome::OtherId(record)) => {
                let message = format!(
                    "the server keeps it under another id, '{}'; take the server's record over",
                    record.id()
                );
                said(Facts::OtherId, Some(record), Rejection::new(None, message))
            }
            Ok(Outcome::Missing) => said(Facts::Missing, None, nothing),
            Ok(Outcome::WholeOnly) => {
                let message = "the server says that it takes whole records only, and was sent one";
                said(Facts::Refused, None, Rejection::new(None, message))
            }
            Ok(Outcome::Rejected(refusal)) => said(Facts::Refused, None, refusal),
            Ok(Outcome::Conflict(conflict)) => {
                let known = match (conflict.unknown_since, operation.first_sent) {
                    (Some(since), Some(first)) => since < first,
                    _ => false,
                };
                if known && operation.sent.is_empty() {
                    // The server would know of an effect of the first attempt.
                    attempt.unsure = false;
                    if sending.unsure {
                        sending.to_mut().unsure = false;
                    }
                }
                let record = match conflict.server {
                    ServerRecord::Known(record) if record.id() == &sending.operation.id => {
                        Some(record)
                    }
                    ServerRecord::Known(_) | ServerRecord::Unknown => None,
                };
                // What is in the way is only believed when it is read, as it may be an echo; a tombstone is none.
                let record = record.filter(|record| {
                    conflict.cause == ConflictCause::Version
                        || record.is_deleted() && record.version().is_some()
                });
                said(Facts::Conflict(conflict.cause), record, conflict.refusal)
            }
            Err(error) => Said {
                facts: Facts::Failed(error.kind()),
                record: None,
                refusal: Rejection::new(error.status(), error.to_string()),
                error: Some(error),
                is_current: false,
            },
        }
    }

    /// Reads the row. "None" is believed where the table is there.
    async fn ask(&self, operation: &Operation) -> Asked {
        let (table, id) = (&operation.table, &operation.id);
        match self.remote.get(table, id).await {
            Ok(Some(row)) => {
                self.course().was_read(table);
                Asked::Row(Some(row))
            }
            Ok(None) => {
                if self.course().readable(table) != Some(true) {
                    match self.remote.control(table).await {
                        Ok(()) => self.course().was_read(table),
                        Err(error) => return Asked::Failed(error),
                    }
                }
                Asked::Row(None)
            }
            Err(error) => Asked::Failed(error),
        }
    }

    /// What the row says about the operation.
    fn ours(&self, sending: &Sending, row: Option<&Record>) -> Ours {
        let table = self.inner.tables.get(&sending.operation.table);
        let drops = self.remote.link.drops(&sending.operation.table);
        Question {
            operation: &with_unsure(sending),
            content: sending.record.as_ref(),
            row,
            rules: &table.device.merge,
            defaults: &table.schema.defaults(),
            drops: &drops,
            ask_before_undelete: self.inner.settings.ask_before_undelete,
        }
        .answer()
    }

    /// The row, as the policy looks at it.
    fn row(&self, sending: &Sending, row: Option<&Record>) -> Row {
        seen(&self.ours(sending, row), row)
    }

    /// The operation took effect, by the server's word or by its row.
    async fn accepted(&self, sending: &Sending, said: Said, row: Option<Record>) -> Answer {
        let operation = &sending.operation;
        if said.facts != Facts::Done {
            return match self.ours(sending, row.as_ref()) {
                found @ (Ours::Accepted(_) | Ours::Overtaken(_)) => effect(found, row, sending),
                // A delete of what is gone, or an insert that may not be read back.
                _ => Answer::Applied(sending.record.clone()),
            };
        }
        // What an earlier attempt did may be overtaken, unless the answer is the row.
        let unsure = sending.unsure && !said.is_current;
        if operation.kind == OperationKind::Delete && !unsure {
            return Answer::Applied(None);
        }
        let answered = said.record;
        if let (Some(sent), Some(answer)) = (&sending.record, &answered)
            && !sending.unsure
        {
            let names = dropped(sent, answer, operation.members.as_deref());
            self.remote.link.learn_drops(&operation.table, names);
        }
        let usable =
            operation.kind == OperationKind::Delete || answered.as_ref().is_some_and(is_usable);
        if usable && !unsure {
            return Answer::Applied(answered);
        }
        // What the server remembers of the first attempt may be overtaken by what others did since.
        match self.ask(operation).await {
            // Edits since then are told from what was sent: what the server added to it is no edit.
            Asked::Row(now) if usable => Answer::AppliedEarlier {
                content: sending.record.clone(),
                now,
            },
            Asked::Row(Some(now)) => Answer::Applied(Some(now)),
            Asked::Row(None) => Answer::AppliedEarlier {
                content: sending.record.clone(),
                now: None,
            },
            // Who may write but not read takes the server's word.
            Asked::Failed(error) if is_hidden(&error) => Answer::Applied(answered),
            Asked::Failed(error) => Answer::Aside {
                failure: Failure::of(&error, self.remote.capabilities().server_time),
                sent: true,
            },
        }
    }

    fn failed(&self, sending: &Sending, attempt: Attempt, error: TransportError) -> Delivered {
        let mut evidence = self.evidence(&sending.operation);
        let token = self.remote.token();
        (evidence.token_accepted, evidence.renewed) = (token.accepted, true);
        // A read was repeated as often as it may be.
        let attempt = Attempt {
            tries: u32::MAX,
            ..attempt
        };
        let said = Said {
            facts: Facts::Failed(error.kind()),
            record: None,
            refusal: Rejection::new(error.status(), error.to_string()),
            error: Some(error),
            is_current: false,
        };
        match judge(attempt, said.facts, evidence, &self.remote.patience) {
            Verdict::StopPush => stopped(sending, attempt, said),
            _ => self.aside(sending, attempt, &said),
        }
    }

    fn aside(&self, sending: &Sending, attempt: Attempt, said: &Said) -> Delivered {
        let now = self.remote.capabilities().server_time;
        let (failure, had_no_effect) = match &said.error {
            Some(error) => (Failure::of(error, now), error.kind().had_no_effect()),
            // Refused, or in conflict, behind one that is aside: it had no effect.
            None => (Failure::deferred(&said.refusal, now), true),
        };
        Answer::Aside {
            failure,
            sent: attempt.unsure || sending.unsure || !had_no_effect,
        }
        .into()
    }

    /// Notes an operation that is aside; where the server may be at fault, it is looked at. An error ends the push.
    pub(crate) async fn noted_aside(
        &self,
        operation: &Operation,
        failure: &Failure,
    ) -> Result<(), TransportError> {
        let table = &operation.table;
        let next = self
            .course()
            .set_aside(table, operation.seq, failure.is_silent());
        if failure.kind == Some(TransportErrorKind::UnknownTable) {
            self.course().controlled(table, failure.kind);
            return Ok(());
        }
        match next {
            Next::GoOn => Ok(()),
            Next::Control => self.look_at(table).await,
        }
    }

    /// Reads a row of a table that fails, and of another one where that fails, too: is it this table, or all of them? An error
    /// ends the push.
    pub(crate) async fn look_at(&self, table: &TableName) -> Result<(), TransportError> {
        let control = self.remote.control(table).await;
        let kind = control.as_ref().err().map(TransportError::kind);
        if !self.course().controlled(table, kind) {
            return Ok(());
        }
        let other = self.inner.queue.another_table(table).await;
        match other.unwrap_or_default() {
            Some(other) if self.remote.control(&other).await.is_ok() => {
                self.course().was_read(&other);
                Ok(())
            }
            _ => control,
        }
    }
}

/// Nothing more can be sent.
fn stopped(sending: &Sending, attempt: Attempt, said: Said) -> Delivered {
    let error = said.error;
    let had_no_effect = error
        .as_ref()
        .is_some_and(|error| error.kind().had_no_effect());
    let open = attempt.unsure || sending.unsure || !had_no_effect;
    Delivered {
        stop: error,
        ..if open {
            Answer::Unknown
        } else {
            Answer::NotSent
        }
        .into()
    }
}
