//! What ends the reading of a query while it goes on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Is told of the work that judging records takes while it goes on, and may end it. A store that answers short reads at once and does
/// long ones elsewhere learns from it which they are.
///
/// Work is more than the steps of a [`Budget`](super::Budget): reading and splitting a record is work, too, and so is what a rule takes. A unit is
/// some tens of nanoseconds.
pub trait Watch: fmt::Debug + Send + Sync {
    /// So much more was done; false where the reading has to end.
    fn goes_on(&self, work: u64) -> bool;
}

/// A switch that ends the reading of a query while it runs on another thread. Clones are the same switch.
///
/// A store looks at it for each record that it judges, and within long ones; the query then fails with
/// [`OverBudget`](crate::store::StoreErrorKind::OverBudget).
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Switch>);

#[derive(Debug)]
struct Switch {
    set: AtomicBool,
    /// Work until it sets itself.
    left: AtomicU64,
}

impl Default for Switch {
    fn default() -> Self {
        Self {
            set: AtomicBool::new(false),
            left: AtomicU64::new(u64::MAX),
        }
    }
}

impl Stop {
    /// A switch that sets itself once judging took so much work.
    ///
    /// ```
    /// use synctable_core::query::{Query, Stop, field, page_of};
    /// use synctable_core::{Record, TableSchema};
    /// let rows = || (0..100).map(|n| Ok(Record::from_json(&format!(r#"{{"id":"{n}"}}"#)).unwrap()));
    /// let mut query = Query::all().filter(field("n").eq(1));
    /// query.stop = Some(Stop::after(100_000));
    /// assert!(page_of(&query, &TableSchema::new(), rows()).is_ok());
    /// query.stop = Some(Stop::after(100));
    /// assert!(page_of(&query, &TableSchema::new(), rows()).is_err());
    /// ```
    pub fn after(work: u64) -> Self {
        Self(Arc::new(Switch {
            set: AtomicBool::new(work == 0),
            left: AtomicU64::new(work),
        }))
    }

    /// Ends the query soon.
    pub fn stop(&self) {
        self.0.set.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Relaxed)
    }
}

impl Watch for Stop {
    fn goes_on(&self, work: u64) -> bool {
        if self.0.left.fetch_sub(work, Ordering::Relaxed) <= work {
            self.stop();
        }
        !self.is_set()
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
