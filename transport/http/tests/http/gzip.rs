//! Packed answers.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    RemotePage, Transport, TransportError, TransportErrorKind as Kind,
};

use crate::server::{Reply, Server};
use crate::todo;

fn packed(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(body).unwrap();
    packer.finish().unwrap()
}

fn reply(encoding: &str, body: &[u8]) -> Reply {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    Reply::raw(bytes)
}

async fn page(reply: Reply, gzip: bool) -> (Result<RemotePage, TransportError>, Option<String>) {
    let server = Server::always(reply).await;
    let transport = server
        .builder()
        .gzip(gzip)
        .body_limit(10_000)
        .build()
        .unwrap();
    let page = transport.page(&todo(), &RemoteQuery::all(), None).await;
    let asked = server
        .request()
        .header("accept-encoding")
        .map(str::to_owned);
    (page, asked)
}

#[tokio::test]
async fn packed_answers_are_asked_for_on_request_only() {
    let body = packed(br#"[{"id":"a"}]"#);
    let (answer, asked) = page(reply("GZIP", &body), true).await;
    assert_eq!(answer.unwrap().records.len(), 1);
    assert_eq!(asked.as_deref(), Some("gzip"));
    let (answer, asked) = page(reply("identity", br#"[{"id":"a"}]"#), false).await;
    assert_eq!(answer.unwrap().records.len(), 1);
    assert_eq!(asked, None);
}

#[tokio::test]
async fn what_comes_out_counts_against_the_limit() {
    let rows = format!(r#"[{{"id":"a","x":"{}"}}]"#, "x".repeat(9_900));
    let (answer, _) = page(reply("gzip", &packed(rows.as_bytes())), true).await;
    assert_eq!(answer.unwrap().records.len(), 1);
    let bomb = packed(&vec![b' '; 5_000_000]);
    assert!(bomb.len() < 10_000);
    let (answer, _) = page(reply("gzip", &bomb), true).await;
    assert_eq!(answer.unwrap_err().kind(), Kind::TooLarge);
}

#[tokio::test]
async fn encodings_that_were_not_asked_for_are_refused() {
    let body = packed(b"[]");
    for (encoding, body, gzip) in [
        ("gzip", body.as_slice(), false),
        ("br", body.as_slice(), true),
        ("gzip, gzip", body.as_slice(), true),
        ("gzip", &body[..body.len() - 9], true),
        ("gzip", b"[]", true),
    ] {
        let (answer, _) = page(reply(encoding, body), gzip).await;
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{encoding} {gzip}: {error}");
    }
}
