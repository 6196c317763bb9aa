//! One page of a query over any sequence of records: what every store must answer.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Cursor, DEFAULT_PAGE, Judge, Query, SortKey};
use crate::record::Record;
use crate::schema::TableSchema;
use crate::store::{Page, StoreError};

/// Answers `query` from all records of a table, in whatever order they come, holding no more of them than a page and
/// what the query skips.
///
/// ```
/// use synctable_core::query::{Query, page_of};
/// use synctable_core::{Record, TableSchema};
/// let rows = [r#"{"id":"b"}"#, r#"{"id":"a"}"#].map(|json| Ok(Record::from_json(json).unwrap()));
/// let page = page_of(&Query::all().page(1), &TableSchema::new(), rows).unwrap();
/// assert_eq!(page.records[0].id().as_str(), "a");
/// assert!(page.next.is_some());
/// ```
pub fn page_of<I>(query: &Query, schema: &TableSchema, records: I) -> Result<Page, StoreError>
where
    I: IntoIterator<Item = Result<Record, StoreError>>,
{
    page_by(&Judge::new(query, schema), records)
}

/// The same with a judge of one's own: who watches, or leaves out what the store has seen to.
pub fn page_by<I>(judge: &Judge<'_>, records: I) -> Result<Page, StoreError>
where
    I: IntoIterator<Item = Result<Record, StoreError>>,
{
    let window = Window::of(judge.query)?;
    if window.length == 0 {
        return Ok(Page::default());
    }
    let mut best: BinaryHeap<Candidate<'_>> = BinaryHeap::new();
    // One more tells whether there is a next page.
    let keep = window.skip.saturating_add(window.length).saturating_add(1);
    for record in records {
        let record = record?;
        let Some(key) = judge.place(&record)? else {
            continue;
        };
        if window
            .start
            .as_ref()
            .is_some_and(|start| judge.compare(&key, start).is_le())
        {
            judge.check()?;
            continue;
        }
        best.push(Candidate { key, record, judge });
        if best.len() > keep {
            best.pop();
        }
        judge.check()?;
    }
    let best = best.into_sorted_vec();
    judge.check()?;
    let mut rows: Vec<(SortKey, Record)> = best
        .into_iter()
        .skip(window.skip)
        .map(|row| (row.key, row.record))
        .collect();
    let more = rows.len() > window.length;
    rows.truncate(window.length);
    let last = rows.last().map(|(key, _)| key).filter(|_| more);
    let next = window.next(last, rows.len());
    Ok(Page::new(
        rows.into_iter().map(|(_, record)| record).collect(),
        next,
    ))
}

/// The part of a result that one page shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Behind which place it starts.
    pub start: Option<SortKey>,
    /// How many records to leave out first; 0 behind a cursor.
    pub skip: usize,
    /// The most records of the page.
    pub length: usize,
    /// What `top` allows from here on.
    pub left: Option<u64>,
}

impl Window {
    /// The window of a query; an error for a cursor that does not belong to it.
    pub fn of(query: &Query) -> Result<Self, StoreError> {
        let page = u64::from(query.page.unwrap_or(DEFAULT_PAGE).max(1));
        let (start, skip, left) = match &query.after {
            Some(cursor) => {
                let position = cursor.position(&query.order)?;
                let left = position.left.into_iter().chain(query.top).min();
                (Some(position.key), 0, left)
            }
            None => (None, query.skip, query.top),
        };
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Self {
            start,
            skip: size(skip),
            length: size(left.map_or(page, |left| left.min(page))),
            left,
        })
    }

    /// The cursor behind the last record of a page with `count` records, if `top` allows more.
    pub fn next(&self, last: Option<&SortKey>, count: usize) -> Option<Cursor> {
        let left = self.left.map(|left| left.saturating_sub(count as u64));
        if left == Some(0) {
            None
        } else {
            last.map(|key| Cursor::new(key, left))
        }
    }
}

/// A record in the heap of the best so far; the greatest is the one to drop.
struct Candidate<'q> {
    key: SortKey,
    record: Record,
    judge: &'q Judge<'q>,
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.judge.compare(&self.key, &other.key)
    }
}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate<'_> {}
