//! A table server in memory that is a transport itself, with faults at will.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use synctable_core::query::Query;
use synctable_core::transport::{
    Change, ChangeKind, Conflict, ConflictCause, InvalidRow, Outcome, PageCursor, Rejection,
    RemotePage, ServerRecord, Transport, TransportCapabilities, TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, SystemProperties, TableName, Timestamp, Version};
use tokio::task::yield_now;

use super::rows::Rows;
use crate::typed::{Flavour, Model};

/// How long it keeps the outcomes of changes.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection is made, so nothing is sent.
    Offline,
    /// It never arrives.
    LostRequest,
    /// Everything is done, but no answer arrives.
    LostAnswer,
    /// Everything is done, but the answer cannot be read.
    BadAnswer,
    /// The credentials are refused.
    Unauthorized,
    /// The credentials do not allow it.
    Forbidden,
    /// Everything is done, but something on the way answers with this HTTP status.
    Gateway(u16),
    /// Something on the way answers with this HTTP status, and nothing is done.
    Status(u16),
    /// The server asks to come back later.
    Unavailable,
    /// The server fails at it (500), and nothing is done.
    Failure,
    /// It never arrives, and no answer comes in time.
    Stuck,
    /// The server asks to come back after so many seconds.
    BusyFor(u64),
    /// The network answers instead of the server.
    Portal,
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
    /// What befalls every request from this one on.
    fails_from: Option<(usize, Fault)>,
    meanwhile: BTreeMap<usize, BoxFuture<'static, ()>>,
    rule: Option<Rule<Rejection>>,
    fails: Option<Rule<Fault>>,
    clashes: Option<Rule<Rejection>>,
    hides: Option<Fault>,
    /// Tables that may be written and not read.
    hidden: BTreeMap<TableName, Fault>,
    /// The record that has to be there, and the status of the refusal while it is not.
    demand: Option<Rule<(TableName, RecordId, u16)>>,
    /// Conflicts are answered though the version is the right one.
    doubts: Option<Rule<()>>,
    renewals: u32,
    renames: Option<Rule<RecordId>>,
    blanks: bool,
    bare: bool,
    /// Requests about single records, those that never arrived, too.
    made_for: BTreeMap<RecordId, usize>,
    /// Tables that are not there for now.
    unmounted: BTreeSet<TableName>,
    /// Changes whose request was lost: they may still arrive.
    lost: Vec<(TableName, Change)>,
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
            typed: crate::harness::is_typed(),
            classes: None,
            checks_versions: true,
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

    fn with(options: ServerOptions) -> Self {
        let state = State {
            rows: Rows::new(options),
            requests: Vec::new(),
            made: 0,
            faults: BTreeMap::new(),
            always: None,
            fails_from: None,
            meanwhile: BTreeMap::new(),
            rule: None,
            fails: None,
            clashes: None,
            hides: None,
            hidden: BTreeMap::new(),
            demand: None,
            doubts: None,
            renewals: 0,
            renames: None,
            blanks: false,
            bare: false,
            made_for: BTreeMap::new(),
            unmounted: BTreeSet::new(),
            lost: Vec::new(),
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

    /// The request after `ahead` others fails, and those after it find no connection, until [`calm`](Self::calm) or
    /// [`reconnect`](Self::reconnect) is called.
    pub fn cut_at(&self, ahead: usize, fault: Fault) {
        self.fault_at(ahead, fault);
        self.fault_from(ahead + 1, Fault::Offline);
    }

    /// Every request fails after `ahead` others, until [`calm`](Self::calm) or [`reconnect`](Self::reconnect) is called.
    pub fn fault_from(&self, ahead: usize, fault: Fault) {
        let mut state = self.state();
        state.fails_from = Some((state.made + ahead, fault));
    }

    /// Ends what [`cut_at`](Self::cut_at) or [`fault_from`](Self::fault_from) began.
    pub fn reconnect(&self) {
        self.state().fails_from = None;
    }

    /// Every request fails, until [`calm`](Self::calm) is called.
    pub fn fault_always(&self, fault: Fault) {
        self.state().always = Some(fault);
    }

    /// From now on no request fails, nothing happens meanwhile, and nothing is refused.
    pub fn calm(&self) {
        let mut state = self.state();
        (state.always, state.fails_from) = (None, None);
        state.faults.clear();
        state.meanwhile.clear();
        state.rule = None;
        (state.fails, state.clashes, state.hides) = (None, None, None);
        state.unmounted.clear();
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

    /// Answers the changes for which `rule` gives a reason with a conflict that is none of versions, as for a unique key.
    pub fn clash(&self, rule: impl Fn(&TableName, &Change) -> Option<Rejection> + Send + 'static) {
        self.state().clashes = Some(Box::new(rule));
    }

    /// Takes no record of `child` while there is no record `id` of `parent`: refuses it (400), answers with a conflict
    /// (409), or fails (500).
    pub fn demand(&self, child: &TableName, parent: &TableName, id: &str, status: u16) {
        let id = RecordId::system(id);
        let (child, parent) = (child.clone(), parent.clone());
        self.demand_by(move |table, _| {
            (*table == child).then(|| (parent.clone(), id.clone(), status))
        });
    }

    /// As [`demand`](Self::demand), for each change for which `rule` names a record and a status.
    pub fn demand_by(
        &self,
        rule: impl Fn(&TableName, &Change) -> Option<(TableName, RecordId, u16)> + Send + 'static,
    ) {
        self.state().demand = Some(Box::new(rule));
    }

    /// Answers each change of a record with a conflict, though it names the right version: as a replica that lags.
    pub fn doubt_versions(&self, doubts: bool) {
        self.doubt(move |_, _| doubts);
    }

    /// As [`doubt_versions`](Self::doubt_versions), for the changes of records for which `rule` says so.
    pub fn doubt(&self, rule: impl Fn(&TableName, &Change) -> bool + Send + 'static) {
        self.state().doubts = Some(Box::new(move |table, change| {
            rule(table, change).then_some(())
        }));
    }

    /// Keeps new records under another id than they were sent with.
    pub fn rename_inserts(&self, renames: bool) {
        self.rename(move |_, change| {
            let id = format!("{}-renamed", change.id);
            renames.then(|| RecordId::system(&id))
        });
    }

    /// Keeps the new records for which `rule` gives an id under that one.
    pub fn rename(&self, rule: impl Fn(&TableName, &Change) -> Option<RecordId> + Send + 'static) {
        self.state().renames = Some(Box::new(rule));
    }

    /// Answers changes with an empty version.
    pub fn blank_versions(&self, blanks: bool) {
        self.state().blanks = blanks;
    }

    /// Shows rows with neither a version nor times.
    pub fn bare_rows(&self, bare: bool) {
        self.state().bare = bare;
        self.configure(|options| options.checks_versions = !bare);
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

    /// Lets clients write and not read: reads fail so.
    pub fn hide(&self, fault: Fault) {
        self.state().hides = Some(fault);
    }

    /// Lets clients write one table and not read it: reads fail so.
    pub fn hide_table(&self, table: &TableName, fault: Fault) {
        self.state().hidden.insert(table.clone(), fault);
    }

    /// Ends what [`hide_table`](Self::hide_table) began.
    pub fn show_table(&self, table: &TableName) {
        self.state().hidden.remove(table);
    }

    /// A table is not there, as while a server is deployed: its records are "not found" one by one, until
    /// [`calm`](Self::calm) is called.
    pub fn unmount(&self, table: &TableName) {
        self.state().unmounted.insert(table.clone());
    }

    /// Requests that were lost arrive after all.
    pub fn lost_requests_arrive(&self) {
        let mut state = self.state();
        for (table, change) in std::mem::take(&mut state.lost) {
            state.apply(&table, &change);
        }
    }

    /// What became of earlier changes is not known any more.
    pub fn forget_outcomes(&self) {
        self.state().outcomes.clear();
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
            let about = match &request.call {
                Call::Apply(change) => Some(&change.id),
                Call::Get(id) => Some(id),
                Call::Page(_) => None,
            };
            if let Some(id) = about {
                *state.made_for.entry(id.clone()).or_default() += 1;
            }
            let by_rule = match (&request.call, &state.fails) {
                (Call::Apply(change), Some(rule)) => rule(&request.table, change),
                _ => None,
            };
            let orphan = match &request.call {
                Call::Apply(change) => state.is_orphan(&request.table, change) == Some(500),
                Call::Get(_) | Call::Page(_) => false,
            };
            let by_rule = by_rule.or(orphan.then_some(Fault::Failure));
            let lasting = state.fails_from.filter(|(from, _)| *from <= number);
            let lasting = lasting.map(|(_, fault)| fault);
            let fault = state.faults.remove(&number);
            let fault = fault.or(lasting).or(state.always).or(by_rule);
            let meanwhile = state.meanwhile.remove(&number);
            let hidden = match &request.call {
                Call::Apply(_) => None,
                Call::Get(_) | Call::Page(_) => {
                    let of_table = state.hidden.get(&request.table).copied();
                    state.hides.or(of_table)
                }
            };
            if let Some(error) = fault.or(hidden).and_then(Fault::before) {
                if let (Some(Fault::LostRequest), Call::Apply(change)) = (fault, &request.call) {
                    let lost = (request.table.clone(), change.clone());
                    state.lost.push(lost);
                }
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
    fn as_shown(&self, row: Record) -> Record {
        if !self.bare {
            return row;
        }
        let deleted = row.is_deleted();
        row.with_system(SystemProperties {
            deleted,
            ..SystemProperties::default()
        })
    }

    /// The status with which a record is refused whose parent is missing.
    fn is_orphan(&self, table: &TableName, change: &Change) -> Option<u16> {
        let (parent, id, status) = self.demand.as_ref()?(table, change)?;
        let row = self.rows.get(&parent, &id);
        let there = row.is_some_and(|row| !row.is_deleted());
        (!there).then_some(status)
    }

    /// As [`apply`](Self::apply), with what the class of the table makes of the record.
    fn apply_classed(
        &mut self,
        table: &TableName,
        change: &Change,
    ) -> Result<Outcome, TransportError> {
        let mut change = change.clone();
        let taken = change.record.as_ref();
        match taken.map(|record| self.rows.take(table, record)) {
            None => {}
            Some(Ok(record)) => change.record = Some(record),
            Some(Err((500, _))) => return Err(failed()),
            Some(Err((status, words))) => {
                return Ok(Outcome::Rejected(Rejection::new(Some(status), words)));
            }
        }
        // The answer would name the record in a header that takes ASCII only.
        let unspeakable = self.rows.options.classes == Some(Flavour::Toolkit)
            && change.kind == ChangeKind::Insert
            && !change.id.as_str().is_ascii();
        match self.apply(table, &change) {
            Outcome::Applied(_) if unspeakable => Err(failed()),
            outcome => Ok(outcome),
        }
    }

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
        if matches!(outcome, Outcome::Applied(_) | Outcome::OtherId(_)) {
            self.outcomes.insert(key.clone(), outcome.clone());
        }
        outcome
    }

    fn apply_anew(&mut self, table: &TableName, change: &Change) -> Outcome {
        if let Some(rejection) = self.rule.as_ref().and_then(|rule| rule(table, change)) {
            return Outcome::Rejected(rejection);
        }
        if let Some(refusal) = self.clashes.as_ref().and_then(|rule| rule(table, change)) {
            let conflict = Conflict::new(ServerRecord::Unknown);
            return Outcome::Conflict(conflict.with_cause(ConflictCause::Existing, refusal));
        }
        if self.unmounted.contains(table) {
            return Outcome::Missing;
        }
        match self.is_orphan(table, change) {
            Some(409) => {
                let conflict = Conflict::new(ServerRecord::Unknown);
                let refusal = Rejection::new(Some(409), "no such parent");
                return Outcome::Conflict(conflict.with_cause(ConflictCause::Existing, refusal));
            }
            Some(status) => {
                return Outcome::Rejected(Rejection::new(Some(status), "no such parent"));
            }
            None => {}
        }
        let doubt = self
            .doubts
            .as_ref()
            .filter(|_| change.kind != ChangeKind::Insert);
        if doubt.and_then(|rule| rule(table, change)).is_some() {
            return Outcome::Conflict(Conflict::new(ServerRecord::Unknown));
        }
        let row = self.rows.get(table, &change.id);
        let checks = self.rows.options.checks_versions;
        if checks && change.kind != ChangeKind::Insert && change.if_match.is_none() && row.is_some()
        {
            let (kind, id) = (change.kind, &change.id);
            self.violations
                .push(format!("{kind:?} of {table}/{id} names no version"));
        }
        let new = change.kind == ChangeKind::Insert;
        let renames = self.renames.as_ref().filter(|_| new);
        if let Some(id) = renames.and_then(|rule| rule(table, change)) {
            let mut other = change.clone();
            other.id = id;
            let id = other.id.clone();
            other.record = other.record.map(|record| record.with_id(id));
            return match self.rows.apply(table, &other) {
                Outcome::Applied(Some(row)) => Outcome::OtherId(row),
                other => other,
            };
        }
        let outcome = self.rows.apply(table, change);
        let changed = self.rows.get(table, &change.id) != row;
        if matches!(outcome, Outcome::Applied(_)) && changed {
            let key = (table.clone(), change.id.clone());
            *self.effects.entry(key).or_default() += 1;
        }
        match outcome {
            Outcome::Applied(Some(row)) if self.blanks => {
                let mut system = row.system().clone();
                system.version = Some(Version::new(""));
                Outcome::Applied(Some(row.with_system(system)))
            }
            Outcome::Applied(row) => Outcome::Applied(row.map(|row| self.as_shown(row))),
            outcome => outcome,
        }
    }
}

#[async_trait]
impl Transport for TestServer {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let request = Request {
            table: table.clone(),
            call: Call::Apply(change.clone()),
        };
        self.serve(request, |state| state.apply_classed(table, change))
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
            if state.unmounted.contains(table) {
                return Ok(None);
            }
            let shown = |row: &Record| state.rows.options.shows_tombstones || !row.is_deleted();
            let row = state.rows.get(table, id).filter(shown);
            Ok(row.map(|row| state.as_shown(row)))
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
            if state.unmounted.contains(table) {
                let error = TransportError::new(TransportErrorKind::UnknownTable, "no such table");
                return Err(error.with_status(404));
            }
            let page = state.rows.page(table, query, cursor);
            let mut page = page.map_err(|error| {
                TransportError::new(TransportErrorKind::BadQuery, error.to_string())
            })?;
            page.invalid = std::mem::take(&mut state.invalid);
            page.records = page
                .records
                .into_iter()
                .map(|row| state.as_shown(row))
                .collect();
            Ok(page)
        };
        self.serve(request, answer).await
    }

    fn capabilities(&self) -> TransportCapabilities {
        let state = self.state();
        let mut capabilities = TransportCapabilities::default();
        let keeps = state.rows.options.operation_ids;
        capabilities.operation_ids_kept = keeps.then_some(KEPT);
        capabilities.server_time = Some(state.rows.now);
        capabilities
    }

    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        self.state().renewals += 1;
        Ok(false)
    }
}

impl Fault {
    /// The error of a request that has no effect.
    fn before(self) -> Option<TransportError> {
        use TransportErrorKind as Kind;
        let (kind, message, status) = match self {
            Self::Offline => (Kind::Unreachable, "there is no connection", None),
            Self::LostRequest => (Kind::Broken, "the request is lost", None),
            Self::Unauthorized => (Kind::Unauthorized, "the credentials are refused", Some(401)),
            Self::Forbidden => (Kind::Forbidden, "this is not allowed", Some(403)),
            Self::Unavailable => (Kind::Busy, "the server is busy", Some(503)),
            Self::Failure => (Kind::Failed, "it fails", Some(500)),
            Self::Stuck => (Kind::Timeout, "no answer comes", None),
            Self::Portal => (Kind::Portal, "the network wants you to sign in", Some(511)),
            Self::BusyFor(seconds) => {
                let error = TransportError::new(Kind::Busy, "the server is busy");
                let error = error.with_status(429);
                return Some(error.with_retry_after(Duration::from_secs(seconds)));
            }
            Self::Status(status) => (
                of_status(status),
                "something on the way failed",
                Some(status),
            ),
            Self::LostAnswer | Self::BadAnswer | Self::Gateway(_) => return None,
        };
        let error = TransportError::new(kind, message);
        Some(match status {
            Some(status) => error.with_status(status),
            None => error,
        })
    }

    /// The error of a request that had its effect.
    fn after(self) -> Option<TransportError> {
        use TransportErrorKind as Kind;
        match self {
            Self::LostAnswer => Some(TransportError::new(Kind::Timeout, "the answer is lost")),
            Self::BadAnswer => Some(TransportError::new(Kind::Protocol, "the answer is cut off")),
            Self::Gateway(status) => {
                let error = TransportError::new(of_status(status), "something on the way failed");
                Some(error.with_status(status))
            }
            _ => None,
        }
    }
}

/// The server fails at what it was sent.
fn failed() -> TransportError {
    TransportError::new(TransportErrorKind::Failed, "it fails").with_status(500)
}

/// What a transport makes of the status of a failure.
pub(crate) fn of_status(status: u16) -> TransportErrorKind {
    use TransportErrorKind as Kind;
    match status {
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        408 | 429 | 503 => Kind::Busy,
        502 | 504 => Kind::Gateway,
        _ => Kind::Failed,
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
