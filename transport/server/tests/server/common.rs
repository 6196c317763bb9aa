//! What the tests of the server share: a clock that obeys, requests in one line, a store that can be disturbed.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread::{self, ThreadId};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, Page, Position, StoreCapabilities, StoreError, StoreErrorKind, Write,
    WriteBatch,
};
use synctable_core::{
    Clock, Declaration, Record, RecordId, Schema, TableName, TableSchema, Timestamp,
};
use synctable_memory::MemoryStore;
use synctable_server::{TableServer, TableServerBuilder};
use tokio::sync::{Notify, Semaphore};

/// 2026-01-31T12:00:00Z.
pub(crate) const NOON: i64 = 1_769_860_800_000;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(NOON)))
    }
    pub(crate) fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
    pub(crate) fn error(&self) -> String {
        self.json()["error"]
            .as_str()
            .expect("an error text")
            .to_owned()
    }
    pub(crate) fn version(&self) -> String {
        self.json()["version"]
            .as_str()
            .expect("a version")
            .to_owned()
    }
    pub(crate) fn updated_at(&self) -> Timestamp {
        let json = self.json();
        let text = json["updatedAt"].as_str().expect("a time");
        text.parse().unwrap()
    }
    pub(crate) fn ids(&self) -> Vec<String> {
        let json = self.json();
        let items = json["items"].as_array().expect("items");
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    }
    pub(crate) fn next_link(&self) -> Option<String> {
        self.json()["nextLink"].as_str().map(str::to_owned)
    }
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// Sends one request; a body goes as JSON unless the headers say otherwise.
pub(crate) async fn send(
    server: &TableServer,
    method: &str,
    target: &str,
    headers: Headers<'_>,
    body: &str,
) -> Answer {
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let typed = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !body.is_empty() && !typed {
        request = request.header("content-type", "application/json");
    }
    let request = request
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    let response = server.handle(request).await;
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub(crate) async fn get(server: &TableServer, target: &str) -> Answer {
    send(server, "GET", target, &[], "").await
}
pub(crate) async fn post(server: &TableServer, target: &str, body: &str) -> Answer {
    send(server, "POST", target, &[], body).await
}
pub(crate) async fn put(server: &TableServer, target: &str, body: &str) -> Answer {
    send(server, "PUT", target, &[], body).await
}
pub(crate) async fn delete(server: &TableServer, target: &str) -> Answer {
    send(server, "DELETE", target, &[], "").await
}

pub(crate) fn table(name: &str) -> TableName {
    TableName::new(name).unwrap()
}

/// Tables `hard` and `soft` over `store`, with `clock`.
pub(crate) fn builder(store: Arc<dyn LocalStore>, clock: &Arc<TestClock>) -> TableServerBuilder {
    TableServer::builder(store)
        .table(table("hard"), TableSchema::new())
        .table(table("soft"), Declaration::new().with_soft_delete())
        .clock(Arc::<TestClock>::clone(clock))
}

/// A table whose pages have one record.
pub(crate) fn paged() -> Declaration {
    serde_json::from_value(serde_json::json!({"pageSize": 1})).unwrap()
}

/// A server over a fresh memory store.
pub(crate) async fn server() -> TableServer {
    builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .build()
        .await
        .unwrap()
}

/// A store that yields while it commits, tells what it committed in which order, and lets rivals in between.
#[derive(Debug)]
pub(crate) struct TestStore {
    inner: MemoryStore,
    /// Whether commits take their place with the first poll.
    pub(crate) ordered: bool,
    /// How often a commit yields.
    pub(crate) yields: usize,
    /// Batches that are committed just before the next ones.
    pub(crate) rivals: Mutex<VecDeque<WriteBatch>>,
    /// Fails the next commit.
    pub(crate) fault: Mutex<Option<StoreErrorKind>>,
    /// Does the next commit and then fails all the same.
    pub(crate) late_fault: Mutex<Option<StoreErrorKind>>,
    /// What happens to the next reads by id, one after the other.
    pub(crate) reads: Mutex<VecDeque<Read>>,
    /// The `updatedAt` of each commit that put records into users' tables, in the order of commits. All records of one commit have one.
    pub(crate) log: Mutex<Vec<(TableName, Timestamp)>>,
    /// Fails each commit that puts a record with this text.
    pub(crate) refused: Mutex<Option<String>>,
    /// How many commits were tried.
    pub(crate) tries: AtomicUsize,
    /// How many reads by id were asked for, of however many records.
    pub(crate) gets: AtomicUsize,
    /// Commits wait here for a permit where there is one.
    pub(crate) gate: Option<Semaphore>,
    /// Told when a commit starts.
    pub(crate) started: Notify,
    /// Keeps the next batch back, for ever as far as its caller sees.
    pub(crate) hold_next: AtomicBool,
    held: Mutex<Option<WriteBatch>>,
    under_way: AtomicUsize,
    pub(crate) most_under_way: AtomicUsize,
    /// The threads on which pages were asked for.
    pub(crate) readers: Mutex<Vec<ThreadId>>,
}

/// What happens to a read by id.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Read {
    /// It is answered.
    Answer,
    /// It fails.
    Fail(StoreErrorKind),
    /// It is never answered.
    Hang,
    /// The batch that was kept back is done before it.
    Release,
}

