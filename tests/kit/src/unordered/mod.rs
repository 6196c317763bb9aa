//! Commits that overlap, pass each other and are dropped: what the engine relies on, whether or not a store claims
//! [`ordered_commits`](synctable_core::store::StoreCapabilities::ordered_commits).

mod dropped;
mod order;
mod positions;

pub(crate) use dropped::Guard;
pub use dropped::*;
pub use order::*;
pub use positions::*;
