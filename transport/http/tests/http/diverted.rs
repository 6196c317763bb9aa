//! Answers that are not the server's: three different messages, and nothing is followed.

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{Transport, TransportError, TransportErrorKind as Kind};
use synctable_http::AuthHeader;

use crate::server::{Reply, Server};
use crate::{KINDS, change, id, todo};

/// The error of every kind of request, which is the same one for all.
async fn answered(reply: &Reply, signed: bool) -> TransportError {
    let server = Server::always(reply.clone()).await;
    let builder = server.builder();
    let transport = if signed {
        builder.token("s3cr3t", AuthHeader::Bearer).build()
    } else {
        builder.build()
    };
    let transport = transport.unwrap();
    let mut errors = Vec::new();
    for kind in KINDS {
        errors.push(transport.apply(&todo(), &change(kind)).await.unwrap_err());
    }
    errors.push(transport.get(&todo(), &id("a")).await.unwrap_err());
    let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
    let last = page.unwrap_err();
    for error in errors {
        assert_eq!(error.kind(), last.kind(), "{error}");
        // After a write it is not known whether it had an effect.
        assert!(!error.kind().had_no_effect());
        let message = error.to_string();
        assert!(!message.contains("s3cr3t"), "{message}");
        assert!(!message.chars().any(char::is_control), "{message}");
    }
    assert_eq!(server.requests().len(), KINDS.len() + 2);
    last
}

#[tokio::test]
async fn history_16_three_different_messages() {
    let html = Reply::with(
        200,
        &[("Content-Type", "text/html")],
        "<html>Welcome</html>",
    );
    let portal = answered(&html, false).await;
    assert_eq!(portal.kind(), Kind::Portal);
    assert!(portal.is_offline() && !portal.needs_sign_in());
    assert!(portal.to_string().contains("network"), "{portal}");

    let server = Server::scripted(|_, request| {
        let host = request.header("host").unwrap();
        let location = format!("https://{host}{}", request.target);
        Reply::with(301, &[("Location", &location)], "")
    })
    .await;
    let page = server
        .transport()
        .page(&todo(), &RemoteQuery::all(), None)
        .await;
    let https = page.unwrap_err();
    assert_eq!(
        (https.kind(), https.status()),
        (Kind::Redirected, Some(301))
    );
    let use_it = format!("use https://127.0.0.1:{} as", server.port());
    assert!(https.to_string().contains(&use_it), "{https}");
    assert!(!https.is_offline() && !https.needs_sign_in());

    let login = [(
        "Location",
        "https://login.example.com/authorize?token=s3cr3t",
    )];
    let sign_in = answered(&Reply::with(302, &login, ""), true).await;
    assert_eq!(sign_in.kind(), Kind::SignIn);
    assert!(sign_in.needs_sign_in() && !sign_in.is_offline());
    let message = sign_in.to_string();
    assert!(
        message.contains("https://login.example.com to sign in"),
        "{message}"
    );
}

#[tokio::test]
async fn another_host_without_credentials_is_a_network() {
    for status in [301, 302, 303, 307, 308] {
        let location = [("Location", "http://10.0.0.1/welcome?mac=s3cr3t")];
        let reply = Reply::with(status, &location, "");
        let error = answered(&reply, false).await;
        assert_eq!((error.kind(), error.status()), (Kind::Portal, Some(status)));
        assert!(error.to_string().contains("http://10.0.0.1"), "{error}");
        assert_eq!(answered(&reply, true).await.kind(), Kind::SignIn);
    }
}

#[tokio::test]
async fn another_place_of_the_same_host_is_named() {
    let reply = Reply::with(302, &[("Location", "/Account/Login?ReturnUrl=%2F")], "");
    for signed in [false, true] {
        let error = answered(&reply, signed).await;
        assert_eq!(error.kind(), Kind::Redirected);
        assert!(error.to_string().contains("/Account/Login,"), "{error}");
    }
    let nowhere = answered(&Reply::empty(302), true).await;
    assert_eq!(nowhere.kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_network_that_wants_a_sign_in_says_so() {
    let reply = Reply::with(511, &[("Retry-After", "60")], "");
    for signed in [false, true] {
        let error = answered(&reply, signed).await;
        assert_eq!((error.kind(), error.status()), (Kind::Portal, Some(511)));
        assert!(error.retry_after().is_some());
    }
}

#[tokio::test]
async fn a_page_for_people_with_credentials_is_no_answer_of_a_table_server() {
    let html = Reply::with(
        200,
        &[("Content-Type", "text/html")],
        "<html>Welcome</html>",
    );
    assert_eq!(answered(&html, true).await.kind(), Kind::Protocol);
    // Credentials by hand are some, too.
    let server = Server::always(html).await;
    let transport = server
        .builder()
        .header("Authorization", "Basic abc")
        .build();
    let page = transport
        .unwrap()
        .page(&todo(), &RemoteQuery::all(), None)
        .await;
    assert_eq!(page.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_failure_of_a_gateway_is_one_though_it_is_a_page_for_people() {
    for (status, kind) in [
        (401, Kind::Unauthorized),
        (502, Kind::Gateway),
        (503, Kind::Busy),
    ] {
        let page = Reply::with(
            status,
            &[("Content-Type", "text/html")],
            "<html>nginx</html>",
        );
        assert_eq!(answered_any(&page).await, kind);
    }
}

async fn answered_any(reply: &Reply) -> Kind {
    let server = Server::always(reply.clone()).await;
    let page = server
        .transport()
        .page(&todo(), &RemoteQuery::all(), None)
        .await;
    page.unwrap_err().kind()
}
