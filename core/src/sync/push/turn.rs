//! Which operations go next: a pure rule.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::name::{RecordId, TableName};
use crate::sync::queue::operation::Unit;

/// A record.
pub(super) type Key = (TableName, RecordId);
/// Operations on different records that are marked, sent and settled together.
pub(super) type Chosen = Vec<(u64, Key)>;

/// How far a push has come with the queue. Everything before `from` was looked at: it is done, on its way, or waits.
#[derive(Debug, Default)]
pub(super) struct Turn {
    from: u64,
    /// Records with an operation before `from` that waits: those behind it wait, too.
    pub(super) blocked: HashSet<Key>,
    /// Records with an operation that was chosen and is not settled.
    on_the_way: HashMap<Key, u64>,
}

/// An operation of a unit, passed by a walk that has not come to all of them.
#[derive(Debug)]
struct Passing {
    seq: u64,
    key: Key,
    /// It is not to be sent in this turn.
    rests: bool,
}

/// The units that a walk has met and not come past.
#[derive(Debug, Default)]
struct Units(BTreeMap<u64, (Unit, Vec<Passing>)>);

impl Units {
    fn meet(&mut self, unit: Unit, passing: Passing) {
        let (_, members) = self.0.entry(unit.first).or_insert((unit, Vec::new()));
        members.push(passing);
    }

    /// Takes a unit of which no operation stands at this place or behind it.
    fn take_before(&mut self, seq: u64) -> Option<(Unit, Vec<Passing>)> {
        let mut units = self.0.iter();
        let (first, _) = units.find(|(_, (unit, _))| unit.last < seq)?;
        let first = *first;
        self.0.remove(&first)
    }

    /// The first place of them.
    fn first(&self) -> Option<u64> {
        let members = self.0.values().flat_map(|(_, members)| members);
        members.map(|it| it.seq).min()
    }
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

    /// The same for operations that go together or not at all, to whichever place the walk has come.
    fn step_unit(&mut self, members: &[Passing]) -> Step {
        let on_the_way = |passing: &Passing| self.on_the_way.get(&passing.key).copied();
        if members.iter().any(|it| on_the_way(it) == Some(it.seq)) {
            return Step::Passed;
        }
        if members.iter().any(|it| on_the_way(it).is_some()) {
            return Step::Ends;
        }
        if members
            .iter()
            .any(|it| it.rests || self.blocked.contains(&it.key))
        {
            self.blocked.extend(members.iter().map(|it| it.key.clone()));
            return Step::Passed;
        }
        let chosen = members.iter().map(|it| (it.key.clone(), it.seq));
        self.on_the_way.extend(chosen);
        Step::Goes
    }

    /// A chosen operation is settled. One that stays in the queue is looked at again.
    pub(super) fn settled(&mut self, seq: u64, key: &Key, stays: bool) {
        self.on_the_way.remove(key);
        if stays {
            self.from = self.from.min(seq);
        }
    }
}

/// The choice of the next operations by one walk: whole units, and each operation behind those of its record.
pub(super) struct Choice<'a> {
    turn: &'a mut Turn,
    most: usize,
    units: Units,
    chosen: Chosen,
}

impl<'a> Choice<'a> {
    /// Of so many operations at most; only one unit that is larger is chosen all the same.
    pub(super) fn new(turn: &'a mut Turn, most: usize) -> Self {
        Self {
            turn,
            most,
            units: Units::default(),
            chosen: Vec::new(),
        }
    }

    /// The operation that was chosen last.
    pub(super) fn last(&self) -> Option<u64> {
        self.chosen.last().map(|(seq, _)| *seq)
    }

    /// Whether as many are chosen as may be.
    pub(super) fn is_full(&self) -> bool {
        self.chosen.len() >= self.most
    }

    /// From where on the queue is looked at.
    pub(super) fn from(&self) -> u64 {
        self.turn.from
    }

    /// Comes to an operation; `rests`: it is not to be sent in this turn. False where the walk ends before it.
    pub(super) fn come_to(&mut self, seq: u64, key: Key, unit: Option<Unit>, rests: bool) -> bool {
        if !self.choose_units_before(seq) || self.is_full() {
            return false;
        }
        if let Some(unit) = unit {
            self.units.meet(unit, Passing { seq, key, rests });
            self.turn.from = seq.saturating_add(1);
            return true;
        }
        match self.turn.step(seq, &key, rests) {
            Step::Goes => self.chosen.push((seq, key)),
            Step::Passed => {}
            Step::Ends => return false,
        }
        true
    }

    /// Comes to an operation that nobody asks for. False where the walk ends before it.
    pub(super) fn pass(&mut self, seq: u64) -> bool {
        if !self.choose_units_before(seq) || self.is_full() {
            return false;
        }
        self.turn.from = seq.saturating_add(1);
        true
    }

    /// The walk ends before this place.
    pub(super) fn end(mut self, seq: u64) -> Chosen {
        self.choose_units_before(seq);
        if let Some(first) = self.units.first() {
            // Another walk meets the whole of them.
            self.turn.from = self.turn.from.min(first);
        }
        self.chosen
    }

