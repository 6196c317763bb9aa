//! Audit: compares a table with the server's, and heals what an incremental pull cannot see.

use std::collections::HashSet;
use std::future::IntoFuture;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::{Query, RemoteQuery};
use crate::record::Record;
use crate::store::{Durability, LocalStoreExt, StoreCapabilities, StoreErrorKind, WriteBatch};
use crate::sync::cancel::CancelToken;
use crate::sync::context::SyncContext;
use crate::sync::inner::Inner;
use crate::sync::pull::apply::Target;
use crate::sync::pull::query::{MAX_REQUESTS, check_query, check_words, is_windowed};
use crate::sync::pull::report::PullReport;
use crate::sync::pull::stamp::{Stamp, anew};
use crate::sync::pull::walk::{Then, Walk, safe_time};
use crate::sync::remote::Remote;
use crate::sync::system::{ATTEMPTS, DELTA, DeltaToken, META};
use crate::threads::{BoxFuture, boxed};
use crate::timestamp::Timestamp;

/// Differences that a report lists.
const MAX_LISTED: usize = 1000;
/// Local records that are read at once.
const LOCAL_PAGE: u32 = 500;

/// An audit to be awaited; made by [`SyncTable::audit`](crate::sync::SyncTable::audit).
///
/// An incremental pull follows the times of changes. It cannot see a row that was removed without a trace, one that the
/// pull's filter no longer matches, or a server whose data was put back to an older state. An audit reads every row
/// that its query describes, asks for each local record that did not come by itself, and makes the table equal to the server again.
/// Records with pending operations are left alone; push first. It keeps a hash of each of the server's ids in memory: about 16 bytes a row.
///
/// Each page is healed in a commit of its own, so dropping the future is safe at any time.
#[derive(Debug)]
#[must_use = "an audit does nothing until it is awaited"]
pub struct Audit {
    context: SyncContext,
    table: TableName,
    query: RemoteQuery,
    heal: bool,
    cancel: CancelToken,
}

/// What an audit found; all of it is healed, unless the audit was told only to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// Rows of the server that were compared.
    pub compared: u64,
    /// Records that are at the server but were not here.
    pub missing: u64,
    /// Records that were not as at the server.
    pub stale: u64,
    /// Records that were here but not at the server.
    pub surplus: u64,
    /// Records that only exist here, without a version of the server and without an operation that would send
    /// them. They are left alone: discarding an insert leaves such a record.
    pub unsent: u64,
    /// Records that differ and were left alone because operations on them are pending.
    pub kept: u64,
    /// Positions of named pulls that lay behind everything the server has, as after a restored backup.
    pub positions: u64,
    /// Rows of the server that are no records, so that nothing could be compared with them.
    pub left_out: u64,
    /// Requests that were made.
    pub requests: u64,
    /// The differences in the order found, at most 1000 of them.
    pub differences: Vec<Difference>,
}

/// A record that is not as at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The record.
    pub id: RecordId,
    /// What was wrong.
    pub kind: DifferenceKind,
}

/// How a record differs from the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// It was not here.
    Missing,
    /// It was another version.
    Stale,
    /// It was not at the server.
    Surplus,
    /// It was never at the server and nothing will send it.
    Unsent,
}

impl AuditReport {
    /// True when the table was as at the server, but for records with pending operations.
    pub fn is_clean(&self) -> bool {
        self.missing + self.stale + self.surplus + self.unsent + self.positions == 0
    }

    fn note(&mut self, id: &RecordId, kind: DifferenceKind) {
        match kind {
            DifferenceKind::Missing => self.missing += 1,
            DifferenceKind::Stale => self.stale += 1,
            DifferenceKind::Surplus => self.surplus += 1,
            DifferenceKind::Unsent => self.unsent += 1,
        }
        if self.differences.len() < MAX_LISTED {
            let id = id.clone();
            self.differences.push(Difference { id, kind });
        }
    }
}

impl Audit {
    pub(crate) fn new(context: SyncContext, table: TableName, query: RemoteQuery) -> Self {
        Self {
            context,
            table,
            query,
            heal: true,
            cancel: CancelToken::new(),
        }
    }

    /// Changes nothing here.
    pub fn compare_only(mut self) -> Self {
        self.heal = false;
        self
    }

