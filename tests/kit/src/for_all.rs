//! Random cases for asynchronous checks, shrunk when one fails.

use std::env;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The most attempts to make a failing case smaller.
const MOST_SHRINKS: u32 = 2000;

/// Tries `check` on `cases` random values; panics with the smallest failing value found, why, and the seed.
///
/// `SYNCTABLE_SEED` replays a seed, `SYNCTABLE_CASES` replaces the number of cases.
///
/// ```
/// # synctable_testkit::run(async {
/// synctable_testkit::for_all(20, 0..100u32, async |n| {
///     if n < 100 { Ok(()) } else { Err(format!("{n} is too large")) }
/// }).await;
/// # });
/// ```
pub async fn for_all<S>(
    cases: u32,
    strategy: S,
    check: impl AsyncFn(S::Value) -> Result<(), String>,
) where
    S: Strategy,
    S::Value: Debug + Clone,
{
    let seed = seed();
    let cases = setting("SYNCTABLE_CASES").unwrap_or(cases.into());
    let announced = SeedOnPanic(seed);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for case in 0..cases {
        CASES.fetch_add(1, Ordering::Relaxed);
        let mut tree = strategy
            .new_tree(&mut runner)
            .expect("the strategy makes a value");
        let Err(mut reason) = check(tree.current()).await else {
            continue;
        };
        let mut smallest = tree.current();
        let mut smaller = tree.simplify();
        for _ in 0..MOST_SHRINKS {
            if !smaller {
                break;
            }
            smaller = match check(tree.current()).await {
                Ok(()) => tree.complicate(),
                Err(error) => {
                    reason = error;
                    smallest = tree.current();
                    tree.simplify()
                }
            };
        }
        panic!("case {case} fails: {reason}\nsmallest case found: {smallest:#?}");
    }
    drop(announced);
}

/// The seed to replay, or a new one: the same in the whole process.
pub(crate) fn seed() -> u64 {
    static SEED: LazyLock<u64> = LazyLock::new(|| {
        setting("SYNCTABLE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0))
    });
    *SEED
}

/// How many random cases were tried in this process.
pub(crate) fn cases() -> u64 {
    CASES.load(Ordering::Relaxed)
}

static CASES: AtomicU64 = AtomicU64::new(0);

/// A setting that is a number.
pub(crate) fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number"))
    })
}

/// Says how to replay, also when the store under test panics.
#[derive(Debug)]
pub(crate) struct SeedOnPanic(pub(crate) u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with SYNCTABLE_SEED={}", self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_cases_are_shrunk() {
        let fails = async |n: u32| {
            if n < 17 {
                Ok(())
            } else {
                Err("too large".to_owned())
            }
        };
        let outcome = std::panic::catch_unwind(|| crate::run(for_all(200, 0..1000u32, fails)));
        let message = outcome.expect_err("a case fails");
        let message = message.downcast_ref::<String>().expect("a message");
        assert!(message.ends_with("smallest case found: 17"), "{message}");
    }
}
