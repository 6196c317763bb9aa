//! Two releases of the command as processes: the first one and today's.
//!
//! All tests are ignored, as they need the command of release 0.1: the path of one in `SYNCTABLE_01`, or a clone with the commit
//! of that release, of which they build it once, into `target/versions`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod device;
mod failed;
mod far_side;
mod opened;
mod queues;
mod releases;
mod reply;
mod server;
mod story;
mod together;
mod upgraded;
