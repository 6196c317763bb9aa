//! OData text in both spellings: what is read, what is written, what is refused and where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod bytes;
mod errors;
mod filters;
mod limits;
mod options;
mod random;

use synctable_core::query::odata::{Spelling, parse_filter};

/// A filter, read and written again.
fn rewritten(text: &str, spelling: Spelling) -> String {
    parse_filter(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .to_odata(spelling)
        .unwrap()
}
