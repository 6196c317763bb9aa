//! The contract between the engine and a table server.

mod error;
mod remote;

pub use error::{TransportError, TransportErrorKind};
pub use remote::{
    Change, ChangeKind, Conflict, ConflictCause, InvalidRow, Outcome, PageCursor, Rejection,
    RemotePage, ServerRecord, Transport, TransportCapabilities,
};
