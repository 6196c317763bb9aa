//! The simulator over the memory store.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use synctable_core::planted::{Bug, plant};
use synctable_memory::MemoryStore;
use synctable_testkit::sim::{History, Simulation};

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

/// The simulator has teeth: every planted mistake is found.
#[test]
fn planted_mistakes_are_found() {
    let most = 1_000;
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        plant(Some(bug));
        let simulation = simulation();
        let found = (0..most).find_map(|seed| {
            let findings = simulation.run(seed).findings;
            Some((seed, findings.into_iter().next()?))
        });
        plant(None);
        match found {
            Some((seed, finding)) => {
                let finding: String = finding.chars().take(100).collect();
                println!("{bug:?}: seed {seed}: {finding}");
            }
            None => missed.push(bug),
        }
    }
    assert!(
        missed.is_empty(),
        "not found in {most} histories: {missed:?}"
    );
}

/// A bad history is made small, and its text replays it.
#[test]
fn bad_histories_are_shrunk() {
    let simulation = simulation();
    for bug in [
        Bug::NotMarked,
        Bug::CountsUnsureChanges,
        Bug::PullOverPending,
    ] {
        plant(Some(bug));
        let seed = (0..1_000).find(|seed| !simulation.run(*seed).findings.is_empty());
        let seed = seed.expect("the bug is found");
        let (history, summary) = simulation
            .shrink(&History::of(seed))
            .expect("it is bad still");
        let report = simulation.report(seed);
        let read: History = history.to_string().parse().expect("a history is read");
        let again = simulation.replay(&read);
        plant(None);
        println!("{bug:?}: {report}");
        assert!(summary.steps <= 40, "{bug:?}: {history}: {summary:?}");
        assert_eq!(again, summary);
        let end = format!(
            "replay with: SYNCTABLE_SEED={history} cargo test -p synctable-testkit \
             bad_histories_are_shrunk -- --exact --nocapture"
        );
        assert!(report.ends_with(&end), "{report}");
        assert_eq!(simulation.replay(&read).findings, [""; 0]);
    }
}
