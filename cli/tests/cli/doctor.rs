//! What the doctor finds, and that it changes nothing.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::kit::{Device, Ran, Scripted, Server, command};

/// The lines of a checkup by what was checked and how it stands.
fn lines(ran: &Ran) -> BTreeMap<(String, String), Vec<Value>> {
    let mut lines: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for line in ran.lines() {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        lines
            .entry((text("check"), text("status")))
            .or_default()
            .push(line.clone());
    }
    lines
}

fn has(ran: &Ran, check: &str, status: &str, words: &str) {
    let all = lines(ran);
    let found = all.get(&(check.to_owned(), status.to_owned()));
    let found = found.unwrap_or_else(|| panic!("no {check} {status}: {ran:?}"));
    assert!(
        found.iter().any(|line| line.to_string().contains(words)),
        "{check} {status} without {words}: {ran:?}"
    );
}

fn is_all_well(ran: &Ran) {
    assert!(
        lines(ran).keys().all(|(_, status)| status == "ok"),
        "{ran:?}"
    );
}

#[test]
fn a_device_in_good_health_has_nothing_but_good_lines() {
    let server = Server::todos();
    let device = Device::of(&server);
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    let before = fs::read_dir(device.folder()).unwrap().count();
    let ran = device.ok(&["doctor"]);
    is_all_well(&ran);
    for (check, words) in [
        ("store", "sqlite:synctable.db"),
        ("format", "reads it"),
        ("lock", "no other process"),
        ("queue", "1 operations"),
        ("server", "answers"),
        ("dialect", "toolkit"),
        ("clock", "the server's"),
    ] {
        has(&ran, check, "ok", words);
    }
    let people = Ran::of(command(device.folder()).arg("doctor")).expect(0);
    assert!(
        people.out.lines().all(|line| line.starts_with("ok ")),
        "{people:?}"
    );
    let quiet = Ran::of(command(device.folder()).args(["doctor", "--quiet"])).expect(0);
    assert_eq!(quiet.out, "");
    // It made nothing, and nothing was sent.
    assert_eq!(fs::read_dir(device.folder()).unwrap().count(), before);
    assert_eq!(device.ok(&["pending"]).lines().len(), 1);
}

#[test]
fn no_store_is_a_problem_and_none_is_made() {
    let device = Device::new();
    for store in ["sqlite:synctable.db", "redb:a.redb", "sled:a.sled"] {
        let ran = device.run(&["doctor", "--store", store]).expect(1);
        has(&ran, "store", "problem", "there is none");
        has(&ran, "store", "problem", "makes one");
    }
    assert_eq!(fs::read_dir(device.folder()).unwrap().count(), 0);
    device.ok(&["doctor", "--store", "memory:"]);
}

#[test]
fn what_is_no_store_and_what_lies_beside_one_is_told() {
    let device = Device::new();
    fs::write(device.store(), "a letter").unwrap();
    fs::write(device.folder().join("synctable.db.new-123-0"), "").unwrap();
    let ran = device.run(&["doctor"]).expect(1);
    has(&ran, "format", "problem", "--store");
    has(&ran, "leftovers", "warning", "synctable.db.new-123-0");
    assert_eq!(fs::read(device.store()).unwrap(), b"a letter");
    let sealed = ["doctor", "--store", "encrypted+sqlite:synctable.db"];
    has(
        &device.run(&sealed).expect(1),
        "key",
        "problem",
        "--key-file",
    );
}

#[test]
fn a_store_that_another_process_has_open_is_told() {
    let device = Device::new();
    let store = ["--store", "redb:a.redb"];
    let server = {
        use std::io::{BufRead as _, BufReader};
        let mut process = command(device.folder())
            .args(["serve", "--json", "--any-table", "--listen", "127.0.0.1:0"])
            .args(store)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = process.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        crate::kit::Running(process)
    };
    let ran = device.run(&["doctor", "--store", "redb:a.redb"]).expect(1);
    has(&ran, "lock", "problem", "end the other program");
    drop(server);
    let ran = device.ok(&["doctor", "--store", "redb:a.redb"]);
    has(&ran, "format", "ok", "reads it");
}

