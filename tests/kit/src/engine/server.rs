//! A table server in memory that is a transport itself, with faults at will.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use synctable_core::query::Query;
use synctable_core::transport::{
    Change, ChangeKind, InvalidRow, Outcome, PageCursor, Rejection, RemotePage, Transport,
    TransportCapabilities, TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, TableName, Timestamp};
use tokio::task::yield_now;

use super::rows::Rows;

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
/// server.fault(Fault::LostAnswer);
/// assert!(sync.push().await.is_err());
/// assert_eq!(sync.push().await.unwrap().pushed, 1);
/// assert_eq!(server.effects(todo.name(), "a"), 1);
/// # });
/// ```
#[derive(Clone)]
pub struct TestServer {
    state: Arc<Mutex<State>>,
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
    /// It recognises repeated changes by their operation id and says so.
    pub operation_ids: bool,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It never arrives.
    LostRequest,
    /// Everything is done, but no answer arrives.
    LostAnswer,
    /// Everything is done, but the answer cannot be read.
    BadAnswer,
    /// The credentials are refused.
    Unauthorized,
    /// The server asks to come back later.
    Unavailable,
    /// The server fails at it (500), and nothing is done.
    Failure,
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
    Page(Query),
}

type Rule<T> = Box<dyn Fn(&TableName, &Change) -> Option<T> + Send>;

struct State {
    rows: Rows,
    requests: Vec<Request>,
    /// Requests that were made, those that never arrived too.
    made: usize,
    faults: BTreeMap<usize, Fault>,
    always: Option<Fault>,
    meanwhile: BTreeMap<usize, BoxFuture<'static, ()>>,
    rule: Option<Rule<Rejection>>,
    fails: Option<Rule<Fault>>,
    invalid: Vec<InvalidRow>,
    effects: BTreeMap<(TableName, RecordId), u64>,
    /// What became of changes, by their operation id.
    outcomes: BTreeMap<String, Outcome>,
    violations: Vec<String>,
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
            operation_ids: false,
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

