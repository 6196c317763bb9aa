//! Next links: followed in three forms, and never to another place.

use synctable_core::query::Query;
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

#[tokio::test]
async fn three_forms_lead_to_the_next_page() {
    for form in [
        "URL/api/tables/todo?QUERY",
        "/api/tables/todo?QUERY",
        "QUERY",
        "?QUERY",
    ] {
        let query = "$skip=1&$filter=%28a%20eq%20%27b%26c%27%29";
        let form = form.replace("QUERY", query);
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
        let first = transport.page(&todo(), &Query::all(), None).await.unwrap();
        assert!(!first.last);
        let second = transport
            .page(&todo(), &Query::all(), first.next.as_ref())
            .await
            .unwrap();
        assert_eq!(second.records[0].id().as_str(), "b");
        assert!(second.last);
        let request = &server.requests()[1];
        assert_eq!(request.target, format!("/api/tables/todo?{query}"));
        assert_eq!(request.header("authorization"), Some("Bearer secret"));
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
        "http://OWN/tables/todo".to_owned(),
        "/tables/other?$skip=1".to_owned(),
        "/tables/todo%2f?$skip=1".to_owned(),
        "todo?$skip=1".to_owned(),
        "file:///etc/passwd".to_owned(),
        "javascript:alert(1)".to_owned(),
        "$skip=1\\r\\nX-Evil: 1".to_owned(),
        "$skip=1 HTTP/1.1".to_owned(),
        "$skip=\\u0000".to_owned(),
        "?".to_owned(),
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
        let error = transport
            .page(&todo(), &Query::all(), None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{shown}");
        assert!(error.to_string().contains("next link"), "{error}");
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_cursor_from_elsewhere_has_no_more_power_than_a_link() {
    let other = Server::always(page("$skip=1")).await;
    let server = Server::always(page("$skip=1")).await;
    let cursor = PageCursor::new(&format!("{}/tables/todo?$skip=1", other.url()));
    let error = server
        .transport()
        .page(&todo(), &Query::all(), Some(&cursor))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert_eq!((server.connections(), other.connections()), (0, 0));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::always(page("$skip=1")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/tables/todo", other.url());
        let server = Server::always(Reply::with(status, &[("Location", &location)], "")).await;
        let error = server
            .transport()
            .page(&todo(), &Query::all(), None)
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
        .page(&todo(), &Query::all(), None)
        .await
        .unwrap();
    assert_eq!((page.next, page.last), (None, false));
}
