//! Declared members: defaults, what is required, lengths, closed tables.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use synctable_core::query::odata::percent_encode;
use synctable_core::store::LocalStore;
use synctable_core::{Declaration, Declarations};
use synctable_memory::MemoryStore;
use synctable_server::{Access, AccessRequest, Grant, Refusal, TableServer};
use synctable_sqlite::SqliteStore;
use tempfile::TempDir;

use crate::common::*;

/// `memos` as the recorded servers have it.
pub(crate) const SCHEMA: &str = r#"{"tables": {"memos": {"softDelete": true, "indexes": [["rating"], ["complete"]], "fields": {
  "title": {"type": "string", "maxLength": 5}, "complete": {"type": "boolean", "default": false},
  "rating": {"type": "integer", "default": 0}, "mood": {"enum": ["Calm", "Happy"], "default": "Calm"}}},
  "tasks": {"closed": true, "fields": {"title": {"type": "string", "required": true, "maxLength": 5}, "rating": "integer"}}}}"#;

pub(crate) const TOOLKIT: Headers<'static> = &[];
pub(crate) const ZUMO2: Headers<'static> = &[("zumo-api-version", "2.0.0")];
pub(crate) const ZUMO3: Headers<'static> =
    &[("zumo-api-version", "3.0.0"), ("x-zumo-version", "x")];
pub(crate) const DIALECTS: [Headers<'static>; 3] = [TOOLKIT, ZUMO2, ZUMO3];

/// A memory store and one with files, and the folder of that.
pub(crate) fn stores() -> ([Arc<dyn LocalStore>; 2], TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path().join("rows.db")).unwrap();
    ([Arc::new(MemoryStore::new()), Arc::new(sqlite)], folder)
}

pub(crate) async fn serving(store: &Arc<dyn LocalStore>, schema: &str) -> TableServer {
    TableServer::builder(Arc::clone(store))
        .schema(Declarations::from_json(schema).unwrap())
        .clock(TestClock::new())
        .build()
        .await
        .unwrap()
}

