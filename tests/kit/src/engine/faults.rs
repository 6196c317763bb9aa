//! Every call of the store fails in turn, over a story of edits, pushes, pulls, conflicts and purges: what is left holds
//! together, and the story ends as it does without a fault.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStore, StoreErrorKind};
use synctable_core::sync::{Purge, Resolution, SyncContext};
use synctable_core::{Clock, Draft, Error, Timestamp};

use super::TestServer;
use super::device::{Device, number, todo};
use super::faulty::{Fault, Faulty, How};
use crate::Place;
use crate::fixture::{Store, all};

/// What a store may say for reasons of its own.
const KINDS: [StoreErrorKind; 10] = [
    StoreErrorKind::Io,
    StoreErrorKind::Full,
    StoreErrorKind::Permission,
    StoreErrorKind::Locked,
    StoreErrorKind::Corrupt,
    StoreErrorKind::Tampered,
    StoreErrorKind::CheckFailed,
    StoreErrorKind::Closed,
    StoreErrorKind::Unsupported,
    StoreErrorKind::Other,
];
/// The sum of the numbers at the end of the story.
const SUM: i64 = 15 + 26 + 9 + 12;
/// Longer than the lease of a push outlives its owner.
const LATER: i64 = 120_000;

/// One thing that happens. Whatever fails is done again until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Insert(&'static str, i64),
    /// Two new records in one transaction.
    InsertBoth(&'static str, &'static str),
    Set(&'static str, i64),
    Delete(&'static str),
    Push,
    Pull,
    PullInFull,
    /// As another named pull, of the smaller numbers alone.
    PullBelow(i64),
    Audit,
    /// Drops what waits on a record.
    Cancel(&'static str),
    /// Ends the conflict of a record with this number.
    Resolve(&'static str, i64),
    PurgeIsRefused,
    Purge,
    /// Someone else sets a number at the server.
    Other(&'static str, i64),
    /// Someone else deletes a row.
    OtherDrops(&'static str),
}

const STORY: [Step; 34] = [
    Step::Insert("a", 1),
    Step::InsertBoth("b", "c"),
    Step::Set("a", 2),
    Step::Push,
    Step::Other("a", 10),
    Step::Other("d", 4),
    Step::Set("a", 5),
    Step::Set("c", 6),
    Step::Delete("b"),
    // The server's row of `a` is kept with the operation.
    Step::Pull,
    Step::Other("c", 20),
    Step::Push,
    Step::Resolve("a", 15),
    Step::Resolve("c", 26),
    Step::Push,
    Step::Insert("e", 7),
    Step::Set("d", 8),
    Step::Cancel("e"),
    Step::Cancel("d"),
    Step::OtherDrops("d"),
    Step::Pull,
    Step::Insert("f", 9),
    Step::PurgeIsRefused,
    Step::Push,
    Step::Purge,
    Step::Insert("g", 11),
    Step::Push,
    Step::PullInFull,
    Step::Set("g", 12),
    Step::Push,
    Step::Audit,
    Step::PullBelow(100),
    Step::PullBelow(15),
    Step::Pull,
];

/// How a story ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ending {
    rows: Vec<(String, i64)>,
    /// How often the client's changes had an effect at the server.
    effects: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default)]
struct Watch(Arc<AtomicI64>);

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + self.0.load(Ordering::SeqCst))
    }
}

/// A program over a store that fails.
struct Teller {
    place: Box<dyn Place>,
    server: TestServer,
    watch: Watch,
    /// Only away while it is opened again.
    store: Option<Arc<Faulty>>,
    sync: Option<SyncContext>,
}

impl Teller {
    async fn new(harness: &dyn Place, fault: Option<Fault>) -> Self {
        let place = harness.another();
        let store = place.open().await.expect("the store opens");
        Self {
            place,
            server: TestServer::new(),
            watch: Watch::default(),
            store: Some(Faulty::new(store, fault)),
            sync: None,
        }
    }

    fn store(&self) -> &Arc<Faulty> {
        self.store.as_ref().expect("the store is open")
    }

