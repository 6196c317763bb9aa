//! Standard output: JSON lines for machines, plain text for people.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::time::{Duration, Instant};

use serde::Serialize;
use synctable::Record;

use crate::errors::say;
use crate::plain::one_line;

/// A summary, and how long it took.
#[derive(Serialize)]
struct Timed<'a, T> {
    #[serde(flatten)]
    value: &'a T,
    seconds: f64,
}

/// To the millisecond.
pub(crate) fn seconds(time: Duration) -> f64 {
    f64::from(u32::try_from(time.as_millis()).unwrap_or(u32::MAX)) / 1000.0
}

/// What goes to standard output, and how.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    out: BufWriter<Stdout>,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let out = BufWriter::with_capacity(64 * 1024, io::stdout());
        Self { json, quiet, out }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// True where progress may be shown: a person watches.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// Prints what was asked for: `value` for machines, `text` for people.
    pub(crate) fn answer(
        &mut self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> io::Result<()> {
        if self.json {
            self.json_line(&serde_json::to_string(value)?)
        } else {
            writeln!(self.out, "{}", one_line(&text()))
        }
    }

    /// Prints what was done: `value` for machines, `text` for people who want to hear it.
    pub(crate) fn summary(
        &mut self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> io::Result<()> {
        if self.quiet && !self.json {
            return Ok(());
        }
        self.answer(value, text)
    }

    /// Prints what was done since `began`, in seconds.
    pub(crate) fn timed(
        &mut self,
        value: &impl Serialize,
        began: Instant,
        text: impl FnOnce() -> String,
    ) -> io::Result<()> {
        let seconds = seconds(began.elapsed());
        self.summary(&Timed { value, seconds }, text)
    }

    /// Prints text that is JSON already.
    pub(crate) fn json_line(&mut self, json: &str) -> io::Result<()> {
        writeln!(self.out, "{}", one_line(json))
    }

    /// Prints a record of a list, or the members of it that were asked for.
    pub(crate) fn row(&mut self, record: &Record, select: Option<&[String]>) -> io::Result<()> {
        match (self.json, select) {
            (true, None) => self.json_line(&record.to_json()),
            (true, Some(names)) => self.json_line(&record.to_json_selected(names)),
            (false, None) => {
                let members = record.members();
                let mut line = record.id().as_str().to_owned();
                for (name, text) in members {
                    let _ = write!(line, "  {name}={text}");
                }
                writeln!(self.out, "{}", one_line(&line))
            }
            (false, Some(names)) => {
                writeln!(self.out, "{}", one_line(&record.to_json_selected(names)))
            }
        }
    }

    /// Warns on standard error, where somebody wants to hear it.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            say(&format!("warning: {text}"));
        }
    }

    /// Prints what a change made of a record, for those who want to hear it.
    pub(crate) fn changed(&mut self, record: Option<&Record>) -> io::Result<()> {
        if self.quiet && !self.json {
            return Ok(());
        }
        self.record(record)
    }

    /// Prints one record, with all there is to know for people.
    pub(crate) fn record(&mut self, record: Option<&Record>) -> io::Result<()> {
        match (self.json, record) {
            (true, Some(record)) => self.json_line(&record.to_json()),
            (true, None) => self.json_line("null"),
            (false, None) => writeln!(self.out, "the record is gone"),
            (false, Some(record)) => {
                let system = record.system();
                let mut line = |name: &str, value: Option<String>| match value {
                    Some(value) => writeln!(self.out, "{}", one_line(&format!("{name}: {value}"))),
                    None => Ok(()),
                };
                line("id", Some(record.id().to_string()))?;
                line("version", system.version.as_ref().map(ToString::to_string))?;
                line("createdAt", system.created_at.map(|time| time.to_string()))?;
                line("updatedAt", system.updated_at.map(|time| time.to_string()))?;
                for (name, text) in record.members() {
                    line(&name, Some(text.to_owned()))?;
                }
                Ok(())
            }
        }
    }

    /// Hands over what was printed so far.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
