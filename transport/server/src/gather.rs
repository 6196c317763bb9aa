//! Reads by id of changes that come together: one read of the store for all that wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synctable_core::store::{LocalStore, StoreError};
use synctable_core::{Record, RecordId, TableName};
use tokio::sync::Mutex as TurnLock;
use tokio::task::yield_now;

/// The reads of the changes of one request, all of which are polled by one task.
///
/// A read is as it would be alone: it begins when it is asked for or later, and its record is as it was at one moment since then.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    waiting: Mutex<Vec<Asked>>,
    turn: TurnLock<()>,
}

/// A read that waits.
#[derive(Debug)]
struct Asked {
    table: TableName,
    id: RecordId,
    answer: Slot,
}

/// What was read: nothing yet, or once the record or the error.
type Slot = Arc<Mutex<Option<Result<Option<Record>, StoreError>>>>;

impl Reads {
    /// The record with this id, if any.
    pub(crate) async fn get(
        &self,
        store: &dyn LocalStore,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, StoreError> {
        let answer = Slot::default();
        lock(&self.waiting).push(Asked {
            table: table.clone(),
            id: id.clone(),
            answer: Arc::clone(&answer),
        });
        // Changes that are polled in this round ask, too, before anybody reads.
        yield_now().await;
        loop {
            if let Some(answer) = lock(&answer).take() {
                return answer;
            }
            let _turn = self.turn.lock().await;
            let waiting = std::mem::take(&mut *lock(&self.waiting));
            read(store, waiting).await;
        }
    }
}

/// Reads each table once.
async fn read(store: &dyn LocalStore, mut waiting: Vec<Asked>) {
    while let Some(last) = waiting.last() {
        let table = last.table.clone();
        let (now, later) = waiting.into_iter().partition(|asked| asked.table == table);
        waiting = later;
        let now: Vec<Asked> = now;
        let ids: Vec<RecordId> = now.iter().map(|asked| asked.id.clone()).collect();
        match store.get(&table, &ids).await {
            Ok(records) => {
                for (asked, record) in now.into_iter().zip(records) {
                    *lock(&asked.answer) = Some(Ok(record));
                }
            }
            Err(error) => {
                let mut errors = shared(
                    error,
                    now.len(),
                    "the read that several changes share failed",
                );
                for asked in now {
                    *lock(&asked.answer) = errors.next().map(Err);
                }
            }
        }
    }
}

/// One failure for each of so many: itself where there is one, else others that it caused.
pub(crate) fn shared(
    error: StoreError,
    count: usize,
    words: &'static str,
) -> impl Iterator<Item = StoreError> {
    let kind = error.kind();
    let (alone, cause) = if count == 1 {
        (Some(error), None)
    } else {
        (None, Some(Arc::new(error)))
    };
    let others = cause.into_iter().flat_map(move |cause| {
        std::iter::repeat_with(move || StoreError::new(kind, words).with_source(Arc::clone(&cause)))
            .take(count)
    });
    alone.into_iter().chain(others)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
