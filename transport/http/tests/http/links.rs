//! Next links: read in all forms, for the position alone, and never to another place.

use synctable_core::query::{RemoteQuery, field};
use synctable_core::transport::{PageCursor, Transport, TransportErrorKind as Kind};
use synctable_http::{AuthHeader, HttpTransport};

use crate::server::{Reply, Server};
use crate::todo;

fn page(link: &str) -> Reply {
    Reply::json(
        200,
        &format!(r#"{{"items":[{{"id":"a"}}],"nextLink":"{link}"}}"#),
    )
}

/// A query whose parts must be in every request.
fn query() -> RemoteQuery {
    RemoteQuery::all()
        .filter(field("a").eq("b&c"))
        .order_by("a")
}

const OWN: &str = "$filter=%28a%20eq%20%27b%26c%27%29&$orderby=a";

#[tokio::test]
async fn all_forms_lead_to_the_next_page_with_our_own_filter() {
    for form in [
        "URL/api/tables/todo?QUERY",
        "http://internal:5000/?QUERY",
        "https://user:pw@elsewhere/tables/other?QUERY",
        "/api/tables/todo?QUERY",
        "QUERY",
        "?QUERY",
    ] {
        for position in [
            "$skip=1",
            "$skip=1&$filter=other",
            "$filter=(a eq 'b%26c') or b eq \\u20ac&$skip=1",
            "$skip=1&$select=id&zumo-api-version=9&x=#",
        ] {
            let form = form.replace("QUERY", position);
            let server = Server::scripted(move |number, request| {
                let url = format!("http://{}", request.header("host").unwrap());
                match number {
                    0 => page(&form.replace("URL", &url)),
                    _ => Reply::json(200, r#"{"items":[{"id":"b"}]}"#),
                }
            })
            .await;
            let transport = HttpTransport::builder(format!("{}/api", server.url()))
                .token("secret", AuthHeader::Bearer)
                .build()
                .unwrap();
            let first = transport.page(&todo(), &query(), None).await.unwrap();
            assert!(!first.last);
            let second = transport
                .page(&todo(), &query(), first.next.as_ref())
                .await
                .unwrap();
            assert_eq!(second.records[0].id().as_str(), "b");
            assert!(second.last);
            let request = &server.requests()[1];
            assert_eq!(request.target, format!("/api/tables/todo?{OWN}&$skip=1"));
            assert_eq!(request.header("authorization"), Some("Bearer secret"));
        }
    }
}

/// The links that lead nowhere still say that there is more, and the way on is then by count.
#[tokio::test]
async fn a_link_that_cannot_be_used_says_that_there_is_more() {
    for link in [
        r#""http://OWN/tables/todo""#,
        r#""file:///etc/passwd""#,
        r#""javascript:alert(1)""#,
        r#""$skip=1\r\nX-Evil: 1""#,
        r#""$skip=1 HTTP/1.1""#,
        r#""$skip=\u0000""#,
        r#""$top=1""#,
        r#""?""#,
        r#"" ""#,
        r#""\ud800""#,
        "5",
        "{}",
    ] {
        let body = format!(r#"{{"items":[{{"id":"a"}}],"nextLink":{link}}}"#);
        let server = Server::always(Reply::json(200, &body)).await;
        let transport = server.transport();
        let page = transport.page(&todo(), &query(), None).await.unwrap();
        assert_eq!((page.records.len(), page.last), (1, false), "{link}");
        assert_eq!(page.next, None, "{link}");
        let next = query().skip(1);
        transport.page(&todo(), &next, None).await.unwrap();
        let target = &server.requests()[1].target;
        assert_eq!(*target, format!("/tables/todo?{OWN}&$skip=1"), "{link}");
    }
}

/// The position is the server's, within what was asked for: a link may give fewer rows and no more.
#[tokio::test]
async fn what_is_left_is_taken_from_the_link_within_what_was_asked_for() {
    for (link, target) in [
        ("$skip=2&$top=3", "$skip=2&$top=3"),
        ("$skip=2&$top=9", "$skip=2&$top=5"),
        ("$skip=2&$top=0", "$skip=2&$top=5"),
        ("$skip=2", "$skip=2&$top=5"),
        ("$skiptoken=a+b/c", "$top=5&$skiptoken=a+b/c"),
        (
            "$skiptoken=a b\\u00e9&$top=4",
            "$top=4&$skiptoken=a%20b%C3%A9",
        ),
    ] {
        let server = Server::always(page(link)).await;
        let transport = server.transport();
        let query = RemoteQuery::all().skip(7).top(5);
        let first = transport.page(&todo(), &query, None).await.unwrap();
        let next = first.next.unwrap();
        transport.page(&todo(), &query, Some(&next)).await.unwrap();
        let requests = server.requests();
        assert_eq!(requests[0].target, "/tables/todo?$skip=7&$top=5");
        assert_eq!(requests[1].target, format!("/tables/todo?{target}"));
    }
}

/// A link that names fewer rows than are wanted does not end the result with them.
#[tokio::test]
async fn a_page_that_a_link_made_small_is_not_the_last() {
    let row = Reply::json(200, r#"{"items":[{"id":"b"}]}"#);
    let server = Server::always(row).await;
    let transport = server.transport();
    for (wanted, last) in [(None, false), (Some(4), false), (Some(1), true)] {
        let mut query = RemoteQuery::all().skip(1);
        query.query.top = wanted;
        let next = PageCursor::new("$skip=1&$top=1");
        let page = transport.page(&todo(), &query, Some(&next)).await.unwrap();
        assert_eq!((page.last, page.next), (last, None), "{wanted:?}");
    }
}

#[tokio::test]
async fn no_other_place_is_ever_contacted() {
    let other = Server::always(page("$skip=1")).await;
    let (port, tables) = (other.port(), "tables/todo?$skip=1");
    for link in [
        format!("http://127.0.0.1:{port}/{tables}"),
        format!("https://127.0.0.1:{port}/{tables}"),
        format!("http://localhost:{port}/{tables}"),
        format!("http://user:pw@127.0.0.1:{port}/{tables}"),
        format!("//127.0.0.1:{port}/{tables}"),
        format!("http:////127.0.0.1:{port}/{tables}"),
        format!("ws://127.0.0.1:{port}/{tables}"),
        "http://OWN@127.0.0.1:PORT/tables/todo?$skip=1".replace("PORT", &port.to_string()),
        "https://OWN/tables/todo?$skip=1".to_owned(),
        "http://OWN/tables/other?$skip=1".to_owned(),
        "http://OWN/tables/todo/../other?$skip=1".to_owned(),
        "http://OWN/tables/todo/a?$skip=1".to_owned(),
        "/tables/other?$skip=1".to_owned(),
        "/tables/todo%2f?$skip=1".to_owned(),
        "todo?$skip=1".to_owned(),
        "file:///etc/passwd?$skip=1".to_owned(),
        "javascript:alert(1)?$skip=1".to_owned(),
        format!("$skiptoken=\\r\\nHost: 127.0.0.1:{port}"),
        format!("$skiptoken=@127.0.0.1:{port}/"),
    ] {
        let shown = link.clone();
        let server = Server::scripted(move |_, request| {
            page(&link.replace("OWN", request.header("host").unwrap()))
        })
        .await;
        let transport = server
            .builder()
            .token("secret", AuthHeader::Bearer)
            .build()
            .unwrap();
        let mut cursor = None;
        for _ in 0..2 {
            let page = transport.page(&todo(), &query(), cursor.as_ref()).await;
            let page = page.unwrap();
            assert!(!page.last, "{shown}");
            cursor = page.next;
        }
        assert!(cursor.is_some(), "{shown}");
        for request in server.requests() {
            let (path, sent) = request.target.split_once('?').unwrap();
            assert_eq!(path, "/tables/todo", "{shown}");
            assert!(sent.starts_with(OWN), "{shown}: {sent}");
            assert_eq!(request.header("authorization"), Some("Bearer secret"));
        }
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_cursor_from_elsewhere_has_no_more_power_than_a_link() {
    let other = Server::always(page("$skip=1")).await;
    let server = Server::always(page("$skip=1")).await;
    let cursor = PageCursor::new(&format!("{}/tables/other?$skip=3&x=1", other.url()));
    let transport = server.transport();
    let page = transport.page(&todo(), &query(), Some(&cursor)).await;
    assert!(page.is_ok());
    let target = &server.request().target;
    assert_eq!(*target, format!("/tables/todo?{OWN}&$skip=3"));
    for nowhere in ["", "x", "$top=5", "http://h/tables/todo"] {
        let cursor = PageCursor::new(nowhere);
        let error = transport.page(&todo(), &query(), Some(&cursor)).await;
        assert_eq!(error.unwrap_err().kind(), Kind::BadRequest, "{nowhere}");
    }
    assert_eq!((server.requests().len(), other.connections()), (1, 0));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::always(page("$skip=1")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/tables/todo", other.url());
        let server = Server::always(Reply::with(status, &[("Location", &location)], "")).await;
        let error = server
            .transport()
            .page(&todo(), &RemoteQuery::all(), None)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (Kind::Redirected, Some(status))
        );
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn links_of_the_older_shapes_are_ignored() {
    let body = r#"{"results":[{"id":"a"}],"nextLink":"http://elsewhere/x?y=1"}"#;
    let server = Server::always(Reply::json(200, body)).await;
    let page = server
        .transport()
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap();
    assert_eq!((page.next, page.last), (None, false));
}
