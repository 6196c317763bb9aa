//! Open questions to the application.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The operations about which the application is being asked: one question at a time about each.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    open: Mutex<HashSet<u64>>,
}

/// A question until it is answered, or dropped.
pub(crate) struct Question<'a> {
    questions: &'a Questions,
    seq: u64,
}

impl Questions {
    fn open(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while it is asked about already.
    pub(crate) fn ask(&self, seq: u64) -> Option<Question<'_>> {
        let is_new = self.open().insert(seq);
        // Made only then: dropping one ends the question.
        is_new.then(|| Question {
            questions: self,
            seq,
        })
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.questions.open().remove(&self.seq);
    }
}
