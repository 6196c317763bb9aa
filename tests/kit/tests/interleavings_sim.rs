//! Every short interleaving of what two clients do with one record: edits, requests and answers of pushes, lost answers, pulls.
//! Whatever the order, in the end all are equal and each edit counts once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use synctable_core::query::{Query, RemoteQuery};
use synctable_core::store::LocalStoreExt;
use synctable_core::sync::{ConflictPolicy, ParkedOperation, Resolution, SyncContext, SyncTable};
use synctable_core::transport::{
    BatchAnswer, Change, ChangeFeed, Outcome, PageCursor, RemotePage, Transport,
    TransportCapabilities, TransportError, TransportErrorKind,
};
use synctable_core::{
    Declaration, Declarations, Draft, Error, MergeRule, Record, RecordId, Sleep, TableName,
};
use synctable_memory::MemoryStore;
use synctable_testkit::engine::TestServer;

/// The longest interleaving, unless `SYNCTABLE_LONGEST` says another length.
const LONGEST: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Edit,
    /// A push begins: its first change is done at the server, and the answer is on its way.
    Request,
    /// The answer arrives, and the push goes on.
    Answer,
    /// The answer is lost, and the push ends.
    Loss,
    Pull,
}

type Word = Vec<(usize, Step)>;

#[derive(Debug, Clone, Copy)]
struct Variant {
    operation_ids: bool,
    /// The record is at the server and at both clients at the start.
    exists: bool,
    parks: bool,
}

/// Where an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// An answer waits for what becomes of it.
    Waiting,
    Arrives,
    Lost,
}

/// The modelled server, with a gate through which each answer to a change has to pass.
#[derive(Debug)]
struct Gated {
    server: TestServer,
    gate: Arc<Mutex<Gate>>,
    calm: Arc<Mutex<bool>>,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Transport for Gated {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let answer = self.server.apply(table, change).await;
        if *self.calm.lock().unwrap() {
            return answer;
        }
        *self.gate.lock().unwrap() = Gate::Waiting;
        let passed = poll_fn(|context| match *self.gate.lock().unwrap() {
            Gate::Open | Gate::Waiting => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            passed => Poll::Ready(passed),
        });
        let passed = passed.await;
        *self.gate.lock().unwrap() = Gate::Open;
        if passed == Gate::Lost {
            let message = "the answer is lost";
            return Err(TransportError::new(TransportErrorKind::Timeout, message));
        }
        answer
    }

    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        // The server announces that it takes one at a time.
        self.server.apply_all(changes).await
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        self.server.get(table, id).await
    }

    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        self.server.page(table, query, cursor).await
    }

    fn feed(&self, _: &TableName) -> Option<&dyn ChangeFeed> {
        // The simulated servers are table servers.
        None
    }

    fn capabilities(&self) -> TransportCapabilities {
        self.server.capabilities()
    }

    fn address(&self) -> Option<String> {
        self.server.address()
    }

    /// The histories here are those of one user.
    fn for_account(&self, _account: &str) -> Option<Arc<dyn Transport>> {
        None
    }

    fn begin_push(&self) {
        self.server.begin_push();
    }

    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        self.server.renew_credentials().await
    }

    fn sleep(&self) -> Option<Arc<dyn Sleep>> {
        self.server.sleep()
    }
}

struct Client {
    store: Arc<MemoryStore>,
    sync: SyncContext,
    rows: SyncTable<Value>,
    gate: Arc<Mutex<Gate>>,
    calm: Arc<Mutex<bool>>,
    /// A push whose answer is on its way.
    push: Option<BoxFuture<'static, ()>>,
}

fn table() -> TableName {
    TableName::new("t").unwrap()
}

/// Polls to the end, or until `enough`.
fn drive<T>(
    future: &mut (impl Future<Output = T> + Unpin),
    enough: impl Fn() -> bool,
) -> Option<T> {
    for _ in 0..10_000 {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = Pin::new(&mut *future).poll(&mut context) {
            return Some(value);
        }
        if enough() {
            return None;
        }
    }
    panic!("it does not end");
}

