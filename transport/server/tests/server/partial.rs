//! T2: a `PATCH` in the dialect of the Toolkit: the members that are named get their values, the others stay. It is announced, and
//! judged and answered as a `PUT`.

use std::sync::Arc;

use synctable_core::{FieldOptions, FieldType, Schema, TableSchema};
use synctable_memory::MemoryStore;
use synctable_server::Limits;

use crate::common::*;

fn tag(version: &str) -> String {
    format!("\"{version}\"")
}

#[tokio::test]
async fn t2_members_that_are_named_are_set_and_the_others_stay() {
    let server = server().await;
    let body = r#"{"id":"a","n":1.50,"text":"x","o":{"p":1,"q":2}}"#;
    let first = post(&server, "/tables/soft", body).await.expect(201);
    assert_eq!(first.header("synctable-partial-updates"), Some("1"));
    let condition = tag(&first.version());
    let condition: Headers<'_> = &[("if-match", &condition)];
    let body = r#"{"text":null,"o":{"p":3},"new":[1]}"#;
    let done = send(&server, "PATCH", "/tables/soft/a", condition, body)
        .await
        .expect(200);
    // The answer is the whole row, a value is set as a whole, and `null` is a value.
    let members = r#""n":1.50,"text":null,"o":{"p":3},"new":[1]}"#;
    assert!(done.text.ends_with(members), "{}", done.text);
    assert_ne!(done.version(), first.version());
    assert_eq!(done.header("etag"), Some(&*tag(&done.version())));
    assert_eq!(get(&server, "/tables/soft/a").await.text, done.text);
    assert_eq!(get(&server, "/tables/soft").await.ids(), ["a"]);
}

