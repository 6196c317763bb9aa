//! The context: one local store, perhaps one server, and everything that happens between them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{RwLock, broadcast};

use crate::clock::{Clock, IdSource, Sleep, SystemClock, UuidV7};
use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::schema::{Schema, TableSchema};
use crate::store::{Durability, LocalStore, LocalStoreExt, StoreErrorKind, WriteBatch};
use crate::sync::admin::copy;
use crate::sync::decide::asking::Questions;
use crate::sync::decide::conflict::ConflictPolicy;
use crate::sync::event::{Event, Events};
use crate::sync::local::table::SyncTable;
use crate::sync::local::transaction::Transaction;
use crate::sync::locks::RecordLocks;
use crate::sync::push::lease::Lease;
use crate::sync::push::patience::RetryPolicy;
use crate::sync::queue::index::Queue;
use crate::sync::system::{self, META, meta_row, meta_value};
use crate::transport::Transport;

/// Events kept for a listener that does not read.
const EVENT_BUFFER: usize = 1024;
/// How often a context tries to become the one that changes the queue.
pub(crate) const CLAIMS: usize = 64;

/// A local store with its operation queue, and the way to a server. Clones share one context.
///
/// ```
/// # use std::sync::Arc;
/// # async fn example(store: Arc<dyn synctable_core::store::LocalStore>) -> Result<(), synctable_core::Error> {
/// use synctable_core::sync::SyncContext;
/// let sync = SyncContext::builder(store).open().await?;
/// let todos = sync.table::<serde_json::Value>("todoitem")?;
/// todos.insert(&serde_json::json!({"text": "Milk"})).await?;
/// assert_eq!(sync.pending_count(), 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SyncContext {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn LocalStore>,
    pub(crate) transport: Option<Arc<dyn Transport>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) policy: ConflictPolicy,
    pub(crate) options: Options,
    /// Marks this store in the keys that servers use to recognise repeats.
    pub(crate) store_id: String,
    pub(crate) queue: Queue,
    pub(crate) questions: Questions,
    pub(crate) locks: RecordLocks,
    /// Local changes share it, whoever plans against the whole queue or a whole table holds it alone. Never held
    /// across a request.
    pub(crate) gate: RwLock<()>,
    /// Serialises what is sent with what is received: a page is fetched and stored while no push is under way, so a
    /// page never carries a record from before our own write. Local changes do not wait for it.
    pub(crate) turn: RwLock<()>,
    /// One push at a time.
    pub(crate) push_turn: tokio::sync::Mutex<()>,
    /// One pushing process at a time.
    pub(crate) lease: Lease,
    /// One pull of a table at a time.
    pull_turns: Mutex<HashMap<TableName, Arc<tokio::sync::Mutex<()>>>>,
    /// One new table at a time, so that no declaration is lost between reading and writing the list.
    define_turn: tokio::sync::Mutex<()>,
    schema: Mutex<Schema>,
    /// The tables that the store is known to have, each shared so that no change copies its declaration.
    defined: Mutex<HashMap<TableName, Arc<TableSchema>>>,
    /// Members that accepted answers of a table lacked, though they were sent.
    drops: Mutex<HashMap<TableName, HashSet<String>>>,
    /// For whom this context pushes and pulls, once that is settled.
    pub(crate) account: Mutex<Option<String>>,
    /// The id of a server that answered and is not the store's.
    pub(crate) other_server: Mutex<Option<String>>,
    events: broadcast::Sender<Event>,
}

/// Limits and habits of a context.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) max_record_bytes: usize,
    pub(crate) overlap_millis: i64,
    pub(crate) pull_page: u32,
    pub(crate) local_durability: Durability,
    pub(crate) account: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) ask_before_undelete: bool,
    pub(crate) patience: RetryPolicy,
    pub(crate) sleep: Option<Arc<dyn Sleep>>,
}

/// Settings of a context before it is opened.
#[must_use]
pub struct ContextBuilder {
    store: Arc<dyn LocalStore>,
    transport: Option<Arc<dyn Transport>>,
    schema: Schema,
    policy: ConflictPolicy,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    options: Options,
}

