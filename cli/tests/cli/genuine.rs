//! The verbs with the genuine Azure Mobile Apps server for node. Needs what `tests/interop/setup.sh` installs, else it says so and
//! is done.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::kit::{Device, Running, lines};

struct Genuine {
    url: String,
    _process: Running,
}

impl Genuine {
    fn start() -> Option<Self> {
        let interop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop");
        let folder = std::env::var_os("SYNCTABLE_PEERS").map_or(interop.clone(), Into::into);
        let packages = folder.join("node_modules");
        if !packages.join("azure-mobile-apps").is_dir() {
            eprintln!("skipped: the genuine server is not installed; run tests/interop/setup.sh");
            return None;
        }
        let mut process = Command::new("node")
            .arg(interop.join("js/server.js"))
            .arg(":memory:")
            .env("NODE_PATH", packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        Some(Self {
            url: format!("http://127.0.0.1:{}", port.trim()),
            _process: Running(process),
        })
    }

    /// A device that remembers the server and its dialect.
    fn device(&self) -> Device {
        let device = Device::new();
        device.ok(&["push", "--remote", &self.url, "--dialect", "zumo2"]);
        device
    }
}

#[test]
fn every_verb_works_with_the_genuine_server() {
    let Some(server) = Genuine::start() else {
        return;
    };
    let (one, two) = (server.device(), server.device());
    let rows = lines(
        120,
        |n| json!({"id": format!("i{n:03}"), "text": format!("row {n}"), "complete": n % 2 == 0}),
    );
    one.feed(&["import", "todoitem", "-"], &rows).expect(0);
    assert_eq!(one.ok(&["push", "--parallel", "4"]).line()["pushed"], 120);
    let pulled = two.ok(&["pull", "todoitem", "--page", "40"]).line();
    assert_eq!(pulled["added"], 120);
    one.ok(&["sync"]);
    assert_eq!(one.export("todoitem"), two.export("todoitem"));

    // Records, offline and then sent.
    one.ok(&["update", "todoitem", "i001", r#"{"text":"edited"}"#]);
    one.ok(&["replace", "todoitem", "i002", r#"{"text":"only this"}"#]);
    one.ok(&["delete", "todoitem", "i003"]);
    one.ok(&["insert", "todoitem", r#"{"id":"new","text":"new"}"#]);
    assert_eq!(one.ok(&["pending"]).lines().len(), 4);
    assert_eq!(
        one.ok(&["get", "todoitem", "i001"]).line()["text"],
        "edited"
    );
    one.ok(&["cancel", &seq_of(&one, "new")]);
    one.ok(&["insert", "todoitem", r#"{"id":"new","text":"kept"}"#]);
    let found = one.ok(&["query", "todoitem", "text eq 'edited'"]).lines();
    assert_eq!(found.len(), 1, "{found:?}");
    one.ok(&["sync"]);
    let found = two.run(&["verify", "--remote"]).expect(1);
    assert_eq!(found.lines().len(), 4, "{found:?}");
    two.ok(&["sync"]);
    assert_eq!(one.export("todoitem"), two.export("todoitem"));
    let replaced = two.ok(&["get", "todoitem", "i002"]).line();
    assert_eq!(
        (&replaced["text"], &replaced["complete"]),
        (&json!("only this"), &Value::Null)
    );
    assert_eq!(two.ok(&["verify", "--remote"]).line(), json!({"ok": true}));
    assert!(two.ok(&["pending"]).lines().is_empty());
    assert!(!two.ok(&["inspect"]).lines().is_empty());

    // Conflicts, settled in each way.
    for id in ["i010", "i011", "i012", "i013"] {
        two.ok(&["update", "todoitem", id, r#"{"text":"two"}"#]);
        one.ok(&["update", "todoitem", id, r#"{"text":"one"}"#]);
    }
    two.ok(&["push"]);
    one.run(&["push"]).expect(3);
    let told = one.ok(&["conflicts"]).lines();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0]["server"]["text"], "two");
    one.ok(&["resolve", &seq_of(&one, "i010"), "--client"]);
    one.ok(&["resolve", &seq_of(&one, "i011"), "--server"]);
    one.ok(&[
        "resolve",
        &seq_of(&one, "i012"),
        "--with",
        r#"{"text":"both"}"#,
    ]);
    one.ok(&["discard", &seq_of(&one, "i013")]);
    one.ok(&["sync"]);
    two.ok(&["sync"]);
    for (id, text) in [
        ("i010", "one"),
        ("i011", "two"),
        ("i012", "both"),
        ("i013", "two"),
    ] {
        for device in [&one, &two] {
            assert_eq!(
                device.ok(&["get", "todoitem", id]).line()["text"],
                text,
                "{id}"
            );
        }
    }

    // What the server refuses is kept until it is retried or taken back.
    let large = json!({"id": "large", "text": "x".repeat(150_000)}).to_string();
    one.feed(&["import", "todoitem", "-"], &large).expect(0);
    one.run(&["push"]).expect(3);
    one.ok(&["retry", &seq_of(&one, "large")]);
    one.run(&["push"]).expect(3);
    one.ok(&["cancel", &seq_of(&one, "large")]);

    // All gone, and all back.
    let before = one.export("todoitem");
    one.ok(&["purge", "todoitem"]);
    assert_eq!(one.export("todoitem"), "");
    one.ok(&["pull", "todoitem"]);
    assert_eq!(one.export("todoitem"), before);
}

/// The number of the operation on a record.
fn seq_of(device: &Device, id: &str) -> String {
    let pending = device.ok(&["pending"]).lines();
    let found = pending.iter().find(|operation| operation["id"] == id);
    found.unwrap_or_else(|| panic!("{id}: {pending:?}"))["seq"].to_string()
}
