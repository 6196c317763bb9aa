//! Servers that break HTTP, lie about sizes, or never end.

use std::time::Duration;

use synctable_core::query::Query;
use synctable_core::transport::{
    ChangeKind, Conflict, Outcome, RemotePage, ServerRecord, Transport, TransportError,
    TransportErrorKind as Kind,
};

use crate::server::{Reply, Server};
use crate::{change, todo};

/// What a change and a page come to with this answer. A broken answer must never be a success of either.
async fn both(reply: Reply) -> [TransportError; 2] {
    let server = Server::always(reply).await;
    let transport = server
        .builder()
        .body_limit(100_000)
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let outcome = transport.apply(&todo(), &change(ChangeKind::Replace)).await;
    let page = transport.page(&todo(), &Query::all(), None).await;
    let errors = [outcome.unwrap_err(), page.unwrap_err()];
    for error in &errors {
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
    errors
}

async fn expect(kind: Kind, reply: impl Into<Vec<u8>>) {
    let reply = reply.into();
    let shown = String::from_utf8_lossy(reply.get(..120).unwrap_or(&reply)).into_owned();
    for error in both(Reply::raw(reply).and_close()).await {
        assert_eq!(error.kind(), kind, "{shown}: {error}");
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn answers_that_are_not_http() {
    for junk in [
        "hello\r\n\r\n",
        "<html>hello</html>\r\n\r\n",
        "{\"id\":\"a\"}\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "\0\0\0\0\0\0\0\0\0\0",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 99999 OK\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        expect(Kind::Protocol, junk).await;
    }
}

#[tokio::test]
async fn connections_that_end_early() {
    for cut in [
        String::new(),
        "HTTP/1.1 200".to_owned(),
        HEAD.to_owned(),
        format!("{HEAD}content-length: 50\r\n\r\n{{\"id\":\"a\""),
        format!("{HEAD}content-length: 50\r\n\r\n{{\"items\":[]}}"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\n{{\"id"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\n{{\"id\"\r\n"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\na\r\n{{\"id\":\"a\"}}\r\n"),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\nc\r\n{{\"items\":[]}}\r\n"),
    ] {
        expect(Kind::Unreachable, cut).await;
    }
}

#[tokio::test]
async fn bodies_that_end_early_without_a_trace() {
    // The framing is whole, the JSON is not.
    for cut in [
        format!("{HEAD}content-length: 9\r\n\r\n{{\"id\":\"a\""),
        format!("{HEAD}content-length: 9\r\n\r\n{{\"id\":\"a\"}}"),
        format!("{HEAD}content-length: 9\r\n\r\n{{\"items\":[]}}"),
        format!("{HEAD}connection: close\r\n\r\n{{\"id\":\"a\""),
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\n{{\"id\"\r\n0\r\n\r\n"),
    ] {
        expect(Kind::Protocol, cut).await;
    }
}

#[tokio::test]
async fn chunks_that_are_none() {
    for chunk in [
        "zz\r\n",
        "-1\r\n",
        "5 5\r\n",
        "ffffffffffffffffff\r\n",
        "5\r\n{\"id\"junk",
    ] {
        expect(
            Kind::Protocol,
            format!("{HEAD}transfer-encoding: chunked\r\n\r\n{chunk}"),
        )
        .await;
    }
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let body = "x".repeat(100_001);
    expect(
        Kind::TooLarge,
        format!("{HEAD}content-length: 100001\r\n\r\n{body}"),
    )
    .await;
    // An announced size is believed before a byte of it is read.
    expect(
        Kind::TooLarge,
        format!("{HEAD}content-length: 9999999999\r\n\r\n"),
    )
    .await;
    expect(
        Kind::TooLarge,
        format!("{HEAD}connection: close\r\n\r\n{body}"),
    )
    .await;
    expect(
        Kind::TooLarge,
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n186a1\r\n{body}\r\n0\r\n\r\n"),
    )
    .await;
}

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
async fn heads_that_are_too_large() {
    let long = "x".repeat(130 * 1024);
    expect(
        Kind::TooLarge,
        format!("{HEAD}x: {long}\r\ncontent-length: 0\r\n\r\n"),
    )
    .await;
    let many = "x: y\r\n".repeat(30_000);
    expect(
        Kind::TooLarge,
        format!("{HEAD}{many}content-length: 0\r\n\r\n"),
    )
    .await;
}

#[tokio::test]
async fn endless_bodies_end_at_the_limit() {
    let server = Server::scripted(|_, _| {
        Reply::raw(format!("{HEAD}\r\n[{}", "{},".repeat(1000))).for_ever()
    })
    .await;
    let transport = server.builder().body_limit(1_000_000).build().unwrap();
    let error = transport
        .page(&todo(), &Query::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
}

#[tokio::test]
async fn endless_heads_end_at_the_limit() {
    let server =
        Server::always(Reply::raw(format!("{HEAD}x: {}", "y".repeat(1000))).for_ever()).await;
    let error = server
        .transport()
        .page(&todo(), &Query::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
}

#[tokio::test]
async fn early_hints_are_passed_over() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(1000);
    let page = format!("{hints}{HEAD}content-length: 12\r\n\r\n{{\"items\":[]}}");
    let server = Server::always(Reply::raw(page)).await;
    let page: RemotePage = server
        .transport()
        .page(&todo(), &Query::all(), None)
        .await
        .unwrap();
    assert!(page.last);
}

#[tokio::test]
async fn endless_hints_time_out() {
    let server = Server::always(Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\n").for_ever()).await;
    let transport = server
        .builder()
        .timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = transport
        .page(&todo(), &Query::all(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
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
                .page(&todo(), &Query::all(), None)
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
    let unknown = Outcome::Conflict(Conflict::new(ServerRecord::Unknown));
    assert_eq!(answer(412).await.unwrap(), unknown);
    let gone = Outcome::Conflict(Conflict::new(ServerRecord::Gone));
    assert_eq!(answer(404).await.unwrap(), gone);
    assert!(matches!(answer(400).await.unwrap(), Outcome::Rejected(_)));
    assert_eq!(answer(401).await.unwrap_err().kind(), Kind::Unauthorized);
    assert_eq!(answer(503).await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(answer(200).await.unwrap_err().kind(), Kind::Unreachable);
}

#[tokio::test]
async fn compressed_bodies_are_not_unpacked() {
    let bomb = "\u{1f}\u{8b}\u{8}".to_owned() + &"\0".repeat(50);
    let reply = Reply::with(200, &[("content-encoding", "gzip")], &bomb);
    for error in both(reply).await {
        assert_eq!(error.kind(), Kind::Protocol);
    }
}
