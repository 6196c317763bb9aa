//! Our side: a context over a SQLite store, and a server whose pages are in memory.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use synctable::query::RemoteQuery;
use synctable::store::{Durability, LocalStore};
use synctable::sync::SyncContext;
use synctable::transport::{
    Change, Outcome, PageCursor, RemotePage, Transport, TransportError, TransportErrorKind,
};
use synctable::{Record, RecordId, SqliteStore, TableName};

use super::data::{Item, schema};

pub async fn device(path: &Path, indexes: &[&str], durability: Durability) -> SyncContext {
    let store: Arc<dyn LocalStore> = Arc::new(SqliteStore::open(path).unwrap());
    SyncContext::builder(store)
        .schema(schema(indexes))
        .local_durability(durability)
        .open()
        .await
        .unwrap()
}

/// Device whose server holds `pages`.
pub async fn device_of(path: &Path, indexes: &[&str], pages: Pages) -> SyncContext {
    let store: Arc<dyn LocalStore> = Arc::new(SqliteStore::open(path).unwrap());
    SyncContext::builder(store)
        .schema(schema(indexes))
        .transport(pages)
        .open()
        .await
        .unwrap()
}

/// Pages of JSON texts, one a page, a row a line, in the order of `updatedAt`; parsing them is part of what is measured.
#[derive(Debug)]
pub struct Pages(Vec<String>);

impl Pages {
    pub fn ready(items: &[Item]) -> Self {
        let text = |page: &[Item]| {
            page.iter()
                .map(Item::server_json)
                .collect::<Vec<_>>()
                .join("\n")
        };
        Self(items.chunks(1000).map(text).collect())
    }
}

fn unused() -> TransportError {
    TransportError::new(TransportErrorKind::Other, "not part of this bench")
}

#[async_trait]
impl Transport for Pages {
    async fn apply(&self, _: &TableName, _: &Change) -> Result<Outcome, TransportError> {
        Err(unused())
    }

    async fn get(&self, _: &TableName, _: &RecordId) -> Result<Option<Record>, TransportError> {
        Err(unused())
    }

    async fn page(
        &self,
        _: &TableName,
        query: &RemoteQuery,
        _: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        // The bound of the filter is the position: `updatedAt gt T`, and times are numbered from 0.
        let filter = query.to_odata().map_err(|_| unused())?;
        let after = filter
            .split("cast(")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        let position = after.map_or(0, |time| {
            let time: synctable::Timestamp = time.parse().unwrap();
            u64::try_from(time.millis() - 1_700_000_000_000 + 1).unwrap()
        });
        let text = usize::try_from(position / 1000)
            .ok()
            .and_then(|number| self.0.get(number));
        let mut page = RemotePage::default();
        page.records = text
            .iter()
            .flat_map(|text| text.lines())
            .map(|row| Record::from_json(row).unwrap())
            .collect();
        page.ordered = true;
        page.last = position + 1000 >= self.0.len() as u64 * 1000;
        Ok(page)
    }
}
