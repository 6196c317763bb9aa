//! One push: its lease, its two turns, and what counts at its end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::store::Durability;
use crate::sync::event::{Event, Origin};
use crate::sync::inner::Inner;
use crate::sync::push::chain::{Books, Chain, GROUP};
use crate::sync::push::course::Course;
use crate::sync::push::orders::Orders;
use crate::sync::push::policy::may_count;
use crate::sync::push::report::PushReport;
use crate::sync::push::settle::count_one;
use crate::sync::push::turn::Key;
use crate::sync::push::walk::{Found, Walk};
use crate::sync::queue::operation::Operation;
use crate::sync::remote::Remote;
use crate::sync::server::Link;
use crate::sync::slots::Edit;
use crate::transport::TransportErrorKind;

/// After so long a failure counts against an operation that is alone in its table.
const ALONE_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// An operation that has failed in this push.
#[derive(Debug, Clone, Copy)]
struct Failed<'a> {
    seq: u64,
    key: &'a Key,
    /// `None` where it was refused behind another one that is aside.
    kind: Option<TransportErrorKind>,
}

impl Edit for Failed<'_> {
    fn key(&self) -> (&TableName, &RecordId) {
        (&self.key.0, &self.key.1)
    }
}

/// A push under way.
pub(crate) struct Run<'a> {
    orders: &'a Orders,
    inner: &'a Inner,
    link: Arc<Link>,
    course: &'a Mutex<Course>,
    walk: Walk<'a>,
    books: Books,
}

impl<'a> Run<'a> {
    /// `course`: a new one.
    pub(crate) async fn new(
        orders: &'a Orders,
        inner: &'a Inner,
        link: &Arc<Link>,
        course: &'a Mutex<Course>,
    ) -> Result<Self, Error> {
        Ok(Self {
            orders,
            inner,
            link: Arc::clone(link),
            course,
            walk: Walk::new(inner, orders, course),
            books: Books::of(inner.queue.count().await?),
        })
    }

    fn course(&self) -> MutexGuard<'a, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole push.
    pub(crate) async fn whole(&mut self, report: &mut PushReport) -> Result<(), Error> {
        let found = self.walk.next(first_group(self.inner)).await?;
        let result = if found.chosen.is_empty() {
            // Nothing is sent, but the store may be somebody else's all the same.
            self.inner.check_account(&self.link).await
        } else {
            self.with_lease(found, report).await
        };
        report.aside = self.course().aside().len() as u64;
        result
    }

    async fn with_lease(&mut self, found: Found, report: &mut PushReport) -> Result<(), Error> {
        self.link.transport()?;
        let _lock = self.inner.lease.take().await?;
        let result = self.with_server(found, report).await;
        self.inner.lease.release().await;
        result
    }

    /// Nothing is written before it is known that the server and the account are the store's.
    async fn with_server(&mut self, found: Found, report: &mut PushReport) -> Result<(), Error> {
        let inner = self.inner;
        let remote = inner.contact(&self.link).await?;
        remote.begin_push();
        inner.listeners.emit(Event::PushStarted {
            pending: self.books.total,
        });
        let chosen = found.chosen.iter();
        let tables: BTreeSet<TableName> = chosen.map(|(_, (table, _))| table.clone()).collect();
        let tables = Vec::from_iter(tables);
        let meet = inner.meet(&remote, &tables);
        self.orders.cancel.run(meet).await??;
        let result = self.turns(&remote, found, report).await;
        inner.part(&remote, result).await
    }

    async fn turns(
        &mut self,
        remote: &Remote,
        found: Found,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        let chain = Chain {
            inner: self.inner,
            orders: self.orders,
            remote,
            course: self.course,
        };
        let (walk, books) = (&mut self.walk, &mut self.books);
        chain.send(found, walk, books, report).await?;
        if books.failed.is_empty() {
            return Ok(());
        }
        walk.begin_last_turn();
        let found = walk.next(first_group(self.inner)).await?;
        if !found.chosen.is_empty() {
            // What passes by itself may have passed.
            remote.wait(remote.patience.delay(1, None)).await;
            chain.send(found, walk, books, report).await?;
        }
        self.count(remote).await
    }

    /// What failed while the server was seen to do others counts against the operation; the third time it waits for the user.
    ///
    /// A commit of its own: a crash before it forgets that these failures count.
    async fn count(&self, remote: &Remote) -> Result<(), Error> {
        let failed = self.books.failed.iter();
        let failed = failed.map(|(seq, (key, kind))| Failed {
            seq: *seq,
            key,
            kind: *kind,
        });
        let mut failed: Vec<_> = failed.collect();
        failed.sort_unstable_by_key(|failed| failed.seq);
        let now = remote.capabilities().server_time;
        let mut alone: BTreeSet<TableName> = BTreeSet::new();
        let tables = failed.iter().map(|failed| &failed.key.0);
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
            let worth_it = |failed: &&Failed<'_>| {
                let (course, table) = (self.course(), &failed.key.0);
                failed.kind.is_none_or(|kind| {
                    may_count(kind) && (course.counts(table, kind) || alone.contains(table))
                })
            };
            let group: Vec<_> = group.iter().filter(worth_it).copied().collect();
            if group.is_empty() {
                continue;
            }
            let rejected = self.inner.each_slot(
                &group,
                Durability::Eventual,
                Origin::Push,
                |Failed { seq, kind, .. }, slot, batch| {
                    let Some(operation) = slot.find(*seq) else {
                        return Ok(false);
                    };
                    let is_counted = kind.is_some_and(|kind| counts(operation, kind));
                    count_one(operation, batch, *kind, is_counted, &remote.patience)
                },
            );
            let rejected = rejected.await?;
            let rejected = group.iter().zip(rejected).filter(|(_, rejected)| *rejected);
            for (Failed { seq, key, .. }, _) in rejected {
                let (seq, (table, id)) = (*seq, (*key).clone());
                self.course().decided(seq);
                self.inner
                    .listeners
                    .emit(Event::OperationRejected { seq, table, id });
            }
        }
        Ok(())
    }
}

/// As long as it is not known how many may travel together.
fn first_group(inner: &Inner) -> usize {
    GROUP.min(inner.settings.push_group)
}
