//! What client and server call things on the wire: names of headers, parameters and members, and facts of the dialects.
//!
//! It holds no readers and no writers. Those of the client and those of the server are made apart from each other, so that one
//! that is wrong fails against the other; a name that is written down once cannot be wrong on one side only.
//!
//! Names of headers are in lower case. Names of parameters match in either case.

#![no_std]

mod dialect;
pub mod header;
pub mod member;
pub mod parameter;

pub use dialect::{DialectFacts, Links, TOOLKIT, ZUMO2, ZUMO3};

/// The first part of each table's path.
pub const TABLES: &str = "tables";

/// The member of a change of a batch that names those with which it is done together or not at all, as OData calls it.
pub const GROUP: &str = "atomicityGroup";

/// What follows [`TABLES`] in the path of several changes in one request.
pub const BATCH: &str = "$batch";
