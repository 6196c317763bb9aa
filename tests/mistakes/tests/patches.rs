//! The patches fit today's sources.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::fs;

use synctable_mistakes::{Mistake, all, of_day, root};

/// Each patch applies to today's sources, in one place only, and changes something.
#[test]
fn every_patch_applies() {
    let root = root().unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).map_err(|error| error.to_string());
    let mistakes = all().unwrap();
    assert!(mistakes.len() >= 40, "{} mistakes", mistakes.len());
    let mut failed = Vec::new();
    for mistake in &mistakes {
        failed.extend(mistake.apply(read).err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// No two mistakes are the same, and no two say the same.
#[test]
fn mistakes_differ() {
    let root = root().unwrap();
    let read = |path: &str| fs::read_to_string(root.join(path)).map_err(|error| error.to_string());
    let mistakes = all().unwrap();
    let words: BTreeSet<_> = mistakes.iter().map(|mistake| &mistake.wrong).collect();
    assert_eq!(words.len(), mistakes.len());
    let changes: BTreeSet<_> = mistakes
        .iter()
        .filter_map(|mistake| mistake.apply(read).ok())
        .collect();
    assert_eq!(changes.len(), mistakes.len());
}

/// Each row of the table that judges answers has a mistake that turns it around.
#[test]
fn every_row_of_the_policy_is_turned_around() {
    let root = root().unwrap();
    let policy = fs::read_to_string(root.join("core/src/sync/push/policy.rs")).unwrap();
    let rows: BTreeSet<String> = policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\","))
        .map(|row| format!("row_{}", row.replace(' ', "_").replace('\'', "")))
        .collect();
    assert!(rows.len() > 15, "{rows:?}");
    let turned: BTreeSet<String> = all()
        .unwrap()
        .into_iter()
        .map(|mistake| mistake.name)
        .filter(|name| name.starts_with("row_"))
        .collect();
    assert_eq!(turned, rows);
}

/// A patch that does not fit is not taken for one that does.
#[test]
fn what_does_not_fit_is_said() {
    let patch = "It is wrong.\n--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n";
    let mistake = Mistake::new("m", patch).unwrap();
    let apply = |text: &str| mistake.apply(|_| Ok(text.to_owned()));
    let done = |text: &str| Ok(vec![("f".to_owned(), text.to_owned())]);
    assert_eq!(apply("one\ntwo\n"), done("one\nthree\n"));
    assert_eq!(
        apply("zero\none\ntwo\nfour\n"),
        done("zero\none\nthree\nfour\n")
    );
    let not_there = "m: f, part 1: what it expects is not there";
    assert_eq!(apply("one\nthree\n"), Err(not_there.to_owned()));
    assert_eq!(apply("someone\ntwo\n"), Err(not_there.to_owned()));
    let twice = "m: f, part 1: what it expects is there more than once";
    assert_eq!(apply("one\ntwo\none\ntwo\n"), Err(twice.to_owned()));
    let nothing = "It is wrong.\n--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n one\n-two\n+two\n";
    let nothing = Mistake::new("m", nothing).unwrap();
    let unchanged = nothing.apply(|_| Ok("one\ntwo\n".to_owned()));
    assert_eq!(unchanged, Err("m: it does not change f".to_owned()));
    assert!(Mistake::new("m", "--- a/f\n+++ b/f\n").is_err());
    assert!(Mistake::new("m", "It is wrong.\n").is_err());
}

/// In some days every mistake has its turn.
#[test]
fn every_mistake_has_its_day() {
    let mistakes = all().unwrap();
    let days = mistakes.len().div_ceil(3) as u64;
    let seen: BTreeSet<_> = (20_000..20_000 + days)
        .flat_map(|day| of_day(&mistakes, day, 3))
        .map(|mistake| &mistake.name)
        .collect();
    assert_eq!(seen.len(), mistakes.len());
}
