//! Whose the rows and positions of a store are: of one server, and of one account.
//!
//! `rule` says what is the same and what is not, without I/O. `session` is what one push, pull or audit knows of the
//! server, and `contact` how it meets it; `accept` carries out what the application says to a change.

pub(crate) mod accept;
pub(crate) mod contact;
pub(crate) mod rule;
pub(crate) mod session;
