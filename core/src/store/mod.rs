//! The contract between the engine and a place that keeps records.

mod batch;
mod error;
mod local;
mod plan;
mod revision;

pub use batch::{Check, Durability, Expect, Write, WriteBatch};
pub use error::{StoreError, StoreErrorKind};
pub use local::{LocalStore, LocalStoreExt, Page, ProcessLock, StoreCapabilities};
pub use plan::{Access, Plan};
pub use revision::Revisions;

pub use crate::record::Revision;
