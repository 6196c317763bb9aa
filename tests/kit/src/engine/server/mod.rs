//! A table server in memory that is a transport itself, with faults at will.

mod batch;
mod fault;
mod identity;
mod state;
mod trouble;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{Change, FeedToken};
use synctable_core::{Record, RecordId, TableName, Timestamp};

pub use fault::Fault;
pub(crate) use fault::of_status;
use state::State;

use super::log::FeedMake;
use crate::typed::{Flavour, Model};

/// A table server in memory. Clones share one server, so a test keeps one and gives the other to a context.
///
/// It stands between the engine and a real server: no sockets, no clock, but everything that can happen to a
/// request, at the request you name.
///
/// ```
/// # synctable_testkit::run(async {
/// use std::sync::Arc;
/// use synctable_core::sync::SyncContext;
/// use synctable_memory::MemoryStore;
/// use synctable_testkit::engine::{Fault, TestServer};
///
/// let server = TestServer::new();
/// let store = Arc::new(MemoryStore::new());
/// let sync = SyncContext::builder(store).transport(server.clone()).open().await.unwrap();
/// let todo = sync.table::<serde_json::Value>("todo").unwrap();
/// todo.insert(&serde_json::json!({"id": "a", "text": "Milk"})).await.unwrap();
///
/// // The answer is lost, so the push asks what became of the record, and finds it there.
/// server.fault(Fault::LostAnswer);
/// assert_eq!(sync.push().await.unwrap().pushed, 1);
/// assert_eq!(server.effects(todo.name(), "a"), 1);
/// # });
/// ```
#[derive(Clone)]
pub struct TestServer {
    state: Arc<Mutex<State>>,
    /// The account for which requests are made, where a client named one.
    account: Option<Arc<str>>,
}

/// How a server behaves; see [`TestServer::configure`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent habits of servers"
)]
pub struct ServerOptions {
    /// The most records of a page.
    pub page: u32,
    /// Times are unique, have whole milliseconds and grow with every commit, and the server says so. Otherwise they
    /// have seven digits, of which clients see three.
    pub ordered: bool,
    /// It says when nothing follows.
    pub says_last: bool,
    /// A deleted record leaves a tombstone.
    pub soft_delete: bool,
    /// A tombstone is shown to who asks for its record. Pages with deleted records always have it.
    pub shows_tombstones: bool,
    /// How far the clock moves with each write, in ticks of 100 ns.
    pub ticks_per_write: i64,
    /// It answers queries as if they had no filter.
    pub ignores_filters: bool,
    /// It declares the types of members, so that it gives back other text than it got; see [`run_typed`](crate::run_typed).
    pub typed: bool,
    /// Its tables have classes, as those of this genuine server; see [`of_classes`](TestServer::of_classes).
    pub classes: Option<Flavour>,
    /// It refuses changes that name another version than its own.
    pub checks_versions: bool,
    /// It recognises repeated changes by their operation id and says so.
    pub operation_ids: bool,
    /// It says that it takes changed members alone.
    pub announces_members: bool,
    /// It takes changed members alone; else it answers them as one that knows whole records only.
    pub takes_members: bool,
    /// It takes so many changes in one request and says so; none where it takes one at a time.
    pub batches: Option<usize>,
    /// It does so many changes of one request together or not at all and says so; none where it does each on its own.
    pub units: Option<usize>,
    /// It tells changes by itself, and how.
    pub feed: Option<FeedMake>,
}

/// A request that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The table.
    pub table: TableName,
    /// What was asked.
    pub call: Call,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A change.
    Apply(Change),
    /// One record.
    Get(RecordId),
    /// A page.
    Page(RemoteQuery),
    /// What changed since a position, or since the start.
    Changes(Option<FeedToken>),
}

impl TestServer {
    /// A server that promises the order of its times, says when nothing follows and keeps tombstones.
    pub fn new() -> Self {
        Self::with(ServerOptions {
            page: 1_000,
            ordered: true,
            says_last: true,
            soft_delete: true,
            shows_tombstones: true,
            ticks_per_write: 10_000,
            ignores_filters: false,
            typed: crate::harness::is_typed(),
            classes: None,
            checks_versions: true,
            operation_ids: false,
            announces_members: false,
            takes_members: false,
            batches: None,
            units: None,
            feed: None,
        })
    }

    /// A server of another make: it holds more digits of its times than it shows and never says when nothing follows.
    pub fn foreign() -> Self {
        let server = Self::new();
        server.configure(|options| {
            options.ordered = false;
            options.says_last = false;
            options.ticks_per_write = 3_700;
        });
        server
    }

