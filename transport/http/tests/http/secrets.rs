//! Where tokens and secret headers may go.

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{Transport, TransportErrorKind as Kind};
use synctable_http::{AuthHeader, HttpTransport};

use crate::server::{Reply, Server};
use crate::todo;

/// Another machine; nothing here asks it.
const PLAIN: &str = "http://synctable.invalid:8080/api";

#[test]
fn secrets_go_to_another_machine_by_tls_alone() {
    let plain = || HttpTransport::builder(PLAIN);
    let secrets = [
        plain().token("s3cr3t", AuthHeader::Bearer),
        plain().token("s3cr3t", AuthHeader::XZumoAuth),
        plain().secret_header("X-Key", "s3cr3t"),
        plain().header("Authorization", "Bearer s3cr3t"),
        plain().header("x-zumo-auth", "s3cr3t"),
        plain().header("COOKIE", "s3cr3t"),
    ];
    for builder in secrets {
        assert!(builder.would_expose_secrets());
        let error = builder.clone().build().unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest);
        let said = error.to_string();
        assert!(said.contains("synctable.invalid:8080"), "{said}");
        assert!(said.contains("allow_plain_tokens"), "{said}");
        assert!(!said.contains("s3cr3t"), "{said}");
        assert!(!format!("{builder:?}").contains("s3cr3t"));
        builder.allow_plain_tokens(true).build().unwrap();
    }
    plain().header("X-App-Version", "1").build().unwrap();
}

#[tokio::test]
async fn secrets_go_to_this_machine_in_plain() {
    let server = Server::always(Reply::json(200, "[]")).await;
    let transport = server
        .builder()
        .token("s3cr3t", AuthHeader::Bearer)
        .secret_header("X-Key", "k3y")
        .build()
        .unwrap();
    transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap();
    let request = server.request();
    assert_eq!(request.header("authorization"), Some("Bearer s3cr3t"));
    assert_eq!(request.header("x-key"), Some("k3y"));
}
