//! Another server, and another account.

use serde_json::json;

use crate::device::Device;
use crate::far_side::FarSide;
use crate::releases::{Release, both};
use crate::server::Server;
use crate::together::TABLE;

#[test]
#[ignore = "needs the command of release 0.1"]
fn another_server_is_not_taken_for_the_first_one() {
    for (serving, fetched, ids) in [
        // The row is skipped without a word ..
        (Release::First, 0, &["ours"][..]),
        // .. or is put among those of the first one, as 0.1 does not take the order of these servers for the one that it knows, and looks back.
        (Release::Today, 1, &["ours", "theirs"]),
    ] {
        another_server(serving, fetched, ids);
    }
}

/// How many rows 0.1 fetches from a second server, and what it then holds.
fn another_server(serving: Release, fetched: usize, ids: &[&str]) {
    let [before, today] = both(|release| {
        let (one, two) = (
            Server::new(serving, &[TABLE]),
            Server::new(serving, &[TABLE]),
        );
        // The rows of the second server are older than what was pulled from the first.
        for (server, id) in [(&two, "theirs"), (&one, "ours")] {
            let other = Device::of(Release::Today, &server.url());
            other.insert(TABLE, &[id]);
            other.ok(&["push"]);
        }
        let device = Device::of(release, &one.url());
        device.ok(&["pull", TABLE]);
        let ran = device.run(&["pull", TABLE, "--remote", &two.url()]);
        let ids = device.ids(TABLE);
        (ran, ids, device, [one, two])
    });
    assert_eq!(
        (before.0.code, before.0.line()["fetched"].clone()),
        (0, json!(fetched))
    );
    assert_eq!(before.1, ids, "a server of {serving:?}");
    assert_eq!(today.0.code, 2, "{:?}", today.0);
    for flag in ["--same-server", "--new-server"] {
        assert!(today.0.err.contains(flag), "{:?}", today.0);
    }
    let url = today.3[1].url();
    today
        .2
        .ok(&["pull", TABLE, "--remote", &url, "--new-server"]);
    assert_eq!(today.2.ids(TABLE), ["theirs"]);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn what_one_account_wrote_is_not_sent_with_the_token_of_another() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &[TABLE]);
        let gate = FarSide::before(&server, |_| None);
        let device = Device::new(release);
        // 0.1 knows tokens alone.
        let as_user = |name: &str, args: &[&str]| {
            let mut command = device.command(args);
            command.args(["--remote", &gate.url, "--auth-env", "TOKEN"]);
            command.env("TOKEN", name);
            if release == Release::Today {
                command.args(["--account", name]);
            }
            let output = command.output().unwrap();
            (
                output.status.code(),
                String::from_utf8(output.stderr).unwrap(),
            )
        };
        as_user("ada", &["pull", TABLE]);
        device.insert(TABLE, &["diary"]);
        let ran = as_user("bob", &["push"]);
        let token = |seen: &crate::far_side::Seen| {
            seen.headers["authorization"].to_str().unwrap().to_owned()
        };
        (ran, gate.writes().iter().map(token).collect::<Vec<_>>())
    });
    assert_eq!(
        (before.0.0, before.1),
        (Some(0), vec!["Bearer bob".to_owned()])
    );
    assert_eq!(today.0.0, Some(2), "{today:?}");
    assert!(today.0.1.contains("--switch-account"), "{today:?}");
    assert!(today.1.is_empty(), "{today:?}");
}
