//! Tasks and boxed futures, with threads or with one.

use futures_util::future::join_all;
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

/// Does all at once: polled in turn by one task, or each by a task of its own.
pub(crate) async fn together<T: MaybeSend + 'static>(
    futures: Vec<BoxFuture<'static, T>>,
    tasks: bool,
) -> Vec<T> {
    if !tasks {
        return join_all(futures).await;
    }
    let futures: Vec<_> = futures.into_iter().map(spawn).collect();
    let done = join_all(futures).await.into_iter();
    done.map(|done| done.expect("a task of this test fails"))
        .collect()
}

/// `future.in_a_box()`, where the future need not move to another thread unless there are threads.
pub(crate) trait InABox<'a>: Future + MaybeSend + Sized + 'a {
    fn in_a_box(self) -> BoxFuture<'a, Self::Output> {
        boxed(self)
    }
}

impl<'a, F: Future + MaybeSend + 'a> InABox<'a> for F {}
