//! One pusher at a time among the contexts and processes that have a store open.
//!
//! The lease is a row of `__meta`: who pushes, in which of its pushes, and when it last said so. A push takes it before
//! its first group. Every batch that marks or settles a group demands that the row is as this push left it, and
//! renews it; a push that waits long for answers renews it before it sends more. So whoever takes the lease deposes the one before: it can
//! neither settle nor mark, and it stops before the next operation that it would send once its lease is half over.
//! At most what it was sending at that moment still goes out.
//!
//! The lease dies with its owner. Where the store has a lock that ends with the process
//! ([`LocalStore::try_lock`](crate::store::LocalStore::try_lock)), whoever gets the lock knows that the owner is gone. Of a store that one process
//! opens all pushes are known here: an owner that is not among them is gone. Elsewhere, and for an owner that hangs, it runs out
//! [`TERM_MILLIS`] after its last renewal.
//!
//! The clock may jump. Forward, a lease runs out early. Backward, a renewal seems to lie ahead: if by a term or more the lease is over, if
//! by less it lasts at most twice as long. Either way only the number of pushers at once is at stake. What
//! each of them does rests on checks, not on time: operations are marked before they are sent, the next
//! pusher asks about marked ones, and conditions and keys keep every effect single.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::clock::{Clock, IdSource};
use crate::error::Error;
use crate::name::RecordId;
use crate::record::Record;
use crate::store::{
    Durability, LocalStore, LocalStoreExt, ProcessLock, StoreErrorKind, WriteBatch,
};
use crate::sync::system::{ATTEMPTS, LeaseRow, META};
use crate::timestamp::Timestamp;

/// How long a lease outlives its last renewal.
const TERM_MILLIS: i64 = 60_000;

/// Whether a push may take the lease. `gone`: the push that has it is known to be over.
fn may_take(found: Option<&LeaseRow>, owner: &str, now: Timestamp, gone: bool) -> bool {
    found.is_none_or(|lease| {
        lease.owner == owner || gone || age(lease, now) >= TERM_MILLIS.unsigned_abs()
    })
}

/// Milliseconds between the renewal and `now`, whichever is later.
fn age(lease: &LeaseRow, now: Timestamp) -> u64 {
    now.millis().abs_diff(lease.renewed.millis())
}

/// The pushes of this process that are under way, each by its context and its number.
static UNDER_WAY: Mutex<BTreeSet<(String, u64)>> = Mutex::new(BTreeSet::new());
/// Makes the names of contexts differ within this process, wherever their ids come from.
static CONTEXTS: AtomicU64 = AtomicU64::new(0);

/// A push that is under way until this is dropped.
#[derive(Debug)]
struct UnderWay(String, u64);

impl UnderWay {
    fn all() -> MutexGuard<'static, BTreeSet<(String, u64)>> {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(owner: &str, push: u64) -> Self {
        Self::all().insert((owner.to_owned(), push));
        Self(owner.to_owned(), push)
    }

    fn is_known(owner: &str, push: u64) -> bool {
        Self::all().contains(&(owner.to_owned(), push))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        Self::all().remove(&(std::mem::take(&mut self.0), self.1));
    }
}

/// What a push keeps as long as it has the lease.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: ProcessLock,
    _under_way: UnderWay,
}

/// The lease as this context knows it.
pub(crate) struct Lease {
    store: Arc<dyn LocalStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    owner: OnceLock<String>,
    pushes: AtomicU64,
    held: Mutex<Option<LeaseRow>>,
}

impl Lease {
    pub(crate) fn new(
        store: Arc<dyn LocalStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            store,
            clock,
            ids,
            owner: OnceLock::new(),
            pushes: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }

    /// The name of this context; another one in every context.
    fn owner(&self) -> &str {
        self.owner.get_or_init(|| {
            let number = CONTEXTS.fetch_add(1, Ordering::Relaxed);
            format!("{}-{number}", self.ids.next_id())
        })
    }

