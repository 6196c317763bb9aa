//! The server's own id: random, made once, kept with its data and told in each answer, so that devices notice another database.
//!
//! It is a row of the server's own table, so several servers over one store have one id, and a release that knows nothing of it
//! leaves it alone.

use http::HeaderValue;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{IdSource, Record, RecordId, SystemProperties, TableName, UuidV7};

use crate::tables::MARKS;

/// Its row.
const SERVER: &str = "server";
/// Its member with the id.
const MEMBER: &str = "server";

/// Reads the id, or makes one where the store has none.
pub(crate) async fn begin(store: &dyn LocalStore) -> Result<HeaderValue, StoreError> {
    let (table, id) = (TableName::system(MARKS), RecordId::system(SERVER));
    loop {
        if let Some(row) = store.get_one(&table, &id).await? {
            return read(&row);
        }
        // Not from the source of ids of records: applications may give one that begins anew in each database.
        let new = UuidV7.next_id();
        let body = serde_json::json!({ MEMBER: new.as_str() }).to_string();
        let row = Record::from_stored(id.clone(), SystemProperties::default(), body);
        let batch = WriteBatch::new().expect_absent(&table, &id);
        match store.commit(batch.put(&table, row.clone())).await {
            Ok(_) => return read(&row),
            // Another server was first: its id is the store's.
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => {}
            Err(error) => return Err(error),
        }
    }
}

fn read(row: &Record) -> Result<HeaderValue, StoreError> {
    let damaged =
        || StoreError::corrupt("the server's id in its store is damaged; restore a backup");
    match row.member(MEMBER) {
        Some(serde_json::Value::String(id)) => HeaderValue::from_str(&id).map_err(|_| damaged()),
        _ => Err(damaged()),
    }
}
