//! Bugs in what members become.

use synctable_core::Record;
use synctable_core::store::{
    LocalStore, Position, StoreCapabilities, StoreError, Write, WriteBatch,
};
use synctable_testkit::async_trait;

use crate::{Bug, Store, rewritten};

/// Bodies are read into a tree and written again.
#[derive(Debug, Default)]
pub(crate) struct ParsesBodies;

#[async_trait]
impl Bug for ParsesBodies {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        let batch = rewritten(batch, |_, write| {
            Some(match write {
                Write::Put { table, record } => {
                    let body = serde_json::to_string(&record.to_map()).unwrap();
                    let system = record.system().clone();
                    let record = Record::from_stored(record.id().clone(), system, body);
                    Write::Put { table, record }
                }
                other => other,
            })
        });
        store.commit(batch).await
    }
}

/// It says that it keeps values and no text, and makes decimals binary: the last digits of a long one are others.
#[derive(Debug, Default)]
pub(crate) struct RoundsDecimals(ParsesBodies);

#[async_trait]
impl Bug for RoundsDecimals {
    async fn commit(&self, store: &Store, batch: WriteBatch) -> Result<Position, StoreError> {
        self.0.commit(store, batch).await
    }
    fn capabilities(&self, store: &Store) -> StoreCapabilities {
        store.capabilities().with_by_value(true)
    }
}
