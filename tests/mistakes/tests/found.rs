//! The simulator finds the mistakes.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use synctable_mistakes::{Found, Mistake, Workshop, all, of_day, root};

/// So many histories of each of the two simulations have to do.
const HISTORIES: u64 = 1_000;
/// Mistakes that are made each day.
const EACH_DAY: usize = 3;

/// Those that are not found, and why.
fn missed(mistakes: &[&Mistake]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistakes");
    let workshop = Workshop::open(&root().unwrap(), &folder).unwrap();
    let told = |found: &Found| match &found.outcome {
        Ok(finding) => println!("{}: {}", found.name, finding.words),
        Err(why) => println!("{}: NOT FOUND: {why}", found.name),
    };
    let all = workshop.hunt(mistakes, HISTORIES, &told).unwrap();
    assert_eq!(all.len(), mistakes.len());
    all.into_iter()
        .filter_map(|found| Some(format!("{}: {}", found.name, found.outcome.err()?)))
        .collect()
}

/// Others each day.
#[test]
fn todays_mistakes_are_found() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mistakes = all().unwrap();
    let today = of_day(&mistakes, now.as_secs() / 86_400, EACH_DAY);
    assert!(!today.is_empty());
    let missed = missed(&today);
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// All of them; `SYNCTABLE_MISTAKES` takes those whose name contains it.
#[test]
#[ignore = "takes long"]
fn all_mistakes_are_found() {
    let wanted = std::env::var("SYNCTABLE_MISTAKES").unwrap_or_default();
    let mistakes = all().unwrap();
    let some: Vec<&Mistake> = mistakes
        .iter()
        .filter(|mistake| mistake.name.contains(&wanted))
        .collect();
    assert!(!some.is_empty(), "no mistake is called {wanted}");
    let missed = missed(&some);
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
