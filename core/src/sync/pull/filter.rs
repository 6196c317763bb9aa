//! What becomes of a table when the filter of a named pull changes.
//!
//! Afterwards the table holds what its named pulls describe: a record leaves when neither the new filter nor that of another named pull
//! of the table matches it here, nothing is pending on it, and it was at the server once. The server may judge otherwise, as where its
//! texts know no case. So the position of the pull starts anew, and with the first record that leaves those of the table's other pulls
//! do, too: what the server counts to them comes back.
//!
//! Further parameters are the server's own: nothing is known here of what they choose. When they alone change, the position
//! starts anew and nothing leaves; a pull with parameters keeps every record that its filter matches.
//!
//! It takes several commits, each of which leaves a whole:
//!
//! 1. The token takes the new filter, no time, and a mark that records have yet to leave. Before it the old filter stands. After it
//!    the next pull under the name goes on, under whatever filter.
//! 2. Up to 1,000 records leave, with the times of the other tokens. What is still there is found again by the next pull; the
//!    others have lost their positions together with the first records, and again should they have been pulled meanwhile.
//! 3. The last of these takes the mark off.

use std::collections::HashSet;

use tokio::sync::RwLockWriteGuard;

use crate::error::Error;
use crate::name::{QueryId, RecordId, TableName};
use crate::query::{Cursor, Evaluator, Expr, Query, RemoteQuery, field};
use crate::record::Record;
use crate::store::{Durability, LocalStoreExt, StoreErrorKind, WriteBatch};
use crate::sync::event::{Event, Origin, RecordChange};
use crate::sync::inner::Inner;
use crate::sync::pull::query::{is_same, read, text_of};
use crate::sync::pull::stamp;
use crate::sync::remote::Remote;
use crate::sync::system::{DELTA, DeltaToken, META};

const ATTEMPTS: usize = 16;
/// Records that are looked at, and may leave, in one commit.
const BATCH: u32 = 1000;

/// A pull under a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) table: &'a TableName,
    pub(crate) name: &'a QueryId,
    pub(crate) query: &'a RemoteQuery,
}

/// What a change of the filter came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Left {
    pub(crate) records: u64,
    pub(crate) requests: u64,
}

/// What one commit came to.
enum Batch {
    Removed(Vec<Record>, Option<Cursor>),
    /// Another context has finished it.
    Settled,
    /// Another context changed what it relies on.
    Stale,
}