    /// Stops when `token` is cancelled; what was healed stays.
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = token.clone();
        self
    }

    async fn run(self) -> Result<AuditReport, Error> {
        let inner = &self.context.inner;
        let link = inner.server.link();
        check_query(&self.query, false)?;
        check_words(&self.context.inner.steps, &self.table, &self.query)?;
        if is_windowed(&self.query) {
            return Err(Error::PullQuery(
                "an audit has no order, top and skip of its own",
            ));
        }
        inner.tables.ensure(&self.table).await?;
        if inner.tables.get(&self.table).device.local_only {
            return Err(Error::LocalOnly {
                table: self.table.clone(),
            });
        }
        let pull = inner.guards.pull(&self.table);
        let _pull = pull.lock().await;
        let remote = inner.contact(&link).await?;
        let mut run = Run {
            audit: &self,
            inner,
            remote: &remote,
            report: AuditReport::default(),
            hasher: RandomState::new(),
            came: HashSet::new(),
            newest: None,
        };
        run.server_rows().await?;
        run.local_records().await?;
        if self.query.query.filter.is_none() && self.query.parameters.is_empty() {
            run.positions().await?;
        }
        Ok(run.report)
    }
}

impl IntoFuture for Audit {
    type Output = Result<AuditReport, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        boxed(self.run())
    }
}

struct Run<'a> {
    audit: &'a Audit,
    inner: &'a Inner,
    remote: &'a Remote,
    report: AuditReport,
    hasher: RandomState,
    /// Hashes of the ids that the server has shown. A clash of two hashes would hide one surplus record.
    came: HashSet<u64>,
    /// The time of the newest change that the server knows of.
    newest: Option<Timestamp>,
}

/// How a row differs from the local record, if it does.
fn difference(
    keeps: StoreCapabilities,
    row: &Record,
    local: Option<&Record>,
) -> Option<DifferenceKind> {
    match (row.is_deleted(), local) {
        (true, None) => None,
        (false, Some(local)) if keeps.keeps_as(local, row) => None,
        (true, Some(_)) => Some(DifferenceKind::Surplus),
        (false, None) => Some(DifferenceKind::Missing),
        (false, Some(_)) => Some(DifferenceKind::Stale),
    }
}