/// The ids of a page in its order, joined.
pub(crate) async fn ids(server: &TableServer, dialect: Headers<'_>, query: &str) -> String {
    let target = format!("/tables/memos?{query}");
    let answer = send(server, "GET", &target, dialect, "").await.expect(200);
    let json = answer.json();
    let rows = json.get("items").unwrap_or(&json).as_array().unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

fn filter(text: &str) -> String {
    format!("$orderby=id&$filter={}", percent_encode(text))
}

#[tokio::test]
async fn what_a_client_leaves_out_is_found_by_its_default() {
    let (stores, _folder) = stores();
    for store in stores {
        let server = serving(&store, SCHEMA).await;
        for (dialect, id) in DIALECTS.into_iter().zip(["a", "b", "c"]) {
            let body = format!(r#"{{"id":"{id}","title":"é"}}"#);
            let answer = send(&server, "POST", "/tables/memos", dialect, &body).await;
            let row = answer.expect(201).json();
            assert_eq!(
                (&row["complete"], &row["rating"], &row["mood"]),
                (&json!(false), &json!(0), &json!("Calm"))
            );
        }
        let body = r#"{"id":"d","complete":true,"rating":7,"mood":"Happy"}"#;
        post(&server, "/tables/memos", body).await.expect(201);
        for dialect in DIALECTS {
            for (text, found) in [
                ("complete eq false", "abc"),
                ("rating lt 5", "abc"),
                ("mood eq 'Calm'", "abc"),
                ("complete", "d"),
            ] {
                assert_eq!(ids(&server, dialect, &filter(text)).await, found, "{text}");
            }
            let order = ids(&server, dialect, "$orderby=rating%20desc,id").await;
            assert_eq!(order, "dabc");
        }
        // A whole record that leaves them out sets them back.
        for (dialect, id) in [(TOOLKIT, "d"), (ZUMO3, "a")] {
            let target = format!("/tables/memos/{id}");
            let whole = r#"{"complete":true,"rating":9}"#;
            send(&server, "PUT", &target, dialect, whole)
                .await
                .expect(200);
            let answer = send(&server, "PUT", &target, dialect, r#"{"title":"x"}"#).await;
            let row = answer.expect(200).json();
            assert_eq!(
                (&row["complete"], &row["rating"]),
                (&json!(false), &json!(0))
            );
        }
        // A part of one does not.
        for dialect in DIALECTS {
            let change =
                |body: &'static str| send(&server, "PATCH", "/tables/memos/b", dialect, body);
            change(r#"{"rating":3}"#).await.expect(200);
            let row = change(r#"{"title":"y"}"#).await.expect(200).json();
            assert_eq!(row["rating"], 3);
        }
        // What is sent as nothing is nothing.
        let body = r#"{"id":"e","rating":null}"#;
        let row = post(&server, "/tables/memos", body)
            .await
            .expect(201)
            .json();
        assert_eq!(
            (&row["rating"], &row["complete"]),
            (&Value::Null, &json!(false))
        );
    }
}

#[tokio::test]
async fn refusals_name_members_in_the_shape_of_the_dialect() {
    let server = serving(&(Arc::new(MemoryStore::new()) as _), SCHEMA).await;
    let required = "The title field is required.";
    let long = "The field title must be a string with a maximum length of 5.";
    let undeclared = "The x field is not declared.";
    let number = "The field rating must be an integer from -2^63 to 2^63-1.";
    for (body, faults) in [
        (r#"{"rating":1}"#, &[("title", required)][..]),
        (r#"{"title":null}"#, &[("title", required)]),
        (r#"{"title":" "}"#, &[("title", required)]),
        (r#"{"title":"123456"}"#, &[("title", long)]),
        (r#"{"title":"1😀😀😀"}"#, &[("title", long)]),
        (r#"{"title":"a","x":1}"#, &[("x", undeclared)]),
        (r#"{"title":"a","rating":"1"}"#, &[("rating", number)]),
        (
            r#"{"x":[],"rating":0.5}"#,
            &[("rating", number), ("title", required), ("x", undeclared)],
        ),
    ] {
        let sent = |dialect| send(&server, "POST", "/tables/tasks", dialect, body);
        let lines = faults
            .iter()
            .map(|(member, words)| format!("{member}: {words}"));
        let lines = lines.collect::<Vec<_>>().join("; ");
        let answer = sent(TOOLKIT).await.expect(400);
        assert_eq!(
            answer.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        // The genuine server cannot read a value of another type, and has no words for it.
        if faults.iter().any(|(_, words)| *words == number) {
            assert_eq!(answer.error(), lines, "{body}");
        } else {
            let results = faults
                .iter()
                .map(|(member, words)| json!({"memberNames": [member], "errorMessage": words}));
            assert_eq!(answer.json(), results.collect::<Value>(), "{body}");
        }

        let answer = sent(ZUMO3).await.expect(400);
        let media = "application/problem+json; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(media));
        let json = answer.json();
        assert_eq!(json["title"], "One or more validation errors occurred.");
        assert_eq!(json["status"], 400);
        for (member, words) in faults {
            assert_eq!(json["errors"][member], json!([words]), "{body}");
        }
        assert_eq!(json["errors"].as_object().unwrap().len(), faults.len());

        let answer = sent(ZUMO2).await.expect(400);
        assert_eq!(answer.error(), lines);
    }
    assert_eq!(get(&server, "/tables/tasks").await.ids(), [""; 0]);
    // Other errors are as they were.
    for dialect in DIALECTS {
        let answer = send(&server, "POST", "/tables/tasks", dialect, "nonsense").await;
        assert!(!answer.expect(400).error().is_empty());
    }
}

#[tokio::test]
async fn what_a_change_leaves_as_it_was_is_not_judged() {
    let store: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
    let free = serving(&store, r#"{"tables": {"tasks": {}}}"#).await;
    post(&free, "/tables/tasks", r#"{"id":"a","x":1,"rating":"old"}"#)
        .await
        .expect(201);
    post(
        &free,
        "/tables/tasks",
        r#"{"id":"b","title":"123456","y":2}"#,
    )
    .await
    .expect(201);
    let server = serving(&store, SCHEMA).await;
    let change = async |method, id: &str, body| {
        let target = format!("/tables/tasks/{id}");
        send(&server, method, &target, ZUMO3, body).await
    };
    for (method, id, body, status) in [
        ("PATCH", "a", r#"{"rating":1}"#, 200),
        ("PATCH", "a", r#"{"x":2}"#, 400),
        ("PATCH", "a", r#"{"z":1}"#, 400),
        ("PATCH", "a", r#"{"x":null}"#, 200),
        ("PATCH", "b", r#"{"rating":1}"#, 200),
        ("PATCH", "b", r#"{"title":"1234567"}"#, 400),
        ("PATCH", "b", r#"{"title":null}"#, 400),
        ("PUT", "b", r#"{"title":"123456","rating":2,"y":2.0}"#, 200),
        ("PUT", "b", r#"{"title":"123456","rating":2,"y":3}"#, 400),
        ("PUT", "b", r#"{"rating":2}"#, 400),
        ("PUT", "b", r#"{"title":"12345"}"#, 200),
        ("PUT", "b", r#"{"title":"123456"}"#, 400),
        ("PATCH", "b", r#"{"title":"1"}"#, 200),
    ] {
        let answer = change(method, id, body).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {id} {body} {answer:?}"
        );
    }
}

/// Sets the owner of every record.
#[derive(Debug)]
struct Owned;

#[async_trait]
impl Access for Owned {
    async fn grant(&self, _request: AccessRequest<'_>) -> Result<Grant, Refusal> {
        Ok(Grant::all().with_member("owner", "ada"))
    }
}

#[tokio::test]
async fn what_the_access_rule_sets_need_not_be_declared() {
    let server = TableServer::builder(Arc::new(MemoryStore::new()))
        .table(table("tasks"), Declaration::new().with_closed())
        .access(Arc::new(Owned))
        .build()
        .await
        .unwrap();
    let row = post(&server, "/tables/tasks", r#"{"id":"a"}"#)
        .await
        .expect(201)
        .json();
    assert_eq!(row["owner"], "ada");
    post(&server, "/tables/tasks", r#"{"id":"b","x":1}"#)
        .await
        .expect(400);
}

#[tokio::test]
async fn a_repeat_of_an_insert_is_answered_with_what_was_stored() {
    let server = serving(&(Arc::new(MemoryStore::new()) as _), SCHEMA).await;
    let key = [("x-operation-id", "k")];
    let insert = || send(&server, "POST", "/tables/memos", &key, r#"{"id":"a"}"#);
    let first = insert().await.expect(201).json();
    put(&server, "/tables/memos/a", r#"{"rating":9}"#)
        .await
        .expect(200);
    assert_eq!(insert().await.expect(201).json(), first);
}
