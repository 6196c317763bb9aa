//! The good client, and how answers are read.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends whole requests, each on a connection of its own, and checks the answers.
#[derive(Debug, Default)]
pub(crate) struct Good {
    /// How many records it has made.
    pub(crate) made: usize,
}

impl Good {
    /// Makes a record, reads it, and changes it: every answer is the right one.
    pub(crate) async fn work(&mut self, address: SocketAddr) {
        let id = format!("good{}", self.made);
        self.made += 1;
        let body = format!(r#"{{"id":"{id}","n":1}}"#);
        let (status, answer) = ask(address, "POST", "/tables/hard", &body).await;
        assert_eq!(status, 201, "{answer}");
        let place = format!("/tables/hard/{id}");
        let (status, read) = ask(address, "GET", &place, "").await;
        assert_eq!((status, &read), (200, &answer));
        assert!(
            read.contains(&format!(r#""id":"{id}""#)) && read.contains(r#""n":1"#),
            "{read}"
        );
        let changed = format!(r#"{{"id":"{id}","n":2}}"#);
        let (status, answer) = ask(address, "PUT", &place, &changed).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains(r#""n":2"#), "{answer}");
    }
}

/// One request on a connection of its own: the status and the body of the answer.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the server reads");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an answer");
    let mut answers = answers(&bytes);
    assert_eq!(
        answers.len(),
        1,
        "{method} {target}: {}",
        String::from_utf8_lossy(&bytes)
    );
    answers.remove(0)
}

/// Takes the answers on a connection apart; one that was cut off has the body that came.
pub(crate) fn answers(bytes: &[u8]) -> Vec<(u16, String)> {
    let mut rest = bytes;
    let mut answers = Vec::new();
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        let status = head
            .strip_prefix("http/1.1 ")
            .and_then(|head| head.get(..3));
        let status = status.unwrap_or_else(|| panic!("not an answer: {head}"));
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        rest = &rest[end + 4..];
        let (body, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        answers.push((
            status.parse().unwrap(),
            String::from_utf8_lossy(body).into_owned(),
        ));
    }
    assert!(
        rest.is_empty() || !rest.starts_with(b"\r"),
        "{:?}",
        String::from_utf8_lossy(rest)
    );
    answers
}
