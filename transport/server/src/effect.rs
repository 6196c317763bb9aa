//! Whether a request may have changed something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A note on one request, for whoever stops waiting for its answer. Clones are the same note.
#[derive(Debug, Clone, Default)]
pub(crate) struct Effect {
    own: Arc<AtomicBool>,
    /// That of the request that this one is a part of.
    whole: Option<Arc<AtomicBool>>,
}

impl Effect {
    /// A note on a part of this request. What may be done of a part may be done of the whole, also where another part had no effect.
    pub(crate) fn part(&self) -> Self {
        Self {
            own: Arc::default(),
            whole: Some(Arc::clone(&self.own)),
        }
    }

    /// From here on the change may be done, or was done by an earlier request of the same operation.
    pub(crate) fn begins(&self) {
        for note in self.whole.iter().chain([&self.own]) {
            note.store(true, Ordering::Release);
        }
    }

    /// It is sure that nothing was done.
    pub(crate) fn had_none(&self) {
        self.own.store(false, Ordering::Release);
    }

    /// Whether the change may be done.
    pub(crate) fn is_possible(&self) -> bool {
        self.own.load(Ordering::Acquire)
    }
}
