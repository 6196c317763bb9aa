//! Whole tables in and out.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::kit::{Device, Running, command, lines};

#[test]
fn an_export_reads_back_as_the_same_table() {
    let (one, two) = (Device::new(), Device::new());
    let lines = "\u{feff}{\"id\":\"b\",\"n\":1e2}\r\n\n  \n{\"id\":\"a\",\"text\":\"ü\u{1f600}\"}\n{\"id\":\"c é\"}";
    let imported = one.feed(&["import", "things", "-"], lines).expect(0);
    assert_eq!(imported.counts(), json!({"imported": 3}));
    let export = one.export("things");
    assert_eq!(
        export,
        "{\"id\":\"a\",\"deleted\":false,\"text\":\"ü\u{1f600}\"}\n{\"id\":\"b\",\"deleted\":false,\"n\":1e2}\n{\"id\":\"c é\",\"deleted\":false}\n"
    );
    std::fs::write(two.folder().join("things.jsonl"), &export).unwrap();
    assert_eq!(
        two.ok(&["import", "things", "things.jsonl"]).counts(),
        json!({"imported": 3})
    );
    assert_eq!(two.export("things"), export);
    assert_eq!(two.export("unknown"), "");
}

#[test]
fn a_line_with_a_known_id_replaces_the_record() {
    let device = Device::new();
    device.ok(&["insert", "things", r#"{"id":"a","n":1,"old":true}"#]);
    let imported = device.feed(
        &["import", "things", "-"],
        "{\"id\":\"a\",\"n\":2}\n{\"id\":\"b\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n",
    );
    assert_eq!(imported.expect(0).counts(), json!({"imported": 3}));
    let all = device.ok(&["query", "things", "$select=id,n,old"]).out;
    assert_eq!(
        all,
        "{\"id\":\"a\",\"n\":2,\"old\":null}\n{\"id\":\"b\",\"n\":2,\"old\":null}\n"
    );
    assert_eq!(device.ok(&["pending"]).lines().len(), 2);
}

#[test]
fn an_import_stops_at_a_bad_line_and_keeps_those_before_it() {
    for bad in [
        "{\"id\":",
        "[]",
        "{\"id\":\"a/b\"}",
        "{\"deleted\":1}",
        "\u{fffd}{}",
    ] {
        let device = Device::new();
        // Beyond the first transaction, with a blank line that counts.
        let good = lines(700, |n| json!({"id": format!("i{n}")}));
        let lines = format!("{good}\n{bad}\n{{\"id\":\"never\"}}\n");
        let stopped = device.feed(&["import", "things", "-"], &lines).expect(2);
        assert_eq!(stopped.counts(), json!({"imported": 700}), "{bad}");
        assert!(stopped.err.contains("line 702: "), "{stopped:?}");
        assert_eq!(device.export("things").lines().count(), 700);
        assert_eq!(device.ok(&["pending"]).lines().len(), 700);
        device.ok(&["verify"]);
    }
}

#[test]
fn a_line_that_is_no_text_is_told_by_its_number() {
    let device = Device::new();
    std::fs::write(device.folder().join("in"), b"{}\n\xff\n").unwrap();
    let stopped = device.run(&["import", "things", "in"]).expect(2);
    assert_eq!(stopped.counts(), json!({"imported": 1}));
    let told = "in, line 2: not UTF-8 text; the lines before it are stored";
    assert!(stopped.err.contains(told), "{stopped:?}");
}

#[test]
fn a_reader_that_leaves_early_ends_the_export_quietly() {
    let device = Device::new();
    // More than a pipe holds.
    let lines = lines(3000, |_| json!({"text": "x".repeat(100)}));
    device.feed(&["import", "things", "-"], &lines).expect(0);
    let mut export = Running(
        command(device.folder())
            .args(["export", "things"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    let mut out = BufReader::new(export.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    drop(out);
    let mut err = String::new();
    std::io::Read::read_to_string(&mut export.0.stderr.take().unwrap(), &mut err).unwrap();
    assert_eq!(
        (export.0.wait().unwrap().code(), err.as_str()),
        (Some(0), "")
    );
}

#[test]
fn lines_with_values_that_the_schema_does_not_know_are_judged_by_what_is_there() {
    let device = Device::new();
    device.ok(&["insert", "films", r#"{"id":"a","year":"1979"}"#]);
    let schema = r#"{"tables":{"films":{"fields":{"year":"integer"}}}}"#;
    std::fs::write(device.folder().join("films.json"), schema).unwrap();
    device.ok(&["pending", "--schema", "films.json"]);
    // What was exported can be edited and imported again.
    let edited = device
        .export("films")
        .replace("1979\"", "1979\",\"title\":\"Alien\"");
    let lines = format!("{{\"id\":\"b\",\"year\":1}}\n{edited}{{\"id\":\"c\",\"year\":2}}\n");
    let ran = device.feed(&["import", "films", "-"], &lines).expect(0);
    assert_eq!(ran.counts(), json!({"imported": 3}));
    assert_eq!(device.ok(&["get", "films", "a"]).line()["title"], "Alien");
    let bad = format!("{lines}{{\"id\":\"d\",\"year\":\"1979\"}}\n{{\"id\":\"never\"}}\n");
    let stopped = device.feed(&["import", "films", "-"], &bad).expect(2);
    assert_eq!(stopped.counts(), json!({"imported": 3}));
    assert!(stopped.err.contains("line 4: "), "{stopped:?}");
    assert!(
        stopped.err.contains("'year': expected an integer"),
        "{stopped:?}"
    );
    assert_eq!(device.export("films").lines().count(), 3);
}
