//! Which page to ask for next: the rule of incremental and full pulls, as a pure function.
//!
//! Servers show `updatedAt` with millisecond digits but may hold more, may give many rows one time, and may move
//! rows to the end while pages are read. Offsets are not safe then, so every request starts from a value:
//!
//! * A *range* asks for everything from a time on, in the order of time. The next range starts with the last
//!   millisecond of the page, inclusive: the rows of that millisecond come twice, none is missed.
//! * When a whole page lies in one millisecond, the *tie* is walked by id instead, and the next range starts behind it.
//! * A server that promises times in the order of commits, and pages that never end between rows of one time (unless all of the page has
//!   that time), is asked for what is strictly behind the last time. Where a page has one time only, the tie is walked on from its last id.

use crate::name::RecordId;
use crate::query::{Expr, RemoteQuery, field};
use crate::timestamp::Timestamp;

/// A request of a pull.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Changes from a time on (all without one), by time.
    Range {
        from: Option<Timestamp>,
        exclusive: bool,
    },
    /// The rows of one millisecond behind an id, by id.
    Tie {
        millisecond: Timestamp,
        after: Option<RecordId>,
    },
    /// All rows behind an id, by id.
    Ids { after: Option<RecordId> },
}

/// What matters of a page for the next step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The smallest and the largest time.
    pub(crate) times: Option<(Timestamp, Timestamp)>,
    /// The ids in the order of the page.
    pub(crate) ids: Vec<RecordId>,
    /// The server said that nothing follows.
    pub(crate) last: bool,
    /// The server promises times in the order of commits, and pages that end between them.
    pub(crate) ordered: bool,
}

/// What to do after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask for this.
    Step(Step),
    /// Everything was seen.
    Done,
    /// The server does not do what it is asked.
    NoProgress,
}

impl Step {
    /// The request: `base` holds the application's filter.
    pub(crate) fn query(&self, base: &RemoteQuery) -> RemoteQuery {
        let query = base.clone().include_deleted();
        let id_after = |after: &RecordId| field("id").gt(after.as_str());
        let with = |query: RemoteQuery, filter: Option<Expr>| match filter {
            Some(filter) => query.filter(filter),
            None => query,
        };
        match self {
            Self::Range { from, exclusive } => {
                let bound = from.map(|from| {
                    let updated = field("updatedAt");
                    if *exclusive {
                        updated.gt(from)
                    } else {
                        updated.ge(from)
                    }
                });
                with(query, bound).order_by("updatedAt").order_by("id")
            }
            Self::Tie { millisecond, after } => {
                let inside = field("updatedAt")
                    .ge(*millisecond)
                    .and(field("updatedAt").lt(millisecond.plus_millis(1)));
                let query = query.filter(inside);
                with(query, after.as_ref().map(id_after)).order_by("id")
            }
            Self::Ids { after } => with(query, after.as_ref().map(id_after)).order_by("id"),
        }
    }
}

/// The step after a page that `step` brought.
pub(crate) fn next_step(step: &Step, seen: &Seen) -> Next {
    match wanted_step(step, seen) {
        // What was asked for brought nothing new.
        Next::Step(next) if next == *step => Next::NoProgress,
        next => next,
    }
}

fn wanted_step(step: &Step, seen: &Seen) -> Next {
    match step {
        Step::Ids { after } => match (seen.ids.last(), seen.last) {
            (None, _) | (_, true) => Next::Done,
            (Some(_), false) if repeats(after.as_ref(), seen) => Next::NoProgress,
            (Some(last), false) => Next::Step(Step::Ids {
                after: Some(last.clone()),
            }),
        },
        Step::Tie { millisecond, after } => match (seen.ids.last(), seen.last) {
            (Some(_), false) if repeats(after.as_ref(), seen) => Next::NoProgress,
            (Some(last), false) => Next::Step(Step::Tie {
                millisecond: *millisecond,
                after: Some(last.clone()),
            }),
            (None, _) | (_, true) => {
                let behind = millisecond.plus_millis(1);
                if behind.floor_millis() <= *millisecond {
                    return Next::Done; // the end of time
                }
                Next::Step(Step::Range {
                    from: Some(behind),
                    exclusive: false,
                })
            }
        },
        Step::Range { from, exclusive } => {
            let Some((first, last)) = seen.times else {
                return Next::Done;
            };
            if seen.last {
                return Next::Done;
            }
            let stuck = from.is_some_and(|from| last < from || *exclusive && last == from);
            if stuck {
                return Next::NoProgress;
            }
            if seen.ordered {
                return Next::Step(match seen.ids.last() {
                    Some(id) if first == last => Step::Tie {
                        millisecond: last,
                        after: Some(id.clone()),
                    },
                    _ => Step::Range {
                        from: Some(last),
                        exclusive: true,
                    },
                });
            }
            let millisecond = last.floor_millis();
            if first.floor_millis() < millisecond {
                Next::Step(Step::Range {
                    from: Some(millisecond),
                    exclusive: false,
                })
            } else {
                Next::Step(Step::Tie {
                    millisecond,
                    after: None,
                })
            }
        }
    }
}

