//! Who is let in, over sockets: hosts, pages of other sites, forms, and proxies.

use std::sync::Arc;

use synctable_memory::MemoryStore;
use synctable_server::{BearerToken, TableServerBuilder};

use crate::common::*;
use crate::wire::*;

const TOKEN: &str = "authorization: Bearer secret\r\n";
const JSON: &str = "content-type: application/json\r\n";

fn guarded() -> TableServerBuilder {
    builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .access(Arc::new(BearerToken::new("secret").unwrap()))
        .host("api.example".parse().unwrap())
        .allow_origin("https://app.example".parse().unwrap())
        .allow_origin("null".parse().unwrap())
}

/// The head of the answer to one request, with a body of JSON where there is one.
async fn ask(running: &Running, line: &str, headers: &str, body: &str) -> String {
    let mut client = running.connect().await;
    let length = body.len();
    client
        .send(&format!(
            "{line} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
        .await;
    client.end().await.to_ascii_lowercase()
}

#[track_caller]
fn expect(answer: &str, status: u16) {
    let start = format!("http/1.1 {status} ");
    assert!(answer.starts_with(&start), "{status}: {answer}");
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused_before_anything_is_done() {
    let running = serve_with(guarded()).await;
    let body = r#"{"id":"evil"}"#;
    for (headers, status) in [
        ("", 400),
        ("host: evil.example\r\n", 403),
        ("host: localhost.evil.example\r\n", 403),
        ("host: localhost\r\nhost: localhost\r\n", 400),
        ("host: localhost\r\nhost: evil.example\r\n", 400),
        ("host: localhost\r\norigin: https://evil.example\r\n", 403),
        ("host: localhost\r\norigin: http://localhost:1\r\n", 403),
        ("host: localhost\r\norigin: null\r\norigin: null\r\n", 400),
    ] {
        let headers = format!("{headers}{TOKEN}{JSON}");
        for (line, body) in [("POST /tables/hard", body), ("GET /tables/hard", "")] {
            let answer = ask(&running, line, &headers, body).await;
            expect(&answer, status);
            assert!(!answer.contains("access-control"), "{answer}");
        }
    }
    let good = format!("host: API.example:443\r\n{TOKEN}");
    expect(
        &ask(&running, "GET /tables/hard/evil", &good, "").await,
        404,
    );
    let address = format!("host: {}\r\n{TOKEN}", running.address);
    expect(&ask(&running, "GET /tables/hard", &address, "").await, 200);
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() {
    let running = serve_with(guarded()).await;
    let mut client = running.connect().await;
    client
        .send("POST /tables/hard HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 100\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.0, 403);
    assert_eq!(client.end().await, "");
}

#[tokio::test]
async fn a_page_that_is_let_in_asks_first_and_may_read_the_answer() {
    let running = serve_with(guarded()).await;
    for origin in ["https://app.example", "null"] {
        let page = format!("host: localhost\r\norigin: {origin}\r\n");
        let first = format!(
            "{page}access-control-request-method: PATCH\r\naccess-control-request-headers: content-type,if-match,x-zumo-auth\r\naccess-control-request-private-network: true\r\n"
        );
        // Whatever is there, and without the token, which browsers do not send here.
        for path in ["/tables/hard", "/tables/hard/a", "/tables/none", "/"] {
            let answer = ask(&running, &format!("OPTIONS {path}"), &first, "").await;
            expect(&answer, 204);
            for line in [
                format!("access-control-allow-origin: {origin}\r\n"),
                "access-control-allow-methods: get, head, post, put, patch, delete, options\r\n"
                    .to_owned(),
                "access-control-allow-headers: content-type,if-match,x-zumo-auth\r\n".to_owned(),
                "access-control-allow-private-network: true\r\n".to_owned(),
                "vary: origin\r\n".to_owned(),
            ] {
                assert!(answer.contains(&line), "{line} in {answer}");
            }
        }
        let answer = ask(&running, "GET /tables/hard", &page, "").await;
        expect(&answer, 401);
        assert!(answer.contains(&format!("access-control-allow-origin: {origin}\r\n")));
        let answer = ask(&running, "GET /tables/hard", &format!("{page}{TOKEN}"), "").await;
        expect(&answer, 200);
        assert!(answer.contains(&format!("access-control-allow-origin: {origin}\r\n")));
        assert!(
            answer.contains("access-control-expose-headers: link, etag, "),
            "{answer}"
        );
        let too_large = format!("{page}{JSON}");
        let body = "x".repeat(2 * 1024 * 1024);
        let answer = ask(&running, "POST /tables/hard", &too_large, &body).await;
        expect(&answer, 413);
        assert!(answer.contains("access-control-allow-origin"), "{answer}");
    }
    let foreign = "host: localhost\r\norigin: https://evil.example\r\naccess-control-request-method: POST\r\n";
    expect(
        &ask(&running, "OPTIONS /tables/hard", foreign, "").await,
        403,
    );
    // No page asks here: the methods of the table.
    let plain = ask(&running, "OPTIONS /tables/hard", "host: localhost\r\n", "").await;
    expect(&plain, 204);
    assert!(
        plain.contains("allow: get, head, post, options\r\n"),
        "{plain}"
    );
    assert!(!plain.contains("access-control"), "{plain}");
}

#[tokio::test]
async fn what_a_form_can_send_changes_nothing() {
    let builder = builder(Arc::new(MemoryStore::new()), &TestClock::new());
    let running = serve_with(builder).await;
    let body = r#"{"id":"a"}"#;
    let here = "host: localhost\r\n";
    let made = ask(
        &running,
        "POST /tables/soft",
        &format!("{here}{JSON}"),
        body,
    )
    .await;
    expect(&made, 201);
    expect(&ask(&running, "DELETE /tables/soft/a", here, "").await, 204);
    for (path, headers, body, status) in [
        ("/tables/hard?zumo-api-version=2.0.0", "", body, 415),
        ("/tables/hard", "content-type: text/plain\r\n", body, 415),
        ("/tables/hard", "zumo-api-version: 2.0.0\r\n", body, 415),
        ("/tables/hard?zumo-api-version=2.0.0", "", "", 400),
        ("/tables/soft/a?zumo-api-version=2.0.0", "", "", 400),
        ("/tables/soft/a?zumo-api-version=2.0.0", "", "x=y", 415),
    ] {
        let headers = format!("{here}{headers}");
        let answer = ask(&running, &format!("POST {path}"), &headers, body).await;
        expect(&answer, status);
    }
    expect(&ask(&running, "GET /tables/soft/a", here, "").await, 410);
    let genuine = format!("{here}zumo-api-version: 2.0.0\r\n");
    expect(
        &ask(&running, "POST /tables/soft/a", &genuine, "").await,
        201,
    );
    expect(&ask(&running, "GET /tables/soft/a", here, "").await, 200);
}

#[tokio::test]
async fn either_header_carries_the_token() {
    let running = serve_with(guarded()).await;
    let here = "host: localhost\r\n";
    for (header, status) in [
        ("", 401),
        ("authorization: Bearer secret\r\n", 200),
        ("authorization: bearer secret\r\n", 200),
        ("x-zumo-auth: secret\r\n", 200),
        ("authorization: Basic secret\r\n", 401),
        ("authorization: Bearer secre\r\n", 401),
        ("authorization: Bearer secrets\r\n", 401),
        ("authorization: Bearer Secret\r\n", 401),
        ("x-zumo-auth: other\r\n", 401),
        (
            "authorization: Bearer other\r\nx-zumo-auth: secret\r\n",
            401,
        ),
    ] {
        let answer = ask(&running, "GET /tables/hard", &format!("{here}{header}"), "").await;
        expect(&answer, status);
    }
}

#[tokio::test]
async fn links_tell_what_the_client_asked_the_proxy() {
    let running = serve_with(
        builder(Arc::new(MemoryStore::new()), &TestClock::new())
            .table(table("rows"), paged())
            .host("api.example".parse().unwrap()),
    )
    .await;
    let here = "host: api.example\r\nzumo-api-version: 2.0.0\r\n";
    for id in ["a", "b"] {
        let body = format!(r#"{{"id":"{id}"}}"#);
        expect(
            &ask(
                &running,
                "POST /tables/rows",
                &format!("{here}{JSON}"),
                &body,
            )
            .await,
            201,
        );
    }
    for (said, start) in [
        ("", "http://api.example/"),
        ("x-forwarded-proto: https\r\n", "https://api.example/"),
        (
            "forwarded: for=192.0.2.1;proto=https\r\n",
            "https://api.example/",
        ),
        ("x-forwarded-proto: http\r\n", "http://api.example/"),
        ("x-forwarded-host: evil.example\r\n", "http://api.example/"),
    ] {
        let headers = format!("{here}{said}");
        let answer = ask(&running, "GET /tables/rows?$orderby=id", &headers, "").await;
        let link = format!("link: {start}tables/rows?");
        assert!(answer.contains(&link), "{said}: {answer}");
    }
}
