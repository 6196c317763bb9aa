//! What every store does: declarations, records kept exactly, batches and checks, queries.

mod answers;
mod batch;
mod define;
mod query;
mod records;
mod revisions;

pub use answers::*;
pub use batch::*;
pub use define::*;
pub use query::*;
pub use records::*;
pub use revisions::*;
