//! One push, pull or audit as it meets the server: what the store remembers is compared with what the answers show.
//!
//! What the store remembers is a row of `__meta`. Whoever stores what a server sent demands that the row is as it was read, so
//! that nothing of one server is stored behind a change to another, whichever process made it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::Query;
use crate::record::Record;
use crate::store::{Durability, Expect, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use crate::sync::context::{CLAIMS, Inner};
use crate::sync::identity::rule::{Account, ServerIdentity};
use crate::sync::remote::Remote;
use crate::sync::system::{META, read, row};
use crate::transport::{PageCursor, RemotePage, Transport, TransportError, TransportErrorKind};

/// Tables that are asked who the server is while the server fails at them.
const TABLES_ASKED: usize = 3;

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
    demand(&mut batch, found);
    batch
}

/// Demands of a batch that the row is as it was found.
fn demand(batch: &mut WriteBatch, found: Option<&Record>) {
    let expected = match found {
        Some(row) => Expect::Same(Box::new(row.clone())),
        None => Expect::Absent,
    };
    batch.check(&META, &Home::id(), expected);
}

/// What one push, pull or audit knows of the server.
#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The row, as it was last read or written.
    row: Option<Record>,
    home: Home,
    /// The server as the context names it, with the id that it announced since this began.
    seen: ServerIdentity,
    /// Something was answered, so that there is a server to remember.
    answered: bool,
    /// The server that answered, where it was another one.
    other: Option<ServerIdentity>,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, State> {
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
    fn check(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.other.is_none() && state.home.server.contradicts(&state.seen) {
            state.other = Some(state.seen.clone());
        }
        match &state.other {
            Some(other) => Err(state.home.server.changed(other)),
            None => Ok(()),
        }
    }

    fn must_ask(&self) -> bool {
        let state = self.lock();
        state.home.server.must_be_asked(&state.seen)
    }

    fn knows_id(&self) -> bool {
        self.lock().seen.id.is_some()
    }

    /// Demands of a batch with rows of the server that the store still belongs to it.
    pub(crate) fn check_in(&self, batch: &mut WriteBatch) {
        demand(batch, self.lock().row.as_ref());
    }
}

impl Inner {
    /// What the store remembers, and its row.
    pub(crate) async fn home(&self) -> Result<(Option<Record>, Home), Error> {
        let found = self.store.get_one(&META, &Home::id()).await?;
        let home = match &found {
            Some(row) => read(&META, row)?,
            None => Home::default(),
        };
        Ok((found, home))
    }

    /// The transport, if one is set.
    pub(crate) fn transport(&self) -> Result<&Arc<dyn Transport>, Error> {
        self.transport.as_ref().ok_or_else(|| {
            let message = "no server is set; give the context a transport";
            TransportError::new(TransportErrorKind::Missing, message).into()
        })
    }

    /// The server as this context names it.
    pub(crate) fn own_server(&self) -> ServerIdentity {
        ServerIdentity {
            id: None,
            name: self.options.server_name.clone(),
            address: self.transport.as_deref().and_then(Transport::address),
        }
    }

    /// The account of this context: its own, else the store's.
    pub(crate) fn account(&self) -> Option<String> {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.clone()
    }

