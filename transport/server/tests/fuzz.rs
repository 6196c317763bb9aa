//! Requests that are nearly right: as a function, and as bytes on a connection.
//!
//! `SYNCTABLE_CASES=1000000 cargo test -p synctable-server --release --test fuzz` tries more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "../../../core/tests/fuzz/mutate.rs"]
mod mutate;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use mutate::{Raw, mutated, mutated_text, try_many};
use proptest::prelude::*;
use serde_json::Value;
use synctable_core::store::LocalStore as _;
use synctable_core::{Declaration, FieldType, TableName};
use synctable_memory::MemoryStore;
use synctable_server::{Limits, TableServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};

const CASES: u32 = 5_000;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

async fn server() -> (TableServer, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let schema = Declaration::new()
        .with_soft_delete()
        .with_field("title", FieldType::String)
        .with_field("n", FieldType::Number);
    let mut limits = Limits::default();
    limits.body = 2000;
    limits.tables = 5;
    let server = TableServer::builder(Arc::clone(&store) as _)
        .table(TableName::new("todo").unwrap(), schema)
        .any_table(true)
        .limits(limits)
        .build()
        .await
        .unwrap();
    (server, store)
}

async fn send(server: &TableServer, method: &str, target: &str, body: &str) -> Response<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("content-type", "application/json")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    server.handle(request).await
}

/// An answer of a server in order: no fault of its own, JSON or nothing, and an error in one line.
fn check_answer(response: &Response<Bytes>) -> Result<(), TestCaseError> {
    let (status, body) = (response.status().as_u16(), response.body());
    prop_assert!(status < 500, "{status} {body:?}");
    if body.is_empty() {
        return Ok(());
    }
    let json: Value = serde_json::from_slice(body)
        .map_err(|error| TestCaseError::fail(format!("{status} {error} {body:?}")))?;
    if status >= 400 && status != 409 && status != 412 {
        let words = json["error"].as_str().or(json["title"].as_str());
        let words = words.ok_or_else(|| TestCaseError::fail(format!("no words: {body:?}")))?;
        prop_assert!(
            !words.chars().any(char::is_control) && words.len() < 2000,
            "{words}"
        );
    }
    Ok(())
}

const TARGETS: [&str; 8] = [
    "/tables/todo?$filter=n%20gt%205%20and%20startswith(title,%27a%27)&$orderby=n%20desc&$top=5&$count=true",
    "/tables/todo?$skiptoken=WyJhIl0&$select=id,title&__includeDeleted=true",
    "/tables/todo?$skip=1&$inlinecount=allpages&ZUMO-API-VERSION=2.0.0",
    "/tables/todo/a?ZUMO-API-VERSION=3.0.0",
    "/tables/todo/a%20b",
    "/tables/todo",
    "/tables/other_table/x",
    "http://example.com/tables/todo/a",
];
const WORDS: [&str; 26] = [
    "/",
    "..",
    "%2f",
    "%00",
    "%0d%0a",
    "%ff",
    "%",
    "?",
    "&",
    "=",
    "$filter=",
    "$orderby=",
    "$top=",
    "-1",
    "(",
    ")",
    "'",
    "eq",
    "99999999999999999999",
    "null",
    "{",
    "}",
    "\"",
    "\\ud800",
    "1e999",
    "[",
];
const BODIES: [&str; 4] = [
    r#"{"id":"a","title":"Milk","n":1.5}"#,
    r#"{"id":"a b","version":"x","deleted":true,"updatedAt":"2026-02-01T00:00:00Z","extra":[1,{"x":null}]}"#,
    r#"{"title":null}"#,
    "",
];
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get",
];

