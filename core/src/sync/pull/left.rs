//! Records that the server's feed says left the query of a pull, and records that are asked about one by one.
//!
//! What left goes. But it may be there still, and then two others may want it:
//!
//! * Another named pull of the table, whose position is behind the row already, so that it would not bring it again. The server is asked
//!   for the row, and it stays as it is there if that pull's filter matches it.
//! * An operation in conflict. Its decision is made over the server's record, and a tombstone would say that there is none: the
//!   delete that a user decides for would be taken for done.

use std::collections::HashSet;

use crate::error::Error;
use crate::name::{QueryId, RecordId, TableName};
use crate::query::{Evaluator, Query, RemoteQuery, field};
use crate::record::Record;
use crate::store::LocalStoreExt;
use crate::sync::cancel::CancelToken;
use crate::sync::inner::Inner;
use crate::sync::pull::query::read;
use crate::sync::queue::operation::OperationState;
use crate::sync::remote::Remote;
use crate::sync::system::{DELTA, DeltaToken};

/// Asks about single records for a named pull.
pub(super) struct Asking<'a> {
    pub(super) inner: &'a Inner,
    pub(super) remote: &'a Remote,
    pub(super) cancel: &'a CancelToken,
    pub(super) table: &'a TableName,
    pub(super) name: Option<&'a QueryId>,
    pub(super) query: &'a RemoteQuery,
    /// Requests that were made.
    pub(super) requests: u64,
}

impl Asking<'_> {
    /// What becomes of the rows in `left`: their tombstones stand, or the server's rows come in their place.
    pub(super) async fn settle(
        &mut self,
        rows: &mut [Record],
        left: &HashSet<RecordId>,
    ) -> Result<(), Error> {
        let wanted = self.other_pulls().await?;
        let mut denied = false;
        let mut seen = HashSet::new();
        // Of a record that comes twice the last row counts.
        for row in rows.iter_mut().rev() {
            if !left.contains(row.id()) || !seen.insert(row.id().clone()) {
                continue;
            }
            let in_conflict = self.is_in_conflict(row.id()).await?;
            if !in_conflict && (wanted.is_empty() || !self.is_here(row.id()).await?) {
                continue;
            }
            match self.get(row.id()).await? {
                Some(found) if in_conflict || self.wants(&wanted, &found) => *row = found,
                Some(_) => {}
                None => denied = true,
            }
        }
        self.confirm(denied).await
    }

    /// The server's rows with these ids, after a walk that did not bring them: tombstones for those that it does not have, and for those
    /// that neither this query nor another named pull describes any more.
    pub(super) async fn look_for(&mut self, ids: &[RecordId]) -> Result<Vec<Record>, Error> {
        let mut wanted = self.other_pulls().await?;
        wanted.push(self.inner.asked(self.table, self.query.query.clone()));
        let mut denied = false;
        let mut rows = Vec::new();
        for id in ids {
            rows.push(match self.get(id).await? {
                Some(row) if row.is_deleted() || self.wants(&wanted, &row) => row,
                Some(_) => Record::tombstone(id),
                None => {
                    denied = true;
                    Record::tombstone(id)
                }
            });
        }
        self.confirm(denied).await?;
        Ok(rows)
    }

    /// A server says "not found" of every record of a table that it does not have, as while it is deployed. So the table has to answer
    /// before that is believed.
    async fn confirm(&mut self, denied: bool) -> Result<(), Error> {
        if denied {
            let control = self.remote.control(self.table);
            let answer = self.cancel.run(control).await?;
            self.requests += 1;
            self.remote.check_home(answer.is_ok())?;
            answer?;
        }
        Ok(())
    }

    async fn get(&mut self, id: &RecordId) -> Result<Option<Record>, Error> {
        let ask = self.inner.get_of_home(self.remote, self.table, id);
        let found = self.cancel.run(ask).await??;
        self.requests += 1;
        Ok(found)
    }

    /// What the table's other named pulls describe.
    async fn other_pulls(&self) -> Result<Vec<Query>, Error> {
        let own = self.name.map(|name| DeltaToken::id(self.table, name));
        let of_table = Query::all().filter(field("table").eq(self.table.as_str()));
        let mut queries = Vec::new();
        for row in self.inner.store.query_all(&DELTA, &of_table).await? {
            if Some(row.id()) != own.as_ref() {
                let query = read(&DeltaToken::from_row(&row)?.filter);
                queries.extend(query.map(|query| self.inner.asked(self.table, query.query)));
            }
        }
        Ok(queries)
    }

    fn wants(&self, queries: &[Query], row: &Record) -> bool {
        let declared = self.inner.tables.get(self.table);
        let evaluator = Evaluator::new(&declared.schema);
        let matches = |query: &Query| {
            let filter = query.filter.as_ref();
            filter.is_none_or(|filter| evaluator.matches(filter, row))
        };
        !row.is_deleted() && queries.iter().any(matches)
    }

    async fn is_here(&self, id: &RecordId) -> Result<bool, Error> {
        let queued = self.inner.queue.has_operations(self.table, id).await?;
        Ok(queued || self.inner.store.get_one(self.table, id).await?.is_some())
    }

    async fn is_in_conflict(&self, id: &RecordId) -> Result<bool, Error> {
        let operations = self.inner.queue.of_record(self.table, id).await?;
        let first = operations.first();
        Ok(first.is_some_and(|first| first.state == OperationState::Conflict))
    }
}
