//! The simulator over a server with habits.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use synctable_memory::MemoryStore;
use synctable_testkit::sim::Simulation;

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