#[test]
fn requests() {
    let runtime = runtime();
    let (server, store) = runtime.block_on(server());
    let inputs = (
        prop::sample::select(METHODS.to_vec()),
        mutated_text(&TARGETS, &WORDS),
        mutated_text(
            &[
                "\"v\"",
                "W/\"v\"",
                "*",
                "Sat, 31 Jan 2026 12:00:00 GMT",
                "2.0.0",
            ],
            &["\"", ",", "\t", "W/"],
        ),
        prop::sample::select(vec![
            "if-match",
            "if-none-match",
            "if-modified-since",
            "x-operation-id",
            "zumo-api-version",
            "x-zumo-options",
            "content-type",
        ]),
        mutated(&BODIES, &WORDS),
    );
    let taken = AtomicUsize::new(0);
    try_many(
        CASES,
        &inputs,
        |(method, target, value, header, Raw(body))| {
            let request = Request::builder()
                .method(method)
                .uri(&target)
                .header("host", "localhost")
                .header("content-type", "application/json")
                .header(header, &value)
                .body(Bytes::from(body));
            // What is no request at all does not get here.
            let Ok(request) = request else { return Ok(()) };
            let response = runtime.block_on(server.handle(request));
            taken.fetch_add(
                usize::from(response.status().is_success()),
                Ordering::Relaxed,
            );
            check_answer(&response)
        },
    );
    assert!(taken.into_inner() > 0, "no request was taken");
    runtime.block_on(async {
        let (server, table) = (&server, TableName::new("todo").unwrap());
        let page = send(
            server,
            "GET",
            "/tables/todo?__includeDeleted=true&$top=1",
            "",
        )
        .await;
        assert_eq!(page.status(), 200);
        // What was let in is a record, and can be read again.
        let query = synctable_core::query::Query::all();
        for record in store.query(&table, &query).await.unwrap().records {
            let id = synctable_core::query::odata::percent_encode(record.id().as_str());
            let place = format!("/tables/todo/{id}?__includeDeleted=true");
            assert_eq!(
                send(server, "GET", &place, "").await.status(),
                200,
                "{place}"
            );
        }
        let schema = store.schema().await.unwrap();
        let users = schema
            .tables()
            .filter(|(name, _)| !name.as_str().starts_with("__"));
        assert!(users.count() <= 6);
    });
}

#[test]
fn bytes_on_a_connection() {
    let runtime = runtime();
    let (server, _) = runtime.block_on(server());
    let seeds = [
        "GET /tables/todo HTTP/1.1\r\nhost: localhost\r\n\r\nGET /tables/todo/a HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "POST /tables/todo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{\"id\":\"a\"}",
        "PUT /tables/todo/a HTTP/1.1\r\nhost: localhost\r\nif-match: \"v\"\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\na\r\n{\"id\":\"a\"}\r\n0\r\n\r\n",
        "DELETE /tables/todo/a HTTP/1.0\r\nconnection: keep-alive\r\nexpect: 100-continue\r\n\r\n",
    ];
    let words = [
        "\r\n",
        "\n",
        " ",
        ":",
        "\0",
        "\t",
        "HTTP/1.1",
        "HTTP/0.9",
        "content-length: 5\r\n",
        "transfer-encoding: chunked\r\n",
        "ffffffffffffffff",
        "-1",
        "%",
        "0\r\n\r\n",
        "connection: upgrade\r\n",
        "\u{e9}",
    ];
    try_many(CASES, &mutated(&seeds, &words), |Raw(bytes)| {
        let answer = runtime.block_on(async {
            let (mut near, far) = duplex(64 * 1024);
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(far), server.clone());
            // Sent whole and ended, so the server ends, too; that it fails on junk is as it should be.
            near.write_all(&bytes).await.unwrap();
            near.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let (_, read) = tokio::join!(connection, near.read_to_end(&mut answer));
            read.unwrap();
            answer
        });
        let text = String::from_utf8(answer).unwrap();
        prop_assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
        prop_assert!(
            !text.contains("HTTP/1.1 5") && !text.contains("HTTP/1.0 5"),
            "{text}"
        );
        Ok(())
    });
    let page = runtime.block_on(send(&server, "GET", "/tables/todo", ""));
    assert_eq!(page.status(), 200);
}
