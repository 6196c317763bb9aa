//! Servers at the edge of HTTP. Those beyond it are in the `hostile` tests.

use std::time::Duration;

use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    ChangeKind, Conflict, Outcome, RemotePage, ServerRecord, Transport, TransportErrorKind as Kind,
};

use crate::server::{Reply, Server};
use crate::{change, todo};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let item = r#"{"id":"a"}"#;
    let padded = format!("{item}{}", " ".repeat(100_000 - item.len()));
    let server = Server::always(Reply::json(200, &padded)).await;
    let transport = server.builder().body_limit(100_000).build().unwrap();
    transport
        .apply(&todo(), &change(ChangeKind::Replace))
        .await
        .unwrap();
}

#[tokio::test]
async fn early_hints_are_passed_over() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(1000);
    let page = format!("{hints}{HEAD}content-length: 12\r\n\r\n{{\"items\":[]}}");
    let server = Server::always(Reply::raw(page)).await;
    let page: RemotePage = server
        .transport()
        .page(&todo(), &RemoteQuery::all(), None)
        .await
        .unwrap();
    assert!(page.last);
}

#[tokio::test]
async fn silence_times_out() {
    for start in [
        String::new(),
        "HTTP/1.1 200".to_owned(),
        format!("{HEAD}content-length: 50\r\n\r\n"),
        format!("{HEAD}content-length: 50\r\n\r\n{{\"id\":"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\n{{\"id\""),
    ] {
        let server = Server::always(Reply::raw(start.clone()).and_hang()).await;
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(600));
        for (idle, total) in [(short, long), (long, short)] {
            let transport = server
                .builder()
                .idle_timeout(idle)
                .timeout(total)
                .build()
                .unwrap();
            let error = transport
                .page(&todo(), &RemoteQuery::all(), None)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), Kind::Timeout, "{start}");
            assert!(error.is_temporary());
        }
    }
}

#[tokio::test]
async fn no_content_with_content_is_success() {
    let reply = Reply::raw("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello");
    let server = Server::always(reply.and_close()).await;
    let transport = server.transport();
    for _ in 0..2 {
        let outcome = transport
            .apply(&todo(), &change(ChangeKind::Replace))
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Applied(None));
    }
}

#[tokio::test]
async fn the_status_counts_where_the_rest_breaks_off() {
    let answer = async |status: u16| {
        let cut = format!("HTTP/1.1 {status} X\r\ncontent-length: 50\r\n\r\n{{\"id\":");
        let server = Server::always(Reply::raw(cut).and_close()).await;
        server
            .transport()
            .apply(&todo(), &change(ChangeKind::Replace))
            .await
    };
    let outcome = answer(412).await.unwrap();
    let Outcome::Conflict(Conflict { server, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(server, ServerRecord::Unknown);
    assert_eq!(answer(404).await.unwrap(), Outcome::Missing);
    assert!(matches!(answer(400).await.unwrap(), Outcome::Rejected(_)));
    assert_eq!(answer(401).await.unwrap_err().kind(), Kind::Unauthorized);
    assert_eq!(answer(503).await.unwrap_err().kind(), Kind::Busy);
    assert_eq!(answer(200).await.unwrap_err().kind(), Kind::Broken);
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_shows_the_clock_all_the_same() {
    let date = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    for (rest, kind) in [
        ("content-length: 50\r\n\r\n{\"id\":", Kind::Broken),
        ("content-length: 99999\r\n\r\n", Kind::TooLarge),
        ("content-length: 2\r\n\r\n{}", Kind::Protocol),
    ] {
        let reply = Reply::raw(format!("{HEAD}{date}{rest}")).and_close();
        let server = Server::always(reply).await;
        let transport = server.builder().body_limit(1000).build().unwrap();
        let outcome = transport.apply(&todo(), &change(ChangeKind::Replace)).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), kind);
        let time = error.server_time().unwrap().to_string();
        assert_eq!(time, "1994-11-06T08:49:37.000Z");
    }
}
