//! Tasks and boxed futures, with threads or with one.

use synctable_core::threads::{BoxFuture, MaybeSend, boxed};
use tokio::task::JoinHandle;

/// Starts a task beside the one that calls.
#[cfg(not(synctable_single_threaded))]
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// Starts a task beside the one that calls.
#[cfg(synctable_single_threaded)]
pub(crate) fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    tokio::task::spawn_local(task)
}

/// `future.in_a_box()`, where the future need not move to another thread unless there are threads.
pub(crate) trait InABox<'a>: Future + MaybeSend + Sized + 'a {
    fn in_a_box(self) -> BoxFuture<'a, Self::Output> {
        boxed(self)
    }
}

impl<'a, F: Future + MaybeSend + 'a> InABox<'a> for F {}
