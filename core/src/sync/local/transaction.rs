//! Several local changes stored together.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::name::RecordId;
use crate::record::{Draft, Record};
use crate::store::Durability;
use crate::sync::context::SyncContext;
use crate::sync::local::table::SyncTable;
use crate::sync::local::typed::typed;
use crate::sync::local::write::Staged;
use crate::sync::queue::slot::{Intent, Modify};
use crate::threads::{MaybeSend, MaybeSync};

/// Local changes that are stored together, with their operations, or not at all.
///
/// Changes are collected in memory and applied in their order by [`commit`](Self::commit); dropping the transaction forgets them.
///
/// ```
/// # async fn example(sync: synctable_core::sync::SyncContext) -> Result<(), synctable_core::Error> {
/// let orders = sync.table::<serde_json::Value>("orders")?;
/// let lines = sync.table::<serde_json::Value>("lines")?;
/// let mut transaction = sync.transaction();
/// let order = transaction.insert(&orders, &serde_json::json!({"customer": "Ada"}))?;
/// transaction.insert(&lines, &serde_json::json!({"order": order, "item": "Milk"}))?;
/// transaction.commit().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a transaction does nothing until it is committed"]
pub struct Transaction {
    context: SyncContext,
    staged: Vec<Staged>,
    durability: Durability,
    as_one: bool,
}

impl SyncContext {
    /// Starts a transaction: several local changes that are stored together or not at all.
    pub fn transaction(&self) -> Transaction {
        Transaction {
            context: self.clone(),
            staged: Vec::new(),
            durability: self.inner.settings.local_durability,
            as_one: false,
        }
    }
}

impl Transaction {
    /// Adds a new record and returns its id, made if it has none.
    pub fn insert<T: Serialize>(
        &mut self,
        table: &SyncTable<T>,
        record: &T,
    ) -> Result<RecordId, Error> {
        self.stage_record(table, record, Intent::Insert)
    }

    /// Inserts the record, or replaces the one with its id. Whether its members fit the declared types shows when the transaction is
    /// stored: where there is such a record, only what differs from it is judged.
    pub fn upsert<T: Serialize>(
        &mut self,
        table: &SyncTable<T>,
        record: &T,
    ) -> Result<RecordId, Error> {
        self.stage_record(table, record, Intent::Upsert)
    }

    /// Replaces all members of a record; it must carry its id. Whether they fit the declared types shows when the transaction is stored:
    /// only what differs from the record is judged.
    pub fn replace<T: Serialize>(
        &mut self,
        table: &SyncTable<T>,
        record: &T,
    ) -> Result<RecordId, Error> {
        let draft = Draft::from_serialize(record)?;
        let id = draft.id.clone().ok_or(crate::RecordError::NoId)?;
        let record = self.filled(table, draft.or_id(|| id.clone()));
        self.context.inner.check_size(table.name(), &record)?;
        Ok(self.stage(table, id, Intent::Replace(record)))
    }

    /// Puts the members of `changes` over those of a record. An id in them must be the record's.
    pub fn update<T, C: Serialize + ?Sized>(
        &mut self,
        table: &SyncTable<T>,
        id: impl AsRef<str>,
        changes: &C,
    ) -> Result<RecordId, Error> {
        let id = RecordId::new(id.as_ref())?;
        let changes = Draft::from_serialize(changes)?;
        changes.check_id(&id)?;
        Ok(self.stage(table, id, Intent::Update(changes)))
    }

