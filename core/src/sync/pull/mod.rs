//! Pull: brings the server's changes of one table or query.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod delta;
pub(crate) mod filter;
pub(crate) mod start;
pub(crate) mod walk;

use std::future::IntoFuture;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::RwLockReadGuard;

use crate::error::Error;
use crate::name::{NameError, QueryId, TableName};
use crate::query::Query;
use crate::record::Record;
use crate::sync::cancel::CancelToken;
use crate::sync::context::{Inner, SyncContext};
use crate::sync::event::Event;
use crate::sync::pull::apply::Target;
use crate::sync::pull::filter::Named;
use crate::sync::pull::start::Start;
use crate::sync::pull::walk::{Route, Then, is_windowed};
use crate::sync::remote::Remote;
use crate::transport::{InvalidRow, RemotePage};

/// Requests of one pull, or one audit, after which it is given up.
pub(crate) const MAX_REQUESTS: u64 = 1_000_000;
/// Bad rows that a report lists.
const MAX_INVALID: usize = 100;
/// Pages that may wait while others are stored.
const AHEAD: usize = 4;

/// What a pull did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullReport {
    /// Rows that came and were not already part of this pull.
    pub fetched: u64,
    /// Records that are new here.
    pub added: u64,
    /// Records that changed here.
    pub updated: u64,
    /// Records that were removed here.
    pub deleted: u64,
    /// Records that left, because the pull's filter is not what it was and no named pull wants them any more.
    pub left: u64,
    /// Rows that were here already, or tombstones of records that are not here.
    pub unchanged: u64,
    /// Rows left alone because operations on their records are pending.
    pub kept: u64,
    /// Requests for pages.
    pub requests: u64,
    /// Operations that the push before the pull sent.
    pub pushed: u64,
    /// Rows that are no records, at most 100 of them.
    pub invalid: Vec<InvalidRow>,
}

impl PullReport {
    pub(crate) fn add(&mut self, other: &Self) {
        self.fetched += other.fetched;
        self.added += other.added;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.kept += other.kept;
    }
}

/// A pull to be awaited. Made by [`SyncTable::pull`](crate::sync::SyncTable::pull) and [`SyncTable::pull_full`](crate::sync::SyncTable::pull_full).
///
/// Each page is stored together with the position of the pull, so a pull that ends early goes on from there.
/// Dropping the future is safe at any time.
#[derive(Debug)]
#[must_use = "a pull does nothing until it is awaited"]
pub struct Pull {
    context: SyncContext,
    table: TableName,
    query: Query,
    name: Option<Result<QueryId, NameError>>,
    push_first: bool,
    page: Option<u32>,
    cancel: CancelToken,
}

