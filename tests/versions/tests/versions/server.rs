//! `synctable serve` as a process of its own.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::device::{Device, Running};
use crate::releases::Release;

/// The headers of a good request to a server on the same machine.
pub(crate) const LOCAL: &str = "host: localhost";
pub(crate) const JSON: &str = "content-type: application/json";

/// A server, killed with its test. It keeps its records in a file.
#[derive(Debug)]
pub(crate) struct Server {
    process: Running,
    device: Device,
    /// What `serve` is given beside the address.
    options: Vec<String>,
    pub(crate) address: String,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    /// The lines of its head.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Said {
    fn of(answer: &str) -> Option<Self> {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The records of a page.
    pub(crate) fn items(&self) -> Vec<Value> {
        self.json()["items"].as_array().unwrap().clone()
    }
}

impl Server {
    /// A server of these tables, which keep tombstones.
    pub(crate) fn new(release: Release, tables: &[&str]) -> Self {
        let tables: Vec<String> = tables
            .iter()
            .map(|table| format!("{table}:soft-delete"))
            .collect();
        Self::over(Device::new(release), of_tables(tables))
    }

    /// A server of these tables, in which deleted records are gone.
    pub(crate) fn forgetful(release: Release, tables: &[&str]) -> Self {
        let tables = tables.iter().map(|&table| table.to_owned()).collect();
        Self::over(Device::new(release), of_tables(tables))
    }

    /// A server over the store of a device, which no device has used.
    pub(crate) fn with(device: Device, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self::over(device, options)
    }

    fn over(device: Device, options: Vec<String>) -> Self {
        let mut command = device.command(&["serve", "--json", "--listen", "127.0.0.1:0"]);
        command.args(&options);
        let mut process = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        Self {
            process,
            device,
            options,
            address: line["listening"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What else may be run over its store.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The folder of its store.
    pub(crate) fn folder(&self) -> &Path {
        self.device.folder()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// The answer to a request with these lines as its head. `None` where the connection ends without one.
    pub(crate) fn ask(&self, head: &[&str], body: &str) -> Option<Said> {
        let mut server = TcpStream::connect(&self.address).ok()?;
        let head = head.join("\r\n");
        let length = body.len();
        let request =
            format!("{head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        server.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        server.read_to_string(&mut answer).ok()?;
        Said::of(&answer)
    }

    pub(crate) fn get(&self, target: &str) -> Option<Said> {
        self.ask(&[&format!("GET {target} HTTP/1.1"), LOCAL], "")
    }

    pub(crate) fn post(&self, table: &str, record: &Value) -> Option<Said> {
        let line = format!("POST /tables/{table} HTTP/1.1");
        self.ask(&[&line, LOCAL, JSON], &record.to_string())
    }

    /// The server stops, and the same records are served by a release, at another address.
    pub(crate) fn again(self, release: Release) -> Self {
        let options = self.options.clone();
        Self::over(self.stop().after(release), options)
    }

    /// Stops the server and gives what it served.
    pub(crate) fn stop(mut self) -> Device {
        let id = self.process.0.id().to_string();
        let stopped = Command::new("kill").args(["-TERM", &id]).status();
        assert!(stopped.unwrap().success());
        assert!(self.process.0.wait().unwrap().success());
        self.device
    }

    /// Kills the server and gives what it served.
    pub(crate) fn kill(mut self) -> Device {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
        self.device
    }
}

fn of_tables(tables: Vec<String>) -> Vec<String> {
    let options = tables.into_iter().map(|table| ["--table".into(), table]);
    options.flatten().collect()
}
