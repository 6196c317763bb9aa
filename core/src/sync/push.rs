//! Push: sends the queue in order.

use std::collections::{HashMap, HashSet};
use std::future::IntoFuture;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use super::cancel::CancelToken;
use super::conflict::{ConflictDecision, ConflictDetails, ConflictPolicy};
use super::context::{Inner, SyncContext};
use super::event::{Event, Origin};
use super::merge::merge;
use super::operation::{Operation, OperationKind, OperationState};
use super::settle::{Answer, Answered, Settled, merge_decision};
use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::store::Durability;
use crate::transport::{
    Change, ChangeKind, Outcome, Rejection, ServerRecord, Transport, TransportError,
    TransportErrorKind,
};

/// Operations that are marked, sent and settled together: two commits a group instead of two an operation.
const GROUP: usize = 64;
/// How often one push sends an operation whose conflict was decided in its favour.
const ROUNDS: u32 = 5;
/// Operations that one push leaves aside for their own errors before it takes the server to be at fault.
const ASIDE: usize = 10;

/// What a push did, and what is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushReport {
    /// Operations that took effect at the server, or turned out not to be needed any more.
    pub pushed: u64,
    /// Conflicts that are parked now, earlier ones included.
    pub conflicts: u64,
    /// Refused operations that are parked now, earlier ones included.
    pub rejected: u64,
    /// Operations in the queue now, parked ones included.
    pub pending: u64,
}

/// A push to be awaited. Made by [`SyncContext::push`].
///
/// Operations go out in the order in which they were queued, over all tables, one after the other. A network,
/// authentication or store error stops the push ([`Error::PushStopped`]); anything else is kept with its operation
/// and the push goes on. Where the server does not know a table, or its answer to one operation is no answer, the others are
/// sent and the error comes at the end. Dropping the future is safe at any time: what was sent without an answer is found out
/// before it is sent again.
#[derive(Debug)]
#[must_use = "a push does nothing until it is awaited"]
pub struct Push {
    context: SyncContext,
    parallel: usize,
    cancel: CancelToken,
    tables: Option<Vec<TableName>>,
}

impl SyncContext {
    /// Sends the queue to the server.
    pub fn push(&self) -> Push {
        Push {
            context: self.clone(),
            parallel: 1,
            cancel: CancelToken::new(),
            tables: None,
        }
    }
}

impl Push {
    /// How many operations may be at the server at once. They are always on different records; order between
    /// records is kept only with 1, the default.
    pub fn parallel(mut self, operations: usize) -> Self {
        self.parallel = operations.clamp(1, GROUP);
        self
    }

