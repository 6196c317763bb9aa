//! One request, one answer: sizes and times limited, failures told apart.

use std::error::Error;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, PROXY_AUTHORIZATION};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{AlertDescription, ClientConfig};
use synctable_core::transport::{TransportError, TransportErrorKind as Kind};

use crate::builder::Limits;
use crate::connect::Timed;
use crate::exchange::Exchange;
use crate::proxy::Proxy;
use crate::route::{self, ProxyError, Route};
use crate::{header, text};

/// The way to one service. Clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    way: Way,
    body_limit: usize,
    gzip: bool,
}

#[derive(Debug, Clone)]
enum Way {
    Sockets(Box<Sockets>),
    Given(Arc<dyn Exchange>),
}

/// Pooled connections.
#[derive(Debug, Clone)]
struct Sockets {
    pool: legacy::Client<Timed<HttpsConnector<Route>>, Full<Bytes>>,
    /// The longest time for a request and its answer.
    total: Duration,
    /// The proxy that reads the requests and passes them on.
    forward: Option<Proxy>,
}

/// An answer. Its status is good even where its body is not.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Vec<u8>, TransportError>,
    /// Host and path that gave it, for messages.
    pub(crate) place: String,
}

impl Client {
    pub(crate) fn new(
        limits: &Limits,
        tls: ClientConfig,
        proxy: Option<Proxy>,
        https: bool,
        gzip: bool,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let secured = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Route {
                tcp,
                proxy: proxy.clone(),
            });
        let forward = proxy.filter(|_| !https);
        let connector = Timed {
            inner: secured,
            connect: limits.connect,
            idle: limits.idle,
            forwarded: forward.is_some(),
        };
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .retry_canceled_requests(true)
            .http1_max_buf_size(limits.head)
            .build(connector);
        Self {
            way: Way::Sockets(Box::new(Sockets {
                pool,
                total: limits.total,
                forward,
            })),
            body_limit: limits.body,
            gzip,
        }
    }

    /// A client whose requests go another way.
    pub(crate) fn over(exchange: Arc<dyn Exchange>, limits: &Limits, gzip: bool) -> Self {
        Self {
            way: Way::Given(exchange),
            body_limit: limits.body,
            gzip,
        }
    }

    /// True where requests go over sockets, which need a tokio runtime with timers.
    pub(crate) fn is_over_sockets(&self) -> bool {
        matches!(self.way, Way::Sockets(..))
    }

    /// Sends a request and reads the answer to its end. Redirects are not followed.
    pub(crate) async fn send(
        &self,
        mut request: Request<Bytes>,
        place: String,
    ) -> Result<Answer, TransportError> {
        if self.gzip {
            let headers = request.headers_mut();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let unpacks = request.headers().contains_key(ACCEPT_ENCODING);
        let (head, body) = match &self.way {
            Way::Sockets(sockets) => {
                let exchange = self.by_socket(sockets, request, &place);
                let answer = tokio::time::timeout(sockets.total, exchange).await;
                answer.unwrap_or_else(|_| Err(too_slow(&place)))?
            }
            Way::Given(exchange) => {
                let (head, body) = exchange.exchange(request).await?.into_parts();
                let fits = body.len() <= self.body_limit;
                let body = if fits {
                    Ok(body.into())
                } else {
                    Err(self.too_large(&place))
                };
                (head, body)
            }
        };
        let body = body.and_then(|body| self.decoded(&head.headers, body, unpacks, &place));
        let time = header::server_time(&head.headers);
        Ok(Answer {
            status: head.status,
            body: body.map_err(|error| error.with_server_time(time)),
            headers: head.headers,
            place,
        })
    }

    /// A request that a pooled connection never took is sent on another one; anything else is sent once.
    async fn by_socket(
        &self,
        sockets: &Sockets,
        mut request: Request<Bytes>,
        place: &str,
    ) -> Result<(Parts, Result<Vec<u8>, TransportError>), TransportError> {
        if let Some(auth) = sockets.forward.as_ref().and_then(|it| it.auth.as_ref()) {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, auth.clone());
        }
        match sockets.pool.request(request.map(Full::new)).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                if let Some(proxy) = &sockets.forward
                    && head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
                {
                    let why = route::unknown_guest(proxy.show());
                    let message = format!("cannot reach {place}: {why}");
                    return Err(TransportError::new(Kind::Unreachable, message));
                }
                Ok((head, self.read(body, place).await))
            }
            Err(error) => {
                let connecting = error.is_connect();
                Err(failure(error, connecting, place))
            }
        }
    }

    fn too_large(&self, place: &str) -> TransportError {
        let message = format!(
            "the answer of {place} is larger than {} bytes; ask for smaller pages or raise the limit",
            self.body_limit
        );
        TransportError::new(Kind::TooLarge, message)
    }

    /// The body as it was before the server packed it, where that was asked for.
    fn decoded(
        &self,
        headers: &HeaderMap,
        body: Vec<u8>,
        unpacks: bool,
        place: &str,
    ) -> Result<Vec<u8>, TransportError> {
        let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
        let failed = |what: &str| {
            let message = format!("the server at {place} {what}");
            TransportError::new(Kind::Protocol, message)
        };
        match encoding {
            None => Ok(body),
            Some(name) if name.eq_ignore_ascii_case(b"identity") || body.is_empty() => Ok(body),
            Some(name) if name.eq_ignore_ascii_case(b"gzip") && unpacks => {
                let most = u64::try_from(self.body_limit).unwrap_or(u64::MAX);
                let mut out = Vec::new();
                MultiGzDecoder::new(body.as_slice())
                    .take(most.saturating_add(1))
                    .read_to_end(&mut out)
                    .map_err(|error| {
                        failed("gave a body that is not well packed").with_source(error)
                    })?;
                if out.len() > self.body_limit {
                    return Err(self.too_large(place));
                }
                Ok(out)
            }
            Some(_) => Err(failed(
                "packs its answers in a way that was not asked for; set its compression right",
            )),
        }
    }

    async fn read(&self, mut body: Incoming, place: &str) -> Result<Vec<u8>, TransportError> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > self.body_limit {
            return Err(self.too_large(place));
        }
        let mut bytes = Vec::with_capacity(announced);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure(error, false, place))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if data.len() > self.body_limit - bytes.len() {
                return Err(self.too_large(place));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }
}

