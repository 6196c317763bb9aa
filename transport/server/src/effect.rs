//! Whether a request may have changed something.

use std::sync::atomic::{AtomicBool, Ordering};

/// A note on one request, for whoever stops waiting for its answer.
#[derive(Debug, Default)]
pub(crate) struct Effect(AtomicBool);

impl Effect {
    /// From here on the change may be done, or was done by an earlier request of the same operation.
    pub(crate) fn begins(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// It is sure that nothing was done.
    pub(crate) fn had_none(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether the change may be done.
    pub(crate) fn is_possible(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
