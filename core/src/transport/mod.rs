//! The contract between the engine and a table server.

mod error;
mod remote;
mod retry;

pub use error::{TransportError, TransportErrorKind};
pub use remote::{
    Change, ChangeKind, Conflict, InvalidRow, Outcome, PageCursor, Rejection, RemotePage,
    ServerRecord, Transport, TransportCapabilities,
};
pub use retry::{Retry, RetryPolicy, Sleep, TokioSleep};
