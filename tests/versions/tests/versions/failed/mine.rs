//! Changes that took effect while their answer said something else, or never came: they are no conflicts with anybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use serde_json::json;
use synctable_typed_server::{Flavour, Kind, Mishap, Model, TypedServer};

use crate::device::Device;
use crate::far_side::{FarSide, Reply};
use crate::releases::{Release, both};

/// Pushes until nothing changes any more, at once whatever is to be tried later.
pub(super) fn push_on(device: &Device) {
    for _ in 0..4 {
        device.run(&["push"]);
        for operation in device.pending() {
            if !operation["aside"].is_null() {
                device.run(&["retry", &operation["seq"].to_string()]);
            }
        }
    }
}

fn memos(flavour: Flavour) -> TypedServer {
    let server = TypedServer::new(flavour);
    let memo = Model::new("Memo")
        .with("title", Kind::TEXT)
        .with("complete", Kind::Bool)
        .with("rating", Kind::Int32)
        .with("price", Kind::Double)
        .with("when", Kind::Instant)
        .with("uid", Kind::Guid)
        .with("mood", Kind::of(&["Calm", "Happy", "Angry"]));
    server.declare("memos", memo);
    server
}

fn at_memos(release: Release, server: &TypedServer) -> (Device, FarSide) {
    let site = FarSide::typed(server);
    let dialect = match server.flavour() {
        Flavour::Toolkit => "toolkit",
        Flavour::Zumo3 => "zumo3",
    };
    let device = Device::with(release, &["--dialect", dialect]);
    device.ok(&["push", "--remote", &site.url]);
    (device, site)
}

