//! How the index catches up with the queue: what others change, and what a dropped commit of our own may change late.
//!
//! Every batch that relies on the index demands that nobody but this context has changed the queue since the position up to which
//! the index knows it. Where that does not hold, the index reads what has changed since, and the caller plans anew.

use crate::error::Error;
use crate::name::RecordId;
use crate::query::Query;
use crate::record::Record;
use crate::store::{Author, Changed, Changes, Durability, StoreError, WriteBatch};
use crate::sync::queue::index::{InFlight, Queue};
use crate::sync::queue::lookup::{QUEUE_PAGE, behind};
use crate::sync::queue::operation::Operation;
use crate::sync::queue::runs::Noted;
use crate::sync::system::{META, OPERATIONS, meta_value, seq_of};
use crate::sync::words::row::StepsRow;

/// Where the queue ends.
struct End {
    /// The highest sequence number that was used and is not in the queue any more.
    floor: u64,
    /// Where the tail begins.
    noted: u64,
}

impl Queue {
    /// Commits a batch that relies on the index, under the check that the index is not behind.
    pub(crate) async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let (author, known) = self.standing();
        let mut batch = batch.author(author);
        if let Some(known) = known {
            batch = batch.expect_unchanged(&OPERATIONS, known);
        }
        let in_flight = InFlight::new(self);
        let result = self.store.commit(batch).await;
        in_flight.ended(&result);
        // Up to here nobody else has changed the queue: the check says so. What we changed is in the index, unless it was dropped.
        self.knows(author, result?);
        Ok(())
    }

    /// Brings the index up to date, for a caller that holds its guard alone.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        if self.is_suspect() {
            self.fence().await?;
            // What was dropped may lie before what is known: later commits of ours have moved that on.
            return self.read().await;
        }
        self.catch_up().await
    }

    /// Sees to it that a batch of ours whose commit was dropped is done by now, or never: this context becomes another author, and
    /// changes the queue as such. It stays suspect until it has caught up, should this be dropped.
    async fn fence(&self) -> Result<(), StoreError> {
        let author = Author::random();
        self.becomes(author);
        let batch = WriteBatch::new()
            .durability(Durability::Eventual)
            .author(author)
            // There is no such row. That it was written to is what counts.
            .delete(&OPERATIONS, &RecordId::system("fence"));
        self.store.commit(batch).await.map(|_| ())
    }

    /// Reads what has changed since the index was right; everything, where the store does not know that.
    async fn catch_up(&self) -> Result<(), Error> {
        let (_, Some(mut known)) = self.standing() else {
            return self.read().await;
        };
        loop {
            let changes = self.store.changes_since(known, QUEUE_PAGE as usize).await?;
            let Changes::Known {
                changed,
                next,
                more,
            } = changes
            else {
                return self.read().await;
            };
            let mut ids = Vec::new();
            for change in changed {
                match change {
                    Changed::Record { table, id } if table == *OPERATIONS => ids.push(id),
                    Changed::Table { table } if table == *OPERATIONS => return self.read().await,
                    _ => {}
                }
            }
            ids.sort_unstable();
            ids.dedup();
            let rows = self.store.get(&OPERATIONS, &ids).await?;
            for (id, row) in ids.iter().zip(rows) {
                let operation = row.as_ref().map(indexed).transpose()?;
                if let Some(seq) = seq_of(id) {
                    self.replace(seq, operation.as_ref());
                }
            }
            known = next;
            if !more {
                break;
            }
        }
        let end = self.end().await?;
        self.caught_up(known, end.floor, end.noted);
        Ok(())
    }

    /// Reads the tail; the runs of the store are read when they are asked for.
    pub(crate) async fn read(&self) -> Result<(), Error> {
        // What changes while it is read is read again.
        let known = self.store.position().await?;
        let end = self.end().await?;
        let mut query = Query::all().page(QUEUE_PAGE).after(behind(end.noted));
        let mut operations = Vec::new();
        loop {
            let page = self.store.query(&OPERATIONS, &query).await?;
            for row in &page.records {
                operations.push(indexed(row)?);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        self.replace_all(end.noted, &operations);
        self.caught_up(known, end.floor, end.noted);
        Ok(())
    }

    /// The end of the queue. An error where the store has had more schema steps than this context knows.
    async fn end(&self) -> Result<End, Error> {
        let ids = [RecordId::system("queue"), Noted::id(), StepsRow::id()];
        let mut rows = self.store.get(&META, &ids).await?;
        // Whoever converts the store touches the queue, so that this is read before anything else is changed.
        let noted = rows.pop().flatten().as_ref().map(StepsRow::from_row);
        if let Some(noted) = noted.transpose()?
            && noted.number() > self.steps
        {
            return Err(Error::SchemaNewer {
                store: noted.number(),
                here: self.steps,
            });
        }
        let noted = rows.pop().flatten().as_ref().map(Noted::from_row);
        let noted = noted.transpose()?.unwrap_or_default().end;
        let Some(row) = rows.pop().flatten() else {
            return Ok(End { floor: 0, noted });
        };
        let damaged = "the end of the queue in __meta is damaged; restore a backup";
        let floor = meta_value(&row)?.parse();
        let floor = floor.map_err(|_| StoreError::corrupt(damaged))?;
        Ok(End { floor, noted })
    }
}

/// An operation without what the index does not need: large queues would hold every record twice.
fn indexed(row: &Record) -> Result<Operation, StoreError> {
    let mut operation = Operation::from_row(row)?;
    (operation.base, operation.item, operation.shadow) = (None, None, None);
    Ok(operation)
}
