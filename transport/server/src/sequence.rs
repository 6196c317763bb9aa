//! The commit times of one table: they grow in the order of commits, and changes that wait at the same time share a commit.
//!
//! Every commit moves a row of the server's own table from the time of the commit before to its own, and its batch
//! *checks* the row it moves. So the stored rows form a chain: a commit that would be out of order finds another
//! row than it expects and is not done. That holds
//! - across restarts and hard deletes, because the row is stored with the records and stays when they go;
//! - when the clock steps back, because the next time is at least a millisecond after the row;
//! - for a request that is dropped while its commit is under way: if the commit is done later after all, either
//!   the next one waited behind it or has moved the row, and then the late one fails;
//! - for several servers over one store, because the check is judged inside the store.
//!
//! All rows of one commit share its time. A *run* makes one commit of the changes that wait. It is a future that all who wait share:
//! whoever is polled drives it, and it stays until nobody waits, so a request that is dropped neither stops nor loses the change of another.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use synctable_core::query::Query;
use synctable_core::store::{
    Expect, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, Write, WriteBatch,
};
use synctable_core::{Clock, Record, RecordId, SystemProperties, TableName, Timestamp};
use tokio::sync::Mutex as Turn;
use tokio::task::yield_now;

use crate::gather::shared;
use crate::merge::Merged;
use crate::tables::SEQUENCES;

/// So many changes share a commit at most ..
const MOST: usize = 1000;
/// .. with so many bytes of content, unless it is one change. Other requests wait while it is written.
const MOST_BYTES: usize = 1024 * 1024;
/// Where changes come alone, so many share a commit: each of them waits for the commit that is under way, and for its own ..
const FEW: usize = 64;
/// .. and so many more each time while none comes.
const MORE: usize = FEW / 8;
/// So many that came alone go ahead of those that were there before them.
const AHEAD: usize = FEW / 2;

/// The chain of one table.
#[derive(Debug)]
pub(crate) struct Sequence(Arc<Chain>);

struct Chain {
    table: TableName,
    row_id: RecordId,
    waiting: Mutex<Waiting>,
    /// The end of the chain; `None` where it must be read again, and while a commit is under way.
    end: Mutex<Option<End>>,
    /// Who moves the end. A commit of several tables takes the turns of all of them, in the order of their names.
    turn: Turn<()>,
}

struct Waiting {
    /// Those that came alone stand in front, up to [`AHEAD`] of them: they need not wait for all that others sent at once.
    members: VecDeque<Member>,
    /// So many share the next commit.
    most: usize,
    /// The run that is under way. It goes when nobody waits any more; as long as somebody does, it goes on, also for those who are not polled
    /// just now.
    run: Option<Run>,
    /// How many requests wait, for their place or for what came of it.
    requests: usize,
}

/// A change that wants to be committed.
struct Member {
    build: Box<Build<'static>>,
    bytes: usize,
    /// Whether its request brought nothing else.
    alone: bool,
    result: Slot,
}

type Run = Shared<BoxFuture<'static, ()>>;
/// Makes the batch of a change for the time of its commit.
pub(crate) type Build<'a> = dyn Fn(Timestamp) -> Result<WriteBatch, StoreError> + Send + Sync + 'a;
/// What came of a change: nothing yet, or once the time or the error.
type Slot = Arc<Mutex<Option<Result<Timestamp, StoreError>>>>;

/// The place of a change in the queue, given up when its request is dropped.
struct Place<'a> {
    chain: &'a Chain,
    result: Slot,
}

#[derive(Debug)]
struct End {
    last: Timestamp,
    /// The stored row; `None` before the table's first commit.
    row: Option<Record>,
}

impl Sequence {
    pub(crate) fn new(table: TableName) -> Self {
        let row_id = RecordId::system(table.as_str());
        Self(Arc::new(Chain {
            table,
            row_id,
            waiting: Mutex::new(Waiting {
                members: VecDeque::new(),
                most: MOST,
                run: None,
                requests: 0,
            }),
            end: Mutex::default(),
            turn: Turn::default(),
        }))
    }

