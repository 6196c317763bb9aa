//! What an open store knows of its tables, and when that has to be read anew.

use std::sync::{Arc, PoisonError, RwLock};

use synctable_core::store::{StoreError, StoreErrorKind};

use crate::catalogue::Catalogue;

/// The catalogue in memory.
#[derive(Debug)]
pub(crate) struct Known(RwLock<State>);

#[derive(Debug)]
enum State {
    Sure(Arc<Catalogue>),
    /// A change of it is being committed, or nobody knows what came of one: each snapshot says what holds for it.
    Unsure,
    Closed,
}

impl Known {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        Self(RwLock::new(State::Sure(Arc::new(catalogue))))
    }

    /// The catalogue, or `None` where it has to be read.
    pub(crate) fn get(&self) -> Result<Option<Arc<Catalogue>>, StoreError> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sure(catalogue) => Ok(Some(Arc::clone(catalogue))),
            State::Unsure => Ok(None),
            State::Closed => {
                let message = "the store was closed; open it again";
                Err(StoreError::new(StoreErrorKind::Closed, message))
            }
        }
    }

    pub(crate) fn set(&self, catalogue: Arc<Catalogue>) {
        self.become_now(State::Sure(catalogue));
    }

    pub(crate) fn doubt(&self) {
        self.become_now(State::Unsure);
    }

    pub(crate) fn close(&self) {
        self.become_now(State::Closed);
    }

    fn become_now(&self, state: State) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
