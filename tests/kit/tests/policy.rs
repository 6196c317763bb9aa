//! The simulator has teeth: it notices each row of the policy's table that is turned around.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use synctable_core::planted::{row_names, turn_row};
use synctable_memory::MemoryStore;
use synctable_testkit::sim::{Simulation, first_finding};

/// So many histories of each of the two simulations have to do.
const MOST: u64 = 1_000;
/// Rows that are turned around each day.
const ROWS: usize = 5;

fn open() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

fn today() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| time.as_secs() / 86_400)
}

fn cases() -> Option<u64> {
    let cases = std::env::var("SYNCTABLE_CASES").ok();
    cases.and_then(|cases| cases.parse().ok())
}

/// Turns these rows around, one after the other; the names of those that are not noticed.
fn missed(rows: &[(usize, &'static str)]) -> Vec<&'static str> {
    let mut missed = Vec::new();
    for (place, name) in rows {
        turn_row(Some(*place));
        let found = first_finding(open, 0..MOST);
        turn_row(None);
        match found {
            Some((histories, finding)) => println!("{name}: history {histories}: {finding}"),
            None => missed.push(*name),
        }
    }
    missed
}

/// Some rows each day; with `SYNCTABLE_CASES` all of them.
#[test]
fn rows_that_are_turned_around_are_noticed() {
    let mut rows: Vec<_> = row_names().into_iter().enumerate().collect();
    if cases().is_none() {
        let groups = rows.len().div_ceil(ROWS).max(1);
        let place = usize::try_from(today()).unwrap_or_default() % groups;
        rows = rows.chunks(ROWS).nth(place).unwrap_or_default().to_vec();
    }
    assert!(!rows.is_empty());
    assert_eq!(
        missed(&rows),
        [""; 0],
        "not noticed in {MOST} histories of each simulation"
    );
}

/// Other histories each day. `SYNCTABLE_CASES` replaces their number.
#[test]
fn odd_records_are_nobody_elses_fault() {
    let first = today() * 1_000_000;
    let totals = Simulation::odd(open).check(first..first + cases().unwrap_or(100));
    println!("{totals:?}");
}

/// One seed is one history here, too.
#[test]
fn seeds_decide_everything() {
    let simulation = Simulation::odd(open);
    assert_eq!(simulation.run(1), simulation.run(1));
    assert_ne!(simulation.run(1).trace, simulation.run(2).trace);
}
