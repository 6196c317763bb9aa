//! The benchmark: one command for all jobs, see `README.md` beside this package.

mod command;
#[path = "../../benches/cases/data.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod data;
mod device;
mod harness;
mod line;
mod local;
mod one_by_one;
#[path = "../../benches/cases/ours.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod ours;
mod peers;
mod raw;
mod report;
mod stats;
mod stores;
mod svg;
mod sync;

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use harness::{Bench, Job};
use report::Report;
use tempfile::TempDir;

const USAGE: &str = "bench [JOB...] [--records N] [--rounds N] [--quick] [--program PATH] [--list] [--no-docs]

Runs the jobs whose name begins with a word that is given, or all but first_pull_1m. Prints JSON lines, and writes
docs/benchmark.md and docs/benchmark.svg, where the other jobs keep the figures of their last run.

  --records N     records of the largest tables (default 100000)
  --rounds N      rounds of short jobs, half as many of long ones (default 5)
  --quick         4000 records and one round, to see that all works; writes no docs
  --program PATH  the synctable command; else it is built
  --no-docs       print only
  --list          print the jobs";

struct Options {
    words: Vec<String>,
    records: u64,
    rounds: usize,
    program: Option<PathBuf>,
    docs: bool,
    list: bool,
}

fn options(words: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        words: Vec::new(),
        records: 100_000,
        rounds: 5,
        program: None,
        docs: true,
        list: false,
    };
    let mut words = words;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--records" => options.records = words.next()?.parse().ok()?,
            "--rounds" => options.rounds = words.next()?.parse().ok().filter(|n| *n > 0)?,
            "--program" => options.program = Some(words.next()?.into()),
            "--quick" => (options.records, options.rounds, options.docs) = (4000, 1, false),
            "--no-docs" => options.docs = false,
            "--list" => options.list = true,
            _ if word.starts_with('-') => return None,
            _ => options.words.push(word),
        }
    }
    Some(options)
}

fn jobs() -> impl Iterator<Item = &'static Job> {
    let families = [
        local::JOBS,
        stores::JOBS,
        sync::JOBS,
        device::JOBS,
        peers::JOBS,
    ];
    families.into_iter().flatten()
}

/// Whether a job is wanted; the long one only by its full name.
fn wanted(name: &str, words: &[String]) -> bool {
    const LONG: &str = "first_pull_1m";
    if name == LONG {
        return words.iter().any(|word| word == LONG);
    }
    words.is_empty() || words.iter().any(|word| name.starts_with(word.as_str()))
}

/// Builds the command as it is released.
fn build(root: &Path) -> PathBuf {
    let mut cargo = Program::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(root).args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "-p",
        "synctable-cli",
    ]);
    // Pieces for the next build make this one slower, and the command, too.
    cargo.env("CARGO_INCREMENTAL", "0");
    assert!(
        cargo.status().unwrap().success(),
        "the command does not build"
    );
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    target.join("release").join("synctable")
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut words = std::env::args().skip(1).peekable();
    if words.peek().is_some_and(|word| word == one_by_one::WORD) {
        return one_by_one::serve(&words.nth(1).expect("a path"));
    }
    let Some(options) = options(words) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    if options.list {
        return jobs().for_each(|job| println!("{}: {}", job.name, job.about));
    }
    let program = options.program.unwrap_or_else(|| build(root));
    // Beside the build, so that files are on a disk and not in memory.
    let beside = std::env::current_exe().unwrap();
    let folder = TempDir::new_in(beside.parent().unwrap()).unwrap();
    let mut bench = Bench::new(options.records, options.rounds, program, folder);
    let mut report = Report::read(&root.join("docs"));
    for job in jobs().filter(|job| wanted(job.name, &options.words)) {
        bench.run(job);
        for line in &bench.lines {
            println!("{}", line.to_json());
        }
        report.replace(job.name, std::mem::take(&mut bench.lines));
        if options.docs {
            report.write();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn options_are_read_and_bad_ones_refused() {
        let read = |line: &str| options(line.split_whitespace().map(str::to_owned));
        let all = read("push --records 5000 --rounds 3 first_pull").unwrap();
        assert_eq!((all.records, all.rounds, all.words.len()), (5000, 3, 2));
        assert!(!read("--quick").unwrap().docs);
        for bad in ["--fast", "--records", "--records many", "--rounds 0"] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn names_of_jobs_are_single() {
        let names: Vec<_> = jobs().map(|job| job.name).collect();
        let single: HashSet<_> = names.iter().collect();
        assert_eq!(single.len(), names.len());
    }

    #[test]
    fn a_million_records_are_pulled_only_when_asked_for() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(!wanted("first_pull_1m", &[]));
        assert!(!wanted("first_pull_1m", &words("first_pull")));
        assert!(wanted("first_pull_1m", &words("first_pull_1m")));
        assert!(wanted("push_batches", &words("scan push")));
        assert!(!wanted("push_batches", &words("batches")));
    }
}
