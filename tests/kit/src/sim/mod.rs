//! The simulator: whole systems of clients and a server in one thread, where one seed is one history.
//!
//! Clients edit, push, pull, audit, purge and resolve, several things at a time, while requests and answers are lost,
//! doubled, late or cut, disks fail, programs crash at any call of their store, clocks jump, and others change rows at the server. Every
//! change of a kept record carries a tag that is counted in the record, so that at the end, when faults have stopped,
//! books outside of the system tell whether each change has had its effect exactly once.
//!
//! ```
//! use std::sync::Arc;
//! use synctable_memory::MemoryStore;
//! use synctable_testkit::sim::Simulation;
//!
//! let simulation = Simulation::new(|| Arc::new(MemoryStore::new())).clients(2);
//! let totals = simulation.check(0..5);
//! assert_eq!(totals.seeds, 5);
//! ```

mod client;
mod dice;
mod disk;
mod ledger;
mod net;
mod world;

use std::ops::Range;
use std::sync::Arc;

use synctable_core::store::LocalStore;

use crate::fixture::Store;
use crate::for_all::setting;
pub(crate) use dice::Dice;
use net::Trouble;
use world::World;

/// Clients over stores of one kind, a server, and everything that goes wrong between them.
#[derive(Clone)]
pub struct Simulation {
    open: Arc<dyn Fn() -> Store + Send + Sync>,
    setting: Setting,
}

/// What may happen, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) clients: usize,
    pub(crate) steps: usize,
    pub(crate) crashes: bool,
    pub(crate) disk: bool,
    pub(crate) without: Vec<Trouble>,
    /// The story is printed.
    pub(crate) told: bool,
}

/// What came of one history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Steps that were taken.
    pub steps: usize,
    /// Changes of kept records that were acknowledged.
    pub changes: usize,
    /// A hash of all that happened: the same seed gives the same.
    pub trace: u64,
    /// What is wrong, a line each: `lost`, `doubled`, `diverged`, `stuck` and others, then what it is about.
    pub findings: Vec<String>,
}

/// What came of many histories that all ended well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Histories.
    pub seeds: u64,
    /// Their steps.
    pub steps: u64,
    /// Changes of kept records that were acknowledged, each in effect once at the end.
    pub changes: u64,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("setting", &self.setting)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// Three clients and 500 steps. `open` makes a new, empty store; it lives as long as its client, through all crashes.
    pub fn new<S: LocalStore>(open: impl Fn() -> Arc<S> + Send + Sync + 'static) -> Self {
        Self {
            open: Arc::new(move || open() as Store),
            setting: Setting {
                clients: 3,
                steps: 500,
                crashes: true,
                disk: true,
                without: Vec::new(),
                told: false,
            },
        }
    }

    /// With this number of clients.
    #[must_use]
    pub fn clients(mut self, clients: usize) -> Self {
        self.setting.clients = clients.max(1);
        self
    }

    /// With this number of steps before faults stop.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.setting.steps = steps;
        self
    }

    /// Runs one history.
    pub fn run(&self, seed: u64) -> Summary {
        let stores: Vec<Store> = (0..self.setting.clients).map(|_| (self.open)()).collect();
        World::new(&self.setting, &stores, seed).run()
    }

    /// Runs the histories of all `seeds`, every 50th of them twice, and panics at the first that ends badly: with the seed, what is
    /// wrong, and the smallest number of steps after which it is.
    ///
    /// With `SYNCTABLE_SEED` only that history is run, and told on standard output.
    pub fn check(&self, seeds: Range<u64>) -> Totals {
        if let Some(seed) = setting("SYNCTABLE_SEED") {
            let mut told = self.clone();
            told.setting.told = true;
            let summary = told.run(seed);
            assert!(
                summary.findings.is_empty(),
                "{}",
                summary.findings.join("\n")
            );
            return Totals::default();
        }
        let mut totals = Totals::default();
        for seed in seeds {
            let summary = self.run(seed);
            assert!(
                summary.findings.is_empty(),
                "{}",
                self.shrunk(seed, &summary)
            );
            if totals.seeds % 50 == 0 {
                let again = self.run(seed);
                assert_eq!(summary, again, "seed {seed} did not go the same way twice");
            }
            totals.seeds += 1;
            totals.steps += summary.steps as u64;
            totals.changes += summary.changes as u64;
        }
        totals
    }

    /// The shortest beginning of a bad history that is bad as well.
    fn shrunk(&self, seed: u64, summary: &Summary) -> String {
        let shortest = (0..summary.steps).find_map(|steps| {
            let summary = self.clone().steps(steps).run(seed);
            (!summary.findings.is_empty()).then_some(summary)
        });
        let shortest = shortest.as_ref().unwrap_or(summary);
        format!(
            "after {} steps: {}\nreplay with SYNCTABLE_SEED={seed}; {} of {} steps are enough",
            shortest.steps,
            shortest.findings.join("\n"),
            shortest.steps,
            self.setting.steps
        )
    }
}
