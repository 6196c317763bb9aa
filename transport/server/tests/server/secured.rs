//! TLS on the server's own sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use synctable_memory::MemoryStore;
use synctable_server::{Limits, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::*;
use crate::wire::*;

/// For 127.0.0.1 and localhost, signed by its own key; made by `openssl ca -selfsign`, so that it is valid since 2025 and for a century.
const CERTIFICATE: &[u8] = include_bytes!("../tls/cert.pem");
const KEY: &[u8] = include_bytes!("../tls/key.pem");

async fn secured(limits: Limits) -> Running {
    let builder = builder(Arc::new(MemoryStore::new()), &TestClock::new());
    let builder = builder.table(table("rows"), paged());
    let tls = Tls::from_pem(CERTIFICATE, KEY).unwrap();
    serve_with(builder.limits(limits).tls(tls)).await
}

async fn connect(address: SocketAddr) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap())
        .unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect(address.ip().into(), stream)
        .await
        .unwrap()
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn requests_come_by_tls_and_links_say_so() {
    let running = secured(Limits::default()).await;
    assert_eq!(
        connect(running.address).await.get_ref().1.alpn_protocol(),
        Some(&b"http/1.1"[..])
    );
    let head = "host: localhost:8443\r\nconnection: close\r\nzumo-api-version: 2.0.0\r\n";
    for id in ["a", "b"] {
        let body = format!(r#"{{"id":"{id}"}}"#);
        let answer = ask(running.address, &format!(
            "POST /tables/rows HTTP/1.1\r\n{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
    let first = "GET /tables/rows HTTP/1.1\r\n";
    let answer = ask(running.address, &format!("{first}{head}\r\n")).await;
    let link = "link: https://localhost:8443/tables/rows?";
    assert!(answer.contains(link), "{answer}");
    // A page of the server itself.
    let own = "origin: https://localhost:8443\r\n";
    let answer = ask(running.address, &format!("{first}{head}{own}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn who_does_not_greet_is_cut_and_stops_nobody() {
    let mut limits = Limits::default();
    limits.header_timeout = SHORT;
    let running = secured(limits).await;
    let mut silent = running.connect().await;
    let mut plain = running.connect().await;
    plain
        .send("GET /tables/hard HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(silent.end().await, "");
    assert!(!plain.end().await.contains("HTTP"));
    let answer = ask(
        running.address,
        "GET /tables/hard HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn stopping_waits_for_no_greeting() {
    let mut limits = Limits::default();
    limits.header_timeout = LONG;
    limits.drain_timeout = LONG;
    let running = secured(limits).await;
    let mut silent = running.connect().await;
    let mut good = connect(running.address).await;
    let request = b"GET /tables/hard HTTP/1.1\r\nhost: localhost\r\n\r\n";
    good.write_all(request).await.unwrap();
    assert_eq!(good.read_u8().await.unwrap(), b'H');
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
    assert_eq!(silent.end().await, "");
}

#[test]
fn certificates_and_keys_that_do_not_fit_are_refused() {
    for (certificate, key, message) in [
        (&b"evil"[..], KEY, "there is no certificate as PEM"),
        (KEY, KEY, "there is no certificate as PEM"),
        (CERTIFICATE, CERTIFICATE, "there is no private key as PEM"),
        (CERTIFICATE, b"", "there is no private key as PEM"),
    ] {
        let error = Tls::from_pem(certificate, key).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
