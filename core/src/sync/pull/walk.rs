//! The walk of a pull through the server's pages: what to ask for, and what to make of an answer.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::Error;
use crate::name::{QueryId, RecordId, TableName, Version};
use crate::query::RemoteQuery;
use crate::record::Record;
use crate::sync::inner::Inner;
use crate::sync::pull::delta::{Next, Seen, Step, next_step, reached};
use crate::sync::pull::position::{is_empty, stored_position};
use crate::sync::pull::query::is_windowed;
use crate::sync::pull::seen::Sweep;
use crate::sync::system::DeltaToken;
use crate::timestamp::Timestamp;
use crate::transport::{PageCursor, RemotePage};

/// Pages of a window that may come again in a row: a few may, as rows move while they are read.
const REPEATS: u32 = 8;

/// How often a pull begins anew because the server forgets deletions while it runs.
const RESTARTS: u32 = 8;

const DAY_MILLIS: i64 = 24 * 3600 * 1000;

/// The walk of a pull through the server's pages: where it is.
#[derive(Debug)]
pub(crate) enum Walk {
    /// Follows the changes since the last pull under a name.
    Changes(Box<Changes>),
    /// Reads all rows, by id.
    Everything(Steps),
    /// Reads the window that the application's own order, skip and top describe, by the server's pages.
    Window {
        query: Box<RemoteQuery>,
        cursor: Option<PageCursor>,
        pages: Pages,
    },
}

/// The requests of a pull so far. A server that leads to the same one twice leads in a circle.
#[derive(Debug)]
pub(crate) struct Steps {
    step: Step,
    asked: HashSet<Step>,
}

/// Hashes of the pages of a window, and how many of the last ones were there before.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    seen: HashSet<u64>,
    repeated: u32,
}

/// The state of an incremental pull.
#[derive(Debug)]
pub(crate) struct Changes {
    steps: Steps,
    token: DeltaToken,
    /// The token's row as it is stored.
    stored: Option<Record>,
    known: Known,
    overlap_millis: i64,
    /// The server of the last pull promised its order, and no answer has shown another server yet.
    trusted: bool,
    /// The table has no records, so none can have missed its deletion.
    empty: bool,
    /// A page was taken since the walk began, or began anew.
    under_way: bool,
    restarts: u32,
    /// Where deletions may have been missed: the rows that are there.
    sweep: Option<Sweep>,
}

/// What a page comes to.
#[derive(Debug)]
pub(crate) struct PageEffect {
    /// The rows that are new to this pull.
    pub(crate) rows: Vec<Record>,
    /// The position to keep with them.
    pub(crate) token: Option<Record>,
    pub(crate) then: Then,
}

/// Whether there is more to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    More,
    Done,
    /// The server does not do what it is asked.
    NoProgress,
}

impl Walk {
    /// The walk of a pull: incremental under `name`, else in full.
    pub(crate) async fn of(
        inner: &Inner,
        table: &TableName,
        query: &RemoteQuery,
        name: Option<QueryId>,
    ) -> Result<Self, Error> {
        match name {
            Some(name) => Ok(Self::Changes(Box::new(
                Changes::load(inner, table, query, name).await?,
            ))),
            None if is_windowed(query) => Ok(Self::Window {
                query: Box::new(query.clone().include_deleted()),
                cursor: None,
                pages: Pages::default(),
            }),
            None => Ok(Self::everything()),
        }
    }

    /// The walk through all rows.
    pub(crate) fn everything() -> Self {
        Self::Everything(Steps::new(Step::Ids { after: None }))
    }

    /// The next request; `base` holds the application's filter.
    pub(crate) fn request(&self, base: &RemoteQuery) -> (RemoteQuery, Option<PageCursor>) {
        match self {
            Self::Changes(changes) => (changes.steps.step.query(base), None),
            Self::Everything(steps) => (steps.step.query(base), None),
            Self::Window { query, cursor, .. } => (RemoteQuery::clone(query), cursor.clone()),
        }
    }

    /// What is to be swept once all pages are stored.
    pub(crate) fn into_sweep(self) -> Option<Sweep> {
        match self {
            Self::Changes(changes) => changes.sweep,
            Self::Everything(_) | Self::Window { .. } => None,
        }
    }