impl ContextBuilder {
    /// The way to the server. Without one everything works but push and pull.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// The declared tables. What earlier runs declared stays declared.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = schema;
        self
    }

    /// What to do about conflicts. Default: [`ConflictPolicy::Park`].
    pub fn conflicts(mut self, policy: ConflictPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The clock. Default: the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where ids of new records come from. Default: [`UuidV7`].
    pub fn ids(mut self, ids: impl IdSource) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// The largest record that may be written, in bytes of its JSON. Default: 1 MiB.
    pub fn max_record_bytes(mut self, bytes: usize) -> Self {
        self.options.max_record_bytes = bytes;
        self
    }

    /// How far behind its last position a pull starts over, for servers that commit changes in another order
    /// than that of their times. Default: 5,000 ms. Servers that promise the order are not asked twice.
    pub fn overlap_millis(mut self, millis: u32) -> Self {
        self.options.overlap_millis = millis.into();
        self
    }

    /// How many records a pull asks for at once. Default: 1,000.
    pub fn pull_page(mut self, records: u32) -> Self {
        self.options.pull_page = records.max(1);
        self
    }

    /// When local changes survive a power cut. Default: [`Durability::Immediate`], before the call returns. With
    /// [`Durability::Eventual`] calls return sooner, and a power cut (not the end of the process) may take the last changes,
    /// always record and operation together.
    pub fn local_durability(mut self, durability: Durability) -> Self {
        self.options.local_durability = durability;
        self
    }

    /// A stable name of the signed-in user, never text of a token. The store remembers it: pushes and pulls for another account end
    /// with [`Error::AccountChanged`] until [`SyncContext::switch_account`] says what to do. Without one the store's account is meant.
    ///
    /// A store without an account takes this one over while nothing is queued. The transport is asked for the credentials of this
    /// account ([`Transport::for_account`]), and changes of two accounts are never taken for repeats of each other.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.options.account = Some(name.into());
        self
    }

    /// What the application calls the server, such as `production`. Where the server announces no id of its own, this name tells it from
    /// others, and its address does not count: see [`Error::ServerChanged`].
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.options.server_name = Some(name.into());
        self
    }

    /// Treats it as a conflict when a record that was made (again) here meets its own deletion at the server. By default the record
    /// comes back with its new content, on the condition that nobody changed it meanwhile.
    pub fn ask_before_undelete(mut self) -> Self {
        self.options.ask_before_undelete = true;
        self
    }

    /// How often requests are tried within one call, and how long the engine waits in between. Default: three times, with short
    /// waits that double.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.patience = policy;
        self
    }

    /// How the engine waits. Default: as the transport does; without any way to wait nothing is tried twice in one call.
    pub fn sleep(mut self, sleep: impl Sleep) -> Self {
        self.options.sleep = Some(Arc::new(sleep));
        self
    }

    /// Opens the context: defines the tables and reads the queue.
    pub async fn open(self) -> Result<SyncContext, Error> {
        self.schema.check()?;
        if copy::is_unfinished(self.store.as_ref()).await? {
            return Err(copy::unfinished().into());
        }
        self.store.define(&system::schema()).await?;
        let store_id = introduce(&self).await?;
        let schema = declare(self.store.as_ref(), &self.schema).await?;
        let defined = schema
            .tables()
            .map(|(name, table)| (name.clone(), Arc::new(table.clone())))
            .collect();
        let inner = Inner {
            store: self.store,
            transport: self.transport,
            clock: self.clock,
            ids: self.ids,
            policy: self.policy,
            options: self.options,
            store_id,
            queue: Queue::default(),
            questions: Questions::default(),
            locks: RecordLocks::default(),
            gate: RwLock::default(),
            turn: RwLock::default(),
            push_turn: tokio::sync::Mutex::default(),
            lease: Lease::default(),
            pull_turns: Mutex::default(),
            define_turn: tokio::sync::Mutex::default(),
            schema: Mutex::new(schema),
            defined: Mutex::new(defined),
            drops: Mutex::default(),
            account: Mutex::default(),
            other_server: Mutex::default(),
            events: broadcast::channel(EVENT_BUFFER).0,
        };
        inner.read_queue().await?;
        match inner.settle_account().await {
            // Local reads and writes go on; a push or pull says it again.
            Ok(_) | Err(Error::AccountChanged { .. }) => {}
            Err(error) => return Err(error),
        }
        // Read only so far: the first change claims the queue and reads it anew.
        inner.queue.mark_suspect();
        Ok(SyncContext {
            inner: Arc::new(inner),
        })
    }
}

impl SyncContext {
    /// Starts a context over a store.
    pub fn builder(store: Arc<dyn LocalStore>) -> ContextBuilder {
        ContextBuilder {
            store,
            transport: None,
            schema: Schema::new(),
            policy: ConflictPolicy::default(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(UuidV7),
            options: Options {
                max_record_bytes: 1 << 20,
                overlap_millis: 5_000,
                pull_page: 1_000,
                local_durability: Durability::Immediate,
                account: None,
                server_name: None,
                ask_before_undelete: false,
                patience: RetryPolicy::default(),
                sleep: None,
            },
        }
    }

    /// A handle on a table whose records are of type `T`: any serde type, or [`Record`](crate::Record) for the untyped form.
    /// A table that was never declared is made on first use.
    pub fn table<T>(&self, name: &str) -> Result<SyncTable<T>, Error> {
        Ok(SyncTable::new(self.clone(), TableName::new(name)?))
    }

    /// Starts a transaction: several local changes that are stored together or not at all.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.clone())
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> Events {
        Events::new(self.inner.events.subscribe())
    }

    /// How many operations wait in the queue, parked ones too.
    pub fn pending_count(&self) -> u64 {
        self.inner.queue.len()
    }

    /// The declared tables, and those that were made on first use.
    pub fn schema(&self) -> Schema {
        self.inner.schema()
    }

    /// The store under this context.
    pub fn store(&self) -> &Arc<dyn LocalStore> {
        &self.inner.store
    }

    /// A value that was kept with [`set_setting`](Self::set_setting).
    pub async fn setting(&self, name: &str) -> Result<Option<String>, Error> {
        let id = RecordId::system(&format!("setting|{name}"));
        let row = self.inner.store.get_one(&META, &id).await?;
        Ok(row.map(|row| meta_value(&row)).transpose()?)
    }

    /// Keeps a small value in the store, such as the server's address.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<(), Error> {
        let row = meta_row(&format!("setting|{name}"), value)?;
        Ok(self
            .inner
            .store
            .commit(WriteBatch::new().put(&META, row))
            .await?)
    }