impl TestStore {
    pub(crate) fn new(ordered: bool, yields: usize) -> Arc<Self> {
        Self::with_gate(ordered, yields, None)
    }

    /// A store whose commits wait until they are let through.
    pub(crate) fn gated() -> Arc<Self> {
        Self::with_gate(false, 0, Some(Semaphore::new(0)))
    }

    fn with_gate(ordered: bool, yields: usize, gate: Option<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            gate,
            started: Notify::new(),
            inner: MemoryStore::new(),
            ordered,
            yields,
            rivals: Mutex::default(),
            fault: Mutex::default(),
            late_fault: Mutex::default(),
            reads: Mutex::default(),
            log: Mutex::default(),
            refused: Mutex::default(),
            tries: AtomicUsize::new(0),
            gets: AtomicUsize::new(0),
            hold_next: AtomicBool::new(false),
            held: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            readers: Mutex::default(),
        })
    }

    /// Polls a request until its batch is kept back, then drops it.
    pub(crate) fn hold_and_drop(&self, request: impl Future) {
        self.hold_next.store(true, Ordering::SeqCst);
        let mut request = pin!(request);
        let mut context = Context::from_waker(Waker::noop());
        while self.held.lock().unwrap().is_none() {
            assert!(request.as_mut().poll(&mut context).is_pending());
        }
    }

    /// Does the batch that was kept back.
    pub(crate) async fn release_held(&self) -> Result<Position, StoreError> {
        let batch = self.held.lock().unwrap().take().expect("a batch is held");
        self.commit_now(batch).await
    }

    async fn commit_now(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let rival = self.rivals.lock().unwrap().pop_front();
        if let Some(rival) = rival {
            self.inner.commit(rival).await?;
        }
        if let Some(kind) = self.fault.lock().unwrap().take() {
            return Err(StoreError::new(kind, "disk /dev/secret is broken"));
        }
        self.tries.fetch_add(1, Ordering::SeqCst);
        let puts = batch.writes().iter().filter_map(|write| match write {
            Write::Put { table, record } if !table.is_system() => Some((table, record)),
            _ => None,
        });
        let refused = self.refused.lock().unwrap().clone();
        if refused.is_some_and(|text| {
            puts.clone()
                .any(|(_, record)| record.body().contains(&text))
        }) {
            let kind = StoreErrorKind::Unsupported;
            return Err(StoreError::new(kind, "disk /dev/secret takes no such row"));
        }
        let mut times: Vec<_> = puts
            .map(|(table, record)| (table.clone(), record.updated_at().unwrap()))
            .collect();
        times.dedup();
        let is_one = times.iter().all(|(_, time)| *time == times[0].1);
        assert!(is_one, "one commit, one time: {times:?}");
        let position = self.inner.commit(batch).await?;
        self.log.lock().unwrap().extend(times);
        match self.late_fault.lock().unwrap().take() {
            Some(kind) => Err(StoreError::new(kind, "disk /dev/secret is broken")),
            None => Ok(position),
        }
    }

    async fn pause(&self) {
        for _ in 0..self.yields {
            tokio::task::yield_now().await;
        }
    }
}

/// True for what a server writes when it starts, which is left alone: tests are about what comes then.
fn is_start(batch: &WriteBatch) -> bool {
    let marks = TableName::system("__server_marks");
    batch
        .writes()
        .iter()
        .all(|write| matches!(write, Write::Put { table, .. } if *table == marks))
}

struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl LocalStore for TestStore {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.inner.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.inner.schema().await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        let read = self.reads.lock().unwrap().pop_front();
        match read.unwrap_or(Read::Answer) {
            Read::Answer => {}
            Read::Fail(kind) => return Err(StoreError::new(kind, "disk /dev/secret is broken")),
            Read::Hang => {
                self.started.notify_one();
                std::future::pending::<()>().await;
            }
            Read::Release => {
                self.release_held().await?;
            }
        }
        self.inner.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.readers.lock().unwrap().push(thread::current().id());
        self.inner.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        if is_start(&batch) {
            return self.inner.commit(batch).await;
        }
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        let _guard = UnderWay(&self.under_way);
        self.most_under_way.fetch_max(now, Ordering::SeqCst);
        self.started.notify_one();
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        if self.hold_next.swap(false, Ordering::SeqCst) {
            *self.held.lock().unwrap() = Some(batch);
            std::future::pending().await
        } else if self.ordered {
            let result = self.commit_now(batch).await;
            self.pause().await;
            result
        } else {
            self.pause().await;
            self.commit_now(batch).await
        }
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.inner.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.inner.changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        self.inner.capabilities().with_ordered_commits(self.ordered)
    }
    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.inner.count(table, query).await
    }
}
