//! Credentials and other headers.

use std::sync::{Arc, Mutex};

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{ChangeKind, Outcome, Transport, TransportErrorKind as Kind};
use synctable_http::{AuthHeader, HttpTransport, TokenError, TokenProvider};

use crate::server::{Reply, Request, Server};
use crate::{change, todo};

/// Gives `kept`, and when asked to refresh `fresh`, which it then keeps.
#[derive(Debug)]
struct Session {
    kept: Mutex<Option<&'static str>>,
    fresh: Option<&'static str>,
    refreshed: Mutex<u32>,
}

impl Session {
    fn new(kept: Option<&'static str>, fresh: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::new(kept),
            fresh,
            refreshed: Mutex::new(0),
        })
    }
}

#[async_trait::async_trait]
impl TokenProvider for Session {
    async fn token(&self, refresh: bool) -> Result<Option<String>, TokenError> {
        let mut kept = self.kept.lock().unwrap();
        if refresh {
            *kept = self.fresh;
            *self.refreshed.lock().unwrap() += 1;
        }
        Ok(kept.map(str::to_owned))
    }
}

/// Takes the token `good` only.
fn guarded(request: &Request) -> Reply {
    match request.header("authorization") {
        Some("Bearer good") => Reply::empty(204),
        _ => Reply::json(401, r#"{"error":"who are you?"}"#),
    }
}

#[tokio::test]
async fn tokens_go_into_the_header_chosen() {
    for (header, name, value) in [
        (AuthHeader::Bearer, "authorization", "Bearer good"),
        (AuthHeader::XZumoAuth, "x-zumo-auth", "good"),
    ] {
        let server = Server::always(Reply::empty(204)).await;
        let transport = server.builder().token("good", header).build().unwrap();
        transport
            .apply(&todo(), &change(ChangeKind::Delete))
            .await
            .unwrap();
        assert_eq!(server.request().header(name), Some(value));
    }
}

#[tokio::test]
async fn without_a_token_none_is_sent() {
    let server = Server::always(Reply::empty(204)).await;
    let session = Session::new(None, None);
    let transport = server
        .builder()
        .auth(session, AuthHeader::Bearer)
        .build()
        .unwrap();
    transport
        .apply(&todo(), &change(ChangeKind::Delete))
        .await
        .unwrap();
    assert_eq!(server.request().header("authorization"), None);
}

#[tokio::test]
async fn a_refused_token_is_renewed_when_asked_to_and_nothing_is_sent_again_by_itself() {
    let server = Server::scripted(|_, request| guarded(request)).await;
    let session = Session::new(Some("stale"), Some("good"));
    let provider = Arc::clone(&session) as Arc<dyn TokenProvider>;
    let transport = server
        .builder()
        .auth(provider, AuthHeader::Bearer)
        .build()
        .unwrap();
    let delete = change(ChangeKind::Delete);
    let error = transport.apply(&todo(), &delete).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::Unauthorized, Some(401))
    );
    assert!(error.needs_sign_in());
    assert!(error.to_string().contains("who are you?"), "{error}");
    assert_eq!(server.requests().len(), 1);
    assert_eq!(*session.refreshed.lock().unwrap(), 0);

    assert!(transport.renew_credentials().await.unwrap());
    for _ in 0..2 {
        let outcome = transport.apply(&todo(), &delete).await.unwrap();
        assert_eq!(outcome, Outcome::Applied(None));
    }
    let tokens: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(tokens, ["Bearer stale", "Bearer good", "Bearer good"]);
    assert_eq!(*session.refreshed.lock().unwrap(), 1);
}

