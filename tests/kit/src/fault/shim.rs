//! The library that makes calls fail, built with the C compiler of this machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::lab::output;

const SOURCE: &str = include_str!("shim.c");
const LIBRARY: &str = "shim.so";
const REPORT: &str = "report";

/// The library and the file in which it says what it saw.
#[derive(Debug)]
pub struct Shim(TempDir);

/// A call that fails.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// `write`, `sync`, `open`, `resize` or `rename`.
    pub call: &'static str,
    /// `EIO`, `ENOSPC`, `short`, `lost`, `kill`, which ends the process before the call, or `torn`, which ends it half-way through a write.
    pub error: &'static str,
    /// The how manieth call fails, from 1; 0 for none.
    pub at: u64,
    /// Whether all later ones fail, too.
    pub sticky: bool,
}

impl Shim {
    /// Builds the library.
    ///
    /// # Errors
    /// Why there is none: it takes Linux and a C compiler.
    pub fn build() -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err("calls are made to fail on Linux only".to_owned());
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = folder.path().join("shim.c");
        fs::write(&source, SOURCE).expect("a file in a temporary folder");
        let mut command = Command::new("cc");
        command
            .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
            .args([&folder.path().join(LIBRARY), &source])
            .args(["-ldl", "-lpthread"]);
        match output(&mut command) {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            Ok(output) => Err(format!(
                "cc cannot build the library that makes calls fail: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
            Err(error) => Err(format!("there is no C compiler `cc`: {error}")),
        }
    }

    /// The environment of a process in whose folder `fault` strikes.
    pub fn environment(&self, folder: &Path, fault: Fault) -> [(&'static str, OsString); 7] {
        let report = self.0.path().join(REPORT);
        fs::write(&report, "").expect("a file in a temporary folder");
        [
            ("LD_PRELOAD", self.0.path().join(LIBRARY).into()),
            ("SYNCTABLE_FAULT_FOLDER", folder.into()),
            ("SYNCTABLE_FAULT_REPORT", report.into()),
            ("SYNCTABLE_FAULT_CALL", fault.call.into()),
            ("SYNCTABLE_FAULT_ERROR", fault.error.into()),
            ("SYNCTABLE_FAULT_AT", fault.at.to_string().into()),
            (
                "SYNCTABLE_FAULT_STICKY",
                u8::from(fault.sticky).to_string().into(),
            ),
        ]
    }

    /// Whether the fault struck, and how many calls the process made.
    pub fn report(&self) -> (bool, Calls) {
        let text = fs::read_to_string(self.0.path().join(REPORT)).unwrap_or_default();
        let counted = text.lines().filter_map(|line| {
            let (call, count) = line.split_once(' ')?;
            Some((call.to_owned(), count.parse().ok()?))
        });
        (text.starts_with("hit"), Calls(counted.collect()))
    }
}

/// How many calls of each kind a process made on the files of its store.
#[derive(Debug)]
pub struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// How many of this kind.
    #[must_use]
    pub fn of(&self, call: &str) -> u64 {
        self.0.get(call).copied().unwrap_or(0)
    }
}
