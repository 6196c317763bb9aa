//! What the application says to another server, and to another account.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::error::Error;
use crate::name::TableName;
use crate::query::Query;
use crate::store::{StoreErrorKind, Write};
use crate::sync::context::SyncContext;
use crate::sync::event::Event;
use crate::sync::identity::rule::ServerIdentity;
use crate::sync::identity::session::{Home, replacing};
use crate::sync::inner::Inner;
use crate::sync::server::Link;
use crate::sync::system::{ATTEMPTS, DELTA};
use crate::sync::tables::Stored;
use crate::threads::MaybeSend;

/// What to make of a server that is not the one that the store belongs to; see [`SyncContext::accept_server`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptServer {
    /// It is the same one under another id, name or address: everything is kept, and the next pulls go on where the last ones ended.
    Same,
    /// It is another one. Records and positions of the one before are removed, but for tables that are local only, and the next pulls
    /// start anew.
    Other {
        /// Also drops the queued operations: these changes are lost. Without this it is refused while there are any.
        discard: bool,
    },
}

/// What to make of an account that is not the one that the store belongs to; see [`SyncContext::switch_account`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchAccount {
    /// The data is the same, the account has another name: everything is kept, queued operations too.
    Keep,
    /// It is another user. Records and positions of the one before are removed, but for tables that are local only, and the next pulls
    /// start anew.
    Switch {
        /// Also drops the queued operations: these changes are lost. Without this it is refused while there are any.
        discard: bool,
    },
}

impl SyncContext {
    /// Finds out whether account and server are those that the store belongs to: [`Error::AccountChanged`] or [`Error::ServerChanged`]
    /// where not. One row is read where that is needed to know. Pushes and pulls do the same by themselves.
    pub async fn check_identity(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let link = inner.server.link();
        let _push = inner.guards.push.lock().await;
        let remote = inner.contact(&link).await?;
        remote.begin_push();
        inner.meet(&remote, &[]).await
    }

    /// Says what the server is after [`Error::ServerChanged`]. It waits for the pushes and pulls of this context that are under way.
    ///
    /// All is done in one commit, or nothing is.
    ///
    /// # Errors
    /// [`Error::NotPushed`] where operations would be lost, [`Error::AnotherPusher`] while another process or context pushes.
    pub async fn accept_server(&self, accept: AcceptServer) -> Result<(), Error> {
        let link = self.inner.server.link();
        link.transport()?;
        let server = ServerIdentity {
            id: link.other(),
            ..link.identity()
        };
        let change = |home: &mut Home| home.server = server.clone();
        match accept {
            AcceptServer::Same => self.change_home(&link, change, None).await?,
            AcceptServer::Other { discard } => {
                self.change_home(&link, change, Some(discard)).await?;
            }
        }
        link.set_other(None);
        Ok(())
    }

    /// Gives the store to the account of this context after [`Error::AccountChanged`]; to none where the context has none. It waits for
    /// the pushes and pulls of this context that are under way.
    ///
    /// All is done in one commit, or nothing is.
    ///
    /// # Errors
    /// [`Error::NotPushed`] where operations would be lost, [`Error::AnotherPusher`] while another process or context pushes.
    pub async fn switch_account(&self, switch: SwitchAccount) -> Result<(), Error> {
        let link = self.inner.server.link();
        let given = link.named_account().cloned();
        let change = |home: &mut Home| home.account.clone_from(&given);
        match switch {
            SwitchAccount::Keep => self.change_home(&link, change, None).await?,
            SwitchAccount::Switch { discard } => {
                self.change_home(&link, change, Some(discard)).await?;
            }
        }
        link.set_account(given.clone());
        Ok(())
    }

    /// Gives the store to somebody else. `discard` says what is removed: nothing, all but queued operations, or these, too.
    async fn change_home(
        &self,
        link: &Link,
        change: impl Fn(&mut Home) + MaybeSend,
        discard: Option<bool>,
    ) -> Result<(), Error> {
        let inner = &self.inner;
        // No pull may store what belongs to the one before, and no push may be between sending an operation and settling it.
        let pulls: Vec<Arc<Mutex<()>>> = inner
            .tables
            .declarations()
            .tables()
            .map(|(table, _)| inner.guards.pull(table))
            .collect();
        let mut guards = Vec::with_capacity(pulls.len());
        for pull in &pulls {
            guards.push(pull.lock().await);
        }
        let _push = inner.guards.push.lock().await;
        let _lease = inner.lease.take().await?;
        let result = inner.give_away(link, change, discard).await;
        inner.lease.release().await;
        for (table, count) in result? {
            inner.listeners.emit(Event::Purged { table, count });
        }
        Ok(())
    }
}

impl Inner {
    /// The commit of a change, tried again while other contexts change the queue. Returns how many records of which tables went.
    async fn give_away(
        &self,
        link: &Link,
        change: impl Fn(&mut Home) + MaybeSend,
        discard: Option<bool>,
    ) -> Result<Vec<(TableName, u64)>, Error> {
        for _ in 0..ATTEMPTS {
            let _queue = self.guards.queue.write().await;
            self.queue.reload().await?;
            let (found, mut home) = self.home().await?;
            change(&mut home);
            if discard.is_some() {
                home.epoch += 1;
            }
            let mut batch = replacing(found.as_ref(), home.to_row()?);
            let mut purged = Vec::new();
            if let Some(discard) = discard {
                let count = self.queue.count().await?;
                if count > 0 && !discard {
                    return Err(Error::NotPushed { count });
                }
                // Another context may have tables that this one has not heard of.
                let stored = Stored::read(self.store.as_ref()).await?;
                for (table, declared) in stored.declarations.tables() {
                    if !declared.device.local_only {
                        let count = self.store.count(table, &Query::all()).await?;
                        purged.push((table.clone(), count));
                        let table = table.clone();
                        batch.push(Write::Clear { table });
                    }
                }
                stored.expect_unchanged(&mut batch);
                batch.push(Write::Clear {
                    table: DELTA.clone(),
                });
                self.queue.clear_in(&mut batch).await?;
            }
            let renewed = self.lease.renew_in(&mut batch)?;
            match self.queue.commit(batch).await {
                Ok(()) => {
                    self.lease.set(renewed);
                    if discard.is_some() {
                        link.forget_learned();
                        // Should this be dropped while it reads.
                        self.queue.mark_suspect();
                        self.queue.read().await?;
                    }
                    return Ok(purged);
                }
                Err(error) if error.kind() == StoreErrorKind::CheckFailed => {
                    self.lease.look().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended)
    }
}
