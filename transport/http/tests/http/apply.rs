//! Changes: what is sent, and what each answer means.

use std::time::Duration;

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

fn conflict(server: ServerRecord) -> Outcome {
    Outcome::Conflict(Conflict::new(server))
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
        for status in [200, 409, 412] {
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
async fn a_conflict_shows_the_record_of_the_server() {
    for kind in KINDS {
        for status in [409, 412] {
            let outcome = answered(kind, Reply::json(status, ITEM)).await.unwrap();
            let expected = Record::from_json(ITEM).unwrap();
            assert_eq!(outcome, conflict(ServerRecord::Known(expected)));
        }
    }
}

#[tokio::test]
async fn a_conflict_without_the_record_leaves_it_unknown() {
    for body in [
        "",
        "{",
        "null",
        "[]",
        "17",
        r#"{"error":"conflict"}"#,
        r#"{"message":"conflict"}"#,
        r#"{"id":"b","version":"v2"}"#,
        r#"{"id":"A","version":"v2"}"#,
        r#"{"id":"a","title":"an echo without a version"}"#,
        r#"{"id":"a","version":7}"#,
        r#"{"id":"a","version":"v2"}{}"#,
    ] {
        for status in [409, 412] {
            let outcome = answered(ChangeKind::Insert, Reply::json(status, body))
                .await
                .unwrap();
            assert_eq!(outcome, conflict(ServerRecord::Unknown), "{body}");
        }
    }
}

#[tokio::test]
async fn a_tombstone_in_a_conflict_is_kept() {
    let tombstone = r#"{"id":"a","version":"v2","deleted":true}"#;
    let outcome = answered(ChangeKind::Replace, Reply::json(412, tombstone))
        .await
        .unwrap();
    let Outcome::Conflict(Conflict {
        server: ServerRecord::Known(record),
        ..
    }) = outcome
    else {
        panic!("{outcome:?}");
    };
    assert!(record.is_deleted());
}

#[tokio::test]
async fn a_record_that_is_gone() {
    for status in [404, 410] {
        // The body does not matter, whatever it says.
        for body in ["", ITEM, r#"{"error":"The item does not exist"}"#, "<html>"] {
            let gone = |kind| answered(kind, Reply::json(status, body));
            let applied = Outcome::Applied(None);
            assert_eq!(gone(ChangeKind::Delete).await.unwrap(), applied);
            for kind in [ChangeKind::Replace, ChangeKind::Undelete] {
                assert_eq!(gone(kind).await.unwrap(), conflict(ServerRecord::Gone));
            }
        }
    }
}

#[tokio::test]
async fn an_insert_into_an_unknown_table() {
    let error = answered(ChangeKind::Insert, Reply::empty(404))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::UnknownTable, Some(404))
    );
}

#[tokio::test]
async fn refusals_carry_the_words_of_the_server() {
    for kind in KINDS {
        for status in [
            400, 402, 405, 406, 411, 413, 414, 415, 417, 422, 428, 431, 451, 499,
        ] {
            let reply = Reply::json(status, "{\"error\":\"no\\r\\nsuch\\u0007 column\"}");
            let outcome = answered(kind, reply).await.unwrap();
            let Outcome::Rejected(rejection) = outcome else {
                panic!("{status} {outcome:?}");
            };
            assert_eq!(rejection.status, Some(status));
            assert_eq!(rejection.message, "no such column");
        }
    }
    let outcome = answered(ChangeKind::Insert, Reply::empty(413))
        .await
        .unwrap();
    let Outcome::Rejected(rejection) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(rejection.message, "payload too large");
}

#[tokio::test]
async fn refused_credentials_stop_everything() {
    for kind in KINDS {
        for status in [401, 403] {
            let error = answered(kind, Reply::empty(status)).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.status()),
                (Kind::Unauthorized, Some(status))
            );
        }
    }
}

#[tokio::test]
async fn servers_that_cannot_now_are_unavailable() {
    for kind in KINDS {
        for status in [408, 429, 500, 501, 502, 503, 504, 505, 599] {
            let reply = Reply::with(status, &[("Retry-After", "7")], "busy");
            let error = answered(kind, reply).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.status()),
                (Kind::Unavailable, Some(status))
            );
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
            assert!(error.is_temporary());
        }
    }
    let error = answered(ChangeKind::Insert, Reply::empty(503))
        .await
        .unwrap_err();
    assert_eq!(error.retry_after(), None);
}

#[tokio::test]
async fn retry_after_may_be_a_date() {
    let reply = Reply::with(
        503,
        &[
            ("Date", "Sun, 06 Nov 1994 08:49:30 GMT"),
            ("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ],
        "",
    );
    let error = answered(ChangeKind::Delete, reply).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn statuses_that_no_table_server_gives_leave_the_outcome_open() {
    for kind in KINDS {
        for status in [
            202, 203, 205, 206, 207, 226, 299, 300, 304, 399, 600, 700, 999,
        ] {
            let error = answered(kind, Reply::json(status, ITEM)).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.status()),
                (Kind::Protocol, Some(status))
            );
            assert!(!error.is_temporary());
        }
    }
}

#[tokio::test]
async fn every_status_has_one_meaning() {
    // One connection for all of them, so that the sweep is quick.
    let server =
        Server::scripted(|number, _| Reply::json(200 + u16::try_from(number).unwrap(), "{}")).await;
    let transport = server.transport();
    for status in 200..=599 {
        let outcome = transport.apply(&todo(), &change(ChangeKind::Replace)).await;
        let expected = match status {
            204 => matches!(outcome, Ok(Outcome::Applied(None))),
            404 | 409 | 410 | 412 => matches!(outcome, Ok(Outcome::Conflict(_))),
            401 | 403 => outcome
                .as_ref()
                .is_err_and(|e| e.kind() == Kind::Unauthorized),
            408 | 429 | 500..=599 => outcome
                .as_ref()
                .is_err_and(|e| e.kind() == Kind::Unavailable),
            400..=499 => matches!(outcome, Ok(Outcome::Rejected(_))),
            _ => outcome.as_ref().is_err_and(|e| e.kind() == Kind::Protocol),
        };
        assert!(expected, "{status} {outcome:?}");
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
        r#"{"id":"b"}"#,
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
async fn operation_ids_are_offered_once_the_server_says_so() {
    let server = Server::scripted(|number, _| match number {
        1 => Reply::with(204, &[("Synctable-Operation-Ids", "1")], ""),
        _ => Reply::empty(204),
    })
    .await;
    let transport = server.transport();
    for known in [false, true, true] {
        transport
            .apply(&todo(), &change(ChangeKind::Delete))
            .await
            .unwrap();
        assert_eq!(transport.capabilities().operation_ids, known);
    }
}

#[tokio::test]
async fn messages_are_one_line_and_name_the_place_without_query_and_credentials() {
    let url = |server: &Server| format!("127.0.0.1:{}/tables/todo/a", server.port());
    for status in [202, 302, 401, 403, 429, 500] {
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
