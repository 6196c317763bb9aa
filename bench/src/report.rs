//! The results under `docs`: the lines of the last run of each job, a table of them, and a chart.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::harness::Job;
use crate::jobs;
use crate::line::{Goal, Line, short};
use crate::svg;

pub struct Report {
    folder: PathBuf,
    lines: Vec<Line>,
}

impl Report {
    /// With the lines of earlier runs, if there are any.
    pub fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("benchmark.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str(line).ok());
        let lines = lines.filter_map(|line| Line::from_json(&line?));
        Self {
            folder: folder.to_owned(),
            lines: lines.collect(),
        }
    }

    /// Puts the lines of a job in the place of those of before. A job that was skipped keeps them.
    pub fn replace(&mut self, job: &str, lines: Vec<Line>) {
        if !lines.is_empty() {
            self.lines.retain(|line| line.job != job);
            self.lines.extend(lines);
        }
    }

    pub fn write(&self) {
        // In the order of the jobs, whatever ran last; lines of jobs that are no more go.
        let jobs: Vec<(&Job, Vec<&Line>)> = jobs()
            .map(|job| {
                (
                    job,
                    self.lines
                        .iter()
                        .filter(|line| line.job == job.name)
                        .collect(),
                )
            })
            .filter(|(_, lines): &(_, Vec<_>)| !lines.is_empty())
            .collect();
        let lines: Vec<&Line> = jobs
            .iter()
            .flat_map(|(_, lines)| lines.iter().copied())
            .collect();
        let text: String = lines
            .iter()
            .map(|line| format!("{}\n", line.to_json()))
            .collect();
        std::fs::create_dir_all(&self.folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(self.folder.join(name), text).unwrap();
        write("benchmark.jsonl", &text);
        write("benchmark.md", &markdown(&jobs));
        write("benchmark.svg", &svg::chart(&lines));
    }
}

const HEAD: &str = "\
# Benchmark

Written by the package `bench`: `cargo run --release --manifest-path bench/Cargo.toml`; what is measured and how is in its
[README](../bench/README.md), the same lines as JSON in [benchmark.jsonl](benchmark.jsonl).

Medians, with the least and the most of all rounds; the size is how many records or calls it is about. A ratio says how many times as fast the subject is as what it is compared with, or how
much smaller; goals with an `x` are for ratios, the others for the median. The exponent is the power of the size by which the cost grows between the two
largest sizes: 1 is linear, 0 is flat. What is in bold is below its goal. Seconds are good for their ratios within one job, and for nothing else.

![How far each goal is reached](benchmark.svg)
";

fn markdown(jobs: &[(&Job, Vec<&Line>)]) -> String {
    let mut text = String::from(HEAD);
    let missed = missed(jobs);
    if !missed.is_empty() {
        text += "\n## Below the goal\n\n| job | subject | size | is | goal | why |\n|---|---|---|---|---|---|\n";
        for (job, line) in missed {
            let cause = job.cause(line);
            let is = match line.goal {
                Some(Goal::RatioAtLeast(_) | Goal::RatioAtMost(_)) => ratio(line),
                _ => with_unit(line),
            };
            let goal = line.goal.map(Goal::text).unwrap_or_default();
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {is} | {goal} | {cause} |",
                job.name, line.subject, line.size
            );
        }
    }
    text += "\n## All figures\n";
    for (job, lines) in jobs {
        let _ = write!(text, "\n### {}\n\n{}.\n\n", job.name, capital(job.about));
        text += "| subject | size | median | least .. most | on the disk | ratio | goal |\n|---|---|---|---|---|---|---|\n";
        for line in lines {
            text += &row(line);
        }
    }
    text
}

/// What is below its goal; of several sizes the largest one.
fn missed<'a>(jobs: &[(&'a Job, Vec<&'a Line>)]) -> Vec<(&'a Job, &'a Line)> {
    let all = jobs.iter().flat_map(|(job, lines)| {
        let last = svg::largest(lines);
        last.into_iter().map(move |line| (*job, line))
    });
    all.filter(|(_, line)| line.missed()).collect()
}

