//! The genuine Azure Mobile Apps server and client with those of this project.
//!
//! Needs node and the packages of `package.json`, see `setup.sh`; without them each test says so on standard error and is done.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod both;
mod conflicts;
mod js_client;
mod lost;
mod nginx;
mod node_server;
mod ours;
mod peers;
mod quirks;
