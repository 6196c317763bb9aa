//! Looking after a store: inspect, copy, back up, purge.

pub(crate) mod backup;
pub(crate) mod copy;
pub(crate) mod examine;
pub(crate) mod inspect;
pub(crate) mod purge;