    /// Commits the batch that `build` makes for the commit's time, perhaps with those of others, and returns that time. `build` is
    /// called once for each commit that is tried, and not before the change has its place in one; `bytes` is about how long the content is. A change
    /// that comes `alone` goes ahead of those that came with others.
    ///
    /// A failed check may be one of the chain; then, too, the caller reads again and retries. The failure of another's change is never
    /// this one's. Dropping the future takes the change back as long as it has no place in a commit.
    pub(crate) async fn commit(
        &self,
        store: &Arc<dyn LocalStore>,
        clock: &Arc<dyn Clock>,
        (bytes, alone): (usize, bool),
        build: impl Fn(Timestamp) -> Result<WriteBatch, StoreError> + Send + Sync + 'static,
    ) -> Result<Timestamp, StoreError> {
        let place = Place {
            chain: &self.0,
            result: Slot::default(),
        };
        {
            let mut waiting = self.0.waiting();
            waiting.requests = waiting.requests.saturating_add(1);
            waiting.add(Member {
                build: Box::new(build),
                bytes,
                alone,
                result: Arc::clone(&place.result),
            });
        }
        // Changes that come in this round, as those of one request, wait, too, before anybody begins.
        yield_now().await;
        loop {
            if let Some(result) = lock(&place.result).take() {
                return result;
            }
            self.0.run(store, clock).await;
        }
    }
}

