//! Conflicts: who decides, how, and when.

pub(crate) mod asking;
pub(crate) mod conflict;
pub(crate) mod consult;
pub(crate) mod decision;
pub(crate) mod merge;
pub(crate) mod questions;
pub(crate) mod resolve;
