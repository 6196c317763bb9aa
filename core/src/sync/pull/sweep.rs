//! Deletions that the server knows no more.
//!
//! A server may remove tombstones after a time, and says up to which deletion it has; one with a feed of changes refuses a position that is
//! too old. A pull whose position is older may have missed some. It begins anew, notes which rows there are, and at its end asks about those of its records that were not among them: what the server does
//! not have leaves. Its position stays where it was until that is done, so a pull that is cut off begins anew again. Records with
//! operations stay, and so do those that were never at the server.

use crate::error::Error;
use crate::name::RecordId;
use crate::query::{Expr, Query, field};
use crate::record::Record;
use crate::store::LocalStore;
use crate::sync::pull::Pipeline;
use crate::sync::pull::apply::Target;
use crate::sync::pull::query::MAX_REQUESTS;
use crate::sync::pull::report::PullReport;
use crate::sync::pull::seen::Sweep;

/// Local records that are looked at together.
const LOCAL_PAGE: u32 = 500;
/// Records that the server is asked about at once.
const ASKED_AT_ONCE: usize = 20;

impl Pipeline<'_> {
    /// Lets the records of the pull's filter go that the server does not have, and stores the position.
    pub(super) async fn sweep(&mut self, sweep: Sweep) -> Result<(), Error> {
        let (inner, pull) = (self.inner, self.pull);
        let target = Target {
            remote: self.remote,
            table: &pull.table,
            stamp: self.stamp,
        };
        let mut here = Query::all().order_by("id").page(LOCAL_PAGE);
        here.filter.clone_from(&pull.query.query.filter);
        here = inner.asked(&pull.table, here);
        let by_id = self.remote.has_feed(&pull.table);
        loop {
            let _exchange = inner.guards.exchange.receive().await;
            let page = inner.store.query(&pull.table, &here).await?;
            let did_not_come = |record: &&Record| {
                let was_at_server = record.version().is_some() || record.updated_at().is_some();
                was_at_server && !sweep.has_seen(record.id())
            };
            let missed = page.records.iter().filter(did_not_come);
            let missed: Vec<RecordId> = missed.map(|record| record.id().clone()).collect();
            let missed = inner.queue.without_operations(&pull.table, missed).await?;
            let mut rows = Vec::new();
            for ids in missed.chunks(ASKED_AT_ONCE) {
                rows.extend(if by_id {
                    self.ask_one_by_one(ids).await?
                } else {
                    self.ask(ids).await?
                });
            }
            let token = sweep.token.clone().filter(|_| page.next.is_none());
            if !rows.is_empty() || token.is_some() {
                let mut report = PullReport::default();
                inner.apply_page(&target, &rows, token, &mut report).await?;
                self.stored(&report);
            }
            match page.next {
                Some(next) => here.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// As [`ask`](Self::ask), for a server that may know no filter by id.
    async fn ask_one_by_one(&mut self, ids: &[RecordId]) -> Result<Vec<Record>, Error> {
        if self.report.requests >= MAX_REQUESTS {
            return Err(self.no_progress());
        }
        let mut asking = self.pull.asking(self.inner, self.remote);
        let rows = asking.look_for(ids).await;
        self.report.requests += asking.requests;
        rows
    }

    /// The server's rows with these ids; tombstones for those that it does not have.
    async fn ask(&mut self, ids: &[RecordId]) -> Result<Vec<Record>, Error> {
        let mut left: Vec<&RecordId> = ids.iter().collect();
        let mut rows = Vec::new();
        while let Some(filter) = any_of(&left) {
            if self.report.requests >= MAX_REQUESTS {
                return Err(self.no_progress());
            }
            let query = Query::all()
                .filter(filter)
                .order_by("id")
                .include_deleted()
                .page(u32::try_from(left.len()).unwrap_or(u32::MAX));
            let (inner, table) = (self.inner, &self.pull.table);
            let ask = inner.page_of_home(self.remote, table, &query, None);
            let page = self.pull.cancel.run(ask).await??;
            self.report.requests += 1;
            let before = left.len();
            let there = |id: &RecordId| {
                page.records.iter().any(|row| row.id() == id)
                    || page
                        .invalid
                        .iter()
                        .any(|row| row.id.as_deref() == Some(id.as_str()))
            };
            left.retain(|id| !there(id));
            let nothing = page.records.is_empty() && page.invalid.is_empty();
            if !nothing && left.len() == before {
                return Err(self.no_progress());
            }
            rows.extend(
                page.records
                    .into_iter()
                    .filter(|row| ids.contains(row.id())),
            );
            // A page may be cut: the others are asked about until nothing comes.
            if nothing || page.last {
                break;
            }
        }
        rows.extend(left.into_iter().map(Record::tombstone));
        Ok(rows)
    }

    fn no_progress(&self) -> Error {
        Error::NoProgress {
            table: self.pull.table.clone(),
        }
    }
}

/// Matches the records with these ids; `None` where there are none.
fn any_of(ids: &[&RecordId]) -> Option<Expr> {
    let is = |id: &&RecordId| field("id").eq(id.as_str());
    ids.iter().map(is).reduce(Expr::or)
}
