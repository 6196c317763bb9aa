//! A group on its way: which operations travel together, which alone, and what becomes of a request with many.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, FuturesUnordered, StreamExt};

use crate::error::Error;
use crate::name::TableName;
use crate::sync::push::answer::{Answer, Answered, Delivered, Failure};
use crate::sync::push::batch::End;
use crate::sync::push::deliver::{Delivery, Manner};
use crate::sync::push::mark::Sending;
use crate::sync::push::outgoing::Told;
use crate::sync::push::request::change;
use crate::sync::remote::Remote;
use crate::transport::{BatchAnswer, Change, ChangeAnswer, TransportError, TransportErrorKind};

/// Batches at the server at once, at most: one is on its way there while the answer to the other is on its way back.
const BATCHES: usize = 2;

/// An operation of a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) sending: Sending,
    /// A conflict that was decided in its favour so often is left to the user now.
    last_round: bool,
}

impl Member {
    pub(super) fn new(sending: Sending, last_round: bool) -> Self {
        Self {
            sending,
            last_round,
        }
    }

    /// It does not go out after all.
    pub(super) fn not_sent(self) -> Answered {
        Answered::new(self.sending, Answer::NotSent.into())
    }
}

/// A group that was marked, and what is known of it so far.
pub(super) struct OnItsWay<'a> {
    pub(super) delivery: Delivery<'a>,
    /// Operations that may be at the server at once, where they go one by one.
    parallel: usize,
    pub(super) members: Vec<Member>,
    /// How many operations of each unit are in the group.
    pub(super) units: HashMap<u64, usize>,
    known: Mutex<Known>,
}

pub(super) struct Known {
    pub(super) delivered: Vec<Delivered>,
    /// The places of those that may be in by a batch that was lost.
    doubtful: BTreeSet<usize>,
    /// Units of which each operation goes by itself after all, by their first places.
    pub(super) parted: BTreeSet<u64>,
    /// Why no more is sent.
    pub(super) stopped: Option<Error>,
}

/// What becomes of a unit that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Travel {
    /// It goes as one.
    Goes,
    /// It is not known yet what the server takes.
    Asks,
    /// What is left of one of its tables waits.
    Waits,
    /// Each operation goes by itself.
    Parts,
}

/// What a request with many operations came to.
enum Batch {
    /// What was said of operations, each with its place, in order; nothing where it is not done, as another one of its unit is not.
    Told(Vec<(usize, Option<Told>)>),
    /// Nothing was done, and fewer may go together.
    Smaller,
    /// Nothing was done, or it is not known, for this reason; alone they are judged as they have always been.
    Alone(Option<TransportError>),
}

impl<'a> OnItsWay<'a> {
    pub(super) fn new(delivery: Delivery<'a>, parallel: usize, members: Vec<Member>) -> Self {
        let delivered = members.iter().map(|_| Answer::NotSent.into()).collect();
        let mut units = HashMap::new();
        for unit in members.iter().filter_map(|it| it.sending.operation.unit) {
            *units.entry(unit.first).or_default() += 1;
        }
        Self {
            delivery,
            parallel,
            members,
            units,
            known: Mutex::new(Known {
                delivered,
                doubtful: BTreeSet::new(),
                parted: BTreeSet::new(),
                stopped: None,
            }),
        }
    }

    /// What is known of each operation, and why not all of them were sent, if so.
    pub(super) fn ended(self) -> (Vec<(Sending, Delivered)>, Option<Error>) {
        let known = self
            .known
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let sendings = self.members.into_iter().map(|member| member.sending);
        (sendings.zip(known.delivered).collect(), known.stopped)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, place: usize, delivered: Delivered) {
        if let Some(slot) = self.known().delivered.get_mut(place) {
            *slot = delivered;
        }
    }

