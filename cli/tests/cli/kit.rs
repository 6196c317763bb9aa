//! Running the command, and servers that end with the test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// The command in a folder.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synctable"));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Writes a key file for its owner alone.
pub(crate) fn key_file(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// A line without the time that it took.
pub(crate) fn counts(mut line: Value) -> Value {
    let seconds = line.as_object_mut().unwrap().remove("seconds");
    assert!(
        seconds.and_then(|seconds| seconds.as_f64()) >= Some(0.0),
        "{line}"
    );
    line
}

/// JSON lines, one for each number.
pub(crate) fn lines(count: usize, record: impl Fn(usize) -> Value) -> String {
    (0..count).map(|n| format_line(&record(n))).collect()
}

fn format_line(record: &Value) -> String {
    format!("{record}\n")
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().expect("ended by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// All lines of standard output as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The only line.
    pub(crate) fn line(&self) -> Value {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.into_iter().next().unwrap()
    }

    /// The only line without the time that it took.
    pub(crate) fn counts(&self) -> Value {
        counts(self.line())
    }

    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        let errors = self.err.lines().count();
        assert_eq!(errors, usize::from(![0, 3].contains(&code)), "{self:?}");
        assert!(!self.err.trim_end().contains(char::is_control), "{self:?}");
        self
    }
}

/// A folder with the store of one device.
#[derive(Debug)]
pub(crate) struct Device {
    folder: TempDir,
    remote: Option<String>,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            remote: None,
        }
    }

    /// A device whose store knows the server.
    pub(crate) fn of(server: &Server) -> Self {
        let device = Self {
            remote: Some(server.url()),
            ..Self::new()
        };
        device.ok(&["push", "--remote", &server.url()]);
        device
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder().join("synctable.db")
    }

    pub(crate) fn remote(&self) -> &str {
        self.remote.as_deref().unwrap()
    }

    /// Runs a verb with `--json`.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        Ran::of(command(self.folder()).arg("--json").args(args))
    }

    pub(crate) fn ok(&self, args: &[&str]) -> Ran {
        self.run(args).expect(0)
    }

    /// Runs a verb that reads `input`.
    pub(crate) fn feed(&self, args: &[&str], input: &str) -> Ran {
        let path = self.folder().join("input");
        std::fs::write(&path, input).unwrap();
        let input = std::fs::File::open(path).unwrap();
        Ran::of(command(self.folder()).arg("--json").args(args).stdin(input))
    }

    pub(crate) fn export(&self, table: &str) -> String {
        self.ok(&["export", table]).out
    }

    /// The number of the only queued operation.
    pub(crate) fn seq(&self) -> String {
        self.ok(&["pending"]).line()["seq"].to_string()
    }
}

/// A process that is killed when the test ends.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `synctable serve` as a process of its own.
#[derive(Debug)]
pub(crate) struct Server {
    process: Running,
    address: String,
    folder: TempDir,
}

impl Server {
    pub(crate) fn new(args: &[&str]) -> Self {
        Self::with_schema(args, "{\"tables\":{}}")
    }

    pub(crate) fn with_schema(args: &[&str], schema: &str) -> Self {
        Self::start(args, schema, &[])
    }

    pub(crate) fn with_env(args: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start(args, "{\"tables\":{}}", variables)
    }

    fn start(args: &[&str], schema: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("schema.json"), schema).unwrap();
        let mut process = command(folder.path())
            .args(["serve", "--json", "--listen", "127.0.0.1:0"])
            .args(["--schema", "schema.json"])
            .args(args)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        Self {
            process: Running(process),
            address: line["listening"].as_str().unwrap().to_owned(),
            folder,
        }
    }

    pub(crate) fn todos() -> Self {
        Self::new(&["--table", "todoitem:soft-delete"])
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks the process to stop and gives its exit code and its folder.
    #[cfg(unix)]
    pub(crate) fn stop(mut self) -> (i32, TempDir) {
        let id = self.process.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let code = self.process.0.wait().unwrap().code();
        (code.expect("ended by the signal"), self.folder)
    }
}

/// A server that gives one answer to every request, or never answers.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) fn new(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        // It ends with the test process.
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                read_head(&mut stream);
                counter.fetch_add(1, Ordering::SeqCst);
                match answer {
                    Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                    None => silent.push(stream),
                }
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
}
