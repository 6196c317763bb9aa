//! Credentials: a token from the application, sent with each request.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use synctable_core::transport::{TransportError, TransportErrorKind as Kind};

use crate::header::{self, X_ZUMO_AUTH};

/// Gives the token of the signed-in user.
///
/// ```
/// use synctable_http::{TokenError, TokenProvider};
///
/// #[derive(Debug)]
/// struct Session;
///
/// #[async_trait::async_trait]
/// impl TokenProvider for Session {
///     async fn token(&self, refresh: bool) -> Result<Option<String>, TokenError> {
///         // With `refresh` the kept token was refused: get a new one from the identity service.
///         Ok(Some(if refresh { "new" } else { "kept" }.to_owned()))
///     }
/// }
/// ```
#[async_trait]
pub trait TokenProvider: fmt::Debug + Send + Sync + 'static {
    /// The token to send; `None` sends none.
    ///
    /// Asked before each request without `refresh`, so it keeps the token. With `refresh` the server has refused the token
    /// (401), and a new one is wanted, which it keeps from then on: the requests that follow ask without `refresh` again.
    /// Where the new one is the same one, or none, nothing is tried again.
    async fn token(&self, refresh: bool) -> Result<Option<String>, TokenError>;

    /// As [`token`](Self::token), for requests on behalf of `account`, the name that the application gave its context.
    ///
    /// Where users may take turns while requests are under way, implement it: give the token of that account, or an error where it
    /// is not signed in any more. The request is then not sent, so that nothing goes out with somebody else's token. By default the token
    /// of whoever is signed in is given.
    async fn token_of(&self, account: &str, refresh: bool) -> Result<Option<String>, TokenError> {
        let _ = account;
        self.token(refresh).await
    }
}

/// Why a token could not be had.
pub type TokenError = Box<dyn Error + Send + Sync>;

/// The header in which the token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AuthHeader {
    /// `Authorization: Bearer TOKEN`.
    #[default]
    Bearer,
    /// `X-ZUMO-AUTH: TOKEN`, for Azure Mobile Apps.
    XZumoAuth,
}

impl AuthHeader {
    /// Puts the token into the headers of a request.
    pub(crate) fn set(self, token: &str, headers: &mut HeaderMap) -> Result<(), TransportError> {
        let what = "the token";
        let (name, mut value): (_, HeaderValue) = match self {
            Self::Bearer => (
                AUTHORIZATION,
                header::value(&format!("Bearer {token}"), what)?,
            ),
            Self::XZumoAuth => (X_ZUMO_AUTH, header::value(token, what)?),
        };
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

/// Where tokens come from, the header in which they go, and the one that was sent last.
pub(crate) struct Credentials {
    provider: Arc<dyn TokenProvider>,
    header: AuthHeader,
    account: Option<String>,
    sent: Mutex<Option<String>>,
}

impl Credentials {
    pub(crate) fn new(provider: Arc<dyn TokenProvider>, header: AuthHeader) -> Self {
        Self {
            provider,
            header,
            account: None,
            sent: Mutex::new(None),
        }
    }

    /// Those of one account.
    pub(crate) fn of(&self, account: &str) -> Self {
        Self {
            account: Some(account.to_owned()),
            ..Self::new(Arc::clone(&self.provider), self.header)
        }
    }

    /// Puts the provider's token into the headers of a request that is about to be sent.
    pub(crate) async fn set(&self, headers: &mut HeaderMap) -> Result<(), TransportError> {
        let token = self.token(false).await?;
        if let Some(token) = &token {
            self.header.set(token, headers)?;
        }
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    /// Asks for a new token; true where there is one, and it is not the one that was sent last.
    pub(crate) async fn renew(&self) -> Result<bool, TransportError> {
        let fresh = self.token(true).await?;
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(fresh.is_some() && fresh != *sent)
    }

    async fn token(&self, refresh: bool) -> Result<Option<String>, TransportError> {
        let token = match &self.account {
            Some(account) => self.provider.token_of(account, refresh).await,
            None => self.provider.token(refresh).await,
        };
        token.map_err(|error| {
            let message = "the token provider gave no token; sign in again";
            TransportError::new(Kind::Unauthorized, message).with_source(error)
        })
    }
}

impl fmt::Debug for Credentials {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("provider", &self.provider)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// The same token for ever.
pub(crate) struct FixedToken(pub(crate) String);

#[async_trait]
impl TokenProvider for FixedToken {
    async fn token(&self, _refresh: bool) -> Result<Option<String>, TokenError> {
        Ok(Some(self.0.clone()))
    }
}

impl fmt::Debug for FixedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_into_the_header_chosen_and_out_of_logs() {
        let mut headers = HeaderMap::new();
        AuthHeader::Bearer.set("secret", &mut headers).unwrap();
        AuthHeader::XZumoAuth.set("secret", &mut headers).unwrap();
        assert_eq!(headers.get("authorization").unwrap(), "Bearer secret");
        assert_eq!(headers.get("x-zumo-auth").unwrap(), "secret");
        assert!(!format!("{headers:?}").contains("secret"));
        assert!(!format!("{:?}", FixedToken("secret".into())).contains("secret"));
    }

    #[tokio::test]
    async fn the_token_that_was_sent_last_stays_out_of_logs() {
        let fixed = Arc::new(FixedToken("secret".into()));
        let credentials = Credentials::new(fixed, AuthHeader::Bearer);
        credentials.set(&mut HeaderMap::new()).await.unwrap();
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn tokens_cannot_smuggle_headers() {
        for auth in [AuthHeader::Bearer, AuthHeader::XZumoAuth] {
            let error = auth
                .set("secret\r\nX: y", &mut HeaderMap::new())
                .unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
