//! One push: its groups, its two turns, and what counts at its end.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::store::{Durability, StoreError};
use crate::sync::cancel::CancelToken;
use crate::sync::event::{Event, Origin};
use crate::sync::inner::Inner;
use crate::sync::push::answer::{Answer, Answered, Settled};
use crate::sync::push::batch::MOST;
use crate::sync::push::course::Course;
use crate::sync::push::deliver::Delivery;
use crate::sync::push::group::{Member, OnItsWay};
use crate::sync::push::mark::Sending;
use crate::sync::push::policy::may_count;
use crate::sync::push::report::PushReport;
use crate::sync::push::settle::count_one;
use crate::sync::queue::operation::{Operation, OperationState};
use crate::sync::remote::Remote;
use crate::sync::server::Link;
use crate::timestamp::Timestamp;
use crate::transport::TransportErrorKind;

/// Operations that are marked, sent and settled together: two commits a group instead of two an operation.
pub(crate) const GROUP: usize = 64;
/// Batches of one group, where they overlap.
const BATCHES_IN_A_GROUP: usize = 8;
/// How often one push sends an operation whose conflict was decided in its favour.
const ROUNDS: u32 = 5;
/// After so long a failure counts against an operation that is alone in its table.
const ALONE_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A wait that lies further ahead than any that is stored comes from a clock that went back: it binds nobody.
const HELD_AT_MOST: i64 = 2 * 60 * 60 * 1000;

type Key = (TableName, RecordId);

/// What a push is told to do.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Operations that may be at the server at once.
    pub(crate) parallel: usize,
    pub(crate) cancel: CancelToken,
    /// Only these; `None`: all.
    pub(crate) tables: Option<Vec<TableName>>,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            parallel: 1,
            cancel: CancelToken::new(),
            tables: None,
        }
    }
}

/// A push under way.
pub(crate) struct Run<'a> {
    orders: &'a Orders,
    inner: &'a Inner,
    link: Arc<Link>,
    /// Changes made while the push runs wait for the next one, so that a push ends.
    last: u64,
    total: u64,
    course: Mutex<Course>,
    rounds: HashMap<u64, u32>,
    /// What failed in this push, and how.
    failed: HashMap<u64, (Key, Option<TransportErrorKind>)>,
    /// What the last group took out of the queue.
    done: HashSet<u64>,
    turn: Turn,
}

/// A walk through the queue.
#[derive(Debug, Default)]
struct Turn {
    /// Nothing before it is to be sent in this turn.
    from: u64,
    /// Records with an operation before `from` that waits: those behind it wait, too.
    blocked: HashSet<Key>,
    /// What was tried in the last turn.
    tried: HashSet<u64>,
}

/// A group that is being gathered.
#[derive(Debug, Default)]
struct Walk {
    group: Vec<(u64, Key)>,
    members: HashSet<Key>,
    /// Records with an operation that waits, behind the first of the group.
    blocked: HashSet<Key>,
}

/// What a group came to.
struct Group {
    answers: Vec<Answered>,
    stopped: Option<Error>,
}

