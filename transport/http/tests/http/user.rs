//! Signing in and out while a transport is in use (T3).

use std::sync::Arc;

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{ChangeKind, Outcome, Transport, TransportErrorKind as Kind};
use synctable_http::{AuthHeader, UserToken};

use crate::server::{Reply, Request, Server};
use crate::{change, todo};

/// Takes the token `good` only.
fn guarded(request: &Request) -> Reply {
    match request.header("authorization") {
        Some("Bearer good") => Reply::empty(204),
        _ => Reply::json(401, r#"{"error":"who are you?"}"#),
    }
}

#[tokio::test]
async fn t3_nothing_is_sent_while_nobody_is_signed_in() {
    let server = Server::always(Reply::empty(204)).await;
    let user = UserToken::new();
    let builder = server.builder();
    let builder = builder.auth(Arc::new(user.clone()), AuthHeader::Bearer);
    let transport = builder.build().unwrap();
    let ada = transport.for_account("ada").unwrap();
    let delete = change(ChangeKind::Delete);
    for way in [&transport as &dyn Transport, &ada] {
        let error = way.apply(&todo(), &delete).await.unwrap_err();
        assert!(error.needs_sign_in() && error.status().is_none(), "{error}");
        assert!(error.kind().had_no_effect());
    }
    assert_eq!(server.connections(), 0);

    user.sign_in("ada", "of-ada");
    assert_eq!(user.account().as_deref(), Some("ada"));
    ada.apply(&todo(), &delete).await.unwrap();
    transport.apply(&todo(), &delete).await.unwrap();
    user.sign_in("bob", "of-bob");
    let error = ada.apply(&todo(), &delete).await.unwrap_err();
    assert!(error.needs_sign_in(), "{error}");
    let error = ada
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap_err();
    assert!(error.needs_sign_in(), "{error}");
    let bob = transport.for_account("bob").unwrap();
    bob.apply(&todo(), &delete).await.unwrap();
    user.sign_out();
    assert!(bob.apply(&todo(), &delete).await.is_err());
    let requests = server.requests();
    let sent = ["Bearer of-ada", "Bearer of-ada", "Bearer of-bob"];
    let tokens: Vec<_> = requests
        .iter()
        .map(|request| request.header("authorization"))
        .collect();
    assert_eq!(tokens, sent.map(Some));
}

/// A refused token is the same one still, so nothing is tried again; a new one of the same account is another.
#[tokio::test]
async fn t3_a_new_token_of_the_same_account_is_a_renewal() {
    let server = Server::scripted(|_, request| guarded(request)).await;
    let user = UserToken::new();
    let builder = server.builder();
    let builder = builder.auth(Arc::new(user.clone()), AuthHeader::Bearer);
    let ada = builder.build().unwrap().for_account("ada").unwrap();
    user.sign_in("ada", "stale");
    let delete = change(ChangeKind::Delete);
    let error = ada.apply(&todo(), &delete).await.unwrap_err();
    let of_error = (error.kind(), error.status());
    assert_eq!(of_error, (Kind::Unauthorized, Some(401)));
    assert!(!ada.renew_credentials().await.unwrap());
    user.sign_in("ada", "good");
    assert!(ada.renew_credentials().await.unwrap());
    let outcome = ada.apply(&todo(), &delete).await.unwrap();
    assert_eq!(outcome, Outcome::Applied(None));
}

#[tokio::test]
async fn the_token_of_the_user_stays_out_of_logs() {
    let user = UserToken::new();
    user.sign_in("ada", "secret");
    let server = Server::always(Reply::empty(204)).await;
    let builder = server.builder();
    let builder = builder.auth(Arc::new(user.clone()), AuthHeader::Bearer);
    let transport = builder.build().unwrap();
    for text in [format!("{user:?}"), format!("{transport:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
}
