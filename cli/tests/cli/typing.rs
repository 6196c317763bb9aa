//! What a person types and reads: filters, ids, errors, warnings, quiet, and text that a terminal would obey.

use serde_json::{Value, json};

use crate::kit::{Device, Ran, Scripted, Server, command};

/// A server that answers each request with one page.
fn page(body: &str) -> Scripted {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    Scripted::new(Some(Box::leak(answer.into_boxed_str())))
}

/// A device and a server without soft delete, both with the records `a` and `b`.
fn two_records() -> (Server, Device, Device) {
    let server = Server::new(&["--any-table"]);
    let (one, two) = (Device::of(&server), Device::of(&server));
    one.ok(&["insert", "todo", r#"{"id":"a","n":1}"#]);
    one.ok(&["insert", "todo", r#"{"id":"b","n":2}"#]);
    one.ok(&["push"]);
    two.ok(&["pull", "todo"]);
    (server, one, two)
}

fn plain(device: &Device, args: &[&str]) -> Ran {
    Ran::of(command(device.folder()).args(args))
}

#[test]
fn the_id_of_another_record_is_refused() {
    let device = Device::new();
    device.ok(&["insert", "items", r#"{"id":"r1","n":1}"#]);
    for args in [
        ["update", "items", "r1", r#"{"id":"r2"}"#],
        ["replace", "items", "r1", r#"{"id":"r2","n":2}"#],
    ] {
        let refused = device.run(&args).expect(2);
        assert!(refused.err.contains("'r2'"), "{refused:?}");
    }
    // Nothing was changed by them; the same id, and none, are fine.
    assert_eq!(device.ok(&["get", "items", "r1"]).line()["n"], 1);
    device.ok(&["update", "items", "r1", r#"{"id":"r1","n":2}"#]);
    device.ok(&["replace", "items", "r1", r#"{"id":null,"n":3}"#]);
}

#[test]
fn errors_are_bounded_and_say_what_was_left_out() {
    let device = Device::new();
    let long = "x".repeat(20_000);
    let quoted = format!("\"{long}\"");
    let id = json!({"id": long}).to_string();
    let number = format!("[{}1]", "1,".repeat(10_000));
    let name = format!("frob{long}(a) eq 1");
    let url = format!("http://{long}.example.org");
    std::fs::write(
        device.folder().join("s.json"),
        json!({"tables": {"t": {long.as_str(): 1}}}).to_string(),
    )
    .unwrap();
    let mut cut = 0;
    for args in [
        &["insert", "items", &quoted][..],
        &["insert", "items", &id],
        &["insert", "items", &number],
        &["insert", &long, "{}"],
        &["get", "items", &long],
        &["query", "items", &name],
        &["query", "items", &format!("$filter={name}")],
        &["pull", "items", "--name", &long],
        &["pull", "items", "--remote", &url],
        &["push", "--header", &long],
        &["pending", "--store", &long],
        &["pending", "--store", &format!("sqlite:{long}")],
        &["pending", "--schema", "s.json"],
        &["pending", "--schema", &long],
        &["pending", "--dialect", &long],
        &["pending", &long],
        &[&long],
        &[&format!("--{long}")],
        &["import", "items", &long],
        &["cancel", &long],
        &["serve", "--any-table", "--listen", &long],
    ] {
        let ran = device.run(args);
        assert_ne!(ran.code, 0, "{args:.60?}");
        let length = ran.err.chars().count();
        assert!(length < 1_100, "{length}: {args:.60?}");
        cut += usize::from(ran.err.contains("characters left out"));
    }
    assert!(cut > 5, "{cut}");
}

#[test]
fn a_page_of_no_objects_is_no_page() {
    for items in [
        "[1,2,3]",
        "[[1],[2]]",
        "[null]",
        r#"["a"]"#,
        r#"[{"id":"a"},7]"#,
    ] {
        for body in [format!(r#"{{"items":{items}}}"#), items.to_owned()] {
            let (server, device) = (page(&body), Device::new());
            let pull = ["pull", "items", "--remote", &server.url];
            let failed = device.run(&pull).expect(1);
            assert!(failed.err.contains("no objects"), "{failed:?}");
            assert_eq!(failed.out, "");
            assert_eq!(device.export("items"), "");
        }
    }
}

#[test]
fn records_that_cannot_be_read_are_counted_and_told() {
    let server = page(
        r#"{"items":[{"id":"a","updatedAt":"2026-01-01T00:00:00Z"},{"id":"b","updatedAt":"soon"},{"n":1}]}"#,
    );
    let device = Device::new();
    let pull = device.run(&["pull", "items", "--remote", &server.url]);
    assert_eq!(pull.code, 0, "{pull:?}");
    let line = pull.line();
    assert_eq!((&line["added"], &line["invalid"]), (&json!(1), &json!(2)));
    assert!(
        pull.err.starts_with("warning: table items: 2 rows"),
        "{pull:?}"
    );
    assert!(
        pull.err.contains("'b'") && pull.err.contains("updatedAt"),
        "{pull:?}"
    );
    let quiet = plain(&device, &["pull", "items", "--full", "--quiet"]);
    assert_eq!((quiet.code, &*quiet.out, &*quiet.err), (0, "", ""));
    let compared = device.run(&["verify", "--remote"]);
    assert_eq!((compared.code, &compared.line()["invalid"]), (0, &json!(2)));
}

#[test]
fn a_bare_filter_is_plain_text() {
    let device = Device::new();
    let lines = "{\"id\":\"a\",\"title\":\"100%\",\"rating\":-3}\n{\"id\":\"b\",\"title\":\"a+b %41\",\"rating\":3}\n";
    device.feed(&["import", "items", "-"], lines).expect(0);
    let found = |filter: &str| {
        let ran = device.run(&["query", "items", filter]).expect(0);
        let ids = ran.lines().into_iter().map(|line| line["id"].clone());
        ids.collect::<Value>()
    };
    assert_eq!(found("contains(title,'100%')"), json!(["a"]));
    assert_eq!(found("contains(title,'%41')"), json!(["b"]));
    assert_eq!(found("contains(title,'a+b')"), json!(["b"]));
    assert_eq!(found("-rating eq 3"), json!(["a"]));
    assert_eq!(found("$filter=contains(title,'100%25')"), json!(["a"]));
    assert_eq!(found("$filter=-rating%20eq%203"), json!(["a"]));
    for filter in ["contains(title,'100%')", "-rating eq 3"] {
        let purged = ["purge", "items", "--discard-pending", "--filter", filter];
        let purged = device.ok(&purged).line();
        assert_eq!(
            purged["purged"],
            usize::from(filter.contains('%')),
            "{filter}"
        );
    }
    device.ok(&["query", "items", "rating eq 3", "--explain"]);
    // An option is still one, and a slip in one is told.
    device
        .run(&["purge", "items", "--filter", "--discard-pending"])
        .expect(2);
    assert!(
        device
            .run(&["query", "items", "--nothing"])
            .expect(2)
            .err
            .contains("--nothing")
    );
}

#[test]
fn a_filter_by_a_member_that_is_nowhere_gets_a_warning() {
    let device = Device::new();
    let schema = r#"{"tables":{"items":{"fields":{"due":"datetime"}}}}"#;
    std::fs::write(device.folder().join("s.json"), schema).unwrap();
    let insert = [
        "insert",
        "items",
        r#"{"id":"a","title":"Milk"}"#,
        "--schema",
        "s.json",
    ];
    device.ok(&insert);
    // Without records any name is as good as another; that of the table is told.
    let other = device.run(&["query", "other", "frob eq 1"]);
    assert_eq!((other.code, other.out.as_str()), (0, ""), "{other:?}");
    assert!(
        other
            .err
            .starts_with("warning: there is no table other in this store"),
        "{other:?}"
    );
    for query in [
        "titel eq 'Milk'",
        "$filter=titel eq 'Milk'&$count=true",
        "Title ne null",
    ] {
        let ran = device.run(&["query", "items", query]);
        assert_eq!((ran.code, ran.err.lines().count()), (0, 1), "{ran:?}");
        assert!(
            ran.err
                .starts_with("warning: no record of table items has a member 't")
                || ran.err.contains("'Title'"),
            "{ran:?}"
        );
    }
    let ran = device.run(&[
        "purge",
        "items",
        "--discard-pending",
        "--filter",
        "titel eq 'x'",
    ]);
    assert_eq!((ran.code, ran.err.lines().count()), (0, 1), "{ran:?}");
    for query in [
        "title eq 'Oat'",
        "due gt 2026-01-01T00:00:00Z",
        "id eq 'b'",
        "titel eq null",
    ] {
        device.ok(&["query", "items", query]);
    }
}

#[test]
fn what_a_terminal_obeys_is_escaped_wherever_it_comes_from() {
    let device = Device::new();
    let evil = "a\u{9b}2J\u{202e}\u{2028}\u{7f}";
    let shown = "a\\u009b2J\\u202e\\u2028\\u007f";
    let is_safe = |ran: &Ran| {
        let text = format!("{}{}", ran.out, ran.err);
        let bad = |c: char| c != '\n' && c.is_control() || matches!(c, '\u{2028}'..='\u{202e}');
        assert!(!text.contains(bad), "{ran:?}");
    };
    let record = json!({"id": "x", "title": evil}).to_string();
    for args in [
        &["insert", "items", &record][..],
        &["get", "items", "x"],
        &["query", "items"],
        &["query", "items", "$select=title"],
        &["export", "items"],
    ] {
        let json = device.ok(args);
        is_safe(&json);
        assert!(json.out.contains(shown), "{json:?}");
        assert_eq!(json.line()["title"], evil, "{json:?}");
        let args = if args[0] == "insert" {
            &["get", "items", "x"]
        } else {
            args
        };
        let people = plain(&device, args);
        is_safe(&people);
        assert!(people.out.contains(shown), "{people:?}");
    }
    let name = format!("{evil}.jsonl");
    for args in [
        &["import", "items", &name][..],
        &["query", "items", evil],
        &["insert", "items", &format!("{{{evil}")],
        &["pending", "--schema", &name],
        &[evil],
    ] {
        let ran = device.run(args).expect(2);
        is_safe(&ran);
    }
    let server = Scripted::new(Some(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 9\r\nconnection: close\r\n\r\na\u{202e}b\u{9b}31",
    ));
    is_safe(&device.run(&["push", "--remote", &server.url]));
    is_safe(&device.run(&["pending"]));
    // White space between values of JSON takes no line of its own.
    device.ok(&["insert", "items", "{\"id\":\"y\",\"list\":[1,\n2]}"]);
    assert_eq!(
        device.ok(&["get", "items", "y"]).line()["list"],
        json!([1, 2])
    );
}

#[test]
fn a_full_pull_says_what_stays_and_only_then() {
    let (_server, one, two) = two_records();
    let full = ["pull", "todo", "--full"];
    assert_eq!(two.ok(&full).line()["stayed"], 0);
    let people = plain(&two, &full);
    assert!(!people.out.contains("heal"), "{people:?}");
    one.ok(&["delete", "todo", "a"]);
    one.ok(&["push"]);
    assert_eq!(two.ok(&full).line()["stayed"], 1);
    assert_eq!(two.ok(&["pull", "todo"]).line()["stayed"], Value::Null);
    let people = plain(&two, &full);
    assert!(
        people.out.contains("1 records stay here") && people.out.contains("verify --heal"),
        "{people:?}"
    );
    assert_eq!(plain(&two, &["pull", "todo", "--full", "--quiet"]).out, "");
    // What was never at the server, or waits to be sent, is no such record.
    two.ok(&["insert", "todo", r#"{"id":"new"}"#]);
    let filtered = ["pull", "todo", "--full", "--filter", "n eq 2"];
    assert_eq!(two.ok(&filtered).line()["stayed"], 0);
    two.ok(&["verify", "--heal"]);
    assert_eq!(two.ok(&full).line()["stayed"], 0);

    let server = Server::todos();
    let (one, two) = (Device::of(&server), Device::of(&server));
    one.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    one.ok(&["push"]);
    two.ok(&["pull", "todoitem"]);
    one.ok(&["delete", "todoitem", "a"]);
    one.ok(&["push"]);
    let line = two.ok(&["pull", "todoitem", "--full"]).line();
    assert_eq!((&line["deleted"], &line["stayed"]), (&json!(1), &json!(0)));
}

#[test]
fn an_operation_may_be_named_by_its_record() {
    let (_server, one, two) = two_records();
    one.ok(&["update", "todo", "a", r#"{"n":10}"#]);
    one.ok(&["push"]);
    two.ok(&["update", "todo", "a", r#"{"n":20}"#]);
    two.ok(&["insert", "todo", r#"{"id":"c"}"#]);
    two.run(&["push"]).expect(3);
    let failed = two.run(&["retry", "todo", "a"]).expect(1);
    assert!(failed.err.contains("in conflict"), "{failed:?}");
    let other = two.run(&["resolve", "todo", "a", "--with", r#"{"id":"b"}"#]);
    assert!(other.expect(2).err.contains("'b'"));
    let resolved = two.ok(&["resolve", "todo", "a", "--with", r#"{"id":"a","n":30}"#]);
    assert_eq!(resolved.line()["n"], 30);
    assert_eq!(two.ok(&["cancel", "todo", "a"]).line()["n"], 10);
    for verb in ["cancel", "discard", "retry"] {
        let failed = two.run(&[verb, "todo", "a"]).expect(1);
        assert!(
            failed.err.contains("no queued operation on 'a'"),
            "{failed:?}"
        );
    }
    two.ok(&["insert", "todo", r#"{"id":"d"}"#]);
    assert_eq!(two.ok(&["discard", "todo", "d"]).line()["id"], "d");
    assert_eq!(two.ok(&["pending"]).out, "");
}
