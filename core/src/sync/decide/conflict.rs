//! What to do when the server's record is not the one that a local change was based on.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::record::Record;
use crate::sync::queue::operation::Operation;
use crate::threads::{MaybeSend, MaybeSync};

/// How a push treats conflicts.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ConflictPolicy {
    /// Keep both sides in the store and go on; resolve later.
    #[default]
    Park,
    /// Take the server's record and drop the local change.
    ServerWins,
    /// Send the local change again, on the version that the server was seen at.
    ClientWins,
    /// Join what both sides changed, member by member; park where both changed the same member differently, or one side deleted.
    Merge,
    /// Ask the application.
    Custom(Arc<dyn ConflictHandler>),
}

impl ConflictPolicy {
    /// Asks `handler`.
    pub fn custom(handler: impl ConflictHandler) -> Self {
        Self::Custom(Arc::new(handler))
    }
}

impl fmt::Debug for ConflictPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Park => "Park",
            Self::ServerWins => "ServerWins",
            Self::ClientWins => "ClientWins",
            Self::Merge => "Merge",
            Self::Custom(_) => "Custom(..)",
        })
    }
}

/// Both sides of a conflict and what they started from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConflictDetails {
    /// The operation that could not be done.
    pub operation: Operation,
    /// The record as the server had it before the local change; `None` for a new one.
    pub base: Option<Record>,
    /// The record as it is here; `None` if it was deleted here.
    pub local: Option<Record>,
    /// The record as it is at the server: a tombstone if it was deleted there and the server still shows
    /// it, `None` if there is nothing.
    pub server: Option<Record>,
}

impl ConflictDetails {
    /// True where a decision on one is a decision on the other: the change and all sides are equal.
    pub(crate) fn shows_the_same(&self, other: &Self) -> bool {
        (self.operation.kind, &self.base) == (other.operation.kind, &other.base)
            && (&self.local, &self.server) == (&other.local, &other.server)
    }

    /// True when the server holds a record that is not deleted.
    pub fn exists_at_server(&self) -> bool {
        self.server
            .as_ref()
            .is_some_and(|record| !record.is_deleted())
    }
}

/// What a handler decides.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConflictDecision {
    /// Take the server's side.
    Server,
    /// Send the local side again.
    Client,
    /// Send this record instead; its id and system properties are ignored.
    With(Record),
    /// Decide later.
    Park,
}

/// An error of a handler; the conflict is parked and carries the message.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// The application's own way with conflicts.
///
/// It may take as long as it takes, and use the context as anybody may: nothing is held while it is asked, and other pushes and pulls go
/// on. At most one question about an operation is open at a time. The decision counts for what was shown: where the local record or the server's has changed meanwhile
/// it is called again. So it is by the next push after a crash. An error or a panic parks the conflict for good, as [`ConflictDecision::Park`] does.
///
/// ```
/// use synctable_core::sync::{ConflictDecision, ConflictDetails, ConflictHandler, HandlerError};
/// #[derive(Debug)]
/// struct NewestWins;
/// #[async_trait::async_trait]
/// impl ConflictHandler for NewestWins {
///     async fn resolve(&self, conflict: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
///         Ok(if conflict.exists_at_server() { ConflictDecision::Server } else { ConflictDecision::Client })
///     }
/// }
/// ```
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait ConflictHandler: MaybeSend + MaybeSync + 'static {
    /// Decides one conflict.
    async fn resolve(&self, conflict: &ConflictDetails) -> Result<ConflictDecision, HandlerError>;
}