    pub(crate) fn set_account(&self, name: Option<String>) {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// Finds out for whom this context may go on, and adopts its account where the store has none and nothing waits.
    pub(crate) async fn settle_account(&self) -> Result<(Option<Record>, Home), Error> {
        let given = self.options.account.as_ref();
        for _ in 0..CLAIMS {
            let (found, mut home) = self.home().await?;
            let pending = self.queue.len() > 0;
            match Account::of(home.account.as_deref(), given.map(String::as_str), pending) {
                Account::Same => {
                    self.set_account(given.or(home.account.as_ref()).cloned());
                    return Ok((found, home));
                }
                Account::Changed => {
                    return Err(Error::AccountChanged {
                        was: home.account,
                        now: given.cloned(),
                    });
                }
                Account::Adopt => {
                    home.account = given.cloned();
                    let batch = replacing(found.as_ref(), home.to_row()?);
                    self.committed(batch.durability(Durability::Eventual))
                        .await?;
                }
            }
        }
        Err(Error::Contended)
    }

    /// An error where the store is another account's, for a context that names one.
    pub(crate) async fn check_account(&self) -> Result<(), Error> {
        if self.options.account.is_none() {
            return Ok(());
        }
        self.settle_account().await.map(drop)
    }

    /// The way to the server for one push, pull or audit. An error where the store is another account's.
    pub(crate) async fn contact(&self) -> Result<Remote, Error> {
        let transport = Arc::clone(self.transport()?);
        if self.options.account.is_some() && self.account().is_none() {
            // Not adopted when the context was opened: another one may have queued something since.
            self.reload_queue().await?;
        }
        let (row, home) = self.settle_account().await?;
        let session = Session {
            state: Mutex::new(State {
                row,
                home,
                seen: self.own_server(),
                answered: false,
                other: None,
            }),
        };
        let account = self.account();
        let of_account = account.and_then(|account| transport.for_account(&account));
        Ok(self.remote(of_account.unwrap_or(transport), session))
    }

    /// Makes sure before the first write that the server is the store's: where that is not certain, one row is read.
    pub(crate) async fn meet(&self, remote: &Remote, tables: &[TableName]) -> Result<(), Error> {
        let session = &remote.session;
        if session.must_ask() {
            let mut failure = None;
            let schema = self.schema();
            let known = schema.tables().filter(|(_, table)| !table.local_only);
            let others = known
                .map(|(name, _)| name)
                .filter(|name| !tables.contains(name));
            for table in tables.iter().chain(others).take(TABLES_ASKED) {
                failure = remote.control(table).await.err();
                let answered = failure.as_ref().is_none_or(says_something);
                if answered || session.knows_id() {
                    failure = None;
                    break;
                }
                if failure.as_ref().is_some_and(TransportError::is_offline) {
                    break;
                }
            }
            self.check_home(remote, failure.is_none())?;
            if let Some(error) = failure {
                return Err(error.into());
            }
        }
        self.check_home(remote, true)?;
        self.remember_server(remote).await
    }

    /// Reads a page of the store's server. One of another server is an error, and never stored.
    pub(crate) async fn page_of_home(
        &self,
        remote: &Remote,
        table: &TableName,
        query: &Query,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, Error> {
        let page = remote.page(table, query, cursor).await;
        self.check_home(remote, page.is_ok())?;
        let page = page?;
        self.remember_server(remote).await?;
        Ok(page)
    }

    /// How a push ends: another server that answered on the way is why it stopped, and what was learned is kept.
    pub(crate) async fn part(
        &self,
        remote: &Remote,
        result: Result<(), Error>,
    ) -> Result<(), Error> {
        self.check_home(remote, result.is_ok())?;
        let kept = self.remember_server(remote).await;
        result.and(kept)
    }

    /// Keeps what the answers showed of the server, if it is news.
    pub(crate) async fn remember_server(&self, remote: &Remote) -> Result<(), Error> {
        let session = &remote.session;
        for _ in 0..CLAIMS {
            let (found, home) = {
                let state = session.lock();
                let mut home = state.home.clone();
                home.server = home.server.joined(&state.seen);
                // An address at which nobody has answered yet may be a wrong one.
                if home == state.home || !state.answered {
                    return Ok(());
                }
                (state.row.clone(), home)
            };
            let row = home.to_row()?;
            let batch = replacing(found.as_ref(), row.clone()).durability(Durability::Eventual);
            if self.committed(batch).await? {
                let mut state = session.lock();
                (state.row, state.home) = (Some(row), home);
                return Ok(());
            }
            self.look_at_home(remote).await?;
        }
        Err(Error::Contended)
    }

    /// After a check that did not hold: an error if the store belongs to somebody else by now.
    pub(crate) async fn look_at_home(&self, remote: &Remote) -> Result<(), Error> {
        let (row, home) = self.home().await?;
        {
            let mut state = remote.session.lock();
            if home.epoch != state.home.epoch || home.account != state.home.account {
                // What was read before may be gone; the next call finds out whose the store is.
                return Err(Error::Contended);
            }
            (state.row, state.home) = (row, home);
        }
        self.check_home(remote, true)
    }

    /// An error where the server is not the store's. Without an answer only what was heard counts.
    pub(crate) fn check_home(&self, remote: &Remote, answered: bool) -> Result<(), Error> {
        let session = &remote.session;
        if !answered && session.is_still_the_same().is_ok() {
            return Ok(());
        }
        session.check().inspect_err(|_| {
            let other = session
                .lock()
                .other
                .as_ref()
                .and_then(|other| other.id.clone());
            *self
                .other_server
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = other;
        })
    }

    /// False when a check of the batch did not hold.
    pub(crate) async fn committed(&self, batch: WriteBatch) -> Result<bool, Error> {
        match self.store.commit(batch).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// True for a failure that is a table server's own word, so that an id would have been in it.
fn says_something(error: &TransportError) -> bool {
    matches!(
        error.kind(),
        TransportErrorKind::Forbidden
            | TransportErrorKind::UnknownTable
            | TransportErrorKind::BadQuery
    )
}
