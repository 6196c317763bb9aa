//! The judge of records, who counts what that takes.

use std::cmp::Ordering;

use super::budget::{Budget, Excess, Meter};
use super::eval::Row;
use super::stop::{Stop, Watch};
use super::{Expr, Query, SortKey};
use crate::record::Record;
use crate::schema::TableSchema;
use crate::store::StoreError;

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
    pub(super) query: &'q Query,
    pub(super) schema: &'q TableSchema,
    within: Vec<&'q Expr>,
    filter: Vec<&'q Expr>,
    meter: Meter<'q>,
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
            query,
            schema,
            within: within.into_iter().collect(),
            filter: filter.into_iter().collect(),
            meter: Meter::watched(query.budget, [stop_of(query), None]),
        }
    }

    /// The same, who tells `watch` of the work.
    #[must_use]
    pub fn watched(mut self, watch: &'q dyn Watch) -> Self {
        self.meter = Meter::watched(self.query.budget, [stop_of(self.query), Some(watch)]);
        self
    }

    /// Whether the query wants a record.
    ///
    /// # Errors
    /// Of kind [`OverBudget`](crate::store::StoreErrorKind::OverBudget).
    pub fn wants(&self, record: &Record) -> Result<bool, StoreError> {
        Ok(self.row(record)?.is_some())
    }

    /// Counts a record that is passed without a look into it, as where records are only counted.
    ///
    /// # Errors
    /// Of kind [`OverBudget`](crate::store::StoreErrorKind::OverBudget).
    pub fn pass(&self) -> Result<(), StoreError> {
        self.look()?;
        self.meter.take(1);
        self.meter.check()
    }

    /// The place of a record in the query's order, if it is wanted.
    pub(super) fn place(&self, record: &Record) -> Result<Option<SortKey>, StoreError> {
        let Some(row) = self.row(record)? else {
            return Ok(None);
        };
        let key = row.sort_key(&self.query.order);
        self.meter.check()?;
        Ok(Some(key))
    }

    /// Which of two places comes first. Once the budget is used up no order is told any more: [`check`](Self::check) says so.
    pub(super) fn compare(&self, left: &SortKey, right: &SortKey) -> Ordering {
        let mut goes_on = true;
        let ordering = left.compare_counted(right, &self.query.order, || {
            goes_on = goes_on && self.meter.take(1);
            goes_on
        });
        if goes_on { ordering } else { Ordering::Equal }
    }

    /// An error where the budget is used up.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.meter.check()
    }

    fn look(&self) -> Result<(), StoreError> {
        if self.query.stop.as_ref().is_some_and(Stop::is_set) {
            return Err(Excess::Stopped.error(self.query.budget));
        }
        Ok(())
    }

    /// The record to look into, if it is wanted.
    fn row<'r>(&'r self, record: &'r Record) -> Result<Option<Row<'r>>, StoreError> {
        self.look()?;
        // Somebody had to read it.
        self.meter.work(READ + record.body().len() as u64 / 64);
        // What the rule costs is not for whoever asks to know.
        if !self.within.is_empty() {
            let free = self.meter.beside(Budget::default());
            let row = Row::new(self.schema, record, &free);
            let granted = self.within.iter().all(|part| row.truth(part));
            self.meter.goes_on_from(&free);
            match free.excess() {
                Some(Excess::Stopped) => return Err(Excess::Stopped.error(self.query.budget)),
                None if granted => {}
                // A rule that cannot be judged grants nothing.
                _ => return Ok(None),
            }
        }
        self.meter.next_record();
        self.meter.take(1);
        let row = Row::new(self.schema, record, &self.meter);
        let wanted = self.filter.iter().all(|part| row.truth(part));
        self.meter.check()?;
        Ok(wanted.then_some(row))
    }
}

/// The work of getting at a record, whatever its length.
const READ: u64 = 4;

fn stop_of(query: &Query) -> Option<&dyn Watch> {
    query.stop.as_ref().map(|stop| stop as &dyn Watch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{StopOnDrop, field};
    use crate::store::StoreErrorKind;

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

    #[test]
    fn a_query_ends_within_a_record_that_takes_long() {
        let record = Record::from_json(r#"{"id":"a","t":"some words"}"#).unwrap();
        let schema = TableSchema::new();
        let part = || field("t").to_lower().contains("z");
        let filter = (0..200).fold(part(), |filter, _| filter.or(part()));
        for query in [
            Query::all().filter(filter.clone()),
            Query::all().within(filter),
        ] {
            let mut stopped = query.clone();
            stopped.stop = Some(Stop::after(1000));
            let error = Judge::new(&stopped, &schema).wants(&record).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::OverBudget, "{query:?}");
            let watch = Stop::after(1000);
            let judge = Judge::new(&query, &schema).watched(&watch);
            let error = judge.wants(&record).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::OverBudget, "{query:?}");
            assert!(!Judge::new(&query, &schema).wants(&record).unwrap());
        }
    }
}
