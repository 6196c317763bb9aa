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
//!
//! Three things can be your own: the store (any [`LocalStore`]), the server (a [`FarSide`]), and the tables with their
//! conflicts and users (an [`Application`]). A history that ends badly is made smaller: steps, clients and kinds of trouble that
//! do not matter are left out. The message has the command that replays what is left, step by step.

mod act;
mod application;
mod asked;
mod client;
mod dice;
mod disk;
mod far;
mod held;
mod history;
mod ledger;
mod line;
mod odd;
mod odd_books;
mod odd_server;
mod others;
mod person;
mod realms;
mod settle;
mod shrink;
mod signpost;
mod start;
mod task;
mod trouble;
mod wander;
mod watch;
mod witness;
mod world;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use synctable_core::Declarations;
use synctable_core::store::LocalStore;

use crate::fixture::Store;
use application::Users;
pub use application::{Application, Participant};
pub use dice::Dice;
pub use far::FarSide;
pub use history::History;
pub use line::{Answer, Errand, Line, NoAnswer};
use realms::Split;
use shrink::Shrinker;
pub use trouble::Trouble;
use world::World;

/// Clients over stores of one kind, a server, and everything that goes wrong between them.
#[derive(Clone)]
pub struct Simulation {
    open: Arc<dyn Fn() -> Store + Send + Sync>,
    server: ServerMaker,
    users: Arc<dyn Fn() -> Users + Send + Sync>,
    setting: Setting,
}

type ServerMaker = Arc<dyn Fn(&Declarations, &mut Dice) -> Arc<dyn FarSide> + Send + Sync>;

/// What may happen, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) clients: usize,
    pub(crate) steps: usize,
    pub(crate) without: BTreeSet<Trouble>,
    pub(crate) chances: Chances,
    /// Why there is more than one realm, if there is.
    pub(crate) split: Option<Split>,
    /// The story is printed.
    pub(crate) told: bool,
}

/// How often a history has what not every system has: of 1000 clients, so many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chances {
    /// Their program opens two contexts over its store.
    pub(crate) contexts: u32,
    /// They ask a person about conflicts.
    pub(crate) handlers: u32,
}

impl Chances {
    /// Those of ordinary histories.
    const ORDINARY: Self = Self {
        contexts: 300,
        handlers: 250,
    };
}

