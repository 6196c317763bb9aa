//! The sync engine: tables, the operation queue, push, pull, purge and conflicts.
//!
//! Start with [`SyncContext::builder`].

mod apply;
mod audit;
mod cancel;
mod conflict;
mod context;
mod copy;
mod deliver;
mod delta;
mod event;
mod inspect;
mod lease;
mod local;
mod locks;
mod merge;
mod operation;
mod pull;
mod purge;
mod push;
mod queue;
mod resolve;
mod route;
mod settle;
mod slot;
mod system;
mod table;
mod transaction;

pub use audit::{Audit, AuditReport, Difference, DifferenceKind};
pub use cancel::CancelToken;
pub use conflict::{
    ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy, HandlerError,
};
pub use context::{ContextBuilder, SyncContext};
pub use copy::{CopyReport, copy_store};
pub use event::{Event, Events, Origin, RecordChange};
pub use inspect::{Finding, Inspection, PullToken, TableStatus};
pub use merge::{Merged, merge};
pub use operation::{Collapse, Operation, OperationKind, OperationState, collapse};
pub use pull::{Pull, PullReport};
pub use purge::{Purge, PurgeReport};
pub use push::{Push, PushReport};
pub use resolve::Resolution;
pub use settle::ParkedOperation;
pub use table::{QueryPage, SyncTable, TableQuery};
pub use transaction::Transaction;
