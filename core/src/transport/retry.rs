//! Trying again: a decorator over any transport.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Change, Outcome, PageCursor, RemotePage, Transport, TransportCapabilities, TransportError,
    TransportErrorKind,
};
use crate::name::{RecordId, TableName};
use crate::query::Query;
use crate::record::Record;

/// A transport that tries again when the server asks for it or the connection breaks.
///
/// Reads are repeated after [`Unavailable`](TransportErrorKind::Unavailable) and
/// [`Unreachable`](TransportErrorKind::Unreachable). A change is only repeated after an answer which says that the
/// server did nothing (408, 429, 503): after anything else it may have taken effect, and the engine reads before
/// it sends again. A timeout is never repeated. When all attempts failed, the error of the last one is returned.
///
/// ```
/// use std::time::Duration;
/// use synctable_core::transport::{Retry, RetryPolicy, Transport};
///
/// fn patient(transport: impl Transport) -> impl Transport {
///     Retry::new(transport, RetryPolicy::default().with_attempts(5))
/// }
/// ```
#[derive(Debug)]
pub struct Retry<T> {
    inner: T,
    policy: RetryPolicy,
    sleep: Arc<dyn Sleep>,
}

/// How often to try, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    attempts: u32,
    base: Duration,
    cap: Duration,
    retry_after_cap: Duration,
    seed: u64,
}

/// Waits. Injected, so that tests need not.
#[async_trait]
pub trait Sleep: Debug + Send + Sync + 'static {
    /// Returns after `duration`. Dropping the future ends the wait.
    async fn sleep(&self, duration: Duration);
}

/// Waits by the timer of the tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleep;

#[async_trait]
impl Sleep for TokioSleep {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Default for RetryPolicy {
    /// Three attempts; waits of about 0.2 s, doubled each time up to 5 s; `Retry-After` honoured up to 10 s.
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(200),
            cap: Duration::from_secs(5),
            retry_after_cap: Duration::from_secs(10),
            seed: RandomState::new().hash_one(()),
        }
    }
}

impl RetryPolicy {
    /// With `attempts` in all, the first one included; at least one.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// With waits that start at `base`, double each time and never exceed `cap`.
    #[must_use]
    pub fn with_backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.base = base;
        self.cap = cap;
        self
    }

    /// With the longest wait that a server may ask for; what it asks beyond is cut.
    #[must_use]
    pub fn with_retry_after_cap(mut self, cap: Duration) -> Self {
        self.retry_after_cap = cap;
        self
    }

    /// With the seed of the random part of the waits: one seed, one sequence of waits. By default it is random.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The wait after failed attempt number `attempt` (from 1): the doubled base, of which up to a half is
    /// taken off at random, or what the server asked for where that is longer.
    pub fn delay(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.base.saturating_mul(1 << doublings).min(self.cap);
        let random = mix(self.seed.wrapping_add(u64::from(attempt)));
        let part = u32::try_from(random >> 48).unwrap_or_default();
        let half = full / 2;
        let backoff = half + half / (1 << 16) * part;
        backoff.max(retry_after.unwrap_or_default().min(self.retry_after_cap))
    }
}

/// Spreads the bits of a number (the finaliser of `SplitMix64`).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is repeated: a read, or a change that can have taken effect.
#[derive(Debug, Clone, Copy)]
enum Request {
    Read,
    Change,
}

impl Request {
    fn may_repeat(self, error: &TransportError) -> bool {
        match (self, error.kind()) {
            (Self::Read, TransportErrorKind::Unavailable | TransportErrorKind::Unreachable) => true,
            (Self::Change, TransportErrorKind::Unavailable) => {
                matches!(error.status(), Some(408 | 429 | 503))
            }
            _ => false,
        }
    }
}

impl<T: Transport> Retry<T> {
    /// Wraps `inner`.
    pub fn new(inner: T, policy: RetryPolicy) -> Self {
        Self {
            inner,
            policy,
            sleep: Arc::new(TokioSleep),
        }
    }

    /// With another way to wait.
    #[must_use]
    pub fn with_sleep(mut self, sleep: Arc<dyn Sleep>) -> Self {
        self.sleep = sleep;
        self
    }

