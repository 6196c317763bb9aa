//! Units on their way: operations that the server does together or not at all.
//!
//! They go side by side in one batch. Where one of them is not done, none is; the one in the way is judged as every other operation, but not sent alone
//! again, and the others wait with it. Where a unit cannot go as one, as the server does not take it or has to be asked about one of its operations,
//! it is parted: each goes by itself, in order.

use std::collections::{BTreeSet, VecDeque};

use crate::sync::push::answer::{Answer, Failure};
use crate::sync::push::group::{OnItsWay, Travel};
use crate::sync::push::outgoing::Told;
use crate::sync::queue::operation::Unit;
use crate::transport::{Outcome, Rejection, TransportError};

impl OnItsWay<'_> {
    /// The unit of an operation, where it is to go together with others of this group.
    pub(super) fn unit_of(&self, place: usize) -> Option<Unit> {
        let unit = self.members.get(place)?.sending.operation.unit?;
        let count = self.units.get(&unit.first)?;
        (*count >= 2 && !self.known().parted.contains(&unit.first)).then_some(unit)
    }

    /// How many operations are one unit, from this one of those that are left on.
    pub(super) fn unit_at(&self, left: &VecDeque<usize>, from: usize) -> usize {
        let Some(unit) = left.get(from).and_then(|place| self.unit_of(*place)) else {
            return 0;
        };
        let places = left.range(from..);
        let own = places.take_while(|place| self.unit_of(**place) == Some(unit));
        own.count()
    }

    /// Whether so many operations, from this one of those that are left on, can go as the unit that they are.
    pub(super) fn unit_may_travel(
        &self,
        left: &VecDeque<usize>,
        from: usize,
        count: usize,
    ) -> Travel {
        let places = || left.range(from..).take(count);
        let table_waits = |place: &usize| {
            let member = self.members.get(*place);
            member.is_some_and(|it| !self.delivery.may_send(&it.sending.operation.table))
        };
        if places().any(table_waits) {
            return Travel::Waits;
        }
        if !self.remote().has_heard() {
            return Travel::Asks;
        }
        let most = self.remote().unit_size().unwrap_or_default();
        if count < 2 || count > most || !places().all(|place| self.may_travel(*place)) {
            return Travel::Parts;
        }
        Travel::Goes
    }

    /// A unit is next, and does not go yet: finds out what the server takes, lets it wait, or parts it.
    pub(super) async fn ready_unit(&self, left: &mut VecDeque<usize>) {
        let count = self.unit_at(left, 0);
        let first = left.front().and_then(|place| self.members.get(*place));
        let Some(operation) = first.map(|member| &member.sending.operation) else {
            return;
        };
        match self.unit_may_travel(left, 0, count) {
            Travel::Goes => {}
            Travel::Asks => {
                if let Err(error) = self.remote().control(&operation.table).await {
                    self.known().stopped.get_or_insert(error.into());
                }
            }
            Travel::Waits => drop(left.drain(..count)),
            Travel::Parts => self.part(operation.unit),
        }
    }

    /// The operations of a unit go one by one from now on, as far as this group goes.
    pub(super) fn part(&self, unit: Option<Unit>) {
        if let Some(unit) = unit {
            tracing::debug!(first = unit.first, "a unit goes one by one");
            self.known().parted.insert(unit.first);
        }
    }

    /// The unit that these operations are, where they are one and nothing else.
    pub(super) fn only_unit(&self, places: &[usize]) -> Option<Unit> {
        let mut units = places.iter().map(|place| self.unit_of(*place));
        let unit = units.next()??;
        units.all(|other| other == Some(unit)).then_some(unit)
    }

    /// Nothing was said of any operation of a batch: the first of them, or its unit, finds out why. Returns the others.
    pub(super) async fn without_words(
        &self,
        places: &[usize],
        error: Option<TransportError>,
    ) -> Vec<usize> {
        self.not_sent(places);
        let Some((first, rest)) = places.split_first() else {
            return Vec::new();
        };
        let Some(unit) = self.unit_of(*first) else {
            // It finds out whether there is a server, renews credentials, and asks about what was lost.
            self.deliver_one(*first, None).await;
            return rest.to_vec();
        };
        let own = |place: &&usize| self.unit_of(**place) == Some(unit);
        let (members, rest): (Vec<&usize>, Vec<&usize>) = places.iter().partition(own);
        self.set_unit_aside(members, error).await;
        rest.into_iter().copied().collect()
    }

    /// Nothing was said of a unit that was sent: is it the server, or the unit?
    async fn set_unit_aside(&self, places: Vec<&usize>, error: Option<TransportError>) {
        let first = places.first().and_then(|place| self.members.get(**place));
        // Without an error nothing was sent, and the push ends.
        let (Some(first), Some(error)) = (first, error) else {
            return;
        };
        if let Err(error) = self.delivery.look_at(&first.sending.operation.table).await {
            self.known().stopped.get_or_insert(error.into());
            return;
        }
        let now = self.remote().capabilities().server_time;
        let failure = Failure::of(&error, now);
        for place in places {
            self.wait_aside(*place, &failure);
        }
    }

    /// What was said of operations of a batch, and those of which nothing was. One that the server left, while it looked at others of its unit, is not done:
    /// it does not go without them.
    pub(super) fn with_units(
        &self,
        places: &[usize],
        told: Vec<(usize, Option<Told>)>,
    ) -> (Vec<(usize, Option<Told>)>, Vec<usize>) {
        let looked_at: BTreeSet<u64> = told
            .iter()
            .filter_map(|(place, _)| Some(self.unit_of(*place)?.first))
            .collect();
        let mut rest = Vec::new();
        let mut told = told.into_iter().peekable();
        let mut all = Vec::with_capacity(places.len());
        for place in places {
            if let Some(next) = told.next_if(|(other, _)| other == place) {
                all.push(next);
            } else if self
                .unit_of(*place)
                .is_some_and(|unit| looked_at.contains(&unit.first))
            {
                all.push((*place, None));
            } else {
                rest.push(*place);
            }
        }
        (all, rest)
    }

    /// Concludes what was said of the operations of a batch; nothing of those that were not done because of another one of their unit.
    pub(super) async fn deliver_told(&self, told: Vec<(usize, Option<Told>)>) {
        let (mut not_done, mut explained) = (Vec::new(), BTreeSet::new());
        let whole = self.go_whole(&told);
        for (place, told) in told {
            let unit = self.unit_of(place);
            match (told, unit) {
                (None, _) => {
                    self.not_sent(&[place]);
                    not_done.push((unit, place));
                }
                (Some(_), Some(unit)) if whole.contains(&place) => {
                    explained.insert(unit.first);
                    self.not_sent(&[place]);
                }
                (told, _) => self.deliver_one(place, told).await,
            }
        }
        for group in not_done.chunk_by(|(one, _), (next, _)| one == next) {
            let unit = group.first().and_then(|(unit, _)| *unit);
            if unit.is_some_and(|unit| explained.contains(&unit.first)) {
                continue;
            }
            if let Some(failure) = self.reason(unit) {
                for (_, place) in group {
                    self.wait_aside(*place, &failure);
                }
            }
        }
    }

    /// Those that go again as a whole: their server takes no members alone, which is known of their tables from now on.
    fn go_whole(&self, told: &[(usize, Option<Told>)]) -> BTreeSet<usize> {
        let operation = |place: usize| Some(&self.members.get(place)?.sending.operation);
        let whole: BTreeSet<usize> = (told.iter())
            .filter(|(place, told)| {
                let says_so = |told: &Told| matches!(told.result, Ok(Outcome::WholeOnly));
                told.as_ref().is_some_and(says_so)
                    && self.unit_of(*place).is_some()
                    && operation(*place).is_some_and(|operation| {
                        operation.members.is_some() && self.remote().takes_members(operation)
                    })
            })
            .map(|(place, _)| *place)
            .collect();
        for operation in whole.iter().filter_map(|place| operation(*place)) {
            self.remote().link.learn_whole_only(&operation.table);
        }
        whole
    }

    /// Why the others of a unit wait for the end of the push, or for the next one: one of it does, or the server does not say which of it is in the
    /// way. `None`: one of it waits for a decision, or goes again, and so do they.
    fn reason(&self, unit: Option<Unit>) -> Option<Failure> {
        let known = self.known();
        let mut is_explained = false;
        for (member, delivered) in self.members.iter().zip(&known.delivered) {
            if unit.is_none() || member.sending.operation.unit != unit {
                continue;
            }
            match &delivered.answer {
                Answer::Aside { failure, .. } => return Some(failure.behind()),
                Answer::NotSent => {}
                _ => is_explained = true,
            }
        }
        let words = "the server does not say what keeps it from doing these changes as one";
        let now = self.remote().capabilities().server_time;
        let unexplained = || Failure::deferred(&Rejection::new(None, words), now);
        (!is_explained && known.stopped.is_none()).then(unexplained)
    }

    /// An operation waits with others of its unit.
    fn wait_aside(&self, place: usize, failure: &Failure) {
        let Some(sending) = self.sending(place) else {
            return;
        };
        self.delivery.waits(&sending.operation);
        let (failure, sent) = (failure.clone(), sending.unsure);
        self.set(place, Answer::Aside { failure, sent }.into());
    }
}
