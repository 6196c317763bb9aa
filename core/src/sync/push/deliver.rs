//! One operation on its way: what is sent, what became of an attempt whose answer was lost, and how a conflict is decided.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::planted::planted;
use crate::record::Record;
use crate::sync::context::Inner;
use crate::sync::decide::conflict::{ConflictDecision, ConflictDetails, ConflictPolicy};
use crate::sync::decide::merge::merge;
use crate::sync::push::mark::Sending;
use crate::sync::push::settle::{Answer, merge_decision};
use crate::sync::queue::operation::{Operation, OperationKind};
use crate::transport::{
    Change, ChangeKind, Outcome, Rejection, ServerRecord, Transport, TransportError,
    TransportErrorKind,
};

/// Attempts after which an operation that the server alone cannot do is parked.
const TRIES: u32 = 3;

impl Inner {
    pub(crate) async fn deliver(
        &self,
        transport: &dyn Transport,
        sending: &Sending,
        last_round: bool,
    ) -> Result<Answer, TransportError> {
        match self.attempt(transport, sending, last_round).await {
            Err(error) if concerns_operation(&error) && sending.operation.attempts >= TRIES => {
                self.give_up(transport, sending, last_round, error).await
            }
            answer => answer,
        }
    }

    /// An operation that failed again and again: it is parked where the server is seen to work, so that it holds up nothing.
    ///
    /// An attempt may still be on its way and take effect later, so it stays unsure.
    async fn give_up(
        &self,
        transport: &dyn Transport,
        sending: &Sending,
        last_round: bool,
        error: TransportError,
    ) -> Result<Answer, TransportError> {
        let operation = &sending.operation;
        let Ok(server) = transport.get(&operation.table, &operation.id).await else {
            return Err(error);
        };
        if !untouched(operation, server.as_ref()) {
            return Ok(self.judge(sending, server, last_round, true).await);
        }
        let message = format!("tried {} times: {error}", operation.attempts);
        Ok(Answer::GaveUp(Rejection::new(error.status(), message)))
    }

    async fn attempt(
        &self,
        transport: &dyn Transport,
        sending: &Sending,
        last_round: bool,
    ) -> Result<Answer, TransportError> {
        let operation = &sending.operation;
        if operation.kind != OperationKind::Delete && sending.record.is_none() {
            return Ok(Answer::Rejected(Rejection::new(
                None,
                "the local record is missing; cancel the operation",
            )));
        }
        // The insert before it was given up, and may be in or not. Without a base nothing keeps the delete from a record that
        // others made under the same id.
        if operation.kind == OperationKind::Delete && operation.base.is_none() {
            let server = transport.get(&operation.table, &operation.id).await?;
            return Ok(self.judge(sending, server, last_round, true).await);
        }
        // A server that recognises repeats says itself what became of the first attempt.
        let asks =
            |transport: &dyn Transport| sending.recheck && !transport.capabilities().operation_ids;
        if asks(transport)
            && let Some(answer) = self.find_out(transport, sending, last_round).await?
        {
            return Ok(answer);
        }
        let outcome = transport
            .apply(&operation.table, &self.change(sending))
            .await?;
        match outcome {
            Outcome::Applied(Some(record)) if record.id() != &operation.id => {
                Err(TransportError::new(
                    TransportErrorKind::Protocol,
                    format!(
                        "table {}: the server answered about another record than '{}'",
                        operation.table, operation.id
                    ),
                ))
            }
            Outcome::Applied(None) if operation.kind != OperationKind::Delete => Ok(
                Answer::Applied(transport.get(&operation.table, &operation.id).await?),
            ),
            // What the server remembers of the first attempt may be overtaken by what others did since.
            Outcome::Applied(record) if sending.recheck => Ok(Answer::AppliedEarlier {
                now: transport.get(&operation.table, &operation.id).await?,
                record,
            }),
            Outcome::Applied(record) => Ok(Answer::Applied(record)),
            Outcome::Rejected(rejection) => Ok(Answer::Rejected(rejection)),
            Outcome::Conflict(conflict) => {
                let server = match conflict.server {
                    ServerRecord::Known(record) if record.id() == &operation.id => Some(record),
                    ServerRecord::Gone => None,
                    ServerRecord::Known(_) | ServerRecord::Unknown => {
                        transport.get(&operation.table, &operation.id).await?
                    }
                };
                let unsure = asks(transport);
                Ok(self.judge(sending, server, last_round, unsure).await)
            }
        }
    }

    /// What became of an operation whose answer was lost; `None` when it had no effect.
    async fn find_out(
        &self,
        transport: &dyn Transport,
        sending: &Sending,
        last_round: bool,
    ) -> Result<Option<Answer>, TransportError> {
        let operation = &sending.operation;
        let server = transport.get(&operation.table, &operation.id).await?;
        if transport.capabilities().operation_ids {
            // The first answer since the program started has told so.
            return Ok(None);
        }
        if untouched(operation, server.as_ref()) {
            return Ok(None);
        }
        Ok(Some(self.judge(sending, server, last_round, true).await))
    }

