//! Filters of named pulls, and values that a schema does not know.

use serde_json::json;

use crate::device::Device;
use crate::releases::{Release, both};
use crate::server::Server;
use crate::together::TABLE;

fn years(release: Release) -> (Server, Device) {
    let server = Server::new(Release::Today, &[TABLE]);
    let other = Device::of(Release::Today, &server.url());
    let rows: Vec<_> = (0..6)
        .map(|n| json!({"id": format!("y{n}"), "year": 2000 + n}))
        .collect();
    other.import(TABLE, &rows);
    other.ok(&["push"]);
    let device = Device::of(release, &server.url());
    (server, device)
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn the_filter_of_a_named_pull_may_change() {
    let [before, today] = both(|release| {
        let (_server, device) = years(release);
        let pull = |filter| device.run(&["pull", TABLE, "--name", "late", "--filter", filter]);
        pull("year ge 2003").expect(0);
        let ran = pull("year le 2003");
        (ran, device.ids(TABLE))
    });
    assert_eq!(before.0.code, 2, "{before:?}");
    assert!(before.0.err.contains("another filter"), "{before:?}");
    assert_eq!(
        (today.0.code, today.0.line()["left"].clone()),
        (0, json!(2))
    );
    assert_eq!(today.1, ["y0", "y1", "y2", "y3"]);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_filter_by_the_present_says_what_to_write() {
    let [before, today] = both(|release| {
        let (_server, device) = years(release);
        device.run(&["pull", TABLE, "--name", "due", "--filter", "due lt now()"])
    });
    assert_eq!((before.code, today.code), (2, 2));
    assert!(
        today.err.contains("write the time as a constant"),
        "{today:?}"
    );
    assert!(!before.err.contains("constant"), "{before:?}");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_record_with_a_value_that_the_schema_does_not_know_can_be_edited() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &["films"]);
        let other = Device::of(Release::Today, &server.url());
        other.ok(&["insert", "films", r#"{"id":"a","rating":"NC-17"}"#]);
        other.ok(&["push"]);
        let device = Device::with(release, &["--schema", "schema.json"]);
        device.write(
            "schema.json",
            r#"{"tables":{"films":{"fields":{"rating":{"enum":["G","PG"]}}}}}"#,
        );
        device.ok(&["pull", "films", "--remote", &server.url()]);
        let edited = device
            .run(&["update", "films", "a", r#"{"title":"Heat"}"#])
            .code;
        let verified = device.run(&["verify"]).code;
        device.run(&["push"]);
        other.ok(&["pull", "films"]);
        (
            edited,
            verified,
            other.record("films", "a").unwrap()["title"].clone(),
        )
    });
    assert_eq!((before.0, before.1), (2, 1));
    assert_eq!(today, (0, 0, json!("Heat")));
}
