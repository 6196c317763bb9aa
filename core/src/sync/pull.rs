//! Pull: brings the server's changes of one table or query.

use std::collections::HashSet;
use std::future::IntoFuture;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::cancel::CancelToken;
use super::context::{Inner, SyncContext};
use super::delta::{Next, Seen, Step, next_step};
use super::event::Event;
use super::system::{DELTA, DeltaToken};
use crate::error::Error;
use crate::name::{NameError, QueryId, RecordId, TableName, Version};
use crate::query::Query;
use crate::record::Record;
use crate::store::LocalStoreExt;
use crate::timestamp::Timestamp;
use crate::transport::{InvalidRow, PageCursor, RemotePage, Transport};

/// Requests of one pull after which it is given up.
const MAX_REQUESTS: u64 = 1_000_000;
/// Bad rows that a report lists.
const MAX_INVALID: usize = 100;
/// A time that lies further ahead of the server's clock does not move the position of a pull.
const POISON_MILLIS: i64 = 24 * 3600 * 1000;

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
        self.added += other.added;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.kept += other.kept;
    }
}

/// A pull to be awaited. Made by [`SyncTable::pull`](super::SyncTable::pull) and [`SyncTable::pull_full`](super::SyncTable::pull_full).
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
        let turn = inner.pull_turn(&self.table);
        let _turn = turn.lock().await;
        let mut report = PullReport::default();
        let transport = inner.transport()?;
        if self.push_first && inner.queue.is_dirty(&self.table) {
            // All tables: an operation of this one may depend on an earlier one of another.
            report.pushed = self.context.push().cancel(&self.cancel).await?.pushed;
        }
        inner.emit(Event::PullStarted {
            table: self.table.clone(),
        });
        let windowed =
            !self.query.order.is_empty() || self.query.top.is_some() || self.query.skip > 0;
        let mut walk = Walk {
            inner,
            transport: transport.as_ref(),
            pull: &self,
            report: &mut report,
            total: None,
        };
        match name {
            Some(name) => walk.incremental(&name).await?,
            None if windowed => walk.window().await?,
            None => walk.everything().await?,
        }
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

fn check_query(query: &Query, incremental: bool) -> Result<(), Error> {
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
    let windowed = !query.order.is_empty() || query.top.is_some() || query.skip > 0;
    if incremental && windowed {
        return Err(Error::PullQuery(
            "order, top and skip only go with a full pull, without a query name",
        ));
    }
    Ok(())
}

/// One pull on its way.
struct Walk<'a> {
    inner: &'a Inner,
    transport: &'a dyn Transport,
    pull: &'a Pull,
    report: &'a mut PullReport,
    total: Option<u64>,
}

