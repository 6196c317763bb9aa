//! Until something is found: `cargo run --release -p synctable-testkit --example first_finding -- [HISTORIES]`.
//!
//! Runs so many histories of each of the two simulations in turn, up to the first that ends badly. That one is what this program is for: its
//! exit code is 0 if there is one, 1 if there is none.

use std::process::ExitCode;
use std::sync::Arc;

use synctable_memory::MemoryStore;
use synctable_testkit::sim::first_finding;

fn main() -> ExitCode {
    let histories = std::env::args().nth(1);
    let histories = histories.map_or(Ok(1_000), |text| text.parse::<u64>());
    let Ok(histories) = histories else {
        eprintln!("usage: first_finding [HISTORIES]");
        return ExitCode::from(2);
    };
    match first_finding(|| Arc::new(MemoryStore::new()), 0..histories) {
        Some((history, finding)) => {
            println!("found in history {history}: {finding}");
            ExitCode::SUCCESS
        }
        None => {
            println!("nothing found in {histories} histories of each simulation");
            ExitCode::from(1)
        }
    }
}