    /// Takes the answer to the last request.
    pub(crate) fn take(&mut self, page: RemotePage) -> Result<PageEffect, Error> {
        // Nothing is known of what lies behind rows that cannot be read.
        let lost = page.records.is_empty() && !page.invalid.is_empty() && !page.last;
        let mut effect = match self {
            Self::Changes(changes) => changes.take(page)?,
            Self::Everything(steps) => {
                let next = next_step(&steps.step, &seen(&page));
                let rows = page.records;
                PageEffect {
                    rows,
                    token: None,
                    then: steps.advance(next),
                }
            }
            Self::Window {
                query,
                cursor,
                pages,
            } => {
                let count = (page.records.len() + page.invalid.len()) as u64;
                query.query.skip += count;
                query.query.top = query.query.top.map(|top| top.saturating_sub(count));
                let then = if count == 0 || page.last || query.query.top == Some(0) {
                    Then::Done
                } else if page.next.is_some() && page.next == *cursor || pages.go_round(&page) {
                    Then::NoProgress
                } else {
                    Then::More
                };
                *cursor = page.next;
                PageEffect {
                    rows: page.records,
                    token: None,
                    then,
                }
            }
        };
        if lost && !matches!(self, Self::Window { .. }) {
            effect.then = Then::NoProgress;
        }
        Ok(effect)
    }
}

impl Steps {
    fn new(step: Step) -> Self {
        Self {
            step,
            asked: HashSet::new(),
        }
    }

    fn advance(&mut self, next: Next) -> Then {
        match next {
            Next::Step(next) if self.asked.insert(next.clone()) => {
                self.step = next;
                Then::More
            }
            Next::Done => Then::Done,
            Next::Step(_) | Next::NoProgress => Then::NoProgress,
        }
    }
}

impl Pages {
    /// Takes a page in; true when too many in a row were there before.
    fn go_round(&mut self, page: &RemotePage) -> bool {
        let mut hasher = DefaultHasher::new();
        for record in &page.records {
            (record.id(), record.version()).hash(&mut hasher);
        }
        for row in &page.invalid {
            row.id.hash(&mut hasher);
        }
        if self.seen.insert(hasher.finish()) {
            self.repeated = 0;
        } else {
            self.repeated += 1;
        }
        self.repeated > REPEATS
    }
}

impl Changes {
    async fn load(
        inner: &Inner,
        table: &TableName,
        query: &RemoteQuery,
        name: QueryId,
    ) -> Result<Self, Error> {
        let (stored, mut token) = stored_position(inner, table, query, name).await?;
        if token.is_of_feed() {
            // The server had a feed: a place in one is no time.
            token.begin_anew();
        }
        let empty = token.time.is_none() && is_empty(inner, table).await?;
        let overlap_millis = inner.settings.overlap_millis;
        let step = match token.time {
            Some(time) if token.ordered => Step::Range {
                from: Some(time),
                exclusive: true,
            },
            Some(time) => overlapping(time, overlap_millis),
            None => Step::Range {
                from: None,
                exclusive: false,
            },
        };
        let trusted = token.ordered;
        Ok(Self {
            steps: Steps::new(step),
            token,
            stored,
            known: Known::default(),
            overlap_millis,
            trusted,
            empty,
            under_way: false,
            restarts: 0,
            sweep: None,
        })
    }

    fn take(&mut self, page: RemotePage) -> Result<PageEffect, Error> {
        if page.forgotten > self.token.time.max(self.token.forgotten) {
            self.token.forgotten = page.forgotten;
            if self.token.time.is_some() || self.under_way {
                return Ok(self.begin_anew());
            }
            self.sweep = (!self.empty).then(Sweep::default);
        }
        self.under_way = true;
        if std::mem::take(&mut self.trusted) && !page.ordered {
            // Another server than last time: its order is not promised, so the last pull is overlapped after all.
            if let Some(time) = self.token.time {
                self.steps.step = overlapping(time, self.overlap_millis);
                return Ok(PageEffect {
                    rows: Vec::new(),
                    token: None,
                    then: Then::More,
                });
            }
        }
        if let Some(sweep) = &mut self.sweep {
            sweep.see(&page);
        }
        let seen = seen(&page);
        if seen.times.is_none() && !page.records.is_empty() {
            return Err(Error::PullQuery(
                "the server's records have no updatedAt; pull in full, without a query name",
            ));
        }
        let next = next_step(&self.steps.step, &seen);
        let largest = safe_time(&page);
        let reached = if page.ordered {
            reached(&self.steps.step, &next, largest).filter(|time| *time <= latest(&page))
        } else {
            largest
        };
        self.token.time = self.token.time.max(reached);
        self.token.ordered = page.ordered;
        let row = self.token.to_row()?;
        let changed = self.stored.as_ref() != Some(&row);
        let token = match &mut self.sweep {
            // The position is kept once the sweep is done.
            Some(sweep) => {
                sweep.token = changed.then_some(row);
                None
            }
            None => (self.token.time.is_some() && changed).then_some(row),
        };
        let rows = self.known.fresh(page.records);
        if let Next::Step(next) = &next {
            self.known.expect(&rows, next);
        }
        Ok(PageEffect {
            rows,
            token,
            then: self.steps.advance(next),
        })
    }

