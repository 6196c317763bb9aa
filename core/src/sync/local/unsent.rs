//! Records that only exist here and that nothing would send: those of a table that was local only, or whose inserts were discarded.

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::{Cursor, Query};
use crate::sync::context::SyncContext;
use crate::sync::inner::Inner;
use crate::sync::local::table::SyncTable;
use crate::sync::local::write::Staged;
use crate::sync::queue::slot::Intent;

/// Records that are read, and queued in one commit, at once.
const PORTION: u32 = 500;

/// A table that became local only, or ceased to be, when a context was opened with another declaration of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MovedTable {
    /// The table.
    pub table: TableName,
    /// Whether it is local only now.
    pub local_only: bool,
    /// Records that only exist here and that nothing will send. [`SyncTable::enqueue_unsent`] queues them.
    pub unsent: u64,
    /// Operations that are still queued. Pushes send them also after the table became local only: push or discard them before you
    /// write what is not to be sent.
    pub pending: u64,
}

impl SyncContext {
    /// The tables that became local only, or ceased to be, when this context was opened: with what waits to be sent, and what nothing
    /// will send. Neither is done unasked.
    pub async fn moved_tables(&self) -> Result<Vec<MovedTable>, Error> {
        let mut moved = Vec::new();
        for (table, local_only) in self.inner.tables.moved() {
            moved.push(MovedTable {
                table: table.clone(),
                local_only: *local_only,
                unsent: self.inner.unsent(table).await?,
                pending: self.inner.queue.count_of_table(table, u64::MAX).await?,
            });
        }
        Ok(moved)
    }
}

impl<T> SyncTable<T> {
    /// How many records only exist here, as no server was seen to have them, and are not queued either.
    pub async fn unsent(&self) -> Result<u64, Error> {
        self.context.inner.tables.ensure(&self.name).await?;
        self.context.inner.unsent(&self.name).await
    }

    /// Queues an insert for each record that only exists here, as no server was seen to have it, and returns how many. Records of a table
    /// that was local only are sent so; nothing else sends them before they are changed.
    ///
    /// Done in portions: a crash leaves some queued, and a repeat queues the others.
    pub async fn enqueue_unsent(&self) -> Result<u64, Error> {
        let inner = &self.context.inner;
        inner.tables.ensure(&self.name).await?;
        if inner.tables.get(&self.name).device.local_only {
            return Err(Error::LocalOnly {
                table: self.name.clone(),
            });
        }
        let mut queued = 0;
        let mut query = Query::all().page(PORTION);
        loop {
            let (ids, next) = inner.unsent_page(&self.name, &query).await?;
            let staged: Vec<Staged> = ids
                .into_iter()
                .map(|id| Staged {
                    table: self.name.clone(),
                    id,
                    intent: Intent::Send,
                })
                .collect();
            if !staged.is_empty() {
                inner
                    .write(&staged, inner.settings.local_durability, false)
                    .await?;
                queued += staged.len() as u64;
            }
            match next {
                Some(next) => query.after = Some(next),
                None => return Ok(queued),
            }
        }
    }
}

impl Inner {
    async fn unsent(&self, table: &TableName) -> Result<u64, Error> {
        let mut unsent = 0;
        let mut query = Query::all().page(PORTION);
        loop {
            let (ids, next) = self.unsent_page(table, &query).await?;
            unsent += ids.len() as u64;
            match next {
                Some(next) => query.after = Some(next),
                None => return Ok(unsent),
            }
        }
    }

    /// The ids of the unsent records of a page, and where the next page starts.
    async fn unsent_page(
        &self,
        table: &TableName,
        query: &Query,
    ) -> Result<(Vec<RecordId>, Option<Cursor>), Error> {
        let page = self.store.query(table, query).await?;
        let new = page.records.iter().filter(|record| record.is_new());
        let ids = new.map(|record| record.id().clone()).collect();
        Ok((self.queue.without_operations(table, ids).await?, page.next))
    }
}
