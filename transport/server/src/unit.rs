//! Changes of one request that are done together or not at all.
//!
//! Each is planned as it would be alone, one behind the other: on what is stored, and on the unique values that those before it take and free. Once
//! all of them wait, one commit does them all. Where a check fails in it, all are planned anew; as soon as one is refused, none is done.
//!
//! All are polled by one task, so that a request that is dropped takes all of them along.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synctable_core::Timestamp;
use synctable_core::store::StoreError;
use tokio::sync::Notify;

use crate::gather::shared;
use crate::handler::Core;
use crate::sequence::{Build, Sequence, commit_as_one};
use crate::tables::Table;
use crate::unique::Claims;

/// The changes of one unit.
pub(crate) struct Unit {
    state: Mutex<State>,
    /// Something has come of one of them.
    moved: Notify,
}

/// One change of a unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    unit: &'a Unit,
    at: usize,
}

/// A change that waits for the others.
pub(crate) struct Member {
    pub(crate) table: Arc<Table>,
    pub(crate) build: Box<Build<'static>>,
}

/// Why a change was not done.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// Another one of its unit was refused.
    Other,
    /// What the store says of the commit.
    Store(StoreError),
}

struct State {
    stages: Vec<Stage>,
    /// What those take and free that wait.
    claims: Claims,
    is_refused: bool,
}

/// How far a change has come.
enum Stage {
    /// It is read and planned.
    Plans,
    Waits(Member),
    /// The commit is under way.
    UnderWay,
    Committed(Result<Timestamp, StoreError>),
    /// It was answered.
    Left,
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Unit {
    /// Of so many changes.
    pub(crate) fn new(changes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                stages: (0..changes).map(|_| Stage::Plans).collect(),
                claims: Claims::default(),
                is_refused: false,
            }),
            moved: Notify::new(),
        }
    }

    /// The change at this place.
    pub(crate) fn part(&self, at: usize) -> Part<'_> {
        Part { unit: self, at }
    }

    /// A change was answered. One that is refused keeps the others from being done; one that was done before does not.
    pub(crate) fn leave(&self, at: usize, is_done: bool) {
        let mut state = self.state();
        state.is_refused |= !is_done;
        state.set(at, Stage::Left);
        drop(state);
        self.moved.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part<'_> {
    /// Waits until all before it wait; what they take and free.
    pub(crate) async fn turn(self) -> Result<Claims, NotDone> {
        loop {
            let moved = self.unit.moved.notified();
            {
                let state = self.unit.state();
                if state.is_refused {
                    return Err(NotDone::Other);
                }
                if state.is_turn_of(self.at) {
                    return Ok(state.claims.clone());
                }
            }
            moved.await;
        }
    }

    /// Waits until all of the unit are done, or none of them is. `claims` are those of this change and of all before it. A failed check asks for
    /// another [turn](Self::turn).
    pub(crate) async fn commit(
        self,
        core: &Core,
        member: Member,
        claims: Claims,
    ) -> Result<Timestamp, NotDone> {
        {
            let mut state = self.unit.state();
            state.claims = claims;
            state.set(self.at, Stage::Waits(member));
        }
        self.unit.moved.notify_waiters();
        loop {
            let moved = self.unit.moved.notified();
            let ready = {
                let mut state = self.unit.state();
                if let Some(result) = state.result(self.at) {
                    return Ok(result?);
                }
                if state.is_refused {
                    return Err(NotDone::Other);
                }
                state.take_ready()
            };
            let Some((members, claims)) = ready else {
                moved.await;
                continue;
            };
            let result = commit_all(core, &members, claims).await;
            self.unit.state().settle(members.len(), result);
            self.unit.moved.notify_waiters();
        }
    }
}

async fn commit_all(
    core: &Core,
    members: &[Member],
    claims: Claims,
) -> Result<Timestamp, StoreError> {
    let mut all: Vec<(&Sequence, &Build<'_>)> = members
        .iter()
        .map(|member| (&member.table.sequence, &*member.build))
        .collect();
    // Rows of unique values belong to several changes, and go along with the first of them.
    let with_claims = members.first().map(|first| {
        let build = &first.build;
        move |time| Ok(claims.clone().add_to(build(time)?, time))
    });
    if let (Some((_, first)), Some(build)) = (all.first_mut(), &with_claims) {
        *first = build;
    }
    commit_as_one(&*core.store, &*core.clock, &all).await
}

impl State {
    fn set(&mut self, at: usize, stage: Stage) {
        if let Some(place) = self.stages.get_mut(at) {
            *place = stage;
        }
    }

    fn is_turn_of(&self, at: usize) -> bool {
        let mut before = self.stages.iter().take(at);
        before.all(|stage| matches!(stage, Stage::Waits(_) | Stage::Left))
    }

    /// What came of the change, once. After a failure it is planned again, or leaves.
    fn result(&mut self, at: usize) -> Option<Result<Timestamp, StoreError>> {
        let stage = self.stages.get_mut(at)?;
        match mem::replace(stage, Stage::Plans) {
            Stage::Committed(result) => {
                if result.is_ok() {
                    *stage = Stage::Left;
                }
                Some(result)
            }
            other => {
                *stage = other;
                None
            }
        }
    }

    /// All that wait, once nobody plans any more.
    fn take_ready(&mut self) -> Option<(Vec<Member>, Claims)> {
        let ready = |stage: &Stage| matches!(stage, Stage::Waits(_) | Stage::Left);
        if !self.stages.iter().all(ready) {
            return None;
        }
        let mut members = Vec::with_capacity(self.stages.len());
        for stage in &mut self.stages {
            match mem::replace(stage, Stage::UnderWay) {
                Stage::Waits(member) => members.push(member),
                other => *stage = other,
            }
        }
        Some((members, mem::take(&mut self.claims)))
    }

    /// Tells all of the commit what came of it.
    fn settle(&mut self, members: usize, result: Result<Timestamp, StoreError>) {
        let words = "the commit of a unit failed";
        let (time, mut errors) = match result {
            Ok(time) => (Some(time), None),
            Err(error) => (None, Some(shared(error, members, words))),
        };
        for stage in &mut self.stages {
            if !matches!(stage, Stage::UnderWay) {
                continue;
            }
            if let Some(time) = time {
                *stage = Stage::Committed(Ok(time));
            } else if let Some(error) = errors.as_mut().and_then(Iterator::next) {
                *stage = Stage::Committed(Err(error));
            }
        }
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unit").finish_non_exhaustive()
    }
}
