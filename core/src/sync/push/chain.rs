//! Groups on their way, one behind the other: while one is at the server, the answers about the one before it are stored, and the next is chosen and marked.
//!
//! One group at a time is at the server, so that operations arrive in order. A chain keeps pulls out from its first group to its last; it
//! ends as soon as somebody waits for that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future;

use crate::error::Error;
use crate::name::TableName;
use crate::sync::event::Event;
use crate::sync::inner::Inner;
use crate::sync::push::answer::{Answer, Answered, Settled};
use crate::sync::push::batch::MOST;
use crate::sync::push::course::Course;
use crate::sync::push::deliver::Delivery;
use crate::sync::push::group::{Member, OnItsWay};
use crate::sync::push::mark::Sending;
use crate::sync::push::orders::Orders;
use crate::sync::push::report::PushReport;
use crate::sync::push::turn::{Chosen, Key};
use crate::sync::push::walk::{Found, Walk};
use crate::sync::remote::Remote;
use crate::transport::TransportErrorKind;

/// Operations that are marked, sent and settled together: two commits a group instead of two an operation.
pub(crate) const GROUP: usize = 64;
/// Batches of one group, where they overlap.
const BATCHES_IN_A_GROUP: usize = 8;
/// A group has about so many bytes of content at most, as far as the one before it tells: three of them may be in memory at once.
const BYTES: usize = 4 << 20;
/// How often one push sends an operation whose conflict was decided in its favour.
const ROUNDS: u32 = 5;

/// What groups are sent with.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub(super) inner: &'a Inner,
    pub(super) orders: &'a Orders,
    pub(super) remote: &'a Remote,
    pub(super) course: &'a Mutex<Course>,
}

/// What a push remembers of the operations it has sent.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// How often each was sent again.
    rounds: HashMap<u64, u32>,
    /// What failed in this push, and how.
    pub(super) failed: HashMap<u64, (Key, Option<TransportErrorKind>)>,
    /// Some group came back.
    is_answered: bool,
    /// How many operations a group may have by the size of those of the last one.
    fits: Option<usize>,
    /// How many operations there were at the beginning.
    pub(super) total: u64,
}

/// A group that was marked: all that was chosen, and of that what is to be sent.
struct Marked {
    chosen: Chosen,
    members: Vec<Member>,
}

/// What a group came to.
struct Ended {
    chosen: Chosen,
    answers: Vec<Answered>,
    /// Why not all of it was sent.
    stopped: Option<Error>,
}

impl<'a> Chain<'a> {
    fn course(&self) -> MutexGuard<'a, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delivery(self) -> Delivery<'a> {
        Delivery {
            inner: self.inner,
            remote: self.remote,
            course: self.course,
        }
    }

    /// Sends this group and all that follow it in this turn.
    pub(super) async fn send(
        self,
        mut found: Found,
        walk: &mut Walk<'_>,
        books: &mut Books,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        while !found.chosen.is_empty() {
            if self.orders.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let _exchange = self.inner.guards.exchange.send().await;
            if self.course().last_turn {
                self.look_at_tables(&found.chosen).await?;
            }
            self.send_chain(found, walk, books, report).await?;
            found = walk.next(self.most(books)).await?;
        }
        Ok(())
    }

