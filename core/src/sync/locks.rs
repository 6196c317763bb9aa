//! Locks on records, so that two changes of one record in this process never plan against the same state.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{Mutex, MutexGuard};

use crate::name::{RecordId, TableName};

/// More shards than tasks that are likely to write at once, so that strangers seldom share one.
const SHARDS: u64 = 1024;

#[derive(Debug)]
pub(crate) struct RecordLocks {
    shards: Vec<Mutex<()>>,
}

impl Default for RecordLocks {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(())).collect(),
        }
    }
}

impl RecordLocks {
    /// Locks all these records. Shards are taken in one order everywhere, so nobody waits in a circle.
    pub(crate) async fn lock<'a>(
        &self,
        records: impl Iterator<Item = (&'a TableName, &'a RecordId)>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let mut numbers: Vec<u64> = records.map(|key| hash(key) % SHARDS).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut guards = Vec::with_capacity(numbers.len());
        for number in numbers {
            if let Some(shard) = usize::try_from(number)
                .ok()
                .and_then(|at| self.shards.get(at))
            {
                guards.push(shard.lock().await);
            }
        }
        guards
    }
}

/// A number from 0 to about 16 times `attempt`. The lot is an id that nobody else has, so that no two contexts get the same.
pub(crate) fn spread(attempt: usize, lot: &RecordId) -> u64 {
    let most = 16 * attempt as u64 + 1;
    hash((attempt, lot)) % most
}

/// The same in every run: with injected time and ids one history goes one way.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
