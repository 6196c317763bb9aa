//! The commit times of one table: unique, strictly increasing, in the order of commits.
//!
//! Every commit moves a row of the server's own table from the time of the commit before to its own, and its batch
//! *checks* the row it moves. So the stored rows form a chain: a commit that would be out of order finds another
//! row than it expects and is not done. That holds
//! - across restarts and hard deletes, because the row is stored with the records and stays when they go;
//! - when the clock steps back, because the next time is at least a millisecond after the row;
//! - for a request that is dropped while its commit is under way: if the commit is done later after all, either
//!   the next one waited behind it or has moved the row, and then the late one fails;
//! - for several servers over one store, because the check is judged inside the store.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use synctable_core::query::Query;
use synctable_core::store::{
    Expect, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, Write, WriteBatch,
};
use synctable_core::{Clock, Record, RecordId, SystemProperties, TableName, Timestamp};
use tokio::sync::Mutex;

use crate::tables::SEQUENCES;

/// The chain of one table.
#[derive(Debug)]
pub(crate) struct Sequence {
    table: TableName,
    row_id: RecordId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The end of the chain, commits under way included; `None` where it must be read again.
    end: Option<End>,
    /// Counts how often the end was lost, so that the commits behind a failed one lose it only once.
    epoch: u64,
}

#[derive(Debug)]
struct End {
    last: Timestamp,
    /// The stored row; `None` before the table's first commit.
    row: Option<Record>,
}

impl Sequence {
    pub(crate) fn new(table: TableName) -> Self {
        let row_id = RecordId::system(table.as_str());
        Self {
            table,
            row_id,
            state: Mutex::new(State::default()),
        }
    }

    /// Commits the batch that `build` makes for the commit's time, and returns that time.
    ///
    /// A failed check may be one of the chain; then, too, the caller reads again and retries. Where the store takes
    /// commits in the order they start, the next commit starts while this one is under way.
    pub(crate) async fn commit(
        &self,
        store: &dyn LocalStore,
        clock: &dyn Clock,
        build: impl FnOnce(Timestamp) -> Result<WriteBatch, StoreError> + Send,
    ) -> Result<Timestamp, StoreError> {
        let mut state = self.state.lock().await;
        let epoch = state.epoch;
        let end = match state.end.take() {
            Some(end) => end,
            None => self.read_end(store).await?,
        };
        let time = next_time(clock.now(), end.last)?;
        let row = Record::from_stored(
            self.row_id.clone(),
            SystemProperties {
                updated_at: Some(time),
                ..SystemProperties::default()
            },
            "{}",
        );
        let rows = TableName::system(SEQUENCES);
        let mut batch = build(time)?;
        let expect = end
            .row
            .map_or(Expect::Absent, |row| Expect::Same(Box::new(row)));
        batch.check(&rows, &self.row_id, expect);
        batch.push(Write::Put {
            table: rows,
            record: row.clone(),
        });
        state.end = Some(End {
            last: time,
            row: Some(row),
        });

        let mut commit = store.commit(batch);
        let first = if store.capabilities().ordered_commits {
            poll_once(commit.as_mut()).await
        } else {
            Poll::Ready(commit.as_mut().await)
        };
        drop(state);
        let result = match first {
            Poll::Ready(result) => result,
            Poll::Pending => commit.await,
        };
        if let Err(error) = result {
            let mut state = self.state.lock().await;
            if state.epoch == epoch {
                *state = State {
                    end: None,
                    epoch: epoch.wrapping_add(1),
                };
            }
            return Err(error);
        }
        Ok(time)
    }

    /// The stored row, or the newest record of a table that was filled by someone else.
    async fn read_end(&self, store: &dyn LocalStore) -> Result<End, StoreError> {
        let row = store
            .get_one(&TableName::system(SEQUENCES), &self.row_id)
            .await?;
        if let Some(last) = row.as_ref().and_then(Record::updated_at) {
            return Ok(End { last, row });
        }
        let newest = Query::all().order_by_desc("updatedAt").top(1).page(1);
        let page = store.query(&self.table, &newest).await?;
        let last = page.records.first().and_then(Record::updated_at);
        Ok(End {
            last: last.unwrap_or(Timestamp::EPOCH),
            row,
        })
    }
}

/// Now, or a millisecond after `last` where that is later; always in whole milliseconds, so what is stored is
/// what is printed.
fn next_time(now: Timestamp, last: Timestamp) -> Result<Timestamp, StoreError> {
    let time = now
        .floor_millis()
        .max(last.floor_millis().plus_millis(1))
        .floor_millis();
    if time > last {
        Ok(time)
    } else {
        Err(StoreError::new(
            StoreErrorKind::Other,
            "the table's last commit is at the end of time; no later one can be given",
        ))
    }
}

async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_later_than_the_last_and_whole() {
        let at = |ticks| Timestamp::from_ticks(ticks);
        for (now, last, expected) in [
            (100_000, 0, 100_000),
            (109_999, 0, 100_000),
            (100_000, 100_000, 110_000),
            (100_000, 100_001, 110_000),
            (50_000, 100_000, 110_000),
            (-50_000, 0, 10_000),
        ] {
            assert_eq!(next_time(at(now), at(last)).unwrap(), at(expected));
        }
        assert!(next_time(Timestamp::MAX, Timestamp::MAX).is_err());
        assert!(next_time(at(0), Timestamp::MAX.floor_millis()).is_err());
    }
}
