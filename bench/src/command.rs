//! Programs that are started: our command, its server, and those of others.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::peak;

/// What a program did.
#[derive(Debug, Clone)]
pub struct Ran {
    /// From its start to its end.
    pub seconds: f64,
    /// The most memory that it took, in MiB.
    pub peak: f64,
    /// The last JSON line that it printed.
    pub answer: Value,
}

/// Runs a program to its end, which has to be a good one.
pub fn run(program: &mut Program) -> Ran {
    program
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = program
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let watch = Watch::over(&child);
    let mut errors = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = String::new();
        let _ = errors.read_to_string(&mut text);
        text
    });
    let mut text = String::new();
    let mut output = child.stdout.take().unwrap();
    output.read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let errors = errors.join().unwrap();
    assert!(
        status.success(),
        "{program:?} ended with {status}: {errors}{text}"
    );
    let answer = text
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok());
    Ran {
        seconds,
        peak: watch.end(),
        answer: answer.unwrap_or(Value::Null),
    }
}

/// Looks at the memory of a process a hundred times a second; the peak that the system keeps only grows.
struct Watch {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<f64>>,
}

impl Watch {
    fn over(child: &Child) -> Self {
        let process = child.id().to_string();
        let (over, seen) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(0_f64)),
        );
        let watch = Self {
            over: Arc::clone(&over),
            seen: Arc::clone(&seen),
        };
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if let Some(now) = peak(&process) {
                    let mut seen = seen.lock().unwrap();
                    *seen = seen.max(now);
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        watch
    }

    fn end(self) -> f64 {
        self.over.store(true, Ordering::Relaxed);
        *self.seen.lock().unwrap()
    }
}

/// A server in a process of its own, stopped when this goes.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts a program that prints a line with `listening`, a port or an address, or with the port alone.
    pub fn start(program: &mut Program) -> Self {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?}: {error}"));
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{program:?} said {line:?}"));
        let place = match said.get("listening").unwrap_or(&said) {
            Value::String(address) => address.clone(),
            port => format!("127.0.0.1:{port}"),
        };
        // Whatever else it says must find a reader.
        thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self {
            child,
            url: format!("http://{place}"),
        }
    }

    /// The most memory that it took so far, in MiB.
    pub fn peak(&self) -> f64 {
        peak(&self.child.id().to_string()).unwrap_or(0.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our command, as it is released.
pub struct Command {
    pub program: PathBuf,
}

/// The table of the jobs that run our command.
pub const TABLE: &str = "items";

impl Command {
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// `serve` over a SQLite file in `folder`.
    pub fn serve(&self, folder: &Path) -> Server {
        let mut program = Program::new(&self.program);
        let store = store_in(folder, "server");
        program.args([
            "--store",
            &store,
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--json",
        ]);
        program.args(["--table", &format!("{TABLE}:soft-delete")]);
        Server::start(&mut program)
    }

    /// A device: a store in `folder` and, if it has one, its server.
    pub fn device<'a>(&'a self, folder: &Path, name: &str, server: Option<&Server>) -> Device<'a> {
        Device {
            command: self,
            store: store_in(folder, name),
            url: server.map(|server| server.url.clone()),
        }
    }
}

fn store_in(folder: &Path, name: &str) -> String {
    format!(
        "sqlite:{}",
        folder.join(name).with_extension("db").display()
    )
}

pub struct Device<'a> {
    command: &'a Command,
    store: String,
    url: Option<String>,
}

impl Device<'_> {
    /// Runs a verb.
    pub fn run(&self, words: &[&str]) -> Ran {
        let mut program = Program::new(&self.command.program);
        program.args(["--json", "--store", &self.store]).args(words);
        if let Some(url) = &self.url {
            program.args(["--remote", url]);
        }
        run(&mut program)
    }

    pub fn import(&self, file: &Path) -> Ran {
        self.run(&["import", TABLE, &file.display().to_string()])
    }

    pub fn push(&self, wanted: u64) -> Ran {
        let ran = self.run(&["push"]);
        assert_eq!(ran.answer["pushed"], wanted, "{}", ran.answer);
        ran
    }

    pub fn pull(&self, wanted: u64) -> Ran {
        let ran = self.run(&["pull", TABLE]);
        assert_eq!(ran.answer["fetched"], wanted, "{}", ran.answer);
        ran
    }
}
