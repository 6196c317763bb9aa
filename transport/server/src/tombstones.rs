//! How long tombstones stay, and which deletions are not known any more.
//!
//! The second is a row of the server's own table for each table, its *mark*: the time of the last deletion whose tombstone was removed, or
//! is about to be. It moves in the batch that removes them, and before the first of several batches it is where it will be after the last.
//! Who pulls is told it with each page, as it is after the page was read. So a device knows whether it has missed a deletion,
//! also where several servers over one store keep tombstones for different times.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use synctable_core::query::{Query, field};
use synctable_core::store::{
    Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, RecordId, SystemProperties, TableName, Timestamp};

use crate::tables::{MARKS, Table};

const HOUR_MILLIS: i64 = 60 * 60 * 1000;
/// So many are removed at a time, where there are more again with the next write.
const AT_ONCE: u32 = 100;

/// Removes tombstones once they are old enough.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    /// `None` keeps them for ever.
    keep_millis: Option<i64>,
    /// When each table is looked at next.
    next: Mutex<HashMap<TableName, Timestamp>>,
}

impl Tombstones {
    pub(crate) fn kept_for(time: Duration) -> Self {
        Self {
            keep_millis: Some(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
            next: Mutex::default(),
        }
    }

    /// Removes some old tombstones of the table, if it is time to look for them. A failure is logged: the next write tries again.
    pub(crate) async fn prune(&self, store: &dyn LocalStore, table: &Table, now: Timestamp) {
        let Some(keep) = self.keep_millis.filter(|_| table.rules().soft_delete) else {
            return;
        };
        let name = &table.name;
        if !self.is_due(name, now) {
            return;
        }
        // Whole hours: what is due, and with it the mark, does not move with each write.
        let horizon = floor_hour(now.plus_millis(keep.saturating_neg()));
        match remove_old(store, name, horizon).await {
            Ok(removed) if removed < AT_ONCE as usize => return,
            Ok(_) => {}
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => {
                tracing::debug!(table = %name, "old tombstones were changed meanwhile");
            }
            Err(error) => tracing::warn!(table = %name, %error, "old tombstones were not removed"),
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.remove(name);
    }

    /// True once an hour for each table, and then it is not again for that long. A clock that went back counts as due.
    fn is_due(&self, table: &TableName, now: Timestamp) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let later = now.plus_millis(HOUR_MILLIS);
        let due = next
            .get(table)
            .is_none_or(|next| now >= *next || *next > later);
        if due {
            next.insert(table.clone(), later);
        }
        due
    }
}

/// The time of the last deletion in the table that may not be known any more.
///
/// To be read *after* the records of a page: another request may remove tombstones in between, and then has moved the mark.
pub(crate) async fn forgotten(
    store: &dyn LocalStore,
    table: &TableName,
) -> Result<Option<Timestamp>, StoreError> {
    Ok(mark(store, table).await?.and_then(|mark| mark.updated_at()))
}

async fn mark(store: &dyn LocalStore, table: &TableName) -> Result<Option<Record>, StoreError> {
    store.get_one(&TableName::system(MARKS), &id(table)).await
}

fn id(table: &TableName) -> RecordId {
    RecordId::system(&format!("deletions|{table}"))
}

fn floor_hour(time: Timestamp) -> Timestamp {
    time.plus_millis(time.millis().rem_euclid(HOUR_MILLIS).saturating_neg())
        .floor_millis()
}

/// Removes some tombstones from before `horizon`, the oldest first, and says how many.
async fn remove_old(
    store: &dyn LocalStore,
    table: &TableName,
    horizon: Timestamp,
) -> Result<usize, StoreError> {
    let old = Query::all().filter(
        field("deleted")
            .eq(true)
            .and(field("updatedAt").lt(horizon)),
    );
    let oldest = old.clone().order_by("updatedAt").page(AT_ONCE);
    let oldest = store.query(table, &oldest).await?.records;
    if oldest.is_empty() {
        return Ok(0);
    }
    let newest = old.order_by_desc("updatedAt").top(1).page(1);
    let newest = store.query(table, &newest).await?.records;
    let last = newest
        .iter()
        .chain(&oldest)
        .filter_map(Record::updated_at)
        .max();
    let mut batch = WriteBatch::new().durability(Durability::Eventual);
    for tombstone in &oldest {
        // One that was brought back meanwhile stays.
        batch = batch
            .expect_as_read(table, tombstone)
            .delete(table, tombstone.id());
    }
    let marks = TableName::system(MARKS);
    let mark = mark(store, table).await?;
    if mark.as_ref().and_then(Record::updated_at) < last {
        batch = match mark {
            Some(mark) => batch.expect_same(&marks, mark),
            None => batch.expect_absent(&marks, &id(table)),
        };
        let system = SystemProperties {
            updated_at: last,
            ..SystemProperties::default()
        };
        batch = batch.put(&marks, Record::from_stored(id(table), system, "{}"));
    }
    store.commit(batch).await?;
    Ok(oldest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_rounded_down_before_and_after_1970() {
        let at = Timestamp::from_millis;
        for (millis, floor) in [
            (0, 0),
            (1, 0),
            (HOUR_MILLIS - 1, 0),
            (HOUR_MILLIS, HOUR_MILLIS),
            (-1, -HOUR_MILLIS),
        ] {
            assert_eq!(floor_hour(at(millis)), at(floor), "{millis}");
        }
        assert!(floor_hour(Timestamp::MIN) <= Timestamp::EPOCH);
    }

    #[test]
    fn each_table_is_looked_at_once_an_hour() {
        let tombstones = Tombstones::kept_for(Duration::ZERO);
        let [a, b] = ["a", "b"].map(|name| TableName::new(name).unwrap());
        let at = |hours: i64| Timestamp::from_millis(hours * HOUR_MILLIS);
        for (table, now, due) in [
            (&a, at(10), true),
            (&a, at(10), false),
            (&b, at(10), true),
            (&a, at(11), true),
            (&a, at(5), true),
            (&a, at(5), false),
        ] {
            assert_eq!(tombstones.is_due(table, now), due, "{table} {now}");
        }
    }
}
