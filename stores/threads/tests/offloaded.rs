//! A store on threads of its own: who waits for whom, and what a panic does. Gates and counts, no clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use synctable_core::query::{Direction, Query};
use synctable_core::store::{
    Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, Schema, TableName, TableSchema};
use synctable_kv::{
    Bytes, Job, KvBackend, KvEntries, KvRead, KvStore, KvWrite, Lane, Offload, Offloaded,
};
use synctable_memory::MemoryBackend;
use synctable_stories::{engine_tests, store_tests};
use synctable_testkit::{Harness, async_trait};
use synctable_threads::Threads;

/// Holds a call until it is let go.
#[derive(Debug, Clone)]
struct Gate(Arc<(SyncSender<()>, Mutex<Receiver<()>>)>);

/// The other side of it: who comes there, and letting them go.
struct Keeper {
    arrived: Receiver<()>,
    go: SyncSender<()>,
}

fn gate() -> (Gate, Keeper) {
    let (arrive, arrived) = sync_channel(100);
    let (go, gone) = sync_channel(100);
    (
        Gate(Arc::new((arrive, Mutex::new(gone)))),
        Keeper { arrived, go },
    )
}

impl Gate {
    fn pass(&self) {
        self.0.0.send(()).unwrap();
        self.0.1.lock().unwrap().recv().unwrap();
    }
}

/// A map in memory whose scans, and whose transactions, wait at a gate where there is one.
#[derive(Debug, Default)]
struct Slow {
    map: MemoryBackend,
    scans: Option<Gate>,
    writes: Mutex<Option<Gate>>,
    panics: Arc<AtomicBool>,
}

#[derive(Debug)]
struct View<'a>(Box<dyn KvRead + 'a>, &'a Slow);

impl KvBackend for Slow {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        Ok(Box::new(View(self.map.snapshot()?, self)))
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let gate = self.writes.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.pass();
        }
        self.map.begin_write(durability)
    }
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl KvRead for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        assert!(!self.1.panics.load(Ordering::SeqCst), "planted");
        self.0.get(key)
    }
    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        let records = keys.start.starts_with(&[2]);
        if let Some(gate) = self.1.scans.as_ref().filter(|_| records) {
            gate.pass();
        }
        self.0.entries(keys, direction)
    }
}

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

fn put(id: &str) -> WriteBatch {
    let record = Record::from_json(&format!(r#"{{"id":"{id}"}}"#)).unwrap();
    WriteBatch::new().put(&todo(), record)
}

/// A store over a map that holds the record `a`.
async fn store(slow: Slow) -> (Arc<Offloaded<Slow>>, Arc<Threads>) {
    let plain = KvStore::open(slow.map.clone()).unwrap();
    plain
        .define(&Schema::new().with_table(todo(), TableSchema::new()))
        .await
        .unwrap();
    plain.commit(put("a")).await.unwrap();
    let threads = Arc::new(Threads::new());
    let store = Offloaded::new(KvStore::open(slow).unwrap(), Arc::clone(&threads) as _);
    (Arc::new(store), threads)
}

async fn holds(store: &Offloaded<Slow>, id: &str) -> bool {
    let id = id.parse().unwrap();
    store.get_one(&todo(), &id).await.unwrap().is_some()
}

#[tokio::test]
async fn a_read_does_not_wait_behind_scans() {
    let (gate, keeper) = gate();
    let (store, _) = store(Slow {
        scans: Some(gate),
        ..Slow::default()
    })
    .await;
    let scans: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.query(&todo(), &Query::all()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    for _ in 0..20 {
        keeper.arrived.recv().unwrap();
    }
    assert!(
        holds(&store, "a").await,
        "twenty scans are held, and a read answers"
    );
    for _ in 0..20 {
        keeper.go.send(()).unwrap();
    }
    for scan in scans {
        assert_eq!(scan.await.unwrap().unwrap().records.len(), 1);
    }
}

#[tokio::test]
async fn a_read_does_not_wait_behind_commits() {
    let (gate, keeper) = gate();
    let (store, threads) = store(Slow {
        writes: Mutex::new(Some(gate)),
        ..Slow::default()
    })
    .await;
    let commits: Vec<_> = ["b", "c", "d"]
        .map(|id| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(put(id)).await })
        })
        .into();
    tokio::task::yield_now().await;
    keeper.arrived.recv().unwrap();
    assert!(
        holds(&store, "a").await,
        "commits are held, and a read answers"
    );
    assert!(!holds(&store, "b").await);
    assert!(
        keeper.arrived.try_recv().is_err(),
        "commits are done one by one"
    );
    // One for the commits, and one for each of the reads at most.
    assert!(threads.count() <= 3, "{}", threads.count());
    for _ in 0..3 {
        keeper.go.send(()).unwrap();
    }
    for commit in commits {
        commit.await.unwrap().unwrap();
    }
    assert!(holds(&store, "d").await);
}

