//! A server that is upgraded over the same records, at one address, and stores that 0.1 wrote.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::device::{Device, id};
use crate::far_side::{FarSide, pass};
use crate::releases::Release;
use crate::server::Server;
use crate::together::{TABLE, agree};

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_server_is_upgraded_and_nobody_notices() {
    let mut server = Server::new(Release::First, &[TABLE]);
    let address = Arc::new(Mutex::new(server.address.clone()));
    let current = Arc::clone(&address);
    let gate = FarSide::new(move |request| {
        let address = current.lock().unwrap().clone();
        pass(request, &address)
    });
    let devices: Vec<Device> = [Release::First, Release::Today, Release::Today]
        .map(|release| gate.device(release))
        .into();
    let mut expected = BTreeMap::new();
    for (turn, release) in Release::BOTH.into_iter().enumerate() {
        if turn > 0 {
            server = server.again(release);
            address.lock().unwrap().clone_from(&server.address);
        }
        for (n, device) in devices.iter().enumerate() {
            let id = format!("{turn}-{n}");
            device.insert(TABLE, &[&id]);
            expected.insert(id, json!({}));
            if turn > 0 {
                let before = format!("{}-{n}", turn - 1);
                let change = json!({ "turn": turn });
                device.ok(&["update", TABLE, &before, &change.to_string()]);
                expected.insert(before, change);
            }
        }
        agree(&devices, &expected);
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn the_first_release_refuses_a_store_that_was_brought_forward() {
    for store in ["sqlite:a.db", "redb:a.redb", "sled:a"] {
        let device = Device::with(Release::First, &["--store", store]);
        device.insert(TABLE, &["a"]);
        let today = device.after(Release::Today);
        today.insert(TABLE, &["b"]);
        for verb in [&["export", TABLE][..], &["insert", TABLE, "{}"], &["push"]] {
            let refused = device.run(verb);
            assert_ne!(refused.code, 0, "{store}");
            assert!(refused.err.contains("update"), "{refused:?}");
        }
        assert_eq!(today.ids(TABLE), ["a", "b"]);
        assert_eq!(today.pending().len(), 2);
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_process_of_the_first_release_writes_nothing_to_a_store_that_was_brought_forward() {
    let server = Server::new(Release::First, &[TABLE]);
    assert_eq!(server.post(TABLE, &json!({"id": "a"})).unwrap().status, 201);
    let store = server.device().after(Release::Today);
    store.run(&["inspect"]);
    let said = server.post(TABLE, &json!({"id": "b"})).unwrap();
    assert!(said.status >= 500, "{said:?}");
    let said = server.get(&format!("/tables/{TABLE}")).unwrap();
    assert!(said.status >= 500, "{said:?}");
    let server = server.again(Release::Today);
    let said = server.get(&format!("/tables/{TABLE}")).unwrap();
    let ids: Vec<String> = said.items().iter().map(id).collect();
    assert_eq!(ids, ["a"]);
}
