//! The rule as a table: what a request says, where it comes from, and whether it is let in.

use std::net::SocketAddr;

use http::Request;

use super::*;

const HERE: &str = "127.0.0.1:50000";
const AWAY: &str = "203.0.113.9:50000";

fn peer(remote: &str, local: &str) -> Peer {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Peer::new(address(remote), address(local))
}

fn door(hosts: &[&str], origins: &[&str]) -> Door {
    Door {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        origins: origins.iter().map(|text| text.parse().unwrap()).collect(),
        ..Door::default()
    }
}

fn head(target: &str, headers: &[(&str, &str)], peer: Option<Peer>) -> Parts {
    let mut request = Request::get(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(peer) = peer {
        request = request.extension(peer);
    }
    request.body(()).unwrap().into_parts().0
}

/// 200 where it is let in, else the status of the refusal.
fn status(door: &Door, head: &Parts) -> u16 {
    let judged = door.admit(head, Way::Http);
    judged.map_or_else(|failure| failure.status.as_u16(), |_| 200)
}

#[test]
fn only_names_that_the_server_was_given_are_asked_for() {
    let (shut, named) = (door(&[], &[]), door(&["api.example.com", "192.0.2.7"], &[]));
    for (host, by_default, with_names) in [
        ("localhost", 200, 200),
        ("localhost:8080", 200, 200),
        ("LOCALHOST", 200, 200),
        ("127.0.0.1:8080", 200, 200),
        ("[::1]:8080", 200, 200),
        ("api.example.com", 403, 200),
        ("Api.Example.Com.:443", 403, 200),
        ("192.0.2.7:8080", 403, 200),
        ("192.0.2.8:8080", 403, 403),
        ("evil.example", 403, 403),
        ("api.example.com.evil.example", 403, 403),
        ("evil-api.example.com", 403, 403),
        ("localhost.evil.example", 403, 403),
        ("0.0.0.0:8080", 403, 403),
        ("", 400, 400),
        (" ", 400, 400),
        ("a b", 400, 400),
        ("user@localhost", 400, 400),
        ("localhost, evil.example", 400, 400),
        ("localhost/evil", 400, 400),
        ("\\", 400, 400),
    ] {
        let head = head("/", &[("host", host)], None);
        assert_eq!(status(&shut, &head), by_default, "{host}");
        assert_eq!(status(&named, &head), with_names, "{host}");
    }
    let any = Door {
        any_host: true,
        ..Door::default()
    };
    assert_eq!(
        status(&any, &head("/", &[("host", "x.example")], None)),
        200
    );
    assert_eq!(status(&any, &head("/", &[("host", "a b")], None)), 400);
}

#[test]
fn one_host_is_named_and_each_place_that_names_one_is_judged() {
    let door = door(&["a.example"], &[]);
    let host = |host| ("host", host);
    for (target, headers, expected) in [
        ("/", vec![], 400),
        ("/", vec![host("localhost"), host("localhost")], 400),
        ("/", vec![host("localhost"), host("evil.example")], 400),
        ("http://a.example/", vec![host("localhost")], 200),
        ("http://evil.example/", vec![host("localhost")], 403),
        ("http://a.example/", vec![host("evil.example")], 403),
        ("http://me@a.example/", vec![host("a.example")], 400),
        ("http://a.example/", vec![], 400),
    ] {
        let head = head(target, &headers, None);
        assert_eq!(status(&door, &head), expected, "{target} {headers:?}");
    }
    // The older HTTP, and a call in the process, need none.
    let mut old = head("/", &[], None);
    assert!(door.admit(&old, Way::Call).is_ok());
    old.version = Version::HTTP_10;
    assert_eq!(status(&door, &old), 200);
    let foreign = head("/", &[("host", "evil.example")], None);
    assert!(door.admit(&foreign, Way::Call).is_err());
}

#[test]
fn the_address_that_was_reached_is_a_host() {
    let door = door(&[], &[]);
    for (host, local, expected) in [
        ("192.168.0.5:8080", "192.168.0.5:8080", 200),
        ("192.168.0.5", "192.168.0.5:8080", 200),
        ("192.168.0.5", "[::ffff:192.168.0.5]:8080", 200),
        ("192.168.0.6", "192.168.0.5:8080", 403),
        ("[2001:db8::1]", "[2001:db8::1]:8080", 200),
        ("evil.example", "192.168.0.5:8080", 403),
    ] {
        let head = head("/", &[("host", host)], Some(peer(AWAY, local)));
        assert_eq!(status(&door, &head), expected, "{host} at {local}");
    }
}

#[test]
fn pages_of_other_servers_are_let_in_by_name() {
    let shut = door(&["a.example"], &[]);
    let open = door(&["a.example"], &["https://app.example", "null", "file://"]);
    for (host, origin, by_default, with_origins) in [
        ("localhost:1", "http://localhost:1", 200, 200),
        ("a.example", "https://a.example", 200, 200),
        ("localhost:1", "http://localhost:2", 403, 403),
        ("localhost:1", "https://app.example", 403, 200),
        ("localhost:1", "https://app.example:8443", 403, 403),
        ("localhost:1", "http://app.example", 403, 403),
        ("localhost:1", "https://app.example.evil.example", 403, 403),
        ("localhost:1", "null", 403, 200),
        ("localhost:1", "file://", 403, 200),
        ("localhost:1", "evil", 403, 403),
        ("localhost:1", "", 403, 403),
    ] {
        let head = head("/", &[("host", host), ("origin", origin)], None);
        assert_eq!(status(&shut, &head), by_default, "{origin}");
        assert_eq!(status(&open, &head), with_origins, "{origin}");
    }
    let twice = [
        ("host", "localhost"),
        ("origin", "null"),
        ("origin", "null"),
    ];
    assert_eq!(status(&open, &head("/", &twice, None)), 400);
    let own = head(
        "/",
        &[("host", "a.example"), ("origin", "http://a.example")],
        None,
    );
    assert_eq!(open.admit(&own, Way::Http).unwrap().origin, None);
    let other = head("/", &[("host", "a.example"), ("origin", "null")], None);
    let origin = open.admit(&other, Way::Http).unwrap().origin;
    assert_eq!(origin, Some(HeaderValue::from_static("null")));
}

#[test]
fn a_proxy_is_believed_on_the_same_machine_or_when_the_operator_says_so() {
    let (usual, trusting) = (
        door(&[], &[]),
        Door {
            trust_proxy: true,
            ..Door::default()
        },
    );
    let here = "127.0.0.1:8080";
    for (remote, by_default) in [
        (Some(peer(HERE, here)), true),
        (Some(peer("[::1]:5", "[::1]:8080")), true),
        (Some(peer("[::ffff:127.0.0.1]:5", here)), true),
        (Some(peer(AWAY, here)), false),
        (None, false),
    ] {
        for (name, value) in [("x-forwarded-proto", "https"), ("forwarded", "proto=https")] {
            let head = head("/", &[("host", "localhost"), (name, value)], remote);
            let https = |door: &Door| door.admit(&head, Way::Http).unwrap().https;
            assert_eq!(https(&usual), by_default, "{name} {remote:?}");
            assert!(https(&trusting), "{name} {remote:?}");
        }
        let plain = head("/", &[("host", "localhost")], remote);
        assert!(!trusting.admit(&plain, Way::Http).unwrap().https);
    }
    let sealed = head(
        "/",
        &[("host", "localhost")],
        Some(peer(AWAY, here).over_tls()),
    );
    assert!(usual.admit(&sealed, Way::Http).unwrap().https);
}
