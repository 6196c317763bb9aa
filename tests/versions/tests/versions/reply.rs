//! Answers, a server's or somebody else's.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use bytes::Bytes;
use http::{Request, Response};

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answer(Response<Bytes>),
    /// The bytes of an answer.
    Raw(Vec<u8>),
    /// The connection ends without an answer.
    Cut,
}

impl Reply {
    /// An answer in JSON.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::typed(status, "application/json", body)
    }

    pub(crate) fn typed(status: u16, content_type: &str, body: &str) -> Self {
        let answer = Response::builder()
            .status(status)
            .header("content-type", content_type)
            .body(Bytes::copy_from_slice(body.as_bytes()));
        Self::Answer(answer.unwrap())
    }

    /// As it goes over the line.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let answer = match self {
            Self::Cut => return Vec::new(),
            Self::Raw(bytes) => return bytes,
            Self::Answer(answer) => answer,
        };
        let mut text = format!("HTTP/1.1 {} Said\r\n", answer.status().as_u16());
        for (name, value) in answer.headers() {
            write!(text, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
        if answer.status().as_u16() != 204 {
            write!(text, "content-length: {}\r\n", answer.body().len()).unwrap();
        }
        text += "connection: close\r\n\r\n";
        [text.as_bytes(), answer.body()].concat()
    }
}

/// The answer of the server at an address.
pub(crate) fn pass(request: &Request<Bytes>, address: &str) -> Reply {
    let mut server = TcpStream::connect(address).unwrap();
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        if name != "connection" && name != "content-length" {
            write!(text, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
    }
    let length = request.body().len();
    write!(
        text,
        "content-length: {length}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    server.write_all(text.as_bytes()).unwrap();
    server.write_all(request.body()).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    Reply::Raw(answer)
}
