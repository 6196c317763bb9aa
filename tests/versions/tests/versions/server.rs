//! `synctable serve` as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::device::{Device, Running};
use crate::releases::Release;

/// A server, killed with its test. It keeps its records in a file.
#[derive(Debug)]
pub(crate) struct Server {
    process: Running,
    device: Device,
    tables: Vec<String>,
    pub(crate) address: String,
}

impl Server {
    /// A server of these tables, which keep tombstones.
    pub(crate) fn new(release: Release, tables: &[&str]) -> Self {
        let tables: Vec<String> = tables
            .iter()
            .map(|table| format!("{table}:soft-delete"))
            .collect();
        Self::over(Device::new(release), tables)
    }

    /// A server of these tables, in which deleted records are gone.
    pub(crate) fn forgetful(release: Release, tables: &[&str]) -> Self {
        let tables = tables.iter().map(|&table| table.to_owned()).collect();
        Self::over(Device::new(release), tables)
    }

    fn over(device: Device, tables: Vec<String>) -> Self {
        let mut command = device.command(&["serve", "--json", "--listen", "127.0.0.1:0"]);
        for table in &tables {
            command.args(["--table", table]);
        }
        let mut process = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        Self {
            process,
            device,
            tables,
            address: line["listening"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The server stops, and the same records are served by a release, at another address.
    pub(crate) fn again(mut self, release: Release) -> Self {
        let id = self.process.0.id().to_string();
        let stopped = Command::new("kill").args(["-TERM", &id]).status();
        assert!(stopped.unwrap().success());
        assert!(self.process.0.wait().unwrap().success());
        Self::over(self.device.after(release), self.tables.clone())
    }
}
