//! Who may ask the server, and what it does with members that a client leaves out.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::device::{Device, Running};
use crate::releases::{Release, both};
use crate::server::{JSON, LOCAL, Said, Server};
use crate::together::TABLE;

fn page_of(server: &Server, headers: &[&str]) -> Said {
    let line = format!("GET /tables/{TABLE} HTTP/1.1");
    server.ask(&[&[&*line][..], headers].concat(), "").unwrap()
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn pages_of_other_sites_cannot_ask() {
    let [before, today] = both(|release| {
        let server = Server::new(release, &[TABLE]);
        assert_eq!(page_of(&server, &[LOCAL]).status, 200);
        [
            // A name that its owner points to this machine.
            &["host: rebound.example"][..],
            &[LOCAL, "host: rebound.example"],
            &[LOCAL, "origin: http://other.example"],
            &[LOCAL, "origin: null"],
        ]
        .map(|headers| page_of(&server, headers).status)
    });
    assert_eq!(before, [200, 200, 200, 200]);
    assert_eq!(today, [403, 400, 403, 403]);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_form_of_another_site_brings_nothing_back() {
    let undelete = format!("POST /tables/{TABLE}/a?ZUMO-API-VERSION=2.0.0 HTTP/1.1");
    let delete = format!("DELETE /tables/{TABLE}/a HTTP/1.1");
    let [before, today] = both(|release| {
        let server = Server::new(release, &[TABLE]);
        server.post(TABLE, &json!({"id": "a"})).unwrap();
        server.ask(&[&delete, LOCAL], "").unwrap();
        let by_form = server.ask(&[&undelete, LOCAL], "").unwrap().status;
        let there = page_of(&server, &[LOCAL]).items().len();
        // What no form can send.
        let header = "zumo-api-version: 2.0.0";
        let by_client = server.ask(&[&undelete, LOCAL, header], "").unwrap().status;
        (by_form, there, by_client)
    });
    assert_eq!((before.0, before.1), (201, 1));
    assert_eq!(today, (400, 0, 201));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn nobody_listens_to_other_machines_unasked() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        let listen = ["serve", "--any-table", "--json", "--listen", "0.0.0.0:0"];
        let mut serve = device.command(&listen);
        serve.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut serve = Running(serve.spawn().unwrap());
        let mut said = String::new();
        let mut out = BufReader::new(serve.0.stdout.take().unwrap());
        out.read_line(&mut said).unwrap();
        let ended = said.is_empty().then(|| serve.0.wait().unwrap().code());
        (said.contains("listening"), ended)
    });
    assert_eq!(before, (true, None));
    assert_eq!(today, (false, Some(Some(2))));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_weak_tag_is_the_version_that_the_client_has() {
    let [before, today] = both(|release| {
        let server = Server::new(release, &[TABLE]);
        let made = server.post(TABLE, &json!({"id": "a"})).unwrap().json();
        let line = format!("GET /tables/{TABLE}/a HTTP/1.1");
        let tag = format!("if-none-match: W/\"{}\"", made["version"].as_str().unwrap());
        server.ask(&[&line, LOCAL, &tag], "").unwrap().status
    });
    assert_eq!((before, today), (200, 304));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_next_link_goes_through_the_proxy_that_speaks_tls() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.write("schema.json", r#"{"tables":{"todoitem":{"pageSize":1}}}"#);
        let server = Server::with(device, &["--schema", "schema.json"]);
        for id in ["a", "b"] {
            server.post(TABLE, &json!({ "id": id })).unwrap();
        }
        // The dialect whose links have a host.
        let headers = [LOCAL, "zumo-api-version: 2.0.0", "x-forwarded-proto: https"];
        let page = page_of(&server, &headers);
        let mut links = page.head.lines().filter(|line| line.starts_with("link: "));
        links.next().unwrap().to_owned()
    });
    assert!(before.starts_with("link: http://localhost/"), "{before}");
    assert!(today.starts_with("link: https://localhost/"), "{today}");
}

