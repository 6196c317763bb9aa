//! A store that meets another server, or is used by another account.

use serde_json::json;

use crate::kit::{Device, Ran, Server};

/// A device that pulled the row `a` from the first server, and a second server with the row `b`.
fn with_two_servers() -> (Device, Server, Server) {
    let (one, two) = (Server::todos(), Server::todos());
    for (server, id) in [(&one, "a"), (&two, "b")] {
        let other = Device::of(server);
        other.ok(&["insert", "todoitem", &json!({ "id": id }).to_string()]);
        other.ok(&["push"]);
    }
    let device = Device::of(&one);
    device.ok(&["pull", "todoitem"]);
    (device, one, two)
}

fn ids(device: &Device) -> Vec<String> {
    let lines = device.ok(&["query", "todoitem", "$orderby=id"]).lines();
    lines
        .iter()
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect()
}

fn names(ran: &Ran, flags: [&str; 2]) {
    assert!(flags.iter().all(|flag| ran.err.contains(flag)), "{ran:?}");
    assert!(ran.out.is_empty(), "{ran:?}");
}

#[test]
fn another_server_is_refused_until_something_is_said() {
    let (device, one, two) = with_two_servers();
    let (flags, url) = (["--same-server", "--new-server"], two.url());
    for verb in [&["pull", "todoitem"][..], &["push"], &["sync"], &["verify"]] {
        let args = [verb, &["--remote", &url]].concat();
        names(&device.run(&args).expect(2), flags);
        assert_eq!(ids(&device), ["a"], "{verb:?}");
    }
    // The address was not taken over.
    device.ok(&["insert", "todoitem", r#"{"id":"c"}"#]);
    names(&device.run(&["push", "--remote", &url]).expect(2), flags);
    assert_eq!(device.ok(&["push"]).line()["pushed"], 1);
    let other = Device::of(&one);
    other.ok(&["pull", "todoitem"]);
    assert_eq!(ids(&other), ["a", "c"]);
}

#[test]
fn a_new_server_starts_anew() {
    let (device, _one, two) = with_two_servers();
    device.ok(&["insert", "todoitem", r#"{"id":"c"}"#]);
    let args = ["pull", "todoitem", "--remote", &two.url(), "--new-server"];
    let refused = device.run(&args).expect(1);
    assert!(refused.err.contains("--discard"), "{refused:?}");
    assert_eq!(ids(&device), ["a", "c"]);
    let args = [&args[..], &["--discard"]].concat();
    assert_eq!(device.ok(&args).line()["added"], 1);
    assert_eq!(ids(&device), ["b"]);
    // Said again it removes nothing, and the address is remembered.
    device.ok(&["sync", "--new-server"]);
    assert_eq!(device.ok(&["pull", "todoitem"]).line()["added"], 0);
    device.ok(&["verify", "--remote"]);
}

#[test]
fn the_same_server_goes_on() {
    let (device, _one, two) = with_two_servers();
    let args = ["push", "--remote", &two.url(), "--same-server"];
    device.ok(&args);
    assert_eq!(ids(&device), ["a"]);
    assert_eq!(device.ok(&["pull", "todoitem"]).line()["deleted"], 0);
}

#[test]
fn a_server_under_another_name_is_known_by_its_id() {
    let (device, one, _two) = with_two_servers();
    let other_name = one.url().replace("127.0.0.1", "localhost");
    device.ok(&["insert", "todoitem", r#"{"id":"c"}"#]);
    let pushed = device.ok(&["push", "--remote", &other_name]).line();
    assert_eq!(pushed["pushed"], 1);
    device.ok(&["sync", "--remote", &one.url()]);
}

#[test]
fn accounts_are_remembered_and_told_apart() {
    let server = Server::todos();
    let device = Device::of(&server);
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#, "--account", "ada"]);
    let flags = ["--keep-data", "--switch-account"];
    // What waits was made by somebody without a name.
    let other = Device::of(&server);
    other.ok(&["insert", "todoitem", r#"{"id":"o"}"#]);
    names(&other.run(&["push", "--account", "bob"]).expect(2), flags);
    other.ok(&["push", "--account", "bob", "--keep-data"]);

    for verb in [&["pull", "todoitem"][..], &["push"], &["sync"]] {
        let args = [verb, &["--account", "bob"]].concat();
        names(&device.run(&args).expect(2), flags);
    }
    let bob = ["sync", "--account", "bob", "--switch-account"];
    let refused = device.run(&bob).expect(1);
    assert!(refused.err.contains("--discard"), "{refused:?}");
    // Without a name it is hers still.
    assert_eq!(device.ok(&["push"]).line()["pushed"], 1);
    device.ok(&bob);
    assert_eq!(ids(&device), ["a", "o"]);
    device.ok(&["sync", "--account", "bob"]);
    names(&device.run(&["sync", "--account", "ada"]).expect(2), flags);
    device.ok(&["sync", "--account", "ada", "--keep-data"]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let device = Device::new();
    for args in [
        &["push", "--same-server", "--new-server"][..],
        &["--same-server", "push", "--new-server"],
        &["push", "--keep-data", "--switch-account"],
        &["push", "--discard"],
        &["query", "todoitem", "--new-server"],
        &["insert", "todoitem", "{}", "--keep-data"],
        &["push", "--account", " "],
        &["push", "--account"],
    ] {
        device.run(args).expect(2);
    }
    assert!(!device.store().exists());
}