impl Run<'_> {
    async fn stamp(&self) -> Result<Stamp, Error> {
        Stamp::read(self.inner.store.as_ref(), &self.audit.table).await
    }

    /// Reads all rows of the server by id and compares them.
    async fn server_rows(&mut self) -> Result<(), Error> {
        let mut walk = Walk::everything();
        loop {
            let (mut query, cursor) = walk.request(&self.audit.query);
            query
                .query
                .page
                .get_or_insert(self.inner.settings.pull_page);
            if self.report.requests >= MAX_REQUESTS {
                return Err(Error::NoProgress {
                    table: self.audit.table.clone(),
                });
            }
            self.report.requests += 1;
            // Held until the page is stored, so that no push's answer is put back by an older row.
            let _exchange = self.inner.guards.exchange.receive().await;
            let stamp = self.stamp().await?;
            let page = self
                .audit
                .cancel
                .run(self.inner.page_of_home(
                    self.remote,
                    &self.audit.table,
                    &query,
                    cursor.as_ref(),
                ))
                .await??;
            let invalid = page.invalid.iter().filter_map(|row| row.id.as_deref());
            let hashes = page
                .records
                .iter()
                .map(|row| row.id().as_str())
                .chain(invalid)
                .map(|id| self.hasher.hash_one(id));
            self.came.extend(hashes);
            self.report.left_out += page.invalid.len() as u64;
            self.newest = self.newest.max(safe_time(&page));
            let effect = walk.take(page)?;
            self.report.compared += effect.rows.len() as u64;
            self.compare(effect.rows, stamp).await?;
            match effect.then {
                Then::More => {}
                Then::Done => return Ok(()),
                Then::NoProgress => {
                    return Err(Error::NoProgress {
                        table: self.audit.table.clone(),
                    });
                }
            }
        }
    }

    /// Asks for each local record that did not come: it was removed, or the query does not describe it.
    async fn local_records(&mut self) -> Result<(), Error> {
        let mut query = Query::all().page(LOCAL_PAGE);
        loop {
            let page = self.inner.store.query(&self.audit.table, &query).await?;
            for record in &page.records {
                let came = self.hasher.hash_one(record.id().as_str());
                if !self.came.contains(&came) {
                    self.ask(record).await?;
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn ask(&mut self, record: &Record) -> Result<(), Error> {
        let (table, id) = (&self.audit.table, record.id());
        if self.inner.queue.has_operations(table, id).await? {
            return Ok(());
        }
        self.report.requests += 1;
        let _exchange = self.inner.guards.exchange.receive().await;
        let stamp = self.stamp().await?;
        let ask = self.remote.get(table, id);
        let row = self.audit.cancel.run(ask).await?;
        // What another server does not have is no deletion.
        self.remote.check_home(row.is_ok())?;
        let row = match row? {
            Some(row) => row,
            None if record.is_new() => {
                self.report.note(id, DifferenceKind::Unsent);
                return Ok(());
            }
            None => Record::tombstone(id),
        };
        self.compare(vec![row], stamp).await
    }

    /// Notes which rows differ from the local records, and takes them over. Where another context has pulled since they were asked for, those
    /// that differ are asked for again, one by one.
    async fn compare(&mut self, mut rows: Vec<Record>, mut stamp: Stamp) -> Result<(), Error> {
        let table = &self.audit.table;
        let store = Arc::clone(&self.inner.store);
        for _ in 0..ATTEMPTS {
            let ids: Vec<RecordId> = rows.iter().map(|row| row.id().clone()).collect();
            let locals = store.get(table, &ids).await?;
            let pairs = rows.into_iter().zip(locals);
            let different: Vec<(Record, DifferenceKind)> = pairs
                .filter_map(|(row, local)| {
                    let kind = difference(store.capabilities(), &row, local.as_ref())?;
                    Some((row, kind))
                })
                .collect();
            rows = different.iter().map(|(row, _)| row.clone()).collect();
            let healed = if self.audit.heal && !rows.is_empty() {
                let target = Target {
                    remote: self.remote,
                    table,
                    stamp: &stamp,
                };
                let mut report = PullReport::default();
                let stored = self.inner.apply_page(&target, &rows, None, &mut report);
                stored.await
            } else {
                Ok(())
            };
            match healed {
                Err(Error::Contended) if !stamp.stands(store.as_ref()).await? => {}
                done => {
                    let ids: Vec<RecordId> = rows.iter().map(|row| row.id().clone()).collect();
                    let queued = self.inner.queue.of_records(table, &ids).await?;
                    for ((row, kind), queued) in different.into_iter().zip(queued) {
                        if queued.is_empty() {
                            self.report.note(row.id(), kind);
                        } else {
                            self.report.kept += 1;
                        }
                    }
                    return done;
                }
            }
            stamp = Stamp::read(store.as_ref(), table).await?;
            for row in &mut rows {
                self.report.requests += 1;
                let id = row.id().clone();
                let found = self.audit.cancel.run(self.remote.get(table, &id)).await?;
                self.remote.check_home(found.is_ok())?;
                *row = found?.unwrap_or_else(|| Record::tombstone(&id));
            }
        }
        Err(Error::Contended)
    }

    /// Takes pulls back to the newest change of the server where they are beyond it: it was put back to an older state,
    /// and what it is told from now on would stay unseen until its times have caught up.
    async fn positions(&mut self) -> Result<(), Error> {
        for row in self.inner.store.query_all(&DELTA, &Query::all()).await? {
            let mut token = DeltaToken::from_row(&row)?;
            if token.table != self.audit.table || token.time <= self.newest {
                continue;
            }
            self.report.positions += 1;
            if self.audit.heal {
                token.time = self.newest;
                let batch = WriteBatch::new()
                    .durability(Durability::Eventual)
                    .expect_same(&DELTA, row)
                    .put(&DELTA, token.to_row()?)
                    .put(&META, anew(self.inner.ids.as_ref(), &self.audit.table)?);
                match self.inner.store.commit(batch).await {
                    // Another process pulls: it has seen the server after this audit did.
                    Err(error) if error.kind() == StoreErrorKind::CheckFailed => {}
                    done => {
                        done?;
                    }
                }
            }
        }
        Ok(())
    }
}
