//! Deleted records that come back in two requests.

use synctable_core::Record;
use synctable_core::transport::{ChangeKind, Outcome, Transport, TransportErrorKind as Kind};
use synctable_http::{Dialect, HttpTransport};

use crate::server::{Reply, Request, Server};
use crate::{change, todo};

const ROW: &str = r#"{"id":"a","version":"Mg==","updatedAt":"2026-01-31T12:00:00.000Z","deleted":false,"title":"Milk"}"#;

fn speaking(server: &Server, dialect: Dialect) -> HttpTransport {
    server.builder().dialect(dialect).build().unwrap()
}

fn record(json: &str) -> Record {
    Record::from_json(json).unwrap()
}

fn line(request: &Request) -> (&str, &str, &str) {
    (&request.method, &request.target, &request.body)
}

#[tokio::test]
async fn zumo2_undeletes_and_then_patches() {
    let server = Server::scripted(|n, _| match n {
        0 => Reply::with(
            201,
            &[("etag", "\"v2\"")],
            r#"{"id":"a","version":"v2","title":"Tea"}"#,
        ),
        _ => Reply::json(200, ROW),
    })
    .await;
    let transport = speaking(&server, Dialect::Zumo2);
    let outcome = transport
        .apply(&todo(), &change(ChangeKind::Undelete))
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Applied(Some(record(ROW))));
    let requests = server.requests();
    assert_eq!(line(&requests[0]), ("POST", "/tables/todo/a", ""));
    assert_eq!(requests[0].header("if-match"), Some("\"v1\""));
    let body = r#"{"id":"a","title":"Milk"}"#;
    assert_eq!(line(&requests[1]), ("PATCH", "/tables/todo/a", body));
    assert_eq!(requests[1].header("if-match"), Some("\"v2\""));
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn zumo2_owns_up_to_a_change_that_is_half_done() {
    for (reply, kind) in [
        (Reply::empty(401), Kind::Broken),
        (Reply::empty(403), Kind::Broken),
        (Reply::empty(503), Kind::Busy),
        (Reply::raw("").and_close(), Kind::Broken),
    ] {
        let server = Server::scripted(move |n, _| match n {
            0 => Reply::json(201, r#"{"id":"a","version":"v2","title":"Tea"}"#),
            _ => reply.clone(),
        })
        .await;
        let error = speaking(&server, Dialect::Zumo2)
            .apply(&todo(), &change(ChangeKind::Undelete))
            .await
            .unwrap_err();
        // The record is back: no failure of what follows may look as if nothing had happened.
        assert_eq!(error.kind(), kind);
        assert!(!error.kind().had_no_effect(), "{error:?}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn zumo3_puts_the_whole_where_a_patch_kept_members() {
    let server = Server::scripted(|n, _| match n {
        0 => Reply::json(
            200,
            r#"{"id":"a","version":"v2","title":"Milk","done":true}"#,
        ),
        _ => Reply::json(200, ROW),
    })
    .await;
    let outcome = speaking(&server, Dialect::Zumo3)
        .apply(&todo(), &change(ChangeKind::Undelete))
        .await;
    assert_eq!(outcome.unwrap(), Outcome::Applied(Some(record(ROW))));
    let requests = server.requests();
    assert_eq!(requests[0].method, "PATCH");
    let body = r#"{"id":"a","title":"Milk"}"#;
    assert_eq!(line(&requests[1]), ("PUT", "/tables/todo/a", body));
    assert_eq!(requests[1].header("if-match"), Some("\"v2\""));
}