    /// Stops when `token` is cancelled.
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = token.clone();
        self
    }

    /// Sends the operations of these tables only.
    pub fn tables(mut self, tables: impl IntoIterator<Item = TableName>) -> Self {
        self.tables = Some(tables.into_iter().collect());
        self
    }

    async fn run(self) -> Result<PushReport, Error> {
        let inner = &self.context.inner;
        let _turn = inner.push_turn.lock().await;
        inner.reload_queue().await?;
        let mut report = PushReport::default();
        let result = self.run_groups(&mut report).await;
        report.conflicts = inner.queue.count(OperationState::Conflict);
        report.rejected = inner.queue.count(OperationState::Rejected);
        report.pending = inner.queue.len();
        match result {
            Ok(()) => {
                inner.emit(Event::PushFinished(report));
                Ok(report)
            }
            Err(source) => Err(Error::PushStopped {
                report: Box::new(report),
                source: Box::new(source),
            }),
        }
    }

    async fn run_groups(&self, report: &mut PushReport) -> Result<(), Error> {
        let inner = &self.context.inner;
        let total = inner.queue.len();
        // Changes made while the push runs wait for the next one, so that a push ends.
        let last = inner.queue.last_seq();
        let mut rounds: HashMap<u64, u32> = HashMap::new();
        let mut aside = Aside::default();
        let mut group = self.next_group(last, &aside);
        if group.is_empty() {
            return Ok(());
        }
        let transport = inner.transport()?;
        inner.emit(Event::PushStarted { pending: total });
        while !group.is_empty() {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let _turn = inner.turn.write().await;
            let sendings = inner.mark(&group).await?;
            let (answers, stopped) = self
                .deliver_all(transport.as_ref(), &sendings, &rounds, &mut aside)
                .await;
            for (answered, settled) in answers.iter().zip(inner.settle(&answers).await?) {
                match settled {
                    Settled::Done => report.pushed += 1,
                    Settled::Again => *rounds.entry(answered.seq).or_default() += 1,
                    Settled::Conflict | Settled::Rejected | Settled::Open => {}
                }
            }
            inner.emit(Event::PushProgress {
                done: report.pushed,
                total,
            });
            if let Some(error) = stopped {
                return Err(error);
            }
            if aside.operations.len() >= ASIDE {
                break;
            }
            group = self.next_group(last, &aside);
        }
        aside.error.map_or(Ok(()), Err)
    }

    /// The next operations on different records, in order. Operations behind a parked one on the same record wait.
    fn next_group(&self, last: u64, aside: &Aside) -> Vec<(u64, TableName, RecordId)> {
        let mut blocked: HashSet<(TableName, RecordId)> = HashSet::new();
        let mut group: Vec<(u64, TableName, RecordId)> = Vec::new();
        let mut members: HashSet<(TableName, RecordId)> = HashSet::new();
        self.context.inner.queue.select(GROUP, |seq, entry| {
            if seq > last {
                return None;
            }
            let key = (entry.table.clone(), entry.id.clone());
            if self
                .tables
                .as_ref()
                .is_some_and(|tables| !tables.contains(&entry.table))
                || blocked.contains(&key)
            {
                return Some(false);
            }
            if entry.state.is_parked()
                || aside.operations.contains(&seq)
                || aside.tables.contains(&entry.table)
            {
                blocked.insert(key);
                return Some(false);
            }
            if !members.insert(key) {
                return None;
            }
            group.push((seq, entry.table.clone(), entry.id.clone()));
            Some(true)
        });
        group
    }

    /// Sends a group and collects what is known afterwards; an error is why not all of it was sent.
    async fn deliver_all(
        &self,
        transport: &dyn Transport,
        sendings: &[Sending],
        rounds: &HashMap<u64, u32>,
        aside: &mut Aside,
    ) -> (Vec<Answered>, Option<Error>) {
        let state = Mutex::new(Delivery {
            answers: vec![Answer::NotSent; sendings.len()],
            stopped: None,
            aside: Vec::new(),
        });
        let mut deliveries = Vec::with_capacity(sendings.len());
        for (place, sending) in sendings.iter().enumerate() {
            let last_round = rounds
                .get(&sending.operation.seq)
                .is_some_and(|rounds| *rounds >= ROUNDS);
            deliveries.push(self.deliver_in_turn(transport, sending, last_round, place, &state));
        }
        let all = stream::iter(deliveries)
            .buffer_unordered(self.parallel)
            .collect::<Vec<()>>();
        let cancelled = self.cancel.run(all).await.err();
        let mut delivery = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stopped = delivery.stopped.take().or(cancelled);
        for (place, error) in delivery.aside.drain(..) {
            if let Some(sending) = sendings.get(place) {
                aside.add(&sending.operation, error);
            }
        }
        let answers = sendings
            .iter()
            .zip(delivery.answers)
            .map(|(sending, answer)| {
                let operation = &sending.operation;
                // An operation whose fate was open before stays open when it was not its turn.
                let answer = if sending.recheck && matches!(answer, Answer::NotSent) {
                    Answer::Unknown
                } else {
                    answer
                };
                Answered {
                    seq: operation.seq,
                    table: operation.table.clone(),
                    id: operation.id.clone(),
                    answer,
                }
            })
            .collect();
        (answers, stopped)
    }
}

impl Push {
    /// Sends one operation of a group, unless another one has stopped the push.
    async fn deliver_in_turn(
        &self,
        transport: &dyn Transport,
        sending: &Sending,
        last_round: bool,
        place: usize,
        state: &Mutex<Delivery>,
    ) {
        let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().stopped.is_some() {
            return;
        }
        lock().set(place, Answer::Unknown);
        match self
            .context
            .inner
            .deliver(transport, sending, last_round)
            .await
        {
            Ok(answer) => lock().set(place, answer),
            Err(error) => match error.kind() {
                // Not known to concern anything but this operation, or its table: the others go on.
                TransportErrorKind::UnknownTable | TransportErrorKind::BadRequest => {
                    let mut state = lock();
                    state.set(place, Answer::NotSent);
                    state.aside.push((place, error));
                }
                TransportErrorKind::Protocol | TransportErrorKind::TooLarge => {
                    lock().aside.push((place, error));
                }
                _ => {
                    lock().stopped.get_or_insert(error.into());
                }
            },
        }
    }
}

