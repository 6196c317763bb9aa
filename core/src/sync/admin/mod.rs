//! Looking after a store: inspect, copy, purge.

pub(crate) mod copy;
pub(crate) mod inspect;
pub(crate) mod purge;
