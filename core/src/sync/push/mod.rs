//! Push: sends the queue in order.

pub(crate) mod deliver;
pub(crate) mod lease;
pub(crate) mod mark;
pub(crate) mod settle;

use std::collections::{HashMap, HashSet};
use std::future::IntoFuture;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::planted::planted;
use crate::sync::cancel::CancelToken;
use crate::sync::context::SyncContext;
use crate::sync::event::Event;
use crate::sync::push::deliver::concerns_operation;
use crate::sync::push::mark::Sending;
use crate::sync::push::settle::{Answer, Answered, Settled};
use crate::sync::queue::operation::{Operation, OperationState};
use crate::transport::{Transport, TransportError, TransportErrorKind};

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
/// and the push goes on. Where the server does not know a table, or fails at one operation (500, or an answer that is none), the
/// others are sent and the error comes at the end; the third time it fails at the same one, that is parked, if the server is
/// seen to work. Dropping the future is safe at any time: what was sent without an answer is found out
/// before it is sent again.
///
/// Of the processes that have one store open one pushes at a time; the push of another is stopped with [`Error::AnotherPusher`].
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
        let group = self.next_group(last, &Aside::default());
        if group.is_empty() {
            return Ok(());
        }
        let transport = inner.transport()?;
        let _lock = inner.take_lease().await?;
        let result = self
            .send_groups(transport.as_ref(), group, total, last, report)
            .await;
        inner.release_lease().await;
        result
    }

    async fn send_groups(
        &self,
        transport: &dyn Transport,
        mut group: Vec<(u64, TableName, RecordId)>,
        total: u64,
        last: u64,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        let inner = &self.context.inner;
        let mut rounds: HashMap<u64, u32> = HashMap::new();
        let mut aside = Aside::default();
        inner.emit(Event::PushStarted { pending: total });
        while !group.is_empty() {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let _turn = inner.turn.write().await;
            let sendings = inner.mark(&group).await?;
            let (answers, stopped) = self
                .deliver_all(transport, &sendings, &rounds, &mut aside)
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
            if !members.insert(key) && !planted!(SuccessorsTogether) {
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
        if let Err(error) = self.context.inner.keep_lease().await {
            lock().stopped.get_or_insert(error);
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
            Err(error)
                if planted!(LostAnswerIsDone) && error.kind() == TransportErrorKind::Timeout =>
            {
                lock().set(place, Answer::Applied(None));
            }
            Err(error) => match error.kind() {
                // Not known to concern anything but this operation, or its table: the others go on.
                TransportErrorKind::UnknownTable | TransportErrorKind::BadRequest => {
                    let mut state = lock();
                    state.set(place, Answer::NotSent);
                    state.aside.push((place, error));
                }
                _ if concerns_operation(&error) => lock().aside.push((place, error)),
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
