//! Records that a client is not granted are to it as if they were not there.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use synctable_core::Declaration;
use synctable_core::query::field;
use synctable_memory::MemoryStore;
use synctable_server::{Access, AccessRequest, Action, Grant, Refusal, TableServer};

use crate::common::*;

/// Users own records; `admin` has all, `reader` reads only.
#[derive(Debug)]
struct Owners;

#[async_trait]
impl Access for Owners {
    async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal> {
        let user = request.bearer_token().ok_or(Refusal::Unauthenticated)?;
        match (user, request.action) {
            ("down", _) => Err(Refusal::Unavailable),
            ("stranger", _) => Err(Refusal::Hidden),
            ("admin", _) | ("reader", Action::Read) => Ok(Grant::all().for_user(user)),
            ("reader", _) => Err(Refusal::Forbidden),
            ("free", _) => Ok(Grant::all().only(field("owner").eq(user))),
            _ => Ok(Grant::all()
                .for_user(user)
                .only(field("owner").eq(user))
                .with_member("owner", user)),
        }
    }
}

async fn server() -> TableServer {
    builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .table(
            table("paged"),
            serde_json::from_value::<Declaration>(json!({"pageSize": 2})).unwrap(),
        )
        .access(Arc::new(Owners))
        .build()
        .await
        .unwrap()
}

const TOOLKIT: &str = "";
const ZUMO2: &str = "2.0.0";
const ZUMO3: &str = "3.0.0";

struct As<'a>(&'a TableServer, &'a str, &'a str);

impl As<'_> {
    async fn send(&self, method: &str, target: &str, more: Headers<'_>, body: &str) -> Answer {
        let token = format!("Bearer {}", self.1);
        let mut headers = vec![
            ("authorization", token.as_str()),
            ("zumo-api-version", self.2),
            ("x-zumo-version", "x"),
        ];
        headers.extend(more);
        send(self.0, method, target, &headers, body).await
    }
}

