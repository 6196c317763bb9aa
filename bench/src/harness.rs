//! What jobs are made of: a table of them, the settings of a run, rounds in turn, and lines.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::command::Command;
use crate::line::{EXPONENT, Goal, Line};
use crate::stats::{Sample, exponent};

/// Something that is measured.
pub struct Job {
    pub name: &'static str,
    /// What is done, for the table.
    pub about: &'static str,
    pub run: fn(&mut Bench),
    /// Why subjects whose name has this part are below their goal, where they are. Of how a cost grows only what is about "exponent".
    pub causes: &'static [(&'static str, &'static str)],
}

impl Job {
    /// Why a line is below its goal.
    pub fn cause(&self, line: &Line) -> &'static str {
        let grows = line.unit == EXPONENT;
        let is_meant = |part: &str| match grows {
            true => part == EXPONENT,
            false => line.subject.contains(part),
        };
        let found = self.causes.iter().find(|(part, _)| is_meant(part));
        found.map_or("not known yet", |(_, cause)| cause)
    }
}

/// A run of the benchmark.
pub struct Bench {
    /// How many records the largest tables have.
    pub records: u64,
    pub rounds: usize,
    pub runtime: Runtime,
    /// The release build of our command.
    pub command: Command,
    /// Everything that is made is in here.
    pub folder: TempDir,
    job: &'static str,
    pub lines: Vec<Line>,
}

/// What is on the disk when an answer is given.
pub const FSYNC: &str = "fsync";
pub const NO_FSYNC: &str = "no fsync";
pub const READS: &str = "reads only";

impl Bench {
    pub fn new(records: u64, rounds: usize, program: PathBuf, folder: TempDir) -> Self {
        Self {
            records,
            rounds,
            runtime: Runtime::new().unwrap(),
            command: Command::new(program),
            folder,
            job: "",
            lines: Vec::new(),
        }
    }

    pub fn run(&mut self, job: &Job) {
        self.job = job.name;
        (job.run)(self);
    }

    /// Rounds of jobs that take seconds.
    pub fn few(&self) -> usize {
        self.rounds.div_ceil(2)
    }

    /// Three sizes a factor 4 apart, of which `largest` is the last.
    pub fn sizes(&self, largest: u64) -> [u64; 3] {
        [largest / 16, largest / 4, largest].map(|size| size.max(10))
    }

    /// A new folder in that of the run.
    pub fn fresh(&self) -> TempDir {
        TempDir::new_in(self.folder.path()).unwrap()
    }

    /// Adds a line, to which more can be said, and prints it when the next one begins.
    pub fn line(
        &mut self,
        subject: &str,
        size: u64,
        sample: Sample,
        unit: &str,
        durability: &str,
    ) -> &mut Line {
        self.lines.push(Line {
            job: self.job.into(),
            subject: subject.into(),
            size,
            sample,
            unit: unit.into(),
            durability: durability.into(),
            ratio: None,
            goal: None,
        });
        self.lines.last_mut().unwrap()
    }

    /// Adds a line that says how the cost grows between the last two sizes.
    pub fn growth(&mut self, subject: &str, costs: &[(u64, f64)], most: f64) {
        let [.., small, large] = costs else {
            return;
        };
        let sample = Sample::of(&[exponent(*small, *large)]);
        self.line(subject, large.0, sample, EXPONENT, "").goal = Some(Goal::AtMost(most));
    }

    /// A subject that is left out, and why.
    pub fn skip(&self, subject: &str, why: &str) {
        let job = self.job;
        println!(
            "{}",
            serde_json::json!({"job": job, "subject": subject, "skipped": why})
        );
    }
}

/// Measures all sides in each round, in an order that is reversed in every other one.
pub fn in_turn<const SIDES: usize>(
    rounds: usize,
    sides: [&mut dyn FnMut() -> f64; SIDES],
) -> [Sample; SIDES] {
    let mut values = [const { Vec::new() }; SIDES];
    for round in 0..rounds {
        for step in 0..SIDES {
            let side = if round % 2 == 0 {
                step
            } else {
                SIDES - 1 - step
            };
            values[side].push(sides[side]());
        }
    }
    values.map(|values| Sample::of(&values))
}

/// Seconds that it takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed().as_secs_f64(), value)
}

/// The database of a folder.
pub fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("bench.db")
}

/// The largest resident size of a process so far, in MiB. Not that of `wait4`, which begins with the size of the parent.
pub fn peak(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process).join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn sides_take_turns_and_the_order_is_reversed() {
        let order = RefCell::new(String::new());
        let note = |name: char, value: f64| {
            order.borrow_mut().push(name);
            value
        };
        let [one, other] = in_turn(3, [&mut || note('a', 1.0), &mut || note('b', 2.0)]);
        assert_eq!(order.into_inner(), "abbaab");
        assert_eq!((one.median, other.median), (1.0, 2.0));
    }
}
