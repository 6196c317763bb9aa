//! How often a request is tried, and how long the engine waits in between.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How often to try, and how long to wait in between.
///
/// Within one call the engine repeats reads, and changes that cannot have left this device. Whatever may have had an effect waits
/// for the end of the push, and is asked about first.
///
/// ```
/// use std::time::Duration;
/// use synctable_core::sync::RetryPolicy;
///
/// let policy = RetryPolicy::default().with_attempts(5);
/// assert!(policy.delay(1, None) <= Duration::from_millis(200));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    attempts: u32,
    base: Duration,
    cap: Duration,
    retry_after_cap: Duration,
    seed: u64,
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

    /// How often a request is tried in all.
    pub fn attempts(&self) -> u32 {
        self.attempts
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
