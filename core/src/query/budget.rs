//! What judging a query may take, and what is left of it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::stop::Watch;
use crate::store::{StoreError, StoreErrorKind};

/// What one query may take. One that takes more is refused with
/// [`OverBudget`](crate::store::StoreErrorKind::OverBudget).
///
/// ```
/// use synctable_core::query::{Query, field, page_of};
/// use synctable_core::store::StoreErrorKind;
/// use synctable_core::{Record, TableSchema};
/// let longer = field("t").replace("a", "aaaaaaaaaa");
/// let mut query = Query::all().filter(longer.eq("b"));
/// query.budget.text = 1000;
/// let rows = [Ok(Record::from_json(&format!(r#"{{"id":"x","t":"{}"}}"#, "a".repeat(200))).unwrap())];
/// let error = page_of(&query, &TableSchema::new(), rows).unwrap_err();
/// assert_eq!(error.kind(), StoreErrorKind::OverBudget);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Budget {
    /// Bytes of a text that `concat` or `replace` makes; all texts of one record together may have
    /// [`TEXTS`](Self::TEXTS) times as many. Default 1 MiB.
    pub text: usize,
    /// Steps: one for each record, for each part of the filter that is judged on it, for each term of the order that it is placed by or
    /// compared in, and one for each 16 bytes of text that a function or a path goes through; long values and records of many members
    /// cost more. Records that [`within`](super::Query::within) leaves out cost nothing. Default: no bound.
    pub steps: u64,
}

impl Budget {
    /// How many texts of the longest length may be made for one record.
    pub const TEXTS: usize = 8;

    /// The steps that a function takes for texts of `bytes` bytes.
    pub fn steps_for(bytes: usize) -> u64 {
        1 + bytes as u64 / 16
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            text: 1024 * 1024,
            steps: u64::MAX,
        }
    }
}

/// What a query took more of than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excess {
    /// Bytes of a text that it makes.
    Text,
    /// Steps.
    Steps,
    /// Time: whoever asked has gone.
    Stopped,
}

impl Excess {
    /// The error for a query with this budget.
    pub fn error(self, budget: Budget) -> StoreError {
        let message = match self {
            Self::Text => format!(
                "the query makes texts of more than {} bytes out of a record; use fewer 'concat' and 'replace'",
                budget.text
            ),
            Self::Stopped => String::from("the query was stopped"),
            Self::Steps => format!(
                "the query takes more than {} steps; make the filter shorter, or ask for fewer records by id or time",
                budget.steps
            ),
        };
        StoreError::new(StoreErrorKind::OverBudget, message)
    }
}

/// The most work that is done before those who watch are told of it.
const TOLD_AT: u64 = 128;

/// What is left of a budget. Once something ran out, everything else counts as used up, too.
#[derive(Debug)]
pub(super) struct Meter<'w> {
    budget: Budget,
    steps: AtomicU64,
    /// Bytes of texts that were made for the record at hand.
    texts: AtomicUsize,
    /// What ran out first.
    excess: OnceLock<Excess>,
    watches: [Option<&'w dyn Watch>; 2],
    /// Work that they do not know of yet.
    untold: AtomicU64,
}

impl<'w> Meter<'w> {
    pub(super) fn new(budget: Budget) -> Self {
        Self::watched(budget, [None; 2])
    }

    pub(super) fn watched(budget: Budget, watches: [Option<&'w dyn Watch>; 2]) -> Self {
        Self {
            budget,
            steps: AtomicU64::new(0),
            texts: AtomicUsize::new(0),
            excess: OnceLock::new(),
            watches,
            untold: AtomicU64::new(0),
        }
    }

    /// Another one for the same watches, with a budget of its own.
    pub(super) fn beside(&self, budget: Budget) -> Self {
        let meter = Self::watched(budget, self.watches);
        meter.untold.store(self.take_untold(), Ordering::Relaxed);
        meter
    }

    /// Takes over the work that the other one has not told of.
    pub(super) fn goes_on_from(&self, other: &Self) {
        self.untold
            .fetch_add(other.take_untold(), Ordering::Relaxed);
    }

    fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    /// Another record is judged.
    pub(super) fn next_record(&self) {
        self.texts.store(0, Ordering::Relaxed);
    }

    /// Counts what is done for a record but costs the query nothing. True where the reading may go on.
    pub(super) fn work(&self, work: u64) -> bool {
        if self
            .untold
            .fetch_add(work, Ordering::Relaxed)
            .saturating_add(work)
            >= TOLD_AT
        {
            let done = self.take_untold();
            let mut goes_on = true;
            for watch in self.watches.iter().flatten() {
                goes_on &= watch.goes_on(done);
            }
            if !goes_on {
                let _ = self.excess.set(Excess::Stopped);
            }
        }
        self.excess.get().is_none()
    }

    /// True where the steps could be taken.
    pub(super) fn take(&self, steps: u64) -> bool {
        let taken = self.steps.fetch_add(steps, Ordering::Relaxed);
        if taken.saturating_add(steps) > self.budget.steps {
            let _ = self.excess.set(Excess::Steps);
        }
        self.work(steps)
    }

    /// True where a text of `bytes` bytes may be made.
    pub(super) fn make(&self, bytes: usize) -> bool {
        let made = self.texts.fetch_add(bytes, Ordering::Relaxed);
        let most = self.budget.text.saturating_mul(Budget::TEXTS);
        let fits = bytes <= self.budget.text && made.saturating_add(bytes) <= most;
        if !fits {
            let _ = self.excess.set(Excess::Text);
        }
        fits && self.take(Budget::steps_for(bytes))
    }

    pub(super) fn excess(&self) -> Option<Excess> {
        self.excess.get().copied()
    }

    /// An error where something ran out.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.excess() {
            None => Ok(()),
            Some(excess) => Err(excess.error(self.budget)),
        }
    }
}
