//! What only the dialects of Azure Mobile Apps have. What the genuine node server was recorded with is in `replay`.

use std::sync::Arc;

use serde_json::json;
use synctable_core::{Declaration, IdSource, RecordId};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;

use crate::common::*;

const V2: (&str, &str) = ("zumo-api-version", "2.0.0");
const V3: [(&str, &str); 2] = [("zumo-api-version", "3.0.0"), ("x-zumo-version", "x")];

async fn v2(server: &TableServer, method: &str, target: &str, body: &str) -> Answer {
    send(server, method, target, &[V2], body).await
}

async fn v3(server: &TableServer, method: &str, target: &str, body: &str) -> Answer {
    send(server, method, target, &V3, body).await
}

/// A server whose table `rows` has 5 rows and pages of 2.
async fn paged(base_url: Option<&str>) -> TableServer {
    let options = serde_json::from_value::<Declaration>(json!({"pageSize": 2, "maxTop": 4}));
    let builder = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .table(table("rows"), options.unwrap())
        .host("example.com".parse().unwrap());
    let server = match base_url {
        Some(url) => builder.base_url(url),
        None => builder,
    };
    let server = server.build().await.unwrap();
    for n in 0..5 {
        let body = format!(r#"{{"id":"r{n}"}}"#);
        post(&server, "/tables/rows", &body).await.expect(201);
    }
    server
}

/// All pages from `target` on, and the links between them.
async fn follow(
    server: &TableServer,
    target: &str,
    more: Headers<'_>,
) -> (Vec<usize>, Vec<String>) {
    let (mut sizes, mut links) = (Vec::new(), Vec::new());
    let mut target = target.to_owned();
    loop {
        let answer = send(server, "GET", &target, more, "").await.expect(200);
        let json = answer.json();
        let rows = json.get("items").or(json.get("results")).unwrap_or(&json);
        sizes.push(rows.as_array().unwrap().len());
        let header = answer.header("link").map(|link| {
            let (url, rel) = link.split_once("; ").unwrap();
            assert_eq!(rel, "rel=next");
            url.to_owned()
        });
        let Some(link) = header.or_else(|| json["nextLink"].as_str().map(str::to_owned)) else {
            return (sizes, links);
        };
        target = format!("/tables/rows?{}", link.split_once('?').unwrap().1);
        links.push(link);
    }
}

#[tokio::test]
async fn links_are_in_the_form_that_the_client_wants() {
    let there = ("host", "example.com:8080");
    for (base, more, start) in [
        (
            None,
            vec![V2, there],
            "http://example.com:8080/tables/rows?",
        ),
        (None, vec![V2], "/tables/rows?"),
        (
            Some("https://a.b/c/"),
            vec![V2, there],
            "https://a.b/c/tables/rows?",
        ),
        (
            None,
            vec![V3[0], V3[1], there],
            "http://example.com:8080/tables/rows?",
        ),
        (
            Some("https://a.b"),
            vec![V3[0], V3[1]],
            "https://a.b/tables/rows?",
        ),
        (
            Some("https://a.b"),
            vec![V3[0], V3[1], there, ("x-zumo-options", "nextLink=path")],
            "/tables/rows?",
        ),
    ] {
        let server = paged(base).await;
        let (sizes, links) = follow(&server, "/tables/rows?$orderby=id%20desc&x=y", &more).await;
        assert_eq!(sizes, [2, 2, 1], "{more:?}");
        for link in links {
            assert!(link.starts_with(start), "{link}");
            assert!(link.contains("$orderby=id%20desc&x=y"), "{link}");
        }
    }
}

#[tokio::test]
async fn windows_and_counts_by_dialect() {
    let server = paged(None).await;
    for (query, sizes) in [
        ("", vec![2, 2, 1]),
        ("$top=0", vec![2, 2, 1]),
        ("$top=3", vec![3]),
        ("$top=4&$skip=2", vec![3]),
        ("$skip=5", vec![0]),
    ] {
        let (found, _) = follow(&server, &format!("/tables/rows?{query}"), &[V2]).await;
        assert_eq!(found, sizes, "version 2: {query}");
    }
    for (query, sizes) in [
        ("", vec![2, 2, 1]),
        ("$top=0", vec![0]),
        ("$top=3", vec![2, 1]),
        ("$top=4&$skip=2", vec![2, 1]),
        ("$skip=5", vec![0]),
    ] {
        let (found, _) = follow(&server, &format!("/tables/rows?{query}"), &V3).await;
        assert_eq!(found, sizes, "version 3: {query}");
    }
    v2(&server, "GET", "/tables/rows?$top=5", "")
        .await
        .expect(400);
    v3(&server, "GET", "/tables/rows?$top=5", "")
        .await
        .expect(400);
    let counted = v2(
        &server,
        "GET",
        "/tables/rows?$inlinecount=allpages&$top=1",
        "",
    )
    .await;
    let counted = counted.expect(200).json();
    assert_eq!(counted["count"], 5);
    assert_eq!(counted["results"].as_array().unwrap().len(), 1);
    for query in ["$inlinecount=none", "$count=true"] {
        let bare = v2(&server, "GET", &format!("/tables/rows?{query}"), "").await;
        assert!(bare.json().is_array(), "{query}");
    }
    let counted = v3(&server, "GET", "/tables/rows?$count=true&$top=0", "")
        .await
        .json();
    assert_eq!(
        (&counted["count"], &counted["items"]),
        (&json!(5), &json!([]))
    );
}

#[tokio::test]
async fn a_table_that_says_nothing_has_the_sizes_of_the_dialect() {
    let server = server().await;
    for n in 0..120 {
        let body = format!(r#"{{"id":"r{n:03}"}}"#);
        post(&server, "/tables/hard", &body).await.expect(201);
    }
    let rows = async |query: &str| {
        let page = v2(&server, "GET", &format!("/tables/hard?{query}"), "").await;
        page.expect(200).json().as_array().unwrap().len()
    };
    assert_eq!(rows("").await, 50);
    assert_eq!(rows("$top=110").await, 110);
    v2(&server, "GET", "/tables/hard?$top=1001", "")
        .await
        .expect(400);
    let page = v3(&server, "GET", "/tables/hard?$top=128000", "")
        .await
        .expect(200);
    assert_eq!(page.ids().len(), 120);
    let page = v3(&server, "GET", "/tables/hard", "").await.expect(200);
    assert_eq!(page.ids().len(), 100);
    v3(&server, "GET", "/tables/hard?$top=128001", "")
        .await
        .expect(400);
}

#[tokio::test]
async fn version_2_deletes_and_undeletes() {
    let server = server().await;
    for (name, soft) in [("soft", true), ("hard", false)] {
        let target = format!("/tables/{name}/a");
        let made = v2(
            &server,
            "POST",
            &format!("/tables/{name}"),
            r#"{"id":"a","n":1}"#,
        )
        .await;
        assert!(made.header("location").is_none());
        assert!(made.header("x-zumo-server-version").is_some());
        assert_eq!(
            made.header("access-control-expose-headers"),
            Some("Link,ETag")
        );
        let made = made.expect(201);
        let live = v2(&server, "POST", &target, "").await.expect(201);
        assert_ne!(live.version(), made.version(), "{name}");
        let gone = v2(&server, "DELETE", &target, "").await.expect(200).json();
        assert_eq!((&gone["id"], &gone["n"]), (&json!("a"), &json!(1)));
        assert_eq!(gone["deleted"], soft);
        for (method, body) in [("GET", ""), ("PATCH", r#"{"n":2}"#), ("DELETE", "")] {
            let target = format!("{target}?__includeDeleted=true");
            v2(&server, method, &target, body).await.expect(404);
        }
        let back = v2(&server, "POST", &target, "").await;
        if soft {
            let back = back.expect(201).json();
            assert_eq!((&back["deleted"], &back["n"]), (&json!(false), &json!(1)));
            v2(&server, "GET", &target, "").await.expect(200);
        } else {
            back.expect(404);
        }
    }
}

#[tokio::test]
async fn version_2_changes_rows_named_in_the_body() {
    let server = server().await;
    v2(&server, "POST", "/tables/hard", r#"{"id":"a","n":1,"m":2}"#)
        .await
        .expect(201);
    let changed = v2(&server, "PATCH", "/tables/hard", r#"{"id":"a","n":5}"#).await;
    let json = changed.expect(200).json();
    assert_eq!((&json["n"], &json["m"]), (&json!(5), &json!(2)));
    v2(&server, "PATCH", "/tables/hard", r#"{"n":6}"#)
        .await
        .expect(400);
    v2(&server, "PATCH", "/tables/hard", r#"{"id":"b","n":6}"#)
        .await
        .expect(404);
    // A version in a header counts before the one in the body.
    let version = v2(&server, "GET", "/tables/hard/a", "").await.version();
    let tag = format!("\"{version}\"");
    let headers = [V2, ("if-match", tag.as_str())];
    let body = r#"{"n":7,"version":"stale"}"#;
    send(&server, "PATCH", "/tables/hard/a", &headers, body)
        .await
        .expect(200);
    let stale = send(&server, "PATCH", "/tables/hard/a", &headers, body).await;
    assert_eq!(stale.expect(412).json()["n"], 7);
    let conflict = v2(&server, "PATCH", "/tables/hard/a", body)
        .await
        .expect(409);
    let now = format!("\"{}\"", conflict.version());
    assert_eq!(conflict.header("etag"), Some(now.as_str()));
}

#[tokio::test]
async fn version_3_merges_objects_and_patches() {
    let server = server().await;
    let made = v3(
        &server,
        "POST",
        "/tables/soft",
        r#"{"id":"a","n":1,"m":2.50}"#,
    )
    .await;
    let made = made.expect(201);
    assert_eq!(made.header("location"), Some("/tables/soft/a"));
    let merged = v3(&server, "PATCH", "/tables/soft/a", r#"{"n":3}"#)
        .await
        .expect(200);
    assert!(
        merged.text.ends_with(r#""n":3,"m":2.50}"#),
        "{}",
        merged.text
    );
    let patch = [
        V3[0],
        V3[1],
        ("content-type", "application/json-patch+json"),
    ];
    let steps = r#"[{"op":"replace","path":"/n","value":4},{"op":"remove","path":"/m"}]"#;
    let patched = send(&server, "PATCH", "/tables/soft/a", &patch, steps).await;
    assert!(patched.expect(200).text.ends_with(r#""n":4,"m":null}"#));
    for steps in [
        r#"[{"op":"replace","path":"/id","value":"b"}]"#,
        r#"[{"op":"replace","path":"/version","value":"b"}]"#,
        r#"[{"op":"test","path":"/n","value":4}]"#,
        "{}",
    ] {
        send(&server, "PATCH", "/tables/soft/a", &patch, steps)
            .await
            .expect(400);
    }
    let stale = [V3[0], V3[1], ("if-match", "\"stale\"")];
    let conflict = send(&server, "PATCH", "/tables/soft/a", &stale, "{}")
        .await
        .expect(412);
    assert_eq!(conflict.json()["n"], 4);
    let put = v3(&server, "PUT", "/tables/soft/a", r#"{"k":1}"#)
        .await
        .expect(200);
    assert!(put.json().get("n").is_none());
}

#[tokio::test]
async fn version_3_deletes_and_undeletes() {
    let server = server().await;
    v3(&server, "POST", "/tables/soft", r#"{"id":"a","n":1}"#)
        .await
        .expect(201);
    v3(&server, "DELETE", "/tables/soft/a", "")
        .await
        .expect(204);
    for (method, body) in [
        ("GET", ""),
        ("PUT", "{}"),
        ("PATCH", r#"{"n":2}"#),
        ("DELETE", ""),
    ] {
        v3(&server, method, "/tables/soft/a", body)
            .await
            .expect(410);
    }
    let wish = [V3[0], V3[1], ("x-zumo-options", "include:deleted")];
    let tombstone = send(&server, "GET", "/tables/soft/a", &wish, "")
        .await
        .expect(200);
    assert_eq!(tombstone.json()["deleted"], true);
    let listed = send(&server, "GET", "/tables/soft", &wish, "")
        .await
        .expect(200);
    assert_eq!(listed.ids(), ["a"]);
    let kept = send(&server, "PATCH", "/tables/soft/a", &wish, r#"{"n":2}"#)
        .await
        .expect(200);
    assert_eq!(kept.json()["deleted"], true, "not undeleted by the way");
    let back = v3(&server, "PATCH", "/tables/soft/a", r#"{"deleted":false}"#).await;
    assert_eq!(back.expect(200).json()["n"], 2);
    let gone = v3(&server, "PATCH", "/tables/soft/a", r#"{"deleted":true}"#)
        .await
        .expect(200);
    assert_eq!(gone.json()["deleted"], true);
}

#[tokio::test]
async fn methods_of_other_dialects_are_refused_with_those_there_are() {
    let server = server().await;
    post(&server, "/tables/hard", r#"{"id":"a"}"#)
        .await
        .expect(201);
    for (headers, method, target, allow) in [
        (
            &[V2][..],
            "PUT",
            "/tables/hard/a",
            "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
        ),
        (
            &[V2],
            "DELETE",
            "/tables/hard",
            "GET, HEAD, POST, PATCH, OPTIONS",
        ),
        (
            &V3,
            "POST",
            "/tables/hard/a",
            "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        ),
        (&V3, "PATCH", "/tables/hard", "GET, HEAD, POST, OPTIONS"),
        (
            &[],
            "POST",
            "/tables/hard/a",
            "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        ),
    ] {
        let answer = send(&server, method, target, headers, "{}")
            .await
            .expect(405);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {target}");
        let options = send(&server, "OPTIONS", target, headers, "")
            .await
            .expect(204);
        assert_eq!(options.header("allow"), Some(allow));
    }
}

#[tokio::test]
async fn an_operation_is_done_once_in_version_2() {
    let server = server().await;
    let headers = |id| [V2, ("x-operation-id", id)];
    v2(&server, "POST", "/tables/soft", r#"{"id":"a","n":1}"#)
        .await
        .expect(201);
    let body = r#"{"n":2}"#;
    let first = send(&server, "PATCH", "/tables/soft/a", &headers("1"), body)
        .await
        .expect(200);
    let again = send(&server, "PATCH", "/tables/soft/a", &headers("1"), body)
        .await
        .expect(200);
    assert_eq!(again.text, first.text);
    v2(&server, "PATCH", "/tables/soft/a", r#"{"m":3}"#)
        .await
        .expect(200);
    let later = send(&server, "PATCH", "/tables/soft/a", &headers("1"), body)
        .await
        .expect(200);
    assert_eq!(
        later.text, first.text,
        "what others did since is not its outcome"
    );
    for (method, status) in [("DELETE", 200), ("POST", 201)] {
        let id = headers(method);
        let first = send(&server, method, "/tables/soft/a", &id, "")
            .await
            .expect(status);
        let again = send(&server, method, "/tables/soft/a", &id, "")
            .await
            .expect(status);
        assert_eq!(again.text, first.text, "{method}");
    }
}

#[derive(Debug)]
struct Always(&'static str);

impl IdSource for Always {
    fn next_id(&self) -> RecordId {
        RecordId::new(self.0).unwrap()
    }
}

#[tokio::test]
async fn tables_have_ids_of_their_own() {
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .ids(Arc::new(Always("common")))
        .ids_of(table("soft"), Arc::new(Always("own")))
        .build()
        .await
        .unwrap();
    for (name, id) in [("soft", "own"), ("hard", "common")] {
        let made = v2(&server, "POST", &format!("/tables/{name}"), "")
            .await
            .expect(201);
        assert_eq!(made.json()["id"], id);
    }
}
