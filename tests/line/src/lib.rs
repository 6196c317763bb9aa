//! The engine over a slow and bad line, on a virtual clock: the engine with a store in memory, the HTTP transport, HTTP/1.1 by hyper at both
//! ends, and the reference server. Only sockets are left out: in their place there is a [`Line`](line::Line).
//!
//! Time is that of tokio, paused: it goes on where nothing else can, so the time that a push takes is exact, and a test of it counts. What
//! stores and servers compute takes no time at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

pub mod far;
pub mod line;
pub mod wire;
pub mod world;