impl Pull {
    pub(crate) fn new(
        context: SyncContext,
        table: TableName,
        query: Query,
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

    async fn run(self) -> Result<PullReport, Error> {
        let inner = &self.context.inner;
        let name = self.name.clone().transpose()?;
        check_query(&self.query, name.is_some())?;
        inner.ensure_table(&self.table).await?;
        if inner.table_schema(&self.table).local_only {
            return Err(Error::LocalOnly {
                table: self.table.clone(),
            });
        }
        let mut report = PullReport::default();
        let mut asked = 0;
        inner.transport()?;
        // Before its turn: a push may ask the application, which may take its time, and pull.
        if self.push_first && inner.queue.is_dirty(&self.table) {
            // All tables: an operation of this one may depend on an earlier one of another.
            // What it leaves aside keeps no rows from coming: the records of those operations are left alone.
            report.pushed = self.context.push().cancel(&self.cancel).await?.pushed;
        }
        let turn = inner.pull_turn(&self.table);
        let _turn = turn.lock().await;
        let remote = inner.contact().await?;
        inner.emit(Event::PullStarted {
            table: self.table.clone(),
        });
        let mut start = None;
        if let Some(name) = &name {
            let named = Named {
                table: &self.table,
                name,
                query: &self.query,
            };
            let left = self.cancel.run(named.settle(inner, &remote)).await??;
            (report.left, asked) = (left.records, left.requests);
            // Before the position: what changes it from here on is noticed.
            start = Some(Start::read(inner, &self.table).await?);
        }
        let route = Route::of(inner, &self.table, &self.query, name).await?;
        let mut pipeline = Pipeline {
            inner,
            remote: &remote,
            pull: &self,
            report: &mut report,
            total: None,
            start: start.as_ref(),
        };
        pipeline.run(route).await?;
        report.requests += asked;
        inner.emit(Event::PullFinished {
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
        self.run().boxed()
    }
}

pub(crate) fn check_query(query: &Query, incremental: bool) -> Result<(), Error> {
    if query.select.is_some() {
        return Err(Error::PullQuery(
            "it selects members, but whole records are needed",
        ));
    }
    if query.after.is_some() {
        return Err(Error::PullQuery("it starts at a cursor"));
    }
    if query
        .parameters
        .iter()
        .any(|(name, _)| name.starts_with('$') || name.eq_ignore_ascii_case("__includedeleted"))
    {
        return Err(Error::PullQuery(
            "its further parameters must not be those of the query language",
        ));
    }
    if incremental && is_windowed(query) {
        return Err(Error::PullQuery(
            "order, top and skip only go with a full pull, without a query name",
        ));
    }
    Ok(())
}

/// Fetches pages and stores them, each while the next one is on its way. Pages that come faster than they are stored
/// share a commit.
struct Pipeline<'a> {
    inner: &'a Inner,
    remote: &'a Remote,
    pull: &'a Pull,
    report: &'a mut PullReport,
    total: Option<u64>,
    /// Under which mark the positions of named pulls stand.
    start: Option<&'a Start>,
}

/// Pages that wait to be stored, each with its turn: see [`Inner::turn`].
#[derive(Default)]
struct Waiting<'a> {
    rows: Vec<Record>,
    token: Option<Record>,
    turns: Vec<RwLockReadGuard<'a, ()>>,
}

type Fetching<'a> = BoxFuture<'a, Result<(RwLockReadGuard<'a, ()>, RemotePage), Error>>;
type Storing<'a> = BoxFuture<'a, Result<PullReport, Error>>;

impl<'a> Pipeline<'a> {
    async fn run(&mut self, mut route: Route) -> Result<(), Error> {
        let mut waiting = Waiting::default();
        let mut fetching = Some(self.fetch(&route)?);
        let mut storing: Option<Storing<'a>> = None;
        let mut failure = None;
        loop {
            if storing.is_none() && !waiting.turns.is_empty() {
                storing = Some(self.store(std::mem::take(&mut waiting)));
            }
            let room = waiting.turns.len() < AHEAD;
            if let Some(store) = storing.take() {
                match fetching.take_if(|_| room) {
                    None => self.stored(&store.await?),
                    Some(fetch) => match select(fetch, store).await {
                        Either::Left((page, store)) => {
                            storing = Some(store);
                            fetching = self.fetched(&mut route, page, &mut waiting, &mut failure);
                        }
                        Either::Right((report, fetch)) => {
                            fetching = Some(fetch);
                            self.stored(&report?);
                        }
                    },
                }
            } else if let Some(fetch) = fetching.take() {
                fetching = self.fetched(&mut route, fetch.await, &mut waiting, &mut failure);
            } else {
                return failure.map_or(Ok(()), Err);
            }
        }
    }

    /// Takes a page in and starts the next request, if there is one. After a failure what came before is still stored.
    fn fetched(
        &mut self,
        route: &mut Route,
        page: Result<(RwLockReadGuard<'a, ()>, RemotePage), Error>,
        waiting: &mut Waiting<'a>,
        failure: &mut Option<Error>,
    ) -> Option<Fetching<'a>> {
        let next = page.and_then(|(turn, page)| {
            if self.report.requests == 0 {
                self.total = page.total;
            }
            self.report.requests += 1;
            let room = MAX_INVALID.saturating_sub(self.report.invalid.len());
            self.report
                .invalid
                .extend(page.invalid.iter().take(room).cloned());
            let taken = route.take(page)?;
            waiting.rows.extend(taken.rows);
            waiting.token = taken.token.or(waiting.token.take());
            waiting.turns.push(turn);
            match taken.then {
                Then::More => Ok(Some(self.fetch(route)?)),
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

    fn fetch(&self, route: &Route) -> Result<Fetching<'a>, Error> {
        let (inner, remote, pull) = (self.inner, self.remote, self.pull);
        if self.report.requests >= MAX_REQUESTS {
            return Err(Error::NoProgress {
                table: pull.table.clone(),
            });
        }
        let (mut query, cursor) = route.request(&pull.query);
        query.page = Some(pull.page.or(query.page).unwrap_or(inner.options.pull_page));
        // The first page tells listeners how much there is.
        query.total = self.report.requests == 0;
        let fetch = async move {
            let turn = inner.turn.read().await;
            let page = pull
                .cancel
                .run(inner.page_of_home(remote, &pull.table, &query, cursor.as_ref()))
                .await??;
            Ok((turn, page))
        };
        Ok(fetch.boxed())
    }

    fn store(&self, waiting: Waiting<'a>) -> Storing<'a> {
        let (inner, pull) = (self.inner, self.pull);
        let target = Target {
            remote: self.remote,
            table: &pull.table,
            start: self.start,
        };
        let store = async move {
            let mut report = PullReport {
                fetched: waiting.rows.len() as u64,
                ..PullReport::default()
            };
            if !waiting.rows.is_empty() || waiting.token.is_some() {
                inner
                    .apply_page(&target, &waiting.rows, waiting.token, &mut report)
                    .await?;
            }
            drop(waiting.turns);
            Ok(report)
        };
        store.boxed()
    }

    fn stored(&mut self, stored: &PullReport) {
        self.report.add(stored);
        let (table, fetched) = (self.pull.table.clone(), self.report.fetched);
        self.inner.emit(Event::PullProgress {
            table,
            fetched,
            total: self.total,
        });
    }
}
