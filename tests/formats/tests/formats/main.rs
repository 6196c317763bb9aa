//! Stores as earlier releases wrote them open for ever, with all that was in them, and go on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod complete;
mod cut;
mod fixture;
mod goes_on;
mod held;
mod kept;
mod marks;
mod read_only;
