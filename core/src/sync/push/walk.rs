//! Which operations go next: a pure rule, and the walk through the queue that it is asked on.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::sync::inner::Inner;
use crate::sync::push::course::Course;
use crate::sync::push::orders::Orders;
use crate::sync::queue::operation::Operation;
use crate::timestamp::Timestamp;

/// A wait that lies further ahead than any that is stored comes from a clock that went back: it binds nobody.
const HELD_AT_MOST: i64 = 2 * 60 * 60 * 1000;

/// A record.
pub(super) type Key = (TableName, RecordId);
/// Operations on different records that are marked, sent and settled together.
pub(super) type Chosen = Vec<(u64, Key)>;

/// How far a push has come with the queue. Everything before `from` was looked at: it is done, on its way, or waits.
#[derive(Debug, Default)]
struct Turn {
    from: u64,
    /// Records with an operation before `from` that waits: those behind it wait, too.
    blocked: HashSet<Key>,
    /// Records with an operation that was chosen and is not settled.
    on_the_way: HashMap<Key, u64>,
}

/// What becomes of an operation at which a walk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Goes,
    /// It waits, or is on its way already.
    Passed,
    /// The walk ends before it: what became of an operation on the same record is to be known first.
    Ends,
}

impl Turn {
    /// `rests`: it is not to be sent in this turn.
    fn step(&mut self, seq: u64, key: &Key, rests: bool) -> Step {
        let step = match self.on_the_way.get(key) {
            Some(other) if *other == seq => Step::Passed,
            Some(_) => return Step::Ends,
            None if rests || self.blocked.contains(key) => {
                self.blocked.insert(key.clone());
                Step::Passed
            }
            None => {
                self.on_the_way.insert(key.clone(), seq);
                Step::Goes
            }
        };
        self.from = seq.saturating_add(1);
        step
    }

    /// A chosen operation is settled. One that stays in the queue is looked at again.
    fn settled(&mut self, seq: u64, key: &Key, stays: bool) {
        self.on_the_way.remove(key);
        if stays {
            self.from = self.from.min(seq);
        }
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
    pub(super) async fn next(&mut self, most: usize) -> Result<Chosen, Error> {
        let mut chosen = Vec::new();
        let now = self.inner.clock.now();
        let count = u32::try_from(most).unwrap_or(u32::MAX);
        'pages: loop {
            let page = self.inner.queue.from(self.turn.from, count).await?;
            if page.is_empty() {
                break;
            }
            for operation in page {
                if chosen.len() >= most || operation.seq > self.last {
                    break 'pages;
                }
                let (seq, is_asked) = (operation.seq, self.is_asked(&operation));
                let rests = operation.state.is_parked() || is_asked && self.rests(&operation, now);
                let key = (operation.table, operation.id);
                if !is_asked {
                    self.turn.from = seq.saturating_add(1);
                    continue;
                }
                match self.turn.step(seq, &key, rests) {
                    Step::Goes => chosen.push((seq, key)),
                    Step::Passed => {}
                    Step::Ends => break 'pages,
                }
            }
        }
        if self.course().last_turn {
            self.tried.extend(chosen.iter().map(|(seq, _)| *seq));
        }
        Ok(chosen)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> Key {
        (
            TableName::new("t").unwrap(),
            RecordId::new(&format!("r{number}")).unwrap(),
        )
    }

    /// What the model knows of an operation.
    #[derive(Debug, Clone, Copy)]
    struct One {
        record: u8,
        /// How it ends when it is sent: 0 done, 1 waits, more: it goes again, once less.
        ends: u8,
        waits: bool,
    }

    /// A queue, and what was sent of it.
    struct Model {
        queue: BTreeMap<u64, One>,
        sent: Vec<u64>,
    }

    impl Model {
        /// A walk as [`Walk::next`] makes it.
        fn next(&self, turn: &mut Turn, most: usize) -> Vec<(u64, Key)> {
            let mut chosen = Vec::new();
            for (seq, one) in self.queue.range(turn.from..) {
                if chosen.len() >= most {
                    break;
                }
                let key = key(one.record);
                match turn.step(*seq, &key, one.waits) {
                    Step::Goes => chosen.push((*seq, key)),
                    Step::Passed => {}
                    Step::Ends => break,
                }
            }
            chosen
        }

        fn send(&mut self, group: &[(u64, Key)]) -> Result<(), TestCaseError> {
            let records = group.iter().map(|(_, key)| key).collect::<HashSet<_>>();
            prop_assert_eq!(records.len(), group.len());
            for (seq, key) in group {
                // Nothing of its record is before it, waiting or not.
                let before = self.queue.range(..seq);
                let mut same = before.filter(|(_, one)| self::key(one.record) == *key);
                prop_assert!(same.next().is_none(), "{} goes too early", seq);
                self.sent.push(*seq);
            }
            Ok(())
        }

        fn settle(&mut self, turn: &mut Turn, group: &[(u64, Key)]) {
            for (seq, key) in group {
                let one = self.queue.get_mut(seq).expect("it was sent");
                let stays = one.ends > 0;
                match one.ends {
                    0 => _ = self.queue.remove(seq),
                    1 => one.waits = true,
                    _ => one.ends -= 2,
                }
                turn.settled(*seq, key, stays);
            }
        }
    }

    proptest! {
        /// While one group is at the server, the one before it is settled and the next is chosen. Whatever the answers, each operation goes behind those
        /// of its record, and at the end only what waits is left, with what stands behind it.
        #[test]
        fn all_go_in_order_that_do_not_wait(
            queue in proptest::collection::vec((0_u8..6, 0_u8..5, 0_u8..8), 0..40),
            most in 1_usize..6,
            overlaps: bool,
        ) {
            let of = |(seq, (record, ends, waits)): (usize, (u8, u8, u8))| {
                (seq as u64, One { record, ends, waits: waits == 0 })
            };
            let queue = queue.into_iter().enumerate().map(of).collect();
            let mut model = Model { queue, sent: Vec::new() };
            let mut turn = Turn::default();
            let mut before: Vec<(u64, Key)> = Vec::new();
            let mut group = model.next(&mut turn, most);
            while !group.is_empty() || !before.is_empty() {
                model.send(&group)?;
                model.settle(&mut turn, &before);
                let mut next = Vec::new();
                if overlaps {
                    next = model.next(&mut turn, most);
                }
                if next.is_empty() {
                    model.settle(&mut turn, &group);
                    group.clear();
                    next = model.next(&mut turn, most);
                }
                (before, group) = (group, next);
            }
            let mut blocked = HashSet::new();
            for one in model.queue.values() {
                prop_assert!(one.waits || blocked.contains(&one.record));
                blocked.insert(one.record);
            }
            prop_assert!(turn.on_the_way.is_empty());
        }
    }
}
