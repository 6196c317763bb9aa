//! Credentials: a token from the application, sent with each request.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use synctable_core::transport::TransportError;

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
    /// Asked before each request, so it keeps the token. With `refresh` the server has just refused the token
    /// (401), and a new one is wanted; where that is the same one, the request is not repeated.
    async fn token(&self, refresh: bool) -> Result<Option<String>, TokenError>;
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
