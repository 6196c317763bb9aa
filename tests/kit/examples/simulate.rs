//! Many histories of the simulator: `cargo run --release -p synctable-testkit --example simulate -- [SEEDS] [STEPS] [FIRST]`.
//! With `SYNCTABLE_SEED` it tells one history.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use synctable_memory::MemoryStore;
use synctable_testkit::sim::Simulation;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| {
        text.parse::<u64>().unwrap_or_else(|_| {
            eprintln!("usage: simulate [SEEDS] [STEPS] [FIRST]");
            std::process::exit(2)
        })
    });
    let seeds = numbers.next().unwrap_or(1_000);
    let steps = numbers.next().unwrap_or(500);
    let first = numbers.next().unwrap_or(0);
    let simulation = Simulation::new(|| Arc::new(MemoryStore::new()))
        .steps(usize::try_from(steps).unwrap_or(usize::MAX));
    if simulation.replay_asked() {
        return;
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let begun = Instant::now();
    // Each thread takes every n-th seed; a bad history ends the run with its seed and how to replay it.
    let workers: Vec<_> = (0..threads as u64)
        .map(|thread| {
            let simulation = simulation.clone();
            thread::spawn(move || {
                let (mut bad, mut changes) = (0_u64, 0_u64);
                for seed in (first + thread..first + seeds).step_by(threads) {
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
        "{seeds} seeds from {first}, {steps} steps each, {changes} tagged changes: {bad} bad histories, {} s",
        begun.elapsed().as_secs()
    );
    std::process::exit(i32::from(bad > 0));
}
