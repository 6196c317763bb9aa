//! A server that is upgraded, rolled back and upgraded again over the same records, at one address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::device::Device;
use crate::far_side::{FarSide, pass};
use crate::releases::Release;
use crate::server::Server;
use crate::together::{TABLE, agree};

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_server_is_upgraded_and_rolled_back_and_nobody_notices() {
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
    for (turn, release) in [
        Release::First,
        Release::Today,
        Release::First,
        Release::Today,
    ]
    .into_iter()
    .enumerate()
    {
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
