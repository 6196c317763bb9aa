//! One pusher at a time: the lease on the queue, who gets it, and what holds for whoever loses it.
//!
//! Each context stands for a process. Their clock is one, and jumps.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use futures_util::future::join_all;
use synctable_core::store::{LocalStore, ProcessLock};
use synctable_core::sync::CancelToken;
use synctable_core::threads::BoxFuture;
use synctable_core::{Clock, Error, Record, Timestamp};

use super::device::{Device, todo};
use super::slow::{Dropped, Slow};
use super::{Fault, TestServer};
use crate::Place;
use crate::cancel::polled;
use crate::fixture::{Store, get, id, table};
use crate::sim::Dice;
use crate::threads::InABox;
use tokio::sync::Mutex;
use tokio::task::yield_now;

/// How long a lease outlives its last renewal.
const TERM: i64 = 60_000;
/// A future that needs more polls than this is not followed further.
const MOST_POLLS: usize = 400;
/// Steps of a random story.
const STEPS: usize = 1_500;

/// The clock of all contexts of a story, in milliseconds.
#[derive(Debug, Clone, Default)]
struct Watch(Arc<AtomicI64>);

impl Watch {
    fn jump(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + self.0.load(Ordering::SeqCst))
    }
}

/// Two processes with one store and one clock.
#[derive(Debug, Clone)]
struct Two {
    one: Device,
    other: Device,
    watch: Watch,
    server: TestServer,
}

impl Two {
    async fn new(harness: &dyn Place) -> Self {
        let store = harness.open().await.expect("the store opens");
        Self::over(store).await
    }

    async fn over(store: Store) -> Self {
        let (server, watch) = (TestServer::new(), Watch::default());
        let start = async || {
            let clock = watch.clone();
            let store = Slow::new(Arc::clone(&store), Dropped::Undone);
            Device::over(store, &server, |b| b.clock(clock)).await
        };
        Self {
            one: start().await,
            other: start().await,
            watch,
            server: server.clone(),
        }
    }

    /// New records, in this order.
    async fn insert(&self, ids: &[&str]) {
        for id in ids {
            self.one.insert(id, 1).await;
        }
    }

    /// The other process pushes, and is told that it cannot.
    async fn other_is_refused(&self) {
        assert_is_refused(self.other.sync.push().await.map(drop));
    }

    /// Everything has had its effect once, and nothing is left.
    async fn ends_well(&self, ids: &[&str]) {
        for id in ids {
            assert_eq!(self.server.effects(&todo(), id), 1, "effects on {id}");
        }
        for device in [&self.one, &self.other] {
            device.push().await;
            device.pull().await;
            device.is_in_sync().await;
        }
        assert!(!is_leased(&self.one.store).await, "the lease is given back");
    }
}

fn assert_is_refused(outcome: Result<(), Error>) {
    match outcome {
        Err(Error::PushStopped { source, .. }) if matches!(*source, Error::AnotherPusher) => {}
        other => panic!("another process pushes, but: {other:?}"),
    }
}

async fn is_leased(store: &Store) -> bool {
    lease(store).await.is_some()
}

/// The row that says who pushes.
async fn lease(store: &Store) -> Option<Record> {
    get(store, &table("__meta"), &id("pusher")).await
}

