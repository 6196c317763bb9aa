//! The dialects of Azure Mobile Apps: what is sent, and what their servers' odd answers mean.

use synctable_core::query::{RemoteQuery, field};
use synctable_core::transport::{
    Change, ChangeKind, Conflict, ConflictCause, Outcome, Rejection, ServerRecord, Transport,
    TransportErrorKind as Kind,
};
use synctable_core::{Record, Version};
use synctable_http::{Dialect, HttpTransport};

use crate::server::{Reply, Request, Server};
use crate::{change, id, todo};

const ROW: &str = r#"{"id":"a","version":"Mg==","createdAt":"2026-01-31T12:00:00.000Z","updatedAt":"2026-01-31T12:00:00.000Z","deleted":false,"title":"Milk"}"#;

fn speaking(server: &Server, dialect: Dialect) -> HttpTransport {
    server.builder().dialect(dialect).build().unwrap()
}

fn record(json: &str) -> Record {
    Record::from_json(json).unwrap()
}

/// The change `{"title":"Milk"}` to a record that was `{"title":"Tea","done":true}`.
fn edit() -> Change {
    change(ChangeKind::Replace).with_base(Some(record(
        r#"{"id":"a","version":"v1","title":"Tea","done":true}"#,
    )))
}

fn line(request: &Request) -> (&str, &str, &str) {
    (&request.method, &request.target, &request.body)
}

#[tokio::test]
async fn every_request_names_the_version() {
    for (dialect, version) in [
        (Dialect::Zumo2, Some("2.0.0")),
        (Dialect::Zumo3, Some("3.0.0")),
        (Dialect::Toolkit, None),
    ] {
        let server = Server::always(Reply::json(200, ROW)).await;
        let transport = server
            .builder()
            .dialect(dialect)
            .installation_id("device 7")
            .build()
            .unwrap();
        transport.apply(&todo(), &edit()).await.unwrap();
        let request = server.request();
        assert_eq!(request.header("zumo-api-version"), version);
        assert_eq!(
            request.header("x-zumo-version").is_some(),
            version.is_some()
        );
        assert_eq!(
            request.header("x-zumo-options"),
            version.map(|_| "nextLink=path")
        );
        assert_eq!(request.header("x-zumo-installation-id"), Some("device 7"));
    }
}

#[tokio::test]
async fn zumo2_patches_what_changed() {
    let server = Server::always(Reply::json(200, ROW)).await;
    let transport = speaking(&server, Dialect::Zumo2);
    let outcome = transport.apply(&todo(), &edit()).await.unwrap();
    assert_eq!(outcome, Outcome::Applied(Some(record(ROW))));
    let request = server.request();
    let body = r#"{"id":"a","title":"Milk","done":null}"#;
    assert_eq!(line(&request), ("PATCH", "/tables/todo/a", body));
    assert_eq!(request.header("if-match"), Some("\"v1\""));
}