    /// The program as it runs, or as it starts.
    async fn program(&mut self) -> Result<SyncContext, Error> {
        if let Some(sync) = &self.sync {
            return Ok(sync.clone());
        }
        let builder = SyncContext::builder(Arc::clone(self.store()) as Store)
            .transport(self.server.clone())
            .clock(self.watch.clone())
            .pull_page(2);
        let sync = builder.open().await?;
        self.sync = Some(sync.clone());
        Ok(sync)
    }

    /// The program ends and starts over what is stored; nothing fails any more.
    async fn reopen(&mut self) {
        self.sync = None;
        self.watch.0.fetch_add(LATER, Ordering::SeqCst);
        let mut store = self.store().sound();
        self.store = None;
        if store.capabilities().persistent {
            store.close().await.expect("the store closes");
            drop(store);
            store = self.place.reopen().await.expect("the store opens again");
        }
        self.store = Some(Faulty::new(store, None));
    }

    async fn step(&mut self, step: Step, again: bool) -> Result<(), Error> {
        let sync = self.program().await?;
        run(&sync, &self.server, step, again).await
    }

    /// What is stored holds together.
    async fn is_sound(&self, what: &str) {
        let builder = SyncContext::builder(self.store().sound());
        let sync = builder.open().await.expect("the context opens");
        let findings = sync.verify().await.expect("the store is read");
        assert!(findings.is_empty(), "{what}: {findings:?}");
    }

    async fn ending(&mut self, what: &str) -> Ending {
        let sync = self.program().await.expect("the context opens");
        assert_eq!(
            sync.pending_count().await.expect("the queue is counted"),
            0,
            "{what}"
        );
        self.is_sound(what).await;
        let local = all(&self.store().sound(), &todo()).await;
        assert_eq!(local, self.server.live(&todo()), "{what}");
        assert_eq!(self.server.violations(), [""; 0], "{what}");
        let effects = ["a", "b", "c", "d", "e", "f", "g"]
            .into_iter()
            .map(|id| (id.to_owned(), self.server.effects(&todo(), id)));
        Ending {
            rows: local
                .iter()
                .map(|row| (row.id().as_str().to_owned(), number(row)))
                .collect(),
            effects: effects.collect(),
        }
    }
}