    /// Puts members over those of a record that are made from it as it is when the transaction is stored, its earlier
    /// changes included.
    ///
    /// `changes` may be called several times, when something else changes the record meanwhile.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use synctable_core::{Error, sync::SyncContext};
    /// # #[derive(Serialize, Deserialize)] struct Item { id: String, stock: i64 }
    /// # async fn example(sync: SyncContext) -> Result<(), Error> {
    /// let items = sync.table::<Item>("items")?;
    /// let mut transaction = sync.transaction();
    /// transaction.modify(&items, "tea", |item| serde_json::json!({"stock": item.stock - 2}))?;
    /// transaction.modify(&items, "cup", |item| serde_json::json!({"stock": item.stock - 1}))?;
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn modify<T: DeserializeOwned, C: Serialize>(
        &mut self,
        table: &SyncTable<T>,
        id: impl AsRef<str>,
        changes: impl Fn(T) -> C + MaybeSend + MaybeSync + 'static,
    ) -> Result<RecordId, Error> {
        let name = table.name().clone();
        let modify =
            Modify::new(move |record| Ok(Draft::from_serialize(&changes(typed(&name, record)?))?));
        Ok(self.stage(table, RecordId::new(id.as_ref())?, Intent::Modify(modify)))
    }

    /// Removes a record.
    pub fn delete<T>(
        &mut self,
        table: &SyncTable<T>,
        id: impl AsRef<str>,
    ) -> Result<RecordId, Error> {
        Ok(self.stage(table, RecordId::new(id.as_ref())?, Intent::Delete))
    }

    fn stage_record<T: Serialize>(
        &mut self,
        table: &SyncTable<T>,
        record: &T,
        intent: fn(Record) -> Intent,
    ) -> Result<RecordId, Error> {
        let draft = Draft::from_serialize(record)?;
        let intent = match draft.id {
            Some(_) => intent,
            None => Intent::InsertNew,
        };
        let inner = &self.context.inner;
        let record = self.filled(table, draft.or_id(|| inner.ids.next_id()));
        inner.check_size(table.name(), &record)?;
        let id = record.id().clone();
        let intent = intent(record);
        if let Intent::Insert(record) | Intent::InsertNew(record) = &intent {
            inner.check_record(table.name(), record)?;
        }
        Ok(self.stage(table, id, intent))
    }

    /// A whole record with the defaults of what it leaves out, as a server with declared members would store it.
    fn filled<T>(&self, table: &SyncTable<T>, record: Record) -> Record {
        self.context
            .inner
            .tables
            .get(table.name())
            .schema
            .filled(record)
    }

    fn stage<T>(&mut self, table: &SyncTable<T>, id: RecordId, intent: Intent) -> RecordId {
        self.staged.push(Staged {
            table: table.name().clone(),
            id: id.clone(),
            intent,
        });
        id
    }

    /// How many changes are collected.
    pub fn len(&self) -> usize {
        self.staged.len()
    }

    /// True without changes.
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// When its changes have to be on the disk, instead of what [`local_durability`](crate::sync::ContextBuilder::local_durability) says for
    /// all changes of the context.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The server, too, does all of it or nothing: order and lines arrive together. While one of the changes is refused or in conflict, the others
    /// wait until you have decided about it; then they go together again. A change that you cancel is left out.
    ///
    /// The operations of such a transaction are not joined with what was queued before it, nor with later edits of the same records. They go
    /// one by one, in order, where the server does not announce that it does several as one
    /// ([`BatchLimits::units`](crate::transport::BatchLimits::units)), or not so many, at most 512; and where it has to be found out first what
    /// became of one of them. Other devices that pull meanwhile may see a part of it, as they read one table after the other.
    ///
    /// ```
    /// # async fn example(sync: synctable_core::sync::SyncContext) -> Result<(), synctable_core::Error> {
    /// let accounts = sync.table::<serde_json::Value>("accounts")?;
    /// let mut transfer = sync.transaction().as_one();
    /// transfer.update(&accounts, "mine", &serde_json::json!({"balance": 90}))?;
    /// transfer.update(&accounts, "yours", &serde_json::json!({"balance": 110}))?;
    /// transfer.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn as_one(mut self) -> Self {
        self.as_one = true;
        self
    }

    /// Stores everything in one commit, as durably as [`durability`](Self::durability) says. An error leaves the store as it was. Returns each record as it is after
    /// its change, `None` for a deleted one.
    pub async fn commit(self) -> Result<Vec<Option<Record>>, Error> {
        self.context
            .inner
            .write(&self.staged, self.durability, self.as_one)
            .await
    }
}
