//! Verbs on one device.

use serde_json::{Value, json};

use crate::kit::{Device, Ran, command, lines};

#[test]
fn a_record_is_inserted_changed_read_and_deleted() {
    let device = Device::new();
    let milk = device.ok(&["insert", "todo", r#"{"id":"a","text":"Milk","price":1.50}"#]);
    assert_eq!(
        milk.out,
        "{\"id\":\"a\",\"deleted\":false,\"text\":\"Milk\",\"price\":1.50}\n"
    );
    let updated = device.ok(&[
        "update",
        "todo",
        "a",
        r#"{"text":"Oat milk","big":123456789012345678901}"#,
    ]);
    assert_eq!(
        updated.out,
        "{\"id\":\"a\",\"deleted\":false,\"text\":\"Oat milk\",\"price\":1.50,\"big\":123456789012345678901}\n"
    );
    assert_eq!(device.ok(&["get", "todo", "a"]).out, updated.out);
    let replaced = device
        .ok(&["replace", "todo", "a", r#"{"text":"Bread"}"#])
        .line();
    assert_eq!(
        replaced,
        json!({"id": "a", "deleted": false, "text": "Bread"})
    );
    assert_eq!(
        device.ok(&["delete", "todo", "a"]).line(),
        json!({"deleted": "a"})
    );
    for args in [
        &["get", "todo", "a"][..],
        &["delete", "todo", "a"],
        &["update", "todo", "a", "{}"],
        &["replace", "todo", "a", "{}"],
        &["get", "nowhere", "a"],
    ] {
        let failed = device.run(args).expect(1);
        assert_eq!(failed.out, "", "{args:?}");
        assert!(failed.err.contains("no record with id 'a'"), "{failed:?}");
    }
}

#[test]
fn an_id_is_made_where_it_is_missing_and_never_used_twice() {
    let device = Device::new();
    let first = device.ok(&["insert", "todo", r#"{"id":null}"#]).line();
    let second = device.ok(&["insert", "todo", "{}"]).line();
    assert_ne!(first["id"], second["id"]);
    let id = first["id"].as_str().unwrap();
    let again = device
        .run(&["insert", "todo", &json!({"id": id}).to_string()])
        .expect(1);
    assert!(again.err.contains("already has a record"), "{again:?}");
}

#[test]
fn system_properties_that_are_well_typed_are_ignored() {
    let device = Device::new();
    let given =
        r#"{"id":"a","version":"v9","updatedAt":"2024-01-01T00:00:00Z","deleted":true,"n":1}"#;
    let stored = device.ok(&["insert", "todo", given]).line();
    assert_eq!(stored, json!({"id": "a", "deleted": false, "n": 1}));
    let stored = device
        .ok(&["update", "todo", "a", r#"{"id":"a","version":"v9","n":2}"#])
        .line();
    assert_eq!(stored, json!({"id": "a", "deleted": false, "n": 2}));
    let stored = device
        .ok(&["replace", "todo", "a", r#"{"deleted":true,"n":3}"#])
        .line();
    assert_eq!(stored, json!({"id": "a", "deleted": false, "n": 3}));
}

#[test]
fn global_options_go_before_and_behind_the_verb() {
    let device = Device::new();
    let folder = device.folder();
    let insert = ["insert", "todo", r#"{"id":"a"}"#];
    let before = Ran::of(
        command(folder)
            .args(["--store", "sqlite:x.db", "--json"])
            .args(insert),
    );
    assert_eq!(before.expect(0).line()["id"], "a");
    let behind =
        Ran::of(command(folder).args(["get", "todo", "a", "--json", "--store", "sqlite:x.db"]));
    assert_eq!(behind.expect(0).line()["id"], "a");
    assert!(folder.join("x.db").exists() && !device.store().exists());
}

#[test]
fn a_query_filters_orders_cuts_selects_and_counts() {
    let device = Device::new();
    let lines = lines(
        1200,
        |n| json!({"id": format!("{n:04}"), "n": n, "even": n % 2 == 0}),
    );
    device.feed(&["import", "numbers", "-"], &lines).expect(0);
    let numbers = |query: &str| -> Vec<i64> {
        let lines = device.ok(&["query", "numbers", query]).lines();
        lines
            .iter()
            .map(|line| line["n"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(
        numbers("$filter=even eq true&$orderby=n desc&$top=3"),
        [1198, 1196, 1194]
    );
    assert_eq!(numbers("?%24filter=n%20lt%202"), [0, 1]);
    assert_eq!(numbers("n ge 1198"), [1198, 1199]);
    assert_eq!(numbers("$skip=1198"), [1198, 1199]);
    assert_eq!(numbers("$top=700").len(), 700);
    assert_eq!(numbers(""), (0..1200).collect::<Vec<_>>());
    assert_eq!(device.ok(&["query", "numbers"]).lines().len(), 1200);
    let counted = device.ok(&[
        "query",
        "numbers",
        "$filter=n lt 10&$count=true&$top=1&$select=n,id,none",
    ]);
    assert_eq!(
        counted.out,
        "{\"count\":10}\n{\"n\":0,\"id\":\"0000\",\"none\":null}\n"
    );
    // Told, as it may be a slip of the hand.
    let unknown = device.run(&["query", "unknown", "$count=true"]);
    assert_eq!((unknown.code, unknown.err.lines().count()), (0, 1));
    assert_eq!(unknown.lines(), [json!({"count": 0})]);
}

#[test]
fn the_queue_is_listed_and_an_operation_can_be_cancelled_or_discarded() {
    let device = Device::new();
    device.ok(&["insert", "todo", r#"{"id":"a"}"#]);
    device.ok(&["insert", "list", r#"{"id":"b"}"#]);
    let pending = device.ok(&["pending"]).lines();
    assert_eq!(
        pending,
        [
            json!({"seq": 1, "table": "todo", "id": "a", "kind": "insert", "state": "pending", "attempts": 0}),
            json!({"seq": 2, "table": "list", "id": "b", "kind": "insert", "state": "pending", "attempts": 0}),
        ]
    );
    assert_eq!(device.ok(&["conflicts"]).out, "");
    assert_eq!(device.ok(&["cancel", "1"]).line(), Value::Null);
    device.run(&["get", "todo", "a"]).expect(1);
    assert_eq!(device.ok(&["discard", "2"]).line()["id"], "b");
    assert_eq!(device.ok(&["pending"]).out, "");
    for args in [["cancel", "1"], ["discard", "7"], ["retry", "7"]] {
        device.run(&args).expect(1);
    }
    device.run(&["resolve", "1", "--server"]).expect(1);
}

#[test]
fn a_purge_is_refused_while_changes_are_pending() {
    let device = Device::new();
    device.ok(&["insert", "todo", r#"{"id":"a","n":1}"#]);
    device.ok(&["insert", "todo", r#"{"id":"b","n":2}"#]);
    let before = (device.export("todo"), device.ok(&["pending"]).out);
    let refused = device.run(&["purge", "todo"]).expect(1);
    assert_eq!(refused.out, "");
    assert_eq!((device.export("todo"), device.ok(&["pending"]).out), before);
    let part = device.ok(&["purge", "todo", "--filter", "n eq 1", "--discard-pending"]);
    assert_eq!(part.line(), json!({"purged": 1, "discarded": 1}));
    let all = device.ok(&["purge", "--discard-pending", "todo"]).line();
    assert_eq!(all, json!({"purged": 1, "discarded": 1}));
    assert_eq!(
        device.ok(&["purge", "todo"]).line(),
        json!({"purged": 0, "discarded": 0})
    );
}

#[test]
fn the_inspector_counts_and_verifies() {
    let device = Device::new();
    for verb in ["inspect", "verify"] {
        device.run(&[verb]).expect(1);
        assert!(!device.store().exists());
    }
    device.ok(&["insert", "todo", r#"{"id":"a"}"#]);
    let inspected = device.ok(&["inspect"]).line();
    assert_eq!(
        inspected,
        json!({
            "store": "sqlite:synctable.db",
            "tables": [{"name": "todo", "records": 1, "pending": 1, "conflicts": 0}],
            "tokens": [],
        })
    );
    assert_eq!(device.ok(&["verify"]).line(), json!({"ok": true}));
}

#[test]
fn a_push_of_nothing_needs_no_remote_and_other_syncs_do() {
    let device = Device::new();
    let nothing = json!({"pushed": 0, "conflicts": 0, "rejected": 0, "aside": 0, "pending": 0});
    assert_eq!(device.ok(&["push"]).counts(), nothing);
    assert_eq!(device.ok(&["sync"]).counts(), nothing);
    device.ok(&["insert", "todo", r#"{"id":"a"}"#]);
    for args in [
        &["push"][..],
        &["sync"],
        &["pull", "todo"],
        &["verify", "--remote"],
    ] {
        let failed = device.run(args).expect(2);
        assert!(failed.err.contains("--remote"), "{failed:?}");
    }
    device.ok(&["verify"]);
}

#[test]
fn people_get_text_and_quiet_people_only_what_they_ask_for() {
    let device = Device::new();
    let people = |args: &[&str]| Ran::of(command(device.folder()).args(args)).expect(0).out;
    let shown = people(&["insert", "todo", r#"{"id":"a","text":"Milk\u0007"}"#]);
    assert_eq!(shown, "id: a\ntext: \"Milk\\u0007\"\n");
    assert_eq!(people(&["query", "todo"]), "a  text=\"Milk\\u0007\"\n");
    assert_eq!(
        people(&[
            "push",
            "--quiet",
            "--remote",
            "http://127.0.0.1:1",
            "--store",
            "memory:"
        ]),
        ""
    );
    assert_eq!(people(&["get", "todo", "a", "--quiet"]), shown);
    for silent in [
        &["insert", "todo", r#"{"id":"b"}"#, "--quiet"][..],
        &["update", "todo", "b", "{}", "--quiet"],
        &["replace", "todo", "b", "{}", "--quiet"],
        &["cancel", "todo", "b", "--quiet"],
        &["verify", "--quiet"],
        &["query", "todo", "nothing eq 1", "--quiet"],
        &["delete", "todo", "a", "--quiet"],
    ] {
        assert_eq!(people(silent), "", "{silent:?}");
    }
}

#[test]
fn a_schema_types_the_fields_of_a_device() {
    let device = Device::new();
    let schema = r#"{"tables":{"movies":{"fields":{"year":"integer","rating":{"enum":["G","PG"]}}},"notes":{"localOnly":true}}}"#;
    std::fs::write(device.folder().join("s.json"), schema).unwrap();
    device
        .run(&[
            "--schema",
            "s.json",
            "insert",
            "movies",
            r#"{"year":"old"}"#,
        ])
        .expect(2);
    device.ok(&[
        "--schema",
        "s.json",
        "insert",
        "movies",
        r#"{"id":"a","year":1999,"rating":"PG"}"#,
    ]);
    // The store remembers the declaration.
    device
        .run(&["update", "movies", "a", r#"{"year":"old"}"#])
        .expect(2);
    let rated = device.ok(&["query", "movies", "rating gt 'G'"]).line();
    assert_eq!(rated["id"], "a");
    device.ok(&["insert", "notes", "{}"]);
    assert_eq!(device.ok(&["pending"]).lines().len(), 1);
}

#[test]
fn help_teaches_with_examples() {
    let device = Device::new();
    let help = Ran::of(command(device.folder()).arg("--help"))
        .expect(0)
        .out;
    assert!(help.contains("Exit codes"), "{help}");
    let verbs: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    for verb in verbs {
        let help = Ran::of(command(device.folder()).args([verb, "--help"]))
            .expect(0)
            .out;
        assert!(
            help.contains(&format!("  synctable {verb}")),
            "{verb}: {help}"
        );
    }
    let version = Ran::of(command(device.folder()).arg("--version"))
        .expect(0)
        .out;
    assert_eq!(
        version,
        format!("synctable {}\n", env!("CARGO_PKG_VERSION"))
    );
}
