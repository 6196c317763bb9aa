//! Pages: the query sent, the shapes read, and when a page is the last one.

use synctable_core::query::{RemoteQuery, field};
use synctable_core::transport::{
    RemotePage, Transport, TransportError, TransportErrorKind as Kind,
};

use crate::server::{Reply, Request, Server};
use crate::todo;

async fn answered(query: &RemoteQuery, reply: Reply) -> Result<RemotePage, TransportError> {
    let server = Server::always(reply).await;
    server.transport().page(&todo(), query, None).await
}

async fn sent(query: &RemoteQuery) -> Request {
    let server = Server::always(Reply::json(200, r#"{"items":[]}"#)).await;
    server.transport().page(&todo(), query, None).await.unwrap();
    server.request()
}

/// A page in the newer form of the ids given, with further members.
fn items(ids: &[&str], more: &str) -> Reply {
    let rows: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    Reply::json(200, &format!(r#"{{"items":[{}]{more}}}"#, rows.join(",")))
}

#[tokio::test]
async fn the_query_is_sent_as_odata() {
    let request = sent(&RemoteQuery::all()).await;
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("GET", "/tables/todo")
    );
    let query = RemoteQuery::all()
        .filter(field("title").eq("a&b=c#d é"))
        .order_by("updatedAt")
        .skip(5)
        .with_total()
        .include_deleted()
        .parameter("tag", "x&y");
    let target = sent(&query).await.target;
    let (path, text) = target.split_once('?').unwrap();
    assert_eq!(path, "/tables/todo");
    for part in [
        "$skip=5",
        "$count=true",
        "__includedeleted=true",
        "tag=x%26y",
    ] {
        assert!(
            text.split('&').any(|p| p.eq_ignore_ascii_case(part)),
            "{text}"
        );
    }
    let read = RemoteQuery::from_odata(text).unwrap();
    assert_eq!(
        (&read.query.filter, &read.query.order),
        (&query.query.filter, &query.query.order)
    );
}

#[tokio::test]
async fn the_smaller_of_page_and_top_is_asked_for() {
    for (query, top) in [
        (RemoteQuery::all().page(10), Some("$top=10")),
        (RemoteQuery::all().top(7), Some("$top=7")),
        (RemoteQuery::all().page(10).top(7), Some("$top=7")),
        (RemoteQuery::all().page(5).top(7), Some("$top=5")),
        (RemoteQuery::all().page(1_000_000), Some("$top=10000")),
        (RemoteQuery::all().top(0), Some("$top=0")),
        (RemoteQuery::all(), None),
    ] {
        let target = sent(&query).await.target;
        assert_eq!(target.split_once('?').map(|(_, text)| text), top);
    }
}

#[tokio::test]
async fn all_shapes_are_read() {
    for (body, total, last) in [
        (
            r#"{"items":[{"id":"a"},{"id":"b"}],"count":9,"nextLink":null}"#,
            Some(9),
            true,
        ),
        (r#"{"items":[{"id":"a"},{"id":"b"}]}"#, None, true),
        (
            r#"{"results":[{"id":"a"},{"id":"b"}],"count":9}"#,
            Some(9),
            false,
        ),
        (r#"[{"id":"a"},{"id":"b"}]"#, None, false),
    ] {
        let page = answered(&RemoteQuery::all(), Reply::json(200, body))
            .await
            .unwrap();
        let ids: Vec<_> = page.records.iter().map(|r| r.id().as_str()).collect();
        assert_eq!(ids, ["a", "b"], "{body}");
        assert_eq!(
            (page.total, page.last, page.next),
            (total, last, None),
            "{body}"
        );
    }
}

#[tokio::test]
async fn bad_rows_do_not_fail_the_page() {
    let body = r#"{"items":[{"id":"a"},{},{"id":"b","deleted":"no"},{"id":"c"}]}"#;
    let page = answered(&RemoteQuery::all(), Reply::json(200, body))
        .await
        .unwrap();
    assert_eq!((page.records.len(), page.invalid.len()), (2, 2));
    assert_eq!(page.invalid[1].id.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_page_that_is_none_is_a_protocol_error() {
    for body in [
        "",
        "{}",
        "null",
        r#"{"items":{}}"#,
        r#"{"value":[]}"#,
        "<html>",
        "[{]",
        r#"{"items":[{"id":"a"},17]}"#,
        r#"[["a"]]"#,
    ] {
        let error = answered(&RemoteQuery::all(), Reply::json(200, body))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{body}");
        assert!(!error.to_string().chars().any(char::is_control));
    }
}

#[tokio::test]
async fn a_page_without_a_link_is_the_last_unless_it_is_as_large_as_wished() {
    for (query, rows, last) in [
        (RemoteQuery::all(), 2, true),
        (RemoteQuery::all().page(3), 2, true),
        // The server stops at the `$top` that was only meant as the size of the page.
        (RemoteQuery::all().page(2), 2, false),
        (RemoteQuery::all().page(2).top(9), 2, false),
        (RemoteQuery::all().page(1), 2, false),
        // Here it is all that was asked for.
        (RemoteQuery::all().top(2), 2, true),
        (RemoteQuery::all().page(2).top(2), 2, true),
        (RemoteQuery::all().page(2), 0, true),
    ] {
        let ids = &["a", "b"][..rows];
        let page = answered(&query, items(ids, "")).await.unwrap();
        assert_eq!((page.last, page.next), (last, None), "{query:?} {rows}");
    }
}

#[tokio::test]
async fn the_size_of_a_page_is_read_from_the_link_that_led_to_it() {
    let server = Server::scripted(|number, _| match number {
        0 => items(&["a"], r#","nextLink":"$skip=1&$top=2""#),
        1 => items(&["b", "c"], ""),
        2 => items(&["b"], ""),
        _ => unreachable!(),
    })
    .await;
    let transport = server.transport();
    let query = RemoteQuery::all().page(3);
    let first = transport.page(&todo(), &query, None).await.unwrap();
    assert!(!first.last && first.next.is_some());
    let full = transport
        .page(&todo(), &query, first.next.as_ref())
        .await
        .unwrap();
    assert!(!full.last && full.next.is_none());
    let short = transport
        .page(&todo(), &query, first.next.as_ref())
        .await
        .unwrap();
    assert!(short.last);
}

#[tokio::test]
async fn a_page_size_that_the_server_refuses_gives_way_to_its_own() {
    let server = Server::scripted(|_, request| {
        if request.target.contains("$top=1000") {
            Reply::json(400, r#"{"error":"$top is larger than 500"}"#)
        } else {
            items(&["a"], r#","nextLink":"$skip=1""#)
        }
    })
    .await;
    let transport = server.transport();
    let page = transport
        .page(&todo(), &RemoteQuery::all().page(1000), None)
        .await
        .unwrap();
    assert_eq!(page.records.len(), 1);
    assert!(page.next.is_some());
    // What was asked for by the caller itself stays asked for.
    let error = transport
        .page(&todo(), &RemoteQuery::all().top(1000), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::BadQuery);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn refusals_of_a_query() {
    for (status, kind) in [
        (201, Kind::Protocol),
        (204, Kind::Protocol),
        (302, Kind::Protocol),
        (304, Kind::Protocol),
        (400, Kind::BadQuery),
        (401, Kind::Unauthorized),
        (403, Kind::Forbidden),
        (404, Kind::UnknownTable),
        (405, Kind::BadQuery),
        (414, Kind::BadQuery),
        (429, Kind::Busy),
        (503, Kind::Busy),
        (504, Kind::Gateway),
        (505, Kind::Failed),
    ] {
        let reply = Reply::json(status, r#"{"error":{"message":"position 3"},"items":[]}"#);
        let error = answered(&RemoteQuery::all(), reply).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
        if kind == Kind::BadQuery {
            assert!(error.to_string().contains("position 3"), "{error}");
        }
    }
}

#[tokio::test]
async fn rows_and_records_are_limited() {
    let server = Server::always(items(&["a", "b", "c"], "")).await;
    let transport = server.builder().row_limit(2).build().unwrap();
    let error = transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    let body = format!(r#"[{{"id":"a","x":"{}"}},{{"id":"b"}}]"#, "x".repeat(100));
    let server = Server::always(Reply::json(200, &body)).await;
    let transport = server.builder().record_limit(100).build().unwrap();
    let page = transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap();
    assert_eq!((page.records.len(), page.invalid.len()), (1, 1));
    assert_eq!(page.invalid[0].id.as_deref(), Some("a"));
}

#[tokio::test]
async fn clock_and_order_of_the_server_are_told() {
    let reply = |headers: &[_]| Reply::with(200, headers, r#"{"items":[]}"#);
    let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for order in ["updatedAt", "updatedAt,id"] {
        let told = reply(&[date, ("Synctable-Ordered", order)]);
        let page = answered(&RemoteQuery::all(), told).await.unwrap();
        assert_eq!(
            page.server_time.unwrap().to_string(),
            "1994-11-06T08:49:37.000Z"
        );
        assert!(page.ordered);
    }
    for headers in [&[][..], &[("Date", "now"), ("Synctable-Ordered", "id")]] {
        let page = answered(&RemoteQuery::all(), reply(headers)).await.unwrap();
        assert_eq!((page.server_time, page.ordered), (None, false));
    }
}
