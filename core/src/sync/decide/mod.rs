//! Conflicts: who decides, how, and when.

pub(crate) mod conflict;
pub(crate) mod merge;
pub(crate) mod resolve;
