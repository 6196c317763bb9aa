//! What a read may take: of its lane, and of its query's budget. One gauge a connection, one read at a time.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use synctable_core::query::{Budget, Excess, Expr, Query, Stop, Watch};
use synctable_core::store::{StoreError, StoreErrorKind};

use crate::error::closed;

/// How many steps of SQLite's machine pass between two looks at the gauge.
pub(crate) const STEPS: i32 = 1000;
/// What a part of a filter or an order takes before the first row is read: SQLite reads it and makes a program of it.
const PREPARED: usize = 32;
/// Text that is longer is worth a look at whether somebody still waits.
const LONG: i64 = 1000;

/// Counts down while a read runs, and stops it.
///
/// A step of a query is a step of SQLite's machine, or [`Budget::steps_for`] the text that a function goes through. Where the query is
/// bound to some rows, the machine's steps do not count, as they depend on the other rows; the statement itself says what it takes of
/// each row then ([`take`](Self::take)). What the evaluator does takes of the lane as well ([`Watch`]); it counts the query's budget itself.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// Steps until the read has to leave its lane.
    lane: AtomicI64,
    /// Steps until the query is refused.
    query: AtomicI64,
    machine_counts: AtomicBool,
    /// The longest text.
    text: AtomicUsize,
    excess: AtomicU8,
    stops: Mutex<Vec<Stop>>,
    closed: AtomicBool,
}

const NOTHING: u8 = 0;
const TEXT: u8 = 1;
const QUERY: u8 = 2;

impl Default for Gauge {
    fn default() -> Self {
        Self {
            lane: AtomicI64::new(i64::MAX),
            query: AtomicI64::new(i64::MAX),
            machine_counts: AtomicBool::new(true),
            text: AtomicUsize::new(Budget::default().text),
            excess: AtomicU8::new(NOTHING),
            stops: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }
}

impl Gauge {
    /// A read begins in a lane where it may take `steps`; `by` ends it.
    pub(crate) fn enter(&self, steps: i64, by: Option<Stop>) {
        self.forget_query();
        *self.stops() = by.into_iter().collect();
        self.lane.store(steps, Ordering::Relaxed);
    }

    /// The read has ended; true where its lane was too short for it.
    pub(crate) fn leave(&self) -> bool {
        let left = self.lane.swap(i64::MAX, Ordering::Relaxed);
        self.stops().clear();
        let refused = self.excess.load(Ordering::Relaxed) != NOTHING;
        self.forget_query();
        left <= 0 && !refused
    }

    fn forget_query(&self) {
        self.query.store(i64::MAX, Ordering::Relaxed);
        self.excess.store(NOTHING, Ordering::Relaxed);
    }

    /// Does `read` for a query within its budget.
    pub(crate) fn judge<T>(
        &self,
        query: &Query,
        read: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Budget { text, steps, .. } = query.budget;
        self.text.store(text, Ordering::Relaxed);
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        self.query.store(steps, Ordering::Relaxed);
        let machine_counts = query.within.is_none();
        self.machine_counts.store(machine_counts, Ordering::Relaxed);
        self.stops().extend(query.stop.clone());
        let result = if self.prepares(query) {
            read()
        } else {
            Err(Excess::Stopped.error(query.budget))
        };
        match self.excess.load(Ordering::Relaxed) {
            NOTHING if self.closed.load(Ordering::Relaxed) && is_over(&result) => Err(closed()),
            NOTHING if query.stop.as_ref().is_some_and(Stop::is_set) => {
                Err(Excess::Stopped.error(query.budget))
            }
            NOTHING => result,
            TEXT => Err(Excess::Text.error(query.budget)),
            _ => Err(Excess::Steps.error(query.budget)),
        }
    }

    /// Counts what comes before the first row; false where the lane is too short even for that.
    fn prepares(&self, query: &Query) -> bool {
        let filters = query.filter.iter().chain(&query.within);
        let parts = filters.flat_map(Expr::walk).count() + query.order.len();
        self.leaves_room(i64::try_from(parts.saturating_mul(PREPARED)).unwrap_or(i64::MAX))
    }

    /// Takes steps of the lane; false where there are none left.
    fn leaves_room(&self, steps: i64) -> bool {
        self.lane.fetch_sub(steps, Ordering::Relaxed) > steps
    }

    /// Whether nobody waits for an answer any more.
    fn is_ended(&self) -> bool {
        self.closed.load(Ordering::Relaxed) || self.stops().iter().any(Stop::is_set)
    }

    /// SQLite's machine went on: true where it has to stop.
    pub(crate) fn is_up(&self) -> bool {
        let steps = i64::from(STEPS);
        let counts = self.machine_counts.load(Ordering::Relaxed);
        !self.leaves_room(steps) || counts && !self.take(steps) || self.is_ended()
    }

    /// Takes steps of the query's budget; false where there are none left.
    pub(crate) fn take(&self, steps: i64) -> bool {
        let left = self.query.fetch_sub(steps, Ordering::Relaxed);
        if left < steps {
            self.exceed(QUERY);
            return false;
        }
        true
    }

    /// A function goes through texts of `bytes` bytes: that takes of the lane, too.
    pub(crate) fn read(&self, bytes: usize) -> bool {
        let steps = i64::try_from(Budget::steps_for(bytes)).unwrap_or(i64::MAX);
        self.leaves_room(steps) && self.take(steps) && (steps < LONG || !self.is_ended())
    }

    /// True where a function may make a text of `bytes` bytes.
    pub(crate) fn make(&self, bytes: usize) -> bool {
        let fits = bytes <= self.text.load(Ordering::Relaxed);
        if !fits {
            self.exceed(TEXT);
        }
        fits && self.read(bytes)
    }

    fn exceed(&self, what: u8) {
        let first = Ordering::Relaxed;
        let _ = self.excess.compare_exchange(NOTHING, what, first, first);
    }

    /// Ends whatever runs, and what is still to come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn stops(&self) -> MutexGuard<'_, Vec<Stop>> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Gauge {
    fn goes_on(&self, work: u64) -> bool {
        self.leaves_room(i64::try_from(work).unwrap_or(i64::MAX)) && !self.is_ended()
    }
}

fn is_over<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error) if error.kind() == StoreErrorKind::OverBudget)
}