    async fn send_chain(
        self,
        found: Found,
        walk: &mut Walk<'_>,
        books: &mut Books,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        let mut next = Some(self.mark(found, books).await?);
        let mut before: Option<Ended> = None;
        while let Some(marked) = next.take() {
            // What is marked while nobody knows whether there is a server would be marked in vain.
            let goes_on = books.is_answered
                && !self.course().last_turn
                && !self.orders.cancel.is_cancelled()
                && !self.inner.guards.exchange.is_awaited();
            let meanwhile = async {
                if let Some(before) = before.take() {
                    self.settle(before, walk, books, report).await?;
                }
                if !goes_on {
                    return Ok(None);
                }
                let found = walk.next(self.most(books)).await?;
                if found.chosen.is_empty() {
                    return Ok(None);
                }
                self.mark(found, books).await.map(Some)
            };
            let (mut ended, prepared) = future::join(self.deliver(marked), meanwhile).await;
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    // What is known of the group is stored if it can be; else it is found out at the next push.
                    let _ = self.settle(ended, walk, books, report).await;
                    return Err(error);
                }
            };
            let Some(stopped) = ended.stopped.take() else {
                books.is_answered = true;
                (before, next) = (Some(ended), prepared);
                continue;
            };
            if let Some(prepared) = prepared {
                ended.add(prepared.not_sent());
            }
            self.settle(ended, walk, books, report).await?;
            return Err(stopped);
        }
        match before {
            Some(before) => self.settle(before, walk, books, report).await,
            None => Ok(()),
        }
    }

    async fn mark(self, found: Found, books: &mut Books) -> Result<Marked, Error> {
        let (chosen, to_mark) = found.into_marks();
        let sendings = self.inner.mark(self.remote, &to_mark).await?;
        if !sendings.is_empty() {
            let bytes = sendings.iter().map(Sending::bytes).sum();
            books.fits = Some(fits(sendings.len(), bytes));
        }
        let members = sendings.into_iter().map(|sending| {
            let rounds = books.rounds.get(&sending.operation.seq);
            let last_round = rounds.is_some_and(|rounds| *rounds >= ROUNDS);
            Member::new(sending, last_round)
        });
        Ok(Marked {
            members: members.collect(),
            chosen,
        })
    }

    /// Sends a group and collects what is known afterwards.
    async fn deliver(self, marked: Marked) -> Ended {
        let group = OnItsWay::new(self.delivery(), self.orders.parallel, marked.members);
        let cancelled = self.orders.cancel.run(group.deliver()).await.err();
        let (delivered, stopped) = group.ended();
        let answered = |(sending, delivered)| Answered::new(sending, delivered);
        Ended {
            chosen: marked.chosen,
            answers: delivered.into_iter().map(answered).collect(),
            stopped: stopped.or(cancelled),
        }
    }

    /// Stores what a group came to.
    async fn settle(
        self,
        ended: Ended,
        walk: &mut Walk<'_>,
        books: &mut Books,
        report: &mut PushReport,
    ) -> Result<(), Error> {
        for Answered {
            seq,
            table,
            id,
            answer,
            ..
        } in &ended.answers
        {
            if let Answer::Aside { failure, .. } = answer {
                let key = (table.clone(), id.clone());
                books.failed.insert(*seq, (key, failure.kind));
            } else {
                books.failed.remove(seq);
            }
        }
        let settled = self.inner.settle(&ended.answers).await?;
        let mut known = BTreeMap::new();
        for (answered, (settled, stays)) in ended.answers.iter().zip(settled) {
            match settled {
                Settled::Done => report.pushed += 1,
                Settled::Again => *books.rounds.entry(answered.seq).or_default() += 1,
                Settled::Conflict | Settled::Rejected | Settled::Aside | Settled::Open => {}
            }
            known.insert(answered.seq, stays);
        }
        for (seq, key) in &ended.chosen {
            match known.get(seq) {
                Some(stays) => walk.settled(*seq, key, *stays),
                None => walk.not_marked(*seq, key),
            }
        }
        self.inner.listeners.emit(Event::PushProgress {
            done: report.pushed,
            total: books.total,
        });
        Ok(())
    }

    /// Before the operations aside are tried again: do their tables work?
    async fn look_at_tables(self, chosen: &Chosen) -> Result<(), Error> {
        let tables: BTreeSet<&TableName> = chosen.iter().map(|(_, (table, _))| table).collect();
        for table in tables {
            if self.course().readable(table).is_some() {
                continue;
            }
            self.delivery().look_at(table).await?;
        }
        Ok(())
    }

    /// As many as may travel together, if that is more than are marked anyway. Where batches overlap, several: at the end of a group the line is idle.
    fn most(self, books: &Books) -> usize {
        let batches = if self.orders.parallel > 1 {
            BATCHES_IN_A_GROUP
        } else {
            1
        };
        let size = self.remote.batch_size().unwrap_or(GROUP);
        let most = size.max((size * batches).min(MOST)).max(GROUP);
        let most = most.min(self.inner.settings.push_group);
        books.fits.map_or(most, |fits| most.min(fits))
    }
}

impl Books {
    /// Of a push that begins with so many operations.
    pub(super) fn of(total: u64) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }
}

/// How many operations fit into a group, where so many, one at least, have so many bytes.
fn fits(operations: usize, bytes: usize) -> usize {
    let each = bytes.div_ceil(operations.max(1)).max(1);
    (BYTES / each).max(1)
}

impl Marked {
    /// Nothing of it went out.
    fn not_sent(self) -> Ended {
        let answers = self.members.into_iter().map(Member::not_sent);
        Ended {
            answers: answers.collect(),
            chosen: self.chosen,
            stopped: None,
        }
    }
}

impl Ended {
    fn add(&mut self, other: Self) {
        self.chosen.extend(other.chosen);
        self.answers.extend(other.answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_large_records_are_small() {
        assert!(fits(512, 512 * 300) >= MOST);
        assert_eq!(fits(64, 64 << 20), 4);
        assert_eq!(fits(2, 100 << 20), 1);
        assert_eq!(fits(3, 0), BYTES);
    }
}