async fn run(
    sync: &SyncContext,
    server: &TestServer,
    step: Step,
    again: bool,
) -> Result<(), Error> {
    let table = sync.table::<Value>("todo")?;
    let new = |id: &str, n: i64| json!({"id": id, "n": n});
    let queued = async |id: &str| {
        let pending = sync.pending().await?;
        let of_it = pending.into_iter().find(|o| o.id.as_str() == id);
        Ok::<_, Error>(of_it.map(|operation| operation.seq))
    };
    // Done already, by an attempt whose answer was an error.
    let done = |outcome: Result<(), Error>| match outcome {
        Err(Error::AlreadyExists { .. } | Error::NotFound { .. }) if again => Ok(()),
        outcome => outcome,
    };
    match step {
        Step::Insert(id, n) => done(table.insert(&new(id, n)).await.map(drop)),
        Step::InsertBoth(one, other) => {
            let (one, other) = (new(one, 3), new(other, 3));
            let mut transaction = sync.transaction();
            transaction.insert(&table, &one)?;
            transaction.insert(&table, &other)?;
            done(transaction.commit().await.map(drop))
        }
        Step::Set(id, n) => table.update(id, &json!({ "n": n })).await.map(drop),
        Step::Delete(id) => done(table.delete(id).await),
        Step::Push => sync.push().await.map(drop),
        Step::Pull => table
            .pull(Query::all(), "all")
            .without_push()
            .await
            .map(drop),
        Step::PullInFull => table.pull_full(Query::all()).await.map(drop),
        Step::PullBelow(n) => {
            let query = Query::all().filter(field("n").lt(n));
            table.pull(query, "some").without_push().await.map(drop)
        }
        Step::Audit => table.audit(Query::all()).await.map(drop),
        Step::Cancel(id) => match queued(id).await? {
            Some(seq) => sync.cancel(seq).await.map(drop),
            None if again => Ok(()),
            None => panic!("{id} is queued"),
        },
        Step::Resolve(id, n) => {
            let with = Draft::from_serialize(&new(id, n)).expect("an object is a draft");
            let Some(seq) = queued(id).await? else {
                panic!("{id} is queued");
            };
            match sync.resolve(seq, Resolution::With(with)).await {
                Err(Error::NotInConflict { .. }) if again => Ok(()),
                outcome => outcome.map(drop),
            }
        }
        Step::PurgeIsRefused => match table.purge(Purge::all()).await {
            Err(Error::PendingOperations { count: 1, .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(report) => panic!("purged: {report:?}"),
        },
        Step::Purge => table.purge(Purge::all()).await.map(drop),
        Step::Other(id, n) => {
            server.set(id, n);
            Ok(())
        }
        Step::OtherDrops(id) => {
            server.drop_row(id);
            Ok(())
        }
    }
}

/// Tells the story. After a failed step the store is opened again if `reopens`, what is stored is looked at, and the step is done again.
async fn tell(harness: &dyn Place, fault: Option<Fault>, reopens: bool) -> (Ending, bool) {
    let mut teller = Teller::new(harness, fault).await;
    let mut hit = false;
    for step in STORY {
        let what = format!("{fault:?} {step:?}");
        let mut again = false;
        while let Err(error) = teller.step(step, again).await {
            assert!(is_explained(&error, fault), "{what}: {error:?}");
            assert!(teller.store().is_hit(), "{what} fails by itself: {error:?}");
            assert!(!again || !reopens, "{what} fails once more: {error:?}");
            teller.is_sound(&what).await;
            if reopens {
                hit = true;
                teller.reopen().await;
                teller.is_sound(&what).await;
            }
            again = true;
        }
    }
    let what = format!("{fault:?} at the end");
    hit |= teller.store().is_hit();
    teller.reopen().await;
    (teller.ending(&what).await, hit)
}

fn is_explained(error: &Error, fault: Option<Fault>) -> bool {
    match error {
        Error::Store(error) => fault.is_some_and(|fault| {
            let checked = fault.kind == StoreErrorKind::CheckFailed;
            error.kind() == fault.kind || checked && error.kind() == StoreErrorKind::Io
        }),
        Error::Contended => fault.is_some_and(|fault| fault.kind == StoreErrorKind::CheckFailed),
        Error::PushStopped { source, .. } => is_explained(source, fault),
        _ => false,
    }
}

/// In how many ways a call fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    /// In one, and its neighbour in the next.
    InTurn,
    Every,
}

/// Tells the story with a fault at each call in turn, until it ends without one, and compares the endings.
async fn sweep(
    harness: &dyn Place,
    (kinds, ways): (&[StoreErrorKind], Ways),
    how: How,
    reopens: bool,
) {
    let (expected, hit) = tell(harness, None, reopens).await;
    assert!(!hit);
    assert_eq!(expected.rows.iter().map(|(_, n)| n).sum::<i64>(), SUM);
    let mut points = 0;
    for at in 0.. {
        let mut met = false;
        for (place, kind) in kinds.iter().enumerate() {
            if ways == Ways::InTurn && place != at % kinds.len() {
                continue;
            }
            let fault = Fault {
                at,
                kind: *kind,
                how,
            };
            let (ending, hit) = tell(harness, Some(fault), reopens).await;
            assert_eq!(ending, expected, "{fault:?}");
            points += usize::from(hit);
            met |= hit;
        }
        if !met {
            break;
        }
    }
    assert!(points > 40, "only {points} calls failed");
    eprintln!("{points} faults: {how:?}, opened again: {reopens}");
}

/// A call that fails once leaves nothing half done, and the same context goes on with the step that failed.
pub async fn a_call_that_fails_once_disturbs_nothing(harness: &dyn Place) {
    sweep(harness, (&KINDS, Ways::InTurn), How::Once, false).await;
}

/// A store that fails from some call on holds together when it is opened again, and the story ends as if nothing had been.
pub async fn a_store_that_fails_is_whole_when_opened_again(harness: &dyn Place) {
    sweep(harness, (&KINDS, Ways::InTurn), How::FromThen, true).await;
}

/// One of both, where each call fails in every way: that takes long, and what comes of it depends on the engine alone, so that one store is enough.
pub async fn each_call_fails_in_every_way(harness: &dyn Place, reopens: bool) {
    let how = if reopens { How::FromThen } else { How::Once };
    sweep(harness, (&KINDS, Ways::Every), how, reopens).await;
}

/// The same where it can still be read: the disk is full, or the file may not be written any more.
pub async fn a_store_that_takes_no_writes_loses_nothing(harness: &dyn Place) {
    let kinds = [StoreErrorKind::Full, StoreErrorKind::Permission];
    sweep(harness, (&kinds, Ways::InTurn), How::WritesFromThen, true).await;
}

/// A commit whose outcome is not known, done or not, is found out when the store is opened again.
pub async fn commits_of_unknown_outcome_are_found_out(harness: &dyn Place) {
    for how in [How::WritesFromThen, How::DoneThenWrites] {
        sweep(
            harness,
            (&[StoreErrorKind::Unknown], Ways::Every),
            how,
            true,
        )
        .await;
    }
}

/// A commit in doubt (rule S6), done or not, concerns that commit alone: the same context finds out and goes on.
pub async fn s6_commits_in_doubt_are_found_out_at_once(harness: &dyn Place) {
    for how in [How::Once, How::DoneOnce] {
        sweep(
            harness,
            (&[StoreErrorKind::InDoubt], Ways::Every),
            how,
            false,
        )
        .await;
    }
}

/// While no write is possible, everything can be read, and what cannot be stored is not told to the server.
pub async fn a_full_store_is_still_read(harness: &dyn Place) {
    let server = TestServer::new();
    let sound = harness.open().await.expect("the store opens");
    let device = Device::over(Arc::clone(&sound), &server, |b| b).await;
    server.set("a", 1);
    device.pull().await;
    device.set("a", 2).await;
    device.insert("b", 3).await;
    let before = (device.rows().await, device.queue().await);
    let fault = Fault {
        at: 0,
        kind: StoreErrorKind::Full,
        how: How::WritesFromThen,
    };
    server.forget_requests();
    let store = Faulty::new(sound, None);
    let full = Device::over(Arc::clone(&store) as Store, &server, |b| b).await;
    store.fail(fault);
    let todo = &full.todo;
    let refused = [
        todo.insert(&json!({"id": "c", "n": 4})).await.map(drop),
        todo.update("a", &json!({"n": 5})).await.map(drop),
        todo.delete("b").await,
        todo.purge(Purge::all().discard_pending()).await.map(drop),
        full.sync.push().await.map(drop),
        full.sync
            .cancel(full.sync.pending().await.expect("the queue is read")[0].seq)
            .await
            .map(drop),
    ];
    for outcome in refused {
        let error = outcome.expect_err("there is no room");
        assert!(is_explained(&error, Some(fault)), "{error:?}");
    }
    assert_eq!(server.changes(), [], "sent without being marked");
    assert_eq!((full.rows().await, full.queue().await), before);
    assert_eq!((full.n("a").await, full.n("b").await), (Some(2), Some(3)));
    full.is_sound().await;
    store.recover();
    full.push().await;
    full.is_in_sync().await;
}

/// A push makes two commits a group, and two more to take the lease and give it back.
pub async fn pushes_make_two_commits_a_group(harness: &dyn Place) {
    let sound = harness.open().await.expect("the store opens");
    let store = Faulty::new(sound, None);
    let server = TestServer::new();
    let device = Device::over(Arc::clone(&store) as Store, &server, |b| b.queue_tail(1000)).await;
    for n in 0..130 {
        device.insert(&format!("r{n:03}"), n).await;
    }
    let before = store.commits();
    assert_eq!(device.push().await.pushed, 130);
    assert_eq!(store.commits() - before, 3 * 2 + 2);
}
