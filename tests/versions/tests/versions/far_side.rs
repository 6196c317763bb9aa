//! What answers on a socket in place of a server, or in front of one.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Method, Request};
use serde_json::Value;
use synctable_typed_server::{Lost, TypedServer};

use crate::device::Device;
use crate::opened;
use crate::releases::Release;
pub(crate) use crate::reply::{Reply, pass};
use crate::server::Server;

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
                    let reply = answer(&request).into_bytes();
                    // The other side may have been killed meanwhile.
                    let _ = client.write_all(&reply);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { url, seen }
    }

    /// A gate in front of a server, which answers itself where `rule` says so, also to single changes of a batch.
    pub(crate) fn before(
        server: &Server,
        rule: impl Fn(&Request<Bytes>) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let address = server.address.clone();
        Self::new(move |request| opened::answer(request, &rule, &address))
    }

    /// A gate that opens no batch: where `rule` answers a change of one, that is the answer to all of it.
    pub(crate) fn closed_before(
        server: &Server,
        rule: impl Fn(&Request<Bytes>) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let address = server.address.clone();
        Self::new(move |request| {
            let said = if opened::is_batch(request) {
                opened::changes(request).iter().find_map(&rule)
            } else {
                rule(request)
            };
            said.unwrap_or_else(|| pass(request, &address))
        })
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

    /// How many of them carried several changes.
    pub(crate) fn batches(&self) -> usize {
        let seen = self.seen();
        let batches = seen
            .iter()
            .filter(|seen| seen.line == "POST /tables/$batch");
        batches.count()
    }

    /// The requests that are no reads.
    pub(crate) fn writes(&self) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|request| !request.line.starts_with("GET "));
        seen
    }
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

/// A request, its body unpacked; `None` for a connection that is closed unused.
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
    let (mut length, mut is_packed) = (0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
        if name.eq_ignore_ascii_case("content-encoding") {
            assert_eq!(value, "gzip");
            is_packed = true;
            continue;
        }
        request = request.header(name, value);
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).ok()?;
    if is_packed {
        let packed = std::mem::take(&mut body);
        GzDecoder::new(&*packed).read_to_end(&mut body).unwrap();
    }
    Some(request.body(Bytes::from(body)).unwrap())
}
