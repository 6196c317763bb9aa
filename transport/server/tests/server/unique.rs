//! Unique values: one record has each, whoever asks, however many ask.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;
use synctable_core::query::field;
use synctable_core::store::LocalStore;
use synctable_memory::MemoryStore;
use synctable_server::{Access, AccessRequest, Grant, Refusal, TableServer};

use crate::common::*;
use crate::declared::{DIALECTS, TOOLKIT, ZUMO2, ZUMO3, serving, stores};

const SCHEMA: &str = r#"{"tables": {
  "memos": {"softDelete": true, "fields": {"code": {"type": "string", "unique": true}, "n": {"type": "number", "unique": true}}},
  "tasks": {"fields": {"code": {"type": "string", "unique": true}}}}}"#;
const FREE: &str = r#"{"tables": {"memos": {"softDelete": true}}}"#;
const TAKEN: &str = "The value of the code field is taken by another record.";

fn memory() -> Arc<dyn LocalStore> {
    Arc::new(MemoryStore::new())
}

async fn insert(server: &TableServer, body: &str) -> u16 {
    post(server, "/tables/memos", body).await.status.as_u16()
}

#[tokio::test]
async fn a_value_is_taken_once_and_freed() {
    let (stores, _folder) = stores();
    for store in stores {
        let server = serving(&store, SCHEMA).await;
        for (body, status) in [
            (r#"{"id":"a","code":"x","n":1}"#, 201),
            (r#"{"id":"b","code":"x"}"#, 400),
            (r#"{"id":"b","n":1.0}"#, 400),
            (r#"{"id":"b","code":"X"}"#, 201),
            // Nothing is no value.
            (r#"{"id":"c","code":null}"#, 201),
            (r#"{"id":"d","code":null}"#, 201),
            (r#"{"id":"e"}"#, 201),
            // The id that is there counts first.
            (r#"{"id":"a","code":"new"}"#, 409),
        ] {
            assert_eq!(insert(&server, body).await, status, "{body}");
        }
        // Another table has its own.
        post(&server, "/tables/tasks", r#"{"id":"a","code":"x"}"#)
            .await
            .expect(201);
        let to = async |id: &str, body: &str| {
            let target = format!("/tables/memos/{id}");
            send(&server, "PATCH", &target, ZUMO3, body)
                .await
                .status
                .as_u16()
        };
        assert_eq!(to("b", r#"{"code":"x"}"#).await, 400);
        assert_eq!(to("a", r#"{"n":2}"#).await, 200);
        assert_eq!(to("b", r#"{"n":1}"#).await, 200);
        // Its own value again, then another one: that frees the first.
        assert_eq!(to("a", r#"{"code":"x"}"#).await, 200);
        assert_eq!(to("a", r#"{"code":"y"}"#).await, 200);
        assert_eq!(to("b", r#"{"code":"x"}"#).await, 200);
        assert_eq!(to("a", r#"{"code":"x"}"#).await, 400);
        put(&server, "/tables/memos/b", "{}").await.expect(200);
        assert_eq!(to("a", r#"{"code":"x"}"#).await, 200);
        // Removed for good, and as a tombstone.
        delete(&server, "/tables/tasks/a").await.expect(204);
        post(&server, "/tables/tasks", r#"{"id":"b","code":"x"}"#)
            .await
            .expect(201);
        delete(&server, "/tables/memos/a").await.expect(204);
        assert_eq!(insert(&server, r#"{"id":"f","code":"x"}"#).await, 201);
    }
}

#[tokio::test]
async fn a_tombstone_that_comes_back_is_judged_again() {
    let server = serving(&memory(), SCHEMA).await;
    assert_eq!(insert(&server, r#"{"id":"a","code":"x"}"#).await, 201);
    delete(&server, "/tables/memos/a").await.expect(204);
    assert_eq!(insert(&server, r#"{"id":"b","code":"x"}"#).await, 201);
    let back = async |dialect, method, body| {
        let target = "/tables/memos/a?__includedeleted=true";
        send(&server, method, target, dialect, body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(back(ZUMO2, "POST", "").await, 400);
    assert_eq!(back(ZUMO3, "PATCH", r#"{"deleted":false}"#).await, 400);
    assert_eq!(back(TOOLKIT, "PUT", r#"{"code":"x"}"#).await, 400);
    get(&server, "/tables/memos/a").await.expect(410);
    delete(&server, "/tables/memos/b").await.expect(204);
    assert_eq!(back(ZUMO2, "POST", "").await, 201);
    assert_eq!(insert(&server, r#"{"id":"c","code":"x"}"#).await, 400);
}

#[tokio::test]
async fn of_many_that_want_a_value_one_has_it() {
    for ordered in [false, true] {
        let store = TestStore::new(ordered, 3);
        let store: Arc<dyn LocalStore> = store;
        // Two servers, so that nothing but the store keeps them apart.
        let servers = [serving(&store, SCHEMA).await, serving(&store, SCHEMA).await];
        let inserts = (0..24).map(|number| {
            let server = &servers[number % 2];
            let body = format!(r#"{{"id":"r{number}","code":"x"}}"#);
            async move { post(server, "/tables/memos", &body).await }
        });
        let answers = join_all(inserts).await;
        let won = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(won, 1);
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert_eq!(answer.status, 400, "{answer:?}");
            assert_eq!(answer.json()[0]["errorMessage"], TAKEN);
        }
        assert_eq!(get(&servers[0], "/tables/memos").await.ids().len(), 1);
    }
}

#[tokio::test]
async fn refusals_and_repeats() {
    let server = serving(&memory(), SCHEMA).await;
    let key = [("x-operation-id", "k")];
    let body = r#"{"id":"a","code":"x"}"#;
    for _ in 0..2 {
        send(&server, "POST", "/tables/memos", &key, body)
            .await
            .expect(201);
    }
    for dialect in DIALECTS {
        let body = r#"{"id":"b","code":"x"}"#;
        let answer = send(&server, "POST", "/tables/memos", dialect, body)
            .await
            .expect(400);
        match answer.json() {
            list if list.is_array() => {
                assert_eq!(
                    list,
                    json!([{"memberNames": ["code"], "errorMessage": TAKEN}])
                );
            }
            object if object.get("errors").is_some() => {
                assert_eq!(object["errors"], json!({"code": [TAKEN]}));
            }
            object => assert_eq!(object["error"], format!("code: {TAKEN}")),
        }
    }
}

/// Everybody sees their own records only.
#[derive(Debug)]
struct Own;

#[async_trait]
impl Access for Own {
    async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal> {
        let user = request.bearer_token().ok_or(Refusal::Unauthenticated)?;
        Ok(Grant::all()
            .for_user(user)
            .only(field("owner").eq(user))
            .with_member("owner", user))
    }
}

#[tokio::test]
async fn a_hidden_record_has_its_value_and_shows_nothing_else() {
    let server = TableServer::builder(memory())
        .schema(synctable_core::Declarations::from_json(SCHEMA).unwrap())
        .access(Arc::new(Own))
        .build()
        .await
        .unwrap();
    let insert = |user: &'static str, body: &'static str| {
        let server = &server;
        async move {
            let token = format!("Bearer {user}");
            let headers = [("authorization", token.as_str())];
            send(server, "POST", "/tables/memos", &headers, body).await
        }
    };
    insert("ada", r#"{"id":"secret","code":"x"}"#)
        .await
        .expect(201);
    let answer = insert("bob", r#"{"id":"b","code":"x"}"#).await.expect(400);
    assert_eq!(answer.json()[0]["errorMessage"], TAKEN);
    assert!(!answer.text.contains("secret") && !answer.text.contains("ada"));
    assert!(answer.header("etag").is_none());
}

#[tokio::test]
async fn rows_from_before_the_declaration_have_their_values() {
    let (stores, _folder) = stores();
    for store in stores {
        let free = serving(&store, FREE).await;
        for body in [
            r#"{"id":"a","code":"x"}"#,
            r#"{"id":"b","code":"y"}"#,
            r#"{"id":"c"}"#,
        ] {
            assert_eq!(insert(&free, body).await, 201);
        }
        let server = serving(&store, SCHEMA).await;
        assert_eq!(insert(&server, r#"{"id":"d","code":"x"}"#).await, 400);
        delete(&server, "/tables/memos/a").await.expect(204);
        assert_eq!(insert(&server, r#"{"id":"d","code":"x"}"#).await, 201);
        // Served without the declaration for a while.
        let free = serving(&store, FREE).await;
        put(&free, "/tables/memos/d", r#"{"code":"z"}"#)
            .await
            .expect(200);
        assert_eq!(insert(&free, r#"{"id":"e","code":"w"}"#).await, 201);
        let server = serving(&store, SCHEMA).await;
        for (body, status) in [
            (r#"{"id":"f","code":"w"}"#, 400),
            (r#"{"id":"f","code":"z"}"#, 400),
            (r#"{"id":"f","code":"x"}"#, 201),
            (r#"{"id":"g","code":"x"}"#, 400),
        ] {
            assert_eq!(insert(&server, body).await, status, "{body}");
        }
    }
}

#[tokio::test]
async fn rows_that_break_the_declaration_are_named() {
    for far in [false, true] {
        let store = memory();
        let free = serving(&store, FREE).await;
        assert_eq!(insert(&free, r#"{"id":"a1","code":"x"}"#).await, 201);
        for number in 0..if far { 600 } else { 1 } {
            let body = format!(r#"{{"id":"m{number}"}}"#);
            assert_eq!(insert(&free, &body).await, 201);
        }
        assert_eq!(insert(&free, r#"{"id":"z9","code":"x"}"#).await, 201);
        let schema = synctable_core::Declarations::from_json(SCHEMA).unwrap();
        let open = || {
            TableServer::builder(Arc::clone(&store))
                .schema(schema.clone())
                .build()
        };
        let error = open().await.unwrap_err().to_string();
        for part in ["memos", "'code'", "'a1'", "'z9'", "unique"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        // A tombstone breaks nothing.
        delete(&free, "/tables/memos/z9").await.expect(204);
        open().await.unwrap();
    }
}
