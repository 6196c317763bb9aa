//! Hostile and broken servers, one case a row: the HTTP transport, and the engine over it, against answers that no
//! server should give.
//!
//! Each case answers everything alike, to six calls: a pull that follows changes, a pull by the server's own pages, a push
//! of an insert, an update and a delete, and a read. What holds for all of them is in [`run`]; what each row adds is
//! what the calls come to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod answer;
mod batch;
mod case;
mod device;
mod run;
#[path = "../http/server.rs"]
mod server;

mod endless;
mod framing;
mod fuzz;
mod identity;
mod links;
mod statuses;
mod times;
mod values;

use case::Case;

/// Every theme's cases.
fn all() -> Vec<Case> {
    [
        links::cases(),
        framing::cases(),
        endless::cases(),
        identity::cases(),
        values::cases(),
        times::cases(),
        statuses::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn there_are_many_cases_and_each_has_a_name_of_its_own() {
    let cases = all();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    println!("{} cases, {} calls", cases.len(), cases.len() * 6);
    assert_eq!(names.len(), cases.len());
    assert!(cases.len() >= 120, "{} cases", cases.len());
}