impl Answer {
    /// An error that names this answer's place and status: `what` in the middle of "the server at .. WHAT (..)". It
    /// tells the server's clock, and how long the server asks to wait.
    pub(crate) fn error(&self, kind: Kind, what: &str) -> TransportError {
        let status = self.status.as_u16();
        let message = format!("the server at {} {what} ({status})", self.place);
        self.failure(kind, message)
    }

    /// An error with this answer's status, clock and wait.
    pub(crate) fn failure(&self, kind: Kind, message: String) -> TransportError {
        let error = TransportError::new(kind, message)
            .with_status(self.status.as_u16())
            .with_server_time(header::server_time(&self.headers));
        match header::retry_after(&self.headers, SystemTime::now()) {
            Some(delay) => error.with_retry_after(delay),
            None => error,
        }
    }

    /// The server's words, in one line.
    pub(crate) fn words(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        text::words(self.status, &self.headers, body)
    }

    /// What the status says, for where the server has no words.
    pub(crate) fn reason(&self) -> String {
        text::reason(self.status)
    }

    /// The error for a status that means the same to every request; `other` is the kind for the other 4xx.
    pub(crate) fn refusal(&self, other: Kind) -> TransportError {
        let words = self.words();
        match self.status.as_u16() {
            401 => self.error(
                Kind::Unauthorized,
                &format!("refused the credentials: {words}; sign in again or give another token"),
            ),
            403 => self.error(
                Kind::Forbidden,
                &format!("does not allow this: {words}; sign in with an account that may do it"),
            ),
            408 | 429 | 503 => self.error(
                Kind::Busy,
                &format!("cannot answer now: {words}; try again later"),
            ),
            502 | 504 => self.error(
                Kind::Gateway,
                &format!("was not reached by its gateway: {words}; try again later"),
            ),
            500..=599 => self.error(Kind::Failed, &format!("failed: {words}; try again later")),
            404 | 410 => self.error(
                Kind::UnknownTable,
                "does not know this table; check its name, the base URL and the server's tables",
            ),
            400..=499 => self.error(other, &format!("refuses the request: {words}")),
            _ => self.error(
                Kind::Protocol,
                "gave a status that no table server gives; check the base URL",
            ),
        }
    }
}

