//! Connections: kept, replaced, refused, encrypted.

use std::time::Duration;

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{ChangeKind, Outcome, Transport, TransportErrorKind as Kind};
use synctable_http::HttpTransport;
use tokio::net::TcpListener;

use crate::server::{CERTIFICATE, Reply, Server};
use crate::{change, todo};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::scripted(|number, _| match number % 4 {
        0 => Reply::empty(204),
        1 => Reply::json(200, r#"{"id":"a","version":"v2"}"#),
        2 => Reply::json(412, r#"{"id":"a","version":"v2"}"#),
        _ => Reply::json(400, r#"{"error":"no"}"#),
    })
    .await;
    let transport = server.transport();
    for _ in 0..20 {
        transport
            .apply(&todo(), &change(ChangeKind::Replace))
            .await
            .unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (20, 1));
}

#[tokio::test]
async fn a_pooled_connection_that_the_server_closed_is_replaced() {
    let server = Server::always(Reply::empty(204).and_close()).await;
    let transport = server.transport();
    for _ in 0..50 {
        let outcome = transport
            .apply(&todo(), &change(ChangeKind::Replace))
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Applied(None));
    }
    // Each change was sent once, on a connection of its own.
    assert_eq!((server.requests().len(), server.connections()), (50, 50));
}

#[tokio::test]
async fn a_request_that_was_taken_is_not_sent_again() {
    let server = Server::scripted(|number, _| match number {
        0 => Reply::empty(204),
        _ => Reply::raw("").and_close(),
    })
    .await;
    let transport = server.transport();
    transport
        .apply(&todo(), &change(ChangeKind::Replace))
        .await
        .unwrap();
    let error = transport
        .apply(&todo(), &change(ChangeKind::Replace))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Broken);
    assert!(error.is_temporary() && !error.kind().had_no_effect());
    assert_eq!((server.requests().len(), server.connections()), (2, 1));
}

#[tokio::test]
async fn many_requests_at_once() {
    let server = Server::always(Reply::json(200, r#"{"items":[{"id":"a"}]}"#)).await;
    let transport = std::sync::Arc::new(server.transport());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let transport = std::sync::Arc::clone(&transport);
        tasks.spawn(async move { transport.page(&todo(), &RemoteQuery::all(), None).await });
    }
    while let Some(page) = tasks.join_next().await {
        assert_eq!(page.unwrap().unwrap().records.len(), 1);
    }
    assert_eq!(server.requests().len(), 20);
}

#[tokio::test]
async fn a_dropped_request_leaves_the_transport_usable() {
    let server = Server::scripted(|number, _| match number {
        0 => Reply::raw("HTTP/1.1 200 OK\r\n").and_hang(),
        _ => Reply::empty(204),
    })
    .await;
    let transport = server.transport();
    {
        let mut request =
            std::pin::pin!(async { transport.apply(&todo(), &change(ChangeKind::Replace)).await });
        // Until it has reached the server.
        while server.requests().is_empty() {
            tokio::select! {
                biased;
                outcome = &mut request => panic!("{outcome:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    let outcome = transport
        .apply(&todo(), &change(ChangeKind::Replace))
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Applied(None));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let transport = HttpTransport::builder(format!("http://127.0.0.1:{port}/api"))
        .build()
        .unwrap();
    let error = transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    let message = error.to_string();
    assert!(
        message.contains(&format!("127.0.0.1:{port}/api/tables/todo")),
        "{message}"
    );
    assert!(message.contains("refuses connections"), "{message}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_no_connection() {
    // It accepts, and says nothing of TLS.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let transport = HttpTransport::builder(format!("https://127.0.0.1:{port}"))
        .root_certificates([CERTIFICATE.to_vec()])
        .connect_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let error = transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("in time"), "{error}");
}

#[tokio::test]
async fn requests_go_over_tls() {
    let server = Server::secure(Reply::empty(204)).await;
    let transport = server
        .builder()
        .root_certificates([CERTIFICATE.to_vec()])
        .build()
        .unwrap();
    for _ in 0..3 {
        let outcome = transport
            .apply(&todo(), &change(ChangeKind::Replace))
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Applied(None));
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = Server::secure(Reply::empty(204)).await;
    let transport = HttpTransport::builder(server.url().replace("127.0.0.1", "localhost"))
        .root_certificates([CERTIFICATE.to_vec()])
        .build()
        .unwrap();
    let error = transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_plain_server_is_no_tls_server() {
    let server = Server::always(Reply::raw("HTTP/1.1 400 Bad Request\r\n\r\n").and_close()).await;
    let transport = HttpTransport::builder(server.url().replace("http:", "https:"))
        .root_certificates([CERTIFICATE.to_vec()])
        .connect_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
}