/// Gives `future` some turns, or all that it needs.
async fn turns<F: Future + Unpin>(future: &mut F, turns: usize) -> Option<F::Output> {
    for _ in 0..turns {
        let turn = future.poll_unpin(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(output) = turn {
            return Some(output);
        }
        // A store may be at work on a thread of its own.
        yield_now().await;
    }
    None
}

/// True where it is known at once that a pusher is gone.
async fn knows_the_dead(store: &Store) -> bool {
    if !store.capabilities().multi_process {
        return true;
    }
    let lock = store.try_lock().await.expect("the lock is tried");
    !matches!(lock, ProcessLock::Unsupported)
}

/// While one process pushes another one that pushes is told so and sends nothing. Afterwards it may.
pub async fn one_process_pushes_at_a_time(harness: &dyn Place) {
    let two = Two::new(harness).await;
    two.insert(&["a", "b", "c"]).await;
    for request in 0..3 {
        let meanwhile = two.clone();
        two.server.meanwhile_at(request, async move {
            meanwhile.other_is_refused().await;
        });
    }
    assert_eq!(two.one.push().await.pushed, 3);
    assert_eq!(two.server.changes().len(), 3, "each is sent once");
    two.other.insert("d", 1).await;
    assert_eq!(two.other.push().await.pushed, 1);
    two.ends_well(&["a", "b", "c", "d"]).await;
}

/// A push gives the lease back, however it ends.
pub async fn ended_pushes_give_the_lease_back(harness: &dyn Place) {
    let two = Two::new(harness).await;
    two.insert(&["a", "b"]).await;
    let token = CancelToken::new();
    let cancelled = token.clone();
    two.server.meanwhile(async move { cancelled.cancel() });
    let stopped = two.one.sync.push().cancel(&token).await;
    assert!(stopped.is_err(), "{stopped:?}");
    assert!(!is_leased(&two.one.store).await);
    two.server.fault_always(Fault::Unavailable);
    for device in [&two.other, &two.one, &two.other] {
        device.push_stops().await;
        assert!(!is_leased(&two.one.store).await);
    }
    two.server.calm();
    two.other.push().await;
    two.ends_well(&["a", "b"]).await;
}

/// A push whose answers take long keeps the lease, as long as one of them comes in every half term.
pub async fn slow_pushes_keep_the_lease(harness: &dyn Place) {
    let two = Two::new(harness).await;
    let ids = ["a", "b", "c", "d", "e"];
    two.insert(&ids).await;
    for request in 0..ids.len() {
        let meanwhile = two.clone();
        two.server.meanwhile_at(request, async move {
            meanwhile.watch.jump(TERM / 2);
            meanwhile.other_is_refused().await;
        });
    }
    assert_eq!(two.one.push().await.pushed, 5);
    assert_eq!(two.server.requests().len(), 5, "nobody had to ask");
    two.ends_well(&ids).await;
}

/// A process that hangs loses the lease one term after its last sign of life, and no sooner. When it goes on it stores
/// nothing of what it was doing and sends nothing more.
pub async fn hanging_pushers_are_deposed(harness: &dyn Place) {
    let two = Two::new(harness).await;
    let ids = ["a", "b", "c", "d"];
    two.insert(&ids).await;
    let meanwhile = two.clone();
    two.server.meanwhile(async move {
        meanwhile.watch.jump(TERM - 1);
        meanwhile.other_is_refused().await;
        meanwhile.watch.jump(1);
        let report = meanwhile.other.push().await;
        assert_eq!((report.pushed, report.pending), (4, 0));
        // What the first process would store now is not this.
        meanwhile.other.set("a", 2).await;
        meanwhile.server.forget_requests();
    });
    assert_is_refused(two.one.sync.push().await.map(drop));
    assert_eq!(two.server.requests(), [], "sent after it was deposed");
    assert_eq!(two.one.n("a").await, Some(2));
    assert_eq!(two.one.queue().await, ["replace a"]);
    two.one.push().await;
    assert_eq!(two.server.n("a"), Some(2));
    assert_eq!(two.server.effects(&todo(), "a"), 2);
    two.ends_well(&ids[1..]).await;
}

/// A process whose push was taken over and ended is deposed for good: that nobody has the lease is not enough to go on.
pub async fn deposed_pushers_stay_deposed(harness: &dyn Place) {
    let two = Two::new(harness).await;
    let many: Vec<String> = (0..70).map(|n| format!("r{n:02}")).collect();
    let ids: Vec<&str> = many.iter().map(String::as_str).collect();
    two.insert(&ids).await;
    // Between the last answer of the first group and its end.
    let meanwhile = two.clone();
    two.server.meanwhile_at(63, async move {
        meanwhile.watch.jump(TERM);
        meanwhile.other.push().await;
        assert!(!is_leased(&meanwhile.other.store).await);
    });
    assert_is_refused(two.one.sync.push().await.map(drop));
    two.ends_well(&ids).await;
}

/// A process that is deposed by one which is at the very beginning of its push stores nothing, though nobody has changed the
/// queue behind its back.
pub async fn deposed_pushers_with_a_known_queue_store_nothing(harness: &dyn Place) {
    let mut met = 0;
    for polls in 0..MOST_POLLS {
        let place = harness.another();
        let two = Two::new(&*place).await;
        two.insert(&["a"]).await;
        let mut push = two.other.sync.push().into_future();
        if turns(&mut push, polls).await.is_some() {
            break;
        }
        // Now the queue is known to this process again. A commit of the other one that is under way, as on a thread, is done before this one.
        two.insert(&["b"]).await;
        if is_leased(&two.one.store).await {
            push.await.expect("it has the lease");
            break;
        }
        let (meanwhile, resumed) = (two.clone(), Arc::new(Mutex::new(None)));
        let slot = Arc::clone(&resumed);
        two.server.meanwhile(async move {
            meanwhile.watch.jump(TERM);
            let before = lease(&meanwhile.one.store).await;
            while lease(&meanwhile.one.store).await == before {
                assert!(turns(&mut push, 1).await.is_none(), "it takes the lease");
            }
            *slot.lock().await = Some(push);
        });
        met += 1;
        let outcome = two.one.sync.push().await.map(drop);
        let pending = two.one.queue().await;
        assert_is_refused(outcome);
        assert_eq!(pending, ["insert a attempted", "insert b attempted"]);
        let push = resumed.lock().await.take().expect("it was put there");
        push.await.expect("it took over");
        two.one.push().await;
        two.ends_well(&["a", "b"]).await;
    }
    assert!(met > 1, "the push of the other process was always done");
}

/// The lease dies with its owner: at once where the store can tell, else after one term.
pub async fn the_lease_dies_with_its_owner(harness: &dyn Place) {
    for polls in 0..MOST_POLLS {
        let place = harness.another();
        let two = Two::new(&*place).await;
        two.insert(&["a", "b"]).await;
        let finished = polled(two.one.sync.push().into_future(), polls).await;
        let finished = finished.is_some();
        two.insert(&["c"]).await;
        if !finished && is_leased(&two.one.store).await && !knows_the_dead(&two.one.store).await {
            two.other_is_refused().await;
            two.watch.jump(TERM);
        }
        two.other.push().await;
        two.ends_well(&["a", "b", "c"]).await;
        if finished {
            return;
        }
    }
    panic!("the push never ends");
}

/// A context that gave up a push can begin another at once: the lease is its own.
pub async fn dropped_pushes_do_not_lock_their_own_process_out(harness: &dyn Place) {
    for polls in 0..MOST_POLLS {
        let place = harness.another();
        let two = Two::new(&*place).await;
        two.insert(&["a", "b"]).await;
        let finished = polled(two.one.sync.push().into_future(), polls).await;
        two.insert(&["c"]).await;
        two.one.push().await;
        two.ends_well(&["a", "b", "c"]).await;
        if finished.is_some() {
            return;
        }
    }
    panic!("the push never ends");
}

/// Whatever the clock does while two processes push: nothing has an effect twice, and nobody waits for ever.
pub async fn jumps_of_the_clock_double_nothing(harness: &dyn Place) {
    let year = 365 * 24 * 3_600_000;
    for jump in [-10 * year, -2 * TERM, 1 - TERM, TERM, 10 * year] {
        let place = harness.another();
        let two = Two::new(&*place).await;
        two.insert(&["a", "b", "c"]).await;
        let meanwhile = two.clone();
        two.server.meanwhile(async move {
            meanwhile.watch.jump(jump);
            let _ = meanwhile.other.sync.push().await;
        });
        let _ = two.one.sync.push().await;
        // Twice a term after the last jump at most.
        two.watch.jump(2 * TERM);
        two.other.push().await;
        two.ends_well(&["a", "b", "c"]).await;
    }
}

/// Random steps of two processes over one store, some of which are killed, hang or see the clock jump.
pub async fn random_pushers_have_single_effects(harness: &dyn Place) {
    for seed in 0..12 {
        let place = harness.another();
        let store = place.open().await.expect("the store opens");
        random_pushers(store, seed).await;
    }
}

async fn random_pushers(store: Store, seed: u64) {
    let mut dice = Dice::new(seed);
    let two = Two::over(store).await;
    let devices = [&two.one, &two.other];
    // What is under way; pushes can be killed.
    let mut tasks: Vec<(bool, BoxFuture<'static, Result<(), Error>>)> = Vec::new();
    let mut ids = Vec::new();
    for step in 0..STEPS {
        let device = devices[dice.below(2)].clone();
        match dice.below(60) {
            0..3 => {
                let id = format!("s{step}");
                ids.push(id.clone());
                let insert = async move {
                    device.insert(&id, 1).await;
                    Ok(())
                };
                tasks.push((false, insert.in_a_box()));
            }
            3..6 if tasks.len() < 6 => {
                let push = device.sync.push().parallel(1 + dice.below(3));
                tasks.push((true, async { push.await.map(drop) }.in_a_box()));
            }
            6 => {
                let place = dice.below(tasks.len());
                if tasks.get(place).is_some_and(|(push, _)| *push) {
                    drop(tasks.swap_remove(place));
                }
            }
            7 => {
                let jumps = [TERM / 2, TERM, 3 * TERM, -TERM / 2, -3 * TERM];
                two.watch.jump(jumps[dice.below(jumps.len())]);
            }
            _ => {
                let place = dice.below(tasks.len());
                let Some((_, task)) = tasks.get_mut(place) else {
                    continue;
                };
                if let Some(outcome) = turns(task, 1).await {
                    drop(tasks.swap_remove(place));
                    is_explained(outcome, seed);
                }
            }
        }
    }
    // The rest hang for long, then go on, together: they wait for each other.
    let rest = tasks.into_iter().map(|(_, task)| {
        two.watch.jump(TERM);
        task
    });
    for outcome in join_all(rest).await {
        is_explained(outcome, seed);
    }
    two.watch.jump(2 * TERM);
    two.other.push().await;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    two.ends_well(&ids).await;
}

fn is_explained(outcome: Result<(), Error>, seed: u64) {
    match outcome {
        Ok(()) => {}
        Err(Error::PushStopped { source, .. }) if matches!(*source, Error::AnotherPusher) => {}
        Err(error) => panic!("seed {seed}: {error:?}"),
    }
}
