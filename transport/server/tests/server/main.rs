//! The table server from outside: as a function and on sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod access;
mod batch;
mod commits;
mod common;
mod declared;
mod door;
mod expensive;
mod fill;
mod headers;
mod operations;
mod outcome;
mod packed;
mod paging;
mod partial;
mod replay;
mod secured;
mod sequence;
mod shared;
mod since;
mod sockets;
mod sqlite;
mod status;
mod tombstones;
mod types;
mod unique;
mod units;
mod wire;
mod zumo;
