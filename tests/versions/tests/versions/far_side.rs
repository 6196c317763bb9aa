//! What answers on a socket in place of a server, or in front of one.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use serde_json::Value;
use synctable_typed_server::{Lost, TypedServer};

use crate::device::Device;
use crate::releases::Release;
use crate::server::Server;

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
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Verb, path and query.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Something that answers at an address. It ends with the test process.
#[derive(Debug)]
pub(crate) struct FarSide {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FarSide {
    /// `answer` may wait: each request has a thread of its own.
    pub(crate) fn new(answer: impl Fn(&Request<Bytes>) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = Arc::new(answer);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (answer, notes) = (Arc::clone(&answer), Arc::clone(&notes));
                thread::spawn(move || {
                    let mut client = client.unwrap();
                    let Some(request) = read(&mut client) else {
                        return;
                    };
                    notes.lock().unwrap().push(note(&request));
                    let reply = bytes_of(answer(&request));
                    // The other side may have been killed meanwhile.
                    let _ = client.write_all(&reply);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { url, seen }
    }

    /// A gate in front of a server, which answers itself where `rule` says so.
    pub(crate) fn before(
        server: &Server,
        rule: impl Fn(&Request<Bytes>) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let address = server.address.clone();
        Self::new(move |request| rule(request).unwrap_or_else(|| pass(request, &address)))
    }

    /// A typed server on a socket, with what is planned to go wrong there.
    pub(crate) fn typed(server: &TypedServer) -> Self {
        let server = server.clone();
        Self::new(move |request| match server.send(request) {
            Ok(answer) => Reply::Answer(answer),
            Err(Lost::Connection | Lost::Request | Lost::Answer) => Reply::Cut,
        })
    }

    pub(crate) fn device(&self, release: Release) -> Device {
        Device::of(release, &self.url)
    }

    /// The requests that arrived, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests that are no reads.
    pub(crate) fn writes(&self) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|request| !request.line.starts_with("GET "));
        seen
    }
}

/// The answer of the server at an address.
pub(crate) fn pass(request: &Request<Bytes>, address: &str) -> Reply {
    let mut server = TcpStream::connect(address).unwrap();
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        if name != "connection" {
            write!(text, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
    }
    text += "connection: close\r\n\r\n";
    server.write_all(text.as_bytes()).unwrap();
    server.write_all(request.body()).unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).unwrap();
    Reply::Raw(answer)
}

/// True for a write of this record.
pub(crate) fn writes(request: &Request<Bytes>, id: &str) -> bool {
    request.method() != Method::GET && record_of(request).as_deref() == Some(id)
}

/// The id of the record that a request is about.
pub(crate) fn record_of(request: &Request<Bytes>) -> Option<String> {
    let path = request.uri().path().strip_prefix("/tables/")?;
    if let Some((_, id)) = path.split_once('/') {
        return Some(id.to_owned());
    }
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    Some(body.get("id")?.as_str()?.to_owned())
}

fn note(request: &Request<Bytes>) -> Seen {
    Seen {
        line: format!("{} {}", request.method(), request.uri()),
        headers: request.headers().clone(),
        body: String::from_utf8_lossy(request.body()).into_owned(),
    }
}

/// A request; `None` for a connection that is closed unused.
fn read(client: &mut TcpStream) -> Option<Request<Bytes>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let mut request = Request::builder().method(words.next()?).uri(words.next()?);
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
        request = request.header(name, value);
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).ok()?;
    Some(request.body(Bytes::from(body)).unwrap())
}

fn bytes_of(reply: Reply) -> Vec<u8> {
    let answer = match reply {
        Reply::Cut => return Vec::new(),
        Reply::Raw(bytes) => return bytes,
        Reply::Answer(answer) => answer,
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
