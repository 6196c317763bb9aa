//! The simulator over the memory store.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use synctable_memory::MemoryStore;
use synctable_testkit::sim::Simulation;

fn simulation() -> Simulation {
    Simulation::new(|| Arc::new(MemoryStore::new()))
}

/// Other histories each day. `SYNCTABLE_CASES` replaces their number.
#[test]
fn every_change_has_its_effect_once_and_all_become_equal() {
    let day = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs() / 86_400);
    let cases = std::env::var("SYNCTABLE_CASES").ok();
    let cases = cases.and_then(|cases| cases.parse().ok()).unwrap_or(300);
    let first = day * 1_000_000;
    let totals = simulation().check(first..first + cases);
    println!("{totals:?} from seed {first}");
    assert!(totals.changes > 10 * totals.seeds, "{totals:?}");
}

/// One seed is one history, and two are not the same.
#[test]
fn seeds_decide_everything() {
    let simulation = simulation().steps(300);
    assert_eq!(simulation.run(1), simulation.run(1));
    assert_ne!(simulation.run(1).trace, simulation.run(2).trace);
}
