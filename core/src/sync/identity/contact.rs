//! The way to the server for one push, pull or audit, once it is known whose the store is.

use std::sync::Arc;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::RemoteQuery;
use crate::record::Record;
use crate::store::{Durability, LocalStoreExt, StoreErrorKind, WriteBatch};
use crate::sync::identity::rule::Account;
use crate::sync::identity::session::{Home, Session, as_found, replacing};
use crate::sync::inner::Inner;
use crate::sync::remote::Remote;
use crate::sync::server::Link;
use crate::sync::system::{ATTEMPTS, META, read};
use crate::transport::{
    FeedAnswer, FeedToken, PageCursor, RemotePage, TransportError, TransportErrorKind,
};

/// Tables that are asked who the server is while the server fails at them.
const TABLES_ASKED: usize = 3;

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

    /// Finds out for whom this context may go on, and adopts its account where the store has none and nothing waits.
    pub(crate) async fn settle_account(
        &self,
        link: &Link,
    ) -> Result<(Option<Record>, Home), Error> {
        let given = link.named_account();
        for _ in 0..ATTEMPTS {
            let (found, mut home) = self.home().await?;
            let pending = !self.queue.is_empty().await?;
            match Account::of(home.account.as_deref(), given.map(String::as_str), pending) {
                Account::Same => {
                    link.set_account(given.or(home.account.as_ref()).cloned());
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

    /// Takes the account of a link over where it can be, as a context is opened or connected.
    pub(crate) async fn adopt_account(&self, link: &Link) -> Result<(), Error> {
        match self.settle_account(link).await {
            // Local reads and writes go on; a push or pull says it again.
            Ok(_) | Err(Error::AccountChanged { .. }) => Ok(()),
            // Of a store that is read only nothing is ever sent.
            Err(Error::Store(error))
                if self.store.capabilities().read_only
                    && error.kind() == StoreErrorKind::Unsupported =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// An error where the store is another account's, for a context that names one.
    pub(crate) async fn check_account(&self, link: &Link) -> Result<(), Error> {
        if link.named_account().is_none() {
            return Ok(());
        }
        self.settle_account(link).await.map(drop)
    }

    /// For local changes of a context that names an account: an error where the store is another one's, so that nobody's changes are
    /// ever sent as somebody else's. A store without an account takes changes until it is settled whose they are.
    pub(crate) async fn look_at_owner(&self, link: &Link) -> Result<(), Error> {
        link.set_owner(None);
        let (row, home) = self.home().await?;
        if home.account.is_some() && home.account.as_ref() != link.named_account() {
            return Err(Error::AccountChanged {
                was: home.account,
                now: link.named_account().cloned(),
            });
        }
        link.set_owner(Some(as_found(row.as_ref())));
        Ok(())
    }

    /// The way to the server for one push, pull or audit. An error where the store is another account's.
    pub(crate) async fn contact(&self, link: &Arc<Link>) -> Result<Remote, Error> {
        let transport = Arc::clone(link.transport()?);
        if link.named_account().is_some() && link.account().is_none() {
            // Not adopted when the context was opened: another one may have queued something since.
            self.reload_queue().await?;
        }
        let (row, home) = self.settle_account(link).await?;
        let session = Session::new(row, home, link.identity());
        let account = link.account();
        let of_account = account.and_then(|account| transport.for_account(&account));
        Ok(Remote::new(
            Arc::clone(link),
            of_account.unwrap_or(transport),
            session,
            self.settings.sleep.clone(),
            self.settings.patience,
            Arc::clone(&self.steps),
        ))
    }

    /// Makes sure before the first write that the server is the store's: where that is not certain, one row is read.
    pub(crate) async fn meet(&self, remote: &Remote, tables: &[TableName]) -> Result<(), Error> {
        let session = &remote.session;
        if session.must_ask() {
            let mut failure = None;
            let declared = self.tables.declarations();
            let known = declared
                .tables()
                .filter(|(_, table)| !table.device.local_only);
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
            remote.check_home(failure.is_none())?;
            if let Some(error) = failure {
                return Err(error.into());
            }
        }
        remote.check_home(true)?;
        self.remember_server(remote).await
    }

    /// Reads a page of the store's server. One of another server is an error, and never stored.
    pub(crate) async fn page_of_home(
        &self,
        remote: &Remote,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, Error> {
        let page = remote.page(table, query, cursor).await;
        remote.check_home(page.is_ok())?;
        let page = page?;
        self.remember_server(remote).await?;
        Ok(page)
    }

    /// As [`page_of_home`](Self::page_of_home), of the server's own feed.
    pub(crate) async fn changes_of_home(
        &self,
        remote: &Remote,
        table: &TableName,
        query: &RemoteQuery,
        from: Option<&FeedToken>,
    ) -> Result<FeedAnswer, Error> {
        let answer = remote.changes(table, query, from).await;
        remote.check_home(answer.is_ok())?;
        let answer = answer?;
        self.remember_server(remote).await?;
        Ok(answer)
    }

    /// As [`page_of_home`](Self::page_of_home), one record.
    pub(crate) async fn get_of_home(
        &self,
        remote: &Remote,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, Error> {
        let found = remote.get(table, id).await;
        remote.check_home(found.is_ok())?;
        Ok(found?)
    }

    /// How a push ends: another server that answered on the way is why it stopped, and what was learned is kept.
    pub(crate) async fn part(
        &self,
        remote: &Remote,
        result: Result<(), Error>,
    ) -> Result<(), Error> {
        remote.check_home(result.is_ok())?;
        let kept = self.remember_server(remote).await;
        result.and(kept)
    }

    /// Keeps what the answers showed of the server, if it is news.
    pub(crate) async fn remember_server(&self, remote: &Remote) -> Result<(), Error> {
        let session = &remote.session;
        for _ in 0..ATTEMPTS {
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
        remote.check_home(true)
    }

    /// False when a check of the batch did not hold.
    pub(crate) async fn committed(&self, batch: WriteBatch) -> Result<bool, Error> {
        match self.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == StoreErrorKind::CheckFailed => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Remote {
    /// An error where the server is not the store's. Without an answer only what was heard counts.
    pub(crate) fn check_home(&self, answered: bool) -> Result<(), Error> {
        let session = &self.session;
        if !answered && session.is_still_the_same().is_ok() {
            return Ok(());
        }
        session.check().inspect_err(|_| {
            let other = session
                .lock()
                .other
                .as_ref()
                .and_then(|other| other.id.clone());
            self.link.set_other(other);
        })
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