#[tokio::test]
async fn t2_a_part_meets_the_conditions_of_a_whole() {
    let server = server().await;
    for id in ["a", "gone"] {
        let body = format!(r#"{{"id":"{id}","n":1}}"#);
        post(&server, "/tables/soft", &body).await.expect(201);
    }
    delete(&server, "/tables/soft/gone").await.expect(204);
    let json = ("content-type", "application/json");
    let stale = ("if-match", "\"stale\"");
    for (headers, id, part, status) in [
        (vec![json, stale], "a", r#"{"n":2}"#, 412),
        (vec![json, ("if-none-match", "*")], "a", r#"{"n":2}"#, 412),
        (vec![json, ("if-match", "garbled")], "a", r#"{"n":2}"#, 400),
        (vec![json, stale], "none", r#"{"n":2}"#, 404),
        (vec![json, stale], "gone", r#"{"n":2}"#, 410),
        (vec![json], "gone", r#"{"deleted":false}"#, 410),
        (
            vec![json, stale],
            "gone?__includedeleted=true",
            r#"{"n":2}"#,
            412,
        ),
        (vec![json], "a", r#"{"id":"b","n":2}"#, 400),
        (vec![json], "a", "[]", 400),
        (vec![json], "a", r#"{"n":"#, 400),
        (vec![("content-type", "text/plain")], "a", r#"{"n":2}"#, 415),
    ] {
        let target = format!("/tables/soft/{id}");
        for method in ["PATCH", "PUT"] {
            let answer = send(&server, method, &target, &headers, part).await;
            assert_eq!(
                answer.status, status,
                "{method} {target} {headers:?} {part}"
            );
            if status == 412 {
                assert_eq!(answer.json()["n"], 1, "the stored row is shown");
            }
        }
    }
    // What means something else is not taken for members.
    for media in [
        "application/merge-patch+json",
        "application/json-patch+json",
    ] {
        let headers: Headers<'_> = &[("content-type", media)];
        let answer = send(&server, "PATCH", "/tables/soft/a", headers, r#"{"n":null}"#).await;
        assert!(answer.expect(415).error().contains("application/json"));
    }
    assert_eq!(get(&server, "/tables/soft/a").await.json()["n"], 1);
    send(&server, "PATCH", "/tables/soft", &[], "{}")
        .await
        .expect(405);
    let options = send(&server, "OPTIONS", "/tables/soft/a", &[], "").await;
    let allow = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";
    assert_eq!(options.header("allow"), Some(allow));
}

#[tokio::test]
async fn t2_system_properties_are_the_servers() {
    let server = server().await;
    post(&server, "/tables/soft", r#"{"id":"a","n":1}"#)
        .await
        .expect(201);
    let body = r#"{"id":"a","version":"mine","updatedAt":"2001-01-01T00:00:00Z","createdAt":"2001-01-01T00:00:00Z","n":2}"#;
    let done = send(&server, "PATCH", "/tables/soft/a", &[], body)
        .await
        .expect(200);
    assert_ne!(done.version(), "mine");
    assert!(done.updated_at().millis() >= NOON);
    assert!(!done.text.contains("2001"), "{}", done.text);
    // Deleted is what a part says, else what it was.
    let with = "/tables/soft/a?__includedeleted=true";
    for (part, deleted) in [
        (r#"{"deleted":true}"#, true),
        (r#"{"n":3}"#, true),
        (r#"{"deleted":false}"#, false),
    ] {
        let row = send(&server, "PATCH", with, &[], part)
            .await
            .expect(200)
            .json();
        assert_eq!(row["deleted"], deleted, "{part}");
    }
    assert_eq!(get(&server, "/tables/soft/a").await.json()["n"], 3);
}

#[tokio::test]
async fn t2_a_repeated_part_is_answered_as_the_first_time() {
    let server = server().await;
    let first = post(&server, "/tables/hard", r#"{"id":"a","n":1,"m":1}"#)
        .await
        .expect(201);
    let condition = tag(&first.version());
    let headers: Headers<'_> = &[("if-match", &condition), ("x-operation-id", "1")];
    let part = r#"{"n":2}"#;
    let done = send(&server, "PATCH", "/tables/hard/a", headers, part).await;
    let done = done.expect(200);
    put(&server, "/tables/hard/a", r#"{"n":9}"#)
        .await
        .expect(200);
    let again = send(&server, "PATCH", "/tables/hard/a", headers, part).await;
    assert_eq!(again.expect(200).text, done.text);
    assert_eq!(get(&server, "/tables/hard/a").await.json()["n"], 9);
    // The whole is another change.
    let whole = send(&server, "PUT", "/tables/hard/a", headers, part).await;
    whole.expect(400);
}

#[tokio::test]
async fn t2_the_merged_record_is_what_is_judged() {
    let title = FieldOptions::new().with_required().with_max_length(5);
    let of_titles = TableSchema::new()
        .with_field_options("title", FieldType::String, title)
        .with_field("n", FieldType::Integer);
    let mut limits = Limits::default();
    limits.body = 300;
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .schema(Schema::new().with_table(table("judged"), of_titles))
        .limits(limits)
        .build()
        .await
        .unwrap();
    let made = post(&server, "/tables/judged", r#"{"id":"a","title":"abc"}"#).await;
    made.expect(201);
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(200));
    let longer = format!(r#"{{"y":"{}"}}"#, "y".repeat(200));
    for (part, status) in [
        (r#"{"n":1}"#, 200),
        (r#"{"n":"one"}"#, 400),
        (r#"{"title":null}"#, 400),
        (r#"{"title":"123456"}"#, 400),
        (&*long, 200),
        (&*longer, 413),
        (r#"{"x":null}"#, 200),
        (&*longer, 200),
    ] {
        let answer = send(&server, "PATCH", "/tables/judged/a", &[], part).await;
        assert_eq!(answer.status, status, "{part} {answer:?}");
    }
    let row = get(&server, "/tables/judged/a").await.json();
    assert_eq!((&row["title"], &row["n"]), (&"abc".into(), &1.into()));
}
