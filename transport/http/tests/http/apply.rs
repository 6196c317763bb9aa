//! Changes: what is sent, and what each answer means.

use synctable_core::transport::{
    Change, ChangeKind, Conflict, Outcome, ServerRecord, Transport, TransportError,
    TransportErrorKind as Kind,
};
use synctable_core::{Record, RecordId, Version};

use crate::server::{Reply, Server};
use crate::{KINDS, change, id, todo};

const ITEM: &str = r#"{"id":"a","version":"v2","updatedAt":"2026-01-31T12:00:00.000Z","deleted":false,"title":"Milk"}"#;

async fn answered(kind: ChangeKind, reply: Reply) -> Result<Outcome, TransportError> {
    let server = Server::always(reply).await;
    let outcome = server.transport().apply(&todo(), &change(kind)).await;
    assert_eq!(server.requests().len(), 1);
    outcome
}

#[tokio::test]
async fn each_kind_of_change_has_its_request() {
    for (kind, method, target, if_match, body) in [
        (
            ChangeKind::Insert,
            "POST",
            "/tables/todo",
            None,
            r#"{"id":"a","title":"Milk"}"#,
        ),
        (
            ChangeKind::Replace,
            "PUT",
            "/tables/todo/a",
            Some("\"v1\""),
            r#"{"id":"a","title":"Milk"}"#,
        ),
        (
            ChangeKind::Delete,
            "DELETE",
            "/tables/todo/a",
            Some("\"v1\""),
            "",
        ),
        (
            ChangeKind::Undelete,
            "PUT",
            "/tables/todo/a?__includedeleted=true",
            Some("\"v1\""),
            r#"{"id":"a","deleted":false,"title":"Milk"}"#,
        ),
    ] {
        let server = Server::always(Reply::empty(204)).await;
        server
            .transport()
            .apply(&todo(), &change(kind))
            .await
            .unwrap();
        let request = server.request();
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            (method, target)
        );
        assert_eq!(request.header("if-match"), if_match);
        assert_eq!(request.body, body);
        let json = (!body.is_empty()).then_some("application/json");
        assert_eq!(request.header("content-type"), json);
        assert_eq!(request.header("accept"), Some("application/json"));
        assert_eq!(request.header("accept-encoding"), None);
        assert_eq!(request.header("x-operation-id"), None);
        assert_eq!(
            request.header("host"),
            Some(format!("127.0.0.1:{}", server.port()).as_str())
        );
    }
}

#[tokio::test]
async fn the_operation_id_goes_along() {
    let server = Server::always(Reply::empty(204)).await;
    let change = change(ChangeKind::Insert).with_operation_id("device-1/17");
    server.transport().apply(&todo(), &change).await.unwrap();
    assert_eq!(
        server.request().header("x-operation-id"),
        Some("device-1/17")
    );
}

#[tokio::test]
async fn an_item_says_what_the_record_now_is() {
    for kind in KINDS {
        for status in [200, 201] {
            let outcome = answered(kind, Reply::json(status, ITEM)).await.unwrap();
            let expected = Record::from_json(ITEM).unwrap();
            assert_eq!(
                outcome,
                Outcome::Applied(Some(expected)),
                "{kind:?} {status}"
            );
        }
    }
}

#[tokio::test]
async fn no_content_is_success_without_a_record() {
    for kind in KINDS {
        let outcome = answered(kind, Reply::empty(204)).await.unwrap();
        assert_eq!(outcome, Outcome::Applied(None), "{kind:?}");
    }
}

#[tokio::test]
async fn a_strong_etag_is_the_version() {
    for (etag, version) in [
        ("\"v3\"", "v3"),
        ("\"a\\\"b\"", "a\"b"),
        ("v3", "v3"),
        ("W/\"v3\"", "v2"),
        ("\"\"", "v2"),
    ] {
        for status in [200, 412] {
            let reply = Reply::with(status, &[("ETag", etag)], ITEM);
            let outcome = answered(ChangeKind::Replace, reply).await.unwrap();
            let (Outcome::Applied(Some(record))
            | Outcome::Conflict(Conflict {
                server: ServerRecord::Known(record),
                ..
            })) = outcome
            else {
                panic!("{status} {outcome:?}");
            };
            assert_eq!(record.version(), Some(&Version::new(version)), "{etag}");
        }
    }
}

