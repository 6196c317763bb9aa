//! Several changes in one request.

use super::{Outcome, Rejection, TransportError};

/// How many changes a server takes in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimits {
    /// At most so many changes; at least two.
    pub changes: usize,
    /// At most so many bytes of request body, where the server says.
    pub bytes: Option<usize>,
    /// At most so many changes are done together or not at all, as a [unit](super::Change::unit); `None`: the server knows no units.
    pub units: Option<usize>,
}

impl BatchLimits {
    /// At most so many changes, of any size.
    pub const fn of(changes: usize) -> Self {
        Self {
            changes,
            bytes: None,
            units: None,
        }
    }

    /// With a limit of the request's body in bytes.
    #[must_use]
    pub const fn with_bytes(mut self, bytes: Option<usize>) -> Self {
        self.bytes = bytes;
        self
    }

    /// With a limit of the changes that are done together or not at all.
    #[must_use]
    pub const fn with_units(mut self, changes: Option<usize>) -> Self {
        self.units = changes;
        self
    }
}

/// What came of a request with several changes.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchAnswer {
    /// One for each change, in the order of the changes.
    Each(Vec<ChangeAnswer>),
    /// None of the changes was looked at: the request as a whole was too large, or the server or something on the way takes no such
    /// request. The words say nothing of any change.
    Refused(Rejection),
}

/// What came of one change of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChangeAnswer {
    /// What [`apply`](super::Transport::apply) would have returned.
    Alone(Result<Outcome, TransportError>),
    /// The outcome that the operation had when it was sent before, or has had by this request, as the server says; and which is what the server holds
    /// at the time of this answer.
    Current(Outcome),
    /// The server did not look at it. That is no attempt.
    NotTried,
    /// Not done, as another change of its [unit](super::Change::unit) was not done.
    NotDone,
}
