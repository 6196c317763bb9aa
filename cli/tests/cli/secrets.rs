//! Tokens and secret headers: where they may go, and that nobody reads them on the way.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread::{self, JoinHandle};

use crate::kit::{Device, Ran, Scripted, Server, command};

const VARIABLE: &str = "SYNCTABLE_TEST_TOKEN";
const PLAIN: &str = "http://synctable.invalid:8080";

/// Runs with a secret in the environment.
fn run(device: &Device, args: &[&str]) -> Ran {
    let ran = Ran::of(
        command(device.folder())
            .args(args)
            .env(VARIABLE, "very-secret"),
    );
    assert!(!ran.err.contains("very-secret") && !ran.out.contains("very-secret"));
    ran
}

#[test]
fn secrets_go_to_another_machine_by_tls_alone() {
    let device = Device::new();
    let header_env = format!("X-Key={VARIABLE}");
    for secret in [
        ["--auth-env", VARIABLE],
        ["--header-env", &header_env],
        ["--header", "Authorization: very-secret"],
    ] {
        let ran = run(
            &device,
            &[&["sync", "--remote", PLAIN], &secret[..]].concat(),
        )
        .expect(2);
        assert!(ran.err.contains(PLAIN), "{ran:?}");
        assert!(ran.err.contains("--insecure"), "{ran:?}");
        assert!(!device.store().exists(), "{ran:?}");
    }
    // Allowed, it gets as far as the name that is nobody's.
    let allowed = [
        "pull",
        "todoitem",
        "--remote",
        PLAIN,
        "--auth-env",
        VARIABLE,
    ];
    let ran = run(&device, &[&allowed[..], &["--insecure"]].concat()).expect(4);
    assert!(ran.err.contains("cannot reach"), "{ran:?}");
    // What is no secret needs no word.
    let plain = ["sync", "--remote", PLAIN, "--header", "X-App-Version: 1"];
    run(&Device::new(), &plain).expect(0);
}

#[test]
fn the_remembered_server_is_told_before_a_token_goes_there() {
    let server = Server::todos();
    let device = Device::of(&server);
    let quiet = ["pull", "todoitem", "--auth-env", VARIABLE, "--quiet"];
    let loud = &quiet[..4];
    let refused = run(&device, &quiet).expect(2);
    assert!(refused.err.contains(&server.url()), "{refused:?}");
    let compared = ["verify", "--remote", "--auth-env", VARIABLE];
    for ran in [run(&device, &compared), run(&device, loud)] {
        assert_eq!((ran.code, ran.err.lines().count()), (0, 1), "{ran:?}");
        assert!(ran.err.contains(&server.url()), "{ran:?}");
        assert!(ran.err.contains(VARIABLE), "{ran:?}");
    }
    // Once told, it is known.
    for args in [loud, &quiet, &compared] {
        assert_eq!(run(&device, args).expect(0).err, "");
    }
    // A server that is refused changes nothing of it.
    let other = Server::todos();
    let refused = run(&device, &[&quiet[..], &["--remote", &other.url()]].concat()).expect(2);
    assert!(refused.err.contains("--new-server"), "{refused:?}");
    run(&device, &quiet).expect(0);
    // Who names the server knows it.
    let named = ["--remote", &other.url(), "--new-server"];
    run(&device, &[&quiet[..], &named].concat()).expect(0);
    run(&device, &quiet).expect(0);
}

#[test]
fn the_doctor_tells_the_remembered_server_and_remembers_nothing() {
    let server = Server::todos();
    let device = Device::of(&server);
    device.ok(&["pull", "todoitem"]);
    let examine = ["doctor", "--auth-env", VARIABLE];
    for _ in 0..2 {
        let ran = run(&device, &examine);
        assert_eq!((ran.code, ran.err.lines().count()), (0, 1), "{ran:?}");
        assert!(ran.err.contains(&server.url()), "{ran:?}");
    }
    run(&device, &["doctor", "--auth-env", VARIABLE, "--quiet"]).expect(2);
}

/// A server that answers one request with no records. Gives its address, and the lines of the request's head.
fn one_answer() -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let head: Vec<String> = lines
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]";
        stream.write_all(answer.as_bytes()).unwrap();
        head
    });
    (url, head)
}

#[test]
fn a_header_takes_its_value_from_the_environment() {
    let (url, head) = one_answer();
    let device = Device::new();
    let header = format!("X-Key={VARIABLE}");
    let pull = [
        "pull",
        "todoitem",
        "--remote",
        &url,
        "--header-env",
        &header,
    ];
    run(&device, &pull).expect(0);
    let head = head.join().unwrap();
    assert!(head.contains(&"x-key: very-secret".to_owned()), "{head:?}");
}

