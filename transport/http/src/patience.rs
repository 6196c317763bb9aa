//! How long an answer is waited for, where many of its kind came before: a pure rule, and the wait.
//!
//! On a bad line a request or its answer is lost now and then, and nothing tells. The limits of a connection are made for whatever may be asked,
//! and are many times what a read of one row takes, or a batch, which is made so that it takes some four seconds. So what is far later
//! than those before it is given up: a batch is sent again under the ids of its operations, and a read has no effect.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use synctable_core::Sleep;
use synctable_core::transport::{TransportError, TransportErrorKind};
use tokio::time::Instant;

/// What an answer may be later than the slowest of those before it.
const LATER: Duration = Duration::from_secs(3);
/// After so many in a row that were not waited for only the limits of the connection count.
const GIVEN_UP: u32 = 4;

/// The waits for requests of one kind.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<Patience>);

impl Waits {
    /// The answer to a request with so many bytes. Where there is no way to `sleep` it is waited for as long as it takes.
    ///
    /// # Errors
    /// Those of the request, or a timeout.
    pub(crate) async fn answer<T>(
        &self,
        sleep: Option<&dyn Sleep>,
        bytes: usize,
        request: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let (began, limit) = (Instant::now(), self.lock().limit(bytes));
        let answer = match sleep.zip(limit) {
            None => request.await,
            Some((sleep, limit)) => {
                let (mut request, mut late) = (pin!(request), sleep.sleep(limit));
                let first = poll_fn(|context| match request.as_mut().poll(context) {
                    Poll::Ready(answer) => Poll::Ready(Some(answer)),
                    Poll::Pending => late.as_mut().poll(context).map(|()| None),
                });
                first.await.unwrap_or_else(|| {
                    let mut patience = self.lock();
                    *patience = patience.gave_up();
                    let message = "the answer is far later than those before it";
                    Err(TransportError::new(TransportErrorKind::Timeout, message))
                })
            }
        };
        if answer.is_ok() {
            let mut patience = self.lock();
            *patience = patience.answered(bytes, began.elapsed());
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Patience> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the requests before have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Patience {
    /// The slowest answer, which fades as others come; none came yet where that is zero.
    slowest: Duration,
    /// How many bytes that request had.
    bytes: usize,
    /// So many were given up since.
    given_up: u32,
}

impl Patience {
    /// How long to wait for the answer to so many bytes; `None`: as long as the connection allows.
    fn limit(self, bytes: usize) -> Option<Duration> {
        if self.slowest.is_zero() || self.given_up >= GIVEN_UP {
            return None;
        }
        let times = bytes.div_ceil(self.bytes.max(1)).max(1);
        let slowest = self.slowest.saturating_mul(u32::try_from(times).ok()?);
        let limit = slowest.saturating_add(LATER);
        // It may be the server that is slower now.
        Some(limit.saturating_mul(1 << self.given_up))
    }

    /// So many bytes were answered after this time.
    #[must_use]
    fn answered(self, bytes: usize, time: Duration) -> Self {
        let faded = self.slowest / 8 * 7;
        let (slowest, bytes) = if time > faded {
            (time, bytes)
        } else {
            (faded, self.bytes)
        };
        Self {
            slowest,
            bytes,
            given_up: 0,
        }
    }

    /// An answer was not waited for any longer.
    #[must_use]
    fn gave_up(self) -> Self {
        Self {
            given_up: self.given_up.saturating_add(1),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_is_given_up_before_there_was_an_answer() {
        assert_eq!(Patience::default().limit(KIB), None);
    }

    #[test]
    fn an_answer_may_be_some_seconds_later_than_those_before() {
        let quick = Patience::default().answered(KIB, Duration::from_millis(20));
        assert_eq!(quick.limit(KIB), Some(Duration::from_millis(3_020)));
        let slow = quick.answered(KIB, seconds(10));
        assert_eq!(slow.limit(KIB), Some(seconds(13)));
        // More takes longer; less need not take less, as most of it may be the way.
        assert_eq!(slow.limit(3 * KIB), Some(seconds(33)));
        assert_eq!(slow.limit(1), Some(seconds(13)));
    }

    #[test]
    fn a_slow_answer_is_forgotten_slowly() {
        let mut patience = Patience::default().answered(KIB, seconds(60));
        let mut limit = patience.limit(KIB);
        for _ in 0..40 {
            patience = patience.answered(KIB, seconds(1));
            assert!(patience.limit(KIB) <= limit);
            limit = patience.limit(KIB);
        }
        assert_eq!(limit, Some(seconds(4)));
    }

    #[test]
    fn who_was_not_waited_for_is_waited_for_longer() {
        let mut patience = Patience::default().answered(KIB, seconds(5));
        let mut limits = Vec::new();
        while let Some(limit) = patience.limit(KIB) {
            limits.push(limit.as_secs());
            patience = patience.gave_up();
        }
        assert_eq!(limits, [8, 16, 32, 64]);
        assert!(patience.answered(KIB, seconds(1)).limit(KIB).is_some());
    }
}
