//! One push, pull or audit as it meets the server: what the store remembers is compared with what the answers show.
//!
//! What the store remembers is a row of `__meta`. Whoever stores what a server sent demands that the row is as it was read, so
//! that nothing of one server is stored behind a change to another, whichever process made it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::RecordId;
use crate::record::Record;
use crate::store::{Expect, StoreError, WriteBatch};
use crate::sync::identity::rule::ServerIdentity;
use crate::sync::system::{META, row};
use crate::transport::{TransportError, TransportErrorKind};

/// Whose the store is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Home {
    /// Counts how often everything was given up for another server or account.
    #[serde(default)]
    pub(crate) epoch: u64,
    #[serde(flatten)]
    pub(crate) server: ServerIdentity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
}

impl Home {
    pub(crate) fn id() -> RecordId {
        RecordId::system("home")
    }

    pub(crate) fn to_row(&self) -> Result<Record, StoreError> {
        row(Self::id(), self)
    }
}

/// A batch that puts a row in the place of the one that was found.
pub(crate) fn replacing(found: Option<&Record>, row: Record) -> WriteBatch {
    let mut batch = WriteBatch::new().put(&META, row);
    batch.check(&META, &Home::id(), as_found(found));
    batch
}

/// That the row is as it was found.
pub(super) fn as_found(found: Option<&Record>) -> Expect {
    match found {
        Some(row) => Expect::Same(Box::new(row.clone())),
        None => Expect::Absent,
    }
}

/// What one push, pull or audit knows of the server.
#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The row, as it was last read or written.
    pub(super) row: Option<Record>,
    pub(super) home: Home,
    /// The server as the context names it, with the id that it announced since this began.
    pub(super) seen: ServerIdentity,
    /// Something was answered, so that there is a server to remember.
    pub(super) answered: bool,
    /// The server that answered, where it was another one.
    pub(super) other: Option<ServerIdentity>,
}

impl Session {
    /// `row`: of `home`; `seen`: the server as the context names it.
    pub(super) fn new(row: Option<Record>, home: Home, seen: ServerIdentity) -> Self {
        Self {
            state: Mutex::new(State {
                row,
                home,
                seen,
                answered: false,
                other: None,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a usable answer, or of none, and of the id in it. An error if it is that of another server.
    pub(crate) fn heard(&self, id: Option<String>, usable: bool) -> Result<(), TransportError> {
        let mut state = self.lock();
        state.answered |= usable;
        if id.is_some() {
            state.seen.id = id;
        }
        let (known, seen) = (&state.home.server.id, &state.seen.id);
        if matches!((known, seen), (Some(known), Some(seen)) if known != seen) {
            state.other = Some(state.seen.clone());
        }
        drop(state);
        self.is_still_the_same()
    }

    /// An error once another server has answered. To a push it looks like an answer that is not the server's.
    pub(crate) fn is_still_the_same(&self) -> Result<(), TransportError> {
        match self.lock().other {
            None => Ok(()),
            Some(_) => Err(TransportError::new(
                TransportErrorKind::Portal,
                "another server answers than the one that the store belongs to",
            )),
        }
    }

    /// An error where the server is not the store's, by all that is known now.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.other.is_none() && state.home.server.contradicts(&state.seen) {
            state.other = Some(state.seen.clone());
        }
        match &state.other {
            Some(other) => Err(state.home.server.changed(other)),
            None => Ok(()),
        }
    }

    pub(super) fn must_ask(&self) -> bool {
        let state = self.lock();
        state.home.server.must_be_asked(&state.seen)
    }

    pub(super) fn knows_id(&self) -> bool {
        self.lock().seen.id.is_some()
    }

    /// Demands of a batch with rows of the server that the store still belongs to it.
    pub(crate) fn check_in(&self, batch: &mut WriteBatch) {
        batch.check(&META, &Home::id(), as_found(self.lock().row.as_ref()));
    }
}
