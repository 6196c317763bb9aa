//! Pull: brings the server's changes of one table or query.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod came;
pub(crate) mod delta;
pub(crate) mod filter;
mod follow;
mod left;
mod position;
pub(crate) mod query;
pub(crate) mod report;
pub(crate) mod seen;
pub(crate) mod stamp;
mod sweep;
pub(crate) mod walk;
mod way;

use std::collections::HashSet;
use std::future::IntoFuture;

use futures_util::future::{Either, select};
use tokio::sync::RwLockReadGuard;

use crate::error::Error;
use crate::name::{NameError, QueryId, RecordId, TableName};
use crate::query::RemoteQuery;
use crate::record::Record;
use crate::sync::cancel::CancelToken;
use crate::sync::context::SyncContext;
use crate::sync::event::Event;
use crate::sync::inner::Inner;
use crate::sync::pull::apply::Target;
use crate::sync::pull::came::Came;
use crate::sync::pull::filter::{Left, Named};
use crate::sync::pull::left::Asking;
use crate::sync::pull::query::{MAX_REQUESTS, check_query, check_words, is_windowed};
use crate::sync::pull::report::{MAX_INVALID, PullReport};
use crate::sync::pull::seen::Sweep;
use crate::sync::pull::stamp::Stamp;
use crate::sync::pull::walk::Then;
use crate::sync::pull::way::{Answer, Request, Way};
use crate::sync::remote::Remote;
use crate::sync::system::ATTEMPTS;
use crate::threads::{BoxFuture, boxed};

/// Pages that may wait while others are stored.
const AHEAD: usize = 4;

/// A pull to be awaited. Made by [`SyncTable::pull`](crate::sync::SyncTable::pull) and [`SyncTable::pull_full`](crate::sync::SyncTable::pull_full).
///
/// Each page is stored together with the position of the pull, so a pull that ends early goes on from there.
/// Dropping the future is safe at any time.
#[derive(Debug)]
#[must_use = "a pull does nothing until it is awaited"]
pub struct Pull {
    context: SyncContext,
    table: TableName,
    query: RemoteQuery,
    name: Option<Result<QueryId, NameError>>,
    push_first: bool,
    page: Option<u32>,
    cancel: CancelToken,
}

impl Pull {
    pub(crate) fn new(
        context: SyncContext,
        table: TableName,
        query: RemoteQuery,
        name: Option<&str>,
    ) -> Self {
        let name = name.map(QueryId::new);
        Self {
            context,
            table,
            query,
            name,
            push_first: true,
            page: None,
            cancel: CancelToken::new(),
        }
    }

    /// Does not push first: rows of records with pending operations are left alone.
    pub fn without_push(mut self) -> Self {
        self.push_first = false;
        self
    }

    /// How many records to ask for at once; the server may give fewer.
    pub fn page(mut self, records: u32) -> Self {
        self.page = Some(records.max(1));
        self
    }

