//! The server, changed after opening: signing in and out, another address, another dialect.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::sync::context::SyncContext;
use crate::sync::server::Link;
use crate::transport::Transport;

/// A way to a server, as it is given to [`SyncContext::connect`]; any [`Transport`] is one by itself.
#[derive(Clone)]
#[must_use]
pub struct Connection {
    transport: Arc<dyn Transport>,
    server_name: Option<String>,
    account: Option<String>,
}

impl Connection {
    /// A connection by a transport.
    pub fn new(transport: impl Transport) -> Self {
        Self {
            transport: Arc::new(transport),
            server_name: None,
            account: None,
        }
    }

    /// With what the application calls the server, as [`ContextBuilder::server_name`](super::ContextBuilder::server_name). Where it is
    /// not said it has none: the name of the server before is not taken for that of this one.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// With the signed-in user, as [`ContextBuilder::account`](super::ContextBuilder::account). Where it is not said the context keeps
    /// the account that it has.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = Some(name.into());
        self
    }
}

impl<T: Transport> From<T> for Connection {
    fn from(transport: T) -> Self {
        Self::new(transport)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("transport", &self.transport)
            .field("server_name", &self.server_name)
            .field("account", &self.account)
            .finish()
    }
}

impl SyncContext {
    /// Sets or changes the way to the server, for this context and its clones: as if it had been opened with it.
    ///
    /// It waits for no request. Pushes, pulls and audits that are under way go on with the transport that they began with, to their end, and
    /// what they sent is settled by its answers; a [`CancelToken`](super::CancelToken) stops them. Those that begin from now on use the new one, and
    /// never at the same time as one before: they wait for it as for any other. A push begins when it is first polled, with the pushes
    /// that a conflict handler's decisions take; a pull's push is part of the pull.
    ///
    /// Whose the store is does not change: by the next answer of the server it is found out whether it is the same one, and the account is
    /// judged as at opening. Where they are not the store's, pushes and pulls end with [`Error::ServerChanged`] or
    /// [`Error::AccountChanged`] until [`accept_server`](Self::accept_server) or [`switch_account`](Self::switch_account) says what to do,
    /// and nothing is sent or stored. [`check_identity`](Self::check_identity) finds it out at once.
    ///
    /// ```
    /// # use synctable_core::{Error, sync::{Connection, SyncContext}, transport::Transport};
    /// # async fn example(sync: SyncContext, here: impl Transport, there: impl Transport) -> Result<(), Error> {
    /// sync.connect(here).await?;
    /// sync.push().await?;
    /// sync.connect(Connection::new(there).account("ada")).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of the store, which is asked whose it is where an account is named. The way is changed all the same.
    pub async fn connect(&self, to: impl Into<Connection>) -> Result<(), Error> {
        let to: Connection = to.into();
        let inner = &self.inner;
        let link = inner.server.change(|before| {
            // The name is the server's, the account is the user's.
            let account = to.account.or_else(|| before.named_account().cloned());
            Link::new(Some(to.transport), to.server_name, account).following(before)
        });
        if link.named_account().is_none() {
            return Ok(());
        }
        // As at opening: an account is taken over before anything is queued in its name.
        inner.reload_queue().await?;
        inner.adopt_account(&link).await
    }

    /// Takes the way to the server away, for this context and its clones. Local work goes on, in the name of the same account; pushes, pulls
    /// and audits that begin from now on end with the error of a context without a transport
    /// ([`Missing`](crate::transport::TransportErrorKind::Missing)). Those under way go on to their end, as with [`connect`](Self::connect).
    pub fn disconnect(&self) {
        let server = &self.inner.server;
        server.change(|before| Link::new(None, None, before.named_account().cloned()));
    }

    /// True while there is a way to a server. It says nothing of whether the server can be reached.
    pub fn is_connected(&self) -> bool {
        self.inner.server.link().transport().is_ok()
    }
}
