//! One token for everybody who may do everything.

use std::fmt;

use async_trait::async_trait;
use subtle::ConstantTimeEq as _;

use crate::access::{Access, AccessRequest, Grant, Refusal};

/// Grants everything to who sends the one token, as `Authorization: Bearer ..` or as `X-ZUMO-AUTH`, and nothing to anybody else.
///
/// ```
/// use std::sync::Arc;
/// use synctable_memory::MemoryStore;
/// use synctable_server::{BearerToken, TableServer};
///
/// let token = BearerToken::new("a long random text").unwrap_err();
/// assert_eq!(token.to_string(), "a token is made of visible ASCII characters, without blanks");
/// let token = BearerToken::new("6Yq2vXh0").unwrap();
/// let server = TableServer::builder(Arc::new(MemoryStore::new())).access(Arc::new(token));
/// # drop(server);
/// ```
pub struct BearerToken(Box<[u8]>);

/// A text that no header can carry as a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerTokenError(());

impl BearerToken {
    /// Takes the token; how hard it is to guess is up to you.
    ///
    /// # Errors
    /// When it is empty, or has characters that no client could send.
    pub fn new(token: &str) -> Result<Self, BearerTokenError> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BearerTokenError(()));
        }
        Ok(Self(token.as_bytes().into()))
    }

    /// Takes as long for one wrong token as for another of its length.
    fn is(&self, token: &str) -> bool {
        self.0.ct_eq(token.as_bytes()).into()
    }
}

#[async_trait]
impl Access for BearerToken {
    async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal> {
        match request.bearer_token() {
            Some(token) if self.is(token) => Ok(Grant::all()),
            _ => Err(Refusal::Unauthenticated),
        }
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

impl fmt::Display for BearerTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token is made of visible ASCII characters, without blanks")
    }
}

impl std::error::Error for BearerTokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_fits_and_nothing_shows_it() {
        let token = BearerToken::new("se/cr~et").unwrap();
        for (given, fits) in [
            ("se/cr~et", true),
            ("se/cr~eT", false),
            ("se/cr~e", false),
            ("se/cr~ett", false),
            ("", false),
        ] {
            assert_eq!(token.is(given), fits, "{given}");
        }
        assert_eq!(format!("{token:?}"), "BearerToken(..)");
        for bad in ["", "a b", "a\n", "\u{e4}"] {
            assert!(BearerToken::new(bad).is_err(), "{bad}");
        }
    }
}
