//! Root certificates beside others, and certificates of clients.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{Transport, TransportErrorKind as Kind};
use synctable_http::HttpTransport;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::server::{CERTIFICATE, Reply, Server};
use crate::todo;

/// Another certificate, for `synctable.invalid`, made as that of the fixtures.
pub(crate) const OTHER: &[u8] = include_bytes!("../tls/other.pem");
const OTHER_KEY: &[u8] = include_bytes!("../tls/other_key.pem");

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn certificate() -> String {
    pem("CERTIFICATE", CERTIFICATE)
}

fn key() -> String {
    pem("PRIVATE KEY", include_bytes!("../tls/key.der"))
}

fn other() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(OTHER).unwrap()
}

/// A server that is `synctable.invalid`.
pub(crate) async fn other_server(reply: Reply) -> Server {
    let tls = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![other()],
            PrivateKeyDer::from_pem_slice(OTHER_KEY).unwrap(),
        )
        .unwrap();
    Server::secured_by(tls, reply).await
}

/// A server that asks for the other certificate.
async fn asking() -> Server {
    let mut roots = RootCertStore::empty();
    roots.add(other()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from(CERTIFICATE)],
            PrivateKeyDer::from_pem_slice(key().as_bytes()).unwrap(),
        )
        .unwrap();
    Server::secured_by(tls, Reply::json(200, "[]")).await
}

/// What is wrong with the certificate of a server is told with what to do.
#[tokio::test]
async fn a_certificate_that_does_not_do_is_told_with_the_way_out() {
    let ca = include_bytes!("../tls/ca.pem");
    let tls = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(ca).unwrap()],
            PrivateKeyDer::from_pem_slice(include_bytes!("../tls/ca_key.pem")).unwrap(),
        )
        .unwrap();
    let signer = Server::secured_by(tls, Reply::json(200, "[]")).await;
    let elsewhere = other_server(Reply::json(200, "[]")).await;
    let usual = Server::secure(Reply::json(200, "[]")).await;
    for (server, root, words) in [
        (&signer, ca.to_vec(), "(CA:TRUE)"),
        (&elsewhere, OTHER.to_vec(), "for another name"),
        (
            &usual,
            OTHER.to_vec(),
            "signed by none that is trusted here",
        ),
    ] {
        let builder = HttpTransport::builder(server.url()).trust_also(root);
        let transport = builder.build().unwrap();
        let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
        let error = page.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable, "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn roots_are_trusted_beside_others() {
    let server = Server::secure(Reply::json(200, "[]")).await;
    let page = async |transport: HttpTransport| {
        let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
        page.map(|_| ()).map_err(|error| error.kind())
    };
    let both = [OTHER, certificate().as_bytes()].concat();
    for builder in [
        server.builder().trust_also(certificate()),
        server.builder().trust_also(both),
        server.builder().trust_also(OTHER).trust_also(certificate()),
        // What is given in place of the platform's stays trusted.
        server
            .builder()
            .root_certificates([CERTIFICATE.to_vec()])
            .trust_also(OTHER),
    ] {
        assert_eq!(page(builder.build().unwrap()).await, Ok(()));
    }
    let stranger = server.builder().trust_also(OTHER).build().unwrap();
    assert_eq!(page(stranger).await, Err(Kind::Unreachable));
}

#[tokio::test]
async fn a_server_that_asks_is_shown_the_certificate_of_the_client() {
    let server = asking().await;
    let builder = || server.builder().trust_also(certificate());
    let shown = builder().client_certificate(OTHER, OTHER_KEY);
    assert!(!format!("{shown:?}").contains(&format!("{:?}", &OTHER_KEY[..8])));
    let page = shown.build().unwrap();
    page.page(&todo(), &RemoteQuery::all(), None).await.unwrap();
    for refused in [
        builder(),
        builder().client_certificate(certificate(), key()),
    ] {
        let transport = refused.build().unwrap();
        let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
        let error = page.unwrap_err();
        // The alert may be lost with the connection.
        assert!(
            matches!(error.kind(), Kind::Unreachable | Kind::Broken),
            "{error}"
        );
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn bad_certificates_and_keys_are_told_before_anything_is_sent() {
    let builder = || HttpTransport::builder("https://synctable.invalid").trust_also(OTHER);
    for (bad, words) in [
        (builder().trust_also(""), "no certificate"),
        (builder().trust_also(CERTIFICATE), "no certificate"),
        (builder().trust_also(key()), "no certificate"),
        (
            builder().trust_also(pem("CERTIFICATE", b"what")),
            "not valid",
        ),
        (
            builder().client_certificate(OTHER_KEY, OTHER_KEY),
            "no certificate",
        ),
        (builder().client_certificate(OTHER, OTHER), "no private key"),
        (
            builder().client_certificate(OTHER, key()),
            "do not go together",
        ),
        (builder().root_certificates([b"what".to_vec()]), "not valid"),
    ] {
        let error = bad.build().unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest, "{words}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
