//! The client's end: HTTP/1.1 by hyper over connections of the line, with the limits of time that sockets have.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use synctable_core::transport::{TransportError, TransportErrorKind as Kind};
use synctable_http::Exchange;
use tokio::time::Instant;

use crate::far::FarEnd;
use crate::line::{Line, Watch};

/// The limits of `HttpTransport` where nothing else is said.
const IDLE: Duration = Duration::from_secs(15);
const TOTAL: Duration = Duration::from_secs(30);

/// What one request came to.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Whether it was a batch.
    pub batch: bool,
    /// Bytes of its body.
    pub bytes: usize,
    /// The status, or the kind of the failure.
    pub end: Result<u16, Kind>,
    /// Bytes of the answer's body.
    pub answer: usize,
    /// From its beginning to its end.
    pub took: Duration,
}

/// Requests over the line.
#[derive(Debug)]
pub struct Wire {
    line: Arc<Line>,
    far: Arc<FarEnd>,
    pool: Mutex<Vec<Connected>>,
    noted: Mutex<Vec<Noted>>,
}

#[derive(Debug)]
struct Connected {
    sender: SendRequest<Full<Bytes>>,
    watch: Watch,
}

impl Wire {
    /// From a client to `far`, over `line`.
    pub fn new(line: Arc<Line>, far: Arc<FarEnd>) -> Arc<Self> {
        Arc::new(Self {
            line,
            far,
            pool: Mutex::default(),
            noted: Mutex::default(),
        })
    }

    /// What requests came to so far.
    pub fn noted(&self) -> Vec<Noted> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.clone()
    }

    async fn connected(&self) -> Result<Connected, TransportError> {
        loop {
            let pooled = self
                .pool
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(pooled) = pooled else { break };
            if pooled.sender.is_ready() {
                return Ok(pooled);
            }
        }
        let unreachable = |error| {
            TransportError::new(Kind::Unreachable, "no connection is made").with_source(error)
        };
        let (near, far) = self.line.connect().await.map_err(unreachable)?;
        let watch = near.watch();
        self.far.serve(far);
        let (sender, connection) = handshake(TokioIo::new(near)).await.map_err(broken)?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connected { sender, watch })
    }

    async fn once(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse::<Uri>().map_err(|error| {
            TransportError::new(Kind::BadRequest, "the path is none").with_source(error)
        })?;
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_static("server.test"));
        let Connected { mut sender, watch } = self.connected().await?;
        let fate = self.line.fate();
        watch.begin(fate);
        let exchange = async {
            let answer = sender.send_request(request.map(Full::new)).await;
            let (head, body) = answer.map_err(broken)?.into_parts();
            let body = body.collect().await.map_err(broken)?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        let answer = tokio::select! {
            answer = exchange => answer,
            () = watch.silence(IDLE) => Err(TransportError::new(Kind::Timeout, "nothing is heard any more")),
        }?;
        // It is ready again a moment after the body has ended.
        tokio::task::yield_now().await;
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.push(Connected { sender, watch });
        Ok(answer)
    }
}

fn broken(error: hyper::Error) -> TransportError {
    TransportError::new(Kind::Broken, "the connection broke").with_source(error)
}

/// Notes a request when it ends, in whatever way.
struct Noting<'a> {
    wire: &'a Wire,
    began: Instant,
    noted: Noted,
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        let mut noted = self.noted.clone();
        noted.took = self.began.elapsed();
        let all = self.wire.noted.lock();
        all.unwrap_or_else(PoisonError::into_inner).push(noted);
    }
}

#[async_trait]
impl Exchange for Wire {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let batch = request.uri().path().ends_with("/$batch");
        let mut noting = Noting {
            wire: self,
            began: Instant::now(),
            noted: Noted {
                batch,
                bytes: request.body().len(),
                // Whoever does not wait any longer drops it.
                end: Err(Kind::Timeout),
                answer: 0,
                took: Duration::ZERO,
            },
        };
        let answer = tokio::time::timeout(TOTAL, self.once(request)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(TransportError::new(Kind::Timeout, "it takes too long")));
        noting.noted.end = match &answer {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) => Err(error.kind()),
        };
        noting.noted.answer = answer.as_ref().map_or(0, |answer| answer.body().len());
        answer
    }
}