    /// Stops when `token` is cancelled; pages that were stored stay.
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = token.clone();
        self
    }

    /// True where a record that does not come is not at the server, or not as the query describes it.
    fn wants_all(&self) -> bool {
        !is_windowed(&self.query) && self.query.parameters.is_empty()
    }

    /// Asks about single records.
    fn asking<'a>(&'a self, inner: &'a Inner, remote: &'a Remote) -> Asking<'a> {
        Asking {
            inner,
            remote,
            cancel: &self.cancel,
            table: &self.table,
            name: self.name.as_ref().and_then(|name| name.as_ref().ok()),
            query: &self.query,
            requests: 0,
        }
    }

    /// Where to begin, once what a changed filter does not want has left.
    async fn begun(
        &self,
        remote: &Remote,
        name: Option<&QueryId>,
        left: &mut Left,
    ) -> Result<(Stamp, Way), Error> {
        let (inner, table, query) = (&*self.context.inner, &self.table, &self.query);
        if let Some(name) = name {
            let named = Named { table, name, query };
            let settled = named.settle(inner, remote, left);
            self.cancel.run(settled).await??;
        }
        // Before the position and the rows: what changes them from here on is noticed.
        let stamp = Stamp::read(inner.store.as_ref(), table).await?;
        let has_feed = remote.has_feed(table);
        let way = Way::of(inner, has_feed, table, query, name.cloned()).await?;
        Ok((stamp, way))
    }

    async fn run(self) -> Result<PullReport, Error> {
        let inner = &self.context.inner;
        let link = inner.server.link();
        let name = self.name.clone().transpose()?;
        check_query(&self.query, name.is_some())?;
        check_words(&inner.steps, &self.table, &self.query)?;
        inner.tables.ensure(&self.table).await?;
        if inner.tables.get(&self.table).device.local_only {
            return Err(Error::LocalOnly {
                table: self.table.clone(),
            });
        }
        let mut report = PullReport::default();
        let mut left = Left::default();
        link.transport()?;
        // Before it holds anything: a push may ask the application, which may take its time, and pull.
        if self.push_first && inner.queue.is_dirty(&self.table).await? {
            // All tables: an operation of this one may depend on an earlier one of another.
            // What it leaves aside keeps no rows from coming: the records of those operations are left alone.
            let push = self.context.push().over(&link);
            report.pushed = push.cancel(&self.cancel).await?.pushed;
        }
        let pull = inner.guards.pull(&self.table);
        let _pull = pull.lock().await;
        let remote = inner.contact(&link).await?;
        inner.listeners.emit(Event::PullStarted {
            table: self.table.clone(),
        });
        for attempt in 1.. {
            let (stamp, way) = match self.begun(&remote, name.as_ref(), &mut left).await {
                // Another context has changed the filter meanwhile.
                Err(Error::Contended) if attempt < ATTEMPTS => {
                    inner.stand_back(attempt).await?;
                    continue;
                }
                begun => begun?,
            };
            let mut pipeline = Pipeline {
                inner,
                remote: &remote,
                pull: &self,
                report: &mut report,
                total: None,
                stamp: &stamp,
                came: (name.is_none() && self.wants_all()).then(Came::default),
            };
            let done = match pipeline.run(way).await {
                Ok(Some(sweep)) => pipeline.sweep(sweep).await,
                done => done.map(drop),
            };
            match done {
                Ok(()) => {
                    if let Some(came) = pipeline.came.take() {
                        let missed = came.missed(inner, &self.table, &self.query);
                        report.stayed = missed.await?;
                    }
                    break;
                }
                // Another context has stored newer rows, or has taken the positions back.
                Err(Error::Contended)
                    if attempt < ATTEMPTS && !stamp.stands(inner.store.as_ref()).await? =>
                {
                    inner.stand_back(attempt).await?;
                }
                Err(error) => return Err(error),
            }
        }
        report.left += left.records;
        report.requests += left.requests;
        inner.listeners.emit(Event::PullFinished {
            table: self.table.clone(),
            report: report.clone(),
        });
        Ok(report)
    }
}

impl IntoFuture for Pull {
    type Output = Result<PullReport, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        boxed(self.run())
    }
}

/// Fetches pages and stores them, each while the next one is on its steps. Pages that come faster than they are stored
/// share a commit.
struct Pipeline<'a> {
    inner: &'a Inner,
    remote: &'a Remote,
    pull: &'a Pull,
    report: &'a mut PullReport,
    total: Option<u64>,
    stamp: &'a Stamp,
    /// What came, where somebody asks for it.
    came: Option<Came>,
}

/// Pages that wait to be stored, each with its share of [`Exchange`](crate::sync::guards::Exchange).
#[derive(Default)]
struct Waiting<'a> {
    rows: Vec<Record>,
    /// Rows that are tombstones of what may only have left the query.
    left: HashSet<RecordId>,
    token: Option<Record>,
    shares: Vec<RwLockReadGuard<'a, ()>>,
}

impl Waiting<'_> {
    /// Takes the rows of one more answer.
    fn take(&mut self, rows: Vec<Record>, left: HashSet<RecordId>) {
        if !self.left.is_empty() {
            for row in &rows {
                self.left.remove(row.id());
            }
        }
        self.rows.extend(rows);
        self.left.extend(left);
    }
}

type Fetched<'a> = Result<(RwLockReadGuard<'a, ()>, Answer), Error>;
type Fetching<'a> = BoxFuture<'a, Fetched<'a>>;
type Storing<'a> = BoxFuture<'a, Result<PullReport, Error>>;

