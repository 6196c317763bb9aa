//! The walk of a push through the queue.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::sync::inner::Inner;
use crate::sync::push::course::Course;
use crate::sync::push::mark::ToMark;
use crate::sync::push::orders::Orders;
use crate::sync::push::turn::{Choice, Chosen, Key, Turn};
use crate::sync::queue::lookup::Known;
use crate::sync::queue::operation::Operation;
use crate::timestamp::Timestamp;

/// A wait that lies further ahead than any that is stored comes from a clock that went back: it binds nobody.
const HELD_AT_MOST: i64 = 2 * 60 * 60 * 1000;

/// The operations that go next.
pub(super) struct Found {
    pub(super) chosen: Chosen,
    /// As they were read, but for those of units.
    read: HashMap<u64, Operation>,
}

impl Found {
    /// That they are to be marked.
    pub(super) fn into_marks(mut self) -> (Chosen, Vec<ToMark>) {
        let read = &mut self.read;
        let to_mark = self.chosen.iter().map(|(seq, (table, id))| ToMark {
            seq: *seq,
            table: table.clone(),
            id: id.clone(),
            known: read.remove(seq).map(Known::Operation),
        });
        let to_mark = to_mark.collect();
        (self.chosen, to_mark)
    }
}

/// A walk through the queue.
pub(super) struct Walk<'a> {
    inner: &'a Inner,
    orders: &'a Orders,
    course: &'a Mutex<Course>,
    /// Changes made while the push runs wait for the next one, so that a push ends.
    last: u64,
    turn: Turn,
    /// What was tried in the last turn.
    tried: HashSet<u64>,
    /// What was chosen once, and not to be marked then.
    unmarked: HashSet<u64>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(inner: &'a Inner, orders: &'a Orders, course: &'a Mutex<Course>) -> Self {
        Self {
            inner,
            orders,
            course,
            last: inner.queue.last_seq(),
            turn: Turn::default(),
            tried: HashSet::new(),
            unmarked: HashSet::new(),
        }
    }

    fn course(&self) -> MutexGuard<'a, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is aside is tried once more, from the beginning of the queue.
    pub(super) fn begin_last_turn(&mut self) {
        self.course().begin_last_turn();
        self.turn = Turn::default();
    }

    /// The next operations on different records, in order, `most` at most. Those behind one that waits on the same record wait, too; none of
    /// a record that has one on its way.
    pub(super) async fn next(&mut self, most: usize) -> Result<Found, Error> {
        let now = self.inner.clock.now();
        let mut turn = std::mem::take(&mut self.turn);
        let mut read = HashMap::new();
        let chosen = self.choose(&mut turn, now, most, &mut read).await;
        self.turn = turn;
        let chosen = chosen?;
        if self.course().last_turn {
            self.tried.extend(chosen.iter().map(|(seq, _)| *seq));
        }
        Ok(Found { chosen, read })
    }

    async fn choose(
        &self,
        turn: &mut Turn,
        now: Timestamp,
        most: usize,
        read: &mut HashMap<u64, Operation>,
    ) -> Result<Chosen, Error> {
        let count = u32::try_from(most).unwrap_or(u32::MAX);
        let mut choice = Choice::new(turn, most);
        loop {
            if choice.is_full() {
                let from = choice.from();
                return Ok(choice.end(from));
            }
            let page = self.inner.queue.from(choice.from(), count).await?;
            if page.is_empty() {
                return Ok(choice.end(u64::MAX));
            }
            for operation in page {
                if operation.seq > self.last {
                    return Ok(choice.end(operation.seq));
                }
                let (seq, is_asked) = (operation.seq, self.is_asked(&operation));
                let rests = operation.state.is_parked() || is_asked && self.rests(&operation, now);
                let key = (operation.table.clone(), operation.id.clone());
                let goes_on = match operation.unit {
                    // One of a table that is not asked for keeps the others back.
                    Some(unit) => choice.come_to(seq, key, Some(unit), rests || !is_asked),
                    None if is_asked => choice.come_to(seq, key, None, rests),
                    None => choice.pass(seq),
                };
                if !goes_on {
                    return Ok(choice.end(seq));
                }
                // What is passed by is not kept: it may be the whole queue.
                if choice.last() == Some(seq) {
                    read.insert(seq, operation);
                }
            }
        }
    }

    /// A chosen operation is settled; `stays`: it is in the queue still.
    pub(super) fn settled(&mut self, seq: u64, key: &Key, stays: bool) {
        self.turn.settled(seq, key, stays);
    }

    /// A chosen operation was not there to be marked. Mostly it is gone by now, or parked, which another look shows. Where the store has it still, the
    /// index has lost it, and it waits until [`verify`](crate::sync::SyncContext::verify) says so: looked at again and again, it would keep the push going
    /// for ever.
    pub(super) fn not_marked(&mut self, seq: u64, key: &Key) {
        let is_first = self.unmarked.insert(seq);
        self.turn.settled(seq, key, is_first);
        if !is_first {
            self.turn.blocked.insert(key.clone());
        }
    }

    fn is_asked(&self, operation: &Operation) -> bool {
        let tables = self.orders.tables.as_ref();
        tables.is_none_or(|tables| tables.contains(&operation.table))
    }

    /// Whether it is not the turn of an operation.
    fn rests(&self, operation: &Operation, now: Timestamp) -> bool {
        let seq = operation.seq;
        let mut course = self.course();
        let aside = operation.aside.as_ref();
        let held = aside
            .and_then(|aside| aside.next_try)
            .is_some_and(|next| next > now && next.plus_millis(-HELD_AT_MOST) <= now);
        let first = !course.last_turn && course.aside().contains(&seq);
        let last =
            course.last_turn && (!course.aside().contains(&seq) || self.tried.contains(&seq));
        let rest = held || !course.may_send(&operation.table);
        if rest && !course.last_turn {
            course.wait([seq]);
        }
        first || last || rest
    }
}
