//! The server: routes, and what a test can do with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::IF_MATCH;
use http::{Method, Request, Response};
use synctable_core::query::odata::percent_decode;
use synctable_core::{Record, RecordId, Schema, Timestamp};
use synctable_testkit::typed::{Flavour, Model, Refusal};

use crate::answer::{self, Answer};
use crate::call::Call;
use crate::mishap::{Lost, Mishap, Plan};
use crate::rows::{Source, Table};
use crate::write::Update;
use crate::{read, write};

/// A server with typed tables under `/tables/`. Clones share one server.
#[derive(Debug, Clone)]
pub struct TypedServer {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    flavour: Flavour,
    page: u32,
    tables: BTreeMap<String, Table>,
    source: Source,
    plan: Plan,
    requests: Vec<String>,
    violations: Vec<String>,
}

impl TypedServer {
    /// A server without tables, with pages of 100 records.
    pub fn new(flavour: Flavour) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                flavour,
                page: 100,
                tables: BTreeMap::new(),
                source: Source::default(),
                plan: Plan::default(),
                requests: Vec::new(),
                violations: Vec::new(),
            })),
        }
    }

    /// A server with an empty table of [`Model::of_stories`] for each one of a schema.
    pub fn of_schema(flavour: Flavour, schema: &Schema) -> Self {
        let server = Self::new(flavour);
        for (table, _) in schema.tables() {
            server.declare(table.as_str(), Model::of_stories());
        }
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of the genuine servers it behaves like.
    pub fn flavour(&self) -> Flavour {
        self.state().flavour
    }

    /// Adds an empty table that keeps tombstones.
    pub fn declare(&self, table: &str, model: Model) {
        let table_of = Table::new(model);
        self.state().tables.insert(table.to_owned(), table_of);
    }

    /// From now on records of this table are gone when they are deleted.
    pub fn forget_deleted(&self, table: &str) {
        if let Some(table) = self.state().tables.get_mut(table) {
            table.soft_delete = false;
        }
    }

    /// Sets the most records of a page.
    pub fn set_page(&self, size: u32) {
        self.state().page = size.max(1);
    }

    /// From now on other versions and ids are given, the same ones for the same seed.
    pub fn reseed(&self, seed: u64) {
        self.state().source.reseed(seed);
    }

    /// The server's clock jumps.
    pub fn jump(&self, millis: i64) {
        let mut state = self.state();
        state.source.now = state.source.now.plus_millis(millis);
    }

    /// The server's clock.
    pub fn now(&self) -> Timestamp {
        self.state().source.now
    }

    /// Answers a request, whatever is planned to go wrong.
    pub fn handle(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.state().answer(request)
    }

    /// Answers a request, with what was planned to go wrong with it.
    ///
    /// # Errors
    /// The request or its answer is lost on purpose.
    pub fn send(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, Lost> {
        let mut state = self.state();
        match state.plan.next(request) {
            None => Ok(state.answer(request)),
            Some(Mishap::Offline) => Err(Lost::Connection),
            Some(Mishap::LoseRequest) => Err(Lost::Request),
            Some(Mishap::LoseAnswer) => {
                state.answer(request);
                Err(Lost::Answer)
            }
            Some(Mishap::Refuse(status)) => Ok(answer::bare(status)),
            Some(Mishap::AnswerInstead(status)) => {
                state.answer(request);
                Ok(answer::bare(status))
            }
        }
    }

    /// Something goes wrong with the next request.
    pub fn mishap(&self, mishap: Mishap) {
        self.mishap_at(0, mishap);
    }

    /// Something goes wrong with the request after `ahead` others.
    pub fn mishap_at(&self, ahead: usize, mishap: Mishap) {
        let plan = &mut self.state().plan;
        plan.by_number.insert(plan.made + ahead, mishap);
    }

    /// Something goes wrong with each request for which `rule` says so, until [`calm`](Self::calm) is called.
    pub fn mishaps(&self, rule: impl Fn(&Request<Bytes>) -> Option<Mishap> + Send + 'static) {
        self.state().plan.rule = Some(Box::new(rule));
    }

    /// Something goes wrong with each write of this record: its changes, and inserts that name its id.
    pub fn mishaps_of(&self, id: &str, mishap: Mishap) {
        let id = id.to_owned();
        self.mishaps(move |request| {
            let in_path = target(request).is_some_and(|(_, found)| found.as_deref() == Some(&id));
            let in_body = || {
                let body: serde_json::Value = serde_json::from_slice(request.body()).ok()?;
                Some(body.get("id")?.as_str()? == id)
            };
            let write = request.method() != Method::GET;
            (write && (in_path || in_body() == Some(true))).then_some(mishap)
        });
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        let plan = &mut self.state().plan;
        plan.by_number.clear();
        plan.rule = None;
    }

    /// Someone else writes a record, whatever its version: a new one, or one in the place of another or of a tombstone.
    ///
    /// # Errors
    /// The table cannot take it, or there is no such table.
    pub fn put(&self, table: &str, id: &str, json: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let State {
            flavour,
            tables,
            source,
            ..
        } = &mut *state;
        let Some(table) = tables.get_mut(table) else {
            let message = format!("there is no table {table}");
            return Err(Refusal::Unreadable(String::new(), message));
        };
        let taken = table.model.take(*flavour, json, None)?;
        source.tick();
        let id = RecordId::system(id);
        table.store(Record::from_stored(id, source.stamp(false), taken.body));
        Ok(())
    }

    /// Someone else deletes a record; one that is not there is fine.
    pub fn delete(&self, table: &str, id: &str) {
        let mut state = self.state();
        let State { tables, source, .. } = &mut *state;
        if let Some(table) = tables.get_mut(table) {
            source.tick();
            table.delete(&RecordId::system(id), source);
        }
    }

    /// The row with this id as clients see it, tombstones too.
    pub fn row(&self, table: &str, id: &str) -> Option<Record> {
        let state = self.state();
        let row = state.tables.get(table)?.rows.get(&RecordId::system(id))?;
        Some(cut(row))
    }

    /// The records that are not deleted as clients see them, by id.
    pub fn live(&self, table: &str) -> Vec<Record> {
        let state = self.state();
        let rows = state.tables.get(table).into_iter();
        rows.flat_map(|table| table.rows.values())
            .filter(|row| !row.is_deleted())
            .map(cut)
            .collect()
    }

    /// How many writes of clients to this record took effect.
    pub fn effects(&self, table: &str, id: &str) -> u64 {
        let state = self.state();
        let effects = state.tables.get(table).map(|table| &table.effects);
        effects
            .and_then(|effects| effects.get(id).copied())
            .unwrap_or_default()
    }

    /// What clients did that no client of ours may do: writes to a row with a version that do not name one.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// The requests that arrived, oldest first: verb, path and query.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }
}

/// A row with its time as it is shown.
fn cut(row: &Record) -> Record {
    let mut system = row.system().clone();
    system.updated_at = system.updated_at.map(Timestamp::floor_millis);
    row.clone().with_system(system)
}

/// The table and the id in a path.
fn target(request: &Request<Bytes>) -> Option<(String, Option<String>)> {
    let path = request.uri().path().strip_prefix("/tables/")?;
    let decode = |text: &str| percent_decode(text).ok().filter(|text| !text.is_empty());
    match path.split_once('/') {
        None => Some((decode(path)?, None)),
        Some((table, id)) if !id.contains('/') => Some((decode(table)?, Some(decode(id)?))),
        Some(_) => None,
    }
}

impl State {
    fn answer(&mut self, request: &Request<Bytes>) -> Answer {
        self.source.tick();
        let place = request.uri().path_and_query();
        let place = place.map_or("/", http::uri::PathAndQuery::as_str);
        self.requests.push(format!("{} {place}", request.method()));
        let answer = self.route(request);
        answer::dated(answer, self.source.now)
    }

    fn route(&mut self, request: &Request<Bytes>) -> Answer {
        let call = Call {
            flavour: self.flavour,
            request,
        };
        let found = target(request);
        let table = found.as_ref().map(|(table, _)| table.as_str());
        let table = table.and_then(|table| self.tables.get_mut(table));
        let (Some((_, id)), Some(table)) = (&found, table) else {
            return answer::bare(404);
        };
        if let Some(refused) = call.wrong_version() {
            return refused;
        }
        let reads = matches!(*request.method(), Method::GET | Method::POST);
        let blind = !reads && !request.headers().contains_key(IF_MATCH);
        if let Some(id) = id.as_deref().filter(|_| blind)
            && table.rows.contains_key(&RecordId::system(id))
        {
            let method = request.method();
            let violation = format!("{method} {} names no version", request.uri().path());
            self.violations.push(violation);
        }
        let source = &mut self.source;
        let id = id.as_deref().map(RecordId::system);
        match (request.method(), id) {
            (&Method::GET, None) => read::page(&call, table, self.page),
            (&Method::POST, None) => write::insert(&call, table, source),
            (_, None) => answer::not_allowed("GET, POST"),
            (&Method::GET, Some(id)) => read::item(&call, table, &id),
            (&Method::PUT, Some(id)) => write::update(&call, table, source, &id, Update::Replace),
            (&Method::PATCH, Some(id)) if self.flavour == Flavour::Zumo3 => {
                write::update(&call, table, source, &id, Update::Merge)
            }
            (&Method::DELETE, Some(id)) => write::delete(&call, table, source, &id),
            (_, Some(_)) => answer::not_allowed(match self.flavour {
                Flavour::Toolkit => "DELETE, GET, PUT",
                Flavour::Zumo3 => "DELETE, GET, PATCH, PUT",
            }),
        }
    }
}
