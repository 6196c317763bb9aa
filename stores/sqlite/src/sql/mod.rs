//! Filters as SQL, where SQL agrees with the reference evaluation exactly; what is not translated here is
//! left to the evaluator.
//!
//! Three-valued logic stays inside: a condition that is `NULL` counts as false wherever it is used, and a
//! condition that is used as a value goes through `IS TRUE` first.

mod condition;
mod constant;
pub(crate) mod functions;
mod operand;
mod order;

pub(crate) use condition::{Translator, join};
pub(crate) use order::{Order, Part};
