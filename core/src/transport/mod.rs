//! The contract between the engine and a server: a table server, or one that tells changes by itself.

mod batch;
mod error;
mod feed;
mod remote;

pub use batch::{BatchAnswer, BatchLimits, ChangeAnswer};
pub use error::{TransportError, TransportErrorKind};
pub use feed::{ChangeFeed, FeedAnswer, FeedChange, FeedNext, FeedPage, FeedToken};
pub use remote::{
    Change, ChangeKind, Conflict, ConflictCause, InvalidRow, Outcome, PageCursor, Rejection,
    RemotePage, ServerRecord, Transport, TransportCapabilities,
};
