//! A TCP connection to the server, or to the proxy on the way there.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::proxy::Proxy;

/// The most bytes that a proxy may answer with before it opens the way.
const HEAD: u64 = 8 * 1024;

/// Connects to where a URL says, or to the proxy. There it has the proxy open a way through for `https`; what goes over `http` the
/// proxy reads and passes on.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) tcp: HttpConnector,
    pub(crate) proxy: Option<Proxy>,
}

impl Service<Uri> for Route {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.clone() else {
            let connecting = self.tcp.call(uri);
            return Box::pin(async move { connecting.await.map_err(Into::into) });
        };
        let connecting = self.tcp.call(proxy.address.clone());
        Box::pin(async move {
            let failed = |why| ProxyError {
                proxy: proxy.show().to_owned(),
                why,
            };
            let stream = connecting
                .await
                .map_err(|error| failed(Why::Unreachable(error.into())))?;
            if uri.scheme() != Some(&Scheme::HTTPS) {
                return Ok(stream);
            }
            let mut stream = stream.into_inner();
            open(&mut stream, &uri, &proxy).await.map_err(failed)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Has the proxy open a way to the host of a URL. Nothing but its answer is read: what comes next is the server's.
async fn open(stream: &mut TcpStream, uri: &Uri, proxy: &Proxy) -> Result<(), Why> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(443);
    let mut head =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(auth) = &proxy.auth {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(auth.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head).await.map_err(Why::Io)?;
    let mut answer = Vec::new();
    let mut limited = stream.take(HEAD);
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(limited.read_u8().await.map_err(Why::Io)?);
    }
    let status = String::from_utf8_lossy(&answer);
    let mut words = status.split(' ');
    let version = words.next().unwrap_or_default();
    match words.next().and_then(|status| status.parse().ok()) {
        Some(200..=299) if version.starts_with("HTTP/1.") => Ok(()),
        Some(status) if version.starts_with("HTTP/1.") => Err(Why::Refused(status)),
        _ => Err(Why::Refused(0)),
    }
}

/// A proxy that does not let a connection through.
#[derive(Debug)]
pub(crate) struct ProxyError {
    proxy: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Unreachable(Box<dyn Error + Send + Sync>),
    Io(io::Error),
    /// With this status; 0 where it gave none.
    Refused(u16),
}

/// What a proxy means that wants to know who comes.
pub(crate) fn unknown_guest(proxy: &str) -> String {
    format!("the proxy {proxy} wants a user name and password; give them in its URL (407)")
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = &self.proxy;
        match &self.why {
            Why::Unreachable(_) => write!(
                f,
                "the proxy {proxy} cannot be reached; check its address, and the network"
            ),
            Why::Io(_) | Why::Refused(0) => {
                write!(f, "the proxy {proxy} gave no answer that is HTTP")
            }
            Why::Refused(407) => f.write_str(&unknown_guest(proxy)),
            Why::Refused(status) => {
                write!(
                    f,
                    "the proxy {proxy} does not open the way there ({status})"
                )
            }
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            Why::Unreachable(error) => Some(&**error),
            Why::Io(error) => Some(error),
            Why::Refused(_) => None,
        }
    }
}
