//! What the server does not know of a change, it does not claim: 504 where the change may be done, 503 where it is not.

use std::sync::Arc;

use synctable_core::store::StoreErrorKind;
use synctable_server::TableServer;

use crate::common::*;

const V2: (&str, &str) = ("zumo-api-version", "2.0.0");
const NONE: (&str, &str) = ("zumo-api-version", "none");
const V3: (&str, &str) = ("zumo-api-version", "3.0.0");
/// What makes 3.0.0 a dialect of its own; others overlook it.
const CLIENT: (&str, &str) = ("x-zumo-version", "x");
const OP: (&str, &str) = ("x-operation-id", "op");

async fn over(store: &Arc<TestStore>) -> TableServer {
    builder(Arc::<TestStore>::clone(store), &TestClock::new())
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_commit_that_failed_in_an_unknown_way_is_answered_with_504_and_its_repeat_with_the_outcome()
 {
    for (method, target, dialect, body, status) in [
        ("POST", "/tables/soft", V3, r#"{"id":"new"}"#, 201),
        ("POST", "/tables/hard", V2, r#"{"id":"new"}"#, 201),
        ("PUT", "/tables/soft/a", V3, r#"{"n":2}"#, 200),
        ("PATCH", "/tables/hard/a", V3, r#"{"n":2}"#, 200),
        ("PATCH", "/tables/soft/a", NONE, r#"{"n":2}"#, 200),
        ("PATCH", "/tables/soft/a", V2, r#"{"n":2}"#, 200),
        ("POST", "/tables/soft/gone", V2, "", 201),
        ("DELETE", "/tables/soft/a", V3, "", 204),
        ("DELETE", "/tables/hard/a", V3, "", 204),
        ("DELETE", "/tables/hard/a", V2, "", 200),
    ] {
        let store = TestStore::new(true, 0);
        let server = over(&store).await;
        for list in ["/tables/soft", "/tables/hard"] {
            for id in ["a", "gone"] {
                let body = format!(r#"{{"id":"{id}","n":1}}"#);
                post(&server, list, &body).await.expect(201);
            }
        }
        delete(&server, "/tables/soft/gone").await.expect(204);

        *store.late_fault.lock().unwrap() = Some(StoreErrorKind::Unknown);
        let headers = [dialect, CLIENT, OP];
        let answer = send(&server, method, target, &headers, body)
            .await
            .expect(504);
        assert_eq!(
            answer.header("retry-after"),
            None,
            "nothing says that it may be sent again"
        );
        assert!(!answer.text.contains("secret"), "{}", answer.text);
        assert!(answer.error().contains("not known"), "{}", answer.text);

        send(&server, method, target, &headers, body)
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn what_was_surely_not_done_is_no_504() {
    let store = TestStore::new(true, 0);
    let server = over(&store).await;
    for (kind, status) in [
        (StoreErrorKind::Closed, 503),
        (StoreErrorKind::Locked, 503),
        (StoreErrorKind::Full, 507),
        (StoreErrorKind::Io, 500),
    ] {
        *store.fault.lock().unwrap() = Some(kind);
        let body = r#"{"id":"a"}"#;
        send(&server, "POST", "/tables/hard", &[OP], body)
            .await
            .expect(status);
        get(&server, "/tables/hard/a").await.expect(404);
    }
}

/// The outcome is found, but not the record: whoever takes a 503 for "not done" would be wrong.
#[tokio::test]
async fn a_repeat_whose_outcome_cannot_be_read_is_no_503() {
    let store = TestStore::new(true, 0);
    let server = over(&store).await;
    let body = r#"{"id":"a"}"#;
    send(&server, "POST", "/tables/hard", &[OP], body)
        .await
        .expect(201);
    store.reads.lock().unwrap().extend([
        Read::Answer,
        Read::Answer,
        Read::Fail(StoreErrorKind::Closed),
    ]);
    send(&server, "POST", "/tables/hard", &[OP], body)
        .await
        .expect(504);
    send(&server, "POST", "/tables/hard", &[OP], body)
        .await
        .expect(201);
}

/// Old outcomes are removed on the way. That it is not known whether they are gone says nothing about the change.
#[tokio::test]
async fn an_unknown_failure_of_the_housekeeping_is_not_the_changes() {
    let store = TestStore::new(true, 0);
    let clock = TestClock::new();
    let server = builder(Arc::<TestStore>::clone(&store), &clock)
        .build()
        .await
        .unwrap();
    send(&server, "POST", "/tables/hard", &[OP], "{}")
        .await
        .expect(201);
    clock.advance(40 * 24 * 60 * 60 * 1000);
    *store.late_fault.lock().unwrap() = Some(StoreErrorKind::Unknown);
    let other = [("x-operation-id", "other")];
    send(&server, "POST", "/tables/hard", &other, "{}")
        .await
        .expect(201);
}