    /// Chooses the units that the walk has come past, each as a whole. False where it ends before one of them.
    fn choose_units_before(&mut self, seq: u64) -> bool {
        while let Some((unit, members)) = self.units.take_before(seq) {
            let fits = self.chosen.is_empty() || self.chosen.len() + members.len() <= self.most;
            let step = if fits {
                self.turn.step_unit(&members)
            } else {
                Step::Ends
            };
            match step {
                Step::Goes => {
                    let members = members.into_iter().map(|it| (it.seq, it.key));
                    self.chosen.extend(members);
                }
                Step::Passed => {}
                Step::Ends => {
                    self.units.0.insert(unit.first, (unit, members));
                    return false;
                }
            }
        }
        true
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
        /// It goes together with others or not at all.
        unit: Option<Unit>,
    }

    /// A queue, and what was sent of it.
    struct Model {
        queue: BTreeMap<u64, One>,
        sent: Vec<u64>,
    }

    impl Model {
        /// A walk as [`Walk::next`] makes it.
        fn next(&self, turn: &mut Turn, most: usize) -> Vec<(u64, Key)> {
            let mut choice = Choice::new(turn, most);
            let from = choice.from();
            for (seq, one) in self.queue.range(from..) {
                // As at the end of a page.
                if choice.is_full() {
                    let from = choice.from();
                    return choice.end(from);
                }
                if !choice.come_to(*seq, key(one.record), one.unit, one.waits) {
                    return choice.end(*seq);
                }
            }
            choice.end(u64::MAX)
        }

        /// Makes one of operations that stand side by side, on different records and of no other unit.
        fn make_unit(&mut self, first: u64, count: usize) {
            let all: Vec<u64> = self
                .queue
                .range(first..)
                .take(count)
                .map(|(seq, _)| *seq)
                .collect();
            let records: HashSet<u8> = all.iter().map(|seq| self.queue[seq].record).collect();
            let is_free = all.iter().all(|seq| self.queue[seq].unit.is_none());
            if let (true, true, [first, .., last]) = (is_free, records.len() == all.len(), &all[..])
            {
                let unit = Unit {
                    first: *first,
                    last: *last,
                };
                for one in self.queue.range_mut(first..=last) {
                    one.1.unit = Some(unit);
                }
            }
        }

        fn send(&mut self, group: &[(u64, Key)]) -> Result<(), TestCaseError> {
            let records = group.iter().map(|(_, key)| key).collect::<HashSet<_>>();
            prop_assert_eq!(records.len(), group.len());
            for (seq, key) in group {
                // Nothing of its record is before it, waiting or not.
                let before = self.queue.range(..seq);
                let mut same = before.filter(|(_, one)| self::key(one.record) == *key);
                prop_assert!(same.next().is_none(), "{} goes too early", seq);
                let unit = self.queue.get(seq).and_then(|one| one.unit);
                let others = self.queue.iter().filter(|(_, one)| one.unit == unit);
                let mut others = others.filter(|_| unit.is_some()).map(|(other, _)| other);
                let goes = |other| group.iter().any(|(seq, _)| seq == other);
                prop_assert!(others.all(goes), "the unit of {} is cut", seq);
                self.sent.push(*seq);
            }
            Ok(())
        }

        fn settle(&mut self, turn: &mut Turn, group: &[(u64, Key)]) {
            // Of a unit in which one waits none is done.
            let waits = |one: &One| one.ends == 1;
            let held: Vec<Unit> = (group.iter())
                .filter_map(|(seq, _)| self.queue.get(seq).filter(|one| waits(one))?.unit)
                .collect();
            for (seq, key) in group {
                let one = self.queue.get_mut(seq).expect("it was sent");
                if one.unit.is_some_and(|unit| held.contains(&unit)) && !waits(one) {
                    turn.settled(*seq, key, true);
                    continue;
                }
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
            units in proptest::collection::vec((0_usize..40, 2_usize..5), 0..6),
            most in 1_usize..6,
            overlaps: bool,
        ) {
            let of = |(seq, (record, ends, waits)): (usize, (u8, u8, u8))| {
                (seq as u64, One { record, ends, waits: waits == 0, unit: None })
            };
            let queue = queue.into_iter().enumerate().map(of).collect();
            let mut model = Model { queue, sent: Vec::new() };
            for (first, count) in units {
                model.make_unit(first as u64, count);
            }
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
            let queue = &model.queue;
            // What stands behind one that waits, or belongs to it, waits, too; and so on.
            for _ in 0..queue.len() {
                let mut before = HashSet::new();
                for (seq, one) in queue {
                    let others = queue.iter().filter(|(_, other)| other.unit == one.unit);
                    let mut others = others.filter(|_| one.unit.is_some());
                    let with_unit = others.any(|(other, _)| blocked.contains(other));
                    if one.waits || before.contains(&one.record) || with_unit {
                        blocked.insert(*seq);
                        before.insert(one.record);
                    }
                }
            }
            for seq in queue.keys() {
                prop_assert!(blocked.contains(seq), "{} was left", seq);
            }
            prop_assert!(turn.on_the_way.is_empty());
        }
    }
}