    /// Deletions may have been missed: everything is read from the start, and what is not there leaves.
    fn begin_anew(&mut self) -> PageEffect {
        self.restarts += 1;
        self.token.time = None;
        self.steps = Steps::new(Step::Range {
            from: None,
            exclusive: false,
        });
        self.known = Known::default();
        (self.trusted, self.under_way, self.empty) = (false, false, false);
        self.sweep = Some(Sweep::default());
        PageEffect {
            rows: Vec::new(),
            token: None,
            then: if self.restarts > RESTARTS {
                Then::NoProgress
            } else {
                Then::More
            },
        }
    }
}

fn overlapping(time: Timestamp, millis: i64) -> Step {
    Step::Range {
        from: Some(time.plus_millis(-millis)),
        exclusive: false,
    }
}

fn seen(page: &RemotePage) -> Seen {
    let times = page.records.iter().filter_map(Record::updated_at);
    Seen {
        times: times.clone().min().zip(times.max()),
        ids: page
            .records
            .iter()
            .map(|record| record.id().clone())
            .collect(),
        last: page.last,
        ordered: page.ordered,
    }
}

/// The largest time of a page that may move the position: not one that lies in the far future, which would hide every
/// later change.
pub(crate) fn safe_time(page: &RemotePage) -> Option<Timestamp> {
    let times = page.records.iter().filter_map(Record::updated_at);
    times.filter(|time| *time <= latest(page)).max()
}

/// What lies behind this is the far future.
fn latest(page: &RemotePage) -> Timestamp {
    match page.server_time {
        Some(now) => now.plus_millis(DAY_MILLIS),
        None => Timestamp::MAX.plus_millis(-366 * DAY_MILLIS),
    }
}

/// Rows that the next page may bring again, because it starts inside the last millisecond.
#[derive(Debug, Default)]
struct Known(HashSet<(RecordId, Option<Version>)>);

impl Known {
    fn fresh(&self, rows: Vec<Record>) -> Vec<Record> {
        if self.0.is_empty() {
            return rows;
        }
        let known = |row: &Record| self.0.contains(&(row.id().clone(), row.version().cloned()));
        rows.into_iter()
            .filter(|row| row.version().is_none() || !known(row))
            .collect()
    }

    fn expect(&mut self, rows: &[Record], next: &Step) {
        let from = match next {
            Step::Range {
                from: Some(from),
                exclusive: false,
            } => {
                self.0.clear();
                *from
            }
            // The rows of a page that lies in one millisecond come again when it is walked by id.
            Step::Tie {
                millisecond,
                after: None,
            } => *millisecond,
            Step::Tie { .. } => return,
            Step::Range { .. } | Step::Ids { .. } => {
                self.0.clear();
                return;
            }
        };
        let again = rows
            .iter()
            .filter(|row| row.updated_at().is_some_and(|time| time >= from));
        self.0
            .extend(again.map(|row| (row.id().clone(), row.version().cloned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ids: &[&str]) -> RemotePage {
        let record = |id: &&str| Record::from_json(&format!(r#"{{"id":"{id}"}}"#)).unwrap();
        RemotePage {
            records: ids.iter().map(record).collect(),
            ..RemotePage::default()
        }
    }

    /// How many pages of a server that repeats these are taken, and how it ends.
    fn follow(mut walk: Walk, pages: &[&[&str]]) -> (usize, Then) {
        for (number, ids) in pages.iter().cycle().enumerate() {
            let effect = walk.take(page(ids)).unwrap();
            if effect.then != Then::More {
                return (number + 1, effect.then);
            }
        }
        unreachable!()
    }

    fn window() -> Walk {
        Walk::Window {
            query: Box::default(),
            cursor: None,
            pages: Pages::default(),
        }
    }

    #[test]
    fn a_circle_of_any_length_is_found_out() {
        for (pages, taken) in [
            (&[&["a"][..]][..], 2),
            (&[&["a"], &["b"]], 3),
            (&[&["a"], &["b"], &["c", "d"], &["e"]], 5),
        ] {
            assert_eq!(follow(Walk::everything(), pages), (taken, Then::NoProgress));
        }
    }

    #[test]
    fn a_window_of_pages_that_come_again_is_given_up() {
        let repeats = REPEATS as usize;
        for pages in [
            &[&["a"][..]][..],
            &[&["a"], &["b"]],
            &[&["a", "b"], &["b"], &["c"]],
        ] {
            let taken = pages.len() + repeats + 1;
            assert_eq!(follow(window(), pages), (taken, Then::NoProgress));
        }
    }

    #[test]
    fn a_few_pages_of_a_window_may_come_again() {
        let mut walk = window();
        let pages = (0..100).map(|n| format!("r{}", n / 8));
        for id in pages {
            assert_eq!(walk.take(page(&[&id])).unwrap().then, Then::More, "{id}");
        }
        assert_eq!(walk.take(page(&[])).unwrap().then, Then::Done);
    }
}
