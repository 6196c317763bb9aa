//! The sync engine: tables, the operation queue, push, pull, purge and conflicts.
//!
//! Start with [`SyncContext::builder`].

mod admin;
mod builder;
mod cancel;
mod connect;
mod context;
mod decide;
mod event;
mod guards;
mod identity;
mod inner;
mod local;
mod pull;
mod push;
mod queue;
mod remote;
mod server;
mod settings;
mod slots;
mod system;
mod tables;
mod words;

pub use admin::backup::backup_store;
pub use admin::copy::{CopyReport, copy_store};
pub use admin::examine::{Examination, ExaminedTable, StoreRole, examine, store_role};
pub use admin::inspect::{
    Finding, Inspection, PullToken, TableStatus, UnknownValue, UnknownValues,
};
pub use admin::purge::{Purge, PurgeReport};
pub use builder::ContextBuilder;
pub use cancel::CancelToken;
pub use connect::Connection;
pub use context::SyncContext;
pub use decide::conflict::{
    ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy, HandlerError,
};
pub use decide::merge::{Merged, merge, merge_declared};
pub use decide::resolve::{ParkedOperation, Resolution};
pub use event::{Event, Events, Origin, RecordChange};
pub use identity::accept::{AcceptServer, SwitchAccount};
pub use local::changes::LocalChange;
pub use local::query::{QueryPage, TableQuery};
pub use local::table::SyncTable;
pub use local::transaction::Transaction;
pub use local::unsent::MovedTable;
pub use pull::Pull;
pub use pull::audit::{Audit, AuditReport, Difference, DifferenceKind};
pub use pull::report::PullReport;
pub use push::Push;
pub use push::patience::RetryPolicy;
pub use push::policy::{Attempt, Evidence, Facts, Row, Verdict, judge};
pub use push::report::PushReport;
pub use queue::collapse::{Collapse, collapse};
pub use queue::operation::{Aside, Operation, OperationKind, OperationState};
pub use queue::pending::{OperationPage, Pending, PendingPage};
pub use words::row::KeptValues;
