//! What both bench programs measure: the data, our side, and the raw SQLite beside it.
#![allow(dead_code, reason = "each program uses a part")]

pub mod data;
pub mod ours;
pub mod raw;
