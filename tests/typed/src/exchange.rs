//! The server as what the HTTP transport sends its requests over.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use synctable_core::transport::{TransportError, TransportErrorKind};
use synctable_http::Exchange;

use crate::{Lost, TypedServer};

#[async_trait]
impl Exchange for TypedServer {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.send(&request).map_err(|lost| {
            let kind = match lost {
                Lost::Connection => TransportErrorKind::Unreachable,
                Lost::Request => TransportErrorKind::Broken,
                Lost::Answer => TransportErrorKind::Timeout,
            };
            TransportError::new(kind, lost.to_string())
        })
    }
}
