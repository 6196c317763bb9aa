//! What bench programs measure: the data and our side. The package `bench` uses these, too.
#![allow(dead_code, reason = "each program uses a part")]

pub mod data;
pub mod ours;
