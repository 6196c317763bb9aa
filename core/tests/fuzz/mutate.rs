//! Inputs that are nearly right: a good one, changed here and there; and how many of them to try.
//!
//! Shared with the fuzz tests of the other crates.

#![allow(dead_code, reason = "not every crate uses all of it")]

use std::fmt::{self, Debug};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Replace(Index, u8),
    Repeat(Index, usize, usize),
    Cut(Index),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |index: &Index| index.index(bytes.len() + 1);
        match self {
            Self::Insert(index, new) => {
                let at = place(index);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Remove(index, count) => {
                let at = place(index);
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Self::Replace(index, byte) => {
                let at = place(index);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Self::Repeat(index, count, times) => {
                let at = place(index);
                let part = bytes[at..(at + count).min(bytes.len())].repeat(*times);
                bytes.splice(at..at, part);
            }
            Self::Cut(index) => bytes.truncate(place(index)),
        }
    }
}

fn edit(words: Vec<&'static str>) -> impl Strategy<Value = Edit> {
    let place = any::<Index>;
    prop_oneof![
        4 => (place(), select(words)).prop_map(|(at, word)| Edit::Insert(at, word.into())),
        2 => (place(), prop::collection::vec(any::<u8>(), 1..4)).prop_map(|(at, new)| Edit::Insert(at, new)),
        3 => (place(), 1..12_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        3 => (place(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        1 => (place(), 1..20_usize, 1..40_usize).prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
        1 => place().prop_map(Edit::Cut),
    ]
}

/// Bytes that failures show as text.
#[derive(Clone)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Up to five changes.
#[derive(Debug, Clone)]
pub(crate) struct Edits(Vec<Edit>);

impl Edits {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        for edit in &self.0 {
            edit.apply(bytes);
        }
    }
}

/// Changes in which `words` are likely.
pub(crate) fn edits(words: &[&'static str]) -> impl Strategy<Value = Edits> + use<> {
    prop::collection::vec(edit(words.to_vec()), 0..6).prop_map(Edits)
}

/// Good inputs with up to five changes; `words` are likely to matter where they come to stand.
pub(crate) fn mutated(
    seeds: &[&str],
    words: &[&'static str],
) -> impl Strategy<Value = Raw> + use<> {
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    (select(seeds), edits(words)).prop_map(|(mut bytes, edits)| {
        edits.apply(&mut bytes);
        Raw(bytes)
    })
}

/// The same, as text.
pub(crate) fn mutated_text(
    seeds: &[&str],
    words: &[&'static str],
) -> impl Strategy<Value = String> + use<> {
    mutated(seeds, words).prop_map(|Raw(bytes)| String::from_utf8_lossy(&bytes).into_owned())
}

/// Tries `check` on `SYNCTABLE_CASES` inputs, or on so many. Panics with the smallest input that fails.
///
/// With `SYNCTABLE_FUZZ_SECONDS` it goes on with other inputs for so long, each of which may take a second, and all of them
/// together 64 MiB more memory than the process had.
pub(crate) fn try_many<T: Debug>(
    cases: u32,
    inputs: &impl Strategy<Value = T>,
    check: impl Fn(T) -> TestCaseResult,
) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u32>()
                .unwrap_or_else(|_| panic!("{name} is a number")),
        )
    };
    let cases = number("SYNCTABLE_CASES").unwrap_or(cases);
    let long = number("SYNCTABLE_FUZZ_SECONDS").map(|seconds| Duration::from_secs(seconds.into()));
    let (start, memory) = (Instant::now(), most_memory());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    loop {
        let result = runner.run(inputs, |input| {
            let begun = Instant::now();
            check(input)?;
            let taken = begun.elapsed();
            let quick = long.is_none() || taken < Duration::from_secs(1);
            prop_assert!(quick, "it took {taken:?}");
            Ok(())
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
        let Some(long) = long else { return };
        let more = most_memory().saturating_sub(memory);
        assert!(more < 64 * 1024, "the inputs took {more} KiB");
        if start.elapsed() > long {
            return;
        }
    }
}

/// The most memory that the process has had, in KiB; 0 where the system does not say.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or_default()
}
