//! Processes that are killed: what was acknowledged is there, and nothing is there by half.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::kit::{Device, Running, Server, command, lines};

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
    assert_eq!(device.ok(&["pending"]).line()["state"], "attempted");
}
