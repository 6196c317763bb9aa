//! The storage-agnostic core of synctable.
//!
//! It holds the records and queries, the contracts for stores ([`store::LocalStore`]) and servers
//! ([`transport::Transport`]), and the sync engine ([`sync`]). It does no I/O, names no backend and spawns nothing:
//! time and ids come in through [`Clock`] and [`IdSource`].

mod clock;
mod error;
mod name;
pub mod query;
mod record;
mod schema;
pub mod store;
pub mod sync;
pub mod threads;
mod timestamp;
pub mod transport;
mod words;

pub use clock::{Clock, IdSource, Sleep, SystemClock, UuidV7};
pub use error::{Error, ErrorKind};
pub use name::{NameError, QueryId, RecordId, TableName, Version};
pub use record::{Draft, Record, RecordError, SYSTEM_PROPERTIES, SystemProperties, push_json_text};
pub use schema::{
    Declaration, Declarations, DeviceRules, FieldOptions, FieldType, Fields, IndexSpec, MergeRule,
    MergeRules, Placeless, Schema, SchemaError, ServerRules, Step, Steps, TableSchema,
};
pub use timestamp::{Date, TimeError, TimeOfDay, Timestamp};
pub use words::brief;