#[tokio::test]
async fn zumo2_does_not_send_an_empty_patch() {
    for (row, expected) in [
        (
            r#"[{"id":"a","version":"v1"}]"#,
            Outcome::Applied(Some(record(r#"{"id":"a","version":"v1"}"#))),
        ),
        (
            r#"[{"id":"a","version":"v2"}]"#,
            Outcome::Conflict(Conflict::new(ServerRecord::Known(record(
                r#"{"id":"a","version":"v2"}"#,
            )))),
        ),
        ("[]", Outcome::Missing),
    ] {
        let server = Server::always(Reply::json(200, row)).await;
        let same = change(ChangeKind::Replace)
            .with_base(Some(record(r#"{"id":"a","version":"v1","title":"Milk"}"#)));
        let outcome = speaking(&server, Dialect::Zumo2)
            .apply(&todo(), &same)
            .await;
        assert_eq!(outcome.unwrap(), expected, "{row}");
        assert_eq!(server.request().method, "GET");
    }
}

#[tokio::test]
async fn zumo2_takes_no_echo_for_the_servers_row() {
    let echo = Reply::with(
        409,
        &[("etag", "W/\"20-abc\"")],
        r#"{"id":"a","title":"Milk"}"#,
    );
    let server = Server::always(echo).await;
    let outcome = speaking(&server, Dialect::Zumo2)
        .apply(&todo(), &change(ChangeKind::Insert))
        .await;
    let refusal = Rejection::new(Some(409), "conflict");
    let unknown = Conflict::new(ServerRecord::Unknown).with_cause(ConflictCause::Existing, refusal);
    assert_eq!(outcome.unwrap(), Outcome::Conflict(unknown));
}

#[tokio::test]
async fn a_page_for_people_is_no_record_that_is_not_there() {
    let html = Reply::with(
        404,
        &[("content-type", "text/html; charset=utf-8")],
        "<html>",
    );
    let server = Server::always(html).await;
    for dialect in [Dialect::Zumo2, Dialect::Zumo3, Dialect::Toolkit] {
        let transport = speaking(&server, dialect);
        for kind in crate::KINDS {
            let error = transport.apply(&todo(), &change(kind)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::UnknownTable, "{dialect} {kind:?}");
        }
        let error = transport.get(&todo(), &id("a")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::UnknownTable, "{dialect}");
    }
}

#[tokio::test]
async fn zumo2_reads_a_record_by_a_query() {
    let tombstone = r#"{"id":"a","version":"v3","deleted":true}"#;
    for (body, expected) in [
        (format!("[{tombstone}]"), Some(record(tombstone))),
        (r#"[{"id":"A","version":"v3"}]"#.to_owned(), None),
        ("[]".to_owned(), None),
    ] {
        let server = Server::always(Reply::json(200, &body)).await;
        let found = speaking(&server, Dialect::Zumo2)
            .get(&todo(), &id("a"))
            .await;
        assert_eq!(found.unwrap(), expected);
        assert_eq!(
            server.request().target,
            "/tables/todo?$filter=%28id%20eq%20%27a%27%29&__includeDeleted=true"
        );
    }
    let server = Server::always(Reply::json(200, r#"[{"id":5}]"#)).await;
    let found = speaking(&server, Dialect::Zumo2)
        .get(&todo(), &id("a"))
        .await;
    assert_eq!(found.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn zumo2_pages_are_asked_for_in_the_older_spelling_and_never_say_that_they_are_the_last() {
    let server = Server::always(Reply::with(
        200,
        &[("link", "http://127.0.0.1/?$top=1&$skip=1; rel=next")],
        &format!(r#"{{"results":[{ROW}],"count":7}}"#),
    ))
    .await;
    let mut query = RemoteQuery::all()
        .filter(field("title").contains("il"))
        .include_deleted();
    query.query.page = Some(5000);
    query.total = true;
    let page = speaking(&server, Dialect::Zumo2)
        .page(&todo(), &query, None)
        .await
        .unwrap();
    assert_eq!((page.records.len(), page.total), (1, Some(7)));
    assert_eq!((page.next, page.last), (None, false));
    assert_eq!(
        server.requests().last().unwrap().target,
        "/tables/todo?$filter=substringof%28%27il%27%2Ctitle%29&$top=1000&$inlinecount=allpages&__includeDeleted=true"
    );
}

#[tokio::test]
async fn zumo2_asks_for_no_rows_by_asking_for_one() {
    let server = Server::always(Reply::json(200, &format!("[{ROW}]"))).await;
    let query = RemoteQuery::all().top(0);
    let page = speaking(&server, Dialect::Zumo2)
        .page(&todo(), &query, None)
        .await
        .unwrap();
    assert_eq!(page.records.len(), 0);
    assert_eq!(server.request().target, "/tables/todo?$top=1");
}

#[tokio::test]
async fn a_page_size_that_was_refused_is_not_asked_for_again() {
    let server = Server::scripted(|_, request| {
        if request.target.contains("$top=800") {
            Reply::json(400, r#"{"error":"top is too large"}"#)
        } else {
            Reply::json(200, "[]")
        }
    })
    .await;
    let transport = speaking(&server, Dialect::Zumo2);
    let mut query = RemoteQuery::all();
    for size in [800, 800, 900, 700] {
        query.query.page = Some(size);
        transport.page(&todo(), &query, None).await.unwrap();
    }
    let targets: Vec<_> = server.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(
        targets,
        [
            "/tables/todo?$top=800",
            "/tables/todo",
            "/tables/todo",
            "/tables/todo",
            "/tables/todo?$top=700"
        ]
    );
}

#[tokio::test]
async fn zumo2_a_filter_that_makes_the_server_fail_is_named() {
    let failed = || Reply::json(500, r#"{"error":"SQLITE_ERROR: no such function: LEN"}"#);
    let server = Server::scripted(move |_, request| {
        if request.target.contains("$filter") {
            failed()
        } else {
            Reply::json(200, "[]")
        }
    })
    .await;
    let query = RemoteQuery::all().filter(field("title").length().gt(3));
    let transport = speaking(&server, Dialect::Zumo2);
    let error = transport.page(&todo(), &query, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::BadQuery);
    let message = error.to_string();
    assert!(
        message.contains("cannot take the filter") && message.contains("LEN"),
        "{message}"
    );

    // A server that fails without a filter, too, is asked again later.
    let server = Server::always(failed()).await;
    let transport = speaking(&server, Dialect::Zumo2);
    let error = transport.page(&todo(), &query, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    // In the other dialects it never is the filter.
    let error = speaking(&server, Dialect::Zumo3)
        .page(&todo(), &query, None)
        .await;
    assert_eq!(error.unwrap_err().kind(), Kind::Failed);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn zumo3_puts_and_patches_what_comes_back() {
    for (kind, method, target, body) in [
        (
            ChangeKind::Insert,
            "POST",
            "/tables/todo",
            r#"{"id":"a","title":"Milk"}"#,
        ),
        (
            ChangeKind::Replace,
            "PUT",
            "/tables/todo/a",
            r#"{"id":"a","title":"Milk"}"#,
        ),
        (ChangeKind::Delete, "DELETE", "/tables/todo/a", ""),
        (
            ChangeKind::Undelete,
            "PATCH",
            "/tables/todo/a?__includedeleted=true",
            r#"{"id":"a","deleted":false,"title":"Milk"}"#,
        ),
    ] {
        let server = Server::always(Reply::json(200, ROW)).await;
        let outcome = speaking(&server, Dialect::Zumo3)
            .apply(&todo(), &change(kind))
            .await;
        assert_eq!(outcome.unwrap(), Outcome::Applied(Some(record(ROW))));
        assert_eq!(line(&server.request()), (method, target, body));
    }
}

#[tokio::test]
async fn zumo3_follows_links_of_both_forms_and_ends_where_there_is_none() {
    let server = Server::scripted(|n, request| {
        let host = request.header("host").unwrap_or_default();
        let link = match n {
            0 => format!(r#""http://{host}/tables/todo?$skip=1""#),
            1 => r#""/tables/todo?$skip=2""#.to_owned(),
            _ => "null".to_owned(),
        };
        Reply::json(200, &format!(r#"{{"items":[{ROW}],"nextLink":{link}}}"#))
    })
    .await;
    let transport = speaking(&server, Dialect::Zumo3);
    let mut cursor = None;
    for last in [false, false, true] {
        let page = transport
            .page(&todo(), &RemoteQuery::all(), cursor.as_ref())
            .await;
        let page = page.unwrap();
        assert_eq!(page.last, last);
        cursor = page.next;
    }
    assert!(cursor.is_none());
}

#[tokio::test]
async fn the_kind_of_a_server_is_found_out() {
    for (reply, expected) in [
        (Reply::json(200, r#"{"items":[]}"#), Dialect::Toolkit),
        (
            Reply::json(400, r#"{"title":"Missing API version"}"#),
            Dialect::Zumo3,
        ),
        (
            Reply::with(400, &[("x-zumo-server-version", "node-4.0.2")], "{}"),
            Dialect::Zumo2,
        ),
    ] {
        let server = Server::always(reply).await;
        let builder = server.builder().dialect(Dialect::Zumo2);
        let found = builder.detect(&todo()).await.unwrap();
        assert_eq!(found.chosen_dialect(), expected);
        let request = server.request();
        assert_eq!(request.target, "/tables/todo?$top=1");
        assert_eq!(request.header("zumo-api-version"), None);
    }
    for (reply, kind) in [
        (Reply::empty(401), Kind::Unauthorized),
        (Reply::empty(404), Kind::UnknownTable),
        (Reply::empty(503), Kind::Busy),
        (Reply::json(200, "{}"), Kind::Protocol),
    ] {
        let server = Server::always(reply).await;
        let error = server.builder().detect(&todo()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}

#[tokio::test]
async fn a_version_of_the_older_server_goes_back_as_it_came() {
    let server = Server::always(Reply::with(200, &[("etag", "\"MQ==\"")], ROW)).await;
    let transport = speaking(&server, Dialect::Zumo2);
    let Outcome::Applied(Some(row)) = transport.apply(&todo(), &edit()).await.unwrap() else {
        panic!("not applied");
    };
    assert_eq!(row.version(), Some(&Version::new("MQ==")));
    let again = edit().with_if_match(row.version().cloned());
    transport.apply(&todo(), &again).await.unwrap();
    assert_eq!(server.requests()[1].header("if-match"), Some("\"MQ==\""));
}

#[tokio::test]
async fn zumo2_functions_that_find_nothing_are_named() {
    let answers = |text: &'static str| {
        Server::scripted(move |_, request| {
            if request.target.contains("$filter") {
                Reply::json(200, text)
            } else {
                Reply::json(200, &format!("[{ROW}]"))
            }
        })
    };
    let query =
        RemoteQuery::all().filter(field("done").eq(true).and(field("title").ends_with("k")));
    let server = answers("[]").await;
    let error = speaking(&server, Dialect::Zumo2)
        .page(&todo(), &query, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::BadQuery);
    assert!(error.to_string().contains("endswith"), "{error}");

    // Once it is seen to work, it is not asked about again.
    let server = answers(r#"[{"id":"a"}]"#).await;
    let transport = speaking(&server, Dialect::Zumo2);
    for _ in 0..2 {
        transport.page(&todo(), &query, None).await.unwrap();
    }
    let targets: Vec<_> = server.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets.len(), 3);
    assert!(
        targets[0].contains("endswith%28id%2C%27%27%29"),
        "{targets:?}"
    );

    // In an empty table nothing is left out.
    let server = Server::always(Reply::json(200, "[]")).await;
    let page = speaking(&server, Dialect::Zumo2)
        .page(&todo(), &query, None)
        .await;
    assert!(page.unwrap().records.is_empty());
}
