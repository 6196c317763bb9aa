//! What can go wrong on the way to a server.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A request without a usable answer. It is *not known* whether the server did what was asked.
#[derive(Debug)]
pub struct TransportError {
    kind: TransportErrorKind,
    message: String,
    status: Option<u16>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of transport errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The server could not be reached, or the connection broke.
    Unreachable,
    /// The server took too long.
    Timeout,
    /// The credentials are missing, wrong or not enough (401, 403).
    Unauthorized,
    /// The server asks to come back later (408, 429, 5xx).
    Unavailable,
    /// The server does not know the table (404 for a whole table).
    UnknownTable,
    /// The server cannot take the query (400).
    BadQuery,
    /// The answer is not one that a table server gives.
    Protocol,
    /// The answer is larger than the limit.
    TooLarge,
    /// The request cannot be formed: a bad URL, header or credential.
    BadRequest,
    /// No transport is set.
    Missing,
    /// Anything else.
    Other,
}

impl TransportError {
    /// An error of a kind, with a message: lower case, no full stop, no record contents, no credentials.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            status: None,
            retry_after: None,
            source: None,
        }
    }

    /// With the HTTP status of the answer.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// With how long the server asks to wait.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// With the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// The HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// True when the same request may succeed later without a change of anything here.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self.kind,
            TransportErrorKind::Unreachable
                | TransportErrorKind::Timeout
                | TransportErrorKind::Unavailable
        )
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