fn too_slow(place: &str) -> TransportError {
    let message = format!("the server at {place} takes too long; try again later");
    TransportError::new(Kind::Timeout, message)
}

/// Tells failures of a connection apart by the errors that caused them. Only while `connecting` nothing can have been sent.
fn failure(
    error: impl Error + Send + Sync + 'static,
    connecting: bool,
    place: &str,
) -> TransportError {
    let io = cause::<io::Error>(&error).map(io::Error::kind);
    if io == Some(io::ErrorKind::TimedOut) && !connecting {
        return too_slow(place).with_source(error);
    }
    if let Some(why) = cause::<rustls::Error>(&error).and_then(refused_client) {
        // The handshake of TLS 1.3 is over for a client before the server has judged its certificate, and no request is read then.
        let message = format!("cannot reach {place}: {why}");
        return TransportError::new(Kind::Unreachable, message).with_source(error);
    }
    let http = cause::<hyper::Error>(&error);
    let (kind, message) = if let Some(refused) = cause::<ProxyError>(&error) {
        // Its own words say everything.
        let message = format!("cannot reach {place}: {refused}");
        return TransportError::new(Kind::Unreachable, message);
    } else if connecting {
        let why = if let Some(error) = cause::<rustls::Error>(&error) {
            insecure(error)
        } else {
            match io {
                Some(io::ErrorKind::ConnectionRefused) => "it refuses connections; is it running?",
                Some(io::ErrorKind::ConnectionReset) => "it closed the connection",
                Some(io::ErrorKind::TimedOut) => "no connection is made in time",
                _ => "check the name, and the network",
            }
        };
        (Kind::Unreachable, format!("cannot reach {place}: {why}"))
    } else if http.is_some_and(hyper::Error::is_parse_too_large) {
        let message = format!("the head of the answer of {place} is too large");
        (Kind::TooLarge, message)
    } else if http.is_some_and(hyper::Error::is_parse)
        || matches!(
            io,
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        )
    {
        let message = format!("the answer of {place} is not HTTP; check the base URL");
        (Kind::Protocol, message)
    } else {
        let message = format!("the connection to {place} broke before the answer was complete");
        (Kind::Broken, message)
    };
    TransportError::new(kind, message).with_source(error)
}

/// What is wrong with the way that a server secures its connections, and what to do.
fn insecure(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Wrong;
    let rustls::Error::InvalidCertificate(wrong) = error else {
        return "no secure connection can be made; check its certificate";
    };
    match wrong {
        Wrong::UnknownIssuer => {
            "its certificate is signed by none that is trusted here; give the root certificate above it"
        }
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            "its certificate is for another name; ask for a name that is in it"
        }
        Wrong::Expired
        | Wrong::ExpiredContext { .. }
        | Wrong::NotValidYet
        | Wrong::NotValidYetContext { .. } => {
            "its certificate does not count at this time; renew it, or set the clock of this machine"
        }
        // The error behind it is of a type that has no name here.
        Wrong::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is one for signing others (CA:TRUE), as openssl req -x509 makes it; give the server one that it has signed \
             (CA:FALSE), and this side the root"
        }
        _ => "no secure connection can be made; check its certificate",
    }
}

/// What a server finds wrong with a client's certificate, or with there being none.
fn refused_client(error: &rustls::Error) -> Option<&'static str> {
    use AlertDescription as Alert;
    match error {
        rustls::Error::AlertReceived(Alert::CertificateRequired) => {
            Some("it asks for a client certificate; give one with its key")
        }
        rustls::Error::AlertReceived(
            Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate,
        ) => Some("it does not take the client certificate; give another one with its key"),
        _ => None,
    }
}

/// The first error of a type in a chain of causes. An I/O error may wrap another error.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
