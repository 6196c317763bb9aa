//! Two processes that push one store: one at a time, and no longer than it lives.
//!
//! The child is this test binary once more. Its requests go through this process, which has the server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::env;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use synctable_core::query::RemoteQuery;
use synctable_core::sync::SyncContext;
use synctable_core::transport::{
    Change, ChangeKind, Outcome, PageCursor, RemotePage, Transport, TransportError,
    TransportErrorKind,
};
use synctable_core::{Clock, Error, Record, RecordId, SystemClock, TableName, Timestamp};
use synctable_sqlite::SqliteStore;
use synctable_testkit::async_trait;
use synctable_testkit::engine::TestServer;
use tempfile::TempDir;

const STORE: &str = "SYNCTABLE_TEST_STORE";
const IDS: [&str; 3] = ["a", "b", "c"];

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

/// The machine's clock, some milliseconds later.
#[derive(Debug, Clone, Default)]
struct Later(Arc<AtomicI64>);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_millis(self.0.load(Ordering::SeqCst))
    }
}

async fn context(path: &Path, server: impl Transport, clock: &Later) -> SyncContext {
    let store = Arc::new(SqliteStore::open(path).unwrap());
    let builder = SyncContext::builder(store).transport(server);
    builder.clock(clock.clone()).open().await.unwrap()
}

fn is_refused(outcome: &Result<impl Sized, Error>) -> bool {
    matches!(outcome, Err(Error::PushStopped { source, .. }) if matches!(**source, Error::AnotherPusher))
}

/// The child's way to the server: each request is a line of its output, each answer one of its input. An answer says how long
/// it took, too.
#[derive(Debug)]
struct Pipe(Later);

#[async_trait]
impl Transport for Pipe {
    async fn apply(&self, _: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let record = change.record.as_ref().expect("the story has inserts only");
        println!("insert {}", record.to_json());
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).unwrap();
        let (took, record) = answer.split_once(' ').unwrap();
        self.0.0.fetch_add(took.parse().unwrap(), Ordering::SeqCst);
        Ok(Outcome::Applied(Some(Record::from_json(record).unwrap())))
    }
    async fn get(&self, _: &TableName, _: &RecordId) -> Result<Option<Record>, TransportError> {
        Err(TransportError::new(
            TransportErrorKind::Protocol,
            "not asked in this story",
        ))
    }
    async fn page(
        &self,
        _: &TableName,
        _: &RemoteQuery,
        _: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        Err(TransportError::new(
            TransportErrorKind::Protocol,
            "not asked in this story",
        ))
    }
}

#[tokio::test]
#[ignore = "the child of the other tests"]
async fn pushes() {
    let Some(path) = env::var_os(STORE) else {
        return;
    };
    let clock = Later::default();
    let sync = context(Path::new(&path), Pipe(clock.clone()), &clock).await;
    let outcome = sync.push().await;
    println!("refused {}", is_refused(&outcome));
}

/// A process that pushes, and what it says.
struct Pusher {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Pusher {
    fn start(path: &Path) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["pushes", "--exact", "--nocapture", "--ignored"])
            .env(STORE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// What follows `word` in the next line with it; the test harness writes lines of its own.
    fn says(&mut self, word: &str) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once(word)?;
            Some(rest.to_owned())
        })
    }

    /// Takes the next request to the server. The answer is what the server says.
    async fn request(&mut self, server: &TestServer) -> Record {
        let record = self.says("insert ").expect("a request");
        let record = Record::from_json(&record).unwrap();
        let mut change = Change::new(ChangeKind::Insert, record.id().clone());
        change.record = Some(record);
        match server.apply(&todo(), &change).await.unwrap() {
            Outcome::Applied(Some(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, took: i64, record: &Record) {
        let input = self.process.stdin.as_mut().unwrap();
        writeln!(input, "{took} {}", record.to_json()).unwrap();
    }
}

/// A store with some new records, and its server.
async fn story() -> (TempDir, std::path::PathBuf, TestServer) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let server = TestServer::new();
    let sync = context(&path, server.clone(), &Later::default()).await;
    for id in IDS {
        let new = json!({"id": id, "n": 1});
        sync.table::<Value>("todo")
            .unwrap()
            .insert(&new)
            .await
            .unwrap();
    }
    (folder, path, server)
}

async fn is_in_sync(sync: &SyncContext, server: &TestServer) {
    assert_eq!(sync.push().await.unwrap().pending, 0);
    for id in IDS {
        assert_eq!(server.effects(&todo(), id), 1, "{id}");
        let local = sync.table::<Record>("todo").unwrap().get(id).await.unwrap();
        assert_eq!(local, server.row(&todo(), id));
    }
    assert_eq!(sync.verify().await.unwrap(), []);
}

#[tokio::test]
async fn while_a_process_pushes_another_is_told_so_and_takes_over_once_it_is_killed() {
    let (_folder, path, server) = story().await;
    let sync = context(&path, server.clone(), &Later::default()).await;
    let mut child = Pusher::start(&path);
    child.request(&server).await;
    assert!(is_refused(&sync.push().await));
    assert_eq!(server.changes().len(), 1, "nothing was sent");
    child.process.kill().unwrap();
    child.process.wait().unwrap();
    // At once: the clock has not moved.
    assert_eq!(sync.push().await.unwrap().pushed, 3);
    is_in_sync(&sync, &server).await;
}

#[tokio::test]
async fn a_process_that_hangs_for_a_minute_is_deposed_and_stops() {
    let (_folder, path, server) = story().await;
    let mut child = Pusher::start(&path);
    let answer = child.request(&server).await;
    let clock = Later::default();
    let later = context(&path, server.clone(), &clock).await;
    clock.0.fetch_add(50_000, Ordering::SeqCst);
    assert!(is_refused(&later.push().await));
    clock.0.fetch_add(10_000, Ordering::SeqCst);
    assert_eq!(later.push().await.unwrap().pushed, 3);
    let edit = json!({"n": 2});
    let todo = later.table::<Value>("todo").unwrap();
    todo.update("a", &edit).await.unwrap();
    // The child goes on: it stores nothing of this, and sends nothing more.
    child.answer(60_000, &answer);
    assert_eq!(child.says("refused ").as_deref(), Some("true"));
    assert!(child.process.wait().unwrap().success());
    assert_eq!(todo.get("a").await.unwrap().unwrap()["n"], 2);
    let pending = later.pending().await.unwrap();
    assert_eq!(pending.len(), 1);
    later.cancel(pending[0].seq).await.unwrap();
    is_in_sync(&later, &server).await;
}
