//! The words of a store: how many of the application's schema steps its records know, and how they come to know more.

pub(crate) mod carry;
pub(crate) mod opening;
pub(crate) mod row;