impl IntoFuture for Push {
    type Output = Result<PushReport, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.run().boxed()
    }
}

struct Delivery {
    answers: Vec<Answer>,
    stopped: Option<Error>,
    /// Places of operations that failed by themselves.
    aside: Vec<(usize, TransportError)>,
}

/// What a push does not try again: it is reported at the end, and stays in the queue.
#[derive(Debug, Default)]
struct Aside {
    operations: HashSet<u64>,
    tables: HashSet<TableName>,
    error: Option<Error>,
}

impl Aside {
    fn add(&mut self, operation: &Operation, error: TransportError) {
        if error.kind() == TransportErrorKind::UnknownTable {
            self.tables.insert(operation.table.clone());
        } else {
            self.operations.insert(operation.seq);
        }
        self.error.get_or_insert(error.into());
    }
}

impl Delivery {
    fn set(&mut self, place: usize, answer: Answer) {
        if let Some(slot) = self.answers.get_mut(place) {
            *slot = answer;
        }
    }
}

/// An operation on its way, with the record as it is sent.
#[derive(Debug)]
struct Sending {
    operation: Operation,
    record: Option<Record>,
    /// It may have been sent before: find out first.
    recheck: bool,
}

impl Inner {
    /// Notes durably that these operations may reach the server from now on, and takes what they send.
    async fn mark(&self, group: &[(u64, TableName, RecordId)]) -> Result<Vec<Sending>, Error> {
        let mut keys: Vec<_> = group
            .iter()
            .map(|(_, table, id)| (table.clone(), id.clone()))
            .collect();
        keys.sort_unstable();
        self.with_slots(&keys, Durability::Immediate, Origin::Push, |slots, _| {
            let mut sendings = Vec::with_capacity(group.len());
            for (seq, table, id) in group {
                let slot = slots
                    .iter_mut()
                    .find(|slot| slot.table == *table && slot.id == *id);
                let Some(slot) = slot else { continue };
                let record = slot.record.clone();
                let Some(operation) = slot.find(*seq).filter(|operation| !operation.is_parked())
                else {
                    continue;
                };
                let recheck = operation.state == OperationState::Attempted;
                operation.state = OperationState::Attempted;
                operation.attempts += 1;
                let record = match operation.kind {
                    OperationKind::Delete => None,
                    _ => operation.item.clone().or(record),
                };
                sendings.push(Sending {
                    operation: operation.clone(),
                    record,
                    recheck,
                });
            }
            Ok(sendings)
        })
        .await
    }

    async fn deliver(
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
        if sending.recheck
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
                Ok(self.judge(sending, server, last_round).await)
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
        let base = operation.base.as_ref();
        let untouched = match (&server, base) {
            (None, None) => true,
            (Some(server), Some(base)) => {
                server.version().is_some() && server.version() == base.version()
            }
            // A server that hides tombstones shows nothing where the operation started from one.
            (None, Some(base)) => base.is_deleted(),
            (Some(_), None) => false,
        };
        if untouched && !(operation.kind == OperationKind::Delete && server.is_none()) {
            return Ok(None);
        }
        Ok(Some(self.judge(sending, server, last_round).await))
    }

    /// The answer for an operation that met `server` instead of its base: done all the same, or a conflict with a decision.
    async fn judge(&self, sending: &Sending, server: Option<Record>, last_round: bool) -> Answer {
        let operation = &sending.operation;
        let live = server.as_ref().filter(|record| !record.is_deleted());
        match (operation.kind, live, &sending.record) {
            (OperationKind::Delete, None, _) => return Answer::Applied(None),
            (OperationKind::Insert | OperationKind::Replace, Some(theirs), Some(ours))
                if ours.same_members(theirs)
                    && (sending.recheck || self.adds_nothing(operation, ours, theirs)) =>
            {
                return Answer::Applied(server);
            }
            _ => {}
        }
        let details = ConflictDetails {
            operation: operation.clone(),
            base: operation.base.clone(),
            local: sending.record.clone(),
            server: server.clone(),
        };
        let own_tombstone = operation.follows_delete && live.is_none() && server.is_some();
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
                match std::panic::AssertUnwindSafe(handler.resolve(details))
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
            .with_if_match(base.and_then(Record::version).cloned())
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

/// Text without control characters, cut to a length for a person.
fn one_line(text: &str) -> String {
    text.chars()
        .take(500)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
