//! What judging a query may take, and the judge who counts it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::eval::Row;
use super::{Expr, Query};
use crate::record::Record;
use crate::schema::TableSchema;
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
    /// Steps: one for each record and for each part of the filter that is judged on it, and one for each 16 bytes of text that a
    /// function goes through. Records that [`within`](Query::within) leaves out cost nothing. Default: no bound.
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

/// A switch that ends the reading of a query while it runs on another thread. Clones are the same switch.
///
/// A store looks at it for each record that it judges; the query then fails with
/// [`OverBudget`](crate::store::StoreErrorKind::OverBudget).
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the query soon.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl PartialEq for Stop {
    /// Queries that ask for the same are equal, whoever may stop them.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Ends a query when it is dropped: what a future holds that waits for one.
#[derive(Debug, Default)]
pub struct StopOnDrop(Stop);

impl StopOnDrop {
    /// The switch, for the query.
    pub fn switch(&self) -> Stop {
        self.0.clone()
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What a query took more of than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// What is left of a budget. Once something ran out, everything else counts as used up, too.
#[derive(Debug)]
pub(super) struct Meter {
    budget: Budget,
    steps: AtomicU64,
    /// Bytes of texts that were made for the record at hand.
    texts: AtomicUsize,
    /// What ran out first.
    excess: OnceLock<Excess>,
}

impl Meter {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            steps: AtomicU64::new(0),
            texts: AtomicUsize::new(0),
            excess: OnceLock::new(),
        }
    }

    /// Another record is judged.
    fn next_record(&self) {
        self.texts.store(0, Ordering::Relaxed);
    }

    /// True where the steps could be taken.
    pub(super) fn take(&self, steps: u64) -> bool {
        let taken = self.steps.fetch_add(steps, Ordering::Relaxed);
        let fits = taken.saturating_add(steps) <= self.budget.steps;
        if !fits {
            let _ = self.excess.set(Excess::Steps);
        }
        fits && self.excess.get().is_none()
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
}

/// Says which records a query wants, and counts what that takes. Make one for each call of a store.
///
/// ```
/// use synctable_core::query::{Judge, Query, field};
/// use synctable_core::{Record, TableSchema};
/// let schema = TableSchema::new();
/// let query = Query::all().filter(field("n").gt(1)).within(field("owner").eq("me"));
/// let judge = Judge::new(&query, &schema);
/// let record = |json| Record::from_json(json).unwrap();
/// assert!(judge.wants(&record(r#"{"id":"a","n":2,"owner":"me"}"#)).unwrap());
/// assert!(!judge.wants(&record(r#"{"id":"b","n":2,"owner":"you"}"#)).unwrap());
/// ```
#[derive(Debug)]
pub struct Judge<'q> {
    schema: &'q TableSchema,
    within: Vec<&'q Expr>,
    filter: Vec<&'q Expr>,
    budget: Budget,
    meter: Meter,
    stop: Option<&'q Stop>,
}

impl<'q> Judge<'q> {
    /// The judge of a query over a table.
    pub fn new(query: &'q Query, schema: &'q TableSchema) -> Self {
        Self::of_parts(query, schema, &query.within, &query.filter)
    }

    /// The judge of what a store has not seen to by itself: of some parts of [`Query::within`] and of the filter.
    pub fn of_parts(
        query: &'q Query,
        schema: &'q TableSchema,
        within: impl IntoIterator<Item = &'q Expr>,
        filter: impl IntoIterator<Item = &'q Expr>,
    ) -> Self {
        Self {
            schema,
            within: within.into_iter().collect(),
            filter: filter.into_iter().collect(),
            budget: query.budget,
            meter: Meter::new(query.budget),
            stop: query.stop.as_ref(),
        }
    }

    /// Whether the query wants a record.
    ///
    /// # Errors
    /// Of kind [`OverBudget`](StoreErrorKind::OverBudget).
    pub fn wants(&self, record: &Record) -> Result<bool, StoreError> {
        if self.stop.is_some_and(Stop::is_set) {
            return Err(Excess::Stopped.error(self.budget));
        }
        // What the rule costs is not for whoever asks to know.
        if !self.within.is_empty() {
            let free = Meter::new(Budget::default());
            let row = Row::new(self.schema, record, &free);
            let granted = self.within.iter().all(|part| row.truth(part));
            // A rule that cannot be judged grants nothing.
            if !granted || free.excess().is_some() {
                return Ok(false);
            }
        }
        self.meter.next_record();
        self.meter.take(1);
        let row = Row::new(self.schema, record, &self.meter);
        let wanted = self.filter.iter().all(|part| row.truth(part));
        match self.meter.excess() {
            None => Ok(wanted),
            Some(excess) => Err(excess.error(self.budget)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::field;

    #[test]
    fn a_rule_that_makes_too_long_texts_grants_nothing() {
        let text = "a".repeat(2_000);
        let json = format!(r#"{{"id":"a","t":"{text}"}}"#);
        let record = Record::from_json(&json).unwrap();
        let long = || field("t").replace("a", text.as_str());
        let schema = TableSchema::new();
        for rule in [long().eq("b").not(), long().ne("b"), long().is_null()] {
            let query = Query::all().within(rule);
            let wanted = Judge::new(&query, &schema).wants(&record);
            assert!(!wanted.unwrap(), "{query:?}");
        }
    }

    #[test]
    fn a_query_ends_when_nobody_waits_for_it() {
        let (query, schema) = (Query::all(), TableSchema::new());
        let record = Record::from_json(r#"{"id":"a"}"#).unwrap();
        let waits = StopOnDrop::default();
        let mut stopped = query.clone();
        stopped.stop = Some(waits.switch());
        assert!(Judge::new(&stopped, &schema).wants(&record).unwrap());
        drop(waits);
        let error = Judge::new(&stopped, &schema).wants(&record).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::OverBudget);
        assert!(Judge::new(&query, &schema).wants(&record).unwrap());
    }
}
