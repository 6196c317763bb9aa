//! The lines of a checkup, and how it ends.

use serde::Serialize;

use crate::errors::{Done, Failure};
use crate::output::Output;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Problem,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    check: &'a str,
    status: Status,
    message: &'a str,
    /// What to do.
    advice: Option<&'a str>,
}

/// The checks so far, each printed as it is done.
#[derive(Debug)]
pub(crate) struct Checkup<'a> {
    output: &'a mut Output,
    problems: u32,
}

impl<'a> Checkup<'a> {
    pub(crate) fn new(output: &'a mut Output) -> Self {
        Self {
            output,
            problems: 0,
        }
    }

    pub(crate) fn ok(&mut self, check: &str, message: impl AsRef<str>) -> Result<(), Failure> {
        self.print(check, Status::Ok, message.as_ref(), None)
    }

    /// Something to know or to do; all works.
    pub(crate) fn warning(
        &mut self,
        check: &str,
        message: impl AsRef<str>,
        advice: impl AsRef<str>,
    ) -> Result<(), Failure> {
        let advice = Some(advice.as_ref());
        self.print(check, Status::Warning, message.as_ref(), advice)
    }

    /// Something that does not work.
    pub(crate) fn problem(
        &mut self,
        check: &str,
        message: impl AsRef<str>,
        advice: impl AsRef<str>,
    ) -> Result<(), Failure> {
        self.problems += 1;
        let advice = Some(advice.as_ref());
        self.print(check, Status::Problem, message.as_ref(), advice)
    }

    fn print(
        &mut self,
        check: &str,
        status: Status,
        message: &str,
        advice: Option<&str>,
    ) -> Result<(), Failure> {
        let line = Line {
            check,
            status,
            message,
            advice,
        };
        let text = || {
            let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
            format!("{:<8} {check}: {message}{advice}", status.as_str())
        };
        if status == Status::Ok {
            self.output.summary(&line, text)?;
        } else {
            self.output.answer(&line, text)?;
        }
        // A server may take its time.
        Ok(self.output.flush()?)
    }

    /// An error where there is a problem.
    pub(crate) fn end(self) -> Result<Done, Failure> {
        match self.problems {
            0 => Ok(Done::All),
            1 => Err(Failure::failed("there is 1 problem; see the output")),
            count => Err(Failure::failed(format!(
                "there are {count} problems; each is a line of the output"
            ))),
        }
    }
}
