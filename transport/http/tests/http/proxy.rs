//! Proxies on the way to a server.

use std::sync::{Arc, Mutex};

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{Transport, TransportErrorKind as Kind};
use synctable_http::{AuthHeader, HttpTransport, HttpTransportBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Reply, Server};
use crate::tls::{OTHER, other_server};
use crate::todo;

/// No network knows this name: only a proxy gets there.
const PLAIN: &str = "http://synctable.invalid/api";
const SECURE: &str = "https://synctable.invalid:8443/api";
/// `user:s3cr3t`.
const BASIC: &str = "Basic dXNlcjpzM2NyM3Q=";

/// A proxy that answers CONNECT with `answer`, and opens the way to `port` where there is one. Gives its port, and the heads that came.
async fn tunnel(answer: &'static str, port: Option<u16>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    // It ends with the runtime of the test.
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(near.read_u8().await.unwrap());
            }
            seen.lock().unwrap().push(String::from_utf8(head).unwrap());
            near.write_all(answer.as_bytes()).await.unwrap();
            if let Some(port) = port {
                let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
            }
        }
    });
    (own, heads)
}

fn secure(port: u16) -> HttpTransportBuilder {
    HttpTransport::builder(SECURE)
        .trust_also(OTHER)
        .token("t0ken", AuthHeader::Bearer)
        .proxy(format!("http://user:s3cr3t@127.0.0.1:{port}"))
}

#[tokio::test]
async fn what_goes_by_tls_goes_through_a_proxy_unread() {
    let server = other_server(Reply::json(200, "[]")).await;
    let open = "HTTP/1.1 200 Connection established\r\nvia: it\r\n\r\n";
    let (port, heads) = tunnel(open, Some(server.port())).await;
    let builder = secure(port);
    assert!(!format!("{builder:?}").contains("s3cr3t"));
    let transport = builder.build().unwrap();
    for _ in 0..2 {
        transport
            .page(&todo(), &RemoteQuery::all(), None)
            .await
            .unwrap();
    }
    let heads = heads.lock().unwrap().clone();
    assert_eq!(
        heads,
        [format!(
            "CONNECT synctable.invalid:8443 HTTP/1.1\r\nHost: synctable.invalid:8443\r\nProxy-Authorization: {BASIC}\r\n\r\n"
        )]
    );
    for request in server.requests() {
        assert!(request.target.starts_with("/api/tables/todo"));
        assert_eq!(request.header("host"), Some("synctable.invalid:8443"));
        assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
        assert_eq!(request.header("proxy-authorization"), None);
    }
}

#[tokio::test]
async fn a_proxy_that_opens_no_way_is_named_and_nothing_was_sent() {
    for (answer, words) in [
        ("HTTP/1.1 407 Who?\r\n\r\n", "user name and password"),
        ("HTTP/1.1 403 No\r\n\r\n", "(403)"),
        ("HTTP/1.1 502 Gone\r\n\r\n", "(502)"),
        ("SSH-2.0 hello\r\n\r\n", "no answer that is HTTP"),
    ] {
        let (port, _heads) = tunnel(answer, None).await;
        let transport = secure(port).build().unwrap();
        let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
        let error = page.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable, "{error}");
        let said = error.to_string();
        assert!(said.contains(words), "{said}");
        assert!(
            said.contains(&format!("the proxy 127.0.0.1:{port}")),
            "{said}"
        );
        assert!(
            said.contains("synctable.invalid") && !said.contains("s3cr3t"),
            "{said}"
        );
    }
    // The port was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let transport = secure(port).build().unwrap();
    let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
    let said = page.unwrap_err().to_string();
    assert!(said.contains("the proxy"), "{said}");
}

#[tokio::test]
async fn an_endless_answer_of_a_proxy_has_an_end() {
    let server = Server::always(Reply::raw("x".repeat(1024)).for_ever()).await;
    let transport = secure(server.port()).build().unwrap();
    let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
    assert_eq!(page.unwrap_err().kind(), Kind::Unreachable);
}

#[tokio::test]
async fn what_goes_in_plain_is_passed_on_by_a_proxy() {
    let proxy = Server::scripted(|number, _| match number {
        0 | 1 => Reply::json(200, "[]"),
        _ => Reply::empty(407),
    })
    .await;
    let transport = HttpTransport::builder(PLAIN)
        .proxy(format!("user:s3cr3t@127.0.0.1:{}", proxy.port()))
        .build()
        .unwrap();
    for _ in 0..2 {
        transport
            .page(&todo(), &RemoteQuery::all(), None)
            .await
            .unwrap();
    }
    let refused = transport.page(&todo(), &RemoteQuery::all(), None).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    assert!(
        error.to_string().contains("user name and password"),
        "{error}"
    );
    assert_eq!((proxy.requests().len(), proxy.connections()), (3, 1));
    for request in proxy.requests() {
        let target = "http://synctable.invalid/api/tables/todo";
        assert!(request.target.starts_with(target), "{request:?}");
        assert_eq!(request.header("host"), Some("synctable.invalid"));
        assert_eq!(request.header("proxy-authorization"), Some(BASIC));
    }
}

#[tokio::test]
async fn no_proxy_is_on_the_way_to_this_machine() {
    let server = Server::always(Reply::json(200, "[]")).await;
    let (port, heads) = tunnel("HTTP/1.1 403 No\r\n\r\n", None).await;
    let builder = server.builder().proxy(format!("http://127.0.0.1:{port}"));
    let transport = builder.build().unwrap();
    transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap();
    assert!(heads.lock().unwrap().is_empty());
    assert!(server.request().target.starts_with('/'));
}

#[test]
fn a_proxy_of_another_kind_is_refused() {
    for url in ["socks5://u:s3cr3t@p:1", "https://u:s3cr3t@p", "u:s3cr3t@"] {
        let builder = HttpTransport::builder(PLAIN).proxy(url);
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest);
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
}