    fn slot(&self) -> MutexGuard<'_, Option<LeaseRow>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Option<LeaseRow> {
        self.slot().clone()
    }

    /// Takes over what a commit made of the lease.
    pub(crate) fn set(&self, lease: Option<LeaseRow>) {
        *self.slot() = lease;
    }

    /// Takes the lease for a push, or says that another process has it. The lock is to be kept until the lease is released.
    pub(crate) async fn take(&self) -> Result<Held, Error> {
        self.set(None);
        let lock = self.store.try_lock().await?;
        let locked = matches!(lock, ProcessLock::Held(_));
        // Of a store that one process opens all pushers are known here.
        let shared = self.store.capabilities().multi_process;
        let owner = self.owner();
        let push = self.pushes.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay::begin(owner, push);
        for _ in 0..ATTEMPTS {
            let found = self.stored().await?;
            // One that cannot be read binds nobody: to take it over is always safe.
            let known = found.as_ref().and_then(LeaseRow::from_row);
            let now = self.clock.now();
            let gone = known.as_ref().is_some_and(|lease| {
                lease.locked && locked || !shared && !UnderWay::is_known(&lease.owner, lease.push)
            });
            if !may_take(known.as_ref(), owner, now, gone) {
                return Err(Error::AnotherPusher);
            }
            let lease = LeaseRow {
                owner: owner.to_owned(),
                push,
                renewed: now,
                locked,
            };
            let batch = WriteBatch::new().durability(Durability::Eventual);
            let batch = match found {
                Some(row) => batch.expect_same(&META, row),
                None => batch.expect_absent(&META, &LeaseRow::id()),
            };
            if self.done(batch.put(&META, lease.to_row()?)).await? {
                self.set(Some(lease));
                return Ok(Held {
                    _lock: lock,
                    _under_way: under_way,
                });
            }
        }
        Err(Error::Contended)
    }

    /// Gives the lease back. One that cannot be given back runs out.
    pub(crate) async fn release(&self) {
        let Some(row) = self.held().and_then(|lease| lease.to_row().ok()) else {
            return;
        };
        self.set(None);
        let batch = WriteBatch::new()
            .durability(Durability::Eventual)
            .expect_same(&META, row)
            .delete(&META, &LeaseRow::id());
        let _ = self.store.commit(batch).await;
    }

    /// Demands of a batch of a push that nobody took its lease, and renews it. Returns the lease as it is once the batch is done.
    pub(crate) fn renew_in(&self, batch: &mut WriteBatch) -> Result<Option<LeaseRow>, Error> {
        let Some(lease) = self.held() else {
            return Ok(None);
        };
        let renewed = LeaseRow {
            renewed: self.clock.now(),
            ..lease.clone()
        };
        *batch = std::mem::take(batch)
            .expect_same(&META, lease.to_row()?)
            .put(&META, renewed.to_row()?);
        Ok(Some(renewed))
    }

    /// Renews a lease that is half over; an error once another process has taken it.
    pub(crate) async fn keep(&self) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let fresh =
                |lease: LeaseRow| age(&lease, self.clock.now()) < TERM_MILLIS.unsigned_abs() / 2;
            if self.held().is_none_or(fresh) {
                return Ok(());
            }
            let mut batch = WriteBatch::new().durability(Durability::Eventual);
            let renewed = self.renew_in(&mut batch)?;
            if self.done(batch).await? {
                self.set(renewed);
                return Ok(());
            }
            self.look().await?;
        }
        Err(Error::Contended)
    }

    /// After a check that did not hold: an error if another process has taken the lease. A commit of this push that was
    /// dropped, or done at the same time, may have renewed it.
    pub(crate) async fn look(&self) -> Result<(), Error> {
        let Some(lease) = self.held() else {
            return Ok(());
        };
        let found = self.stored().await?;
        match found.as_ref().and_then(LeaseRow::from_row) {
            Some(found) if (&found.owner, found.push) == (&lease.owner, lease.push) => {
                self.set(Some(found));
                Ok(())
            }
            _ => Err(Error::AnotherPusher),
        }
    }

    async fn stored(&self) -> Result<Option<Record>, Error> {
        let id: RecordId = LeaseRow::id();
        Ok(self.store.get_one(&META, &id).await?)
    }

    /// False when a check of the batch did not hold.
    async fn done(&self, batch: WriteBatch) -> Result<bool, Error> {
        match self.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERM: i64 = TERM_MILLIS;

    fn lease(owner: &str, renewed: i64, locked: bool) -> LeaseRow {
        LeaseRow {
            owner: owner.into(),
            push: 0,
            renewed: Timestamp::from_millis(renewed),
            locked,
        }
    }

    /// Times around each other and far apart.
    fn millis() -> impl Strategy<Value = i64> {
        prop_oneof![
            0..4 * TERM,
            -4 * TERM..4 * TERM,
            -60_000_000_000_000..250_000_000_000_000_i64,
        ]
    }

    /// One step of processes that use the rule as the engine does: what they write goes through compare-and-set.
    #[derive(Debug, Clone)]
    enum Step {
        Take(usize),
        Renew(usize),
        Release(usize),
        Die(usize),
        Pass(i64),
        Jump(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let who = || 0..3_usize;
        prop_oneof![
            3 => who().prop_map(Step::Take),
            3 => who().prop_map(Step::Renew),
            1 => who().prop_map(Step::Release),
            1 => who().prop_map(Step::Die),
            3 => (0..TERM).prop_map(Step::Pass),
            1 => millis().prop_map(Step::Jump),
        ]
    }

    proptest! {
        #[test]
        fn nobodys_and_ones_own_lease_are_free(now in millis(), renewed in millis(), alone: bool, locked: bool) {
            let now = Timestamp::from_millis(now);
            prop_assert!(may_take(None, "a", now, alone));
            prop_assert!(may_take(Some(&lease("a", renewed, locked)), "a", now, alone && locked));
        }

        #[test]
        fn another_owner_is_safe_for_one_term(renewed in millis(), passed in 0..TERM, locked: bool) {
            let now = Timestamp::from_millis(renewed + passed);
            prop_assert!(!may_take(Some(&lease("a", renewed, locked)), "b", now, false));
        }

        #[test]
        fn who_holds_the_lock_of_the_dead_waits_for_nothing(now in millis(), renewed in millis()) {
            let now = Timestamp::from_millis(now);
            prop_assert!(may_take(Some(&lease("a", renewed, true)), "b", now, true));
        }

        #[test]
        fn nobody_waits_longer_than_two_terms(now in millis(), renewed in millis(), locked: bool) {
            let lease = lease("a", renewed, locked);
            let later = |millis| may_take(Some(&lease), "b", Timestamp::from_millis(now + millis), false);
            prop_assert!(later(0) || later(TERM) || later(2 * TERM));
        }

        #[test]
        fn one_process_at_a_time_believes_rightly(steps in prop::collection::vec(step(), 0..60)) {
            let names = ["a", "b", "c"];
            let mut stored: Option<LeaseRow> = None;
            let mut held: [Option<LeaseRow>; 3] = [None, None, None];
            let mut lock: Option<usize> = None;
            let (mut now, mut pushes) = (0_i64, 0);
            // The last renewal, while no clock has jumped since.
            let mut quiet_since = None;
            for step in steps {
                match step {
                    Step::Take(who) => {
                        let at = Timestamp::from_millis(now);
                        let alone = lock.is_none() || lock == Some(who);
                        let gone = alone && stored.as_ref().is_some_and(|found| found.locked);
                        if may_take(stored.as_ref(), names[who], at, gone) {
                            if let (Some(found), Some(since)) = (&stored, quiet_since) {
                                let alive = found.owner != names[who] && lock.is_some_and(|l| names[l] == found.owner);
                                prop_assert!(!alive || now - since >= TERM, "taken from a living owner in time");
                            }
                            pushes += 1;
                            if alone {
                                lock = Some(who);
                            }
                            let taken = LeaseRow { push: pushes, ..lease(names[who], now, alone) };
                            held[who] = Some(taken.clone());
                            stored = Some(taken);
                            quiet_since = Some(now);
                        }
                    }
                    Step::Renew(who) if held[who].is_some() && held[who] == stored => {
                        let renewed = held[who].clone().map(|held| LeaseRow {
                            renewed: Timestamp::from_millis(now),
                            ..held
                        });
                        held[who].clone_from(&renewed);
                        stored = renewed;
                        quiet_since = Some(now);
                    }
                    Step::Release(who) => {
                        if held[who] == stored {
                            stored = None;
                        }
                        held[who] = None;
                        lock = lock.filter(|holder| *holder != who);
                    }
                    Step::Die(who) => {
                        held[who] = None;
                        lock = lock.filter(|holder| *holder != who);
                    }
                    Step::Pass(millis) => now += millis,
                    Step::Jump(to) => {
                        now = to;
                        quiet_since = None;
                    }
                    Step::Renew(_) => {}
                }
                let rightly = held.iter().flatten().filter(|held| Some(*held) == stored.as_ref());
                prop_assert!(rightly.count() <= 1);
            }
        }
    }
}
