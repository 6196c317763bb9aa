//! The server: as a function, as a hyper service, and on sockets.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use synctable_core::store::LocalStore;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::answers;
use crate::builder::TableServerBuilder;
use crate::door::{Admitted, Way};
use crate::effect::Effect;
use crate::error::Failure;
use crate::handler::Core;
use crate::peer::Peer;
use crate::respond;
use crate::stall::WriteTimeout;
use crate::tls::Secured;

/// A table server over any store. Cloning is cheap; clones are the same server.
///
/// It can be called as a function ([`handle`](Self::handle)), which tests and simulations do, served on a socket
/// ([`serve`](Self::serve)), or mounted in a hyper application, as it is a [`Service`].
///
/// ```
/// use std::sync::Arc;
/// use bytes::Bytes;
/// use synctable_core::{TableName, Declaration};
/// use synctable_memory::MemoryStore;
/// use synctable_server::TableServer;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let server = TableServer::builder(Arc::new(MemoryStore::new()))
///     .table(TableName::new("todoitem").unwrap(), Declaration::new().with_soft_delete())
///     .build()
///     .await
///     .unwrap();
/// let request = http::Request::post("/tables/todoitem")
///     .header("content-type", "application/json")
///     .body(Bytes::from(r#"{"title":"Milk"}"#))
///     .unwrap();
/// assert_eq!(server.handle(request).await.status(), 201);
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct TableServer {
    core: Arc<Core>,
}

impl TableServer {
    /// Starts to put a server together over `store`.
    pub fn builder(store: Arc<dyn LocalStore>) -> TableServerBuilder {
        TableServerBuilder::new(store)
    }

    pub(crate) fn new(core: Core) -> Self {
        Self {
            core: Arc::new(core),
        }
    }

    /// Answers one request whose body was read already, and which need not name a host. The times of [`Limits`](crate::Limits) do not count
    /// here.
    ///
    /// Dropping the future leaves a change whole or not done.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        match self.core.door.admit(&head, Way::Call) {
            Ok(admitted) => {
                let request = Request::from_parts(head, body);
                self.core
                    .handle(&request, &admitted, &Effect::default())
                    .await
            }
            Err(failure) => self.refusal(&failure, &Admitted::default()),
        }
    }

    /// Serves HTTP/1, by TLS where the server has any, on `listener` until `shutdown` is ready; then closes idle connections, lets requests in
    /// flight finish for the drain time, and cuts what is left.
    ///
    /// # Errors
    /// When the listener fails for good. Connections that fail, and a passing lack of resources, are logged only.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future + Send,
    ) -> io::Result<()> {
        let limits = &self.core.limits;
        let permits = Arc::new(Semaphore::new(limits.connections));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let result = loop {
            tokio::select! {
                biased;
                _ = &mut shutdown => break Ok(()),
                Some(_) = connections.join_next() => {}
                accepted = accept(&listener, &permits) => match accepted {
                    Ok((stream, remote, permit)) => {
                        let connection = match self.connection(stream, remote) {
                            Ok(connection) => graceful.watch(connection),
                            Err(error) => {
                                tracing::debug!(%error, "a connection was gone at once");
                                continue;
                            }
                        };
                        connections.spawn(async move {
                            if let Err(error) = connection.await {
                                tracing::debug!(%error, "connection failed");
                            }
                            drop(permit);
                        });
                    }
                    Err(error) => break Err(error),
                }
            }
        };
        drop(listener);
        if timeout(limits.drain_timeout, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(
                open = connections.len(),
                "cutting connections that did not finish"
            );
        }
        connections.shutdown().await;
        result
    }

    fn connection(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> io::Result<http1::Connection<Io, Reached>> {
        let limits = &self.core.limits;
        let mut peer = Peer::new(remote, stream.local_addr()?);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "small packets may be late");
        }
        let stream = WriteTimeout::new(stream, limits.write_timeout);
        let stream = match &self.core.tls {
            None => Secured::Plain(stream),
            Some(tls) => {
                peer = peer.over_tls();
                tls.wrap(stream)
            }
        };
        let server = self.clone();
        Ok(http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.headers.max(SMALLEST_BUFFER))
            // A body is written from where it lies: a copy would take memory that nobody counts.
            .writev(true)
            .serve_connection(TokioIo::new(stream), Reached { server, peer }))
    }

    /// Judges the head, reads the body within its bounds, then answers within the handler's.
    async fn answer<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let limits = &self.core.limits;
        let (parts, body) = request.into_parts();
        let admitted = match self.core.door.admit(&parts, Way::Http) {
            Ok(admitted) => admitted,
            Err(failure) => return self.cut(&failure, &Admitted::default()),
        };
        let most = self.core.body_limit(parts.uri.path());
        let body = match timeout(limits.body_timeout, read_body(body, most)).await {
            Ok(Ok(body)) => body,
            Ok(Err(failure)) => return self.cut(&failure, &admitted),
            Err(_) => {
                let late = "the body did not come in time";
                return self.cut(&Failure::new(StatusCode::REQUEST_TIMEOUT, late), &admitted);
            }
        };
        let request = Request::from_parts(parts, body);
        let effect = Effect::default();
        let answer = self.core.handle(&request, &admitted, &effect);
        match timeout(limits.handler_timeout, answer).await {
            Ok(response) => match self.core.answers.hold(response) {
                Ok(response) => response,
                Err(answers::Full) if effect.is_possible() => {
                    self.refusal(&Failure::unsure(), &admitted)
                }
                Err(answers::Full) => self.refusal(&Failure::crowded(), &admitted),
            },
            Err(_) if effect.is_possible() => self.cut(&Failure::unsure(), &admitted),
            Err(_) => {
                let late = "the request took too long; it was not done, try again";
                self.cut(&Failure::busy(late), &admitted)
            }
        }
    }

    fn refusal(&self, failure: &Failure, admitted: &Admitted) -> Response<Bytes> {
        self.core.finish(respond::error(failure), admitted)
    }

    /// An answer to a request that was not read, or not done, to its end; it is the last one of its connection.
    fn cut(&self, failure: &Failure, admitted: &Admitted) -> Response<Bytes> {
        let mut response = self.refusal(failure, admitted);
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

type Io = TokioIo<Secured<WriteTimeout<TcpStream>>>;

/// The HTTP layer refuses smaller buffers.
const SMALLEST_BUFFER: usize = 8 * 1024;

impl<B> Service<Request<B>> for TableServer
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request).await.map(Full::new)) })
    }
}

/// The server as it was reached on one connection.
#[derive(Debug)]
struct Reached {
    server: TableServer,
    peer: Peer,
}

impl Service<Request<Incoming>> for Reached {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.server.call(request)
    }
}

async fn read_body<B>(body: B, limit: usize) -> Result<Bytes, Failure>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Failure::too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::too_large(limit)),
        Err(_) => Err(Failure::bad_request("the body broke off")),
    }
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => return Ok((stream, remote, permit)),
            Err(error) => match error.kind() {
                // The client went away before it was accepted.
                io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted => {}
                io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected => return Err(error),
                // Most likely no more file descriptors: they come back when connections end.
                _ => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}
