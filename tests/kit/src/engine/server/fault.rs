//! What goes wrong with requests, and the errors that it comes to.

use std::time::Duration;

use synctable_core::transport::{TransportError, TransportErrorKind};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection is made, so nothing is sent.
    Offline,
    /// It never arrives.
    LostRequest,
    /// Everything is done, but no answer arrives.
    LostAnswer,
    /// Everything is done, but the answer cannot be read.
    BadAnswer,
    /// The credentials are refused.
    Unauthorized,
    /// The credentials do not allow it.
    Forbidden,
    /// Everything is done, but something on the way answers with this HTTP status.
    Gateway(u16),
    /// Something on the way answers with this HTTP status, and nothing is done.
    Status(u16),
    /// The server asks to come back later.
    Unavailable,
    /// The server fails at it (500), and nothing is done.
    Failure,
    /// It never arrives, and no answer comes in time.
    Stuck,
    /// The server asks to come back after so many seconds.
    BusyFor(u64),
    /// The network answers instead of the server.
    Portal,
}

impl Fault {
    /// True where the server itself fails at one change, and so at no other of the same batch.
    pub(super) fn is_of_one_change(self) -> bool {
        matches!(
            self,
            Self::Unauthorized
                | Self::Forbidden
                | Self::Unavailable
                | Self::Failure
                | Self::BusyFor(_)
        )
    }

    /// The error of a request that has no effect.
    pub(super) fn before(self) -> Option<TransportError> {
        use TransportErrorKind as Kind;
        let (kind, message, status) = match self {
            Self::Offline => (Kind::Unreachable, "there is no connection", None),
            Self::LostRequest => (Kind::Broken, "the request is lost", None),
            Self::Unauthorized => (Kind::Unauthorized, "the credentials are refused", Some(401)),
            Self::Forbidden => (Kind::Forbidden, "this is not allowed", Some(403)),
            Self::Unavailable => (Kind::Busy, "the server is busy", Some(503)),
            Self::Failure => (Kind::Failed, "it fails", Some(500)),
            Self::Stuck => (Kind::Timeout, "no answer comes", None),
            Self::Portal => (Kind::Portal, "the network wants you to sign in", Some(511)),
            Self::BusyFor(seconds) => {
                let error = TransportError::new(Kind::Busy, "the server is busy");
                let error = error.with_status(429);
                return Some(error.with_retry_after(Duration::from_secs(seconds)));
            }
            Self::Status(status) => (
                of_status(status),
                "something on the way failed",
                Some(status),
            ),
            Self::LostAnswer | Self::BadAnswer | Self::Gateway(_) => return None,
        };
        let error = TransportError::new(kind, message);
        Some(match status {
            Some(status) => error.with_status(status),
            None => error,
        })
    }

    /// The error of a request that had its effect.
    pub(super) fn after(self) -> Option<TransportError> {
        use TransportErrorKind as Kind;
        match self {
            Self::LostAnswer => Some(TransportError::new(Kind::Timeout, "the answer is lost")),
            Self::BadAnswer => Some(TransportError::new(Kind::Protocol, "the answer is cut off")),
            Self::Gateway(status) => {
                let error = TransportError::new(of_status(status), "something on the way failed");
                Some(error.with_status(status))
            }
            _ => None,
        }
    }
}

/// The server fails at what it was sent.
pub(super) fn failed() -> TransportError {
    TransportError::new(TransportErrorKind::Failed, "it fails").with_status(500)
}

/// What a transport makes of the status of a failure.
pub(crate) fn of_status(status: u16) -> TransportErrorKind {
    use TransportErrorKind as Kind;
    match status {
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        408 | 429 | 503 => Kind::Busy,
        502 | 504 => Kind::Gateway,
        _ => Kind::Failed,
    }
}
