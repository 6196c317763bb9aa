//! A server that answers by a script, byte by byte as it likes.

#![allow(dead_code, reason = "each of the two test targets uses a part of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use synctable_http::{HttpTransport, HttpTransportBuilder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::{JoinHandle, JoinSet};

/// A request as it came over the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// Unpacked, where it came packed.
    pub(crate) body: String,
    /// How many bytes of it came.
    pub(crate) length: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What to write back, and what then.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Wait for the next request.
    Keep,
    /// Close the connection.
    Close,
    /// Say nothing more, and keep the connection open.
    Hang,
    /// Write the same for ever.
    Repeat,
    /// Write single spaces for ever, slowly.
    Drip,
}

impl Reply {
    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::with(status, &[("content-type", "application/json")], body)
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self::with(status, &[], "")
    }

    /// An answer with headers and a body.
    pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if status != 204 {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        Self::raw(format!("{head}\r\n{body}"))
    }

    /// Any bytes.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            then: Then::Keep,
        }
    }

    pub(crate) fn and_close(mut self) -> Self {
        self.then = Then::Close;
        self
    }

    pub(crate) fn and_hang(mut self) -> Self {
        self.then = Then::Hang;
        self
    }

    pub(crate) fn for_ever(mut self) -> Self {
        self.then = Then::Repeat;
        self
    }

    pub(crate) fn and_drip(mut self) -> Self {
        self.then = Then::Drip;
        self
    }
}

type Script = dyn Fn(usize, &Request) -> Reply + Send + Sync;

/// A running server; it stops when dropped.
pub(crate) struct Server {
    scheme: &'static str,
    port: u16,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Request>,
    /// Bytes that the other side's socket took.
    taken: usize,
}

impl Server {
    /// Answers every request alike.
    pub(crate) async fn always(reply: Reply) -> Self {
        Self::scripted(move |_, _| reply.clone()).await
    }

    /// Answers by a script, which is told the number of the request (from 0) and the request.
    pub(crate) async fn scripted(
        script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(None, Arc::new(script)).await
    }

    /// Like [`always`](Self::always), over TLS with the certificate of the fixtures.
    pub(crate) async fn secure(reply: Reply) -> Self {
        Self::secured_by(server_tls(), reply).await
    }

    /// Like [`always`](Self::always), over TLS as it is set up.
    pub(crate) async fn secured_by(tls: tokio_rustls::rustls::ServerConfig, reply: Reply) -> Self {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        Self::start(Some(acceptor), Arc::new(move |_, _: &_| reply.clone())).await
    }

    #[expect(clippy::unused_async, reason = "needs a runtime, as its callers do")]
    async fn start(acceptor: Option<tokio_rustls::TlsAcceptor>, script: Arc<Script>) -> Self {
        let listener = TcpSocket::new_v4().unwrap();
        // Little is under way at a time, so what a client takes is what it wants.
        listener.set_send_buffer_size(16 * 1024).unwrap();
        listener.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = listener.listen(1024).unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Dropped with the task, which ends the connections.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                let (seen, script) = (Arc::clone(&shared), Arc::clone(&script));
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    match acceptor {
                        None => serve(socket, &seen, &*script).await,
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(socket) => serve(socket, &seen, &*script).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self {
            scheme,
            port,
            seen,
            task,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    pub(crate) fn builder(&self) -> HttpTransportBuilder {
        HttpTransport::builder(self.url())
    }

    pub(crate) fn transport(&self) -> HttpTransport {
        self.builder().build().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// Bytes that clients took, those that lie in the buffers of their sockets included.
    pub(crate) fn taken(&self) -> usize {
        self.seen.lock().unwrap().taken
    }

    /// The only request.
    pub(crate) fn request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1);
        requests.remove(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers requests on one connection until it ends.
async fn serve(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Seen>,
    script: &Script,
) -> Option<()> {
    loop {
        let request = read(&mut socket).await?;
        let reply = {
            let mut seen = seen.lock().unwrap();
            let number = seen.requests.len();
            seen.requests.push(request.clone());
            script(number, &request)
        };
        write(&mut socket, &reply.bytes, seen).await?;
        match reply.then {
            Then::Keep => {}
            Then::Close => {
                let _ = socket.shutdown().await;
                return None;
            }
            Then::Hang => std::future::pending().await,
            Then::Repeat => loop {
                write(&mut socket, &reply.bytes, seen).await?;
            },
            Then::Drip => loop {
                tokio::time::sleep(Duration::from_millis(2)).await;
                write(&mut socket, b" ", seen).await?;
            },
        }
    }
}

/// Writes all bytes and counts those that were taken.
async fn write(
    socket: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    seen: &Mutex<Seen>,
) -> Option<()> {
    while !bytes.is_empty() {
        let taken = socket.write(bytes).await.ok()?;
        seen.lock().unwrap().taken += taken;
        bytes = bytes.get(taken..)?;
    }
    socket.flush().await.ok()
}

async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let mut request = Request {
        method: first.next()?.to_owned(),
        target: first.next()?.to_owned(),
        ..Request::default()
    };
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let earlier = request
            .headers
            .insert(name.to_lowercase(), value.to_owned());
        assert!(earlier.is_none(), "the header {name} came twice");
    }
    let length: usize = request
        .header("content-length")
        .unwrap_or("0")
        .parse()
        .unwrap();
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    request.length = length;
    request.body = match request.header("content-encoding") {
        Some("gzip") => {
            let mut text = String::new();
            let mut packed = flate2::read::GzDecoder::new(body.as_slice());
            std::io::Read::read_to_string(&mut packed, &mut text).unwrap();
            text
        }
        _ => String::from_utf8(body).unwrap(),
    };
    Some(request)
}

/// The certificate of the fixtures, for 127.0.0.1 only. Made, with its key, by
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=synctable
/// -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE`.
pub(crate) const CERTIFICATE: &[u8] = include_bytes!("../tls/cert.der");

fn server_tls() -> tokio_rustls::rustls::ServerConfig {
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let key = PrivateKeyDer::try_from(&include_bytes!("../tls/key.der")[..]).unwrap();
    ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        .unwrap()
}