    /// Makes everything durable and closes the store. Contexts that share it fail from then on.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.inner.store.close().await?)
    }
}

impl Inner {
    pub(crate) fn schema(&self) -> Schema {
        self.schema
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn table_schema(&self, table: &TableName) -> Arc<TableSchema> {
        self.defined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(table)
            .cloned()
            .unwrap_or_default()
    }

    /// The members of a table that the server is known not to keep.
    pub(crate) fn drops(&self, table: &TableName) -> HashSet<String> {
        let drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        drops.get(table).cloned().unwrap_or_default()
    }

    /// An accepted answer has shown that the server does not keep these members.
    pub(crate) fn learn_drops(&self, table: &TableName, names: Vec<String>) {
        if !names.is_empty() {
            let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
            drops.entry(table.clone()).or_default().extend(names);
        }
    }

    /// Another server: what the one before did not keep says nothing of it.
    pub(crate) fn forget_drops(&self) {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        drops.clear();
    }

    /// The lock that pulls of a table take.
    pub(crate) fn pull_turn(&self, table: &TableName) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self
            .pull_turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(table.clone()).or_default())
    }

    pub(crate) fn emit(&self, event: Event) {
        // No listener is not an error.
        let _ = self.events.send(event);
    }

    /// Makes sure that a table exists, declaring it without fields on first use.
    pub(crate) async fn ensure_table(&self, table: &TableName) -> Result<(), Error> {
        if self
            .defined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(table)
        {
            return Ok(());
        }
        let _turn = self.define_turn.lock().await;
        let addition = Schema::new().with_table(table.clone(), TableSchema::new());
        let schema = declare(self.store.as_ref(), &self.schema().merged(&addition)?).await?;
        let table_schema = schema.table(table).cloned().unwrap_or_default();
        *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = schema;
        self.defined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(table.clone(), Arc::new(table_schema));
        Ok(())
    }
}

/// The identity of the store, made when it is opened for the first time.
async fn introduce(builder: &ContextBuilder) -> Result<String, Error> {
    let id = RecordId::system("store");
    for _ in 0..CLAIMS {
        if let Some(row) = builder.store.get_one(&META, &id).await? {
            return Ok(meta_value(&row)?);
        }
        let new = meta_row("store", builder.ids.next_id().as_str())?;
        let batch = WriteBatch::new().expect_absent(&META, &id);
        match builder.store.commit(batch.put(&META, new)).await {
            Err(error) if error.kind() != StoreErrorKind::CheckFailed => return Err(error.into()),
            // Read it back: ours, or that of another process.
            _ => {}
        }
    }
    Err(Error::Contended)
}

/// Joins declarations to those that the store has, whoever made them, defines all and returns them.
async fn declare(store: &dyn LocalStore, addition: &Schema) -> Result<Schema, Error> {
    let id = RecordId::system("schema");
    for _ in 0..CLAIMS {
        let row = store.get_one(&META, &id).await?;
        let stored = match &row {
            Some(row) => Schema::from_json(&meta_value(row)?)?,
            None => Schema::new(),
        };
        let schema = stored.merged(addition)?;
        // A crash before the commit leaves tables that the list does not name; their next use adds them.
        store.define(&schema).await?;
        if schema == stored {
            return Ok(schema);
        }
        // A power cut that takes it back is the same.
        let batch = WriteBatch::new().durability(Durability::Eventual);
        let batch = match row {
            Some(row) => batch.expect_same(&META, row),
            None => batch.expect_absent(&META, &id),
        };
        let batch = batch.put(&META, meta_row("schema", &schema.to_json())?);
        match store.commit(batch).await {
            Ok(()) => return Ok(schema),
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Contended)
}

impl fmt::Debug for SyncContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncContext")
            .field("store", &self.inner.store)
            .field("transport", &self.inner.transport)
            .field("pending", &self.pending_count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ContextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextBuilder")
            .field("store", &self.store)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