impl<'a> Run<'a> {
    pub(crate) async fn new(
        orders: &'a Orders,
        inner: &'a Inner,
        link: &Arc<Link>,
    ) -> Result<Self, Error> {
        Ok(Self {
            orders,
            inner,
            link: Arc::clone(link),
            last: inner.queue.last_seq(),
            total: inner.queue.count().await?,
            course: Mutex::default(),
            rounds: HashMap::new(),
            failed: HashMap::new(),
            done: HashSet::new(),
            turn: Turn::default(),
        })
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delivery<'b>(&'b self, remote: &'b Remote) -> Delivery<'b> {
        Delivery {
            inner: self.inner,
            remote,
            course: &self.course,
        }
    }

    /// The whole push.
    pub(crate) async fn whole(&mut self, report: &mut PushReport) -> Result<(), Error> {
        let group = self.next_group(GROUP).await?;
        let result = if group.is_empty() {
            // Nothing is sent, but the store may be somebody else's all the same.
            self.inner.check_account(&self.link).await
        } else {
            self.with_lease(group, report).await
        };
        report.aside = self.course().aside().len() as u64;
        result
    }

    async fn with_lease(
        &mut self,
        group: Vec<(u64, Key)>,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        self.link.transport()?;
        let _lock = self.inner.lease.take().await?;
        let result = self.with_server(group, report).await;
        self.inner.lease.release().await;
        result
    }

    /// Nothing is written before it is known that the server and the account are the store's.
    async fn with_server(
        &mut self,
        group: Vec<(u64, Key)>,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        let inner = self.inner;
        let remote = inner.contact(&self.link).await?;
        remote.begin_push();
        inner.listeners.emit(Event::PushStarted {
            pending: self.total,
        });
        let tables: BTreeSet<TableName> =
            group.iter().map(|(_, (table, _))| table.clone()).collect();
        let tables = Vec::from_iter(tables);
        let meet = inner.meet(&remote, &tables);
        self.orders.cancel.run(meet).await??;
        let result = self.turns(&remote, group, report).await;
        inner.part(&remote, result).await
    }

    async fn turns(
        &mut self,
        remote: &Remote,
        group: Vec<(u64, Key)>,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        self.send_groups(remote, group, report).await?;
        if self.failed.is_empty() {
            return Ok(());
        }
        self.course().begin_last_turn();
        self.turn = Turn::default();
        let group = self.next_group(GROUP).await?;
        if !group.is_empty() {
            // What passes by itself may have passed.
            remote.wait(remote.patience.delay(1, None)).await;
            self.send_groups(remote, group, report).await?;
        }
        self.count(remote).await
    }

    async fn send_groups(
        &mut self,
        remote: &Remote,
        mut group: Vec<(u64, Key)>,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        let inner = self.inner;
        while !group.is_empty() {
            if self.orders.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let _exchange = inner.guards.exchange.write().await;
            if self.course().last_turn {
                self.look_at_tables(remote, &group).await?;
            }
            let sendings = inner.mark(remote, &group).await?;
            let done = self.deliver_all(remote, sendings).await;
            self.done.clear();
            for (answered, settled) in done.answers.iter().zip(inner.settle(&done.answers).await?) {
                match settled {
                    Settled::Done => {
                        report.pushed += 1;
                        self.done.insert(answered.seq);
                    }
                    Settled::Again => *self.rounds.entry(answered.seq).or_default() += 1,
                    Settled::Conflict | Settled::Rejected | Settled::Aside | Settled::Open => {}
                }
            }
            inner.listeners.emit(Event::PushProgress {
                done: report.pushed,
                total: self.total,
            });
            if let Some(error) = done.stopped {
                return Err(error);
            }
            let most = group_size(remote, self.orders.parallel);
            group = self.next_group(most).await?;
        }
        Ok(())
    }

    /// Before the operations aside are tried again: do their tables work?
    async fn look_at_tables(&self, remote: &Remote, group: &[(u64, Key)]) -> Result<(), Error> {
        let tables: BTreeSet<&TableName> = group.iter().map(|(_, (table, _))| table).collect();
        for table in tables {
            if self.course().readable(table).is_some() {
                continue;
            }
            self.delivery(remote).look_at(table).await?;
        }
        Ok(())
    }

    /// The next operations on different records, in order. Operations behind one that waits on the same record wait.
    async fn next_group(&mut self, most: usize) -> Result<Vec<(u64, Key)>, Error> {
        let mut walk = Walk::default();
        let mut from = self.turn.from;
        let now = self.inner.clock.now();
        let count = u32::try_from(most).unwrap_or(u32::MAX);
        'pages: loop {
            let page = self.inner.queue.from(from, count).await?;
            let Some(last) = page.last() else {
                break;
            };
            from = last.seq.saturating_add(1);
            for operation in &page {
                self.is_not_done(operation)?;
                if walk.group.len() >= most || !self.step(&mut walk, operation, now) {
                    break 'pages;
                }
            }
        }
        if self.course().last_turn {
            let tried = walk.group.iter().map(|(seq, _)| *seq);
            self.turn.tried.extend(tried);
        }
        Ok(walk.group)
    }

    /// An error where the store holds what was just removed from it: it would be sent for ever.
    fn is_not_done(&self, operation: &Operation) -> Result<(), StoreError> {
        // What was edited on its way may go once more; it waits as a new one does.
        let is_removed = self.done.contains(&operation.seq);
        if is_removed && operation.state == OperationState::Attempted {
            return Err(StoreError::corrupt(format!(
                "operation {} was removed from the queue, and the store still has it; does the store pass the conformance kit?",
                operation.seq
            )));
        }
        Ok(())
    }

    /// Whether an operation goes with the group; false where the group ends before it.
    fn step(&mut self, walk: &mut Walk, operation: &Operation, now: Timestamp) -> bool {
        let seq = operation.seq;
        if seq > self.last {
            return false;
        }
        let key = (operation.table.clone(), operation.id.clone());
        let tables = self.orders.tables.as_ref();
        if tables.is_some_and(|tables| !tables.contains(&operation.table)) {
            return true;
        }
        let blocked = self.turn.blocked.contains(&key) || walk.blocked.contains(&key);
        if operation.state.is_parked() || blocked || self.rests(operation, now) {
            let waiting = if walk.group.is_empty() {
                &mut self.turn.blocked
            } else {
                &mut walk.blocked
            };
            waiting.insert(key);
            return true;
        }
        if !walk.members.insert(key.clone()) {
            return false;
        }
        if walk.group.is_empty() {
            self.turn.from = seq;
        }
        walk.group.push((seq, key));
        true
    }

