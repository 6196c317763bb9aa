//! The contract between the engine and a place that keeps records.

mod batch;
mod error;
mod local;

pub use batch::{Check, Durability, Expect, Write, WriteBatch};
pub use error::{StoreError, StoreErrorKind};
pub use local::{LocalStore, LocalStoreExt, Page, StoreCapabilities};