impl Walk<'_> {
    /// Follows the changes since the last pull under this name.
    async fn incremental(&mut self, name: &QueryId) -> Result<(), Error> {
        let (inner, table) = (self.inner, &self.pull.table);
        let filter = self
            .pull
            .query
            .to_odata()
            .map_err(|_| Error::PullQuery("its filter cannot be written as text"))?;
        let stored = inner
            .store
            .get_one(&DELTA, &DeltaToken::id(table, name))
            .await?;
        let mut token = match stored.as_ref().map(DeltaToken::from_row).transpose()? {
            Some(token) if token.filter != filter => {
                return Err(Error::QueryIdReused {
                    table: table.clone(),
                    query: name.clone(),
                });
            }
            Some(token) => token,
            None => DeltaToken {
                table: table.clone(),
                query: name.clone(),
                filter,
                time: None,
                ordered: false,
            },
        };
        let overlap = |time: Timestamp| Step::Range {
            from: Some(time.plus_millis(-inner.options.overlap_millis)),
            exclusive: false,
        };
        let mut trusted = token.ordered;
        let mut step = match token.time {
            Some(time) if trusted => Step::Range {
                from: Some(time),
                exclusive: true,
            },
            Some(time) => overlap(time),
            None => Step::Range {
                from: None,
                exclusive: false,
            },
        };
        let mut known = Known::default();
        loop {
            // Fetch and store in one turn: see `Inner::turn`.
            let _turn = inner.turn.read().await;
            let page = self.fetch(&step.query(&self.pull.query), None).await?;
            if trusted && !page.ordered {
                // Another server than last time: its order is not promised.
                trusted = false;
                if let Some(time) = token.time {
                    step = overlap(time);
                    continue;
                }
            }
            let seen = seen(&page);
            if seen.times.is_none() && !page.records.is_empty() {
                return Err(Error::PullQuery(
                    "the server's records have no updatedAt; pull in full, without a query name",
                ));
            }
            token.time = token.time.max(safe_time(&page));
            token.ordered = page.ordered;
            let row = token.to_row()?;
            let row = (token.time.is_some() && stored.as_ref() != Some(&row)).then_some(row);
            let rows = known.fresh(page.records);
            self.store(&rows, row).await?;
            match next_step(&step, &seen) {
                Next::Step(next) => {
                    known.expect(&rows, &next);
                    step = next;
                }
                Next::Done => return Ok(()),
                Next::NoProgress => {
                    return Err(Error::NoProgress {
                        table: table.clone(),
                    });
                }
            }
        }
    }

    /// Reads all rows, by id.
    async fn everything(&mut self) -> Result<(), Error> {
        let mut step = Step::Ids { after: None };
        loop {
            let _turn = self.inner.turn.read().await;
            let page = self.fetch(&step.query(&self.pull.query), None).await?;
            let seen = seen(&page);
            self.store(&page.records, None).await?;
            match next_step(&step, &seen) {
                Next::Step(next) => step = next,
                Next::Done => return Ok(()),
                Next::NoProgress => {
                    return Err(Error::NoProgress {
                        table: self.pull.table.clone(),
                    });
                }
            }
        }
    }

    /// Reads the window that the application's own order, skip and top describe, by the server's pages.
    async fn window(&mut self) -> Result<(), Error> {
        let mut query = self.pull.query.clone().include_deleted();
        let mut cursor: Option<PageCursor> = None;
        loop {
            let _turn = self.inner.turn.read().await;
            let page = self.fetch(&query, cursor.as_ref()).await?;
            let count = page.records.len() as u64;
            self.store(&page.records, None).await?;
            query.skip += count;
            query.top = query.top.map(|top| top.saturating_sub(count));
            if count == 0 || page.last || query.top == Some(0) {
                return Ok(());
            }
            if page.next.is_some() && page.next == cursor {
                return Err(Error::NoProgress {
                    table: self.pull.table.clone(),
                });
            }
            cursor = page.next;
        }
    }

    async fn fetch(
        &mut self,
        query: &Query,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, Error> {
        if self.report.requests >= MAX_REQUESTS {
            return Err(Error::NoProgress {
                table: self.pull.table.clone(),
            });
        }
        let mut query = query.clone();
        query.page = Some(
            self.pull
                .page
                .or(query.page)
                .unwrap_or(self.inner.options.pull_page),
        );
        // The first page tells listeners how much there is.
        query.total = self.report.requests == 0;
        let page = self
            .pull
            .cancel
            .run(self.transport.page(&self.pull.table, &query, cursor))
            .await??;
        self.report.requests += 1;
        if query.total {
            self.total = page.total;
        }
        let room = MAX_INVALID.saturating_sub(self.report.invalid.len());
        self.report
            .invalid
            .extend(page.invalid.iter().take(room).cloned());
        Ok(page)
    }

    async fn store(&mut self, rows: &[Record], token: Option<Record>) -> Result<(), Error> {
        if rows.is_empty() && token.is_none() {
            return Ok(());
        }
        self.inner
            .apply_page(&self.pull.table, rows, token, self.report)
            .await?;
        self.report.fetched += rows.len() as u64;
        let (table, fetched) = (self.pull.table.clone(), self.report.fetched);
        self.inner.emit(Event::PullProgress {
            table,
            fetched,
            total: self.total,
        });
        Ok(())
    }
}

fn seen(page: &RemotePage) -> Seen {
    let times = page.records.iter().filter_map(Record::updated_at);
    Seen {
        times: times.clone().min().zip(times.max()),
        ids: page
            .records
            .iter()
            .map(|record| record.id().clone())
            .collect(),
        last: page.last,
        ordered: page.ordered,
    }
}

/// The largest time of a page that may move the position: not one that lies in the far future, which would hide every
/// later change.
fn safe_time(page: &RemotePage) -> Option<Timestamp> {
    let limit = page
        .server_time
        .map_or(Timestamp::MAX.plus_millis(-366 * POISON_MILLIS), |now| {
            now.plus_millis(POISON_MILLIS)
        });
    page.records
        .iter()
        .filter_map(Record::updated_at)
        .filter(|time| *time <= limit)
        .max()
}

/// Rows that the next page may bring again, because it starts inside the last millisecond.
#[derive(Debug, Default)]
struct Known(HashSet<(RecordId, Option<Version>)>);

impl Known {
    fn fresh(&self, rows: Vec<Record>) -> Vec<Record> {
        let known = |row: &Record| self.0.contains(&(row.id().clone(), row.version().cloned()));
        rows.into_iter()
            .filter(|row| row.version().is_none() || !known(row))
            .collect()
    }

    fn expect(&mut self, rows: &[Record], next: &Step) {
        let from = match next {
            Step::Range {
                from: Some(from),
                exclusive: false,
            } => {
                self.0.clear();
                *from
            }
            // The rows of a page that lies in one millisecond come again when it is walked by id.
            Step::Tie {
                millisecond,
                after: None,
            } => *millisecond,
            Step::Tie { .. } => return,
            Step::Range { .. } | Step::Ids { .. } => {
                self.0.clear();
                return;
            }
        };
        let again = rows
            .iter()
            .filter(|row| row.updated_at().is_some_and(|time| time >= from));
        self.0
            .extend(again.map(|row| (row.id().clone(), row.version().cloned())));
    }
}
