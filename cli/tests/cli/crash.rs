//! Processes that are killed: what was acknowledged is there, and nothing is there by half.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use synctable::encrypted::RawKey;
use synctable::query::Query;
use synctable::store::{LocalStore as _, LocalStoreExt as _};
use synctable::{Missing, RecordId, StoreKey, StoreUrl, TableName};

use crate::kit::{Device, Running, Server, command, key_file, lines};

/// Each record of the table has its operation and the other way round.
fn records_and_operations(device: &Device) -> usize {
    let ids = |lines: Vec<Value>| -> HashSet<String> {
        lines
            .iter()
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let records = ids(device.ok(&["query", "todoitem"]).lines());
    let operations = ids(device.ok(&["pending"]).lines());
    assert_eq!(records, operations);
    assert_eq!(device.ok(&["verify"]).line()["ok"], true);
    records.len()
}

#[test]
fn an_insert_that_was_acknowledged_survives_a_kill() {
    let device = Device::new();
    for number in 0..20 {
        let mut insert = Running(
            command(device.folder())
                .args(["--json", "insert", "todoitem"])
                .arg(format!("{{\"id\":\"i{number}\"}}"))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut line = String::new();
        BufReader::new(insert.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains(&format!("i{number}")), "{line}");
        drop(insert);
        device.ok(&["get", "todoitem", &format!("i{number}")]);
    }
    assert_eq!(records_and_operations(&device), 20);
}

#[test]
fn an_import_that_is_killed_leaves_whole_transactions() {
    let device = Device::new();
    let mut import = Running(
        command(device.folder())
            .args(["import", "todoitem", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut input = import.0.stdin.take().unwrap();
    // Much more than a pipe and a buffer hold, so most of it was read when the last line is written.
    for number in 0..5000 {
        writeln!(
            input,
            "{{\"id\":\"i{number:05}\",\"text\":\"{}\"}}",
            "x".repeat(100)
        )
        .unwrap();
    }
    drop(import);
    let kept = records_and_operations(&device);
    assert!(kept >= 500 && kept.is_multiple_of(500), "{kept}");
    let last = device
        .ok(&["query", "todoitem", "$orderby=id desc&$top=1"])
        .line();
    assert_eq!(last["id"], format!("i{:05}", kept - 1));
}

#[test]
fn a_push_that_is_killed_is_finished_by_the_next() {
    let server = Server::todos();
    let device = Device::of(&server);
    let lines = lines(600, |n| json!({"id": format!("i{n:03}")}));
    device.feed(&["import", "todoitem", "-"], &lines).expect(0);
    let watcher = Device::of(&server);
    let push = Running(command(device.folder()).arg("push").spawn().unwrap());
    // Killed as soon as another device sees the first of it.
    while watcher.ok(&["pull", "todoitem"]).line()["added"] == 0 {}
    drop(push);
    device.ok(&["push"]);
    device.ok(&["pull", "todoitem"]);
    watcher.ok(&["pull", "todoitem"]);
    assert_eq!(watcher.export("todoitem").lines().count(), 600);
    assert_eq!(watcher.export("todoitem"), device.export("todoitem"));
    assert_eq!(device.ok(&["pending"]).out, "");
}

#[test]
fn a_copy_that_is_killed_goes_on() {
    let device = Device::new();
    let row = |n| json!({"id": format!("i{n:04}"), "text": "x".repeat(200)});
    device
        .feed(&["import", "todoitem", "-"], &lines(4000, row))
        .expect(0);
    key_file(&device.folder().join("app.key"), &"0a".repeat(32));
    let all = device.export("todoitem");
    let mut cuts = 0;
    for (number, engine) in ["redb", "sqlite", "redb", "sqlite"].iter().enumerate() {
        let path = format!("copy-{number}");
        let to = format!("encrypted+{engine}:{path}");
        let copy = ["copy", "--to", &to, "--to-key-file", "app.key"];
        let made = Watched::new(device.folder(), &path);
        let mut killed = Running(command(device.folder()).args(copy).spawn().unwrap());
        // Killed as soon as the file grew some times, or was made at least.
        while killed.0.try_wait().unwrap().is_none() && made.changes() < 1 + 3 * number {}
        drop(killed);
        let target = |verb: &[&str]| {
            let store = ["--store", &to, "--key-file", "app.key"];
            device.run(&[&store[..], verb].concat())
        };
        match copied(&device.folder().join(&path), engine) {
            Copied::Nothing => {}
            Copied::Begun => {
                cuts += 1;
                for verb in [
                    &["export", "todoitem"][..],
                    &["insert", "todoitem", "{}"],
                    &["serve", "--any-table", "--listen", "127.0.0.1:0"],
                ] {
                    let refused = target(verb).expect(1);
                    assert!(refused.err.contains("cut off"), "{refused:?}");
                }
            }
            Copied::All => {
                device.run(&copy).expect(1);
                continue;
            }
        }
        let copied = device.ok(&copy).line();
        assert_eq!(copied, json!({"records": 4000, "operations": 4000}));
        assert!(target(&["export", "todoitem"]).expect(0).out == all);
        assert_eq!(target(&["verify"]).expect(0).line(), json!({"ok": true}));
    }
    assert!(cuts > 0, "no copy was cut");
}

enum Copied {
    Nothing,
    Begun,
    All,
}

/// What is in the target of a copy that was killed; only looks at it.
fn copied(path: &Path, engine: &str) -> Copied {
    let url: StoreUrl = format!("encrypted+{engine}:{}", path.display())
        .parse()
        .unwrap();
    let key = StoreKey::Raw(RawKey::from_bytes([10; 32]));
    let Ok(opened) = url.open(Some(key), Missing::Refuse) else {
        return Copied::Nothing;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let state = RecordId::new("state").unwrap();
        let store = opened.store;
        let found = match store.get_one(&TableName::system("__copy"), &state).await {
            Err(_) => Copied::Nothing,
            Ok(Some(_)) => Copied::Begun,
            Ok(None) => {
                let todos = TableName::new("todoitem").unwrap();
                match store.count(&todos, &Query::all()).await {
                    Ok(4000) => Copied::All,
                    _ => Copied::Nothing,
                }
            }
        };
        store.close().await.unwrap();
        found
    })
}

/// A file that may grow.
struct Watched {
    path: PathBuf,
    seen: RefCell<(u64, usize)>,
}

impl Watched {
    fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        let seen = RefCell::default();
        Self { path, seen }
    }

    /// How often another size was seen.
    fn changes(&self) -> usize {
        std::thread::yield_now();
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        // SQLite's log grows before its file does.
        let log = self.path.with_file_name(format!(
            "{}-wal",
            self.path.file_name().unwrap().to_str().unwrap()
        ));
        let size = size(&self.path) + size(&log);
        let mut seen = self.seen.borrow_mut();
        if size != seen.0 {
            *seen = (size, seen.1 + 1);
        }
        seen.1
    }
}

#[test]
fn a_rotation_that_is_killed_goes_on() {
    let device = Device::new();
    let store = ["--store", "encrypted+redb:a.redb", "--key-file", "app.key"];
    let with = |verb: &'static [&'static str]| [&store[..], verb].concat();
    key_file(&device.folder().join("app.key"), &"0a".repeat(32));
    let rows = lines(3000, |n| json!({"id": format!("i{n:04}"), "n": n}));
    device
        .feed(&with(&["import", "todoitem", "-"]), &rows)
        .expect(0);
    let all = device.ok(&with(&["export", "todoitem"])).out;
    let mut rotation = Running(
        command(device.folder())
            .arg("--json")
            .args(with(&["rotate-key"]))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(rotation.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with(r#"{"entries":"#), "{line}");
    drop(rotation);
    // In the middle of it the store is as good as ever.
    assert!(device.ok(&with(&["export", "todoitem"])).out == all);
    device.ok(&with(&["insert", "todoitem", r#"{"id":"z"}"#]));
    assert_eq!(device.ok(&with(&["verify"])).line(), json!({"ok": true}));
    let ended = device.ok(&with(&["rotate-key"])).lines();
    let last = ended.last().unwrap();
    assert_eq!(last["ok"], true);
    // 3001 records and their operations, and what was done before.
    let entries = last["entries"].as_u64().unwrap();
    assert!((1..6002).contains(&entries), "{entries}");
    assert_eq!(device.ok(&with(&["verify"])).line(), json!({"ok": true}));
    let found = device.ok(&with(&["export", "todoitem"])).lines();
    assert_eq!(found.len(), 3001);
}

#[cfg(unix)]
#[test]
fn a_push_that_is_interrupted_says_that_nothing_is_lost() {
    use crate::kit::Scripted;
    use std::process::Command;

    let silent = Scripted::new(None);
    let device = Device::new();
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    let mut push = Running(
        command(device.folder())
            .args(["push", "--remote", &silent.url])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    while silent.requests() == 0 {
        std::thread::yield_now();
    }
    let id = push.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let mut err = String::new();
    BufReader::new(push.0.stderr.take().unwrap())
        .read_line(&mut err)
        .unwrap();
    assert_eq!(push.0.wait().unwrap().code(), Some(1), "{err}");
    assert!(
        err.starts_with("error: cancelled; nothing is lost"),
        "{err}"
    );
    // It was asked who it is, and nothing was sent yet.
    assert_eq!(device.ok(&["pending"]).line()["state"], "pending");
}