/// A server and a device of one table, whose members are declared as well as the release can.
fn declared(release: Release) -> (Server, Device) {
    let fields = match release {
        // It knows no more of a field than its type, and refuses a file that says more.
        Release::First => json!({"title": "string", "complete": "boolean", "rating": "integer"}),
        Release::Today => json!({
            "title": {"type": "string", "required": true, "maxLength": 5},
            "complete": {"type": "boolean", "default": false},
            "rating": {"type": "integer", "default": 0, "unique": false},
            "code": {"type": "string", "unique": true},
        }),
    };
    let mut table = json!({"fields": fields, "softDelete": true});
    if release == Release::Today {
        table["closed"] = json!(true);
    }
    let schema = json!({"tables": {TABLE: table}}).to_string();
    let store = Device::new(release);
    store.write("schema.json", &schema);
    let server = Server::with(store, &["--schema", "schema.json"]);
    let device = Device::with(release, &["--schema", "schema.json"]);
    device.write("schema.json", &schema);
    (server, device)
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn what_a_client_leaves_out_is_found_by_its_default() {
    let found = |server: &Server, filter: &str| {
        let target = format!("/tables/{TABLE}?$filter={}", filter.replace(' ', "%20"));
        server.get(&target).unwrap().items().len()
    };
    let [before, today] = both(|release| {
        let (server, device) = declared(release);
        // The Toolkit's client sends no member that holds what its type begins with.
        server
            .post(TABLE, &json!({"id": "a", "title": "Milk"}))
            .unwrap();
        let there = ["complete eq false", "rating lt 5"].map(|filter| found(&server, filter));
        let row = json!({"title": "Milk", "complete": true, "rating": 9}).to_string();
        let line = format!("PUT /tables/{TABLE}/a HTTP/1.1");
        server.ask(&[&line, LOCAL, JSON], &row).unwrap();
        server
            .ask(&[&line, LOCAL, JSON], r#"{"title":"Oat"}"#)
            .unwrap();
        let replaced = found(&server, "complete eq false and rating eq 0");
        device.ok(&["insert", TABLE, r#"{"id":"b","title":"Oat"}"#]);
        let query = ["query", TABLE, "complete eq false and rating lt 5"];
        let here = device.ok(&query).lines().len();
        (there, replaced, here)
    });
    assert_eq!(before, ([0, 0], 0, 0));
    assert_eq!(today, ([1, 1], 1, 1));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn what_a_declaration_forbids_is_refused_by_its_name() {
    let [before, today] = both(|release| {
        let (server, _device) = declared(release);
        let first = json!({"id": "a", "title": "Milk", "code": "x"});
        server.post(TABLE, &first).unwrap();
        [
            json!({"id": "b"}),
            json!({"id": "c", "title": "Milk and bread"}),
            json!({"id": "d", "title": "Oat", "code": "x"}),
            json!({"id": "e", "title": "Oat", "other": 1}),
        ]
        .map(|row| {
            let said = server.post(TABLE, &row).unwrap();
            let members = match said.json() {
                Value::Array(faults) => faults[0]["memberNames"].clone(),
                _ => Value::Null,
            };
            (said.status, members)
        })
    });
    assert!(before.iter().all(|said| said.0 == 201), "{before:?}");
    let refused = ["title", "title", "code", "other"].map(|name| (400, json!([name])));
    assert_eq!(today, refused);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_file_that_says_what_members_must_be_is_understood() {
    let fields = json!({"title": {"type": "string", "required": true, "maxLength": 5}, "code": {"type": "string", "unique": true}, "done": {"type": "boolean", "default": false}});
    let schema = json!({"tables": {TABLE: {"closed": true, "fields": fields}}}).to_string();
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.write("schema.json", &schema);
        let record = r#"{"id":"a","title":"Milk"}"#;
        let insert = ["insert", TABLE, record, "--schema", "schema.json"];
        device.run(&insert).code
    });
    assert_eq!((before, today), (2, 0));
}
