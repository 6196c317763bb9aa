//! The operation queue: operations, how they join, the index in memory, and who may change it.

pub(crate) mod catch_up;
pub(crate) mod collapse;
pub(crate) mod index;
pub(crate) mod lookup;
pub(crate) mod operation;
pub(crate) mod pending;
pub(crate) mod runs;
pub(crate) mod slot;