#[tokio::test]
async fn success_with_an_unreadable_body_is_not_success() {
    let large = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(1 << 20));
    for body in [
        "",
        " ",
        "null",
        "{}",
        "[]",
        r#"["a"]"#,
        "ok",
        "<html></html>",
        r#"{"id":"a""#,
        r#"{"id":"a"}x"#,
        r#"{"id":5}"#,
        r#"{"id":["a"]}"#,
        r#"{"id":"a","version":{}}"#,
        r#"{"id":"a","n":1e999}"#,
        r#"[{"id":"a"}]"#,
        &large,
    ] {
        for kind in KINDS {
            for status in [200, 201] {
                let error = answered(kind, Reply::json(status, body)).await.unwrap_err();
                let kind = if body.len() > 1 << 20 {
                    Kind::TooLarge
                } else {
                    Kind::Protocol
                };
                assert_eq!(error.kind(), kind, "{status} {}", body.len());
            }
        }
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_not_success() {
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n".to_vec();
    bytes.extend(b"{\"id\":\"a\",\"x\":\"\xff");
    let error = answered(ChangeKind::Insert, Reply::raw(bytes))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_server_may_keep_an_insert_under_another_id_but_nothing_else() {
    let other = r#"{"id":"b","version":"v1","title":"Milk"}"#;
    for status in [200, 201] {
        for kind in KINDS {
            let answered = answered(kind, Reply::json(status, other)).await;
            if kind == ChangeKind::Insert {
                let kept = Record::from_json(other).unwrap();
                assert_eq!(answered.unwrap(), Outcome::OtherId(kept));
            } else {
                assert_eq!(answered.unwrap_err().kind(), Kind::Protocol, "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_empty_version_is_kept_as_it_came_and_never_sent() {
    let empty = r#"{"id":"a","version":"","title":"Milk"}"#;
    let outcome = answered(ChangeKind::Replace, Reply::json(200, empty)).await;
    let row = Record::from_json(empty).unwrap();
    assert_eq!(outcome.unwrap(), Outcome::Applied(Some(row)));
    for kind in KINDS {
        let server = Server::always(Reply::empty(204)).await;
        let change = change(kind).with_if_match(Some(Version::new("")));
        server.transport().apply(&todo(), &change).await.unwrap();
        assert_eq!(server.request().header("if-match"), None);
    }
}

#[tokio::test]
async fn versions_are_escaped_in_if_match() {
    for (version, header) in [
        ("AAAAAAAAB9E=", "\"AAAAAAAAB9E=\""),
        ("a\"b", "\"a\\\"b\""),
        ("a\\\"b", "\"a\\\"b\""),
        ("W/\"x\"", "\"W/\\\"x\\\"\""),
        ("a, \"b", "\"a, \\\"b\""),
    ] {
        let server = Server::always(Reply::empty(204)).await;
        let change = change(ChangeKind::Delete).with_if_match(Some(Version::new(version)));
        server.transport().apply(&todo(), &change).await.unwrap();
        assert_eq!(server.request().header("if-match"), Some(header));
    }
}

#[tokio::test]
async fn what_cannot_be_in_a_header_is_never_sent() {
    let server = Server::always(Reply::empty(204)).await;
    let transport = server.transport();
    for text in ["v\r\nX-Evil: 1", "v\n", "v\0", "\u{7f}"] {
        for change in [
            change(ChangeKind::Replace).with_if_match(Some(Version::new(text))),
            change(ChangeKind::Insert).with_operation_id(text),
        ] {
            let error = transport.apply(&todo(), &change).await.unwrap_err();
            assert_eq!(error.kind(), Kind::BadRequest);
            assert!(!error.to_string().chars().any(char::is_control));
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn ids_cannot_leave_their_path() {
    for (text, target) in [
        ("a b", "/tables/todo/a%20b"),
        ("100%", "/tables/todo/100%25"),
        ("é|:#&=;'", "/tables/todo/%C3%A9%7C%3A%23%26%3D%3B%27"),
        ("...", "/tables/todo/..."),
        ("%2e%2e", "/tables/todo/%252e%252e"),
    ] {
        let server = Server::always(Reply::empty(204)).await;
        let change = Change::new(ChangeKind::Delete, id(text));
        server.transport().apply(&todo(), &change).await.unwrap();
        assert_eq!(server.request().target, target);
    }
    let server = Server::always(Reply::empty(204)).await;
    let change = Change::new(
        ChangeKind::Delete,
        RecordId::system("a/../b?c HTTP/1.1\r\nX-Evil: 1"),
    );
    server.transport().apply(&todo(), &change).await.unwrap();
    let request = server.request();
    assert_eq!(
        request.target,
        "/tables/todo/a%2F..%2Fb%3Fc%20HTTP%2F1.1%0D%0AX-Evil%3A%201"
    );
    assert_eq!(request.header("x-evil"), None);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_rejected_unsent() {
    let server = Server::always(Reply::empty(204)).await;
    let transport = server.builder().record_limit(100).build().unwrap();
    let large = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(100));
    let change =
        Change::new(ChangeKind::Insert, id("a")).with_record(Record::from_json(&large).unwrap());
    let outcome = transport.apply(&todo(), &change).await.unwrap();
    assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_write_without_a_record_is_never_sent() {
    let server = Server::always(Reply::empty(204)).await;
    for kind in [
        ChangeKind::Insert,
        ChangeKind::Replace,
        ChangeKind::Undelete,
    ] {
        let change = Change::new(kind, id("a"));
        let error = server
            .transport()
            .apply(&todo(), &change)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn messages_are_one_line_and_name_the_place_without_query_and_credentials() {
    let url = |server: &Server| format!("127.0.0.1:{}/tables/todo/a", server.port());
    for status in [202, 302, 401, 403, 429, 500, 511] {
        let reply = Reply::json(status, "{\"error\":\"bad\\nthing\"}");
        let server = Server::always(reply).await;
        let transport = server
            .builder()
            .token("secret", synctable_http::AuthHeader::Bearer)
            .build()
            .unwrap();
        let error = transport
            .apply(&todo(), &change(ChangeKind::Undelete))
            .await
            .unwrap_err();
        let message = error.to_string();
        assert!(message.contains(&url(&server)), "{message}");
        assert!(
            !message.contains("secret") && !message.contains("includedeleted"),
            "{message}"
        );
        assert!(!message.chars().any(char::is_control), "{message}");
        assert!(!format!("{transport:?}").contains("secret"));
    }
}