fn finish<T>(future: impl Future<Output = T>) -> T {
    drive(&mut Box::pin(future), || false).unwrap()
}

impl Client {
    fn new(server: &TestServer, variant: Variant) -> Self {
        let (gate, calm) = (Arc::new(Mutex::new(Gate::Open)), Arc::default());
        let gated = Gated {
            server: server.clone(),
            gate: Arc::clone(&gate),
            calm: Arc::clone(&calm),
        };
        let counted = Declaration::new()
            .with_merge("n", MergeRule::Counter)
            .with_merge("log", MergeRule::Set);
        let policy = if variant.parks {
            ConflictPolicy::Park
        } else {
            ConflictPolicy::Merge
        };
        let store = Arc::new(MemoryStore::new());
        let sync = SyncContext::builder(Arc::<MemoryStore>::clone(&store))
            .transport(gated)
            .schema(Declarations::new().with_table(table(), counted))
            .conflicts(policy);
        let sync = finish(sync.open()).unwrap();
        let rows = sync.table::<Value>("t").unwrap();
        let client = Self {
            store,
            sync,
            rows,
            gate,
            calm,
            push: None,
        };
        client.pull();
        client
    }

    fn pull(&self) {
        let pull = self.rows.pull(Query::all(), "all").without_push();
        finish(pull.into_future()).unwrap();
    }

    fn edit(&self, tag: &str) {
        finish(async {
            let own = tag.to_owned();
            let edit = move |row: Value| {
                let mut log = row["log"].as_array().cloned().unwrap_or_default();
                log.push(own.clone().into());
                json!({"n": row["n"].as_i64().unwrap_or(0) + 1, "log": log})
            };
            match self.rows.modify("a", edit).await {
                Err(Error::NotFound { .. }) => {
                    let new = json!({"id": "a", "n": 1, "log": [tag]});
                    self.rows.insert(&new).await.map(drop).unwrap();
                }
                done => drop(done.unwrap()),
            }
        });
    }

    /// The push goes on to its next answer, or its end.
    fn go_on(&mut self) {
        let Some(push) = &mut self.push else { return };
        let gate = Arc::clone(&self.gate);
        if drive(push, || *gate.lock().unwrap() == Gate::Waiting).is_some() {
            self.push = None;
        }
    }

    fn take(&mut self, step: Step, tag: &str) {
        match step {
            Step::Edit => self.edit(tag),
            Step::Pull => self.pull(),
            Step::Request => {
                let sync = self.sync.clone();
                self.push = Some(async move { drop(sync.push().await) }.boxed());
                self.go_on();
            }
            Step::Answer | Step::Loss => {
                let passed = match step {
                    Step::Answer => Gate::Arrives,
                    _ => Gate::Lost,
                };
                *self.gate.lock().unwrap() = passed;
                self.go_on();
            }
        }
    }

    /// What can happen next.
    fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::Edit];
        if self.push.is_some() {
            // A pull would wait for the push.
            steps.extend([Step::Answer, Step::Loss]);
        } else {
            steps.push(Step::Pull);
            if finish(self.sync.pending_count()).unwrap() > 0 {
                steps.push(Step::Request);
            }
        }
        steps
    }

    /// Nothing goes wrong any more: what is under way ends, then push, decide, pull.
    fn settle(&mut self) {
        *self.calm.lock().unwrap() = true;
        while self.push.is_some() {
            *self.gate.lock().unwrap() = Gate::Arrives;
            self.go_on();
        }
        finish(async {
            for operation in self.sync.pending().await.unwrap() {
                if operation.aside.is_some() {
                    self.sync.retry(operation.seq).await.unwrap();
                }
            }
            self.sync.push().await.unwrap();
            for parked in self.sync.conflicts().await.unwrap() {
                match self.sync.resolve_parked(&parked, Resolution::Merge).await {
                    Err(Error::CannotMerge { .. }) => {
                        assert!(parked.operation.unsure, "rules decide: {parked:?}");
                        let counted = Resolution::With(counted(&parked));
                        drop(self.sync.resolve_parked(&parked, counted).await.unwrap());
                    }
                    done => drop(done.unwrap()),
                }
            }
            self.sync.push().await.unwrap();
        });
        self.pull();
    }
}

