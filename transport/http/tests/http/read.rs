//! Reading one record.

use synctable_core::transport::{Transport, TransportError, TransportErrorKind as Kind};
use synctable_core::{Record, TableName, Version};

use crate::server::{Reply, Server};
use crate::{id, todo};

async fn answered(reply: Reply) -> Result<Option<Record>, TransportError> {
    let server = Server::always(reply).await;
    server.transport().get(&todo(), &id("a")).await
}

#[tokio::test]
async fn a_record_is_read_with_its_etag() {
    let reply = Reply::with(
        200,
        &[("ETag", "\"v2\"")],
        r#"{"id":"a","version":"v1","n":1.50}"#,
    );
    let record = answered(reply).await.unwrap().unwrap();
    assert_eq!(record.version(), Some(&Version::new("v2")));
    assert_eq!(record.body(), r#"{"n":1.50}"#);
}

#[tokio::test]
async fn tombstones_are_asked_for() {
    let server = Server::always(Reply::json(200, r#"{"id":"a b","deleted":true}"#)).await;
    let record = server.transport().get(&todo(), &id("a b")).await.unwrap();
    assert!(record.unwrap().is_deleted());
    let request = server.request();
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, "/tables/todo/a%20b?__includedeleted=true");
    assert_eq!(request.header("content-type"), None);
}

#[tokio::test]
async fn what_the_server_has_not_is_none() {
    for status in [404, 410] {
        let reply = Reply::json(status, r#"{"id":"a","version":"v1"}"#);
        assert_eq!(answered(reply).await.unwrap(), None);
    }
}

#[tokio::test]
async fn other_statuses_are_errors() {
    for (status, kind) in [
        (201, Kind::Protocol),
        (204, Kind::Protocol),
        (304, Kind::Protocol),
        (400, Kind::BadQuery),
        (401, Kind::Unauthorized),
        (403, Kind::Forbidden),
        (405, Kind::BadQuery),
        (408, Kind::Busy),
        (409, Kind::BadQuery),
        (429, Kind::Busy),
        (500, Kind::Failed),
        (502, Kind::Gateway),
        (511, Kind::Portal),
        (700, Kind::Protocol),
    ] {
        let error = answered(Reply::json(status, r#"{"id":"a"}"#))
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
    }
}

#[tokio::test]
async fn anything_but_the_record_is_an_error() {
    for body in [
        "",
        "{}",
        r#"{"id":"b"}"#,
        r#"[{"id":"a"}]"#,
        r#"{"id":"a""#,
        "<html>",
    ] {
        let error = answered(Reply::json(200, body)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{body}");
    }
}

#[tokio::test]
async fn a_record_may_not_be_too_large() {
    let body = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(100));
    let server = Server::always(Reply::json(200, &body)).await;
    let transport = server.builder().record_limit(100).build().unwrap();
    let error = transport.get(&todo(), &id("a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
}

#[tokio::test]
async fn tables_lie_where_they_are_mapped_to() {
    let server = Server::always(Reply::empty(404)).await;
    let transport = synctable_http::HttpTransport::builder(format!("{}/api/v1/", server.url()))
        .table_path(todo(), "/tasks")
        .build()
        .unwrap();
    transport.get(&todo(), &id("a")).await.unwrap();
    let other = TableName::new("note").unwrap();
    transport.get(&other, &id("a")).await.unwrap();
    let targets: Vec<_> = server.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(
        targets,
        [
            "/api/v1/tasks/a?__includedeleted=true",
            "/api/v1/tables/note/a?__includedeleted=true"
        ]
    );
}