    fn with(options: ServerOptions) -> Self {
        let state = State {
            rows: Rows::new(options),
            requests: Vec::new(),
            made: 0,
            faults: BTreeMap::new(),
            always: None,
            meanwhile: BTreeMap::new(),
            rule: None,
            fails: None,
            invalid: Vec::new(),
            effects: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            violations: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the habits of the server, from now on.
    pub fn configure(&self, change: impl FnOnce(&mut ServerOptions)) {
        change(&mut self.state().rows.options);
    }

    /// Someone else writes a record: inserts it, replaces it, or brings it back.
    pub fn put(&self, table: &TableName, record: &Record) {
        let at = self.state().rows.tick();
        self.put_at(table, record, at);
    }

    /// As [`put`](Self::put), with a time of its own: before others that are there already, or far in the future.
    pub fn put_at(&self, table: &TableName, record: &Record, at: Timestamp) {
        self.state().rows.put(table, record, at, false);
    }

    /// Someone else deletes a record; one that is not there is fine.
    pub fn delete(&self, table: &TableName, id: &str) {
        let mut state = self.state();
        let row = state.rows.get(table, &RecordId::system(id));
        if let Some(row) = row.filter(|row| !row.is_deleted()) {
            state.rows.delete(table, &row);
        }
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

    /// The next request fails.
    pub fn fault(&self, fault: Fault) {
        self.fault_at(0, fault);
    }

    /// The request after `ahead` others fails.
    pub fn fault_at(&self, ahead: usize, fault: Fault) {
        let mut state = self.state();
        let number = state.made + ahead;
        state.faults.insert(number, fault);
    }

    /// Every request fails, until [`calm`](Self::calm) is called.
    pub fn fault_always(&self, fault: Fault) {
        self.state().always = Some(fault);
    }

    /// From now on no request fails, nothing happens meanwhile, and nothing is refused.
    pub fn calm(&self) {
        let mut state = self.state();
        state.always = None;
        state.faults.clear();
        state.meanwhile.clear();
        state.rule = None;
        state.fails = None;
    }

    /// Runs `future` during the next request: its effect is done, or its page is read, but the answer is not out yet.
    pub fn meanwhile(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.meanwhile_at(0, future);
    }

    /// As [`meanwhile`](Self::meanwhile), during the request after `ahead` others.
    pub fn meanwhile_at(&self, ahead: usize, future: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        let number = state.made + ahead;
        state.meanwhile.insert(number, future.boxed());
    }

    /// Refuses the changes for which `rule` gives a reason.
    pub fn reject(&self, rule: impl Fn(&TableName, &Change) -> Option<Rejection> + Send + 'static) {
        self.state().rule = Some(Box::new(rule));
    }

    /// Something goes wrong with each change for which `rule` says so.
    pub fn fail(&self, rule: impl Fn(&TableName, &Change) -> Option<Fault> + Send + 'static) {
        self.state().fails = Some(Box::new(rule));
    }

    /// Adds a row to the next page that is no record.
    pub fn spoil(&self, row: InvalidRow) {
        self.state().invalid.push(row);
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
                Call::Get(_) | Call::Page(_) => None,
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

    /// Does what a request asks for, with everything that goes wrong on the way.
    async fn serve<T>(
        &self,
        request: Request,
        answer: impl FnOnce(&mut State) -> Result<T, TransportError> + Send,
    ) -> Result<T, TransportError> {
        yield_now().await;
        let (answer, fault, meanwhile) = {
            let mut state = self.state();
            let number = state.made;
            state.made += 1;
            let by_rule = match (&request.call, &state.fails) {
                (Call::Apply(change), Some(rule)) => rule(&request.table, change),
                _ => None,
            };
            let fault = state.faults.remove(&number).or(state.always).or(by_rule);
            let meanwhile = state.meanwhile.remove(&number);
            if let Some(error) = fault.and_then(Fault::before) {
                return Err(error);
            }
            state.requests.push(request);
            (answer(&mut state), fault, meanwhile)
        };
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        yield_now().await;
        match fault.and_then(Fault::after) {
            Some(error) => Err(error),
            None => answer,
        }
    }
}

impl State {
    fn apply(&mut self, table: &TableName, change: &Change) -> Outcome {
        let Some(key) = change
            .operation_id
            .as_ref()
            .filter(|_| self.rows.options.operation_ids)
        else {
            return self.apply_anew(table, change);
        };
        if let Some(outcome) = self.outcomes.get(key) {
            return outcome.clone();
        }
        let outcome = self.apply_anew(table, change);
        if matches!(outcome, Outcome::Applied(_)) {
            self.outcomes.insert(key.clone(), outcome.clone());
        }
        outcome
    }

    fn apply_anew(&mut self, table: &TableName, change: &Change) -> Outcome {
        if let Some(rejection) = self.rule.as_ref().and_then(|rule| rule(table, change)) {
            return Outcome::Rejected(rejection);
        }
        let row = self.rows.get(table, &change.id);
        if change.kind != ChangeKind::Insert && change.if_match.is_none() && row.is_some() {
            let (kind, id) = (change.kind, &change.id);
            self.violations
                .push(format!("{kind:?} of {table}/{id} names no version"));
        }
        let outcome = self.rows.apply(table, change);
        let changed = self.rows.get(table, &change.id) != row;
        if matches!(outcome, Outcome::Applied(_)) && changed {
            let key = (table.clone(), change.id.clone());
            *self.effects.entry(key).or_default() += 1;
        }
        outcome
    }
}

#[async_trait]
impl Transport for TestServer {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let request = Request {
            table: table.clone(),
            call: Call::Apply(change.clone()),
        };
        self.serve(request, |state| Ok(state.apply(table, change)))
            .await
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let request = Request {
            table: table.clone(),
            call: Call::Get(id.clone()),
        };
        let answer = |state: &mut State| {
            let shown = |row: &Record| state.rows.options.shows_tombstones || !row.is_deleted();
            Ok(state.rows.get(table, id).filter(shown))
        };
        self.serve(request, answer).await
    }

    async fn page(
        &self,
        table: &TableName,
        query: &Query,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let request = Request {
            table: table.clone(),
            call: Call::Page(query.clone()),
        };
        let answer = |state: &mut State| {
            let page = state.rows.page(table, query, cursor);
            let mut page = page.map_err(|error| {
                TransportError::new(TransportErrorKind::BadQuery, error.to_string())
            })?;
            page.invalid = std::mem::take(&mut state.invalid);
            Ok(page)
        };
        self.serve(request, answer).await
    }

    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::default();
        capabilities.operation_ids = self.state().rows.options.operation_ids;
        capabilities
    }
}

impl Fault {
    /// The error of a request that has no effect.
    fn before(self) -> Option<TransportError> {
        let (kind, message) = match self {
            Self::LostRequest => (TransportErrorKind::Unreachable, "the request is lost"),
            Self::Unauthorized => (
                TransportErrorKind::Unauthorized,
                "the credentials are refused",
            ),
            Self::Unavailable => (TransportErrorKind::Unavailable, "the server is busy"),
            Self::Failure => {
                let error = TransportError::new(TransportErrorKind::Unavailable, "it fails");
                return Some(error.with_status(500));
            }
            Self::LostAnswer | Self::BadAnswer => return None,
        };
        Some(TransportError::new(kind, message))
    }

    /// The error of a request that had its effect.
    fn after(self) -> Option<TransportError> {
        let (kind, message) = match self {
            Self::LostAnswer => (TransportErrorKind::Timeout, "the answer is lost"),
            Self::BadAnswer => (TransportErrorKind::Protocol, "the answer is cut off"),
            Self::LostRequest | Self::Unauthorized | Self::Unavailable | Self::Failure => {
                return None;
            }
        };
        Some(TransportError::new(kind, message))
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