/// The first write takes effect, and a gateway answers with this status.
fn answering_after(server: &TypedServer, status: u16) {
    let first = AtomicBool::new(true);
    server.mishaps(move |request| {
        let hit = request.method() != Method::GET && first.swap(false, Ordering::SeqCst);
        hit.then_some(Mishap::AnswerInstead(status))
    });
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn an_effect_behind_an_answer_of_a_gateway_is_no_conflict_with_oneself() {
    for flavour in Flavour::ALL {
        for status in [503, 429, 408] {
            for new in [false, true] {
                let [before, today] = both(|release| {
                    let server = memos(flavour);
                    let (device, _site) = at_memos(release, &server);
                    if new {
                        device.ok(&["insert", "memos", r#"{"id":"a","title":"new"}"#]);
                    } else {
                        server.put("memos", "a", r#"{"title":"there"}"#).unwrap();
                        device.ok(&["pull", "memos"]);
                        let edit = r#"{"when":"1955-11-05T06:15:00+05:30"}"#;
                        device.ok(&["update", "memos", "a", edit]);
                    }
                    answering_after(&server, status);
                    push_on(&device);
                    (device.states(), server.effects("memos", "a"))
                });
                let what = format!("{flavour:?}, {status}, new: {new}");
                assert_eq!(before.0["a"], "conflict", "{what}");
                assert_eq!(today, (BTreeMap::new(), 1), "{what}");
            }
        }
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_counter_behind_an_answer_of_a_gateway_is_not_counted_twice() {
    let counted = |release| {
        let server = TypedServer::new(Flavour::Toolkit);
        server.declare("memos", Model::new("Memo").with("views", Kind::Int32));
        server.put("memos", "a", r#"{"views":5}"#).unwrap();
        let (device, _site) = at_memos(release, &server);
        device.write(
            "schema.json",
            r#"{"tables":{"memos":{"fields":{"views":"integer"},"merge":{"views":"counter"}}}}"#,
        );
        device.ok(&["pull", "memos", "--schema", "schema.json"]);
        device.ok(&["update", "memos", "a", r#"{"views":6}"#]);
        answering_after(&server, 503);
        push_on(&device);
        let states = device.states();
        let merged = device.run(&["resolve", &device.seq(), "--merge"]);
        push_on(&device);
        let row = server.row("memos", "a").unwrap();
        (states, merged, row.body().to_owned())
    };
    let [before, today] = both(counted);
    // Without ids of operations nobody can know whose 6 it is, so both wait for a person.
    assert_eq!(before.0["a"], "conflict");
    assert_eq!(today.0["a"], "conflict");
    assert_eq!((before.1.code, before.2.as_str()), (0, r#"{"views":7}"#));
    assert_eq!((today.1.code, today.2.as_str()), (1, r#"{"views":6}"#));
    assert!(today.1.err.contains("may be in already"), "{today:?}");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_typed_server_whose_answer_was_lost_is_no_conflict_with_oneself() {
    for flavour in Flavour::ALL {
        for record in [
            r#"{"id":"a","title":"defaults for all the rest"}"#,
            r#"{"id":"a","title":"a time","when":"1955-11-05T06:15:00.1234567+05:30"}"#,
            r#"{"id":"a","title":"a GUID","uid":"C0FFEE00-1234-5678-9ABC-DEF012345678"}"#,
            r#"{"id":"a","title":"a number","price":1e3}"#,
        ] {
            let [before, today] = both(|release| {
                let server = memos(flavour);
                let (device, _site) = at_memos(release, &server);
                device.ok(&["insert", "memos", record]);
                server.mishaps_of("a", Mishap::LoseAnswer);
                device.run(&["push"]);
                server.calm();
                push_on(&device);
                (device.states(), server.effects("memos", "a"))
            });
            assert_eq!(today, (BTreeMap::new(), 1), "{flavour:?} {record}");
            assert_eq!(before.0["a"], "conflict", "{flavour:?} {record}");
        }
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_typed_server_whose_answer_to_an_edit_was_lost_is_no_conflict_with_oneself() {
    for flavour in Flavour::ALL {
        for edit in [
            r#"{"when":"1955-11-05T06:15:00.1234567+05:30"}"#,
            r#"{"uid":"C0FFEE00-1234-5678-9ABC-DEF012345678"}"#,
        ] {
            let [before, today] = both(|release| {
                let server = memos(flavour);
                server.put("memos", "a", r#"{"title":"there"}"#).unwrap();
                let (device, _site) = at_memos(release, &server);
                device.ok(&["pull", "memos"]);
                device.ok(&["update", "memos", "a", edit]);
                server.mishaps_of("a", Mishap::LoseAnswer);
                device.run(&["push"]);
                server.calm();
                push_on(&device);
                (device.states(), server.effects("memos", "a"))
            });
            assert_eq!(today, (BTreeMap::new(), 1), "{flavour:?} {edit}");
            assert_eq!(before.0["a"], "conflict", "{flavour:?} {edit}");
        }
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn an_insert_that_is_stored_and_answered_500_for_its_id_is_no_conflict_with_oneself() {
    let [before, today] = both(|release| {
        let server = memos(Flavour::Toolkit);
        let (device, _site) = at_memos(release, &server);
        device.ok(&["insert", "memos", r#"{"id":"ü1","title":"not ASCII"}"#]);
        device.insert("memos", &["b"]);
        push_on(&device);
        (
            device.states(),
            server.effects("memos", "ü1"),
            server.live("memos").len(),
        )
    });
    assert_eq!(before.0["ü1"], "conflict");
    assert_eq!(today, (BTreeMap::new(), 1, 2));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_unique_key_is_no_version_conflict() {
    let words = "duplicate key value violates unique constraint 'title'";
    let [before, today] = both(|release| {
        let site = FarSide::new(move |request| {
            let path = request.uri().path();
            match request.method().as_str() {
                "POST" => Reply::json(409, &json!({ "error": words }).to_string()),
                "GET" if path == "/tables/tasks" => Reply::json(200, r#"{"items":[],"count":0}"#),
                _ => Reply::json(404, ""),
            }
        });
        let device = site.device(release);
        device.ok(&["insert", "tasks", r#"{"id":"a","title":"taken"}"#]);
        push_on(&device);
        let pending = device.pending();
        device.run(&["resolve", &device.seq(), "--server"]);
        (pending, device.ids("tasks"))
    });
    assert_eq!(before.0[0]["state"], "conflict");
    assert!(!before.0[0].to_string().contains(words));
    assert_eq!(before.1, [""; 0]);
    assert_eq!(today.0[0]["state"], "rejected");
    assert!(today.0[0]["message"].as_str().unwrap().contains(words));
    assert_eq!(today.1, ["a"]);
}