impl Named<'_> {
    /// Lets the records leave that a changed filter does not want any more, and counts them. For the holder of the table's pull guard.
    ///
    /// [`Error::Contended`] where another context has changed the filter meanwhile: it is to be looked at anew.
    pub(crate) async fn settle(
        &self,
        inner: &Inner,
        remote: &Remote,
        left: &mut Left,
    ) -> Result<(), Error> {
        let text = text_of(self.query)?;
        drop(alone(inner).await?);
        match self.token(inner).await? {
            Some((_, token)) if token.leaving || !is_same(&token.filter, &text) => {}
            _ => return Ok(()),
        }
        // Nothing leaves for a filter that the server does not take, or while what leaves by mistake cannot come back.
        if remote.has_feed(self.table) {
            remote
                .changes(self.table, &self.query.clone().page(1), None)
                .await?;
        } else {
            let ask = self.query.clone().include_deleted().top(1);
            remote.page(self.table, &ask, None).await?;
        }
        left.requests += 1;
        self.mark(inner, &text).await?;
        let Some(filter) = &self.query.query.filter else {
            return Ok(());
        };
        let strangers = Query::all().filter(filter.clone().not()).page(BATCH);
        let mut strangers = inner.asked(self.table, strangers);
        loop {
            let (removed, next) = self.remove(inner, &text, &strangers).await?;
            left.records += removed.len() as u64;
            for record in removed {
                inner.listeners.emit(Event::Changed {
                    table: self.table.clone(),
                    id: record.id().clone(),
                    change: RecordChange::Deleted,
                    origin: Origin::Pull,
                });
            }
            match next {
                Some(next) => strangers.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn id(&self) -> RecordId {
        DeltaToken::id(self.table, self.name)
    }

    async fn token(&self, inner: &Inner) -> Result<Option<(Record, DeltaToken)>, Error> {
        let row = inner.store.get_one(&DELTA, &self.id()).await?;
        let token = row.map(|row| DeltaToken::from_row(&row).map(|token| (row, token)));
        Ok(token.transpose()?)
    }

    /// The token takes the new filter and starts anew.
    async fn mark(&self, inner: &Inner, text: &str) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let _queue = alone(inner).await?;
            // None: another context has purged the table, and there is nothing that could leave.
            let Some((row, mut token)) = self.token(inner).await? else {
                return Ok(());
            };
            if is_same(&token.filter, text) {
                return Ok(());
            }
            token.leaving = self.query.query.filter.is_some()
                && (token.leaving || !has_filter(&token.filter, self.query.query.filter.as_ref()));
            text.clone_into(&mut token.filter);
            token.begin_anew();
            // What else the new filter describes here may have missed any of them.
            token.forgotten = None;
            let batch = WriteBatch::new()
                .durability(Durability::Eventual)
                .expect_same(&DELTA, row)
                .put(&DELTA, token.to_row()?)
                .put(&META, stamp::anew(inner.ids.as_ref(), self.table)?);
            if commit(inner, batch).await? {
                return Ok(());
            }
        }
        Err(Error::Contended)
    }

    /// Removes what has to leave of one page of `strangers`, which the new filter does not match. Gives it, and the next page.
    async fn remove(
        &self,
        inner: &Inner,
        text: &str,
        strangers: &Query,
    ) -> Result<(Vec<Record>, Option<Cursor>), Error> {
        for _ in 0..ATTEMPTS {
            let _queue = alone(inner).await?;
            match self.try_remove(inner, text, strangers).await? {
                Batch::Removed(records, next) => return Ok((records, next)),
                Batch::Settled => return Ok((Vec::new(), None)),
                Batch::Stale => {}
            }
        }
        Err(Error::Contended)
    }

    async fn try_remove(
        &self,
        inner: &Inner,
        text: &str,
        strangers: &Query,
    ) -> Result<Batch, Error> {
        let of_table = Query::all().filter(field("table").eq(self.table.as_str()));
        let mut own = None;
        let mut others = Vec::new();
        for row in inner.store.query_all(&DELTA, &of_table).await? {
            let token = DeltaToken::from_row(&row)?;
            if *row.id() == self.id() {
                own = Some((row, token));
            } else {
                others.push((row, token));
            }
        }
        let Some((row, token)) = own.filter(|(_, token)| token.leaving) else {
            return Ok(Batch::Settled);
        };
        if !is_same(&token.filter, text) {
            return Err(Error::Contended);
        }
        let wanted: Vec<Query> = others
            .iter()
            .filter_map(|(_, token)| read(&token.filter))
            .map(|query| inner.asked(self.table, query.query))
            .collect();
        let declared = inner.tables.get(self.table);
        let evaluator = Evaluator::new(&declared.schema);
        let stays = |record: &Record| {
            let was_at_server = record.version().is_some() || record.updated_at().is_some();
            !was_at_server
                || wanted.iter().any(|query| {
                    let filter = query.filter.as_ref();
                    filter.is_none_or(|filter| evaluator.matches(filter, record))
                })
        };
        let page = inner.store.query(self.table, strangers).await?;
        let mut leaving = page.records;
        leaving.retain(|record| !stays(record));
        let ids = leaving.iter().map(|record| record.id().clone()).collect();
        let ids = inner.queue.without_operations(self.table, ids).await?;
        let ids: HashSet<RecordId> = ids.into_iter().collect();
        leaving.retain(|record| ids.contains(record.id()));
        let mut batch = WriteBatch::new().durability(Durability::Eventual);
        for record in &leaving {
            batch = batch.delete(self.table, record.id());
        }
        if !leaving.is_empty() {
            batch = batch.put(&META, stamp::anew(inner.ids.as_ref(), self.table)?);
            for (row, mut token) in others.into_iter().filter(|(_, t)| t.has_begun()) {
                token.begin_anew();
                batch = batch.expect_same(&DELTA, row).put(&DELTA, token.to_row()?);
            }
        }
        if page.next.is_none() {
            let done = DeltaToken {
                leaving: false,
                ..token
            };
            batch = batch.put(&DELTA, done.to_row()?);
        }
        if batch.writes().is_empty() || commit(inner, batch.expect_same(&DELTA, row)).await? {
            Ok(Batch::Removed(leaving, page.next))
        } else {
            Ok(Batch::Stale)
        }
    }
}

/// Whether a token's text has this filter, whatever its parameters are.
fn has_filter(stored: &str, filter: Option<&Expr>) -> bool {
    let plain = |filter: Option<&Expr>| {
        let mut query = RemoteQuery::default();
        query.query.filter = filter.cloned();
        text_of(&query).ok()
    };
    read(stored).is_some_and(|stored| plain(stored.query.filter.as_ref()) == plain(filter))
}

/// The guard of the queue, which is known then: what an earlier call of this context has dropped does not land behind what is read from here on.
async fn alone(inner: &Inner) -> Result<RwLockWriteGuard<'_, ()>, Error> {
    let guard = inner.guards.queue.write().await;
    if inner.queue.is_suspect() {
        inner.queue.reload().await?;
    }
    Ok(guard)
}

/// Commits what relies on the queue as it is known; false where a check failed, and the queue was read anew. For the holder of the guard.
async fn commit(inner: &Inner, batch: WriteBatch) -> Result<bool, Error> {
    match inner.queue.commit(batch).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == StoreErrorKind::CheckFailed => {
            inner.queue.reload().await?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
