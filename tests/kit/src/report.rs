//! The groups run by a program, and a report of what they saw.
//!
//! ```no_run
//! # use std::path::Path;
//! # use std::sync::Arc;
//! # use synctable_core::store::{LocalStore, StoreError};
//! # use synctable_testkit::{FolderHarness, async_trait};
//! # struct Mine;
//! # #[async_trait]
//! # impl FolderHarness for Mine {
//! #     async fn open_in(_: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
//! #         Ok(Arc::new(synctable_memory::MemoryStore::new()))
//! #     }
//! # }
//! use synctable_testkit::report::Report;
//! use synctable_testkit::{InFolder, Lab, child_process};
//!
//! fn main() {
//!     // The groups that kill processes start this program with the argument `child`.
//!     if std::env::args().nth(1).as_deref() == Some("child") {
//!         return child_process::<InFolder<Mine>>();
//!     }
//!     let mut report = Report::new();
//!     report.run::<InFolder<Mine>>("mine", || Lab::new(["child"]).with_cycles(500));
//!     print!("{}", report.to_markdown());
//!     assert!(report.passed());
//! }
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use serde::Serialize;

use crate::asked::asked;
use crate::for_all::{cases, seed};
use crate::{Harness, Lab};

/// What the behaviours of one or more stores saw.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What replays the random cases.
    pub seed: u64,
    /// The stores, in the order in which they were run.
    pub stores: Vec<StoreReport>,
    /// The groups to run; all if there are none.
    #[serde(skip)]
    groups: Vec<String>,
}

/// What the behaviours of one store saw.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct StoreReport {
    /// The name that the program gave it.
    pub store: String,
    /// Every behaviour of the groups that the store claims.
    pub behaviours: Vec<Outcome>,
}

/// How one behaviour went.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The group.
    pub group: &'static str,
    /// The behaviour.
    pub behaviour: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// How it failed, or why it was not run.
    pub why: Option<String>,
    /// How often something was done: `cases` of random tests, `kills`, `cuts`, `faults`, batches `acknowledged` ...
    pub counts: BTreeMap<String, u64>,
    /// How long it took.
    pub seconds: f64,
}

/// How a behaviour went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The store does what it must.
    Passed,
    /// It does not.
    Failed,
    /// The machine lacks something that the behaviour needs.
    NotRun,
}

/// A behaviour that can be run.
pub(crate) struct Case<H> {
    pub(crate) group: &'static str,
    pub(crate) behaviour: &'static str,
    pub(crate) run: for<'a> fn(&'a H, &'a Lab) -> LocalBoxFuture<'a, ()>,
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    /// A report without stores.
    pub fn new() -> Self {
        Self {
            seed: seed(),
            stores: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// With these groups only, unless there are none.
    #[must_use]
    pub fn with_groups(mut self, groups: &[impl AsRef<str>]) -> Self {
        self.groups = groups
            .iter()
            .map(|group| group.as_ref().to_owned())
            .collect();
        self
    }

    /// Runs every behaviour that the store of `H` claims, each on a place and a lab of its own.
    ///
    /// Progress goes to stderr.
    pub fn run<H: Harness>(&mut self, store: &str, lab: impl Fn() -> Lab) {
        let mut claimed = Vec::new();
        crate::run(async { claimed = crate::groups::claimed::<H>().await });
        let mut behaviours = Vec::new();
        for case in crate::groups::cases::<H>() {
            let wanted = self.groups.is_empty() || self.groups.iter().any(|it| it == case.group);
            if wanted && claimed.contains(&case.group) {
                let outcome = outcome(&case, &lab());
                eprintln!("{store} {}", outcome.line());
                behaviours.push(outcome);
            }
        }
        let store = store.to_owned();
        self.stores.push(StoreReport { store, behaviours });
    }

    /// True when no behaviour failed.
    pub fn passed(&self) -> bool {
        let mut outcomes = self.stores.iter().flat_map(|store| &store.behaviours);
        outcomes.all(|outcome| outcome.verdict != Verdict::Failed)
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }

    /// The report as Markdown: a line for each group, and what failed or was not run.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("Seed {}.\n", self.seed);
        for store in &self.stores {
            let _ = write!(
                text,
                "\n## {}\n\n| group | behaviours | seen | seconds | verdict |\n|---|---|---|---|---|\n",
                store.store
            );
            for group in store.groups() {
                let _ = writeln!(text, "{}", group_line(&group));
            }
            for outcome in &store.behaviours {
                if let Some(why) = &outcome.why {
                    let what = match outcome.verdict {
                        Verdict::Failed => "fails",
                        Verdict::NotRun | Verdict::Passed => "was not run",
                    };
                    let name = format!("{}::{}", outcome.group, outcome.behaviour);
                    let _ = write!(text, "\n`{name}` {what}: {}\n", why.replace('\n', "\n    "));
                }
            }
        }
        text
    }
}

impl StoreReport {
    /// The outcomes of each group, in the order of the groups.
    fn groups(&self) -> Vec<Vec<&Outcome>> {
        let mut groups: Vec<Vec<&Outcome>> = Vec::new();
        for outcome in &self.behaviours {
            match groups.last_mut() {
                Some(group) if group.iter().all(|it| it.group == outcome.group) => {
                    group.push(outcome);
                }
                _ => groups.push(vec![outcome]),
            }
        }
        groups
    }
}

impl Outcome {
    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::NotRun => "not run",
        };
        let Self {
            group,
            behaviour,
            seconds,
            ..
        } = self;
        format!("{group}::{behaviour} {verdict} ({seconds:.1} s)")
    }
}

fn group_line(group: &[&Outcome]) -> String {
    let name = group.first().map_or("", |outcome| outcome.group);
    let of = |verdict| group.iter().filter(|it| it.verdict == verdict).count();
    let verdict = match (of(Verdict::Failed), of(Verdict::NotRun)) {
        (0, 0) => "passed".to_owned(),
        (0, not_run) if not_run == group.len() => "not run".to_owned(),
        (0, not_run) => format!("passed, {not_run} not run"),
        (failed, _) => format!("**{failed} failed**"),
    };
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, count) in group.iter().flat_map(|outcome| &outcome.counts) {
        *counts.entry(what).or_default() += count;
    }
    let seen: Vec<_> = counts
        .iter()
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    let seconds: f64 = group.iter().map(|outcome| outcome.seconds).sum();
    let (behaviours, seen) = (group.len(), seen.join(", "));
    format!("| {name} | {behaviours} | {seen} | {seconds:.1} | {verdict} |")
}

fn outcome<H: Harness>(case: &Case<H>, lab: &Lab) -> Outcome {
    let (begun, earlier) = (Instant::now(), cases());
    let ended = catch_unwind(AssertUnwindSafe(|| {
        crate::run(async { (case.run)(&H::default(), lab).await });
    }));
    let seen = lab.seen();
    let mut counts = seen.counts;
    let tried = cases() - earlier;
    if tried > 0 {
        counts.insert("cases".to_owned(), tried);
    }
    let (verdict, why) = match ended {
        Err(panic) => {
            let asked = asked(case.group, case.behaviour);
            let why = format!("{}\n{asked}", message(&*panic));
            (Verdict::Failed, Some(why))
        }
        Ok(()) if seen.not_run.is_some() => (Verdict::NotRun, seen.not_run),
        Ok(()) => (Verdict::Passed, None),
    };
    Outcome {
        group: case.group,
        behaviour: case.behaviour,
        verdict,
        why,
        counts,
        seconds: begun.elapsed().as_secs_f64(),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the behaviour panics").to_owned()
}
