//! What queries mean, line by line: values, comparisons, logic, functions, orders, pages and cursors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod comparisons;
mod cursors;
mod fields;
mod fixture;
mod functions;
mod logic;
mod pages;
mod values;