#[test]
fn what_waits_is_told_with_what_to_do() {
    let server = Server::new(&["--table", "todo"]);
    let device = Device::of(&server);
    device.ok(&["insert", "todo", r#"{"id":"a"}"#]);
    device.ok(&["insert", "other", r#"{"id":"b"}"#]);
    device.run(&["push"]).expect(3);
    device.ok(&["insert", "todo", r#"{"id":"c"}"#]);
    device.ok(&["discard", "todo", "c"]);
    let ran = device.ok(&["doctor"]);
    has(&ran, "queue", "warning", "1 are aside");
    has(&ran, "server", "warning", "has no table other");
    has(&ran, "tables", "warning", "1 records of todo are only here");
    has(&ran, "tables", "warning", "synctable enqueue todo");
}

#[test]
fn a_server_that_is_not_there_or_speaks_otherwise_is_a_problem() {
    let device = Device::new();
    device.ok(&["insert", "todo", r#"{"id":"a"}"#]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = device.run(&["doctor", "--remote", &url]).expect(1);
    has(&ran, "server", "problem", "check the network");
    // It was asked about, not remembered.
    has(&device.ok(&["doctor"]), "server", "ok", "give --remote");

    let older = Scripted::new(Some(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 26\r\nconnection: close\r\ndate: Wed, 01 Jan 2020 00:00:00 GMT\r\n\r\n{\"results\":[],\"count\":  0}",
    ));
    let asked = ["doctor", "--remote", &older.url, "--dialect", "zumo2"];
    let ran = device.run(&asked);
    has(&ran, "clock", "warning", "ahead of the server's");
    let refusing = Scripted::new(Some(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ));
    let ran = device.run(&["doctor", "--remote", &refusing.url]).expect(1);
    has(&ran, "server", "problem", "--auth-env");
}

#[test]
fn tables_that_are_local_only_no_more_offer_their_records_and_the_other_way_round() {
    let server = Server::new(&["--any-table"]);
    let device = Device::of(&server);
    let declare = |local: bool| {
        let schema = json!({"tables": {"notes": {"localOnly": local}}}).to_string();
        fs::write(device.folder().join("s.json"), schema).unwrap();
        device.run(&["pending", "--schema", "s.json"])
    };
    assert_eq!(declare(true).err, "");
    device.ok(&["insert", "notes", r#"{"id":"a"}"#]);
    device.ok(&["insert", "notes", r#"{"id":"b"}"#]);
    device.run(&["enqueue", "notes"]).expect(2);
    let synced = declare(false);
    assert_eq!(synced.code, 0);
    assert!(
        synced.err.contains("2 records of it are only here"),
        "{synced:?}"
    );
    assert!(synced.err.contains("synctable enqueue notes"), "{synced:?}");
    // It is said once, and nothing is sent unasked.
    assert_eq!(declare(false).err, "");
    assert_eq!(device.ok(&["push"]).line()["pushed"], 0);
    assert_eq!(
        device.ok(&["enqueue", "notes"]).line(),
        json!({"enqueued": 2})
    );
    assert_eq!(
        device.ok(&["enqueue", "notes"]).line(),
        json!({"enqueued": 0})
    );
    assert_eq!(device.ok(&["pending"]).lines()[0]["kind"], "insert");
    let local = declare(true);
    assert!(
        local.err.contains("2 operations on it are still queued"),
        "{local:?}"
    );
    assert!(local.err.contains("synctable discard notes"), "{local:?}");
    has(
        &device.ok(&["doctor"]),
        "tables",
        "warning",
        "notes is local only",
    );
    assert_eq!(declare(false).code, 0);
    assert_eq!(device.ok(&["push"]).line()["pushed"], 2);
}
