//! The server's end: hyper, and what stands before the server.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SERVER};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use synctable_server::TableServer;

use crate::line::End;

/// What nginx 1.22 says to a body that is larger than `client_max_body_size`, byte for byte.
pub const TOO_LARGE: &str = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n\
     <body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n\
     <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

/// What stands between the line and the server.
#[derive(Debug, Clone, Default)]
pub struct Gateway {
    /// The largest body that it lets through, as it comes; it judges by the head, as nginx does, and reads no more then.
    pub body: Option<usize>,
    /// Headers that it takes out of requests.
    pub unheard: Vec<HeaderName>,
    /// Headers that it takes out of answers.
    pub unsaid: Vec<HeaderName>,
}

/// A server with its gateway.
#[derive(Debug)]
pub struct FarEnd {
    server: TableServer,
    gateway: Gateway,
}

impl FarEnd {
    /// The server, behind the gateway.
    pub fn new(server: TableServer, gateway: Gateway) -> Arc<Self> {
        Arc::new(Self { server, gateway })
    }

    /// Serves a connection until it ends.
    pub fn serve(self: &Arc<Self>, end: End) {
        let far = Arc::clone(self);
        let service = service_fn(move |request| {
            let far = Arc::clone(&far);
            async move { far.answer(request).await }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(end), service);
        tokio::spawn(async move { drop(connection.await) });
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if self
            .gateway
            .body
            .zip(length)
            .is_some_and(|(most, length)| length > most)
        {
            return Ok(too_large());
        }
        let (mut head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            // Its connection is gone.
            return Ok(Response::default());
        };
        for name in &self.gateway.unheard {
            head.headers.remove(name);
        }
        let request = Request::from_parts(head, body.to_bytes());
        let mut answer = self.server.handle(request).await;
        for name in &self.gateway.unsaid {
            answer.headers_mut().remove(name);
        }
        Ok(answer.map(Full::new))
    }
}

fn too_large() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(TOO_LARGE));
    *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("nginx"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