/// What was polled once is done; what was not, is not.
#[tokio::test]
async fn a_dropped_commit_is_done_to_its_end() {
    let (gate, keeper) = gate();
    let slow = Slow {
        writes: Mutex::new(Some(gate)),
        ..Slow::default()
    };
    let map = slow.map.clone();
    let (store, _) = store(slow).await;
    drop(store.commit(put("never")));
    {
        let mut commit = pin!(store.commit(put("b")));
        let mut context = Context::from_waker(Waker::noop());
        assert!(commit.as_mut().poll(&mut context).is_pending());
    }
    keeper.arrived.recv().unwrap();
    keeper.go.send(()).unwrap();
    // Dropping the store waits for it.
    drop(store);
    let after = KvStore::open(map).unwrap();
    let all = after.query_all(&todo(), &Query::all()).await.unwrap();
    let ids: Vec<_> = all.iter().map(|record| record.id().as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_call_and_of_later_ones() {
    let panics = Arc::new(AtomicBool::new(false));
    let (store, _) = store(Slow {
        panics: Arc::clone(&panics),
        ..Slow::default()
    })
    .await;
    assert!(holds(&store, "a").await);
    panics.store(true, Ordering::SeqCst);
    let a = "a".parse().unwrap();
    let error = store.get_one(&todo(), &a).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Other);
    panics.store(false, Ordering::SeqCst);
    let error = store.get_one(&todo(), &a).await.unwrap_err();
    assert!(error.to_string().contains("panic"), "{error}");
    let error = store.commit(put("b")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unknown);
}

/// It takes jobs and lets them go.
#[derive(Debug, Default)]
struct Nowhere(AtomicUsize);

impl Offload for Nowhere {
    fn run(&self, _: Lane, job: Job) {
        self.0.fetch_add(1, Ordering::SeqCst);
        drop(job);
    }
}

#[tokio::test]
async fn a_job_that_is_not_run_is_an_error() {
    let nowhere = Arc::new(Nowhere::default());
    let store = Offloaded::new(
        KvStore::open(MemoryBackend::new()).unwrap(),
        Arc::clone(&nowhere) as _,
    );
    let error = store.define(&Schema::new()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unknown);
    assert_eq!(nowhere.0.load(Ordering::SeqCst), 1);
}

/// Threads end with what they are for, and no more than a few wait.
#[test]
fn a_job_that_panics_takes_no_thread_with_it() {
    let threads = Threads::new();
    let (done, told) = sync_channel(1);
    threads.run(Lane::Commit, Box::new(|| panic!("planted")));
    threads.run(Lane::Commit, Box::new(move || done.send(()).unwrap()));
    told.recv().unwrap();
    assert_eq!(threads.count(), 1);
}

#[derive(Default)]
struct OnThreads;

#[async_trait]
impl Harness for OnThreads {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        let store = KvStore::open(MemoryBackend::new())?;
        Ok(Arc::new(Offloaded::new(store, Arc::new(Threads::new()))))
    }
}

mod kit {
    use super::*;

    store_tests!(OnThreads; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change);
}

mod engine {
    use super::*;

    engine_tests!(OnThreads);
}

/// However many reads are asked for, 128 threads do them, and all are done.
#[test]
fn reads_take_no_more_than_so_many_threads() {
    let threads = Threads::new();
    let (told, heard) = std::sync::mpsc::channel();
    let gate = Arc::new(std::sync::Barrier::new(128));
    for number in 0..256 {
        let (told, gate) = (told.clone(), Arc::clone(&gate));
        threads.run(
            Lane::Read,
            Box::new(move || {
                // Each waits until 128 of them run.
                gate.wait();
                told.send(number).unwrap();
            }),
        );
    }
    assert!(threads.count() <= 128, "{} threads", threads.count());
    drop(told);
    let mut done: Vec<i32> = heard.iter().collect();
    done.sort_unstable();
    assert_eq!(done, (0..256).collect::<Vec<_>>());
    assert!(threads.count() <= 128, "{} threads", threads.count());
}