    /// The wait before the next attempt, or the error where there is to be none.
    async fn wait(
        &self,
        request: Request,
        attempt: u32,
        error: TransportError,
    ) -> Result<(), TransportError> {
        if attempt >= self.policy.attempts || !request.may_repeat(&error) {
            return Err(error);
        }
        let delay = self.policy.delay(attempt, error.retry_after());
        tracing::debug!(attempt, ?delay, %error, "trying again");
        self.sleep.sleep(delay).await;
        Ok(())
    }
}

/// Runs a request until it succeeds or may not be repeated.
macro_rules! repeat {
    ($self:ident, $request:expr, $call:expr) => {{
        let mut attempt = 1;
        loop {
            match $call.await {
                Ok(value) => return Ok(value),
                Err(error) => $self.wait($request, attempt, error).await?,
            }
            attempt += 1;
        }
    }};
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: Transport> Transport for Retry<T> {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        repeat!(self, Request::Change, self.inner.apply(table, change))
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        repeat!(self, Request::Read, self.inner.get(table, id))
    }

    async fn page(
        &self,
        table: &TableName,
        query: &Query,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        repeat!(self, Request::Read, self.inner.page(table, query, cursor))
    }

    fn capabilities(&self) -> TransportCapabilities {
        self.inner.capabilities()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::transport::ChangeKind;

    /// Answers with the errors of a script, last one first, then with success; counts the requests.
    #[derive(Debug, Default)]
    struct Scripted {
        errors: Mutex<Vec<TransportError>>,
        requests: Mutex<u32>,
    }

    impl Scripted {
        fn failing(errors: impl IntoIterator<Item = TransportError>) -> Arc<Self> {
            let mut errors: Vec<_> = errors.into_iter().collect();
            errors.reverse();
            Arc::new(Self {
                errors: Mutex::new(errors),
                requests: Mutex::new(0),
            })
        }

        fn answer(&self) -> Result<(), TransportError> {
            *self.requests.lock().unwrap() += 1;
            self.errors.lock().unwrap().pop().map_or(Ok(()), Err)
        }

        fn requests(&self) -> u32 {
            *self.requests.lock().unwrap()
        }
    }

    #[async_trait]
    impl Transport for Scripted {
        async fn apply(&self, _: &TableName, _: &Change) -> Result<Outcome, TransportError> {
            self.answer().map(|()| Outcome::Applied(None))
        }
        async fn get(&self, _: &TableName, _: &RecordId) -> Result<Option<Record>, TransportError> {
            self.answer().map(|()| None)
        }
        async fn page(
            &self,
            _: &TableName,
            _: &Query,
            _: Option<&PageCursor>,
        ) -> Result<RemotePage, TransportError> {
            self.answer().map(|()| RemotePage::default())
        }
        fn capabilities(&self) -> TransportCapabilities {
            TransportCapabilities {
                operation_ids: true,
            }
        }
    }

    /// Notes the waits and returns at once.
    #[derive(Debug, Default)]
    struct Noted(Mutex<Vec<Duration>>);

    #[async_trait]
    impl Sleep for Noted {
        async fn sleep(&self, duration: Duration) {
            self.0.lock().unwrap().push(duration);
        }
    }

    fn error(kind: TransportErrorKind) -> TransportError {
        TransportError::new(kind, "scripted")
    }

    fn status(status: u16) -> TransportError {
        error(TransportErrorKind::Unavailable).with_status(status)
    }

    fn table() -> TableName {
        TableName::new("t").unwrap()
    }

    fn id() -> RecordId {
        RecordId::new("a").unwrap()
    }

    async fn read(inner: &Arc<Scripted>) -> Result<(), TransportError> {
        let policy = RetryPolicy::default().with_seed(1);
        let retry = Retry::new(Arc::clone(inner), policy).with_sleep(Arc::new(Noted::default()));
        let page = retry.page(&table(), &Query::all(), None).await;
        page.map(|_| ())
    }

    async fn change(inner: &Arc<Scripted>) -> Result<Outcome, TransportError> {
        let policy = RetryPolicy::default().with_seed(1);
        let retry = Retry::new(Arc::clone(inner), policy).with_sleep(Arc::new(Noted::default()));
        let change = Change::new(ChangeKind::Delete, id());
        retry.apply(&table(), &change).await
    }

    #[tokio::test]
    async fn reads_are_tried_three_times() {
        for kind in [
            TransportErrorKind::Unavailable,
            TransportErrorKind::Unreachable,
        ] {
            let twice = Scripted::failing([error(kind), error(kind)]);
            read(&twice).await.unwrap();
            assert_eq!(twice.requests(), 3);
            let thrice = Scripted::failing([error(kind), error(kind), error(kind)]);
            assert_eq!(read(&thrice).await.unwrap_err().kind(), kind);
            assert_eq!(thrice.requests(), 3);
        }
    }

    #[tokio::test]
    async fn gets_are_repeated_too() {
        let inner = Scripted::failing([status(500)]);
        let retry = Retry::new(Arc::clone(&inner), RetryPolicy::default())
            .with_sleep(Arc::new(Noted::default()));
        assert!(retry.get(&table(), &id()).await.unwrap().is_none());
        assert_eq!(inner.requests(), 2);
        assert!(retry.capabilities().operation_ids);
    }

    #[tokio::test]
    async fn lasting_errors_and_timeouts_are_not_repeated() {
        for kind in [
            TransportErrorKind::Timeout,
            TransportErrorKind::Unauthorized,
            TransportErrorKind::UnknownTable,
            TransportErrorKind::BadQuery,
            TransportErrorKind::Protocol,
            TransportErrorKind::TooLarge,
            TransportErrorKind::BadRequest,
            TransportErrorKind::Missing,
            TransportErrorKind::Other,
        ] {
            let inner = Scripted::failing([error(kind)]);
            assert_eq!(read(&inner).await.unwrap_err().kind(), kind);
            assert_eq!(inner.requests(), 1, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn changes_are_repeated_only_when_the_server_did_nothing() {
        for nothing_done in [408, 429, 503] {
            let inner = Scripted::failing([status(nothing_done)]);
            change(&inner).await.unwrap();
            assert_eq!(inner.requests(), 2, "{nothing_done}");
        }
        for unknown in [
            status(500),
            status(502),
            status(504),
            error(TransportErrorKind::Unavailable),
            error(TransportErrorKind::Unreachable),
            error(TransportErrorKind::Timeout),
        ] {
            let inner = Scripted::failing([unknown]);
            change(&inner).await.unwrap_err();
            assert_eq!(inner.requests(), 1);
        }
    }

    #[tokio::test]
    async fn one_seed_gives_one_sequence_of_waits() {
        let waits = async |seed| {
            let noted = Arc::new(Noted::default());
            let inner = Scripted::failing((0..4).map(|_| status(503)));
            let policy = RetryPolicy::default().with_attempts(5).with_seed(seed);
            let retry = Retry::new(inner, policy).with_sleep(Arc::clone(&noted) as _);
            retry.page(&table(), &Query::all(), None).await.unwrap();
            noted.0.lock().unwrap().clone()
        };
        assert_eq!(waits(7).await, waits(7).await);
        assert_ne!(waits(7).await, waits(8).await);
        assert_eq!(waits(7).await.len(), 4);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_lose_at_most_a_half() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(1));
        for seed in 0..1000 {
            let policy = RetryPolicy::default()
                .with_backoff(base, cap)
                .with_seed(seed);
            for (attempt, full) in [(1, 100), (2, 200), (4, 800), (5, 1000), (40, 1000)] {
                let (delay, full) = (policy.delay(attempt, None), Duration::from_millis(full));
                assert!(
                    full / 2 <= delay && delay <= full,
                    "{seed} {attempt} {delay:?}"
                );
            }
        }
    }

    #[test]
    fn retry_after_is_honoured_up_to_its_cap() {
        let policy = RetryPolicy::default().with_seed(1);
        let seconds = Duration::from_secs;
        assert_eq!(policy.delay(1, Some(seconds(7))), seconds(7));
        assert_eq!(policy.delay(1, Some(Duration::MAX)), seconds(10));
        assert_eq!(policy.delay(1, Some(Duration::ZERO)), policy.delay(1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_by_the_timer_of_tokio() {
        let inner = Scripted::failing([status(503).with_retry_after(Duration::from_secs(4))]);
        let retry = Retry::new(inner, RetryPolicy::default());
        let start = tokio::time::Instant::now();
        retry.page(&table(), &Query::all(), None).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(4));
    }
}
