//! Writes of one record take turns, so that they do not fail each other's checks in the store.

use std::hash::{BuildHasher, RandomState};

use synctable_core::{RecordId, TableName};
use tokio::sync::{Mutex, MutexGuard};

const TURNS: usize = 256;

/// The turns of all records. Some records share one, which costs time only.
#[derive(Debug)]
pub(crate) struct Turns {
    turns: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            turns: std::iter::repeat_with(Mutex::default).take(TURNS).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Turns {
    /// Waits for the turn to write a record.
    pub(crate) async fn take(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Option<MutexGuard<'_, ()>> {
        let hash = self.hasher.hash_one((table, id));
        let at = usize::try_from(hash % self.turns.len().max(1) as u64).unwrap_or_default();
        match self.turns.get(at) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}
