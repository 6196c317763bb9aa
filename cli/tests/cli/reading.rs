//! What a query on the command line finds: as the engine means it, whichever store answers.

use serde_json::{Value, json};

use crate::kit::{Device, Ran};

const SCHEMA: &str =
    r#"{"tables":{"items":{"fields":{"i":"number","due":"datetime"},"indexes":[["i"]]}}}"#;

/// The engines that have a file.
const STORES: [&str; 3] = ["sqlite:a.db", "redb:a.redb", "sled:a.sled"];

fn filled(store: &'static str) -> (Device, impl Fn(&Device, &[&str]) -> Ran) {
    let device = Device::new();
    std::fs::write(device.folder().join("s.json"), SCHEMA).unwrap();
    let before = ["--store", store, "--schema", "s.json"];
    let run = move |device: &Device, verb: &[&str]| device.run(&[&before[..], verb].concat());
    let record = r#"{"id":"a","i":7,"due":"2020-01-01T00:00:00Z"}"#;
    run(&device, &["insert", "items", record]).expect(0);
    (device, run)
}

#[test]
fn a_query_knows_the_present_and_declared_names_in_any_case() {
    for store in STORES {
        let (device, run) = filled(store);
        let found = |query: &str| run(&device, &["query", "items", query]).expect(0).lines();
        for query in [
            "i eq 7",
            "I eq 7",
            "due lt now()",
            "I eq 7 and DUE lt now()",
        ] {
            assert_eq!(found(query).len(), 1, "{store}: {query}");
        }
        assert!(found("due gt now()").is_empty(), "{store}");
        assert_eq!(found("$select=I"), [json!({"i": 7})], "{store}");
        let counted = found("$filter=I eq 7 and due lt now()&$count=true&$top=0&$orderby=I");
        assert_eq!(counted, [json!({"count": 1})], "{store}");
        // What a query shows is what a purge removes.
        let purge = ["purge", "items", "--discard-pending", "--filter"];
        let purged = run(
            &device,
            &[&purge[..], &["I eq 7 and due lt now()"]].concat(),
        );
        assert_eq!(purged.expect(0).line()["purged"], 1, "{store}");
    }
}

#[test]
fn the_plan_is_that_of_the_query_as_it_is_meant() {
    let (device, run) = filled("sqlite:a.db");
    let plan = |query: &str| -> Value {
        let told = run(&device, &["query", "items", query, "--explain"]);
        told.expect(0).line()["plan"].clone()
    };
    assert_eq!(plan("I eq 7"), plan("i eq 7"));
}

#[test]
fn a_filter_may_be_an_option_as_for_other_verbs() {
    let (device, run) = filled("sqlite:a.db");
    for more in ["b", "c"] {
        let record = json!({"id": more, "i": 8}).to_string();
        run(&device, &["insert", "items", &record]).expect(0);
    }
    let found = |args: &[&str]| {
        let ran = run(&device, &[&["query", "items"], args].concat()).expect(0);
        ran.lines()
            .iter()
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&["--filter", "i gt 7"]), ["b", "c"]);
    assert_eq!(
        found(&["--filter", "-i lt -7", "$orderby=id desc&$top=1"]),
        ["c"]
    );
    // Nothing in it is an escape, and both filters count.
    assert!(found(&["--filter", "id eq '%62'"]).is_empty());
    assert_eq!(found(&["i gt 7", "--filter", "id lt 'c'"]), ["b"]);
}
