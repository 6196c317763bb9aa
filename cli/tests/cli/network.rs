//! Servers that cannot be reached, refuse, or talk nonsense: nothing is lost.

use std::process::Stdio;

use serde_json::Value;

use crate::kit::{Device, Ran, Running, Scripted, Server, command};

/// A device with one change to push.
fn device() -> Device {
    let device = Device::new();
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    device
}

fn push(device: &Device, url: &str, code: i32) -> Ran {
    let ran = device.run(&["push", "--remote", url]).expect(code);
    assert_eq!(ran.out, "");
    let pending = device.ok(&["pending"]).lines();
    assert_eq!((pending.len(), &pending[0]["id"]), (1, &"a".into()));
    device.ok(&["get", "todoitem", "a"]);
    ran
}

#[test]
fn a_server_that_is_not_there_exits_4() {
    let device = device();
    // The port was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    push(&device, &url, 4);
    device.run(&["pull", "todoitem"]).expect(4);
    device.run(&["pull", "other"]).expect(4);
    device.run(&["sync"]).expect(4);
    // The next server replaces the remembered one.
    let server = Server::todos();
    device.ok(&["push", "--remote", &server.url()]);
    device.ok(&["pull", "todoitem"]);
}

#[test]
fn a_server_that_refuses_the_credentials_exits_4() {
    let refusing = Scripted::new(Some(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ));
    let device = device();
    let refused = push(&device, &refusing.url, 4);
    assert!(refused.err.contains("a sign-in is needed"), "{refused:?}");
    assert!(!refused.err.contains("reach"), "{refused:?}");
    for args in [&["pull", "todoitem"][..], &["sync"]] {
        let refused = device.run(args).expect(4);
        assert!(refused.err.contains("a sign-in is needed"), "{refused:?}");
    }
    let ran = Ran::of(
        command(device.folder())
            .args(["push", "--remote", &refusing.url])
            .args(["--auth-env", "SYNCTABLE_TEST_TOKEN"])
            .env("SYNCTABLE_TEST_TOKEN", "very-secret"),
    );
    assert!(!ran.expect(4).err.contains("very-secret"));
}

#[test]
fn a_busy_server_is_asked_three_times_but_sent_each_change_once() {
    let busy = Scripted::new(Some(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\nretry-after: 0\r\n\r\n",
    ));
    let device = device();
    push(&device, &busy.url, 4);
    // Three reads, before anything is sent: is it the store's server?
    assert_eq!(busy.requests(), 3);
}

#[test]
fn a_server_that_is_silent_is_given_up_after_the_timeout() {
    let silent = Scripted::new(None);
    let device = device();
    device
        .run(&["push", "--remote", &silent.url, "--timeout", "0.2"])
        .expect(4);
    // One read, which is not repeated: it may take as long each time. Nothing is sent to a server that has never answered.
    assert_eq!(silent.requests(), 1);
    let pending = device.ok(&["pending"]).line();
    assert_eq!(pending["state"], "pending");
    let server = Server::todos();
    device.ok(&["push", "--remote", &server.url()]);
    assert_eq!(device.ok(&["verify", "--remote"]).line()["ok"], true);
}

#[test]
fn nonsense_exits_1() {
    let nonsense = Scripted::new(Some(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 6\r\nconnection: close\r\n\r\n\"what\"",
    ));
    let device = Device::new();
    device
        .run(&["pull", "todoitem", "--remote", &nonsense.url])
        .expect(1);
    push(&self::device(), &nonsense.url, 1);
}

#[test]
fn the_page_of_a_network_is_no_server() {
    let hotel = Scripted::new(Some(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>",
    ));
    let ran = push(&device(), &hotel.url, 4);
    assert!(ran.err.contains("the network answers in place"), "{ran:?}");
}

#[test]
fn a_table_that_the_server_does_not_have_exits_1() {
    let server = Server::todos();
    let device = Device::of(&server);
    let ran = device.run(&["pull", "attic"]).expect(1);
    assert!(ran.err.contains("attic"), "{ran:?}");
    assert!(device.remote().starts_with("http://127.0.0.1:"));
}

/// A `push` as a process, once its first request is at the server.
fn pushing(device: &Device, server: &Scripted) -> Running {
    let before = server.requests();
    let mut push = command(device.folder());
    push.args(["push", "--remote", &server.url, "--timeout", "100"]);
    let push = Running(
        push.stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    while server.requests() == before {
        std::thread::yield_now();
    }
    push
}

#[test]
fn one_process_pushes_at_a_time_and_another_waits_until_it_is_gone() {
    let (silent, server) = (Scripted::new(None), Server::todos());
    let device = device();
    let first = pushing(&device, &silent);
    let refused = device
        .run(&["push", "--remote", &server.url(), "--timeout", "0.1"])
        .expect(1);
    assert!(
        refused.err.contains("another process is pushing"),
        "{refused:?}"
    );
    // The server that it waits for has never answered: nothing was sent.
    assert_eq!(device.ok(&["pending"]).line()["state"], "pending");
    let mut pull = command(device.folder());
    let pull = pull
        .args(["--json", "pull", "todoitem"])
        .stdout(Stdio::piped());
    let pull = pull.spawn().unwrap();
    // Killed.
    drop(first);
    let pulled = pull.wait_with_output().unwrap();
    let line: Value = serde_json::from_slice(&pulled.stdout).unwrap();
    assert_eq!(line["pushed"], 1, "{pulled:?}");
    assert_eq!(device.ok(&["verify", "--remote"]).line()["ok"], true);
}