/// What came of one history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Steps that were taken.
    pub steps: usize,
    /// Changes of kept records that were acknowledged; those of an [`Application`] are not counted.
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
            server: Arc::new(|_, dice| far::modelled(dice)),
            users: Arc::new(|| Users::Tagging),
            setting: Setting {
                clients: 3,
                steps: 500,
                without: BTreeSet::new(),
                chances: Chances::ORDINARY,
                split: None,
                told: false,
            },
        }
    }

    /// As [`new`](Self::new), over a server with habits: it fails at some records each time, refuses others, gives conflicts that are
    /// none, keeps records under other ids, and has tables that may not be read, or that are not there for a while. Each record has one
    /// author, so that nothing may be in conflict, and only what the server will not take may be refused.
    pub fn odd<S: LocalStore>(open: impl Fn() -> Arc<S> + Send + Sync + 'static) -> Self {
        Self::new(open)
            .application(odd::OddTables::default)
            .steps(300)
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

    /// Without one kind of trouble.
    #[must_use]
    pub fn without(mut self, trouble: Trouble) -> Self {
        self.setting.without.insert(trouble);
        self
    }

    /// With two contexts over the store of every client, as a program has them that opens its store at two places.
    #[must_use]
    pub fn two_contexts(mut self) -> Self {
        self.setting.chances.contexts = 1000;
        self
    }

    /// With a person at every client who is asked about conflicts, and takes longer than any lease lasts.
    #[must_use]
    pub fn slow_handlers(mut self) -> Self {
        self.setting.chances.handlers = 1000;
        self
    }

    /// With two servers: clients are pointed at the other one and back, and servers get other addresses and ids.
    #[must_use]
    pub fn two_servers(mut self) -> Self {
        self.setting.split = Some(Split::Servers);
        self
    }

    /// With two accounts at one server, which shows each its own rows: others sign in at clients, and accounts get other names.
    #[must_use]
    pub fn two_accounts(mut self) -> Self {
        self.setting.split = Some(Split::Accounts);
        self
    }

    /// With a server of your own in place of the modelled one: `make` starts an empty one with these tables for each history.
    #[must_use]
    pub fn server(
        mut self,
        make: impl Fn(&Declarations, &mut Dice) -> Arc<dyn FarSide> + Send + Sync + 'static,
    ) -> Self {
        self.server = Arc::new(make);
        self
    }

    /// With modelled servers whose tables have classes, in place of those that keep records as they come; see
    /// [`TestServer::of_classes`](crate::engine::TestServer::of_classes).
    #[must_use]
    pub fn of_classes(mut self) -> Self {
        self.server = Arc::new(|_, dice| far::of_classes(dice));
        self
    }

    /// With an application of your own in place of the simulator's tables and users: `make` makes one for each history.
    #[must_use]
    pub fn application<A: Application>(
        mut self,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        self.users = Arc::new(move || Users::Theirs(Arc::new(make())));
        self
    }

    /// Runs the history of a seed.
    pub fn run(&self, seed: u64) -> Summary {
        self.replay(&History::of(seed))
    }

    /// Runs a history, or what is left of it.
    pub fn replay(&self, history: &History) -> Summary {
        let stores: Vec<Store> = (0..self.setting.clients).map(|_| (self.open)()).collect();
        World::new(
            &self.setting,
            history,
            &stores,
            (self.users)(),
            &*self.server,
        )
        .run()
    }

    /// The smallest part of a bad history that was found to be bad in the same way, and what came of it; `None` if it ends well.
    pub fn shrink(&self, history: &History) -> Option<(History, Summary)> {
        let run = |history: &History| self.replay(history);
        let shrinker = Shrinker::new(&run, history)?;
        Some(shrinker.shrink(self.setting.clients, self.setting.steps))
    }

    /// Runs the histories of all `seeds`, every 50th of them twice, and panics at the first that ends badly: with what is
    /// wrong, and the command that replays the smallest part of the history that shows it.
    ///
    /// With `SYNCTABLE_SEED` only that history is run, and told on standard output.
    pub fn check(&self, seeds: Range<u64>) -> Totals {
        if self.replay_asked() {
            return Totals::default();
        }
        let mut totals = Totals::default();
        for seed in seeds {
            let summary = self.run(seed);
            assert!(summary.findings.is_empty(), "{}", self.report(seed));
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

    /// Tells the history in `SYNCTABLE_SEED` and panics if it ends badly; false if there is none.
    pub fn replay_asked(&self) -> bool {
        let Ok(text) = std::env::var("SYNCTABLE_SEED") else {
            return false;
        };
        let history = text.parse::<History>();
        let history = history.unwrap_or_else(|error| panic!("SYNCTABLE_SEED: {error}"));
        let mut told = self.clone();
        told.setting.told = true;
        let findings = told.replay(&history).findings;
        assert!(findings.is_empty(), "{}", findings.join("\n"));
        true
    }

    /// What is wrong with the history of a seed, made as small as possible, and how to replay it.
    pub fn report(&self, seed: u64) -> String {
        match self.shrink(&History::of(seed)) {
            None => format!("seed {seed} ends well"),
            Some((history, summary)) => format!(
                "seed {seed}, {} steps of it: {}\nreplay with: {}",
                summary.steps,
                summary.findings.join("\n"),
                command(&history)
            ),
        }
    }
}

/// The first finding in the histories of `seeds`, those of [`Simulation::new`] and of [`Simulation::odd`] in turn: how many histories
/// were run by then, and the finding, cut to a line.
pub fn first_finding<S: LocalStore>(
    open: impl Fn() -> Arc<S> + Clone + Send + Sync + 'static,
    seeds: Range<u64>,
) -> Option<(u64, String)> {
    let simulations = [Simulation::new(open.clone()), Simulation::odd(open)];
    let mut histories = 0;
    for seed in seeds {
        for (simulation, name) in simulations.iter().zip(["", "odd "]) {
            histories += 1;
            if let Some(finding) = simulation.run(seed).findings.first() {
                let finding: String = finding.chars().take(160).collect();
                return Some((histories, format!("{name}seed {seed}: {finding}")));
            }
        }
    }
    None
}

/// The command that runs the same test, or the same program, for one history.
fn command(history: &History) -> String {
    let thread = std::thread::current();
    let package = std::env::var("CARGO_PKG_NAME");
    match (package, thread.name()) {
        (Ok(package), Some(test)) if test != "main" => {
            format!(
                "SYNCTABLE_SEED={history} cargo test -p {package} {test} -- --exact --nocapture"
            )
        }
        _ => {
            let words: Vec<String> = std::env::args().collect();
            format!("SYNCTABLE_SEED={history} {}", words.join(" "))
        }
    }
}
