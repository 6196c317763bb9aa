//! Stores of every kind by URL, encrypted ones with their keys.

use std::fs;

use serde_json::json;
use synctable::RedbStore;
use synctable::kv::{KvBackend, KvBatch, KvReadExt};
use synctable::store::Durability;

use crate::kit::{Device, command, key_file};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

fn device() -> Device {
    let device = Device::new();
    key_file(&device.folder().join("app.key"), KEY);
    key_file(&device.folder().join("other.key"), OTHER);
    device
}

#[test]
fn every_kind_of_store_keeps_records() {
    let device = device();
    for url in ["sqlite:a.db", "redb:a.redb", "sled:a.sled"] {
        device.ok(&["--store", url, "insert", "todo", r#"{"id":"a","n":1}"#]);
        let found = device.ok(&["--store", url, "get", "todo", "a"]).line();
        assert_eq!(found["n"], 1, "{url}");
    }
    for engine in ["sqlite", "redb", "sled"] {
        let url = format!("encrypted+{engine}:b.{engine}");
        let store = ["--store", &url, "--key-file", "app.key"];
        let run = |args: &[&str]| device.run(&[&store[..], args].concat());
        run(&[
            "insert",
            "todo",
            r#"{"id":"secret-id","note":"secret-note"}"#,
        ])
        .expect(0);
        let found = run(&["get", "todo", "secret-id"]).expect(0).line();
        assert_eq!(found["note"], "secret-note", "{url}");
        assert_eq!(run(&["verify"]).expect(0).line(), json!({"ok": true}));
        assert_eq!(run(&["inspect"]).expect(0).line()["store"], url.as_str());
        // A wrong key, none, and one for a store that has none.
        device
            .run(&["--store", &url, "--key-file", "other.key", "export", "todo"])
            .expect(1);
        device.run(&["--store", &url, "export", "todo"]).expect(2);
        device
            .run(&[
                "--store",
                &url,
                "--passphrase-env",
                "HOME",
                "export",
                "todo",
            ])
            .expect(1);
        device
            .run(&[
                "--store",
                "sqlite:a.db",
                "--key-file",
                "app.key",
                "export",
                "todo",
            ])
            .expect(2);
    }
    for entry in walk(device.folder()) {
        let bytes = fs::read(&entry).unwrap();
        let secret = bytes.windows(6).any(|window| window == b"secret");
        assert!(!secret, "{}", entry.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn keys_are_changed_and_rotated() {
    let device = device();
    let store = ["--store", "encrypted+redb:a.redb"];
    let run = |args: &[&str]| device.run(&[&store[..], args].concat());
    run(&["--key-file", "app.key", "insert", "todo", r#"{"id":"a"}"#]).expect(0);
    run(&[
        "--key-file",
        "app.key",
        "rekey",
        "--new-key-file",
        "other.key",
    ])
    .expect(0);
    run(&["--key-file", "app.key", "get", "todo", "a"]).expect(1);
    let rotated = run(&["--key-file", "other.key", "rotate-key"])
        .expect(0)
        .line();
    assert_eq!(rotated["ok"], true);
    run(&["--key-file", "other.key", "get", "todo", "a"]).expect(0);
    let mut phrase = command(device.folder());
    phrase
        .env("PHRASE", "velvet anchor plinth morose quill")
        .args(["--json"])
        .args(store);
    phrase.args([
        "--key-file",
        "other.key",
        "rekey",
        "--new-passphrase-env",
        "PHRASE",
    ]);
    crate::kit::Ran::of(&mut phrase).expect(0);
    let mut get = command(device.folder());
    get.env("PHRASE", "velvet anchor plinth morose quill")
        .args(["--json"])
        .args(store);
    get.args(["--passphrase-env", "PHRASE", "get", "todo", "a"]);
    assert_eq!(crate::kit::Ran::of(&mut get).expect(0).line()["id"], "a");
    device
        .run(&["--store", "sqlite:b.db", "rotate-key"])
        .expect(2);
    device
        .run(&[
            "--store",
            "sqlite:b.db",
            "rekey",
            "--new-key-file",
            "app.key",
        ])
        .expect(2);
}

#[test]
fn stores_are_copied_with_their_queue() {
    let device = device();
    for n in 0..3 {
        device.ok(&["insert", "todo", &json!({"id": n.to_string()}).to_string()]);
    }
    let to = "encrypted+redb:copy.redb";
    let copied = device
        .ok(&["copy", "--to", to, "--to-key-file", "app.key"])
        .line();
    assert_eq!(copied, json!({"records": 3, "operations": 3}));
    let copy = ["--store", to, "--key-file", "app.key"];
    let run = |args: &[&str]| device.run(&[&copy[..], args].concat()).expect(0);
    assert_eq!(run(&["export", "todo"]).out, device.export("todo"));
    assert_eq!(run(&["pending"]).out, device.ok(&["pending"]).out);
    device
        .run(&["copy", "--to", to, "--to-key-file", "app.key"])
        .expect(1);
    device
        .run(&["copy", "--to", "sqlite:synctable.db"])
        .expect(2);
    device
        .run(&["copy", "--store", "sqlite:missing.db", "--to", "redb:x"])
        .expect(1);
    let back = ["copy", "--to", "sqlite:back.db"];
    run(&back);
    assert_eq!(
        device
            .ok(&["--store", "sqlite:back.db", "export", "todo"])
            .out,
        device.export("todo")
    );
}

#[test]
fn an_encrypted_store_that_was_changed_is_told() {
    let device = device();
    let store = ["--store", "encrypted+redb:a.redb", "--key-file", "app.key"];
    let run = |verb: &[&str]| device.run(&[&store[..], verb].concat());
    for n in 0..3 {
        let row = json!({"id": n.to_string()}).to_string();
        run(&["insert", "todo", &row]).expect(0);
    }
    let path = device.folder().join("a.redb");
    let whole = fs::read(&path).unwrap();
    let engine = || RedbStore::builder(&path).backend().unwrap();
    let change = |change: &dyn Fn(&mut KvBatch)| {
        let mut batch = KvBatch::new(Durability::Immediate);
        change(&mut batch);
        batch.write_to(&engine()).unwrap();
    };
    // An entry is gone, whichever it is: nothing that is read shows most of them.
    let entries = engine().snapshot().unwrap().scan(&[1]..&[2], 100).unwrap();
    let mut unopened = 0;
    for (key, _) in entries {
        fs::write(&path, &whole).unwrap();
        change(&|batch| batch.delete(key.clone()));
        let found = run(&["verify"]).expect(1);
        if found.err.contains("names its format is gone") {
            unopened += 1;
        } else {
            let problem = found.line()["problem"].to_string();
            assert!(problem.contains("entries instead of"), "{found:?}");
        }
    }
    assert_eq!(unopened, 1, "one entry names the format");
    // The manifest does not open.
    fs::write(&path, &whole).unwrap();
    run(&["verify"]).expect(0);
    change(&|batch| batch.put(vec![0, 1], vec![1; 100]));
    for verb in [&["verify"][..], &["export", "todo"]] {
        assert_eq!(run(verb).expect(1).out, "");
    }
}

#[test]
fn a_server_keeps_its_records_encrypted() {
    let key = std::env::temp_dir().join(format!("synctable-{}.key", std::process::id()));
    key_file(&key, KEY);
    let options = ["--store", "encrypted+redb:s.redb", "--key-file"];
    let table = ["--table", "todo:soft-delete"];
    let args = [&options[..], &[key.to_str().unwrap()], &table].concat();
    let server = crate::kit::Server::new(&args);
    let (a, b) = (
        crate::kit::Device::of(&server),
        crate::kit::Device::of(&server),
    );
    a.ok(&["insert", "todo", r#"{"id":"a","note":"secret"}"#]);
    a.ok(&["push"]);
    b.ok(&["pull", "todo"]);
    assert_eq!(b.ok(&["get", "todo", "a"]).line()["note"], "secret");
    fs::remove_file(key).unwrap();
}

#[test]
fn stores_say_what_they_are_and_how_they_find() {
    let device = device();
    let schema = r#"{"tables":{"todo":{"fields":{"n":"integer"},"indexes":[["n"]]}}}"#;
    fs::write(device.folder().join("s.json"), schema).unwrap();
    for (url, kind, encrypted, plan) in [
        (
            "sqlite:a.db",
            "sqlite",
            false,
            "index (n), 1 field by equality",
        ),
        (
            "redb:a.redb",
            "redb",
            false,
            "index (n), 1 field by equality",
        ),
        ("encrypted+redb:b.redb", "redb", true, "whole table"),
    ] {
        let key = if encrypted {
            &["--key-file", "app.key"][..]
        } else {
            &[]
        };
        let store = [&["--store", url][..], key].concat();
        let run = |verb: &[&str]| device.run(&[&store[..], verb].concat()).expect(0);
        run(&[
            "--schema",
            "s.json",
            "insert",
            "todo",
            r#"{"id":"a","n":1}"#,
        ]);
        let found = run(&["query", "todo", "n eq 1", "--explain"]).line();
        let found = found["plan"].as_str().unwrap();
        assert!(found.starts_with(plan), "{url}: {found}");
        assert_eq!(run(&["inspect"]).line()["store"], url);
        let told = command(device.folder())
            .args(&store)
            .arg("inspect")
            .output();
        let told = String::from_utf8(told.unwrap().stdout).unwrap();
        let expected = format!("{url}: a store of the kind {kind}");
        assert!(told.starts_with(&expected), "{told}");
        assert_eq!(told.contains(", encrypted"), encrypted, "{told}");
    }
    device.run(&["query", "nothing", "--explain"]).expect(1);
}