    /// The answer for an operation that met `server` instead of its base: done all the same, or a conflict with a decision.
    /// `unsure`: an earlier attempt may have taken effect.
    async fn judge(
        &self,
        sending: &Sending,
        server: Option<Record>,
        last_round: bool,
        unsure: bool,
    ) -> Answer {
        let mut operation = sending.operation.clone();
        operation.unsure |= unsure;
        let unsure = operation.unsure;
        let live = server.as_ref().filter(|record| !record.is_deleted());
        if planted!(ConflictIsDone) || planted!(AnyRowIsOurs) && unsure && live.is_some() {
            return Answer::Applied(server);
        }
        match (operation.kind, live, &sending.record) {
            (OperationKind::Delete, None, _) => return Answer::Applied(None),
            (OperationKind::Insert | OperationKind::Replace, Some(theirs), Some(ours))
                if ours.same_members(theirs)
                    && (unsure || self.adds_nothing(&operation, ours, theirs)) =>
            {
                return Answer::Applied(server);
            }
            _ => {}
        }
        let details = ConflictDetails {
            base: operation.base.clone(),
            local: sending.record.clone(),
            server: server.clone(),
            operation,
        };
        let own_tombstone = details.operation.follows_delete && live.is_none() && server.is_some();
        let (decision, message) = if last_round {
            (
                ConflictDecision::Park,
                "the server's record keeps changing".to_owned(),
            )
        } else if own_tombstone {
            (ConflictDecision::Client, String::new())
        } else {
            self.consult(&details).await
        };
        Answer::Conflict {
            server,
            decision,
            message,
            unsure,
        }
    }

    /// False where another device made the same change and a rule wants both to count.
    fn adds_nothing(&self, operation: &Operation, ours: &Record, theirs: &Record) -> bool {
        let rules = &self.table_schema(&operation.table).merge;
        let merged = merge(rules, operation.base.as_ref(), ours, theirs);
        merged.record.same_members(theirs)
    }

    async fn consult(&self, details: &ConflictDetails) -> (ConflictDecision, String) {
        let parked = |message: String| (ConflictDecision::Park, message);
        match &self.policy {
            ConflictPolicy::Park => parked(String::new()),
            ConflictPolicy::ServerWins => (ConflictDecision::Server, String::new()),
            ConflictPolicy::ClientWins => (ConflictDecision::Client, String::new()),
            ConflictPolicy::Merge => {
                let schema = self.table_schema(&details.operation.table);
                merge_decision(&schema.merge, details)
                    .map_or_else(parked, |decision| (decision, String::new()))
            }
            ConflictPolicy::Custom(handler) => {
                match AssertUnwindSafe(handler.resolve(details))
                    .catch_unwind()
                    .await
                {
                    Ok(Ok(ConflictDecision::With(record)))
                        if self
                            .check_record(&details.operation.table, &record)
                            .is_err() =>
                    {
                        parked(
                            "the conflict handler gave a record that does not fit the table"
                                .to_owned(),
                        )
                    }
                    Ok(Ok(decision)) => (decision, String::new()),
                    Ok(Err(error)) => parked(one_line(&error.to_string())),
                    Err(_) => parked("the conflict handler panicked".to_owned()),
                }
            }
        }
    }

    fn change(&self, sending: &Sending) -> Change {
        let operation = &sending.operation;
        let base = operation.base.as_ref();
        let kind = match operation.kind {
            OperationKind::Insert => ChangeKind::Insert,
            OperationKind::Delete => ChangeKind::Delete,
            OperationKind::Replace if base.is_some_and(Record::is_deleted) => ChangeKind::Undelete,
            OperationKind::Replace => ChangeKind::Replace,
        };
        let mut change = Change::new(kind, operation.id.clone())
            .with_if_match(
                base.and_then(Record::version)
                    .filter(|_| !planted!(NoIfMatch))
                    .cloned(),
            )
            .with_base(base.cloned())
            .with_operation_id(self.operation_key(sending));
        change.record.clone_from(&sending.record);
        change
    }

    /// The same for every attempt of the same content, different for anything else; a restored backup that uses a
    /// sequence number again has other content, so it cannot be mistaken for a repeat.
    fn operation_key(&self, sending: &Sending) -> String {
        let operation = &sending.operation;
        let parts = [
            operation.table.as_str(),
            operation.id.as_str(),
            operation.kind.as_str(),
            operation
                .base
                .as_ref()
                .and_then(Record::version)
                .map_or("", |version| version.as_str()),
            sending.record.as_ref().map_or("", Record::body),
        ];
        let hash = parts
            .iter()
            .flat_map(|part| part.bytes().chain([0xff]))
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        format!(
            "{}-{}-{}-{hash:016x}",
            self.store_id, operation.seq, operation.edits
        )
    }
}

/// True where an error need not be the fate of the next operation, too, and the request may have been seen by the server.
pub(crate) fn concerns_operation(error: &TransportError) -> bool {
    match error.kind() {
        TransportErrorKind::Protocol | TransportErrorKind::TooLarge => true,
        // Not 503 and the like, which say that the server is busy.
        _ => error.status() == Some(500),
    }
}

/// True where the server's record still is the one on which the operation is based, so that it had no effect.
fn untouched(operation: &Operation, server: Option<&Record>) -> bool {
    match (server, operation.base.as_ref()) {
        (None, None) => operation.kind != OperationKind::Delete,
        (Some(server), Some(base)) => {
            server.version().is_some() && server.version() == base.version()
        }
        // A server that hides tombstones shows nothing where the operation started from one.
        (None, Some(base)) => base.is_deleted() && operation.kind != OperationKind::Delete,
        (Some(_), None) => false,
    }
}

/// Text without control characters, cut to a length for a person.
fn one_line(text: &str) -> String {
    text.chars()
        .take(500)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
