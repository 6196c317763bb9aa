//! What `verify --remote` finds and `verify --heal` takes over.

use serde_json::{Value, json};

use super::kit::{Device, Ran, Server, command};

/// A device that was in sync with one server, and another server that has other rows: as a backup of the first would.
fn restored() -> (Device, Server) {
    let (before, after) = (Server::todos(), Server::todos());
    let device = Device::of(&before);
    for id in ["gone", "old", "mine"] {
        device.ok(&["insert", "todoitem", &format!(r#"{{"id":"{id}","n":1}}"#)]);
    }
    device.ok(&["push"]);
    device.ok(&["pull", "todoitem"]);
    let other = Device::of(&after);
    for id in ["old", "new", "mine"] {
        other.ok(&["insert", "todoitem", &format!(r#"{{"id":"{id}","n":2}}"#)]);
    }
    other.ok(&["push"]);
    device.ok(&["update", "todoitem", "mine", r#"{"n":3}"#]);
    (device, after)
}

fn found(ran: &Ran) -> Vec<(Value, String)> {
    let mut found: Vec<_> = ran
        .lines()
        .iter()
        .map(|line| {
            assert_eq!(line["table"], "todoitem", "{ran:?}");
            let problem = line["problem"].as_str().unwrap();
            (
                line["id"].clone(),
                problem.split(';').next().unwrap().into(),
            )
        })
        .collect();
    found.sort_by_key(|(id, _)| id.to_string());
    found
}

#[test]
fn differences_are_listed_and_nothing_is_changed() {
    let (device, server) = restored();
    let before = device.export("todoitem");
    for _ in 0..2 {
        let ran = device
            .run(&["verify", "--remote", &server.url(), "--same-server"])
            .expect(1);
        assert!(ran.err.contains("3 problems"), "{ran:?}");
        // The change that waits to be pushed is no finding.
        let expected = [
            (json!("gone"), "it is not at the server".to_owned()),
            (json!("new"), "it is missing here".to_owned()),
            (json!("old"), "it differs from the server's".to_owned()),
        ];
        assert_eq!(found(&ran), expected, "{ran:?}");
    }
    assert_eq!(device.export("todoitem"), before);
    let people = Ran::of(command(device.folder()).args(["verify", "--remote"])).expect(1);
    assert!(
        people
            .out
            .contains("todoitem gone: it is not at the server;"),
        "{people:?}"
    );
}

#[test]
fn differences_are_healed() {
    let (device, server) = restored();
    let verify = [
        "verify",
        "--remote",
        &server.url(),
        "--same-server",
        "--heal",
    ];
    assert_eq!(device.ok(&verify).line(), json!({"ok": true, "healed": 3}));
    let other = Device::of(&server);
    other.ok(&["pull", "todoitem"]);
    let mine = other.ok(&["get", "todoitem", "mine"]).line();
    assert_eq!(mine["n"], 2);
    assert_eq!(device.ok(&["get", "todoitem", "mine"]).line()["n"], 3);
    // The rest is equal.
    let rest = |device: &Device| {
        let lines = device.export("todoitem");
        let others = lines.lines().filter(|line| !line.contains("\"mine\""));
        others.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rest(&device), rest(&other));
    assert_eq!(rest(&device).len(), 2);
    // The server is remembered.
    assert_eq!(
        device.ok(&["verify", "--heal"]).line(),
        json!({"ok": true, "healed": 0})
    );
    let people = Ran::of(command(device.folder()).args(["verify", "--heal"])).expect(0);
    assert_eq!(people.out, "all is well\n");
}

#[test]
fn what_nothing_will_send_is_told_and_stays() {
    let server = Server::todos();
    let device = Device::of(&server);
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    device.ok(&["discard", &device.seq()]);
    for args in [&["verify", "--remote"][..], &["verify", "--heal"]] {
        let ran = device.run(args).expect(1);
        let expected = [(
            json!("a"),
            "it was never at the server and nothing will send it".into(),
        )];
        assert_eq!(found(&ran), expected, "{ran:?}");
    }
    assert_eq!(device.ok(&["get", "todoitem", "a"]).line()["id"], "a");
}

#[test]
fn a_table_that_the_server_lacks_is_told() {
    let server = Server::todos();
    let device = Device::of(&server);
    device.ok(&["insert", "attic", r#"{"id":"a"}"#]);
    // It was never pushed, so nothing is wrong.
    device.ok(&["verify", "--remote"]);
    device.ok(&["discard", &device.seq()]);
    let ran = device.run(&["verify", "--remote"]).expect(1);
    assert_eq!(
        ran.line(),
        json!({"table": "attic", "id": null, "problem": "the server has no such table"})
    );
}

#[test]
fn healing_needs_a_store_and_a_server() {
    let device = Device::new();
    device.run(&["verify", "--heal"]).expect(1);
    assert!(!device.store().exists());
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    let ran = device.run(&["verify", "--heal"]).expect(2);
    assert!(ran.err.contains("--remote"), "{ran:?}");
}

/// A device whose records have values that its schema does not know.
fn unknown_values() -> Device {
    let device = Device::new();
    for record in [
        r#"{"id":"a","title":"Alien","year":"1979"}"#,
        r#"{"id":"b","title":"Heat","year":1995,"rating":"X"}"#,
    ] {
        device.ok(&["insert", "films", record]);
    }
    let schema = r#"{"tables":{"films":{"fields":{"year":"integer","rating":{"enum":["G"]}}}}}"#;
    std::fs::write(device.folder().join("films.json"), schema).unwrap();
    device.ok(&["pending", "--schema", "films.json"]);
    device
}

#[test]
fn values_that_the_schema_does_not_know_are_no_damage() {
    let device = unknown_values();
    let ran = device.ok(&["verify"]);
    let note = |id: &str, member: &str, expected: &str| {
        let note = format!("the schema does not know this value, which is kept; {expected}");
        json!({"table": "films", "id": id, "member": member, "note": note})
    };
    let expected = [
        note("a", "year", "expected an integer from -2^63 to 2^63-1"),
        note("b", "rating", "expected one of G"),
        json!({"ok": true, "unknownValues": 2}),
    ];
    assert_eq!(ran.lines(), expected);
    let people = Ran::of(command(device.folder()).arg("verify")).expect(0);
    let last = people.out.lines().last();
    assert_eq!(last, Some("all is well; the schema does not know 2 values"));
    // The record can be edited, and what an edit sets is judged.
    device.ok(&["update", "films", "a", r#"{"title":"Aliens"}"#]);
    let ran = device
        .run(&["update", "films", "a", r#"{"year":"1980"}"#])
        .expect(2);
    assert!(ran.err.contains("'year': expected an integer"), "{ran:?}");
    let ran = device
        .run(&["update", "films", "b", r#"{"rating":"R"}"#])
        .expect(2);
    assert!(ran.err.contains("'rating': expected one of G"), "{ran:?}");
    device.ok(&["update", "films", "a", r#"{"year":1979}"#]);
    device.ok(&["update", "films", "b", r#"{"rating":"G"}"#]);
    assert_eq!(device.ok(&["verify"]).line(), json!({"ok": true}));
}
