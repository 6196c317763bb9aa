//! The user who is signed in now.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::auth::{TokenError, TokenProvider};

/// The token of the user who is signed in, set and taken away while the transport is in use. Clones share it: one goes to
/// [`auth`](crate::HttpTransportBuilder::auth), the other stays with the application.
///
/// While nobody is signed in nothing is sent, and requests fail as those that need a sign-in. A context that names its
/// [account](synctable_core::sync::ContextBuilder::account) never sends with the token of another one, not even a push that was under way as
/// somebody else signed in. Where tokens expire, sign the same account in with a new one; where a refused one is to be renewed by
/// itself, implement [`TokenProvider`].
///
/// ```
/// use std::sync::Arc;
/// use synctable_http::{AuthHeader, HttpTransport, UserToken};
///
/// let user = UserToken::new();
/// let transport = HttpTransport::builder("http://localhost:8080")
///     .auth(Arc::new(user.clone()), AuthHeader::Bearer)
///     .build()?;
/// user.sign_in("ada", "the-token-of-ada");
/// user.sign_out();
/// # drop(transport);
/// # Ok::<(), synctable_core::transport::TransportError>(())
/// ```
#[derive(Clone, Default)]
pub struct UserToken {
    user: Arc<Mutex<Option<User>>>,
}

struct User {
    account: String,
    token: String,
}

impl UserToken {
    /// Nobody is signed in.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<User>> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on requests go out with this token. `account`: the name that contexts are given, never text of a token.
    pub fn sign_in(&self, account: impl Into<String>, token: impl Into<String>) {
        let (account, token) = (account.into(), token.into());
        *self.lock() = Some(User { account, token });
    }

    /// From now on nothing is sent. A request that is out already is not called back.
    pub fn sign_out(&self) {
        *self.lock() = None;
    }

    /// The account that is signed in.
    pub fn account(&self) -> Option<String> {
        self.lock().as_ref().map(|user| user.account.clone())
    }
}

#[async_trait]
impl TokenProvider for UserToken {
    async fn token(&self, _refresh: bool) -> Result<Option<String>, TokenError> {
        match &*self.lock() {
            Some(user) => Ok(Some(user.token.clone())),
            None => Err("nobody is signed in".into()),
        }
    }

    async fn token_of(&self, account: &str, _refresh: bool) -> Result<Option<String>, TokenError> {
        match &*self.lock() {
            Some(user) if user.account == account => Ok(Some(user.token.clone())),
            Some(_) => Err("another account is signed in".into()),
            None => Err("nobody is signed in".into()),
        }
    }
}

impl fmt::Debug for UserToken {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.account();
        f.debug_struct("UserToken")
            .field("account", &account)
            .finish_non_exhaustive()
    }
}
