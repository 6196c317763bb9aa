//! Backups by the command: while another process writes, cut off, and restored.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::kit::{Device, Ran, Running, Server, command, key_file, lines};

fn row(n: usize) -> Value {
    json!({"id": format!("i{n:07}"), "text": "x".repeat(100)})
}

/// Runs a verb on a store in the folder of a device.
fn on(device: &Device, store: &str, verb: &[&str]) -> Ran {
    device.ok(&[&["--store", store][..], verb].concat())
}

fn ids(ran: &Ran) -> Vec<String> {
    let ids = ran.lines().into_iter().map(|line| line["id"].clone());
    let mut ids: Vec<String> = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn drafts(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".new-")).count()
}

#[test]
fn a_backup_is_one_moment_of_a_store_that_another_process_writes() {
    for size in [50, 1000, 8000] {
        let device = Device::new();
        let before = lines(size, row);
        device.feed(&["import", "todoitem", "-"], &before).expect(0);
        let mut import = Running(
            command(device.folder())
                .args(["import", "todoitem", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let mut input = import.0.stdin.take().unwrap();
        let (enough, stop) = (AtomicBool::new(false), &AtomicBool::new(false));
        let enough = &enough;
        let written = thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut number = size;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..500 {
                        writeln!(input, "{}", row(number)).unwrap();
                        number += 1;
                    }
                    enough.store(number > size + 2000, Ordering::Relaxed);
                }
                number
            });
            while !enough.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            for number in 0..3 {
                device.ok(&["backup", &format!("backup-{number}.db")]);
            }
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        assert!(import.0.wait().unwrap().success());
        assert_eq!(device.export("todoitem").lines().count(), written);
        let mut last = size;
        for number in 0..3 {
            let store = format!("sqlite:backup-{number}.db");
            let found = ids(&on(&device, &store, &["query", "todoitem"]));
            let expected: Vec<String> = (0..found.len()).map(|n| format!("i{n:07}")).collect();
            assert_eq!(found, expected, "records of one moment");
            assert_eq!(ids(&on(&device, &store, &["pending"])), found);
            assert_eq!(on(&device, &store, &["verify"]).line(), json!({"ok": true}));
            assert!((last..=written).contains(&found.len()));
            last = found.len();
        }
        assert_eq!(drafts(device.folder()), 0);
    }
}

#[test]
fn a_backup_that_is_killed_is_not_there() {
    let device = Device::new();
    let all = lines(30_000, row);
    device.feed(&["import", "todoitem", "-"], &all).expect(0);
    let to = device.folder().join("backup.db");
    let mut cuts = 0;
    for _ in 0..5 {
        let mut killed = Running(
            command(device.folder())
                .args(["backup", "backup.db"])
                .spawn()
                .unwrap(),
        );
        while drafts(device.folder()) == 0 && killed.0.try_wait().unwrap().is_none() {
            thread::yield_now();
        }
        drop(killed);
        if to.exists() {
            let store = "sqlite:backup.db";
            assert_eq!(ids(&on(&device, store, &["pending"])).len(), 30_000);
            fs::remove_file(&to).unwrap();
        } else {
            cuts += 1;
        }
    }
    assert!(cuts > 0, "no backup was cut");
    device.ok(&["backup", "backup.db"]);
    assert_eq!(drafts(device.folder()), 0);
    // What is left goes with the next backup to whatever name in that folder.
    for left in ["monday.db.new-1-0", "monday.db.new-1-0-journal"] {
        fs::write(device.folder().join(left), "half").unwrap();
    }
    fs::write(device.folder().join("monday.db.new-1-0.lock"), "").unwrap();
    device.ok(&["backup", "tuesday.db"]);
    assert_eq!(drafts(device.folder()), 0);
    let restored = on(&device, "sqlite:backup.db", &["export", "todoitem"]);
    assert!(restored.out == device.export("todoitem"));
}

