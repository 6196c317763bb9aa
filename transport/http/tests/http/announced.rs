//! What the server announces of itself, and for how long that is believed.

use std::time::Duration;

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{ChangeKind, Transport, TransportCapabilities};

use crate::server::{Reply, Server};
use crate::{change, todo};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const IDS: (&str, &str) = ("Synctable-Operation-Ids", "1");

/// How long ids are kept, as the transport knows after each of the answers.
async fn known(replies: Vec<Reply>) -> Vec<Option<Duration>> {
    let count = replies.len();
    let server = Server::scripted(move |number, _| replies[number].clone()).await;
    let transport = server.transport();
    let mut known = Vec::new();
    for _ in 0..count {
        drop(transport.apply(&todo(), &change(ChangeKind::Delete)).await);
        known.push(transport.capabilities().operation_ids_kept);
    }
    known
}

#[tokio::test]
async fn operation_ids_are_relied_on_while_the_server_says_so() {
    let kept = ("Synctable-Operation-Ids-Kept", "86400");
    let known = known(vec![
        Reply::empty(204),
        Reply::with(204, &[IDS], ""),
        Reply::with(204, &[IDS, kept], ""),
        // A gateway that knows nothing of it.
        Reply::empty(502),
        Reply::with(412, &[IDS], ""),
        // The server was rolled back.
        Reply::empty(204),
    ])
    .await;
    let month = Some(30 * DAY);
    assert_eq!(known, [None, month, Some(DAY), Some(DAY), month, None]);
}

#[tokio::test]
async fn a_push_begins_without_what_was_known() {
    let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let server = Server::always(Reply::with(204, &[IDS, date], "")).await;
    let transport = server.transport();
    for _ in 0..2 {
        assert_eq!(transport.capabilities(), TransportCapabilities::default());
        transport
            .apply(&todo(), &change(ChangeKind::Delete))
            .await
            .unwrap();
        let capabilities = transport.capabilities();
        assert_eq!(capabilities.operation_ids_kept, Some(30 * DAY));
        let time = capabilities.server_time.unwrap().to_string();
        assert_eq!(time, "1994-11-06T08:49:37.000Z");
        transport.begin_push();
    }
}

#[tokio::test]
async fn a_page_says_whose_it_is() {
    let id = ("Synctable-Server-Id", "x");
    let server = Server::scripted(move |number, _| {
        let headers: &[_] = if number == 0 { &[id] } else { &[] };
        Reply::with(200, headers, r#"{"items":[]}"#)
    })
    .await;
    let transport = server.transport();
    let mut said = Vec::new();
    for _ in 0..2 {
        let page = transport
            .page(&todo(), &RemoteQuery::all(), None)
            .await
            .unwrap();
        said.push(page.server_id);
        let known = transport.capabilities().server_id;
        assert_eq!(known.as_deref(), Some("x"));
    }
    assert_eq!(said, [Some("x".to_owned()), None]);
    // What is known of the server is known whoever asks.
    let of_account = transport.for_account("ada").unwrap();
    assert_eq!(of_account.capabilities(), transport.capabilities());
    assert_eq!(of_account.address(), transport.address());
    transport.begin_push();
    assert_eq!(transport.capabilities().server_id, None);
}

#[tokio::test]
async fn a_network_announces_nothing_for_the_server() {
    let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let html = ("Content-Type", "text/html");
    for reply in [
        Reply::with(
            200,
            &[IDS, date, html, ("Synctable-Server-Id", "x")],
            "<html>",
        ),
        Reply::with(511, &[IDS, date], ""),
        Reply::with(302, &[IDS, date, ("Location", "http://elsewhere/")], ""),
    ] {
        let server = Server::always(reply).await;
        let transport = server.transport();
        let error = transport.apply(&todo(), &change(ChangeKind::Delete)).await;
        assert_eq!(error.unwrap_err().server_time(), None);
        assert_eq!(transport.capabilities(), TransportCapabilities::default());
    }
}

#[tokio::test]
async fn waits_are_offered() {
    let server = Server::always(Reply::empty(204)).await;
    let sleep = server.transport().sleep().unwrap();
    sleep.sleep(Duration::ZERO).await;
}