    /// A server whose tables have classes, as the genuine ones for .NET: members that are left out get a default, those that the
    /// class does not have are dropped, times and GUIDs change their spelling, and what cannot be read is refused in the server's words.
    ///
    /// All tables have the class [`Model::of_stories`] until [`declare`](Self::declare) says otherwise.
    pub fn of_classes(flavour: Flavour) -> Self {
        let server = Self::foreign();
        server.configure(|options| {
            options.says_last = true;
            options.typed = false;
            options.classes = Some(flavour);
        });
        server
    }

    /// A server that tells changes by itself.
    pub fn with_feed(make: FeedMake) -> Self {
        let server = Self::new();
        server.configure(|options| options.feed = Some(make));
        server
    }

    fn with(options: ServerOptions) -> Self {
        let state = State::new(options);
        Self {
            state: Arc::new(Mutex::new(state)),
            account: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the habits of the server, from now on.
    pub fn configure(&self, change: impl FnOnce(&mut ServerOptions)) {
        change(&mut self.state().rows.options);
    }

    /// Declares the class of a table, for a server with classes.
    pub fn declare(&self, table: &TableName, model: Model) {
        self.state().rows.declare(table, model);
    }

    /// Someone else writes a record: inserts it, replaces it, or brings it back.
    pub fn put(&self, table: &TableName, record: &Record) {
        let at = self.state().rows.tick();
        self.put_at(table, record, at);
    }

    /// As [`put`](Self::put), with a time of its own: before others that are there already, or far in the future.
    pub fn put_at(&self, table: &TableName, record: &Record, at: Timestamp) {
        let mut state = self.state();
        let record = state.rows.take(table, record);
        let record = record.expect("others write records that the table can take");
        state.rows.put(table, &record, at, false);
    }

    /// Someone else deletes a record; one that is not there is fine.
    pub fn delete(&self, table: &TableName, id: &str) {
        let mut state = self.state();
        let row = state.rows.get(table, &RecordId::system(id));
        if let Some(row) = row.filter(|row| !row.is_deleted()) {
            state.rows.delete(table, &row);
        }
    }

    /// The server changes its own schema: each row of a table gets other members, and keeps version and time.
    pub fn migrate(&self, table: &TableName, change: impl Fn(&Record) -> Record) {
        self.state().rows.migrate(table, change);
    }

    /// Removes all tombstones of a table, tells so with each page from now on, and refuses older positions in its feed.
    pub fn forget_deletions(&self, table: &TableName) {
        self.state().rows.forget(table);
    }

    /// The row with this id, tombstones too.
    pub fn row(&self, table: &TableName, id: &str) -> Option<Record> {
        self.state().rows.get(table, &RecordId::system(id))
    }

    /// The records that are not deleted, by id.
    pub fn live(&self, table: &TableName) -> Vec<Record> {
        self.state().rows.live(table)
    }

    /// The server's clock.
    pub fn now(&self) -> Timestamp {
        self.state().rows.now
    }

    /// True where it recognises repeats.
    pub fn remembers(&self) -> bool {
        self.state().rows.options.operation_ids
    }

    /// True where deleted records leave tombstones.
    pub fn keeps_tombstones(&self) -> bool {
        self.state().rows.options.soft_delete
    }

    /// How often clients asked for other credentials.
    pub fn renewals(&self) -> u32 {
        self.state().renewals
    }

    /// How many requests were made, those that never arrived, too.
    pub fn made(&self) -> usize {
        self.state().made
    }

    /// How many of them were about this record.
    pub fn made_for(&self, id: &str) -> usize {
        let of = self.state().made_for.get(&RecordId::system(id)).copied();
        of.unwrap_or_default()
    }

    /// The requests that arrived, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// The changes among the requests that arrived, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        let changes = self.requests().into_iter().map(|request| request.call);
        changes
            .filter_map(|call| match call {
                Call::Apply(change) => Some(change),
                Call::Get(_) | Call::Page(_) | Call::Changes(_) => None,
            })
            .collect()
    }

    /// Forgets the requests that arrived.
    pub fn forget_requests(&self) {
        self.state().requests.clear();
    }

    /// How many changes of clients to this record took effect.
    pub fn effects(&self, table: &TableName, id: &str) -> u64 {
        let key = (table.clone(), RecordId::system(id));
        self.state().effects.get(&key).copied().unwrap_or_default()
    }

    /// What clients did that no client may do: writes to a row with a version that do not name one.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }
}

impl Default for TestServer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("TestServer")
            .field("options", &state.rows.options)
            .field("requests", &state.requests.len())
            .finish_non_exhaustive()
    }
}
