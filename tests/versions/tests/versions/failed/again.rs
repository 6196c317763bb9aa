//! The same once more: a copy of a device, a record that comes back, a record that goes twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};

use super::mine::push_on;
use crate::device::Device;
use crate::far_side::{FarSide, Reply, writes};
use crate::releases::{Release, both};
use crate::server::Server;
use crate::together::TABLE;

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_device_that_is_restored_from_a_copy_really_sends_an_equal_change() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &[TABLE]);
        let device = Device::of(release, &server.url());
        device.ok(&["insert", TABLE, r#"{"id":"a","done":false}"#]);
        device.ok(&["sync"]);
        let copy = device.folder().join("copy");
        std::fs::copy(device.folder().join("synctable.db"), &copy).unwrap();
        let tick = ["update", TABLE, "a", r#"{"done":true}"#];
        device.ok(&tick);
        device.ok(&["push"]);
        let other = Device::of(Release::Today, &server.url());
        other.ok(&["pull", TABLE]);
        other.ok(&["update", TABLE, "a", r#"{"done":false}"#]);
        other.ok(&["push"]);

        let store = format!("sqlite:{}", copy.display());
        let restored = Device::with(release, &["--store", &store]);
        restored.ok(&tick);
        let pushed = restored.run(&["push"]);
        other.ok(&["pull", TABLE]);
        let there = other.record(TABLE, "a").unwrap()["done"].clone();
        (pushed.lines(), restored.states(), there)
    });
    // It was said to be sent, and is not there.
    assert_eq!(
        (&before.0[0]["pushed"], &before.2),
        (&json!(1), &json!(false))
    );
    assert_eq!(today.1["a"], "conflict");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_record_that_is_deleted_and_made_again_comes_back() {
    for dialect in ["toolkit", "zumo2", "zumo3"] {
        let [before, today] = both(|release| {
            let server = Server::new(Release::Today, &[TABLE]);
            let device = Device::with(release, &["--dialect", dialect]);
            device.ok(&["push", "--remote", &server.url()]);
            device.ok(&["insert", TABLE, r#"{"id":"a","text":"first"}"#]);
            device.ok(&["push"]);
            device.ok(&["delete", TABLE, "a"]);
            device.ok(&["push"]);
            device.ok(&["insert", TABLE, r#"{"id":"a","text":"again"}"#]);
            push_on(&device);
            let other = Device::of(Release::Today, &server.url());
            other.ok(&["pull", TABLE]);
            let there = other.record(TABLE, "a").map(|row| row["text"].clone());
            (device.states(), there)
        });
        assert_eq!(before.0["a"], "conflict", "{dialect}: {before:?}");
        assert_eq!(today, (BTreeMap::new(), Some(json!("again"))), "{dialect}");
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_record_that_is_gone_at_the_server_and_deleted_here_ends() {
    for forgetful in [false, true] {
        let [before, today] = both(|release| {
            let server = if forgetful {
                Server::forgetful(Release::Today, &[TABLE])
            } else {
                Server::new(Release::Today, &[TABLE])
            };
            let gate = FarSide::before(&server, |_| None);
            let device = gate.device(release);
            device.insert(TABLE, &["a"]);
            device.ok(&["push"]);
            let other = Device::of(Release::Today, &server.url());
            other.ok(&["pull", TABLE]);
            other.ok(&["delete", TABLE, "a"]);
            other.ok(&["push"]);
            device.ok(&["update", TABLE, "a", r#"{"n":1}"#]);
            device.run(&["push"]).expect(3);
            let parked = device.states();
            device.ok(&["delete", TABLE, "a"]);
            push_on(&device);
            (parked, device.states())
        });
        assert_eq!(before.1["a"], "conflict", "forgetful: {forgetful}");
        assert_eq!(today.1, BTreeMap::new(), "forgetful: {forgetful}");
    }
}

/// Edits of `a` and `b` are marked to be sent, and `a` is on its way: its connection breaks each time. Meanwhile `b` is edited once more,
/// which is discarded.
fn discarded(release: Release) -> (Vec<String>, Value) {
    let server = Server::new(Release::Today, &[TABLE]);
    let (reached, arrived) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let gate = FarSide::before(&server, move |request| {
        if !writes(request, "a") || !breaks.load(Ordering::SeqCst) {
            return None;
        }
        // The first time; later there is nobody to wait for.
        let _ = reached.send(());
        let _ = held.lock().unwrap().recv();
        Some(Reply::Cut)
    });
    let device = gate.device(release);
    device.insert(TABLE, &["a", "b"]);
    device.ok(&["push"]);
    for id in ["a", "b"] {
        device.ok(&["update", TABLE, id, r#"{"first":1}"#]);
    }
    broken.store(true, Ordering::SeqCst);
    let mut push = device.start(&["push"]);
    arrived.recv().unwrap();
    device.ok(&["update", TABLE, "b", r#"{"second":2}"#]);
    let pending = device.pending();
    let last = pending.last().unwrap()["seq"].to_string();
    device.ok(&["discard", &last]);
    drop(go_on);
    push.0.wait().unwrap();
    broken.store(false, Ordering::SeqCst);
    push_on(&device);
    assert!(device.pending().is_empty());
    let other = Device::of(Release::Today, &server.url());
    other.ok(&["pull", TABLE]);
    let sent = gate.writes().into_iter().map(|seen| seen.body).collect();
    (sent, other.record(TABLE, "b").unwrap())
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn an_edit_that_was_discarded_behind_one_at_the_server_is_not_sent() {
    let [before, today] = both(discarded);
    assert_eq!(
        (&today.1["first"], today.1.get("second")),
        (&json!(1), None),
        "{today:?}"
    );
    assert_eq!(before.1["second"], 2, "{before:?}");
}
