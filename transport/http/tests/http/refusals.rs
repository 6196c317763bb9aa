//! Changes that are not done: what each status and its words mean.

use std::time::Duration;

use synctable_core::Record;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    ChangeKind, Conflict, ConflictCause, Outcome, Rejection, ServerRecord, Transport,
    TransportError, TransportErrorKind as Kind,
};

use crate::server::{Reply, Server};
use crate::{KINDS, change, todo};

const ITEM: &str = r#"{"id":"a","version":"v2","updatedAt":"2026-01-31T12:00:00.000Z","deleted":false,"title":"Milk"}"#;

async fn answered(kind: ChangeKind, reply: Reply) -> Result<Outcome, TransportError> {
    let server = Server::always(reply).await;
    let outcome = server.transport().apply(&todo(), &change(kind)).await;
    assert_eq!(server.requests().len(), 1);
    outcome
}

async fn conflict(kind: ChangeKind, reply: Reply) -> Conflict {
    match answered(kind, reply).await.unwrap() {
        Outcome::Conflict(conflict) => conflict,
        outcome => panic!("{outcome:?}"),
    }
}

fn refused(status: u16, words: &str) -> Rejection {
    Rejection::new(Some(status), words)
}

#[tokio::test]
async fn a_version_that_moved_shows_the_record_of_the_server() {
    for kind in KINDS {
        let conflict = conflict(kind, Reply::json(412, ITEM)).await;
        let expected = Record::from_json(ITEM).unwrap();
        assert_eq!(conflict.server, ServerRecord::Known(expected));
        assert_eq!(conflict.cause, ConflictCause::Version);
        // The row has a title; that is no word of the server.
        assert_eq!(conflict.refusal, refused(412, "precondition failed"));
        assert_eq!(conflict.unknown_since, None);
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_never_taken_for_the_record() {
    for (body, words) in [
        (ITEM, "conflict"),
        (
            r#"{"id":"b","version":"v1","title":"the one with this name"}"#,
            "conflict",
        ),
        (
            r#"{"id":"a","title":"an echo without a version"}"#,
            "conflict",
        ),
        (
            r#"{"error":"the name 'Milk' is taken"}"#,
            "the name 'Milk' is taken",
        ),
        (
            r#"{"id":"E-17","error":"the name is taken"}"#,
            "the name is taken",
        ),
        ("taken", "taken"),
        ("", "conflict"),
    ] {
        for kind in KINDS {
            let conflict = conflict(kind, Reply::json(409, body)).await;
            assert_eq!(conflict.server, ServerRecord::Unknown, "{body}");
            assert_eq!(conflict.cause, ConflictCause::Existing);
            assert_eq!(conflict.refusal, refused(409, words));
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
        r#"{"id":"a","version":""}"#,
        r#"{"id":"a","version":"v2"}{}"#,
    ] {
        for status in [409, 412] {
            let conflict = conflict(ChangeKind::Insert, Reply::json(status, body)).await;
            assert_eq!(conflict.server, ServerRecord::Unknown, "{body}");
        }
    }
}

#[tokio::test]
async fn the_server_may_say_since_when_it_would_know_of_the_operation() {
    let name = "Synctable-Operation-Unknown-Since";
    for (text, expected) in [
        ("2026-01-31T12:00:00.5Z", Some("2026-01-31T12:00:00.500Z")),
        ("yesterday", None),
        ("", None),
    ] {
        for status in [409, 412] {
            let reply = Reply::with(status, &[(name, text)], ITEM);
            let conflict = conflict(ChangeKind::Replace, reply).await;
            let since = conflict.unknown_since.map(|time| time.to_string());
            assert_eq!(since.as_deref(), expected, "{status} {text}");
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
async fn a_record_that_is_refused() {
    for status in [404, 410] {
        // The body does not matter, whatever it says.
        for body in ["", ITEM, r#"{"error":"The item does not exist"}"#, "<html>"] {
            for kind in [
                ChangeKind::Replace,
                ChangeKind::Delete,
                ChangeKind::Undelete,
            ] {
                let outcome = answered(kind, Reply::json(status, body)).await;
                assert_eq!(outcome.unwrap(), Outcome::Missing, "{kind:?} {status}");
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
    // A row that comes back is no word of the server, though it has a title.
    let outcome = answered(ChangeKind::Insert, Reply::json(422, ITEM)).await;
    let unprocessable = Rejection::new(Some(422), "unprocessable entity");
    assert_eq!(outcome.unwrap(), Outcome::Rejected(unprocessable));
    let outcome = answered(ChangeKind::Insert, Reply::empty(413))
        .await
        .unwrap();
    let Outcome::Rejected(rejection) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(rejection.message, "payload too large");
}

#[tokio::test]
async fn the_member_and_the_text_are_told() {
    let list = r#"[{"memberNames":["Title"],"errorMessage":"The Title field is required."}]"#;
    let problem = r#"{"errors":{"mood":["Error converting value \"Sad\" to type 'Srv.Mood'."]},"title":"One or more validation errors occurred.","status":400}"#;
    for (kind, body, words) in [
        (
            "application/json",
            list,
            "Title: The Title field is required.",
        ),
        (
            "application/problem+json; charset=utf-8",
            problem,
            "mood: Error converting value \"Sad\" to type 'Srv.Mood'.",
        ),
    ] {
        let reply = Reply::with(400, &[("content-type", kind)], body);
        let outcome = answered(ChangeKind::Insert, reply).await.unwrap();
        assert_eq!(outcome, Outcome::Rejected(refused(400, words)));
    }
    let code = r#"{"code":"400","message":"Could not find a property named 'nosuch' on type 'Srv.Memo'.","target":null}"#;
    let plain = "Could not find a property named 'nosuch' on type 'Srv.Memo'.";
    for body in [code, plain] {
        let server = Server::always(Reply::with(400, &[], body)).await;
        let page = server
            .transport()
            .page(&todo(), &RemoteQuery::all(), None)
            .await;
        let error = page.unwrap_err();
        assert_eq!(error.kind(), Kind::BadQuery);
        assert!(
            error.to_string().contains(&format!(": {plain} (400)")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn failures_are_sorted_by_their_status_with_clock_and_wait() {
    let kinds = [
        (&[401][..], Kind::Unauthorized),
        (&[403], Kind::Forbidden),
        (&[408, 429, 503], Kind::Busy),
        (&[502, 504], Kind::Gateway),
        (&[500, 501, 505, 507, 599], Kind::Failed),
    ];
    for (statuses, expected) in kinds {
        for status in statuses {
            for kind in KINDS {
                let headers = [
                    ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
                    ("Retry-After", "7"),
                ];
                let reply = Reply::with(*status, &headers, "busy");
                let error = answered(kind, reply).await.unwrap_err();
                assert_eq!((error.kind(), error.status()), (expected, Some(*status)));
                assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
                let time = error.server_time().unwrap().to_string();
                assert_eq!(time, "1994-11-06T08:49:37.000Z");
            }
        }
    }
    let error = answered(ChangeKind::Insert, Reply::empty(503)).await;
    let error = error.unwrap_err();
    assert_eq!((error.retry_after(), error.server_time()), (None, None));
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
        let failed = |kind| outcome.as_ref().is_err_and(|error| error.kind() == kind);
        let expected = match status {
            204 => matches!(outcome, Ok(Outcome::Applied(None))),
            404 | 410 => matches!(outcome, Ok(Outcome::Missing)),
            409 | 412 => matches!(outcome, Ok(Outcome::Conflict(_))),
            401 => failed(Kind::Unauthorized),
            403 => failed(Kind::Forbidden),
            408 | 429 | 503 => failed(Kind::Busy),
            502 | 504 => failed(Kind::Gateway),
            511 => failed(Kind::Portal),
            500..=599 => failed(Kind::Failed),
            400..=499 => matches!(outcome, Ok(Outcome::Rejected(_))),
            _ => failed(Kind::Protocol),
        };
        assert!(expected, "{status} {outcome:?}");
    }
}