impl<'a> Pipeline<'a> {
    /// What is to be swept afterwards, if anything.
    async fn run(&mut self, mut way: Way) -> Result<Option<Sweep>, Error> {
        let mut waiting = Waiting::default();
        let mut fetching = Some(self.fetch(&way)?);
        let mut storing: Option<Storing<'a>> = None;
        let mut failure = None;
        loop {
            if storing.is_none() && !waiting.shares.is_empty() {
                storing = Some(self.store(std::mem::take(&mut waiting)));
            }
            let room = waiting.shares.len() < AHEAD;
            if let Some(store) = storing.take() {
                match fetching.take_if(|_| room) {
                    None => self.stored(&store.await?),
                    Some(fetch) => match select(fetch, store).await {
                        Either::Left((page, store)) => {
                            storing = Some(store);
                            fetching = self.fetched(&mut way, page, &mut waiting, &mut failure);
                        }
                        Either::Right((report, fetch)) => {
                            fetching = Some(fetch);
                            self.stored(&report?);
                        }
                    },
                }
            } else if let Some(fetch) = fetching.take() {
                fetching = self.fetched(&mut way, fetch.await, &mut waiting, &mut failure);
            } else {
                return failure.map_or(Ok(way.into_sweep()), Err);
            }
        }
    }

    /// Takes a page in and starts the next request, if there is one. After a failure what came before is still stored.
    fn fetched(
        &mut self,
        way: &mut Way,
        answer: Fetched<'a>,
        waiting: &mut Waiting<'a>,
        failure: &mut Option<Error>,
    ) -> Option<Fetching<'a>> {
        let next = answer.and_then(|(share, answer)| {
            if self.report.requests == 0 {
                self.total = answer.total();
            }
            self.report.requests += 1;
            let invalid = answer.invalid();
            self.report.left_out += invalid.len() as u64;
            let room = MAX_INVALID.saturating_sub(self.report.invalid.len());
            self.report
                .invalid
                .extend(invalid.iter().take(room).cloned());
            if let (Some(came), Answer::Page(page)) = (&mut self.came, &answer) {
                came.note(page);
            }
            let effect = way.take(answer)?;
            waiting.take(effect.rows, effect.left);
            waiting.token = effect.token.or(waiting.token.take());
            waiting.shares.push(share);
            match effect.then {
                Then::More => Ok(Some(self.fetch(way)?)),
                Then::Done => Ok(None),
                Then::NoProgress => Err(Error::NoProgress {
                    table: self.pull.table.clone(),
                }),
            }
        });
        next.unwrap_or_else(|error| {
            *failure = Some(error);
            None
        })
    }

    fn fetch(&self, way: &Way) -> Result<Fetching<'a>, Error> {
        let (inner, remote, pull) = (self.inner, self.remote, self.pull);
        if self.report.requests >= MAX_REQUESTS {
            return Err(Error::NoProgress {
                table: pull.table.clone(),
            });
        }
        let page = pull.page.or(pull.query.query.page);
        let page = page.unwrap_or(inner.settings.pull_page);
        // The first page tells listeners how much there is.
        let request = way.request(&pull.query, page, self.report.requests == 0);
        let fetch = async move {
            let share = inner.guards.exchange.receive().await;
            let table = &pull.table;
            let answer = match &request {
                Request::Page(query, cursor) => {
                    let ask = inner.page_of_home(remote, table, query, cursor.as_ref());
                    Answer::Page(pull.cancel.run(ask).await??)
                }
                Request::Changes(query, from) => {
                    let ask = inner.changes_of_home(remote, table, query, from.as_ref());
                    Answer::Changes(pull.cancel.run(ask).await??)
                }
            };
            Ok((share, answer))
        };
        Ok(boxed(fetch))
    }

    fn store(&self, mut waiting: Waiting<'a>) -> Storing<'a> {
        let (inner, pull) = (self.inner, self.pull);
        let target = Target {
            remote: self.remote,
            table: &pull.table,
            stamp: self.stamp,
        };
        let store = async move {
            let mut report = PullReport {
                fetched: waiting.rows.len() as u64,
                ..PullReport::default()
            };
            if !waiting.left.is_empty() {
                let mut asking = pull.asking(inner, target.remote);
                asking.settle(&mut waiting.rows, &waiting.left).await?;
                report.requests = asking.requests;
            }
            if !waiting.rows.is_empty() || waiting.token.is_some() {
                inner
                    .apply_page(&target, &waiting.rows, waiting.token, &mut report)
                    .await?;
            }
            drop(waiting.shares);
            Ok(report)
        };
        boxed(store)
    }

    fn stored(&mut self, stored: &PullReport) {
        self.report.add(stored);
        self.report.requests += stored.requests;
        let (table, fetched) = (self.pull.table.clone(), self.report.fetched);
        self.inner.listeners.emit(Event::PullProgress {
            table,
            fetched,
            total: self.total,
        });
    }
}
