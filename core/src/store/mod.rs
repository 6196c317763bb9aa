//! The contract between the engine and a place that keeps records.

mod batch;
mod changes;
mod error;
mod local;
mod log;
mod plan;
mod revision;

pub use batch::{Check, Durability, Expect, Unchanged, Write, WriteBatch};
pub use changes::{Author, Changed, Changes, Position};
pub use error::{StoreError, StoreErrorKind};
pub use local::{LocalStore, LocalStoreExt, Page, ProcessLock, StoreCapabilities};
pub use log::{ChangeLog, KNOWN_CHANGES, LastChange};
pub use plan::{Access, Plan};
pub use revision::Revisions;

pub use crate::record::Revision;