#[tokio::test]
async fn refusals_have_their_status() {
    let server = server().await;
    let get = async |user: &str, method, body: &str| {
        As(&server, user, TOOLKIT)
            .send(method, "/tables/hard", &[], body)
            .await
    };
    let answer = send(&server, "GET", "/tables/hard", &[], "")
        .await
        .expect(401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    get("reader", "POST", "{}").await.expect(403);
    get("reader", "GET", "").await.expect(200);
    get("down", "GET", "").await.expect(503);
    let hidden = get("stranger", "GET", "").await.expect(404);
    let missing = As(&server, "admin", TOOLKIT)
        .send("GET", "/tables/none", &[], "")
        .await
        .expect(404);
    assert_eq!(hidden.text.replace("hard", "none"), missing.text);
    send(&server, "GET", "/tables/none", &[], "")
        .await
        .expect(401);
    send(&server, "OPTIONS", "/tables/hard", &[], "")
        .await
        .expect(204);
}

#[tokio::test]
async fn an_unknown_client_makes_no_table() {
    let mut limits = synctable_server::Limits::default();
    limits.tables = 1;
    let server = TableServer::builder(Arc::new(MemoryStore::new()))
        .any_table(true)
        .limits(limits)
        .access(Arc::new(Owners))
        .build()
        .await
        .unwrap();
    send(&server, "GET", "/tables/old", &[], "")
        .await
        .expect(401);
    As(&server, "admin", TOOLKIT)
        .send("GET", "/tables/new", &[], "")
        .await
        .expect(200);
}

#[tokio::test]
async fn rows_of_others_are_neither_listed_nor_counted_nor_paged_over() {
    let server = server().await;
    for n in 0..9 {
        let user = if n % 3 == 0 { "eve" } else { "ann" };
        let body = format!(r#"{{"id":"r{n}","owner":"admin"}}"#);
        let answer = As(&server, user, TOOLKIT)
            .send("POST", "/tables/paged", &[], &body)
            .await;
        assert_eq!(
            answer.expect(201).json()["owner"],
            user,
            "the grant's member counts"
        );
    }
    let ann = As(&server, "ann", TOOLKIT);
    let mut target = "/tables/paged?$count=true&$filter=id%20ge%20'r0'".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = ann.send("GET", &target, &[], "").await.expect(200);
        assert_eq!(page.json()["count"], 6);
        pages.push(page.ids());
        match page.next_link() {
            Some(next) => target = format!("/tables/paged?{next}"),
            None => break,
        }
    }
    assert_eq!(pages, [["r1", "r2"], ["r4", "r5"], ["r7", "r8"]]);
    for filter in [
        "owner%20eq%20'eve'",
        "owner%20ne%20'ann'%20or%20true",
        "id%20eq%20'r0'",
    ] {
        let target = format!("/tables/paged?$count=true&$filter={filter}&$select=id");
        let page = ann.send("GET", &target, &[], "").await.expect(200);
        let own = page.json()["count"].as_u64().unwrap();
        assert!(own == 6 || own == 0, "{filter}: {own}");
        assert!(!page.ids().contains(&"r0".to_owned()), "{filter}");
    }
    let all = As(&server, "admin", TOOLKIT)
        .send("GET", "/tables/paged?$count=true", &[], "")
        .await;
    assert_eq!(all.json()["count"], 9);
}

/// What a client is told about another's record is what it is told about one that is not there.
#[tokio::test]
async fn rows_of_others_cannot_be_told_from_missing_ones() {
    for dialect in [TOOLKIT, ZUMO2, ZUMO3] {
        let server = server().await;
        let eve = As(&server, "eve", dialect);
        let made = As(&server, "ann", dialect)
            .send(
                "POST",
                "/tables/soft",
                &[],
                r#"{"id":"hers","secret":"s3cret"}"#,
            )
            .await
            .expect(201);
        let tag = format!("\"{}\"", made.version());
        let tags: [Headers<'_>; 5] = [
            &[],
            &[("if-match", "\"stale\"")],
            &[("if-match", &tag)],
            &[("if-none-match", "*")],
            &[("if-unmodified-since", "Sat, 31 Jan 1970 12:00:00 GMT")],
        ];
        let write = if dialect == ZUMO2 { "PATCH" } else { "PUT" };
        let stale = r#"{"version":"stale"}"#;
        for headers in tags {
            for (method, body) in [
                ("GET", ""),
                (write, "{}"),
                (write, stale),
                ("PATCH", "{}"),
                ("PATCH", r#"{"version":"stale","text":"x"}"#),
                ("POST", ""),
                ("DELETE", ""),
            ] {
                for end in ["", "?__includeDeleted=true"] {
                    let hers = format!("/tables/soft/hers{end}");
                    let none = format!("/tables/soft/none{end}");
                    let hers = eve.send(method, &hers, headers, body).await;
                    let none = eve.send(method, &none, headers, body).await;
                    assert_eq!(hers.status, none.status, "{dialect} {method} {body}");
                    assert_eq!(hers.text, none.text, "{dialect} {method} {body}");
                    assert_eq!(hers.headers, none.headers, "{dialect} {method} {body}");
                    assert!([404, 405].contains(&hers.status.as_u16()), "{hers:?}");
                }
            }
        }
        let clash = eve
            .send("POST", "/tables/soft", &[], r#"{"id":"hers"}"#)
            .await
            .expect(400);
        assert!(
            !clash.text.contains("s3cret") && clash.header("etag").is_none(),
            "{clash:?}"
        );
        let same = As(&server, "ann", dialect)
            .send("GET", "/tables/soft/hers", &[], "")
            .await;
        assert_eq!(
            same.expect(200).version(),
            made.version(),
            "nothing was written"
        );
        let own = eve
            .send("POST", "/tables/soft", &[], r#"{"id":"own"}"#)
            .await
            .expect(201);
        assert_eq!(own.json()["owner"], "eve");
        eve.send("POST", "/tables/soft", &[], r#"{"id":"own"}"#)
            .await
            .expect(409);
    }
}

#[tokio::test]
async fn a_deleted_row_of_another_is_missing_too() {
    let server = server().await;
    let ann = As(&server, "ann", TOOLKIT);
    ann.send("POST", "/tables/soft", &[], r#"{"id":"a"}"#)
        .await
        .expect(201);
    ann.send("DELETE", "/tables/soft/a", &[], "")
        .await
        .expect(204);
    ann.send("GET", "/tables/soft/a", &[], "").await.expect(410);
    let eve = As(&server, "eve", TOOLKIT);
    for method in ["GET", "DELETE"] {
        eve.send(method, "/tables/soft/a", &[], "")
            .await
            .expect(404);
    }
    eve.send("PUT", "/tables/soft/a", &[], "{}")
        .await
        .expect(404);
    eve.send("POST", "/tables/soft", &[], r#"{"id":"a"}"#)
        .await
        .expect(400);
}

#[tokio::test]
async fn a_row_cannot_be_moved_out_of_what_is_granted() {
    let server = server().await;
    for dialect in [TOOLKIT, ZUMO2, ZUMO3] {
        let free = As(&server, "free", dialect);
        let id = if dialect == TOOLKIT {
            "toolkit"
        } else {
            dialect
        };
        let body = format!(r#"{{"id":"{id}","owner":"free"}}"#);
        let other = format!(r#"{{"id":"{id}x","owner":"ann"}}"#);
        free.send("POST", "/tables/hard", &[], &other)
            .await
            .expect(403);
        free.send("POST", "/tables/hard", &[], &body)
            .await
            .expect(201);
        let target = format!("/tables/hard/{id}");
        free.send("PATCH", &target, &[], r#"{"owner":"ann"}"#)
            .await
            .expect(403);
        free.send("PATCH", &target, &[], r#"{"n":1}"#)
            .await
            .expect(200);
        if dialect != ZUMO2 {
            free.send("PUT", &target, &[], r#"{"n":2}"#)
                .await
                .expect(403);
        }
        let kept = free.send("GET", &target, &[], "").await.expect(200).json();
        assert_eq!((&kept["owner"], &kept["n"]), (&json!("free"), &json!(1)));
    }
}

#[tokio::test]
async fn operation_ids_of_users_are_apart() {
    let server = server().await;
    let operation: Headers<'_> = &[("x-operation-id", "1")];
    let post = async |user: &str, body: &str| {
        let answer = As(&server, user, TOOLKIT)
            .send("POST", "/tables/hard", operation, body)
            .await;
        answer.expect(201).json()["id"].as_str().unwrap().to_owned()
    };
    let hers = post("ann", r#"{"text":"secret"}"#).await;
    assert_eq!(
        post("ann", r#"{"text":"secret"}"#).await,
        hers,
        "a repeat is not done again"
    );
    assert_ne!(post("eve", r#"{"text":"other"}"#).await, hers);
}

#[tokio::test]
async fn a_repeat_shows_no_row_that_was_taken_away() {
    let server = server().await;
    let operation: Headers<'_> = &[("x-operation-id", "1")];
    let ann = As(&server, "ann", ZUMO2);
    ann.send("POST", "/tables/hard", &[], r#"{"id":"a","n":1}"#)
        .await
        .expect(201);
    ann.send("PATCH", "/tables/hard/a", operation, r#"{"n":2}"#)
        .await
        .expect(200);
    As(&server, "admin", ZUMO2)
        .send(
            "PATCH",
            "/tables/hard/a",
            &[],
            r#"{"owner":"eve","secret":"s3cret"}"#,
        )
        .await
        .expect(200);
    let repeat = ann
        .send("PATCH", "/tables/hard/a", operation, r#"{"n":2}"#)
        .await;
    assert!(!repeat.expect(200).text.contains("s3cret"));
}
