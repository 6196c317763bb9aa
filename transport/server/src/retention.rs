//! How long the outcomes of operations are kept, and since when that was so without a gap.
//!
//! The second is a row of the server's own table, its *mark*: the store's first start with this server, moved on in each
//! batch that removes outcomes. So what is said about an id that is not found holds for several servers over one store, also
//! where they keep ids for different times, and after the clock or the setting was changed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use synctable_core::query::{Query, field};
use synctable_core::store::{
    Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, RecordId, SystemProperties, TableName, Timestamp};

use crate::tables::{MARKS, OPERATIONS};

const THIRTY_DAYS: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Outcomes are removed so much later than they may be: a clock that was put back by less takes none of them too early.
const SLACK_MILLIS: i64 = 60 * 60 * 1000;
/// Old outcomes are looked for this often ..
const PRUNE_EVERY_MILLIS: i64 = 60 * 60 * 1000;
/// .. and so many are removed at a time, where there are more again with the next write.
const PRUNE_AT_ONCE: u32 = 100;
/// The mark's row.
const MARK: &str = "operations";

/// How long outcomes are kept, at least.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    millis: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self::new(THIRTY_DAYS)
    }
}

impl Retention {
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            millis: i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Whole seconds, for a header.
    pub(crate) fn seconds(self) -> HeaderValue {
        HeaderValue::from(self.millis / 1000)
    }

    /// What was done at this time or later is still kept.
    fn horizon(self, now: Timestamp) -> Timestamp {
        whole_millis(now.plus_millis(-self.millis))
    }

    /// Since when no outcome was removed. `None` where that is not known.
    ///
    /// To be read *after* an outcome was not found: another server may remove it in between, and then has moved the mark.
    pub(crate) async fn since(
        self,
        store: &dyn LocalStore,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mark = read_mark(store).await?;
        let mark = mark.as_ref().and_then(Record::updated_at);
        Ok(mark.map(|mark| mark.max(self.horizon(now))))
    }
}

/// Makes the mark where the store has none: outcomes are recorded from now on.
pub(crate) async fn begin(store: &dyn LocalStore, now: Timestamp) -> Result<(), StoreError> {
    if read_mark(store).await?.is_some() {
        return Ok(());
    }
    let batch = WriteBatch::new()
        .expect_absent(&TableName::system(MARKS), &RecordId::system(MARK))
        .put(&TableName::system(MARKS), mark_at(now));
    match store.commit(batch).await {
        // Another server was first.
        Err(error) if error.kind() == StoreErrorKind::CheckFailed => Ok(()),
        result => result.map(|_| ()),
    }
}

async fn read_mark(store: &dyn LocalStore) -> Result<Option<Record>, StoreError> {
    store
        .get_one(&TableName::system(MARKS), &RecordId::system(MARK))
        .await
}

fn mark_at(time: Timestamp) -> Record {
    let system = SystemProperties {
        updated_at: Some(whole_millis(time)),
        ..SystemProperties::default()
    };
    Record::from_stored(RecordId::system(MARK), system, "{}")
}

/// Adds to the batch that `mark` moves on to `time`, unless it is there.
fn move_mark(batch: WriteBatch, mark: Option<Record>, time: Timestamp) -> WriteBatch {
    let table = TableName::system(MARKS);
    let batch = match mark {
        Some(mark) if mark.updated_at() >= Some(time) => return batch,
        Some(mark) => batch.expect_same(&table, mark),
        None => batch.expect_absent(&table, &RecordId::system(MARK)),
    };
    batch.put(&table, mark_at(time))
}

/// The first whole millisecond that is not before `time`.
fn whole_millis(time: Timestamp) -> Timestamp {
    let floor = time.floor_millis();
    if floor < time {
        floor.plus_millis(1)
    } else {
        floor
    }
}

/// Removes outcomes once they are older than the time for which they are kept.
#[derive(Debug)]
pub(crate) struct Pruner {
    retention: Retention,
    next: Mutex<Option<Timestamp>>,
}

impl Pruner {
    pub(crate) fn new(retention: Retention) -> Self {
        Self {
            retention,
            next: Mutex::default(),
        }
    }

    /// Removes some old outcomes, if it is time to look for them. A failure is logged: the next write tries again.
    pub(crate) async fn prune(&self, store: &dyn LocalStore, now: Timestamp) {
        if !self.is_due(now) {
            return;
        }
        match remove_old(store, self.retention, now).await {
            Ok(removed) if removed < PRUNE_AT_ONCE as usize => {}
            Ok(_) => self.set_next(None),
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => {
                tracing::debug!("another server removes old operations, too");
                self.set_next(None);
            }
            Err(error) => {
                tracing::warn!(%error, "old operations were not removed");
                self.set_next(None);
            }
        }
    }

    /// True once an interval, and then it is not again for that long. A clock that went back counts as due.
    fn is_due(&self, now: Timestamp) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let later = now.plus_millis(PRUNE_EVERY_MILLIS);
        let due = next.is_none_or(|next| now >= next || next > later);
        if due {
            *next = Some(later);
        }
        due
    }

    fn set_next(&self, time: Option<Timestamp>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }
}

async fn remove_old(
    store: &dyn LocalStore,
    retention: Retention,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let table = TableName::system(OPERATIONS);
    let horizon = retention.horizon(now);
    let old = Query::all()
        .filter(field("updatedAt").lt(horizon.plus_millis(-SLACK_MILLIS)))
        .order_by("updatedAt")
        .page(PRUNE_AT_ONCE);
    let page = store.query(&table, &old).await?;
    if page.records.is_empty() {
        return Ok(0);
    }
    let mark = read_mark(store).await?;
    let batch = page
        .records
        .iter()
        .fold(WriteBatch::new(), |batch, row| {
            batch.delete(&table, row.id())
        })
        .durability(Durability::Eventual);
    store.commit(move_mark(batch, mark, horizon)).await?;
    Ok(page.records.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning_is_due_once_an_interval_and_after_the_clock_went_back() {
        let pruner = Pruner::new(Retention::default());
        let at = |intervals: i64| Timestamp::from_millis(intervals * PRUNE_EVERY_MILLIS);
        for (now, due) in [
            (at(10), true),
            (at(10), false),
            (at(11).plus_millis(-1), false),
            (at(11), true),
            (at(5), true),
            (at(5), false),
        ] {
            assert_eq!(pruner.is_due(now), due, "{now}");
        }
    }

    #[test]
    fn times_are_rounded_to_where_less_is_claimed() {
        let at = Timestamp::from_ticks;
        for (ticks, whole) in [
            (0, 0),
            (1, 10_000),
            (9_999, 10_000),
            (10_000, 10_000),
            (-1, 0),
        ] {
            assert_eq!(whole_millis(at(ticks)), at(whole));
        }
        let ages = Retention::new(Duration::MAX);
        assert_eq!(ages.horizon(Timestamp::EPOCH), whole_millis(Timestamp::MIN));
        let none = Retention::new(Duration::ZERO);
        assert_eq!(none.horizon(at(20_001)), at(30_000));
    }
}