    /// Whether it is not the turn of an operation.
    fn rests(&self, operation: &Operation, now: Timestamp) -> bool {
        let seq = operation.seq;
        let mut course = self.course();
        let aside = operation.aside.as_ref();
        let held = aside
            .and_then(|aside| aside.next_try)
            .is_some_and(|next| next > now && next.plus_millis(-HELD_AT_MOST) <= now);
        let first = !course.last_turn && course.aside().contains(&seq);
        let last =
            course.last_turn && (!course.aside().contains(&seq) || self.turn.tried.contains(&seq));
        let rest = held || !course.may_send(&operation.table);
        if rest && !course.last_turn {
            course.wait([seq]);
        }
        first || last || rest
    }

    /// Sends a group and collects what is known afterwards; an error is why not all of it was sent.
    async fn deliver_all(&mut self, remote: &Remote, sendings: Vec<Sending>) -> Group {
        let rounds = |sending: &Sending| self.rounds.get(&sending.operation.seq);
        let members = sendings.into_iter().map(|sending| {
            let last_round = rounds(&sending).is_some_and(|rounds| *rounds >= ROUNDS);
            Member::new(sending, last_round)
        });
        let delivery = self.delivery(remote);
        let group = OnItsWay::new(delivery, self.orders.parallel, members.collect());
        let cancelled = self.orders.cancel.run(group.deliver()).await.err();
        let (delivered, stopped) = group.ended();
        let mut answers = Vec::with_capacity(delivered.len());
        for (sending, delivered) in delivered {
            let operation = sending.operation;
            if let Answer::Aside { failure, .. } = &delivered.answer {
                let key = (operation.table.clone(), operation.id.clone());
                self.failed.insert(operation.seq, (key, failure.kind));
            } else {
                self.failed.remove(&operation.seq);
            }
            // An operation whose fate was open before stays open when it was not its turn.
            let still_open = sending.unsure && matches!(delivered.answer, Answer::NotSent);
            answers.push(Answered {
                seq: operation.seq,
                table: operation.table,
                id: operation.id,
                answer: delivered.answer,
                unsure: delivered.unsure || still_open,
            });
        }
        Group {
            answers,
            stopped: stopped.or(cancelled),
        }
    }

    /// What failed while the server was seen to do others counts against the operation; the third time it waits for the user.
    ///
    /// A commit of its own: a crash before it forgets that these failures count.
    async fn count(&self, remote: &Remote) -> Result<(), Error> {
        let mut failed: Vec<_> = self.failed.iter().collect();
        failed.sort_unstable_by_key(|(seq, _)| **seq);
        let now = remote.capabilities().server_time;
        let mut alone: BTreeSet<TableName> = BTreeSet::new();
        let tables = failed.iter().map(|(_, ((table, _), _))| table);
        for table in tables.collect::<BTreeSet<_>>() {
            if self.inner.queue.count_of_table(table, 2).await? == 1 {
                alone.insert(table.clone());
            }
        }
        let counts = |operation: &Operation, kind: TransportErrorKind| {
            let since = operation.aside.as_ref().and_then(|aside| aside.since);
            let a_day = since.zip(now).is_some_and(|(since, now)| {
                now.millis().saturating_sub(since.millis()) >= ALONE_MILLIS
            });
            let course = self.course();
            let is_alone = a_day
                && course.readable(&operation.table) == Some(true)
                && alone.contains(&operation.table);
            may_count(kind) && (is_alone || course.counts(&operation.table, kind))
        };
        for group in failed.chunks(GROUP) {
            let worth_it = |(_, (key, kind)): &&(&u64, &(Key, Option<TransportErrorKind>))| {
                let course = self.course();
                kind.is_none_or(|kind| {
                    may_count(kind) && (course.counts(&key.0, kind) || alone.contains(&key.0))
                })
            };
            let group: Vec<_> = group.iter().filter(worth_it).collect();
            if group.is_empty() {
                continue;
            }
            let rejected = self.inner.each_slot(
                &group,
                |(_, ((table, id), _))| (table, id),
                Durability::Eventual,
                Origin::Push,
                |(seq, (_, kind)), slot, batch| {
                    let Some(operation) = slot.find(**seq) else {
                        return Ok(false);
                    };
                    let is_counted = kind.is_some_and(|kind| counts(operation, kind));
                    count_one(operation, batch, *kind, is_counted, &remote.patience)
                },
            );
            let rejected = rejected.await?;
            let rejected = group.iter().zip(rejected).filter(|(_, rejected)| *rejected);
            for ((seq, ((table, id), _)), _) in rejected {
                let (seq, table, id) = (**seq, table.clone(), id.clone());
                self.course().decided(seq);
                self.inner
                    .listeners
                    .emit(Event::OperationRejected { seq, table, id });
            }
        }
        Ok(())
    }
}

/// As many as may travel together, if that is more than are marked anyway. Where batches overlap, several: at the end of a group the line is idle.
fn group_size(remote: &Remote, parallel: usize) -> usize {
    let batches = if parallel > 1 { BATCHES_IN_A_GROUP } else { 1 };
    let size = remote.batch_size().unwrap_or(GROUP);
    size.max((size * batches).min(MOST)).max(GROUP)
}
