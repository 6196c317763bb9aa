//! Which records a pull in full brought, and which of those here it did not.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::error::Error;
use crate::name::TableName;
use crate::query::{Query, RemoteQuery};
use crate::record::Record;
use crate::sync::inner::Inner;
use crate::transport::RemotePage;

/// Local records that are read at once.
const LOCAL_PAGE: u32 = 500;

/// The rows that came: about 16 bytes each. A clash of two hashes would hide one record.
#[derive(Debug, Default)]
pub(crate) struct Came {
    hasher: RandomState,
    ids: HashSet<u64>,
    /// Those that are no tombstones.
    live: u64,
}

impl Came {
    pub(crate) fn note(&mut self, page: &RemotePage) {
        for row in &page.records {
            let new = self.ids.insert(self.hasher.hash_one(row.id().as_str()));
            self.live += u64::from(new && !row.is_deleted());
        }
        let invalid = page.invalid.iter().filter_map(|row| row.id.as_deref());
        self.ids.extend(invalid.map(|id| self.hasher.hash_one(id)));
    }

    /// How many records here the query describes that were at the server once, have no operations, and did not come.
    pub(crate) async fn missed(
        &self,
        inner: &Inner,
        table: &TableName,
        query: &RemoteQuery,
    ) -> Result<u64, Error> {
        let mut local = Query::all();
        local.filter.clone_from(&query.query.filter);
        let mut local = inner.asked(table, local);
        // Where nothing is queued all that came is here, so that equal counts say it all.
        let count = inner.store.count(table, &local).await?;
        if count == self.live && !inner.queue.is_dirty(table).await? {
            return Ok(0);
        }
        local.page = Some(LOCAL_PAGE);
        let mut missed = 0;
        loop {
            let page = inner.store.query(table, &local).await?;
            let did_not_come = |record: &&Record| {
                let came = self.hasher.hash_one(record.id().as_str());
                !record.is_new() && !self.ids.contains(&came)
            };
            let absent = page.records.iter().filter(did_not_come);
            let absent = absent.map(|record| record.id().clone()).collect();
            missed += inner.queue.without_operations(table, absent).await?.len() as u64;
            match page.next {
                Some(next) => local.after = Some(next),
                None => return Ok(missed),
            }
        }
    }
}
