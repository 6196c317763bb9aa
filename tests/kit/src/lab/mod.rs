//! Where the groups run that start processes: how this program starts itself again, how much is tried, what was seen.

mod child;
mod jobs;
mod ledger;
mod trial;
mod work;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub(crate) use child::{Child, no_process_starts, output};
pub(crate) use jobs::{Failure, Job, Said, counted};
pub(crate) use ledger::{End, Ledger};
pub(crate) use trial::{Trial, opened};
pub(crate) use work::{Random, State, declared};

pub use jobs::child_process;

use crate::for_all::{SeedOnPanic, seed, setting};

/// Which calls a sweep of faults makes fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// About so many calls of each kind, evenly spread.
    Some(u32),
    /// Every one.
    All,
}

/// The second argument of every behaviour that starts processes.
///
/// The tests of [`store_tests!`](crate::store_tests) make one themselves; a program of its own makes one with
/// [`Lab::new`] and calls [`child_process`] when it is started with the arguments given there.
#[derive(Debug)]
pub struct Lab {
    arguments: Vec<OsString>,
    cycles: u64,
    cuts: u64,
    faults: Faults,
    seed: SeedOnPanic,
    progress: bool,
    seen: Mutex<Seen>,
}

/// What the behaviours on one [`Lab`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// How often something was done, by name: `kills`, `acknowledged`, `cuts`, `faults` ...
    pub counts: BTreeMap<String, u64>,
    /// Why a behaviour was not run, if so.
    pub not_run: Option<String>,
}

impl Lab {
    /// A lab whose children are this program, started with `arguments`.
    ///
    /// How much is tried is taken from the environment: `SYNCTABLE_CYCLES` (10 kills), `SYNCTABLE_CUTS` (5 power cuts),
    /// `SYNCTABLE_FAULTS` (6 calls of each kind, or `all`) and `SYNCTABLE_SEED`.
    pub fn new(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let faults = match env::var("SYNCTABLE_FAULTS").as_deref() {
            Ok("all") => Faults::All,
            _ => Faults::Some(setting("SYNCTABLE_FAULTS").map_or(6, |number| {
                u32::try_from(number).expect("SYNCTABLE_FAULTS is a small number or `all`")
            })),
        };
        Self {
            arguments: arguments.into_iter().map(Into::into).collect(),
            cycles: setting("SYNCTABLE_CYCLES").unwrap_or(10),
            cuts: setting("SYNCTABLE_CUTS").unwrap_or(5),
            faults,
            seed: SeedOnPanic(seed()),
            progress: false,
            seen: Mutex::default(),
        }
    }

    /// A lab whose children are this test binary, running the test `child` of `module`.
    #[doc(hidden)]
    pub fn of_test(module: &str) -> Self {
        // Names of tests begin behind the name of the crate.
        let child = match module.split_once("::") {
            Some((_, inner)) => format!("{inner}::child"),
            None => "child".to_owned(),
        };
        Self::new(["--exact", &child, "--ignored", "--nocapture"])
    }

    /// With so many kills in a loop.
    #[must_use]
    pub fn with_cycles(mut self, cycles: u64) -> Self {
        self.cycles = cycles;
        self
    }

    /// With so many power cuts in a loop.
    #[must_use]
    pub fn with_cuts(mut self, cuts: u64) -> Self {
        self.cuts = cuts;
        self
    }

    /// With so many faults.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// With a line on stderr every now and then.
    #[must_use]
    pub fn with_progress(mut self, progress: bool) -> Self {
        self.progress = progress;
        self
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn cycles(&self) -> u64 {
        self.cycles
    }

    /// Random numbers that a seed replays, as far as processes can be replayed.
    pub(crate) fn random(&self) -> Random {
        Random::new(self.seed.0)
    }

    /// Starts this program once more, to do `job` in `folder`.
    pub(crate) fn start(&self, folder: &Path, job: Job) -> Child {
        self.start_with(folder, job, &[])
    }

    /// The same, with these variables in its environment.
    pub(crate) fn start_with(
        &self,
        folder: &Path,
        job: Job,
        variables: &[(&str, OsString)],
    ) -> Child {
        Child::start(&self.arguments, folder, job, variables)
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cuts
    }

    pub(crate) fn faults(&self) -> Faults {
        self.faults
    }

    /// Says that a behaviour was not run here, and why, also where the output of tests is kept back.
    pub(crate) fn not_run(&self, why: &str) {
        let _ = writeln!(io::stderr(), "not run: {why}");
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.not_run = Some(why.to_owned());
    }

    pub(crate) fn count(&self, what: &str, number: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.counts.entry(what.to_owned()).or_default() += number;
    }

    /// Says how far a loop is, where that is wanted.
    pub(crate) fn progress(&self, what: &str, done: u64, of: u64) {
        if done == of || done.is_multiple_of(25) {
            self.tell(&format!("{what} {done}/{of}"));
        }
    }

    /// Says what is done, where that is wanted.
    pub(crate) fn tell(&self, what: &str) {
        if self.progress {
            eprintln!("  {what}");
        }
    }
}
