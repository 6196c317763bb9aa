//! Every answer to reading and writing one record: statuses, bodies, headers.
use std::sync::Arc;

use serde_json::json;
use synctable_core::store::StoreErrorKind;
use synctable_core::{Declaration, Declarations, FieldType, TableSchema};
use synctable_memory::MemoryStore;
use synctable_server::Limits;

use crate::common::*;

#[tokio::test]
async fn create_answers_with_the_stored_record() {
    let server = server().await;
    let answer = post(
        &server,
        "/tables/soft",
        r#"{"id":"a b","n":1.50,"big":12345678901234567890}"#,
    )
    .await
    .expect(201);
    assert_eq!(answer.header("location"), Some("/tables/soft/a%20b"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(
        answer.header("last-modified"),
        Some("Sat, 31 Jan 2026 12:00:00 GMT")
    );
    assert_eq!(answer.header("date"), Some("Sat, 31 Jan 2026 12:00:00 GMT"));
    assert_eq!(
        answer.header("etag").unwrap(),
        format!("\"{}\"", answer.version())
    );
    assert_eq!(answer.header("synctable-operation-ids"), Some("1"));
    let tail = r#""updatedAt":"2026-01-31T12:00:00.000Z","deleted":false,"n":1.50,"big":12345678901234567890}"#;
    assert!(answer.text.ends_with(tail), "{}", answer.text);
    assert!(!answer.text.contains("createdAt"), "{}", answer.text);
    let again = get(&server, "/tables/soft/a%20b").await.expect(200);
    assert_eq!(again.text, answer.text);
    assert_eq!(again.header("synctable-ordered"), Some("updatedAt,id"));
    assert_eq!(again.header("etag"), answer.header("etag"));
}

#[tokio::test]
async fn ids_are_made_when_missing() {
    let server = server().await;
    for body in ["{}", r#"{"id":""}"#, r#"{"id":null}"#] {
        let answer = post(&server, "/tables/hard", body).await.expect(201);
        let json = answer.json();
        let id = json["id"].as_str().unwrap();
        assert_eq!(id.len(), 32, "{id}");
        assert!(id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        get(&server, &format!("/tables/hard/{id}"))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn system_properties_of_the_client_are_overwritten() {
    let server = server().await;
    let body = r#"{"id":"a","version":"mine","createdAt":"2001-01-01T00:00:00Z","updatedAt":"2099-01-01T00:00:00Z","deleted":true}"#;
    let made = post(&server, "/tables/soft", body).await.expect(201);
    let put = put(&server, "/tables/soft/a", &body.replace("true", "false"))
        .await
        .expect(200);
    for answer in [made, put] {
        assert_ne!(answer.version(), "mine");
        assert_eq!(answer.json()["deleted"], json!(false));
        assert!(
            answer.json()["updatedAt"]
                .as_str()
                .unwrap()
                .starts_with("2026-")
        );
    }
}

#[tokio::test]
async fn an_id_that_exists_is_a_conflict_with_the_stored_record() {
    let server = server().await;
    for table in ["soft", "hard"] {
        let path = format!("/tables/{table}");
        let made = post(&server, &path, r#"{"id":"a","n":1}"#)
            .await
            .expect(201);
        let answer = post(&server, &path, r#"{"id":"a","n":2}"#)
            .await
            .expect(409);
        assert_eq!(answer.text, made.text);
        assert_eq!(answer.header("etag"), made.header("etag"));
    }
    delete(&server, "/tables/soft/a").await.expect(204);
    let answer = post(&server, "/tables/soft", r#"{"id":"a","n":2}"#)
        .await
        .expect(409);
    assert_eq!(answer.json()["deleted"], json!(true));
    assert_eq!(answer.json()["n"], json!(1));
}

#[tokio::test]
async fn replace_leaves_nothing_of_the_old_members() {
    let server = server().await;
    let made = post(&server, "/tables/hard", r#"{"id":"a","x":1,"y":2}"#)
        .await
        .expect(201);
    let answer = put(&server, "/tables/hard/a", r#"{"z":1.0}"#)
        .await
        .expect(200);
    assert_ne!(answer.version(), made.version());
    assert!(answer.updated_at() > made.updated_at());
    assert_eq!(
        answer.header("etag").unwrap(),
        format!("\"{}\"", answer.version())
    );
    assert!(
        answer.text.ends_with(r#""deleted":false,"z":1.0}"#),
        "{}",
        answer.text
    );
    assert_eq!(get(&server, "/tables/hard/a").await.text, answer.text);
}

#[tokio::test]
async fn delete_removes_or_leaves_a_tombstone() {
    let server = server().await;
    post(&server, "/tables/hard", r#"{"id":"a"}"#)
        .await
        .expect(201);
    let answer = delete(&server, "/tables/hard/a").await.expect(204);
    assert_eq!((answer.text.as_str(), answer.header("etag")), ("", None));
    get(&server, "/tables/hard/a").await.expect(404);
    get(&server, "/tables/hard/a?__includeDeleted=true")
        .await
        .expect(404);
    delete(&server, "/tables/hard/a").await.expect(404);
    put(&server, "/tables/hard/a", "{}").await.expect(404);
    post(&server, "/tables/hard", r#"{"id":"a"}"#)
        .await
        .expect(201);

    let made = post(&server, "/tables/soft", r#"{"id":"a","n":1}"#)
        .await
        .expect(201);
    delete(&server, "/tables/soft/a").await.expect(204);
    get(&server, "/tables/soft/a").await.expect(410);
    put(&server, "/tables/soft/a", "{}").await.expect(410);
    delete(&server, "/tables/soft/a").await.expect(410);
    delete(&server, "/tables/soft/a?__includedeleted=true")
        .await
        .expect(410);
    let tombstone = get(&server, "/tables/soft/a?__INCLUDEDELETED=True")
        .await
        .expect(200);
    assert_eq!(tombstone.json()["deleted"], json!(true));
    assert_eq!(tombstone.json()["n"], json!(1));
    assert_ne!(tombstone.version(), made.version());
    assert!(tombstone.updated_at() > made.updated_at());
}

#[tokio::test]
async fn a_tombstone_becomes_a_record_again() {
    let server = server().await;
    post(&server, "/tables/soft", r#"{"id":"a","n":1}"#)
        .await
        .expect(201);
    delete(&server, "/tables/soft/a").await.expect(204);
    let path = "/tables/soft/a?__includedeleted=true";
    let version = get(&server, path).await.version();
    let stale = [("if-match", "\"stale\"")];
    send(&server, "PUT", path, &stale, r#"{"deleted":false}"#)
        .await
        .expect(412);
    let tag = format!("\"{version}\"");
    let fresh = [("if-match", tag.as_str())];
    let answer = send(&server, "PUT", path, &fresh, r#"{"n":2,"deleted":false}"#)
        .await
        .expect(200);
    assert_eq!(answer.json()["deleted"], json!(false));
    get(&server, "/tables/soft/a").await.expect(200);
}

#[tokio::test]
async fn requests_that_are_refused() {
    let server = server().await;
    post(&server, "/tables/hard", r#"{"id":"a"}"#)
        .await
        .expect(201);
    let json: Headers<'_> = &[];
    for (method, target, headers, body, status) in [
        ("GET", "/", json, "", 404),
        ("GET", "/tables", json, "", 404),
        ("GET", "/tables/nothing", json, "", 404),
        ("GET", "/tables/nothing/a", json, "", 404),
        ("POST", "/tables/nothing", json, "{}", 404),
        ("GET", "/tables/__server_operations", json, "", 404),
        ("GET", "/tables/no%20table", json, "", 404),
        ("GET", "/tables/hard/a/b", json, "", 404),
        ("GET", "/api/hard", json, "", 404),
        ("GET", "/tables/hard/none", json, "", 404),
        ("PUT", "/tables/hard/none", json, "{}", 404),
        ("DELETE", "/tables/hard/none", json, "", 404),
        ("GET", "/tables/hard/a%22b", json, "", 400),
        ("GET", "/tables/hard/a%2Fb", json, "", 400),
        ("GET", "/tables/hard/..", json, "", 400),
        ("GET", "/tables/hard/%00", json, "", 400),
        ("GET", "/tables/hard/%ff", json, "", 400),
        ("GET", "/tables/hard?$top=%ff", json, "", 400),
        ("POST", "/tables/hard", json, "{", 400),
        ("POST", "/tables/hard", json, "[]", 400),
        ("POST", "/tables/hard", json, "null", 400),
        ("POST", "/tables/hard", json, r#"{"a":1e400}"#, 400),
        ("POST", "/tables/hard", json, r#"{"a":"\ud800"}"#, 400),
        ("POST", "/tables/hard", json, r#"{"id":"a/b"}"#, 400),
        ("POST", "/tables/hard", json, r#"{"id":7}"#, 400),
        ("POST", "/tables/hard", json, r#"{"deleted":"no"}"#, 400),
        ("PUT", "/tables/hard/a", json, "", 415),
        ("PUT", "/tables/hard/a", json, " ", 400),
        ("PUT", "/tables/hard/a", json, r#"{"id":"b"}"#, 400),
        ("PUT", "/tables/hard/a", json, r#"{"id":"A"}"#, 400),
        (
            "POST",
            "/tables/hard",
            &[("content-type", "text/plain")],
            "{}",
            415,
        ),
        (
            "PUT",
            "/tables/hard/a",
            &[("content-type", "application/xml")],
            "{}",
            415,
        ),
        (
            "POST",
            "/tables/hard",
            &[("content-encoding", "br")],
            "{}",
            415,
        ),
        (
            "POST",
            "/tables/hard",
            &[("content-encoding", "gzip")],
            "{}",
            400,
        ),
        ("PATCH", "/tables/hard", json, "{}", 405),
        ("POST", "/tables/hard/a", json, "{}", 405),
        ("PUT", "/tables/hard", json, "{}", 405),
        ("DELETE", "/tables/hard", json, "", 405),
        ("TRACE", "/tables/hard", json, "", 405),
        (
            "PUT",
            "/tables/hard/a",
            &[("if-match", "garbled")],
            "{}",
            400,
        ),
        (
            "PUT",
            "/tables/hard/a",
            &[("if-match", "\"a\",\"b\"")],
            "{}",
            400,
        ),
        (
            "DELETE",
            "/tables/hard/a",
            &[("if-match", "\"a\",\"b\"")],
            "",
            400,
        ),
    ] {
        let answer = send(&server, method, target, headers, body).await;
        assert_eq!(
            answer.status, status,
            "{method} {target} {headers:?} {body}: {answer:?}"
        );
        let error = answer.error();
        assert!(
            !error.is_empty() && !error.contains(char::is_control),
            "{error:?}"
        );
    }
    let same = get(&server, "/tables/hard/a").await.expect(200);
    assert_eq!(same.updated_at().millis(), NOON, "nothing was written");
}

#[tokio::test]
async fn the_toolkits_own_client_and_odd_spellings_are_served() {
    let server = server().await;
    let headers = [("zumo-api-version", "3.0.0")];
    let typed = [("content-type", "Application/JSON; charset=utf-8")];
    let made = send(&server, "POST", "/tables/Hard/", &typed, r#"{"id":"a"}"#)
        .await
        .expect(201);
    assert_eq!(made.header("location"), Some("/tables/Hard/a"));
    send(&server, "GET", "/Tables/HARD/a", &headers, "")
        .await
        .expect(200);
    let patch = [("content-type", "application/merge-patch+json")];
    send(&server, "PUT", "/tables/hard/a", &patch, r#"{"id":"a"}"#)
        .await
        .expect(200);
}

#[tokio::test]
async fn methods_are_told_and_head_is_get_without_body() {
    let server = server().await;
    let made = post(&server, "/tables/hard", r#"{"id":"a"}"#)
        .await
        .expect(201);
    for (target, allow) in [
        ("/tables/hard", "GET, HEAD, POST, OPTIONS"),
        ("/tables/hard/a", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
    ] {
        let options = send(&server, "OPTIONS", target, &[], "").await.expect(204);
        assert_eq!(options.header("allow"), Some(allow));
        let refused = send(&server, "TRACE", target, &[], "").await.expect(405);
        assert_eq!(refused.header("allow"), Some(allow));
    }
    let head = send(&server, "HEAD", "/tables/hard/a", &[], "")
        .await
        .expect(200);
    assert_eq!(head.text, "");
    assert_eq!(
        head.header("content-length").unwrap(),
        made.text.len().to_string()
    );
    assert_eq!(head.header("etag"), made.header("etag"));
    send(&server, "HEAD", "/tables/hard/none", &[], "")
        .await
        .expect(404);
}

/// Stored at noon exactly; `$V` stands for the stored version.
const MATRIX: [(&str, &str, u16, u16); 18] = [
    ("if-match", "\"$V\"", 200, 200),
    ("if-match", "\"other\"", 412, 412),
    ("if-match", "W/\"$V\"", 412, 412),
    ("if-match", "*", 200, 200),
    ("if-none-match", "\"$V\"", 304, 412),
    ("if-none-match", "\"other\"", 200, 200),
    ("if-none-match", "\"other\", \"$V\"", 304, 412),
    ("if-none-match", "W/\"$V\"", 304, 412),
    ("if-none-match", "W/\"other\"", 200, 200),
    ("if-none-match", "*", 304, 412),
    (
        "if-unmodified-since",
        "Sat, 31 Jan 2026 11:59:59 GMT",
        412,
        412,
    ),
    (
        "if-unmodified-since",
        "Sat, 31 Jan 2026 12:00:00 GMT",
        412,
        412,
    ),
    (
        "if-unmodified-since",
        "Sat, 31 Jan 2026 12:00:01 GMT",
        200,
        200,
    ),
    ("if-unmodified-since", "nonsense", 200, 200),
    (
        "if-modified-since",
        "Sat, 31 Jan 2026 11:59:59 GMT",
        200,
        200,
    ),
    (
        "if-modified-since",
        "Sat, 31 Jan 2026 12:00:00 GMT",
        200,
        200,
    ),
    (
        "if-modified-since",
        "Sat, 31 Jan 2026 12:00:01 GMT",
        304,
        412,
    ),
    ("if-modified-since", "nonsense", 200, 200),
];

#[tokio::test]
async fn the_matrix_of_conditions() {
    for (name, value, read, write) in MATRIX {
        for table in ["hard", "soft"] {
            for (method, done) in [("GET", read), ("PUT", write), ("DELETE", write)] {
                let server = server().await;
                let list = format!("/tables/{table}");
                let made = post(&server, &list, r#"{"id":"a","n":1}"#)
                    .await
                    .expect(201);
                let value = value.replace("$V", &made.version());
                let path = format!("/tables/{table}/a");
                let body = if method == "PUT" { r#"{"n":2}"# } else { "" };
                let answer = send(&server, method, &path, &[(name, &value)], body).await;
                let done = if (method, done) == ("DELETE", 200) {
                    204
                } else {
                    done
                };
                let case = format!("{method} {table} {name}: {value}");
                assert_eq!(answer.status, done, "{case}: {answer:?}");
                match done {
                    412 => {
                        assert_eq!(answer.text, made.text, "{case}");
                        assert_eq!(answer.header("etag"), made.header("etag"), "{case}");
                    }
                    304 => {
                        assert_eq!(answer.text, "", "{case}");
                        assert_eq!(answer.header("etag"), made.header("etag"), "{case}");
                    }
                    _ => {}
                }
                let written = method != "GET" && done < 300;
                let after = get(&server, &path).await;
                assert_eq!(after.text != made.text, written, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn missing_and_deleted_come_before_conditions() {
    let server = server().await;
    post(&server, "/tables/soft", r#"{"id":"a"}"#)
        .await
        .expect(201);
    delete(&server, "/tables/soft/a").await.expect(204);
    let stale = [("if-match", "\"stale\"")];
    for (method, body) in [("GET", ""), ("PUT", "{}"), ("DELETE", "")] {
        send(&server, method, "/tables/soft/none", &stale, body)
            .await
            .expect(404);
        send(&server, method, "/tables/soft/a", &stale, body)
            .await
            .expect(410);
    }
}

#[tokio::test]
async fn values_must_fit_their_declared_type() {
    let schema = TableSchema::new()
        .with_field("year", FieldType::Integer)
        .with_field("rating", FieldType::Enum(vec!["G".into(), "PG".into()]));
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .table(table("movies"), schema)
        .build()
        .await
        .unwrap();
    for (body, status) in [
        (r#"{"id":"a","year":1999,"rating":"PG","free":[1]}"#, 201),
        (r#"{"id":"b","year":null}"#, 201),
        (r#"{"year":"1999"}"#, 400),
        (r#"{"year":1999.5}"#, 400),
        (r#"{"rating":"X"}"#, 400),
    ] {
        post(&server, "/tables/movies", body).await.expect(status);
    }
    let answer = put(&server, "/tables/movies/a", r#"{"year":true}"#)
        .await
        .expect(400);
    assert!(answer.error().contains("year"), "{}", answer.error());
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let mut limits = Limits::default();
    limits.body = 100;
    limits.target = 100;
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .limits(limits)
        .build()
        .await
        .unwrap();
    let body = |size: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(size - 8));
    post(&server, "/tables/hard", &body(100)).await.expect(201);
    post(&server, "/tables/hard", &body(101)).await.expect(413);
    let target = |size: usize| format!("/tables/hard?x={}", "x".repeat(size - 14));
    get(&server, &target(100)).await.expect(200);
    get(&server, &target(101)).await.expect(414);
}

#[tokio::test]
async fn tables_are_made_on_first_use_within_a_bound() {
    let mut limits = Limits::default();
    limits.tables = 2;
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .any_table(true)
        .limits(limits)
        .build()
        .await
        .unwrap();
    post(&server, "/tables/one", "{}").await.expect(201);
    post(&server, "/tables/two", r#"{"id":"a"}"#)
        .await
        .expect(201);
    post(&server, "/tables/three", "{}").await.expect(404);
    get(&server, "/tables/two/a").await.expect(200);
    post(&server, "/tables/hard", "{}").await.expect(201);
    get(&server, "/tables/__server_operations")
        .await
        .expect(404);
}

#[tokio::test]
async fn tables_of_a_device_are_not_served() {
    let schema = Declarations::new()
        .with_table(table("here"), Declaration::new().with_local_only())
        .with_table(table("there"), TableSchema::new());
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .schema(schema)
        .build()
        .await
        .unwrap();
    get(&server, "/tables/here").await.expect(404);
    get(&server, "/tables/there").await.expect(200);
    get(&server, "/tables/hard").await.expect(200);
}

#[tokio::test]
async fn a_broken_store_is_a_fault_that_tells_nothing() {
    let store = TestStore::new(true, 0);
    let server = builder(Arc::<TestStore>::clone(&store), &TestClock::new())
        .build()
        .await
        .unwrap();
    for (kind, status) in [
        (StoreErrorKind::Io, 500),
        (StoreErrorKind::Unknown, 504),
        (StoreErrorKind::Full, 507),
        (StoreErrorKind::Closed, 503),
    ] {
        *store.fault.lock().unwrap() = Some(kind);
        let answer = post(&server, "/tables/hard", r#"{"id":"a"}"#)
            .await
            .expect(status);
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
    post(&server, "/tables/hard", r#"{"id":"a"}"#)
        .await
        .expect(201);
}
