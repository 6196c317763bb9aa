//! Two devices and a server, three processes.

use serde_json::{Value, json};

use crate::kit::{Device, Server, counts, lines};

fn films(count: usize) -> String {
    lines(
        count,
        |n| json!({"id": format!("i{n:04}"), "title": format!("Film {n}"), "year": 1900 + n % 100}),
    )
}

#[test]
fn what_one_device_imports_the_other_one_pulls() {
    let server = Server::new(&["--any-table"]);
    let (one, two) = (Device::new(), Device::new());
    one.feed(&["import", "movies", "-"], &films(250)).expect(0);
    let pushed = one.ok(&["push", "--remote", &server.url()]).counts();
    assert_eq!(
        pushed,
        json!({"pushed": 250, "conflicts": 0, "rejected": 0, "aside": 0, "pending": 0})
    );
    // The store remembers the server from here on.
    let pulled = one.ok(&["pull", "movies"]).counts();
    assert_eq!(
        pulled,
        json!({"fetched": 250, "added": 0, "updated": 0, "deleted": 0, "left": 0, "unchanged": 250, "kept": 0, "invalid": 0, "requests": pulled["requests"], "pushed": 0})
    );
    // A store in memory is a new one each time: there is nothing to inspect.
    two.run(&["inspect", "--remote", &server.url(), "--store", "memory:"])
        .expect(1);
    let pulled = two
        .ok(&["--remote", &server.url(), "pull", "movies", "--page", "40"])
        .line();
    assert_eq!(
        (&pulled["added"], pulled["requests"].as_u64() >= Some(7)),
        (&json!(250), true),
        "{pulled}"
    );
    let export = one.export("movies");
    assert_eq!(export.lines().count(), 250);
    assert!(export.contains("\"version\":\""), "{export}");
    assert_eq!(two.export("movies"), export);
    for device in [&one, &two] {
        assert_eq!(
            device.ok(&["verify", "--remote"]).line(),
            json!({"ok": true})
        );
    }
}

