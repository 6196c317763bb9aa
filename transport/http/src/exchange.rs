//! Requests that go another way than over our sockets.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use synctable_core::transport::TransportError;

/// One request, one answer: the seam below [`HttpTransport`](crate::HttpTransport), for HTTP stacks that a platform brings, for
/// servers in the same process, and for simulations.
///
/// An `Err` means that it is not known whether the server did what was asked; a body that broke off is one, too. Its kind is
/// [`Unreachable`](synctable_core::transport::TransportErrorKind::Unreachable) only where no connection could be made, so that
/// nothing can have been sent; after that it is [`Broken`](synctable_core::transport::TransportErrorKind::Broken) or
/// [`Timeout`](synctable_core::transport::TransportErrorKind::Timeout). Redirects are not to be followed, and nothing is to be
/// sent twice.
///
/// ```
/// use std::sync::Arc;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use synctable_core::TableName;
/// use synctable_core::query::RemoteQuery;
/// use synctable_core::transport::{Transport, TransportError};
/// use synctable_http::{Exchange, HttpTransport};
///
/// #[derive(Debug)]
/// struct Nothing;
///
/// #[async_trait::async_trait]
/// impl Exchange for Nothing {
///     async fn exchange(&self, _: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
///         Ok(Response::new(r#"{"items": []}"#.into()))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let transport = HttpTransport::builder("http://in.process").exchange(Arc::new(Nothing)).build().unwrap();
/// let page = transport.page(&TableName::new("todo").unwrap(), &RemoteQuery::all(), None).await.unwrap();
/// assert!(page.records.is_empty());
/// # });
/// ```
#[async_trait]
pub trait Exchange: Debug + Send + Sync + 'static {
    /// Sends the request and reads the answer to its end.
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError>;
}
