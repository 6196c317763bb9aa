//! What the genuine server does otherwise than one would think, and what this project's engine makes of it.

use serde_json::json;
use synctable_core::Error;
use synctable_core::query::{Query, field};
use synctable_core::transport::TransportErrorKind;
use synctable_http::Dialect;

use crate::ours::Device;
use crate::peers::NodeServer;

fn cause(error: &Error) -> Option<TransportErrorKind> {
    match error {
        Error::Transport(error) => Some(error.kind()),
        Error::PushStopped { source, .. } => cause(source),
        _ => None,
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_and_holds_up_no_other() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let a = Device::new(&server.url, Dialect::Zumo2).await;
    let other = a.sync.table::<serde_json::Value>("nothere").unwrap();
    other.insert(&json!({"id": "x"})).await.unwrap();
    a.insert(json!({"id": "y", "text": "goes through"})).await;
    let report = a.push().await.unwrap();
    assert_eq!((report.pushed, report.aside, report.pending), (1, 1, 1));
    let aside = a.sync.pending().await.unwrap().remove(0).aside.unwrap();
    assert_eq!(aside.kind, TransportErrorKind::UnknownTable.as_str());
    let error = other
        .pull_full(Query::all())
        .without_push()
        .await
        .unwrap_err();
    assert_eq!(
        cause(&error),
        Some(TransportErrorKind::UnknownTable),
        "{error}"
    );
}

#[tokio::test]
async fn a_filter_that_the_server_fails_on_is_named() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let a = Device::new(&server.url, Dialect::Zumo2).await;
    a.insert(json!({"id": "x", "text": "four"})).await;
    a.push_all().await;
    let query = Query::all().filter(field("text").length().eq(4));
    let error = a.todo.pull(query, "four").await.unwrap_err();
    assert_eq!(cause(&error), Some(TransportErrorKind::BadQuery), "{error}");
    assert!(
        error.to_string().contains("cannot take the filter"),
        "{error}"
    );
    // These it takes, and finds nothing.
    for filter in [
        field("text").contains("ou"),
        field("text").starts_with("f"),
        field("text").ends_with("r"),
        field("text").index_of("o").eq(1),
    ] {
        let query = Query::all().filter(filter);
        let error = a.todo.pull_full(query).await.unwrap_err();
        assert_eq!(cause(&error), Some(TransportErrorKind::BadQuery), "{error}");
        assert!(error.to_string().contains("does not compute"), "{error}");
    }
}

#[tokio::test]
async fn a_record_that_the_server_refuses_is_parked_with_its_words() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let a = Device::new(&server.url, Dialect::Zumo2).await;
    // The server takes bodies of up to 100 kB.
    a.insert(json!({"id": "large", "text": "x".repeat(150_000)}))
        .await;
    a.insert(json!({"id": "small", "text": "x"})).await;
    let report = a.push().await.unwrap();
    assert_eq!((report.pushed, report.rejected), (1, 1));
    let parked = a.sync.parked().await.unwrap();
    assert_eq!(parked[0].status, Some(400));
    assert!(!parked[0].message.is_empty());
    a.text("large", "small enough").await;
    a.push_all().await;
}

#[tokio::test]
async fn a_record_without_members_is_made_edited_and_deleted() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let (a, b) = (
        Device::new(&server.url, Dialect::Zumo2).await,
        Device::new(&server.url, Dialect::Zumo2).await,
    );
    a.insert(json!({"id": "bare"})).await;
    a.push_all().await;
    // An edit that changes nothing cannot be sent to this server, and need not be.
    a.todo.update("bare", &json!({})).await.unwrap();
    a.push_all().await;
    b.pull().await;
    assert_eq!(b.rows().await.len(), 1);
    a.delete("bare").await;
    a.push_all().await;
    b.pull().await;
    assert!(b.rows().await.is_empty());
}

#[tokio::test]
async fn a_record_at_which_the_server_fails_holds_up_nothing() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let a = Device::new(&server.url, Dialect::Zumo2).await;
    // It makes a column of a new member, but has none for objects.
    a.insert(json!({"id": "object", "shape": {"a": 1}})).await;
    a.insert(json!({"id": "text", "text": "goes through"}))
        .await;
    let report = a.push().await.unwrap();
    assert_eq!((report.pushed, report.aside), (1, 1));
    // A pull pushes first, and is not held up by it.
    assert_eq!(a.pull().await.unchanged, 1);
    // It counts against the record once the server is seen to do others.
    a.insert(json!({"id": "more", "text": "goes through"}))
        .await;
    let report = a.push().await.unwrap();
    assert_eq!((report.pushed, report.aside), (1, 1));
    a.insert(json!({"id": "last", "text": "goes through"}))
        .await;
    let report = a.push().await.unwrap();
    assert_eq!((report.pushed, report.rejected), (1, 1));
    assert_eq!(a.sync.parked().await.unwrap()[0].status, Some(500));
    let row = json!({"id": "object", "text": "text now"});
    a.todo.replace(&row).await.unwrap();
    a.push_all().await;
}
