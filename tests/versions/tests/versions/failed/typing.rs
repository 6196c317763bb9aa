//! What a person types and reads.

use serde_json::{Value, json};

use crate::device::{Device, Ran, id};
use crate::far_side::{FarSide, Reply};
use crate::releases::{Release, both};
use crate::server::Server;
use crate::together::TABLE;

/// A server that has nothing but this page.
fn page(body: &'static str) -> FarSide {
    FarSide::new(move |_| Reply::json(200, body))
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn the_id_of_another_record_is_not_dropped() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.ok(&["insert", "items", r#"{"id":"r1"}"#]);
        let update = device.run(&["update", "items", "r1", r#"{"id":"r2"}"#]);
        let replace = device.run(&["replace", "items", "r1", r#"{"id":"r2","n":1}"#]);
        let got = device.record("items", "r1").unwrap()["n"].clone();
        (update.code, replace.code, got, update.err)
    });
    assert_eq!((before.0, before.1, before.2), (0, 0, json!(1)));
    assert_eq!((today.0, today.1, today.2), (2, 2, Value::Null));
    assert!(today.3.contains("'r2'"), "{}", today.3);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn an_error_has_a_length_that_can_be_read() {
    let long = "x".repeat(20_000);
    let (quoted, name) = (format!("\"{long}\""), format!("f{long}(a) eq 1"));
    let [before, today] = both(|release| {
        let device = Device::new(release);
        [
            &["insert", "items", &quoted][..],
            &["query", "items", &name],
            &["pending", "--store", &long],
        ]
        .map(|args| device.run(args).err.len())
    });
    assert!(before.iter().all(|length| *length > 20_000), "{before:?}");
    assert!(today.iter().all(|length| *length < 1_200), "{today:?}");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_page_of_no_objects_is_an_error_of_the_server() {
    for body in [r#"{"items":[1,2,3]}"#, r#"{"items":[[1],["a"]]}"#] {
        let [before, today] = both(|release| {
            let site = page(body);
            let device = Device::new(release);
            device.run(&["pull", "items", "--full", "--remote", &site.url])
        });
        assert_eq!((before.code, before.line()["added"].clone()), (0, json!(0)));
        assert_eq!((today.code, &*today.out), (1, ""), "{today:?}");
        assert!(today.err.contains("no objects"), "{today:?}");
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn records_that_are_left_out_are_counted() {
    let [before, today] = both(|release| {
        let site = page(
            r#"{"items":[{"id":"a","updatedAt":"2026-01-01T00:00:00Z"},{"id":"b","updatedAt":"soon"}]}"#,
        );
        let device = Device::new(release);
        device.ok(&["pull", "items", "--remote", &site.url])
    });
    assert_eq!(before.line()["invalid"], Value::Null);
    assert_eq!(
        (&today.line()["added"], &today.line()["invalid"]),
        (&json!(1), &json!(1))
    );
    assert!(today.err.starts_with("warning: "), "{today:?}");
    assert!(
        today.err.contains("'b'") && !before.err.contains("'b'"),
        "{today:?}"
    );
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn text_comes_back_as_people_wrote_it() {
    let [before, today] = both(|release| {
        // As servers on .NET write it.
        let site = page(
            r#"{"items":[{"id":"a","updatedAt":"2026-01-01T00:00:00Z","title":"t\u00FFp \uD83D\uDE00 \u003C\u0027","n":1.50}]}"#,
        );
        let device = Device::new(release);
        device.ok(&["pull", "items", "--remote", &site.url]);
        device.text(&["get", "items", "a"]).out
    });
    assert!(
        before.contains(r#"title: "t\u00FFp \uD83D\uDE00 \u003C\u0027""#),
        "{before}"
    );
    assert!(today.contains(r#"title: "tÿp 😀 <'""#), "{today}");
    // Numbers stay as they are.
    assert!(
        before.contains("n: 1.50") && today.contains("n: 1.50"),
        "{today}"
    );
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn nothing_in_json_is_obeyed_by_a_terminal() {
    let evil = ['\u{9b}', '\u{202e}', '\u{7f}'];
    let [before, today] = both(|release| {
        let device = Device::new(release);
        let record = json!({"id": "x", "title": evil.iter().collect::<String>()});
        device.import("items", std::slice::from_ref(&record));
        let got = device.ok(&["get", "items", "x"]);
        assert_eq!(got.line()["title"], record["title"]);
        evil.map(|character| got.out.contains(character))
    });
    assert_eq!(before, [true; 3]);
    assert_eq!(today, [false; 3]);
}

const SCHEMA: &str = r#"{"tables":{"items":{"softDelete":true,
  "fields":{"Title":"string","price":"number","due":"datetime","zero":"number","rating":"integer"}}}}"#;

fn rows() -> [Value; 2] {
    [
        json!({"id": "a", "Title": "100%", "rating": -3, "price": 2.5, "due": "2026-01-01T01:00:00+02:00", "zero": 0}),
        json!({"id": "b", "Title": "x", "rating": 3, "price": -2.5, "due": "2026-06-01T01:00:00+02:00", "zero": 1}),
    ]
}

/// What a filter means: a refusal, or the ids that it finds.
const MEANINGS: [(&str, Option<&str>, &str); 13] = [
    ("contains(Title,'100%')", None, "a"),
    ("-rating eq 3", None, "a"),
    ("year(due) eq 2026", Some("b"), "ab"),
    ("month(due) eq 12", Some("a"), ""),
    ("hour(due) eq 1", Some(""), "ab"),
    ("date(due) eq 2026-01-01", None, "a"),
    ("time(due) eq 01:00:00", None, "ab"),
    ("round(price) eq 3", Some(""), "a"),
    ("round(price) eq -3", Some(""), "b"),
    ("rating div zero lt -1000000", Some(""), "a"),
    ("due gt mindatetime()", None, "ab"),
    ("due lt maxdatetime()", None, "ab"),
    ("cast(rating,Edm.String) eq '3'", None, "b"),
];

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_filter_means_the_same_everywhere() {
    let found = |ran: Ran| match ran.code {
        0 => Some(ran.lines().iter().map(id).collect::<String>()),
        code => {
            assert_eq!(code, 2, "{ran:?}");
            None
        }
    };
    let [before, today] = both(|release| {
        let device = Device::with(release, &["--schema", "schema.json"]);
        device.write("schema.json", SCHEMA);
        device.import("items", &rows());
        MEANINGS.map(|(filter, ..)| found(device.run(&["query", "items", filter])))
    });
    for (n, (filter, first, now)) in MEANINGS.into_iter().enumerate() {
        assert_eq!(before[n].as_deref(), first, "{filter}");
        assert_eq!(today[n].as_deref(), Some(now), "{filter}");
    }
}

/// A declared name in another case, which a server of 0.1 knew and its devices did not.
#[test]
#[ignore = "needs the command of release 0.1"]
fn a_declared_name_in_another_case_is_known_here_as_at_the_server() {
    let [before, today] = both(|release| {
        let device = Device::with(release, &["--schema", "schema.json"]);
        device.write("schema.json", SCHEMA);
        device.import("items", &rows());
        let purge = [
            "purge",
            "items",
            "--discard-pending",
            "--filter",
            "title eq 'x'",
        ];
        device.ok(&purge).line()["purged"].clone()
    });
    assert_eq!((before, today), (json!(0), json!(1)));
}

/// The same at a server, where the present is asked for, too.
#[test]
#[ignore = "needs the command of release 0.1"]
fn a_filter_means_the_same_at_a_server() {
    let filters = [
        "due lt now()",
        "year(due) eq 2026",
        "round(price) eq -3",
        "date(due) eq 2026-01-01",
    ];
    let [before, today] = both(|release| {
        let store = Device::new(release);
        store.write("schema.json", SCHEMA);
        let server = Server::with(store, &["--schema", "schema.json"]);
        for row in rows() {
            server.post("items", &row).unwrap();
        }
        filters.map(|filter| {
            let filter = filter.replace(' ', "%20");
            let said = server
                .get(&format!("/tables/items?$filter={filter}"))
                .unwrap();
            (said.status == 200).then(|| said.items().iter().map(id).collect::<String>())
        })
    });
    let before = before.each_ref().map(Option::as_deref);
    assert_eq!(before, [None, Some("b"), Some(""), None]);
    let today = today.each_ref().map(Option::as_deref);
    assert_eq!(today, ["ab", "ab", "b", "a"].map(Some));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_slip_in_the_name_of_a_member_is_told() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.ok(&["insert", "items", r#"{"id":"a","title":"Milk"}"#]);
        device.ok(&["query", "items", "titel eq 'Milk'"]).err
    });
    assert_eq!(before, "");
    assert!(
        today.starts_with("warning: ") && today.contains("'titel'"),
        "{today}"
    );
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn quiet_is_quiet() {
    let [before, today] = both(|release| {
        let site = page(r#"{"items":[{"id":"b","updatedAt":"soon"}]}"#);
        let device = Device::new(release);
        [
            &["insert", "items", r#"{"id":"a"}"#, "--quiet"][..],
            &["update", "items", "a", r#"{"n":1}"#, "--quiet"],
            &["pull", "other", "--remote", &site.url, "--quiet"],
        ]
        .map(|args| {
            let ran = device.text(args).expect(0);
            ran.out + &ran.err
        })
    });
    assert!(before.iter().all(|said| !said.is_empty()), "{before:?}");
    assert_eq!(today, ["", "", ""]);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_full_pull_says_what_stays() {
    let [before, today] = both(|release| {
        let server = Server::forgetful(Release::Today, &[TABLE]);
        let device = Device::of(release, &server.url());
        device.insert(TABLE, &["a", "b"]);
        device.ok(&["sync"]);
        let line = format!("DELETE /tables/{TABLE}/a HTTP/1.1");
        server.ask(&[&line, crate::server::LOCAL], "").unwrap();
        let json = device.ok(&["pull", TABLE, "--full"]).line()["stayed"].clone();
        (json, device.text(&["pull", TABLE, "--full"]).out)
    });
    assert_eq!(before.0, Value::Null);
    assert!(!before.1.contains("verify --heal"), "{before:?}");
    assert_eq!(today.0, 1);
    assert!(today.1.contains("verify --heal"), "{today:?}");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn an_operation_can_be_named_by_its_record() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.insert(TABLE, &["a", "b"]);
        let codes = ["cancel", "retry", "resolve"].map(|verb| {
            let side: &[&str] = if verb == "resolve" {
                &["--client"]
            } else {
                &[]
            };
            device.run(&[&[verb, TABLE, "a"], side].concat()).code
        });
        (codes, device.ids(TABLE))
    });
    assert_eq!(before, ([2, 2, 2], vec!["a".to_owned(), "b".to_owned()]));
    // Nothing is left to retry or to resolve.
    assert_eq!(today, ([0, 1, 1], vec!["b".to_owned()]));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_doctor_says_what_is_wrong() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.insert(TABLE, &["a"]);
        device.run(&["doctor"])
    });
    assert_eq!(before.code, 2);
    let checks: Vec<Value> = today
        .lines()
        .iter()
        .map(|line| line["check"].clone())
        .collect();
    for check in ["store", "format", "lock", "queue", "server"] {
        assert!(checks.contains(&json!(check)), "{today:?}");
    }
}
