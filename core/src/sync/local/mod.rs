//! Local changes and queries: what applications call.

pub(crate) mod changes;
pub(crate) mod query;
pub(crate) mod table;
pub(crate) mod transaction;
pub(crate) mod typed;
pub(crate) mod unsent;
pub(crate) mod write;