/// Commits the batches that are made for the commit's time as one, or none of them, whichever tables they are of, and returns that time. It is later
/// than the last one of each table.
pub(crate) async fn commit_as_one(
    store: &dyn LocalStore,
    clock: &dyn Clock,
    members: &[(&Sequence, &Build<'_>)],
) -> Result<Timestamp, StoreError> {
    let mut chains: Vec<&Chain> = members.iter().map(|(sequence, _)| &*sequence.0).collect();
    chains.sort_unstable_by(|one, other| one.table.cmp(&other.table));
    chains.dedup_by(|one, other| one.table == other.table);
    // No two wait for each other, as both take them in this order; who commits to one table alone waits for no other.
    let mut turns = Vec::with_capacity(chains.len());
    for chain in &chains {
        turns.push(chain.turn.lock().await);
    }
    let (mut time, mut ends) = (clock.now(), Vec::with_capacity(chains.len()));
    for chain in &chains {
        let end = chain.take_end(store).await?;
        time = next_time(time, end.last)?;
        ends.push(end);
    }
    let mut merged = Merged::default();
    for (_, build) in members {
        if !merged.add(&build(time)?) {
            let message = "two changes of one unit touch the same row";
            return Err(StoreError::new(StoreErrorKind::Other, message));
        }
    }
    let (mut batch, mut rows) = (merged.into_batch(), Vec::with_capacity(chains.len()));
    for (chain, end) in chains.iter().zip(ends) {
        let row;
        (batch, row) = chain.with_chain(batch, end.row, time);
        rows.push(row);
    }
    store.commit(batch).await?;
    for (chain, row) in chains.iter().zip(rows) {
        *lock(&chain.end) = Some(End {
            last: time,
            row: Some(row),
        });
    }
    drop(turns);
    Ok(time)
}

impl Chain {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// The run under way, else a new one.
    fn run(self: &Arc<Self>, store: &Arc<dyn LocalStore>, clock: &Arc<dyn Clock>) -> Run {
        let mut waiting = self.waiting();
        if let Some(run) = waiting.run.as_ref().filter(|run| run.peek().is_none()) {
            return run.clone();
        }
        let (chain, store, clock) = (Arc::clone(self), Arc::clone(store), Arc::clone(clock));
        let run = async move { chain.commit_waiting(&*store, &*clock).await };
        let run = run.boxed().shared();
        waiting.run = Some(run.clone());
        run
    }

    /// One commit of what waits now; several where changes are in each other's way, or one of them fails.
    async fn commit_waiting(&self, store: &dyn LocalStore, clock: &dyn Clock) {
        let mut parts = vec![self.waiting().take()];
        // The last part is the next.
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let _turn = self.turn.lock().await;
            let end = self.take_end(store).await;
            let next = end.and_then(|end| Ok((next_time(clock.now(), end.last)?, end.row)));
            let (time, before) = match next {
                Ok(next) => next,
                Err(error) => {
                    fail(part, error);
                    continue;
                }
            };
            let (mut group, rest, merged) = merge(part, time);
            parts.push(rest);
            if group.is_empty() {
                continue;
            }
            let (batch, row) = self.with_chain(merged.into_batch(), before, time);
            match store.commit(batch).await {
                Ok(_) => {
                    *lock(&self.end) = Some(End {
                        last: time,
                        row: Some(row),
                    });
                    for member in group {
                        member.settle(Ok(time));
                    }
                }
                // The halves find out whose fault it was.
                Err(error) if group.len() > 1 && is_of_one(&error) => {
                    let second = group.split_off(group.len().div_ceil(2));
                    parts.push(second);
                    parts.push(group);
                }
                Err(error) => fail(group, error),
            }
        }
    }

    /// The end of the chain, which is not known any more until a commit is done.
    async fn take_end(&self, store: &dyn LocalStore) -> Result<End, StoreError> {
        let end = lock(&self.end).take();
        match end {
            Some(end) => Ok(end),
            None => self.read_end(store).await,
        }
    }

    /// The batch with the move of the chain's row, and the row as it is then.
    fn with_chain(
        &self,
        mut batch: WriteBatch,
        before: Option<Record>,
        time: Timestamp,
    ) -> (WriteBatch, Record) {
        let system = SystemProperties {
            updated_at: Some(time),
            ..SystemProperties::default()
        };
        let row = Record::from_stored(self.row_id.clone(), system, "{}");
        let rows = TableName::system(SEQUENCES);
        let expect = before.map_or(Expect::Absent, |row| Expect::Same(Box::new(row)));
        batch.check(&rows, &self.row_id, expect);
        batch.push(Write::Put {
            table: rows,
            record: row.clone(),
        });
        (batch, row)
    }

    /// The stored row, or the newest record of a table that was filled by someone else.
    async fn read_end(&self, store: &dyn LocalStore) -> Result<End, StoreError> {
        let row = store
            .get_one(&TableName::system(SEQUENCES), &self.row_id)
            .await?;
        if let Some(last) = row.as_ref().and_then(Record::updated_at) {
            return Ok(End { last, row });
        }
        let newest = Query::all().order_by_desc("updatedAt").top(1).page(1);
        let page = store.query(&self.table, &newest).await?;
        let last = page.records.first().and_then(Record::updated_at);
        Ok(End {
            last: last.unwrap_or(Timestamp::EPOCH),
            row,
        })
    }
}

impl Waiting {
    fn add(&mut self, member: Member) {
        if member.alone {
            self.most = FEW;
        }
        let ahead = self.members.iter().take_while(|member| member.alone);
        match ahead.take(AHEAD).count() {
            place if member.alone && place < AHEAD => self.members.insert(place, member),
            _ => self.members.push_back(member),
        }
    }

    /// Takes the first changes, as many as may share a commit.
    fn take(&mut self) -> Vec<Member> {
        let mut bytes = 0_usize;
        let fits = self.members.iter().take(self.most).take_while(|member| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(member.bytes.max(1));
            first || bytes <= MOST_BYTES
        });
        let count = fits.count();
        self.most = self.most.saturating_add(MORE).min(MOST);
        self.members.drain(..count).collect()
    }
}

impl Member {
    fn settle(self, result: Result<Timestamp, StoreError>) {
        *lock(&self.result) = Some(result);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.chain.waiting();
        let own = |member: &Member| Arc::ptr_eq(&member.result, &self.result);
        let at = match Arc::strong_count(&self.result) {
            // Nobody else has it: it was answered.
            1 => None,
            _ => waiting.members.iter().position(own),
        };
        let member = at.and_then(|at| waiting.members.remove(at));
        waiting.requests = waiting.requests.saturating_sub(1);
        let run = match waiting.requests {
            0 => waiting.run.take(),
            _ => None,
        };
        // What goes with them is no matter of the queue.
        drop(waiting);
        drop((member, run));
    }
}

/// The first changes that can be one batch, those behind them, and the batch. A change that cannot be built is answered here.
fn merge(part: Vec<Member>, time: Timestamp) -> (Vec<Member>, Vec<Member>, Merged) {
    let (mut group, mut merged) = (Vec::new(), Merged::default());
    let mut part = part.into_iter();
    let mut rest = Vec::new();
    for member in part.by_ref() {
        match (member.build)(time) {
            Ok(batch) if merged.add(&batch) => group.push(member),
            Ok(_) => {
                rest.push(member);
                break;
            }
            Err(error) => member.settle(Err(error)),
        }
    }
    rest.extend(part);
    (group, rest, merged)
}

