//! Changes of single records.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::record::Record;
use crate::sync::local::table::SyncTable;
use crate::sync::local::typed::typed;
use crate::threads::{MaybeSend, MaybeSync};

impl<T> SyncTable<T> {
    /// Removes a record.
    pub async fn delete(&self, id: impl AsRef<str> + MaybeSend) -> Result<(), Error> {
        self.context
            .transaction()
            .only(|transaction| transaction.delete(self, id))
            .await?;
        Ok(())
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync> SyncTable<T> {
    /// Stores a new record, with a new id if it has none, and returns it as stored.
    pub async fn insert(&self, record: &T) -> Result<T, Error> {
        let stored = self
            .context
            .transaction()
            .only(|transaction| transaction.insert(self, record))
            .await?;
        self.expect(stored)
    }

    /// Inserts the record, or replaces the one with its id.
    pub async fn upsert(&self, record: &T) -> Result<T, Error> {
        let stored = self
            .context
            .transaction()
            .only(|transaction| transaction.upsert(self, record))
            .await?;
        self.expect(stored)
    }

    /// Puts the members of `changes` (any type that serialises as an object) over those of a record. An id in them must
    /// be the record's.
    pub async fn update<C: Serialize + MaybeSync + ?Sized>(
        &self,
        id: impl AsRef<str> + MaybeSend,
        changes: &C,
    ) -> Result<T, Error> {
        let stored = self
            .context
            .transaction()
            .only(|transaction| transaction.update(self, id, changes))
            .await?;
        self.expect(stored)
    }

    /// Puts members over those of a record that are made from it as it is: nothing comes in between, so that a
    /// counter loses no step. `changes` may be called several times.
    pub async fn modify<C: Serialize>(
        &self,
        id: impl AsRef<str> + MaybeSend,
        changes: impl Fn(T) -> C + MaybeSend + MaybeSync + 'static,
    ) -> Result<T, Error> {
        let stored = self
            .context
            .transaction()
            .only(|transaction| transaction.modify(self, id, changes))
            .await?;
        self.expect(stored)
    }

    /// Replaces all members of the record with the id that `record` carries.
    pub async fn replace(&self, record: &T) -> Result<T, Error> {
        let stored = self
            .context
            .transaction()
            .only(|transaction| transaction.replace(self, record))
            .await?;
        self.expect(stored)
    }

    fn expect(&self, stored: Option<Record>) -> Result<T, Error> {
        // A change other than a delete leaves a record.
        let stored = stored.ok_or(Error::Contended)?;
        typed(&self.name, &stored)
    }
}
