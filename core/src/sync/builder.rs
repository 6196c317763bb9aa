//! Opening a context.

use std::fmt;
use std::sync::Arc;

use crate::clock::{Clock, IdSource, Sleep, SystemClock, UuidV7};
use crate::error::Error;
use crate::name::RecordId;
use crate::schema::{Declarations, Steps};
use crate::store::{Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use crate::sync::admin::{backup, copy};
use crate::sync::context::SyncContext;
use crate::sync::decide::conflict::ConflictPolicy;
use crate::sync::decide::questions::Questions;
use crate::sync::event::Listeners;
use crate::sync::guards::Guards;
use crate::sync::inner::Inner;
use crate::sync::push::batch::MOST;
use crate::sync::push::lease::Lease;
use crate::sync::push::patience::RetryPolicy;
use crate::sync::queue::index::Queue;
use crate::sync::server::{Link, Server};
use crate::sync::settings::Settings;
use crate::sync::system::{self, ATTEMPTS, META, meta_row, meta_value};
use crate::sync::tables::Tables;
use crate::sync::words::opening;
use crate::transport::Transport;

/// Settings of a context before it is opened.
#[must_use]
pub struct ContextBuilder {
    store: Arc<dyn LocalStore>,
    transport: Option<Arc<dyn Transport>>,
    account: Option<String>,
    server_name: Option<String>,
    declarations: Declarations,
    steps: Option<Steps>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    settings: Settings,
}

impl ContextBuilder {
    /// The way to the server. Without one everything works but push and pull; [`SyncContext::connect`] sets and changes it later.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// The declared tables. What earlier runs declared stays declared. [`SyncContext::moved_tables`] names those that become local only
    /// with it, or cease to be.
    pub fn schema(mut self, declarations: impl Into<Declarations>) -> Self {
        self.declarations = declarations.into();
        self
    }

    /// All steps by which the schema came to be what it is, those of earlier releases of the application, too. A store that knows fewer is converted when it
    /// is opened, in portions: a call that is cut off leaves it for the next opening to go on with, and nothing is queued by it. One that knows more is
    /// [`Error::SchemaNewer`], here and at the next change of a context that was open already.
    pub fn steps(mut self, steps: Steps) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Takes the steps that the store knows, whatever they are. For programs that show any store, and change its records only as they are.
    pub fn steps_of_the_store(mut self) -> Self {
        self.steps = None;
        self
    }

    /// What to do about conflicts. Default: [`ConflictPolicy::Park`].
    pub fn conflicts(mut self, policy: ConflictPolicy) -> Self {
        self.settings.conflicts = policy;
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
        self.settings.max_record_bytes = bytes;
        self
    }

    /// How far behind its last position a pull starts over, for servers that commit changes in another order
    /// than that of their times. Default: 5,000 ms. Servers that promise the order are not asked twice.
    pub fn overlap_millis(mut self, millis: u32) -> Self {
        self.settings.overlap_millis = millis.into();
        self
    }

    /// How many records a pull asks for at once. Default: 1,000.
    pub fn pull_page(mut self, records: u32) -> Self {
        self.settings.pull_page = records.max(1);
        self
    }

    /// How many of the newest queued operations are looked through when a context opens. Those before them are found by an index in the
    /// store, which is added to whenever so many have come: fewer make openings faster, and that adding more frequent. Default: 512.
    pub fn queue_tail(mut self, operations: u32) -> Self {
        self.settings.queue_tail = operations.max(1);
        self
    }

    /// How many operations a push marks, sends and settles together at most: 1 to 512. Default: 512, where the server takes so many in one request.
    /// Fewer need less memory, and a local change waits less for the push; more need fewer commits.
    pub fn push_group(mut self, operations: u32) -> Self {
        self.settings.push_group = usize::try_from(operations).unwrap_or(MOST).clamp(1, MOST);
        self
    }

    /// When local changes survive a power cut. Default: [`Durability::Immediate`], before the call returns. With
    /// [`Durability::Eventual`] calls return sooner, and a power cut (not the end of the process) may take the last changes,
    /// always record and operation together.
    pub fn local_durability(mut self, durability: Durability) -> Self {
        self.settings.local_durability = durability;
        self
    }

    /// A stable name of the signed-in user, never text of a token. The store remembers it: pushes and pulls for another account end
    /// with [`Error::AccountChanged`] until [`SyncContext::switch_account`] says what to do. Without one the store's account is meant.
    ///
    /// A store without an account takes this one over while nothing is queued. The transport is asked for the credentials of this
    /// account ([`Transport::for_account`]), and changes of two accounts are never taken for repeats of each other.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = Some(name.into());
        self
    }

    /// What the application calls the server, such as `production`. Where the server announces no id of its own, this name tells it from
    /// others, and its address does not count: see [`Error::ServerChanged`].
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Treats it as a conflict when a record that was made (again) here meets its own deletion at the server. By default the record
    /// comes back with its new content, on the condition that nobody changed it meanwhile.
    pub fn ask_before_undelete(mut self) -> Self {
        self.settings.ask_before_undelete = true;
        self
    }

    /// How often requests are tried within one call, and how long the engine waits in between. Default: three times, with short
    /// waits that double.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.patience = policy;
        self
    }

    /// How the engine waits. Default: as the transport does; without any way to wait nothing is tried twice in one call.
    pub fn sleep(mut self, sleep: impl Sleep) -> Self {
        self.settings.sleep = Some(Arc::new(sleep));
        self
    }

    /// Opens the context: defines the tables and reads the queue. Over a store that is open for reading only
    /// ([`StoreCapabilities::read_only`](crate::store::StoreCapabilities::read_only)) nothing is written: it has to be that of a device, declarations
    /// hold in memory, a table that is not there reads as an empty one, and every change fails with [`Unsupported`](StoreErrorKind::Unsupported).
    pub async fn open(self) -> Result<SyncContext, Error> {
        self.declarations.check()?;
        if let Some(steps) = &self.steps {
            steps.check()?;
        }
        if copy::is_unfinished(self.store.as_ref()).await? {
            return Err(copy::unfinished().into());
        }
        let store_id = if self.store.capabilities().read_only {
            // A backup that was never opened stays one: nothing is sent from here.
            copy::identity(self.store.as_ref())
                .await?
                .ok_or_else(never_used)?
        } else {
            self.store.define(&system::schema()).await?;
            backup::settle(self.store.as_ref(), self.ids.as_ref()).await?;
            ensure_store_id(self.store.as_ref(), self.ids.as_ref()).await?
        };
        let (steps, noted) = opening::bring_forward(self.store.as_ref(), self.steps).await?;
        let tables = Tables::open(Arc::clone(&self.store), &self.declarations).await?;
        let (store, clock, ids) = (&self.store, &self.clock, &self.ids);
        let inner = Inner {
            store_id,
            tables,
            queue: Queue::new(Arc::clone(store), steps.len(), self.settings.queue_tail),
            steps: Arc::new(steps),
            kept: noted.kept_values(),
            guards: Guards::default(),
            lease: Lease::new(Arc::clone(store), Arc::clone(clock), Arc::clone(ids)),
            server: Server::new(Link::new(self.transport, self.server_name, self.account)),
            questions: Questions::default(),
            listeners: Listeners::default(),
            store: self.store,
            clock: self.clock,
            ids: self.ids,
            settings: self.settings,
        };
        inner.queue.read().await?;
        inner.adopt_account(&inner.server.link()).await?;
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
            account: None,
            server_name: None,
            declarations: Declarations::new(),
            steps: Some(Steps::new()),
            clock: Arc::new(SystemClock),
            ids: Arc::new(UuidV7),
            settings: Settings::default(),
        }
    }
}

/// A store that is open for reading only and lacks what each device leaves in its store.
fn never_used() -> StoreError {
    let message = "the store is open for reading only and was never that of a device: it has no identity and no queue; open it for writing \
                   once, or read it without a context";
    StoreError::new(StoreErrorKind::Unsupported, message)
}

/// The identity of the store, made when it is opened for the first time.
async fn ensure_store_id(store: &dyn LocalStore, ids: &dyn IdSource) -> Result<String, Error> {
    let id = RecordId::system("store");
    for _ in 0..ATTEMPTS {
        if let Some(row) = store.get_one(&META, &id).await? {
            return Ok(meta_value(&row)?);
        }
        let new = meta_row("store", ids.next_id().as_str())?;
        let batch = WriteBatch::new().expect_absent(&META, &id);
        match store.commit(batch.put(&META, new)).await {
            Err(error) if error.kind() != StoreErrorKind::CheckFailed => return Err(error.into()),
            // Read it back: ours, or that of another process.
            _ => {}
        }
    }
    Err(Error::Contended)
}

impl fmt::Debug for ContextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextBuilder")
            .field("store", &self.store)
            .field("account", &self.account)
            .field("server_name", &self.server_name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
