//! A device: a folder with a store, and a release of the command that works on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::releases::Release;

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().expect("ended by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// All lines of standard output as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The only line.
    pub(crate) fn line(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A device. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) release: Release,
    folder: Arc<TempDir>,
    /// What every verb is given.
    options: Vec<String>,
    /// What a shell does before the command runs.
    shell: Option<String>,
}

impl Device {
    pub(crate) fn new(release: Release) -> Self {
        Self::with(release, &[])
    }

    pub(crate) fn with(release: Release, options: &[&str]) -> Self {
        Self {
            release,
            folder: Arc::new(tempfile::tempdir().unwrap()),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            shell: None,
        }
    }

    /// A device that remembers the server.
    pub(crate) fn of(release: Release, url: &str) -> Self {
        let device = Self::new(release);
        device.ok(&["push", "--remote", url]);
        device
    }

    /// The same device after it was upgraded or rolled back.
    pub(crate) fn after(&self, release: Release) -> Self {
        Self {
            release,
            ..self.clone()
        }
    }

    /// The same device behind a word to the shell, such as `ulimit -n 6`.
    pub(crate) fn behind(&self, shell: &str) -> Self {
        Self {
            shell: Some(shell.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file beside the store.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder().join(name);
        std::fs::write(&path, text).unwrap();
        // It may be a key, which others have no business with.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    /// What was written at a stopped server is older by so many days.
    pub(crate) fn age(&self, table: &str, days: i64) {
        let file = Connection::open(self.folder().join("synctable.db")).unwrap();
        // Times are numbers of a ten thousandth of a millisecond.
        let ticks = days * 24 * 60 * 60 * 10_000_000;
        let sql = format!("UPDATE \"{table}\" SET updatedAt = updatedAt - {ticks}");
        file.execute(&sql, []).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let program = self.release.program();
        let mut command = match &self.shell {
            Some(first) => {
                let mut shell = Command::new("sh");
                let script = format!("{first}; exec \"$@\"");
                shell.args(["-c", &script, "sh"]).arg(program);
                shell
            }
            None => Command::new(program),
        };
        command
            .current_dir(self.folder())
            .args(&self.options)
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb with `--json`.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).arg("--json"))
    }

    pub(crate) fn ok(&self, args: &[&str]) -> Ran {
        self.run(args).expect(0)
    }

    /// Runs a verb as a person does.
    pub(crate) fn text(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// Runs a verb as a person does who has these variables.
    pub(crate) fn text_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Ran {
        Ran::of(self.command(args).envs(variables.iter().copied()))
    }

    /// Starts a verb, to be killed.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(command.spawn().unwrap())
    }

    /// Inserts or replaces records.
    pub(crate) fn import(&self, table: &str, records: &[Value]) {
        let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
        self.write("lines", &lines.concat());
        self.ok(&["import", table, "lines"]);
    }

    /// Inserts records that have nothing but these ids.
    pub(crate) fn insert(&self, table: &str, ids: &[&str]) {
        let records: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        self.import(table, &records);
    }

    /// The record, if it is here.
    pub(crate) fn record(&self, table: &str, id: &str) -> Option<Value> {
        let ran = self.run(&["get", table, id]);
        (ran.code == 0).then(|| ran.line())
    }

    /// The ids of a table in their order.
    pub(crate) fn ids(&self, table: &str) -> Vec<String> {
        self.ok(&["export", table]).lines().iter().map(id).collect()
    }

    pub(crate) fn pending(&self) -> Vec<Value> {
        self.ok(&["pending"]).lines()
    }

    /// The number of the only operation.
    pub(crate) fn seq(&self) -> String {
        let pending = self.pending();
        assert_eq!(pending.len(), 1, "{pending:?}");
        pending[0]["seq"].to_string()
    }

    /// The states of the operations, by the ids of their records.
    pub(crate) fn states(&self) -> BTreeMap<String, Value> {
        let pending = self.pending();
        let state = |line: &Value| (id(line), line["state"].clone());
        pending.iter().map(state).collect()
    }
}

/// The id of a record or of an operation's record.
pub(crate) fn id(line: &Value) -> String {
    line["id"].as_str().unwrap().to_owned()
}