#[test]
fn later_pulls_bring_what_changed_and_what_was_deleted() {
    let server = Server::todos();
    let (one, two) = (Device::of(&server), Device::of(&server));
    one.feed(&["import", "todoitem", "-"], &films(20)).expect(0);
    one.ok(&["push", "--parallel", "4"]);
    two.ok(&["pull", "todoitem"]);
    one.ok(&["update", "todoitem", "i0001", r#"{"year":2000}"#]);
    one.ok(&["delete", "todoitem", "i0002"]);
    one.ok(&["insert", "todoitem", r#"{"id":"new"}"#]);
    two.ok(&["update", "todoitem", "i0003", r#"{"year":2000}"#]);
    one.ok(&["push"]);
    let found = two.run(&["verify", "--remote"]).expect(1);
    let mut ids: Vec<Value> = found
        .lines()
        .iter()
        .map(|line| line["id"].clone())
        .collect();
    ids.sort_by_key(Value::to_string);
    // The device's own change is no finding: it waits to be pushed.
    assert_eq!(
        ids,
        [json!("i0001"), json!("i0002"), json!("new")],
        "{found:?}"
    );
    let pulled = two.ok(&["pull", "todoitem"]).line();
    let counts = ["fetched", "added", "updated", "deleted", "kept", "pushed"]
        .map(|name| pulled[name].as_u64().unwrap());
    // The row that its own push changed is fetched as well.
    assert_eq!(counts[1..], [1, 1, 1, 0, 1], "{pulled}");
    assert!((3..=4).contains(&counts[0]), "{pulled}");
    one.ok(&["pull", "todoitem"]);
    assert_eq!(one.export("todoitem"), two.export("todoitem"));
    let inspected = two.ok(&["inspect"]).line();
    assert_eq!(
        inspected["tables"],
        json!([{"name": "todoitem", "records": 20, "pending": 0, "conflicts": 0}])
    );
    assert_eq!(
        (
            &inspected["tokens"][0]["table"],
            &inspected["tokens"][0]["query"]
        ),
        (&json!("todoitem"), &json!("default"))
    );
}

#[test]
fn a_filter_brings_its_records_and_has_a_name_of_its_own() {
    let server = Server::todos();
    let (one, two) = (Device::of(&server), Device::of(&server));
    one.feed(&["import", "todoitem", "-"], &films(200))
        .expect(0);
    one.ok(&["push"]);
    let added = |args: &[&str]| two.ok(args).line()["added"].as_u64().unwrap();
    assert_eq!(added(&["pull", "todoitem", "--filter", "year eq 1950"]), 2);
    assert_eq!(added(&["pull", "todoitem", "--filter", "year eq 1951"]), 2);
    assert_eq!(
        added(&[
            "pull",
            "todoitem",
            "--name",
            "late",
            "--filter",
            "year ge 1998"
        ]),
        4
    );
    let later = [
        "pull",
        "todoitem",
        "--name",
        "late",
        "--filter",
        "year ge 1999",
    ];
    let line = two.ok(&later).line();
    assert_eq!((&line["left"], &line["fetched"]), (&json!(2), &json!(2)));
    assert_eq!(added(&["pull", "todoitem"]), 194);
    two.ok(&["purge", "todoitem"]);
    assert_eq!(
        added(&["pull", "todoitem", "--full", "--filter", "year eq 1950"]),
        2
    );
}

#[test]
fn sync_pushes_and_pulls_every_table() {
    let server = Server::new(&["--table", "movies", "--table", "todoitem"]);
    let (one, two) = (Device::of(&server), Device::of(&server));
    one.ok(&["insert", "movies", r#"{"id":"m"}"#]);
    one.ok(&["insert", "todoitem", r#"{"id":"t"}"#]);
    let lines = one.ok(&["sync"]).lines();
    assert_eq!(
        counts(lines[0].clone()),
        json!({"pushed": 2, "conflicts": 0, "rejected": 0, "aside": 0, "pending": 0})
    );
    let tables: Vec<_> = lines[1..]
        .iter()
        .map(|line| (&line["table"], &line["fetched"]))
        .collect();
    assert_eq!(
        tables,
        [
            (&json!("movies"), &json!(1)),
            (&json!("todoitem"), &json!(1))
        ]
    );
    // A table that the server does not know does not keep the others from being pulled.
    two.ok(&["pull", "movies"]);
    two.ok(&["purge", "attic"]);
    two.ok(&["pull", "todoitem"]);
    one.ok(&["insert", "todoitem", r#"{"id":"u"}"#]);
    one.ok(&["push"]);
    let ran = two.run(&["sync"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("attic"), "{ran:?}");
    assert_eq!(ran.lines().last().unwrap()["added"], 1, "{ran:?}");
}

#[test]
fn what_the_server_refuses_is_listed_and_can_be_mended() {
    let schema = r#"{"tables":{"movies":{"fields":{"year":"integer"}}}}"#;
    let server = Server::with_schema(&[], schema);
    let device = Device::of(&server);
    device.ok(&["insert", "movies", r#"{"id":"a","year":"old"}"#]);
    device.ok(&["insert", "movies", r#"{"id":"b","year":1}"#]);
    let pushed = device.run(&["push"]).expect(3).counts();
    assert_eq!(
        pushed,
        json!({"pushed": 1, "conflicts": 0, "rejected": 1, "aside": 0, "pending": 1})
    );
    let pending = device.ok(&["pending"]).line();
    assert_eq!(
        (&pending["state"], &pending["status"]),
        (&json!("rejected"), &json!(400))
    );
    assert!(!pending["message"].as_str().unwrap().is_empty());
    assert_eq!(device.ok(&["conflicts"]).out, "");
    device.ok(&["retry", &device.seq()]);
    device.run(&["push"]).expect(3);
    device.ok(&["update", "movies", "a", r#"{"year":1999}"#]);
    assert_eq!(device.ok(&["push"]).line()["pushed"], 1);
    assert_eq!(device.ok(&["pending"]).out, "");
}

#[cfg(unix)]
#[test]
fn a_server_stops_cleanly_and_keeps_its_records() {
    let server = Server::todos();
    let device = Device::of(&server);
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    device.ok(&["push"]);
    let (code, folder) = server.stop();
    assert_eq!(code, 0);
    let store = folder.path().join("synctable.db");
    assert!(!folder.path().join("synctable.db-wal").exists());
    let store = format!("sqlite:{}", store.display());
    assert_eq!(
        device.ok(&["export", "todoitem", "--store", &store]).line()["id"],
        "a"
    );
    // Local changes would go past the server.
    device
        .run(&["insert", "todoitem", "{}", "--store", &store])
        .expect(1);
    device.run(&["push", "--timeout", "5"]).expect(0);
    device.ok(&["insert", "todoitem", r#"{"id":"b"}"#]);
    device.run(&["push"]).expect(4);
    assert_eq!(device.ok(&["pending"]).lines().len(), 1);
}