/// Up to where everything was seen once `step` has brought a page whose largest time is `largest`, at a server that keeps the order of commits.
pub(crate) fn reached(step: &Step, next: &Next, largest: Option<Timestamp>) -> Option<Timestamp> {
    match (step, next) {
        (_, Next::Step(Step::Tie { millisecond, .. })) => Some(millisecond.plus_millis(-1)),
        (Step::Tie { millisecond, .. }, _) => Some(*millisecond),
        _ => largest,
    }
}

/// True when a page that should lie behind `after` contains it.
fn repeats(after: Option<&RecordId>, seen: &Seen) -> bool {
    after.is_some_and(|after| seen.ids.contains(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A row of the model server: hidden 100 ns digits, of which only the milliseconds are shown.
    #[derive(Debug, Clone)]
    struct Row {
        id: RecordId,
        ticks: i64,
    }

    fn shown(row: &Row) -> Timestamp {
        Timestamp::from_ticks(row.ticks).floor_millis()
    }

    /// What a server that holds more digits than it shows answers.
    fn serve(
        rows: &BTreeMap<RecordId, i64>,
        step: &Step,
        page: usize,
        says_last: bool,
    ) -> (Vec<Row>, bool) {
        let mut found: Vec<Row> = rows
            .iter()
            .map(|(id, ticks)| Row {
                id: id.clone(),
                ticks: *ticks,
            })
            .filter(|row| match step {
                Step::Range { from, exclusive } => from.is_none_or(|from| {
                    if *exclusive {
                        row.ticks > from.ticks()
                    } else {
                        row.ticks >= from.ticks()
                    }
                }),
                Step::Tie { millisecond, after } => {
                    (millisecond.ticks()..millisecond.ticks() + 10_000).contains(&row.ticks)
                        && after.as_ref().is_none_or(|after| row.id > *after)
                }
                Step::Ids { after } => after.as_ref().is_none_or(|after| row.id > *after),
            })
            .collect();
        match step {
            Step::Range { .. } => found.sort_by(|a, b| (a.ticks, &a.id).cmp(&(b.ticks, &b.id))),
            Step::Tie { .. } | Step::Ids { .. } => found.sort_by(|a, b| a.id.cmp(&b.id)),
        }
        let more = found.len() > page;
        found.truncate(page);
        (found, says_last && !more)
    }

    fn seen(rows: &[Row], last: bool) -> Seen {
        let times = rows.iter().map(shown);
        Seen {
            times: times.clone().min().zip(times.max()),
            ids: rows.iter().map(|row| row.id.clone()).collect(),
            last,
            ordered: false,
        }
    }

    proptest! {
        /// Rows change between pages (they move to the end of time); whatever a row's last state is, the pull has seen it. What changes
        /// twice within the millisecond that is being walked is left to the overlap of the next pull.
        #[test]
        fn no_row_is_missed(
            ticks in proptest::collection::vec(0_i64..60_000, 1..60),
            page in 1_usize..8,
            says_last: bool,
            moves in proptest::collection::vec((0_usize..60, 10_000_i64..30_000), 0..20),
        ) {
            let mut rows: BTreeMap<RecordId, i64> = ticks
                .iter()
                .enumerate()
                .map(|(n, ticks)| (RecordId::system(&format!("r{n:03}")), *ticks))
                .collect();
            let mut now = 60_000;
            let mut moves = moves.into_iter();
            let mut held: BTreeMap<RecordId, i64> = BTreeMap::new();
            let mut step = Step::Range { from: None, exclusive: false };
            let mut requests = 0;
            let limit = 4 * (ticks.len() + 20) + 10;
            loop {
                requests += 1;
                prop_assert!(requests <= limit, "no end after {} requests", requests);
                let (found, last) = serve(&rows, &step, page, says_last);
                for row in &found {
                    held.insert(row.id.clone(), row.ticks);
                }
                match next_step(&step, &seen(&found, last)) {
                    Next::Step(next) => step = next,
                    Next::Done => break,
                    Next::NoProgress => prop_assert!(false, "no progress at {:?}", step),
                }
                if let Some((which, later)) = moves.next() {
                    now += later;
                    if let Some(ticks) = rows.values_mut().nth(which) {
                        *ticks = now;
                    }
                }
            }
            prop_assert_eq!(held, rows);
        }
    }

    /// A page of a server that keeps the order of commits: it ends between two times, unless it has one time only.
    fn serve_whole(
        rows: &BTreeMap<RecordId, i64>,
        step: &Step,
        page: usize,
        says_last: bool,
    ) -> (Vec<Row>, bool) {
        let (mut found, _) = serve(rows, step, usize::MAX, false);
        let more = found.len() > page;
        let cut =
            |n: &usize| found.get(*n).map(|row| row.ticks) != found.get(n - 1).map(|row| row.ticks);
        let kept = match step {
            Step::Range { .. } if more => (1..=page).rev().find(cut).unwrap_or(page),
            _ => page,
        };
        found.truncate(kept);
        (found, says_last && !more)
    }

    proptest! {
        /// Commits of several rows go on while pages are read, and the pull is cut off at any page and begun again from what it reached: no row
        /// is missed, and rows come twice only after such a cut.
        #[test]
        fn no_row_of_a_commit_is_missed_where_the_order_is_kept(
            millis in proptest::collection::vec(0_i64..8, 1..60),
            page in 1_usize..8,
            says_last: bool,
            commits in proptest::collection::vec(proptest::collection::vec(0_usize..60, 1..12), 0..12),
            cuts in proptest::collection::vec(any::<bool>(), 0..40),
        ) {
            let mut rows: BTreeMap<RecordId, i64> = millis
                .iter()
                .enumerate()
                .map(|(n, millis)| (RecordId::system(&format!("r{n:03}")), millis * 10_000))
                .collect();
            let mut now = 8;
            let (mut commits, mut cuts) = (commits.into_iter(), cuts.into_iter());
            let mut held: BTreeMap<RecordId, i64> = BTreeMap::new();
            let begin = |from| Step::Range { from, exclusive: true };
            let mut step = Step::Range { from: None, exclusive: false };
            let mut position: Option<Timestamp> = None;
            let (mut requests, mut given) = (0, 0);
            let mut cut = false;
            loop {
                requests += 1;
                prop_assert!(requests <= 4 * (millis.len() + 200), "no end after {} requests", requests);
                let (found, last) = serve_whole(&rows, &step, page, says_last);
                given += found.len();
                for row in &found {
                    held.insert(row.id.clone(), row.ticks);
                }
                let seen = Seen { ordered: true, ..seen(&found, last) };
                let next = next_step(&step, &seen);
                position = position.max(reached(&step, &next, seen.times.map(|(_, last)| last)));
                match next {
                    Next::Step(next) => step = next,
                    Next::Done => break,
                    Next::NoProgress => prop_assert!(false, "no progress at {:?}", step),
                }
                if cuts.next() == Some(true) {
                    cut = true;
                    step = match position {
                        Some(_) => begin(position),
                        None => Step::Range { from: None, exclusive: false },
                    };
                }
                if let Some(commit) = commits.next() {
                    now += 1;
                    for which in commit {
                        if let Some(ticks) = rows.values_mut().nth(which) {
                            *ticks = now * 10_000;
                        }
                    }
                }
            }
            prop_assert_eq!(&held, &rows);
            prop_assert!(cut || now > 8 || given == rows.len(), "{} rows were given, of {}", given, rows.len());
        }
    }

    #[test]
    fn many_rows_in_one_millisecond_take_few_requests() {
        let rows: BTreeMap<RecordId, i64> = (0..2_000)
            .map(|n| (RecordId::system(&format!("r{n:05}")), n))
            .collect();
        for page in [1, 50, 1000] {
            let mut step = Step::Range {
                from: None,
                exclusive: false,
            };
            let (mut requests, mut held) = (0, std::collections::BTreeSet::new());
            loop {
                requests += 1;
                let (found, last) = serve(&rows, &step, page, false);
                held.extend(found.iter().map(|row| row.id.clone()));
                match next_step(&step, &seen(&found, last)) {
                    Next::Step(next) => step = next,
                    Next::Done => break,
                    Next::NoProgress => panic!("no progress"),
                }
            }
            assert_eq!(held.len(), 2_000);
            assert!(
                requests <= 2 * 2_000_usize.div_ceil(page) + 3,
                "page {page}: {requests} requests"
            );
        }
    }

    #[test]
    fn a_server_that_ignores_the_bound_is_found_out() {
        let time = Timestamp::from_millis(5_000);
        let old = Seen {
            times: Some((Timestamp::EPOCH, Timestamp::EPOCH)),
            ids: vec![RecordId::system("a")],
            ..Seen::default()
        };
        assert_eq!(
            next_step(
                &Step::Range {
                    from: Some(time),
                    exclusive: false
                },
                &old
            ),
            Next::NoProgress
        );
        assert_eq!(
            next_step(
                &Step::Ids {
                    after: Some(RecordId::system("a"))
                },
                &old
            ),
            Next::NoProgress
        );
    }
}
