//! Writes of one record take turns, so that they do not fail each other's checks in the store.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synctable_core::{RecordId, TableName};
use tokio::sync::{Mutex as TurnLock, OwnedMutexGuard};

/// The turns of the records that are being written. Records with one hash share one, which costs time only.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<HashMap<u64, Arc<TurnLock<()>>>>,
    hasher: RandomState,
}

/// The turn to write a record, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    hash: u64,
    lock: Arc<TurnLock<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn to write a record.
    pub(crate) async fn take(&self, table: &TableName, id: &RecordId) -> Turn<'_> {
        self.take_hash(self.hasher.hash_one((table, id))).await
    }

    /// Waits for the turns to write several records. No two calls wait for each other, as all take them in one order.
    pub(crate) async fn take_all(&self, records: &[(TableName, RecordId)]) -> Vec<Turn<'_>> {
        let mut hashes: Vec<u64> = records
            .iter()
            .map(|(table, id)| self.hasher.hash_one((table, id)))
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut turns = Vec::with_capacity(hashes.len());
        for hash in hashes {
            turns.push(self.take_hash(hash).await);
        }
        turns
    }

    async fn take_hash(&self, hash: u64) -> Turn<'_> {
        let lock = Arc::clone(self.taken().entry(hash).or_default());
        // It lets go of the place also where the wait is given up.
        let mut turn = Turn {
            turns: self,
            hash,
            lock,
            held: None,
        };
        turn.held = Some(Arc::clone(&turn.lock).lock_owned().await);
        turn
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u64, Arc<TurnLock<()>>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut taken = self.turns.taken();
        // The map's and this one: nobody else has it, or can get it while the map is locked.
        if Arc::strong_count(&self.lock) == 2 {
            taken.remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn writes_of_a_record_take_turns_and_leave_nothing() {
        let turns = Turns::default();
        let table = TableName::system("__t");
        let [a, b] = ["a", "b"].map(RecordId::system);
        let first = turns.take(&table, &a).await;
        let other = turns.take(&table, &b).await;
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut given_up = pin!(turns.take(&table, &a));
            assert!(given_up.as_mut().poll(&mut context).is_pending());
        }
        {
            let mut next = pin!(turns.take(&table, &a));
            assert!(next.as_mut().poll(&mut context).is_pending());
            drop((first, other));
            assert!(next.as_mut().poll(&mut context).is_ready());
        }
        assert!(turns.taken().is_empty());
    }
}
