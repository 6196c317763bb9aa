//! Bad usage, bad input, bad stores: one line, the right exit code, nothing made or changed.

use std::ffi::OsStr;
use std::fs;

use serde_json::json;

use crate::kit::{Device, Ran, Server, command, lines};

/// Command lines that end with exit code 2 before any store is made.
const BAD: &[&[&str]] = &[
    &[],
    &["frobnicate"],
    &["--frobnicate", "pending"],
    &["insert", "todo"],
    &["insert", "todo", "{}", "extra"],
    &["insert", "todo", ""],
    &["insert", "todo", "milk"],
    &["insert", "todo", "[]"],
    &["insert", "todo", "null"],
    &["insert", "todo", r#"{"a":1e999}"#],
    &["insert", "todo", r#"{"id":1}"#],
    &["insert", "todo", r#"{"id":"a/b"}"#],
    &["insert", "todo", r#"{"version":1}"#],
    &["insert", "todo", r#"{"updatedAt":"yesterday"}"#],
    &["insert", "todo", r#"{"deleted":"no"}"#],
    &["insert", "Todo", "{}"],
    &["insert", "__operations", "{}"],
    &["insert", "", "{}"],
    &["insert", "a\u{1b}[31m\nb", "{}"],
    &["get", "todo", ""],
    &["get", "todo", ".."],
    &["get", "todo", "a?b"],
    &["get", "todo", "a\nb"],
    &["update", "todo", "a", "{"],
    &["update", "todo", "a", r#"{"deleted":"no"}"#],
    &["update", "todo", "a", r#"{"id":"b","n":1}"#],
    &["replace", "todo", "a", r#"{"id":"b"}"#],
    &["replace", "todo", "a", "7"],
    &["query", "todo", "$filter=complete eq"],
    &["query", "todo", "$filter=complete eq 'a"],
    &["query", "todo", "$filter=x eq 1&$filter=y eq 1"],
    &["query", "todo", "$frob=1"],
    &["query", "todo", "$top=-1"],
    &["query", "todo", "$top=many"],
    &["query", "todo", "$select=a b"],
    &["query", "todo", "$filter=a eq 1&top=5"],
    &["query", "todo", "$filter=%zz"],
    &["query", "todo", "complete eq"],
    &["query", "todo", "top=5"],
    &["purge", "todo", "--filter", "complete eq"],
    &["pull", "todo", "--filter", "frob(a) eq 1"],
    &["pull", "todo", "--name", "a|b"],
    &["pull", "todo", "--name", "a", "--full"],
    &["pull", "todo", "--page", "0"],
    &["push", "--parallel", "0"],
    &["push", "--remote"],
    &["push", "--remote", "nonsense"],
    &["push", "--remote", "ftp://example.org"],
    &["push", "--timeout", "0"],
    &["push", "--timeout", "soon"],
    &["push", "--header", "nocolon"],
    &[
        "push",
        "--remote",
        "http://127.0.0.1:1",
        "--header",
        "b@d: x",
    ],
    &[
        "push",
        "--remote",
        "http://127.0.0.1:1",
        "--auth-env",
        "SYNCTABLE_TEST_NOT_SET",
    ],
    &["push", "--dialect", "soap"],
    &["push", "--dialect", "zumo4"],
    &["push", "--dialect", "ZUMO2"],
    &["cancel", "x"],
    &["cancel", "-1"],
    &["cancel", "todo"],
    &["retry", "Todo", "a"],
    &["resolve", "todo", "a/b", "--server"],
    &["resolve", "1"],
    &["resolve", "1", "--server", "--client"],
    &["resolve", "1", "--with"],
    &["resolve", "1", "--with", "x"],
    &["import", "todo", "missing.jsonl"],
    &["import", "todo", "."],
    &["pending", "--schema", "missing.json"],
    &["pending", "--schema", "bad.json"],
    &["pending", "--store", "app.db"],
    &["pending", "--store", "sqlite:"],
    &["pending", "--store", "memory:x"],
    &["pending", "--store", "encrypted+sqlite:x"],
    &["pending", "--key-file", "key"],
    &["pending", "--passphrase-env", "HOME"],
    &["pending", "--key-file", "key", "--passphrase-env", "HOME"],
    &["copy"],
    &["copy", "--to", "nowhere"],
    &["copy", "--to", "encrypted+redb:x"],
    &["copy", "--to", "redb:x", "--to-key-file", "missing.key"],
    &["copy", "--to", "redb:x", "--to-key-file", "bad.json"],
    &["copy", "--to", "sqlite:synctable.db"],
    &[
        "copy",
        "--to",
        "encrypted+redb:x",
        "--to-key-file",
        "bad.json",
    ],
    &[
        "copy",
        "--to",
        "encrypted+redb:x",
        "--to-passphrase-env",
        "NOT_SET",
    ],
    &[
        "pending",
        "--store",
        "encrypted+sqlite:x",
        "--key-file",
        "bad.json",
    ],
    &["pending", "--store", "encrypted+memory:"],
    &[
        "serve",
        "--any-table",
        "--listen",
        "127.0.0.1:0",
        "--store",
        "encrypted+redb:x",
    ],
    &["rotate-key", "--store", "encrypted+redb:x"],
    &["rekey", "--store", "encrypted+redb:x"],
    &[
        "rekey",
        "--new-key-file",
        "bad.json",
        "--new-passphrase-env",
        "HOME",
    ],
    &["query", "todo", "--explain", "complete eq"],
    &["rekey", "--new-passphrase-env", "NOT_SET"],
    &["rekey", "--new-key-file", "key"],
    &["rotate-key"],
    &["serve", "--listen", "127.0.0.1:0"],
    &["serve", "--listen", "nowhere", "--any-table"],
    &["serve", "--listen", "127.0.0.1:99999", "--any-table"],
    &["serve", "--table", "Todo"],
    &["serve", "--table", "todo:hard-delete"],
    &["demo", "--records", "0"],
];

#[test]
fn bad_usage_and_bad_input_are_one_line_and_touch_nothing() {
    let device = Device::new();
    fs::write(
        device.folder().join("bad.json"),
        r#"{"tables":{"t":{"fields":{"a":"colour"}}}}"#,
    )
    .unwrap();
    for args in BAD {
        let ran = Ran::of(command(device.folder()).args(*args)).expect(2);
        assert_eq!(ran.out, "", "{args:?}");
        assert!(ran.err.starts_with("error: "), "{args:?}: {ran:?}");
    }
    let left: Vec<_> = fs::read_dir(device.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["bad.json"]);
}

#[test]
fn a_value_of_the_wrong_type_and_a_record_that_is_too_large_leave_the_store_as_it_was() {
    let device = Device::new();
    fs::write(
        device.folder().join("s.json"),
        r#"{"tables":{"t":{"fields":{"n":"integer"}}}}"#,
    )
    .unwrap();
    device.ok(&["insert", "t", r#"{"id":"a","n":1}"#, "--schema", "s.json"]);
    let before = (device.export("t"), device.ok(&["pending"]).out);
    device
        .run(&["insert", "t", r#"{"id":"b","n":"one"}"#])
        .expect(2);
    device.run(&["update", "t", "a", r#"{"n":1.5}"#]).expect(2);
    let large = format!("{{\"id\":\"c\",\"text\":\"{}\"}}\n", "x".repeat(2 << 20));
    device.feed(&["import", "t", "-"], &large).expect(2);
    // A field cannot change its type.
    fs::write(
        device.folder().join("s.json"),
        r#"{"tables":{"t":{"fields":{"n":"string"}}}}"#,
    )
    .unwrap();
    device.run(&["pending", "--schema", "s.json"]).expect(2);
    assert_eq!((device.export("t"), device.ok(&["pending"]).out), before);
}

#[test]
fn what_is_no_store_is_refused_and_stays_as_it_is() {
    let device = Device::new();
    let path = device.store();
    for content in [&b""[..], b"a letter", &[0x53; 5000]] {
        fs::write(&path, content).unwrap();
        device.run(&["insert", "todo", "{}"]).expect(1);
        device.run(&["query", "todo"]).expect(1);
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    device.run(&["insert", "todo", "{}"]).expect(1);
    device
        .run(&[
            "insert",
            "todo",
            "{}",
            "--store",
            "sqlite:no/such/folder.db",
        ])
        .expect(1);
}

#[test]
fn a_store_that_was_cut_is_refused() {
    let device = Device::new();
    let lines = lines(500, |n| json!({"id": format!("{n}"), "text": "cut"}));
    device.feed(&["import", "todo", "-"], &lines).expect(0);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(device.store())
        .unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    device.run(&["query", "todo"]).expect(1);
}

#[test]
fn the_stores_of_servers_and_devices_are_told_apart() {
    let device = Device::new();
    let serve = ["serve", "--table", "todo", "--listen", "127.0.0.1:0"];
    device.ok(&["insert", "todo", r#"{"id":"a"}"#]);
    let cancelled = device.seq();
    let is_refused = || {
        let refused = device.run(&serve).expect(1);
        assert!(refused.err.contains("that of a device"), "{refused:?}");
    };
    is_refused();
    // A device whose queue is empty is one, too, and so is one that has no record.
    device.ok(&["discard", &cancelled]);
    is_refused();
    device.ok(&["purge", "todo"]);
    is_refused();
}

#[test]
fn a_server_without_a_record_has_its_store_to_itself() {
    let server = Server::new(&["--table", "todo", "--store", "sqlite:s.db"]);
    let store = format!("sqlite:{}", server.folder().join("s.db").display());
    let device = Device::new();
    let run = |verb: &[&str]| device.run(&[&["--store", &store], verb].concat());
    let refused = |verb: &[&str]| {
        let refused = run(verb).expect(1);
        assert!(refused.err.contains("that of a server"), "{refused:?}");
    };
    refused(&["insert", "todo", "{}"]);
    // A look at it makes no device of it.
    run(&["inspect"]).expect(0);
    refused(&["insert", "todo", "{}"]);
    // It is a server's for others, and goes on as one.
    let other = Device::of(&server);
    other.ok(&["insert", "todo", r#"{"id":"a"}"#]);
    assert_eq!(other.ok(&["push"]).line()["pushed"], 1);
    refused(&["insert", "todo", "{}"]);
    assert_eq!(run(&["query", "todo"]).expect(0).lines().len(), 1);
}

#[cfg(unix)]
#[test]
fn arguments_that_are_no_text_are_bad_usage() {
    use std::os::unix::ffi::OsStrExt as _;
    let device = Device::new();
    let odd = OsStr::from_bytes(b"a\xff");
    device
        .run(&[OsStr::new("get"), OsStr::new("todo"), odd])
        .expect(2);
}

#[test]
fn a_filter_by_the_present_says_what_to_write() {
    let device = Device::new();
    let pull = [
        "pull",
        "todo",
        "--name",
        "due",
        "--filter",
        "due lt now()",
        "--remote",
        "http://127.0.0.1:1",
    ];
    let ran = device.run(&pull).expect(2);
    assert!(ran.err.contains("write the time as a constant"), "{ran:?}");
}

/// A file without an end is given up at its bound, whichever option names it.
#[cfg(unix)]
#[test]
fn files_that_never_end_are_refused() {
    let device = Device::new();
    fs::write(device.folder().join("key.pem"), "").unwrap();
    let zero = "/dev/zero";
    for options in [
        &["--store", "encrypted+sqlite:e.db", "--key-file", zero][..],
        &["--schema", zero],
        &["--remote", "https://127.0.0.1:1", "--ca-file", zero],
    ] {
        let refused = device.run(&[options, &["sync"]].concat()).expect(2);
        assert!(refused.err.contains("is larger than"), "{refused:?}");
    }
    let serve = [
        "serve",
        "--any-table",
        "--tls-cert",
        zero,
        "--tls-key",
        "key.pem",
    ];
    let refused = device.run(&serve).expect(2);
    assert!(refused.err.contains("is larger than 16 MiB"), "{refused:?}");
    assert_eq!(fs::read_dir(device.folder()).unwrap().count(), 1);
}

#[test]
fn messages_name_what_is_wanted() {
    let device = Device::new();
    let at_least = ["--store", "encrypted+redb:a", "--at-least", "x", "pending"];
    let refused = device.run(&at_least).expect(2);
    assert!(
        refused.err.contains("synctable inspect says"),
        "{refused:?}"
    );
    let refused = device.run(&["query", "todo", "cast(n,Edm.Int32) eq 1"]);
    assert!(refused.expect(2).err.contains("Edm.String"));
}