/// Both logs together, and as many changes as they name: what a user does where nobody can tell whether a change is in.
fn counted(parked: &ParkedOperation) -> Draft {
    let sides = [&parked.conflict.server, &parked.conflict.local];
    let logs = sides
        .into_iter()
        .flatten()
        .filter_map(|side| side.member("log"));
    let tags: BTreeSet<String> = logs
        .flat_map(|log| serde_json::from_value::<Vec<String>>(log).unwrap())
        .collect();
    Draft::from_serialize(&json!({"n": tags.len(), "log": tags})).unwrap()
}

/// Runs a word to its end and demands what has to be true; what could have come next.
fn run(word: &Word, variant: Variant) -> Vec<(usize, Step)> {
    let server = TestServer::new();
    server.configure(|options| options.operation_ids = variant.operation_ids);
    if variant.exists {
        let row = r#"{"id":"a","n":0,"log":[]}"#;
        server.put(&table(), &Record::from_json(row).unwrap());
    }
    let mut clients = [0, 1].map(|_| Client::new(&server, variant));
    let mut tags = BTreeSet::new();
    for (at, (number, step)) in word.iter().enumerate() {
        let tag = format!("t{at}");
        clients[*number].take(*step, &tag);
        if *step == Step::Edit {
            tags.insert(tag);
        }
    }
    let next = clients
        .iter()
        .enumerate()
        .flat_map(|(number, client)| client.steps().into_iter().map(move |step| (number, step)))
        .collect();
    for _ in 0..3 {
        for client in &mut clients {
            client.settle();
        }
    }
    let rows = server.live(&table());
    for client in &clients {
        assert_eq!(
            finish(client.sync.pending_count()).unwrap(),
            0,
            "{word:?} {variant:?}"
        );
        let here = finish(client.store.query_all(&table(), &Query::all())).unwrap();
        assert_eq!(here, rows, "{word:?} {variant:?}");
    }
    let counted = rows
        .first()
        .map_or(Some(0), |row| row.member("n")?.as_u64());
    assert_eq!(
        counted,
        Some(tags.len() as u64),
        "{word:?} {variant:?}: {rows:?}"
    );
    let log = rows.first().and_then(|row| row.member("log"));
    let mut log: Vec<String> = serde_json::from_value(log.unwrap_or(json!([]))).unwrap();
    log.sort_unstable();
    assert!(log.iter().eq(&tags), "{word:?} {variant:?}: {rows:?}");
    assert_eq!(server.violations(), [""; 0], "{word:?} {variant:?}");
    next
}

/// All words that begin with `word`; how many there are.
fn explore(word: &mut Word, longest: usize, variant: Variant) -> u64 {
    let mut count = 1;
    let next = run(word, variant);
    if word.len() < longest {
        for step in next {
            // The clients are alike: the first step is the first one's.
            if !word.is_empty() || step.0 == 0 {
                word.push(step);
                count += explore(word, longest, variant);
                word.pop();
            }
        }
    }
    count
}

/// Explores from both starts, and demands that so many interleavings of up to 5 steps were there.
fn check(operation_ids: bool, parks: bool, expected: u64) {
    let text = std::env::var("SYNCTABLE_LONGEST").ok();
    let longest = text.map_or(LONGEST, |text| text.parse().expect("a length"));
    let counts = [true, false].map(|exists| {
        let variant = Variant {
            operation_ids,
            exists,
            parks,
        };
        explore(&mut Vec::new(), longest, variant)
    });
    println!("up to {longest} steps: {counts:?} interleavings");
    if longest == LONGEST {
        assert_eq!(counts, [expected; 2]);
    }
}

#[test]
fn every_interleaving_ends_equal_at_a_plain_server() {
    check(false, false, 1_498);
}

#[test]
fn every_interleaving_ends_equal_at_a_server_that_knows_repeats() {
    check(true, false, 1_497);
}

#[test]
fn every_interleaving_ends_equal_where_conflicts_are_parked() {
    check(false, true, 1_498);
}
