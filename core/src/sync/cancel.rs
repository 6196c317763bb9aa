//! Cancelling a push or pull from elsewhere.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use tokio::sync::watch;

use crate::error::Error;

/// A switch that stops the calls it was given to. Clones share one switch.
///
/// ```
/// let token = synctable_core::sync::CancelToken::new();
/// let other = token.clone();
/// other.cancel();
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug, Clone)]
pub struct CancelToken {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl CancelToken {
    /// A switch that is off.
    pub fn new() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Stops every call that holds this token. It cannot be taken back.
    pub fn cancel(&self) {
        self.sender.send_replace(true);
    }

    /// True once [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits for [`cancel`](Self::cancel).
    pub async fn cancelled(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives as long as `self`, so this ends only by a cancel.
        let _ = receiver.wait_for(|cancelled| *cancelled).await;
    }

    /// Runs `future` until it is done or the token is cancelled.
    pub(crate) async fn run<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match select(pin!(future), pin!(self.cancelled())).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right(_) => Err(Error::Cancelled),
        }
    }
}
