//! Tokens and keys: where they go, who can read them, and what they are worth.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::device::Device;
use crate::far_side::{FarSide, Reply};
use crate::releases::{Release, both};
use crate::server::Server;
use crate::together::TABLE;

const TOKEN: (&str, &str) = ("SYNCTABLE_TEST_TOKEN", "very-secret");
const AUTH: [&str; 2] = ["--auth-env", TOKEN.0];

/// A server that has nothing.
fn nothing() -> FarSide {
    FarSide::new(|_| Reply::json(200, r#"{"items":[]}"#))
}

/// Whether the token arrived.
fn has_token(site: &FarSide) -> bool {
    let mut headers = site.seen().into_iter().map(|seen| seen.headers);
    headers.any(|headers| headers.contains_key("authorization"))
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_token_does_not_go_to_another_machine_in_the_open() {
    let [before, today] = both(|release| {
        let site = nothing();
        // It is this machine, by an address that does not say so.
        let url = site.url.replace("127.0.0.1", "0.0.0.0");
        let device = Device::new(release);
        let pull = [&["pull", TABLE, "--remote", &url], &AUTH[..]].concat();
        let ran = device.text_with(&[TOKEN], &pull);
        (ran.code, has_token(&site), ran.err)
    });
    assert_eq!((before.0, before.1), (0, true));
    assert_eq!((today.0, today.1), (2, false));
    assert!(today.2.contains("--insecure"), "{today:?}");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_remembered_server_is_shown_before_a_token_goes_there() {
    let [before, today] = both(|release| {
        let site = nothing();
        let device = site.device(release);
        let pull = [&["pull", TABLE], &AUTH[..]].concat();
        let quiet = device.text_with(&[TOKEN], &[&pull[..], &["--quiet"]].concat());
        let quietly = has_token(&site);
        let ran = device.text_with(&[TOKEN], &pull).expect(0);
        (quiet.code, quietly, ran.err.contains(&site.url))
    });
    assert_eq!(before, (0, true, false));
    assert_eq!(today, (2, false, true));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_secret_header_is_not_seen_in_the_list_of_processes() {
    let [before, today] = both(|release| {
        let site = nothing();
        let device = Device::new(release);
        let header = format!("X-Key={}", TOKEN.0);
        let pull = [
            "pull",
            TABLE,
            "--remote",
            &site.url,
            "--header-env",
            &header,
        ];
        let code = device.text_with(&[TOKEN], &pull).code;
        let seen = site.seen();
        let sent = seen.first().map(|seen| seen.headers["x-key"].clone());
        (code, sent)
    });
    assert_eq!(before, (2, None));
    assert_eq!(today.0, 0);
    assert_eq!(today.1.unwrap(), TOKEN.1);
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_key_that_others_can_read_makes_no_store() {
    let [before, today] = both(|release| {
        let device = Device::new(release);
        device.write("app.key", &"0a".repeat(32));
        let path = device.folder().join("app.key");
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let store = ["--store", "encrypted+redb:a.redb", "--key-file", "app.key"];
        let ran = device.run(&[&store[..], &["insert", TABLE, "{}"]].concat());
        (ran.code, ran.err.contains("chmod 600"))
    });
    assert_eq!((before, today), ((0, false), (2, true)));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_passphrase_that_is_easy_to_guess_makes_no_store() {
    for (phrase, code) in [
        ("Passw0rd!2024", 2),
        ("velvet anchor plinth morose quill", 0),
    ] {
        let [before, today] = both(|release| {
            let device = Device::new(release);
            let store = [
                "--store",
                "encrypted+redb:a.redb",
                "--passphrase-env",
                "PHRASE",
            ];
            let insert = [&store[..], &["insert", TABLE, "{}"]].concat();
            let ran = device.text_with(&[("PHRASE", phrase)], &insert);
            assert!(!ran.err.contains(phrase), "{ran:?}");
            ran.code
        });
        assert_eq!((before, today), (0, code), "{phrase}");
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_key_is_made_for_its_owner_alone() {
    let [before, today] = both(|release| {
        let device = Device::new(release).behind("umask 022");
        let code = device.run(&["keygen", "app.key"]).code;
        let made = fs::metadata(device.folder().join("app.key"));
        (
            code,
            made.ok()
                .map(|file| (file.len(), file.permissions().mode() & 0o777)),
        )
    });
    assert_eq!((before, today), ((2, None), (0, Some((32, 0o600)))));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_proxy_of_the_environment_is_on_the_way() {
    let [before, today] = both(|release| {
        let proxy = nothing();
        let device = Device::new(release);
        let pull = ["pull", TABLE, "--remote", "http://synctable.invalid"];
        let variables = [("HTTP_PROXY", proxy.url.as_str()), ("NO_PROXY", "")];
        let code = device.text_with(&variables, &pull).code;
        (
            code,
            proxy
                .seen()
                .iter()
                .any(|seen| seen.line.contains("http://synctable.invalid/")),
        )
    });
    assert_eq!((before, today), ((4, false), (0, true)));
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn the_root_certificate_of_a_company_is_read_from_a_file() {
    // The fixtures of the server's own tests.
    let fixture = |name: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let path = root.join("transport/server/tests/tls").join(name);
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (fixture("cert.pem"), fixture("key.pem"));
    let table = ["--table", TABLE];
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let [before, today] = both(|release| {
        let server = Server::with(
            Device::new(Release::Today),
            &[table, [tls[0], tls[1]], [tls[2], tls[3]]].concat(),
        );
        let url = server.url().replace("http://", "https://");
        let device = Device::new(release);
        let pull = ["pull", TABLE, "--remote", &url];
        let trusting = [&pull[..], &["--ca-file", &certificate]].concat();
        (device.run(&pull).code != 0, device.run(&trusting).code)
    });
    assert_eq!((before, today), ((true, 2), (true, 0)));
}