#[test]
fn proxies_of_the_environment_are_on_the_way_to_other_machines() {
    let (url, head) = one_answer();
    let device = Device::new();
    let pull = |remote: &str, variables: &[(&str, &str)]| {
        let mut command = command(device.folder());
        for name in [
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
            "NO_PROXY",
            "no_proxy",
        ] {
            command.env_remove(name);
        }
        command.args(["pull", "todoitem", "--remote", remote]);
        Ran::of(command.envs(variables.iter().copied()))
    };
    let proxy = url.replace("http://", "http://user:very-secret@");
    let exempt = [("HTTP_PROXY", proxy.as_str()), ("NO_PROXY", "invalid")];
    pull(PLAIN, &exempt).expect(4);
    pull(PLAIN, &exempt[..1]).expect(0);
    let head = head.join().unwrap();
    let target = "GET http://synctable.invalid:8080/tables/todoitem?";
    assert!(head[0].starts_with(target), "{head:?}");
    assert!(head.contains(&"proxy-authorization: Basic dXNlcjp2ZXJ5LXNlY3JldA==".to_owned()));
    // Nobody is there any more, and to this machine goes no proxy.
    let gone = pull(PLAIN, &exempt[..1]).expect(4);
    assert!(
        gone.err.contains("the proxy") && !gone.err.contains("very-secret"),
        "{gone:?}"
    );
    let socks = [("ALL_PROXY", "socks5://u:very-secret@p:1")];
    let refused = pull(PLAIN, &socks).expect(2);
    assert!(refused.err.contains("ALL_PROXY"), "{refused:?}");
    assert!(!refused.err.contains("very-secret"), "{refused:?}");
    let server = Server::todos();
    let named = ["--new-server"];
    for variables in [&socks[..], &exempt[..1]] {
        let mut command = command(device.folder());
        command.args(["pull", "todoitem", "--remote", &server.url()]);
        Ran::of(command.args(named).envs(variables.iter().copied())).expect(0);
    }
}

/// The fixtures of the server's own tests.
fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transport/server/tests/tls");
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_company_s_root_and_a_client_certificate_are_read_from_files() {
    let (certificate, key) = (fixture("cert.pem"), fixture("key.pem"));
    let tls = [
        "--table",
        "todoitem",
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
    ];
    let server = Server::new(&tls);
    let url = server.url().replace("http://", "https://");
    let device = Device::new();
    let pull = |more: &[&str]| {
        run(
            &device,
            &[&["pull", "todoitem", "--remote", &url], more].concat(),
        )
    };
    let ran = pull(&[]);
    assert!(ran.code != 0, "{ran:?}");
    pull(&["--ca-file", &certificate]).expect(0);
    // A server that does not ask is not shown it.
    let shown = ["--client-cert", &certificate, "--client-key", &key];
    pull(&[&["--ca-file", &certificate], &shown[..]].concat()).expect(0);
    for bad in [
        &["--ca-file", "none.pem"][..],
        &["--ca-file", &key],
        &shown[..2],
        &shown[2..],
        &["--client-cert", &key, "--client-key", &key],
        &["--client-cert", &certificate, "--client-key", &certificate],
    ] {
        pull(bad).expect(2);
    }
}

#[test]
fn a_secret_that_is_not_there_is_told_before_anything_is_sent() {
    let server = Scripted::new(None);
    let device = Device::new();
    for (option, value) in [
        ("--header-env", "X-Key=SYNCTABLE_TEST_NOTHING"),
        ("--auth-env", "SYNCTABLE_TEST_NOTHING"),
        ("--header-env", "X-Key"),
        ("--header-env", "=SYNCTABLE_TEST_TOKEN"),
        ("--header-env", "Host=SYNCTABLE_TEST_TOKEN"),
        ("--header-env", "no name=SYNCTABLE_TEST_TOKEN"),
    ] {
        run(&device, &["sync", "--remote", &server.url, option, value]).expect(2);
    }
    assert_eq!(server.requests(), 0);
    assert!(!device.store().exists());
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_not_told_to_be_missing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let device = Device::new();
    for options in [
        &[
            "--auth-env",
            "SYNCTABLE_TEST_ODD",
            "--remote",
            "https://127.0.0.1:1",
        ][..],
        &[
            "--passphrase-env",
            "SYNCTABLE_TEST_ODD",
            "--store",
            "encrypted+sqlite:e.db",
        ],
    ] {
        let odd = OsStr::from_bytes(b"secret\xff");
        let mut command = command(device.folder());
        command
            .args(options)
            .arg("sync")
            .env("SYNCTABLE_TEST_ODD", odd);
        let refused = Ran::of(&mut command).expect(2);
        assert!(refused.err.contains("is not UTF-8 text"), "{refused:?}");
        assert!(!refused.err.contains("secret"), "{refused:?}");
    }
}
