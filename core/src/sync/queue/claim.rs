//! Which context changes the queue, and how its index is read anew.

use crate::error::Error;
use crate::name::RecordId;
use crate::query::Query;
use crate::store::{Durability, Expect, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use crate::sync::queue::index::{InFlight, Queue};
use crate::sync::queue::operation::Operation;
use crate::sync::system::{ATTEMPTS, META, OPERATIONS, claim_row, meta_value};

/// Rows of the queue read at once.
const QUEUE_PAGE: u32 = 1000;

impl Queue {
    /// Makes this context the one that changes the queue. A batch that was planned before fails then: one of another context, as
    /// ours will once another context has done the same, and one of our own whose commit was dropped and may be done late.
    async fn take(&self) -> Result<(), Error> {
        let id = RecordId::system("claim");
        let anew = self.is_suspect();
        for _ in 0..ATTEMPTS {
            let found = self.store.get_one(&META, &id).await?;
            if !anew && found.is_some() && found == self.claim() {
                return Ok(());
            }
            let number: u64 = match &found {
                Some(row) => meta_value(row)?.parse().unwrap_or_default(),
                None => 0,
            };
            let claim = claim_row(number.wrapping_add(1), &self.ids.next_id())?;
            let batch = WriteBatch::new().durability(Durability::Eventual);
            let batch = match found {
                Some(row) => batch.expect_same(&META, row),
                None => batch.expect_absent(&META, &id),
            };
            match self.store.commit(batch.put(&META, claim.clone())).await {
                Ok(()) => {
                    self.set_claim(claim);
                    return Ok(());
                }
                Err(error) if error.kind() == StoreErrorKind::CheckFailed => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended)
    }

    /// Demands of a batch that relies on the index that the index is not behind.
    fn check(&self, batch: &mut WriteBatch) {
        if let Some(claim) = self.claim() {
            let id = claim.id().clone();
            batch.check(&META, &id, Expect::Same(Box::new(claim)));
        }
    }

    /// Commits a batch that relies on the index, under the check that the index is not behind.
    pub(crate) async fn commit(&self, mut batch: WriteBatch) -> Result<(), StoreError> {
        self.check(&mut batch);
        let in_flight = InFlight::new(self);
        let result = self.store.commit(batch).await;
        in_flight.ended(&result);
        result
    }

    /// Claims the queue and reads it, for a caller that holds its guard alone.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        self.take().await?;
        self.read().await
    }

    /// Reads it, without a claim.
    pub(crate) async fn read(&self) -> Result<(), Error> {
        let floor = match self
            .store
            .get_one(&META, &RecordId::system("queue"))
            .await?
        {
            Some(row) => meta_value(&row)?.parse().map_err(|_| {
                StoreError::corrupt("the end of the queue in __meta is damaged; restore a backup")
            })?,
            None => 0,
        };
        let mut query = Query::all().page(QUEUE_PAGE);
        let mut operations = Vec::new();
        loop {
            let page = self.store.query(&OPERATIONS, &query).await?;
            for row in &page.records {
                let mut operation = Operation::from_row(row)?;
                // The index needs neither: large queues would hold every record twice.
                (operation.base, operation.item, operation.shadow) = (None, None, None);
                operations.push(operation);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        self.replace_all(operations, floor);
        Ok(())
    }
}
