//! The simulator over the memory store where every history has what only some have otherwise: two contexts over one store, people who take
//! their time over conflicts, two servers, two accounts.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use synctable_memory::MemoryStore;
use synctable_testkit::sim::{Simulation, Trouble};

/// Other histories each day. `SYNCTABLE_CASES` replaces their number.
fn run(mode: impl Fn(Simulation) -> Simulation) {
    let simulation = mode(Simulation::new(|| Arc::new(MemoryStore::new())));
    let day = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs() / 86_400);
    let cases = std::env::var("SYNCTABLE_CASES").ok();
    let cases = cases.and_then(|cases| cases.parse().ok()).unwrap_or(60);
    let first = day * 1_000_000;
    let totals = simulation.check(first..first + cases);
    println!("{totals:?} from seed {first}");
    assert!(totals.changes > 10 * totals.seeds, "{totals:?}");
}

#[test]
fn two_contexts_of_one_store_lose_nothing() {
    run(Simulation::two_contexts);
}

#[test]
fn slow_decisions_count_once_and_hold_up_nobody() {
    run(Simulation::slow_handlers);
}

#[test]
fn two_servers_are_not_mixed() {
    run(Simulation::two_servers);
}

#[test]
fn two_accounts_are_not_mixed() {
    run(Simulation::two_accounts);
}

/// What a mode adds can be left out, so that a bad history shows whether it matters.
#[test]
fn second_contexts_and_persons_can_be_left_out() {
    let plain = |simulation: Simulation| {
        let without = [Trouble::Contexts, Trouble::Handlers].into_iter();
        without.fold(simulation, Simulation::without).steps(200)
    };
    let simulation = || Simulation::new(|| Arc::new(MemoryStore::new()));
    for seed in 0..5 {
        let expected = plain(simulation()).run(seed);
        let found = plain(simulation().two_contexts().slow_handlers()).run(seed);
        assert_eq!(found, expected, "seed {seed}");
    }
}
