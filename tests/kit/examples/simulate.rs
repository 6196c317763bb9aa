//! Many histories of the simulator: `cargo run --release -p synctable-testkit --example simulate -- [SEEDS] [STEPS] [FIRST]`.
//!
//! `--odd` runs those over a server with habits, `--classes` those over servers as those of .NET,
//! `--contexts` those of programs with two contexts over one store,
//! `--handlers` those of people who take their time over conflicts, `--servers` and `--accounts` those of clients that go from one to another; `--policy` turns each row of the policy around and says after how many
//! histories that was noticed. With `SYNCTABLE_SEED` it tells one history; with `SYNCTABLE_ROW` the row of that name is turned.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use synctable_core::planted::{row_names, turn_row};
use synctable_memory::MemoryStore;
use synctable_testkit::sim::{Simulation, first_finding};

/// So many histories of each simulation have to notice a row that is turned around.
const MOST: u64 = 1_000;

fn main() {
    let (flags, numbers): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("--"));
    let mut numbers = numbers.iter().map(|text| {
        text.parse::<u64>().unwrap_or_else(|_| {
            eprintln!("usage: simulate [--odd | --classes | --contexts | --handlers | --servers | --accounts | --policy] [SEEDS] [STEPS] [FIRST]");
            std::process::exit(2)
        })
    });
    let is = |flag: &str| flags.iter().any(|given| given == flag);
    let open = || Arc::new(MemoryStore::new());
    let simulation = if is("--odd") {
        Simulation::odd(open)
    } else if is("--classes") {
        Simulation::new(open).of_classes()
    } else if is("--contexts") {
        Simulation::new(open).two_contexts()
    } else if is("--handlers") {
        Simulation::new(open).slow_handlers()
    } else if is("--servers") {
        Simulation::new(open).two_servers()
    } else if is("--accounts") {
        Simulation::new(open).two_accounts()
    } else {
        Simulation::new(open)
    };
    let seeds = numbers
        .next()
        .unwrap_or(if is("--policy") { MOST } else { 1_000 });
    let steps = numbers.next().and_then(|steps| usize::try_from(steps).ok());
    let first = numbers.next().unwrap_or(0);
    let simulation = match steps {
        Some(steps) => simulation.steps(steps),
        None => simulation,
    };
    let row = std::env::var("SYNCTABLE_ROW").ok();
    let row = row.and_then(|row| row_names().iter().position(|name| *name == row));
    turn_row(row);
    if simulation.replay_asked() {
        return;
    }
    let bad = if is("--policy") {
        policy(seeds, first)
    } else {
        histories(&simulation, row, first, seeds)
    };
    std::process::exit(i32::from(bad > 0));
}

/// Runs histories; each thread takes every n-th seed. How many end badly.
fn histories(simulation: &Simulation, row: Option<usize>, first: u64, seeds: u64) -> u64 {
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let simulation = simulation.clone();
            thread::spawn(move || {
                turn_row(row);
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

/// Turns each row of the policy around. How many are not noticed.
fn policy(seeds: u64, first: u64) -> u64 {
    let mut missed = 0;
    for (place, name) in row_names().into_iter().enumerate() {
        turn_row(Some(place));
        let found = first_finding(|| Arc::new(MemoryStore::new()), first..first + seeds);
        turn_row(None);
        match found {
            Some((histories, finding)) => println!("{name}: history {histories}: {finding}"),
            None => {
                missed += 1;
                println!("{name}: NOT NOTICED in {seeds} histories of each simulation");
            }
        }
    }
    missed
}