    pub(super) fn remote(&self) -> &'a Remote {
        self.delivery.remote
    }

    /// Sends all of it, in order. Where several requests may be at the server at once, a batch goes out while the answer to the one before it is on its
    /// way: a slow line is never idle then. What was not answered goes again once nothing else is under way.
    pub(super) async fn deliver(&self) {
        let mut left: VecDeque<usize> = (0..self.members.len()).collect();
        let mut under_way = FuturesUnordered::new();
        loop {
            let mut may_begin = true;
            while may_begin && self.known().stopped.is_none() {
                let together = self.together(&left);
                may_begin = together >= 2 && under_way.len() < self.batches();
                if may_begin {
                    let batch: Vec<usize> = left.drain(..together).collect();
                    under_way.push(self.deliver_batch(batch));
                }
            }
            if let Some(mut left_over) = under_way.next().await {
                while !left_over.is_empty() {
                    let Some(more) = under_way.next().await else {
                        break;
                    };
                    left_over.extend(more);
                }
                left.extend(left_over);
                left.make_contiguous().sort_unstable();
            } else if left.is_empty() || self.known().stopped.is_some() {
                return;
            } else if self.unit_at(&left, 0) > 0 {
                self.ready_unit(&mut left).await;
            } else {
                let alone: Vec<usize> = left.drain(..self.alone(&left)).collect();
                self.deliver_each(&alone).await;
            }
        }
    }

    /// Batches that may be at the server at once.
    fn batches(&self) -> usize {
        self.parallel.min(BATCHES)
    }

    /// How many of the next operations travel together: each unit as a whole, one in front in whatever number.
    fn together(&self, left: &VecDeque<usize>) -> usize {
        let (mut count, mut size) = (0, self.remote().batch_size().unwrap_or_default());
        if self.delivery.is_last_turn() {
            // What failed before is looked at one by one, or unit by unit.
            size = 0;
        }
        while count < left.len() {
            let unit = self.unit_at(left, count);
            let fits = count + unit.max(1) <= size || unit > 0 && count == 0;
            let goes = fits
                && match left.get(count) {
                    Some(place) if unit == 0 => self.may_travel(*place),
                    _ => self.unit_may_travel(left, count, unit) == Travel::Goes,
                };
            if !goes {
                break;
            }
            count += unit.max(1);
        }
        count
    }

    /// How many of the next operations go one by one, before some may travel together again.
    fn alone(&self, left: &VecDeque<usize>) -> usize {
        if !self.remote().has_heard() {
            // The first answer says whether the server takes many at once.
            return 1;
        }
        let all = self.remote().batch_size().is_none() || self.delivery.is_last_turn();
        let odd = left.iter().take_while(|place| {
            self.unit_of(**place).is_none() && (all || !self.may_travel(**place))
        });
        odd.count().max(1)
    }

    async fn deliver_each(&self, places: &[usize]) {
        let deliveries = places.iter().map(|place| self.deliver_one(*place, None));
        // Collected, as a stream of closures is not known to be `Send`.
        let deliveries: Vec<_> = deliveries.collect();
        stream::iter(deliveries)
            .buffer_unordered(self.parallel)
            .collect::<Vec<()>>()
            .await;
    }

    /// Sends operations in one request; returns those that are to go again, as nothing was said of them.
    async fn deliver_batch(&self, places: Vec<usize>) -> Vec<usize> {
        match self.send_batch(&places).await {
            Batch::Told(told) if !told.is_empty() => {
                let (told, rest) = self.with_units(&places, told);
                self.not_sent(&rest);
                self.deliver_told(told).await;
                rest
            }
            Batch::Smaller => {
                self.not_sent(&places);
                self.part(self.only_unit(&places));
                places
            }
            Batch::Told(_) => {
                self.part(places.first().and_then(|place| self.unit_of(*place)));
                self.without_words(&places, None).await
            }
            Batch::Alone(error) => self.without_words(&places, error).await,
        }
    }

    /// Nothing is known of these by this request.
    pub(super) fn not_sent(&self, places: &[usize]) {
        let mut known = self.known();
        for place in places {
            let answer = if known.doubtful.contains(place) {
                Answer::Unknown
            } else {
                Answer::NotSent
            };
            if let Some(slot) = known.delivered.get_mut(*place) {
                *slot = answer.into();
            }
        }
    }

    /// One request with many operations, repeated as a whole under their ids where it may be lost.
    async fn send_batch(&self, places: &[usize]) -> Batch {
        let (remote, patience) = (self.remote(), self.remote().patience);
        let clock = &self.delivery.inner.clock;
        let mut last = None;
        for attempt in 1.. {
            if let Err(error) = self.delivery.inner.lease.keep().await {
                self.known().stopped.get_or_insert(error);
                break;
            }
            // Should the future be dropped, it is not known.
            for place in places {
                self.set(*place, Answer::Unknown.into());
            }
            let began = clock.now();
            let answer = remote.apply_all(self.changes(places)).await;
            let took = clock.now().millis().saturating_sub(began.millis());
            let took = u64::try_from(took).unwrap_or_default();
            let error = match answer {
                Ok(BatchAnswer::Each(answers)) => {
                    remote.link.learn_pace(places.len(), End::Answered(took));
                    return Batch::Told(told(places, answers));
                }
                Ok(BatchAnswer::Refused(refusal)) => {
                    tracing::debug!(operations = places.len(), %refusal.message, "the server takes no such batch");
                    // A unit that is too large says nothing of other batches.
                    if self.only_unit(places).is_none() {
                        remote.link.learn_pace(places.len(), End::Refused);
                    }
                    return Batch::Smaller;
                }
                Err(error) => error,
            };
            tracing::debug!(operations = places.len(), attempt, %error, "a batch failed");
            let wait = patience.delay(attempt, error.retry_after());
            let had_no_effect = error.kind().had_no_effect();
            let goes_again = !had_no_effect && may_pass(&error) && attempt < patience.attempts();
            last = Some(error);
            if !had_no_effect {
                self.known().doubtful.extend(places);
                remote.link.learn_pace(places.len(), End::Lost);
            }
            if !goes_again {
                break;
            }
            remote.wait(wait).await;
        }
        Batch::Alone(last)
    }

    /// The requests, in the words that each was first sent in.
    fn changes(&self, places: &[usize]) -> Vec<(TableName, Change, u32)> {
        let members = places.iter().filter_map(|place| {
            let member = self.members.get(*place)?;
            Some((member, self.unit_of(*place)))
        });
        let changes = members.map(|(Member { sending, .. }, unit)| {
            let operation = &sending.operation;
            let mut change = change(sending).with_unit(unit.map(|unit| unit.first));
            if !self.remote().takes_members(operation) {
                change.members = None;
            }
            (operation.table.clone(), change, operation.words)
        });
        changes.collect()
    }

    /// An operation as it is by now: one that may be in by a lost batch is unsure.
    pub(super) fn sending(&self, place: usize) -> Option<Cow<'_, Sending>> {
        let sending = &self.members.get(place)?.sending;
        if sending.unsure || !self.known().doubtful.contains(&place) {
            return Some(Cow::Borrowed(sending));
        }
        let mut sending = sending.clone();
        sending.unsure = true;
        Some(Cow::Owned(sending))
    }

    /// Whether it may travel with others.
    pub(super) fn may_travel(&self, place: usize) -> bool {
        self.sending(place)
            .is_some_and(|sending| self.delivery.may_travel(&sending))
    }

    /// Sends one operation, unless another one has stopped the push. `told`: what was said of it already.
    pub(super) async fn deliver_one(&self, place: usize, told: Option<Told>) {
        let member = self.members.get(place);
        let (Some(sending), Some(member)) = (self.sending(place), member) else {
            return;
        };
        let operation = &sending.operation;
        // What is done is done, whatever stops the push.
        if !told.as_ref().is_some_and(Told::is_done) {
            let may_send = told.is_some() || self.delivery.may_send(&operation.table);
            if self.known().stopped.is_some() || !may_send {
                return;
            }
            if let Err(error) = self.delivery.inner.lease.keep().await {
                self.known().stopped.get_or_insert(error);
                return;
            }
        }
        // Should the future be dropped, it is not known.
        self.set(place, Answer::Unknown.into());
        let manner = Manner {
            last_round: member.last_round,
            as_one: self.unit_of(place).is_some(),
        };
        let mut delivered = self.delivery.deliver(&sending, manner, told).await;
        let mut stop: Option<Error> = delivered.stop.take().map(Into::into);
        match &delivered.answer {
            Answer::Applied(_) | Answer::AppliedEarlier { .. } if delivered.accepted => {
                self.delivery.was_accepted(operation);
            }
            Answer::Aside { failure, .. } => {
                let failure: Failure = failure.clone();
                let noted = self.delivery.noted_aside(operation, &failure).await;
                stop = noted.err().map(Into::into);
            }
            Answer::NotSent | Answer::Unknown => {}
            _ => self.delivery.was_decided(operation),
        }
        self.set(place, delivered);
        if let Some(error) = stop {
            self.known().stopped.get_or_insert(error);
        }
    }
}

/// What was said, each with its place, in order.
fn told(places: &[usize], answers: Vec<ChangeAnswer>) -> Vec<(usize, Option<Told>)> {
    let told = places.iter().zip(answers).filter_map(|(place, answer)| {
        let (result, is_current) = match answer {
            ChangeAnswer::Alone(result) => (result, false),
            ChangeAnswer::Current(outcome) => (Ok(outcome), true),
            ChangeAnswer::NotDone => return Some((*place, None)),
            ChangeAnswer::NotTried => return None,
        };
        Some((*place, Some(Told { result, is_current })))
    });
    told.collect()
}

/// Whether the same batch may come through a little later. One that had no answer in time was too much for the line, and one at which the server
/// failed has a change in it at which it fails again: what is left goes in a smaller one.
fn may_pass(error: &TransportError) -> bool {
    use TransportErrorKind as Kind;
    matches!(error.kind(), Kind::Broken | Kind::Busy | Kind::Gateway)
}
