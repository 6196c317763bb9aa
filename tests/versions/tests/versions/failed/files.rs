//! The files of a store in an untidy world: logs without their store, a process that writes, rights, limits, copies.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::mine::push_on;
use crate::device::{Device, Ran};
use crate::releases::{Release, both};
use crate::server::Server;
use crate::together::{TABLE, Trap};

/// The options for a store of a kind at a path.
fn options<'a>(kind: &str, url: &'a str) -> Vec<&'a str> {
    let mut options = vec!["--store", url];
    if kind.starts_with("encrypted+") {
        options.extend(["--key-file", "app.key"]);
    }
    options
}

fn with_key(release: Release, options: &[&str]) -> Device {
    let device = Device::with(release, options);
    device.write("app.key", &"0a".repeat(32));
    device
}

fn names(device: &Device) -> Vec<String> {
    let entries = fs::read_dir(device.folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The log of a server that was killed, whose store somebody has moved away, lies where the next server makes its store.
#[test]
#[ignore = "needs the command of release 0.1"]
fn no_store_is_made_beside_the_log_of_another() {
    for kind in ["sqlite", "encrypted+sqlite"] {
        let url = format!("{kind}:server.db");
        let [before, today] = both(|release| {
            let store = with_key(release, &options(kind, &url));
            let server = Server::with(store, &["--any-table"]);
            for n in 0..20 {
                let row = json!({"id": format!("old{n}"), "text": "x".repeat(300)});
                server.post(TABLE, &row).unwrap();
            }
            let store = server.kill();
            fs::remove_file(store.folder().join("server.db")).unwrap();
            fs::remove_file(store.folder().join("server.db-shm")).unwrap();
            let log = store.folder().join("server.db-wal");
            let kept = fs::read(&log).unwrap();
            let insert = store.run(&["insert", "notes", r#"{"id":"new"}"#]);
            let found = store.run(&["export", TABLE]);
            let is_kept = fs::read(&log).is_ok_and(|log| log == kept);
            (insert, found.out.contains("old1"), is_kept)
        });
        assert!(
            before.1 && !before.2,
            "{kind}: the new store holds rows of the old one"
        );
        assert_eq!((today.0.code, today.1, today.2), (1, false, true), "{kind}");
        assert!(today.0.err.contains("server.db-wal"), "{kind}: {today:?}");
    }
}

/// The same with the log of a device, beside which a copy is made.
#[test]
#[ignore = "needs the command of release 0.1"]
fn no_copy_is_made_beside_a_log() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &[TABLE]);
        let trap = Trap::new(&server);
        let killed = trap.gate.device(release);
        let rows: Vec<Value> = (0..20)
            .map(|n| json!({"id": format!("old{n}"), "text": "x".repeat(300)}))
            .collect();
        killed.import(TABLE, &rows);
        assert!(trap.kill_a_push(&killed, 10, true));
        let device = Device::new(release);
        device.ok(&["insert", TABLE, r#"{"id":"new"}"#]);
        let log = device.folder().join("copy.db-wal");
        fs::copy(killed.folder().join("synctable.db-wal"), &log).unwrap();
        let kept = fs::read(&log).unwrap();
        let copied = device.run(&["copy", "--to", "sqlite:copy.db"]);
        let found = device.run(&["export", TABLE, "--store", "sqlite:copy.db"]);
        (copied, found, fs::read(&log).is_ok_and(|log| log == kept))
    });
    assert!(!before.2, "{before:?}");
    assert_eq!((today.0.code, today.2), (1, true), "{today:?}");
    assert!(today.0.err.contains("copy.db-wal"), "{today:?}");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn who_reads_does_not_wait_for_who_writes() {
    let verbs: [&[&str]; 4] = [
        &["get", TABLE, "a"],
        &["query", TABLE],
        &["export", TABLE],
        &["pending"],
    ];
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.insert(TABLE, &["a"]);
        let writer = Connection::open(device.folder().join("synctable.db")).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        // All at once, as each of 0.1 waits for ten seconds.
        let started = verbs.map(|verb| {
            let mut command = device.command(verb);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        });
        started.map(|process| {
            let output = process.wait_with_output().unwrap();
            (
                output.status.code(),
                String::from_utf8(output.stderr).unwrap(),
            )
        })
    });
    for (code, said) in &before {
        assert!(
            *code == Some(1) && said.contains("keeps the store busy"),
            "{said}"
        );
    }
    assert_eq!(today, [(); 4].map(|()| (Some(0), String::new())));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_new_store_is_its_owner_s_alone() {
    let kinds = [
        "sqlite",
        "redb",
        "sled",
        "encrypted+sqlite",
        "encrypted+redb",
        "encrypted+sled",
    ];
    let [before, today] = both(|release| {
        kinds.map(|kind| {
            let url = format!("{kind}:a.store");
            let device = with_key(release, &options(kind, &url)).behind("umask 022");
            device.insert(TABLE, &["a"]);
            let path = device.folder().join("a.store");
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        })
    });
    assert_eq!(before, [0o644, 0o644, 0o755, 0o644, 0o644, 0o755]);
    assert_eq!(today, [0o600, 0o600, 0o700, 0o600, 0o600, 0o700]);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_store_that_others_can_read_is_told() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.insert(TABLE, &["a"]);
        let path = device.folder().join("synctable.db");
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        device.ok(&["get", TABLE, "a"]).err
    });
    assert_eq!(before, "");
    assert!(
        today.starts_with("warning: ") && today.contains("chmod"),
        "{today}"
    );
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn what_a_killed_process_left_is_removed() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.ok(&["insert", TABLE, r#"{"id":"a"}"#]);
        for dead in ["synctable.db.new-7-0", "synctable.db.new-7-0.lock"] {
            device.write(dead, "half");
        }
        device.ok(&["get", TABLE, "a"]);
        names(&device)
    });
    assert_eq!(before.len(), 3, "{before:?}");
    assert_eq!(today, ["synctable.db"]);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_path_that_looks_like_a_host_is_refused_with_what_to_write() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        fs::create_dir(device.folder().join("data")).unwrap();
        device.run(&["--store", "sqlite://data/x.db", "insert", TABLE, "{}"])
    });
    assert_eq!((before.code, today.code), (1, 2));
    for right in ["sqlite:data/x.db", "sqlite:/data/x.db"] {
        assert!(!before.err.contains(right), "{before:?}");
        assert!(today.err.contains(right), "{today:?}");
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn too_few_open_files_are_no_panic() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.insert(TABLE, &["a"]);
        let codes = |ran: Ran| (ran.code, ran.err);
        [6, 7].map(|limit| {
            let few = device.behind(&format!("ulimit -n {limit}"));
            codes(few.text(&["export", TABLE]))
        })
    });
    for (code, said) in &before {
        assert!(*code == 101 && said.contains("panicked"), "{said}");
    }
    for (code, said) in &today {
        assert!(
            *code == 1 && said.contains("too many files are open"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// The copy of a whole store: `copy` in 0.1, which has nothing else.
fn back_up(device: &Device) -> Ran {
    match device.release {
        Release::First => device.run(&["copy", "--to", "sqlite:backup.db"]),
        Release::Today => device.run(&["backup", "backup.db"]),
    }
}

/// A device that works on the copy.
fn restored(device: &Device) -> Device {
    let path = device.folder().join("backup.db");
    let store = format!("sqlite:{}", path.display());
    Device::with(device.release, &["--store", &store])
}

/// Both go on after the copy was made, and count their operations from the same number.
#[test]
#[ignore = "needs the command of release 0.1"]
fn a_restored_backup_knows_that_it_is_one() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &[TABLE]);
        let device = Device::of(release, &server.url());
        device.ok(&["insert", TABLE, r#"{"id":"a","done":false}"#]);
        device.ok(&["sync"]);
        assert_eq!(back_up(&device).code, 0);
        let tick = ["update", TABLE, "a", r#"{"done":true}"#];
        device.ok(&tick);
        device.ok(&["push"]);
        let other = Device::of(Release::Today, &server.url());
        other.ok(&["pull", TABLE]);
        other.ok(&["update", TABLE, "a", r#"{"done":false}"#]);
        other.ok(&["push"]);
        let restored = restored(&device);
        restored.ok(&tick);
        let pushed = restored.run(&["push"]).line()["pushed"].clone();
        other.ok(&["pull", TABLE]);
        let there = other.record(TABLE, "a").unwrap()["done"].clone();
        (pushed, there, restored.states())
    });
    // It was said to be sent, and is not there.
    assert_eq!((before.0, before.1), (json!(1), json!(false)));
    assert_eq!((&today.0, &today.2["a"]), (&json!(0), &json!("conflict")));
}

/// The device pushes after the copy was made, so it cannot be known there what was sent.
#[test]
#[ignore = "needs the command of release 0.1"]
fn what_waits_in_a_restored_backup_is_unsure() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &[TABLE]);
        let device = Device::of(release, &server.url());
        device.insert(TABLE, &["edited", "kept", "removed"]);
        device.ok(&["push"]);
        device.ok(&["insert", TABLE, r#"{"id":"new","n":1}"#]);
        device.ok(&["update", TABLE, "edited", r#"{"n":1}"#]);
        device.ok(&["delete", TABLE, "removed"]);
        assert_eq!(back_up(&device).code, 0);
        device.ok(&["push"]);
        device.ok(&["update", TABLE, "kept", r#"{"n":2}"#]);
        device.ok(&["push"]);
        let restored = restored(&device);
        let states: Vec<Value> = restored.states().into_values().collect();
        push_on(&restored);
        restored.ok(&["pull", TABLE]);
        device.ok(&["pull", TABLE]);
        let exports = [&restored, &device].map(|it| it.ok(&["export", TABLE]).out);
        (states, restored.states(), exports)
    });
    assert_eq!(before.0, ["pending", "pending", "pending"]);
    assert_eq!(today.0, ["attempted", "attempted", "attempted"]);
    assert_eq!(today.1, BTreeMap::new());
    assert_eq!(today.2[0], today.2[1]);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_table_that_is_local_only_no_more_offers_its_records() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &["notes"]);
        let device = Device::of(release, &server.url());
        let declare = |local: bool| {
            let schema = json!({"tables": {"notes": {"localOnly": local}}});
            device.write("schema.json", &schema.to_string());
            device.run(&["pending", "--schema", "schema.json"]).err
        };
        declare(true);
        device.ok(&["insert", "notes", r#"{"id":"a"}"#]);
        let offered = declare(false);
        device.run(&["enqueue", "notes"]);
        let pushed = device.ok(&["push"]).line()["pushed"].clone();
        device.ok(&["insert", "notes", r#"{"id":"b"}"#]);
        (offered, pushed, declare(true))
    });
    assert_eq!(before, (String::new(), json!(0), String::new()));
    assert!(today.0.contains("synctable enqueue notes"), "{today:?}");
    assert_eq!(today.1, 1);
    assert!(
        today.2.contains("1 operations on it are still queued"),
        "{today:?}"
    );
}
