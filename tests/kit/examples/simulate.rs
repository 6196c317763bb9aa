//! Many histories of the simulator: `cargo run --release -p synctable-testkit --example simulate -- [SEEDS] [STEPS] [FIRST]`.
//!
//! `--odd` runs those over a server with habits, `--classes` those over servers as those of .NET, `--contexts` those of programs with two
//! contexts over one store, `--handlers` those of people who take their time over conflicts, `--servers` and `--accounts` those of clients that
//! go from one to another. `--far` goes with each of them: their stores keep JSON by value
//! ([`FarStore`]). With `SYNCTABLE_SEED` it tells one history.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use synctable_core::store::LocalStore;
use synctable_memory::MemoryStore;
use synctable_testkit::FarStore;
use synctable_testkit::sim::Simulation;

fn main() {
    let (flags, numbers): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("--"));
    let mut numbers = numbers.iter().map(|text| {
        text.parse::<u64>().unwrap_or_else(|_| {
            eprintln!(
                "usage: simulate [--far] [--odd | --classes | --contexts | --handlers | --servers | --accounts] [SEEDS] [STEPS] [FIRST]"
            );
            std::process::exit(2)
        })
    });
    let simulation = if flags.iter().any(|flag| flag == "--far") {
        simulation(&flags, || Arc::new(FarStore::at_once(MemoryStore::new())))
    } else {
        simulation(&flags, || Arc::new(MemoryStore::new()))
    };
    let seeds = numbers.next().unwrap_or(1_000);
    let steps = numbers.next().and_then(|steps| usize::try_from(steps).ok());
    let first = numbers.next().unwrap_or(0);
    let simulation = match steps {
        Some(steps) => simulation.steps(steps),
        None => simulation,
    };
    if simulation.replay_asked() {
        return;
    }
    let bad = histories(&simulation, first, seeds);
    std::process::exit(i32::from(bad > 0));
}

/// The simulation of a mode, over such stores.
fn simulation<S: LocalStore>(
    flags: &[String],
    open: impl Fn() -> Arc<S> + Send + Sync + 'static,
) -> Simulation {
    let is = |flag: &str| flags.iter().any(|given| given == flag);
    if is("--odd") {
        return Simulation::odd(open);
    }
    let simulation = Simulation::new(open);
    if is("--classes") {
        simulation.of_classes()
    } else if is("--contexts") {
        simulation.two_contexts()
    } else if is("--handlers") {
        simulation.slow_handlers()
    } else if is("--servers") {
        simulation.two_servers()
    } else if is("--accounts") {
        simulation.two_accounts()
    } else {
        simulation
    }
}

/// Runs histories; each thread takes every n-th seed. How many end badly.
fn histories(simulation: &Simulation, first: u64, seeds: u64) -> u64 {
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let simulation = simulation.clone();
            thread::spawn(move || {
                let (mut bad, mut changes) = (0_u64, 0_u64);
                for seed in
                    (first + thread..first + seeds).step_by(usize::try_from(threads).unwrap_or(1))
                {
                    let summary = simulation.run(seed);
                    changes += summary.changes as u64;
                    if !summary.findings.is_empty() {
                        bad += 1;
                        println!("{}", simulation.report(seed));
                    }
                }
                (bad, changes)
            })
        })
        .collect();
    let (mut bad, mut changes) = (0, 0);
    for worker in workers {
        match worker.join() {
            Ok((more_bad, more_changes)) => {
                bad += more_bad;
                changes += more_changes;
            }
            Err(_) => bad += 1,
        }
    }
    println!(
        "{seeds} seeds from {first}, {changes} tagged changes: {bad} bad histories, {} s",
        begun.elapsed().as_secs()
    );
    bad
}
