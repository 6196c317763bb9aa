//! Changes of single records.

use std::fmt;
use std::future::IntoFuture;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::store::Durability;
use crate::sync::local::table::SyncTable;
use crate::sync::local::transaction::Transaction;
use crate::sync::local::typed::typed;
use crate::threads::{BoxFuture, MaybeSend, MaybeSync, boxed};

/// A change of one record. Await it: then the record and its operation are stored, and it gives the record as it is afterwards.
///
/// What the change says is taken when it is made, not when it is awaited. Dropping it before changes nothing; dropping it while it is
/// awaited leaves it whole or not done, even if it is done later.
///
/// ```
/// # async fn example(sync: synctable_core::sync::SyncContext) -> Result<(), synctable_core::Error> {
/// use synctable_core::store::Durability;
/// let strokes = sync.table::<serde_json::Value>("strokes")?;
/// let stroke = serde_json::json!({"x": 1, "y": 2});
/// // A stroke of a pen does not wait for the disk.
/// strokes.insert(&stroke).durability(Durability::Eventual).await?;
/// # Ok(()) }
/// ```
#[must_use = "a change is not made until it is awaited"]
pub struct LocalChange<T> {
    staged: Result<Transaction, Error>,
    table: TableName,
    outcome: fn(&TableName, Option<Record>) -> Result<T, Error>,
}

impl<T> LocalChange<T> {
    /// When this change has to be on the disk, instead of what [`local_durability`](crate::sync::ContextBuilder::local_durability) says for
    /// all changes of the context.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.staged = self.staged.map(|staged| staged.durability(durability));
        self
    }
}

impl<T: 'static> IntoFuture for LocalChange<T> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            staged,
            table,
            outcome,
        } = self;
        boxed(async move {
            let mut stored = staged?.commit().await?;
            outcome(&table, stored.pop().flatten())
        })
    }
}

impl<T> SyncTable<T> {
    /// Removes a record.
    pub fn delete(&self, id: impl AsRef<str>) -> LocalChange<()> {
        self.change(|transaction| transaction.delete(self, id), |_, _| Ok(()))
    }

    fn change<O>(
        &self,
        stage: impl FnOnce(&mut Transaction) -> Result<RecordId, Error>,
        outcome: fn(&TableName, Option<Record>) -> Result<O, Error>,
    ) -> LocalChange<O> {
        let mut transaction = self.context.transaction();
        LocalChange {
            staged: stage(&mut transaction).map(|_| transaction),
            table: self.name().clone(),
            outcome,
        }
    }
}

impl<T: Serialize + DeserializeOwned> SyncTable<T> {
    /// Stores a new record, with a new id if it has none.
    pub fn insert(&self, record: &T) -> LocalChange<T> {
        self.change(|transaction| transaction.insert(self, record), left)
    }

    /// Inserts the record, or replaces the one with its id.
    pub fn upsert(&self, record: &T) -> LocalChange<T> {
        self.change(|transaction| transaction.upsert(self, record), left)
    }

    /// Puts the members of `changes` (any type that serialises as an object) over those of a record. An id in them must
    /// be the record's.
    pub fn update<C: Serialize + ?Sized>(
        &self,
        id: impl AsRef<str>,
        changes: &C,
    ) -> LocalChange<T> {
        self.change(|transaction| transaction.update(self, id, changes), left)
    }

    /// Puts members over those of a record that are made from it as it is: nothing comes in between, so that a
    /// counter loses no step. `changes` may be called several times.
    pub fn modify<C: Serialize>(
        &self,
        id: impl AsRef<str>,
        changes: impl Fn(T) -> C + MaybeSend + MaybeSync + 'static,
    ) -> LocalChange<T> {
        self.change(|transaction| transaction.modify(self, id, changes), left)
    }

    /// Replaces all members of the record with the id that `record` carries.
    pub fn replace(&self, record: &T) -> LocalChange<T> {
        self.change(|transaction| transaction.replace(self, record), left)
    }
}

/// The record that a change other than a delete leaves.
fn left<T: DeserializeOwned>(table: &TableName, stored: Option<Record>) -> Result<T, Error> {
    typed(table, &stored.ok_or(Error::Contended)?)
}

impl<T> fmt::Debug for LocalChange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalChange")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
