//! Who may ask the server that the command runs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::json;

use crate::kit::{Device, Ran, Server, command};

/// The fixtures of the server's own tests.
fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transport/server/tests/tls");
    folder.join(name).to_str().unwrap().to_owned()
}

/// The answer to the bytes of one request.
fn ask(server: &Server, head: &str) -> String {
    let address = server.url();
    let mut stream = TcpStream::connect(address.split_once("://").unwrap().1).unwrap();
    let request = format!("{head}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn other_machines_cannot_ask_unless_it_is_said_how() {
    let (certificate, key) = (fixture("cert.pem"), fixture("key.pem"));
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let token = ["--token-env", "SYNCTABLE_TEST_TOKEN"];
    let device = Device::new();
    let serve = |more: &[&str], value: Option<&str>| {
        let mut serve = command(device.folder());
        serve
            .args(["serve", "--any-table", "--store", "sqlite:server.db"])
            .args(more);
        match value {
            Some(value) => serve.env("SYNCTABLE_TEST_TOKEN", value),
            None => serve.env_remove("SYNCTABLE_TEST_TOKEN"),
        };
        let ran = Ran::of(&mut serve).expect(2);
        assert!(!device.folder().join("server.db").exists(), "{ran:?}");
        ran.err
    };
    let open = ["--listen", "0.0.0.0:0"];
    for more in [&[][..], &token, &tls] {
        let said = serve(&[&open, more].concat(), Some("secret"));
        assert!(said.contains("--insecure"), "{said}");
    }
    let said = serve(&[&open[..], &token, &tls].concat(), None);
    assert!(said.contains("SYNCTABLE_TEST_TOKEN"), "{said}");
    let said = serve(&token, Some(""));
    assert!(said.contains("SYNCTABLE_TEST_TOKEN"), "{said}");
    let said = serve(&token, Some("two words"));
    assert!(!said.contains("two words"), "{said}");
    serve(&["--tls-cert", &certificate], None);
    serve(&["--tls-cert", &certificate, "--tls-key", "none.pem"], None);
    let said = serve(&["--tls-cert", &key, "--tls-key", &key], None);
    assert!(said.contains("there is no certificate"), "{said}");
    serve(&["--host", "http://a.example"], None);
    serve(&["--allow-origin", "*"], None);
}

#[test]
fn names_and_pages_that_were_not_allowed_are_refused() {
    let server = Server::todos();
    let get = "GET /tables/todoitem HTTP/1.1\r\nhost: ";
    assert!(ask(&server, &format!("{get}localhost")).starts_with("HTTP/1.1 200 "));
    assert!(ask(&server, &format!("{get}api.example")).starts_with("HTTP/1.1 403 "));
    let page = "localhost\r\norigin: null";
    assert!(ask(&server, &format!("{get}{page}")).starts_with("HTTP/1.1 403 "));
    assert!(ask(&server, "GET /tables/todoitem HTTP/1.1\r\nx: y").starts_with("HTTP/1.1 400 "));
    let server = Server::new(&[
        "--table",
        "todoitem",
        "--host",
        "api.example",
        "--host",
        "other.example",
        "--allow-origin",
        "null",
    ]);
    for host in ["localhost", "api.example", "other.example:8443"] {
        assert!(
            ask(&server, &format!("{get}{host}")).starts_with("HTTP/1.1 200 "),
            "{host}"
        );
    }
    let answer = ask(&server, &format!("{get}{page}"));
    assert!(
        answer.contains("access-control-allow-origin: null\r\n"),
        "{answer}"
    );
}

#[test]
fn a_device_with_the_token_syncs_by_tls() {
    let (certificate, key) = (fixture("cert.pem"), fixture("key.pem"));
    let server = Server::with_env(
        &[
            "--table",
            "todoitem:soft-delete",
            "--token-env",
            "SYNCTABLE_TEST_TOKEN",
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ],
        &[("SYNCTABLE_TEST_TOKEN", "secret")],
    );
    let url = server.url().replace("http://", "https://");
    let device = Device::new();
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    let push = |token: &str, dialect: &str| {
        Ran::of(
            command(device.folder())
                .args(["push", "--json", "--remote", &url, "--dialect", dialect])
                .args(["--auth-env", "SYNCTABLE_TEST_TOKEN"])
                .env("SYNCTABLE_TEST_TOKEN", token)
                .env("SSL_CERT_FILE", &certificate),
        )
    };
    let refused = push("other", "toolkit").expect(4);
    assert!(refused.err.contains("a sign-in is needed"), "{refused:?}");
    for (dialect, pushed) in [("toolkit", 1), ("zumo2", 0), ("zumo3", 0)] {
        let ran = push("secret", dialect).expect(0);
        assert_eq!(ran.line()["pushed"], json!(pushed), "{dialect}");
    }
}

/// A device whose server lost its file keeps its change, and learns why.
#[test]
#[cfg(unix)]
fn a_server_whose_store_was_removed_takes_no_change() {
    let server = Server::todos();
    let device = Device::of(&server);
    std::fs::remove_file(server.folder().join("synctable.db")).unwrap();
    device.ok(&["insert", "todoitem", r#"{"id":"a"}"#]);
    device.run(&["push"]).expect(3);
    let pending = device.ok(&["pending"]);
    assert_eq!(pending.line()["id"], "a");
    assert!(
        pending.out.contains("the server's store is gone"),
        "{pending:?}"
    );
}
