//! What can go wrong on the way to a server.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::timestamp::Timestamp;
use crate::words;

/// A request without a usable answer. It is *not known* whether the server did what was asked.
#[derive(Debug)]
pub struct TransportError {
    kind: TransportErrorKind,
    message: String,
    status: Option<u16>,
    retry_after: Option<Duration>,
    server_time: Option<Timestamp>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of transport errors: what became of a request, in words that name no protocol.
///
/// A transport sorts its statuses and failures into these; what they mean for an operation is for the engine to
/// judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// No connection could be made: nothing was sent.
    Unreachable,
    /// The connection broke after something may have been sent.
    Broken,
    /// No answer came in time.
    Timeout,
    /// The credentials are missing, wrong or too old (401).
    Unauthorized,
    /// The credentials do not allow this (403).
    Forbidden,
    /// The server asks to come back later (408, 429, 503).
    Busy,
    /// Something on the way to the server failed (502, 504).
    Gateway,
    /// The server failed (500 and any other 5xx).
    Failed,
    /// The server does not know the table.
    UnknownTable,
    /// The server cannot take the query (400).
    BadQuery,
    /// The answer is not one that a table server gives.
    Protocol,
    /// The answer is larger than the limit.
    TooLarge,
    /// The request cannot be formed: a bad URL, header or credential. Nothing was sent.
    BadRequest,
    /// The server sends clients to another address of its own, such as the same one with https.
    Redirected,
    /// The server sends clients with credentials to another host, as to a page where one signs in.
    SignIn,
    /// The network answers instead of the server, as with the sign-in page of a hotel.
    Portal,
    /// No transport is set.
    Missing,
    /// Anything else.
    Other,
}

impl TransportErrorKind {
    /// All kinds of this release.
    pub const ALL: [Self; 18] = [
        Self::Unreachable,
        Self::Broken,
        Self::Timeout,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Busy,
        Self::Gateway,
        Self::Failed,
        Self::UnknownTable,
        Self::BadQuery,
        Self::Protocol,
        Self::TooLarge,
        Self::BadRequest,
        Self::Redirected,
        Self::SignIn,
        Self::Portal,
        Self::Missing,
        Self::Other,
    ];

    /// True where the request cannot have reached the server, or was turned away before it could have an effect.
    pub fn had_no_effect(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Unauthorized
                | Self::Forbidden
                | Self::UnknownTable
                | Self::BadRequest
                | Self::Missing
        )
    }

    /// The word that is stored with an operation which failed so.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::Timeout => "timeout",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Busy => "busy",
            Self::Gateway => "gateway",
            Self::Failed => "failed",
            Self::UnknownTable => "unknown table",
            Self::BadQuery => "bad query",
            Self::Protocol => "protocol",
            Self::TooLarge => "too large",
            Self::BadRequest => "bad request",
            Self::Redirected => "redirected",
            Self::SignIn => "sign in",
            Self::Portal => "portal",
            Self::Missing => "missing",
            Self::Other => "other",
        }
    }
}

impl TransportError {
    /// An error of a kind, with a message: lower case, no full stop, no record contents, no credentials. Of a long one both ends are kept.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: words::message(message),
            status: None,
            retry_after: None,
            server_time: None,
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

    /// With the server's clock, as its answer shows it.
    #[must_use]
    pub fn with_server_time(mut self, time: Option<Timestamp>) -> Self {
        self.server_time = time;
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

    /// The server's clock at the answer, where it showed it.
    pub fn server_time(&self) -> Option<Timestamp> {
        self.server_time
    }

    /// True when the same request may succeed later without a change of anything here.
    pub fn is_temporary(&self) -> bool {
        use TransportErrorKind as Kind;
        matches!(
            self.kind,
            Kind::Unreachable
                | Kind::Broken
                | Kind::Timeout
                | Kind::Busy
                | Kind::Gateway
                | Kind::Failed
                | Kind::Portal
        )
    }

    /// True when nobody answered who speaks for the server: no network, no connection, no answer, or the page of a network.
    pub fn is_offline(&self) -> bool {
        use TransportErrorKind as Kind;
        matches!(
            self.kind,
            Kind::Unreachable | Kind::Broken | Kind::Timeout | Kind::Portal
        )
    }

    /// True when the user has to sign in, again or with other rights.
    pub fn needs_sign_in(&self) -> bool {
        matches!(
            self.kind,
            TransportErrorKind::Unauthorized | TransportErrorKind::SignIn
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