fn row(line: &Line) -> String {
    let goal = line.goal.map(Goal::text).unwrap_or_default();
    let goal = if line.missed() {
        format!("**{goal}**")
    } else {
        goal
    };
    let spread = if line.sample.min == line.sample.max {
        String::new()
    } else {
        format!("{} .. {}", short(line.sample.min), short(line.sample.max))
    };
    format!(
        "| {} | {} | {} | {spread} | {} | {} | {goal} |\n",
        line.subject,
        line.size,
        with_unit(line),
        line.durability,
        ratio(line)
    )
}

fn with_unit(line: &Line) -> String {
    format!("{} {}", short(line.sample.median), line.unit)
}

fn ratio(line: &Line) -> String {
    let ratio = line.ratio.as_ref();
    ratio.map_or(String::new(), |(ratio, to)| {
        format!("{}x {to}", short(*ratio))
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::tests::line;

    const JOB: Job = Job {
        name: "job",
        about: "what is done",
        run: |_| {},
        causes: &[("table", "because")],
    };

    #[test]
    fn a_line_below_its_goal_is_bold_and_named_with_its_cause() {
        let slow = line("s", 2.5, Some(Goal::AtMost(2.0)));
        let text = markdown(&[(&JOB, vec![&slow])]);
        assert!(
            text.contains("| `job` | synctable | 1000 | 2.5 s | ≤ 2 | because |"),
            "{text}"
        );
        assert!(
            text.contains("| synctable | 1000 | 2.5 s |  | fsync |  | **≤ 2** |"),
            "{text}"
        );
        assert!(text.contains("### job\n\nWhat is done.\n"), "{text}");
    }

    #[test]
    fn a_cause_is_of_its_subject_alone() {
        let other = Line {
            subject: "other".into(),
            ..line("s", 2.5, Some(Goal::AtMost(2.0)))
        };
        let grows = line(crate::line::EXPONENT, 2.5, Some(Goal::AtMost(1.1)));
        let text = markdown(&[(&JOB, vec![&other, &grows])]);
        assert_eq!(text.matches("| not known yet |").count(), 2, "{text}");
    }

    #[test]
    fn a_line_that_reaches_its_goal_is_neither() {
        let mut quick = line("µs", 1.5, Some(Goal::RatioAtLeast(0.9)));
        quick.ratio = Some((0.95, "raw".into()));
        let text = markdown(&[(&JOB, vec![&quick])]);
        assert!(
            !text.contains("Below the goal") && !text.contains("because"),
            "{text}"
        );
        assert!(text.contains("| 0.95x raw | ≥ 0.9x |"), "{text}");
    }

    #[test]
    fn only_the_largest_size_is_listed_as_missed() {
        let small = line("s", 5.0, Some(Goal::AtMost(2.0)));
        let large = Line {
            size: 4000,
            ..small.clone()
        };
        let text = markdown(&[(&JOB, vec![&small, &large])]);
        assert_eq!(text.matches("| because |").count(), 1, "{text}");
        assert!(text.contains("| `job` | synctable | 4000 |"), "{text}");
    }

    #[test]
    fn a_job_that_runs_again_replaces_its_lines_and_no_others() {
        let other = Line {
            job: "other".into(),
            ..line("s", 1.0, None)
        };
        let mut report = Report {
            folder: PathBuf::new(),
            lines: vec![line("s", 1.0, None), other.clone()],
        };
        report.replace("job", vec![line("s", 2.0, None)]);
        assert_eq!(report.lines, [other.clone(), line("s", 2.0, None)]);
        report.replace("other", Vec::new());
        assert!(
            report.lines.contains(&other),
            "what was skipped keeps its figures"
        );
    }
}
