//! Random schemas, records and queries as proptest strategies.
//!
//! They are made to meet: the same few texts and numbers, all of them awkward, occur in records and in the
//! constants of filters; declared fields hold fitting and misfit values; few ids make collisions.
//!
//! ```
//! use proptest::prelude::*;
//! use synctable_testkit::arb;
//! let cases = arb::schema().prop_flat_map(|schema| {
//!     (arb::records(&schema, 8), arb::query(&schema), Just(schema))
//! });
//! proptest!(|((records, query, schema) in cases)| {
//!     // Store the records, ask the store, and compare with `page_of(&query, &schema, records)`.
//!     # let _ = (records, query, schema);
//! });
//! ```

mod query;
mod record;
mod schema;
mod value;

pub use query::{expr, query};
pub use record::{id, record, records, system};
pub use schema::{field_type, schema};
pub use value::{fitting, json, literal};
