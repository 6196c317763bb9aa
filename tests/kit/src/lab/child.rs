//! A process that this one started, and that never outlives its value.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{self, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::jobs::{MARK, ORDER, Order};
use super::{Job, Said};

/// A child that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Held for writing while a process starts. Until that runs its own program it has copies of all files that are open here, with their locks; and
/// it closes them a moment after whoever started it goes on, so that only what it says tells that it has.
static STARTS: RwLock<()> = RwLock::new(());

/// Waits until no process of ours has copies of the files of this one: then the lock of a store that was dropped is free.
pub(crate) fn no_process_starts() {
    drop(STARTS.read().unwrap_or_else(PoisonError::into_inner));
}

/// Runs another program to its end.
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    let _starts = STARTS.write().unwrap_or_else(PoisonError::into_inner);
    command.output()
}

/// The process; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    lines: Receiver<Said>,
    errors: NamedTempFile,
}

impl Child {
    pub(super) fn start(
        arguments: &[OsString],
        folder: &Path,
        job: Job,
        environment: &[(&str, OsString)],
    ) -> Self {
        let folder = folder.to_owned();
        let order = serde_json::to_string(&Order { folder, job }).expect("an order");
        let errors = NamedTempFile::new().expect("a temporary file");
        let stderr = errors.reopen().expect("the temporary file");
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command
            .args(arguments)
            .env(ORDER, order)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let starts = STARTS.write().unwrap_or_else(PoisonError::into_inner);
        let mut process = command.spawn().expect("this program starts once more");
        let output = process.stdout.take().expect("the output is piped");
        let (sender, lines) = mpsc::channel();
        let (runs, running) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for line in lines {
                let _ = runs.send(());
                // A line that a kill cut off is not heard.
                let said = line.strip_prefix(MARK).map(serde_json::from_str);
                if let Some(Ok(said)) = said
                    && sender.send(said).is_err()
                {
                    break;
                }
            }
        });
        // The program of a test says at once how many it runs; an error says that it has ended.
        let _ = running.recv_timeout(PATIENCE);
        drop(starts);
        Self {
            process,
            lines,
            errors,
        }
    }

    /// What it says next; `None` when it has ended.
    pub(crate) fn next(&mut self) -> Option<Said> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(said) => Some(said),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => Some(Said::Wrong(format!(
                "the process has said nothing for {PATIENCE:?}: it hangs"
            ))),
        }
    }

    /// Stops it where it is; only a kill can follow.
    pub(crate) fn stop(&mut self) {
        let command = format!("kill -STOP {}", self.process.id());
        let stopped = Command::new("sh").args(["-c", &command]).status();
        assert!(
            stopped.is_ok_and(|status| status.success()),
            "the child cannot be stopped: {}",
            self.errors()
        );
    }

    /// Ends it with SIGKILL. What it said before can still be read.
    pub(crate) fn kill(&mut self) {
        // An error means that it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// How it ended, after all that it said was read.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.wait().expect("the child is ours")
    }

    /// What it wrote to stderr.
    pub(crate) fn errors(&self) -> String {
        let text = fs::read(self.errors.path()).unwrap_or_default();
        format!("its stderr: {:?}", String::from_utf8_lossy(&text))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