/// Knows who is signed in, and has no token of anybody else.
#[derive(Debug)]
struct OneUser(Mutex<&'static str>);

#[async_trait::async_trait]
impl TokenProvider for OneUser {
    async fn token(&self, _refresh: bool) -> Result<Option<String>, TokenError> {
        let user = self.0.lock().unwrap();
        Ok(Some(format!("token-of-{user}")))
    }
    async fn token_of(&self, account: &str, refresh: bool) -> Result<Option<String>, TokenError> {
        if *self.0.lock().unwrap() != account {
            return Err("signed out".into());
        }
        self.token(refresh).await
    }
}

#[tokio::test]
async fn nothing_is_sent_for_an_account_that_is_signed_out() {
    let server = Server::always(Reply::empty(204)).await;
    let users = Arc::new(OneUser(Mutex::new("ada")));
    let provider = Arc::clone(&users) as Arc<dyn TokenProvider>;
    let builder = server.builder().auth(provider, AuthHeader::Bearer);
    let transport = builder.build().unwrap();
    let ada = transport.for_account("ada").unwrap();
    let delete = change(ChangeKind::Delete);
    ada.apply(&todo(), &delete).await.unwrap();

    *users.0.lock().unwrap() = "bob";
    let error = ada.apply(&todo(), &delete).await.unwrap_err();
    assert!(error.needs_sign_in(), "{error}");
    let error = ada
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert!(error.needs_sign_in(), "{error}");
    let bob = transport.for_account("bob").unwrap();
    bob.apply(&todo(), &delete).await.unwrap();

    let requests = server.requests();
    let tokens: Vec<_> = requests
        .iter()
        .map(|request| request.header("authorization"))
        .collect();
    let sent = ["Bearer token-of-ada", "Bearer token-of-bob"];
    assert_eq!(tokens, sent.map(Some));
}

#[tokio::test]
async fn a_provider_that_knows_no_accounts_gives_its_token_to_all() {
    let server = Server::always(Reply::empty(204)).await;
    let builder = server.builder().token("good", AuthHeader::Bearer);
    let transport = builder.build().unwrap().for_account("ada").unwrap();
    let delete = change(ChangeKind::Delete);
    transport.apply(&todo(), &delete).await.unwrap();
    assert_eq!(
        server.request().header("authorization"),
        Some("Bearer good")
    );
}

#[tokio::test]
async fn only_another_token_is_a_renewal() {
    for (fresh, renewed) in [(Some("other"), true), (Some("stale"), false), (None, false)] {
        let server = Server::scripted(|_, request| guarded(request)).await;
        let session = Session::new(Some("stale"), fresh);
        let provider = Arc::clone(&session) as Arc<dyn TokenProvider>;
        let transport = server
            .builder()
            .auth(provider, AuthHeader::Bearer)
            .build()
            .unwrap();
        let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
        assert_eq!(page.unwrap_err().kind(), Kind::Unauthorized);
        let got = transport.renew_credentials().await.unwrap();
        assert_eq!(got, renewed, "{fresh:?}");
        assert_eq!(*session.refreshed.lock().unwrap(), 1);
        assert_eq!(server.requests().len(), 1);
    }
    // Nobody to ask, and a token that cannot be another.
    let server = Server::always(Reply::empty(401)).await;
    let bare = server.transport();
    assert!(!bare.renew_credentials().await.unwrap());
    let fixed = server.builder().token("stale", AuthHeader::Bearer);
    let fixed = fixed.build().unwrap();
    let page = fixed.page(&todo(), &RemoteQuery::all(), None).await;
    assert_eq!(page.unwrap_err().kind(), Kind::Unauthorized);
    assert!(!fixed.renew_credentials().await.unwrap());
}

#[tokio::test]
async fn missing_rights_are_not_wrong_credentials() {
    let server = Server::always(Reply::empty(403)).await;
    let session = Session::new(Some("good"), Some("other"));
    let provider = Arc::clone(&session) as Arc<dyn TokenProvider>;
    let transport = server
        .builder()
        .auth(provider, AuthHeader::Bearer)
        .build()
        .unwrap();
    let error = transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(!error.needs_sign_in());
    assert_eq!(*session.refreshed.lock().unwrap(), 0);
}

/// Has no network.
#[derive(Debug)]
struct Broken;

#[async_trait::async_trait]
impl TokenProvider for Broken {
    async fn token(&self, _refresh: bool) -> Result<Option<String>, TokenError> {
        Err("no network".into())
    }
}

#[tokio::test]
async fn without_the_provider_nothing_is_sent() {
    let server = Server::always(Reply::empty(204)).await;
    let transport = server
        .builder()
        .auth(Arc::new(Broken), AuthHeader::Bearer)
        .build()
        .unwrap();
    let error = transport
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(std::error::Error::source(&error).is_some());
    let error = transport.renew_credentials().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_token_cannot_smuggle_headers() {
    let server = Server::always(Reply::empty(204)).await;
    for header in [AuthHeader::Bearer, AuthHeader::XZumoAuth] {
        let transport = server
            .builder()
            .token("secret\r\nX-Evil: 1", header)
            .build()
            .unwrap();
        let error = transport
            .page(&todo(), &RemoteQuery::all(), None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn headers_of_the_user_go_along() {
    let server = Server::always(Reply::empty(204)).await;
    let transport = server
        .builder()
        .header("X-ZUMO-INSTALLATION-ID", "7")
        .header("user-agent", "todo/1")
        .header("Authorization", "Basic abc")
        .build()
        .unwrap();
    transport
        .apply(&todo(), &change(ChangeKind::Delete))
        .await
        .unwrap();
    let request = server.request();
    assert_eq!(request.header("x-zumo-installation-id"), Some("7"));
    assert_eq!(request.header("user-agent"), Some("todo/1"));
    assert_eq!(request.header("authorization"), Some("Basic abc"));
}

#[test]
fn bad_options_are_refused_before_anything_is_sent() {
    let builder = || HttpTransport::builder("http://localhost");
    for bad in [
        HttpTransport::builder("localhost"),
        HttpTransport::builder("ftp://localhost"),
        builder().header("", "x"),
        builder().header("a b", "x"),
        builder().header("a\r\nb", "x"),
        builder().header("a:", "x"),
        builder().header("x", "secret\r\ny: z"),
        builder().header("x", "secret\0"),
        builder().header("Content-Length", "5"),
        builder().header("transfer-encoding", "chunked"),
        builder().header("If-Match", "*"),
        builder().header("Accept-Encoding", "gzip"),
        builder().table_path(todo(), "tasks"),
        builder().table_path(todo(), "/tasks?x=y"),
        builder().header("ZUMO-API-VERSION", "2.0.0"),
        builder().root_certificates([b"no certificate".to_vec()]),
    ] {
        assert!(!format!("{bad:?}").contains("secret"));
        let error = bad.build().unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest, "{error}");
        let message = error.to_string();
        assert!(!message.contains("secret") && !message.chars().any(char::is_control));
    }
}