/// The device goes on after the backup and pushes all; what is restored learns that, and nothing is done twice.
#[test]
fn a_restored_backup_asks_what_was_pushed_since() {
    let server = Server::todos();
    let device = Device::of(&server);
    for id in ["kept", "edited", "removed"] {
        let record = json!({"id": id, "text": id}).to_string();
        device.ok(&["insert", "todoitem", &record]);
    }
    device.ok(&["push"]);
    device.ok(&["insert", "todoitem", r#"{"id":"new","text":"new"}"#]);
    device.ok(&["update", "todoitem", "edited", r#"{"text":"ours"}"#]);
    device.ok(&["delete", "todoitem", "removed"]);
    device.ok(&["backup", "backup.db"]);
    device.ok(&["push"]);
    device.ok(&["update", "todoitem", "kept", r#"{"text":"later"}"#]);
    device.ok(&["push"]);

    let restored = |verb: &[&str]| on(&device, "sqlite:backup.db", verb);
    let states: Vec<Value> = restored(&["pending"])
        .lines()
        .iter()
        .map(|line| line["state"].clone())
        .collect();
    assert_eq!(states, ["attempted", "attempted", "attempted"]);
    restored(&["push"]);
    assert_eq!(restored(&["pending"]).out, "");
    restored(&["pull", "todoitem"]);
    device.ok(&["pull", "todoitem"]);
    assert_eq!(
        restored(&["export", "todoitem"]).out,
        device.export("todoitem")
    );
    let verified = restored(&["verify", "--remote"]).lines();
    assert_eq!(verified.last().unwrap()["ok"], true, "{verified:?}");
}

#[test]
fn sealed_stores_stay_sealed_under_the_same_key() {
    let device = Device::new();
    for (name, byte) in [("app.key", "0a"), ("new.key", "0b")] {
        key_file(&device.folder().join(name), &byte.repeat(32));
    }
    for engine in ["sqlite", "redb", "sled"] {
        let url = format!("encrypted+{engine}:{engine}");
        let backup = format!("encrypted+{engine}:{engine}.backup");
        let key = ["--key-file", "app.key"];
        let secret = json!({"id": "a", "text": "not to be seen"}).to_string();
        let insert = ["--store", &url, "insert", "todoitem", &secret];
        device.ok(&[&key[..], &insert[..]].concat());
        let made = device.ok(&[&key[..], &["backup", &url, &backup]].concat());
        assert_eq!(made.line(), json!({"backup": backup}));
        let rekey = ["--store", &url, "rekey", "--new-key-file", "new.key"];
        device.ok(&[&key[..], &rekey[..]].concat());
        let get = ["--store", &backup, "get", "todoitem", "a"];
        let other = ["--key-file", "new.key"];
        device.run(&[&other[..], &get[..]].concat()).expect(1);
        let found = device.ok(&[&key[..], &get[..]].concat()).line();
        assert_eq!(found["text"], "not to be seen");
        let verify = ["--store", &backup, "verify"];
        let verified = device.ok(&[&key[..], &verify[..]].concat()).line();
        assert_eq!(verified, json!({"ok": true}));
        let bytes = all_bytes(&device.folder().join(format!("{engine}.backup")));
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("not to be seen") && !text.contains("todoitem"));
    }
}

fn all_bytes(path: &Path) -> Vec<u8> {
    if !path.is_dir() {
        return fs::read(path).unwrap();
    }
    let entries = fs::read_dir(path).unwrap();
    entries
        .flat_map(|entry| all_bytes(&entry.unwrap().path()))
        .collect()
}

#[test]
fn nothing_is_replaced_and_no_other_kind_is_made() {
    let device = Device::new();
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    fs::write(device.folder().join("taken"), "mine").unwrap();
    fs::create_dir(device.folder().join("folder")).unwrap();
    for to in ["taken", "folder", "synctable.db", "sqlite:taken"] {
        let said = device.run(&["backup", to]).expect(1).err;
        assert!(said.contains("there already"), "{said}");
    }
    assert_eq!(fs::read(device.folder().join("taken")).unwrap(), b"mine");
    device.run(&["backup", "no/folder.db"]).expect(1);
    for to in ["redb:x", "encrypted+sqlite:x", "sqlite://x", "memory:"] {
        device.run(&["backup", to]).expect(2);
    }
    device.run(&["backup", "sqlite:none.db", "x"]).expect(1);
    assert!(!device.folder().join("none.db").exists());
    // Which of two stores is meant is not guessed.
    let two = [
        "--store",
        "sqlite:synctable.db",
        "backup",
        "sqlite:b.db",
        "x",
    ];
    let said = device.run(&two).expect(2).err;
    assert!(said.contains("two stores"), "{said}");
    let behind = [
        "backup",
        "sqlite:b.db",
        "x",
        "--store",
        "sqlite:synctable.db",
    ];
    device.run(&behind).expect(2);
    let memory = device.run(&["--store", "memory:", "backup", "x"]).expect(1);
    assert!(memory.err.contains("no files"), "{memory:?}");
    assert!(!device.folder().join("x").exists());
    let same = [
        "--store",
        "sqlite:synctable.db",
        "backup",
        "sqlite:synctable.db",
        "x",
    ];
    device.ok(&same);
}