/// Whether nothing was written, and what was in the way may be one change of several; else it is the store that fails.
fn is_of_one(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        StoreErrorKind::CheckFailed
            | StoreErrorKind::UnknownTable
            | StoreErrorKind::Schema
            | StoreErrorKind::Unsupported
            | StoreErrorKind::Other
    )
}

/// Tells all of them about one failure.
fn fail(members: Vec<Member>, error: StoreError) {
    let words = "the commit that several changes share failed";
    let errors = shared(error, members.len(), words);
    for (member, error) in members.into_iter().zip(errors) {
        member.settle(Err(error));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("table", &self.table)
            .field("waiting", &self.waiting().members.len())
            .finish_non_exhaustive()
    }
}

/// Now, or a millisecond after `last` where that is later; always in whole milliseconds, so what is stored is
/// what is printed.
fn next_time(now: Timestamp, last: Timestamp) -> Result<Timestamp, StoreError> {
    let time = now
        .floor_millis()
        .max(last.floor_millis().plus_millis(1))
        .floor_millis();
    if time > last {
        Ok(time)
    } else {
        Err(StoreError::new(
            StoreErrorKind::Other,
            "the table's last commit is at the end of time; no later one can be given",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of changes that come in this order, `true` for those that come alone, by the commits that they have.
    fn commits(alone: &[bool]) -> Vec<Vec<usize>> {
        let chain = Sequence::new(TableName::new("t").unwrap()).0;
        let mut waiting = chain.waiting();
        for (number, alone) in alone.iter().enumerate() {
            waiting.add(Member {
                build: Box::new(|_| Ok(WriteBatch::new())),
                bytes: number,
                alone: *alone,
                result: Slot::default(),
            });
        }
        let numbers = |part: Vec<Member>| part.iter().map(|member| member.bytes).collect();
        let taken = std::iter::from_fn(|| Some(waiting.take()).filter(|part| !part.is_empty()));
        taken.map(numbers).collect()
    }

    #[test]
    fn who_comes_alone_goes_ahead_and_nobody_is_kept_back_for_ever() {
        let (alone, others) = (true, false);
        let come = [others, others, alone, others, alone];
        assert_eq!(commits(&come), [[2, 4, 0, 1, 3]]);
        let mut come = vec![others; 2];
        come.resize(FEW, alone);
        let (ahead, behind) = (2..2 + AHEAD, 2 + AHEAD..FEW);
        let order = ahead.chain(0..2).chain(behind);
        assert_eq!(commits(&come), [order.collect::<Vec<_>>()]);
    }

    #[test]
    fn few_share_a_commit_where_changes_come_alone() {
        let sizes = |come: &[bool]| commits(come).iter().map(Vec::len).collect::<Vec<_>>();
        let mut come = vec![false; MOST + 9];
        assert_eq!(sizes(&come), [MOST, 9]);
        come.push(true);
        let sizes = sizes(&come);
        let growing = |at: usize| (FEW + at * MORE).min(MOST);
        let mut full = sizes.iter().enumerate().take(sizes.len() - 1);
        assert!(full.all(|(at, size)| *size == growing(at)));
        assert_eq!(sizes.iter().sum::<usize>(), come.len());
    }

    #[test]
    fn the_next_time_is_later_than_the_last_and_whole() {
        let at = |ticks| Timestamp::from_ticks(ticks);
        for (now, last, expected) in [
            (100_000, 0, 100_000),
            (109_999, 0, 100_000),
            (100_000, 100_000, 110_000),
            (100_000, 100_001, 110_000),
            (50_000, 100_000, 110_000),
            (-50_000, 0, 10_000),
        ] {
            assert_eq!(next_time(at(now), at(last)).unwrap(), at(expected));
        }
        assert!(next_time(Timestamp::MAX, Timestamp::MAX).is_err());
        assert!(next_time(at(0), Timestamp::MAX.floor_millis()).is_err());
    }
}
