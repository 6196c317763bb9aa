//! Time limits around any connector: one for the connection to be made (TLS included), one for silence on it.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::{Instant, Sleep};
use tower_service::Service;

/// A connector with time limits. They show as [`io::ErrorKind::TimedOut`].
#[derive(Debug, Clone)]
pub(crate) struct Timed<C> {
    pub(crate) inner: C,
    pub(crate) connect: Duration,
    pub(crate) idle: Duration,
    /// Whether it leads to a proxy that reads the requests and passes them on: it has to be told the whole URL.
    pub(crate) forwarded: bool,
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = TimedStream<C::Response>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connect, idle, forwarded) = (self.connect, self.idle, self.forwarded);
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(connect, connecting).await {
                Ok(Ok(inner)) => Ok(TimedStream {
                    inner,
                    idle,
                    forwarded,
                    silence: Box::pin(tokio::time::sleep(idle)),
                }),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(timed_out().into()),
            }
        })
    }
}

/// A connection that fails when nothing was read or written for a while. A pooled one is closed that way, too.
#[derive(Debug)]
pub(crate) struct TimedStream<S> {
    inner: S,
    idle: Duration,
    forwarded: bool,
    silence: Pin<Box<Sleep>>,
}

impl<S> TimedStream<S> {
    /// Starts the silence anew.
    fn heard(&mut self) {
        if let Some(deadline) = Instant::now().checked_add(self.idle) {
            self.silence.as_mut().reset(deadline);
        }
    }
}

impl<S: Read + Unpin> Read for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(read) => {
                self.heard();
                Poll::Ready(read)
            }
            Poll::Pending => {
                ready!(self.silence.as_mut().poll(cx));
                Poll::Ready(Err(timed_out()))
            }
        }
    }
}

impl<S: Write + Unpin> Write for TimedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf));
        self.heard();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs));
        self.heard();
        Poll::Ready(written)
    }
}

impl<S: Connection> Connection for TimedStream<S> {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.forwarded)
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use std::future::{Pending, pending};

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);
    const ALMOST: Duration = Duration::from_secs(9);

    fn stream() -> (TokioIo<TimedStream<TokioIo<DuplexStream>>>, DuplexStream) {
        let (near, far) = duplex(4);
        let stream = TimedStream {
            inner: TokioIo::new(near),
            idle: IDLE,
            forwarded: false,
            silence: Box::pin(tokio::time::sleep(IDLE)),
        };
        (TokioIo::new(stream), far)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection() {
        let (mut near, _far) = stream();
        let start = Instant::now();
        let error = near.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn each_byte_read_starts_the_silence_anew() {
        let (mut near, mut far) = stream();
        let start = Instant::now();
        let drip = async {
            for byte in 0..5 {
                tokio::time::sleep(ALMOST).await;
                far.write_u8(byte).await.unwrap();
            }
            pending::<()>().await;
        };
        let read = async {
            for byte in 0..5 {
                assert_eq!(near.read_u8().await.unwrap(), byte);
            }
            near.read_u8().await.unwrap_err()
        };
        let error = tokio::select! { error = read => error, () = drip => unreachable!() };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), 5 * ALMOST + IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn each_byte_written_starts_the_silence_anew() {
        let (mut near, _far) = stream();
        tokio::time::sleep(ALMOST).await;
        let start = Instant::now();
        near.write_u8(1).await.unwrap();
        assert!(near.read_u8().await.is_err());
        assert_eq!(start.elapsed(), IDLE);
    }

    /// Never connects.
    struct Nowhere;

    impl Service<Uri> for Nowhere {
        type Response = TokioIo<DuplexStream>;
        type Error = io::Error;
        type Future = Pending<Result<Self::Response, io::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Uri) -> Self::Future {
            pending()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connecting_has_an_end() {
        let connect = Duration::from_secs(5);
        let mut connector = Timed {
            inner: Nowhere,
            connect,
            idle: IDLE,
            forwarded: false,
        };
        let start = Instant::now();
        let error = connector
            .call(Uri::from_static("http://h/"))
            .await
            .unwrap_err();
        let error = error.downcast::<io::Error>().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), connect);
    }

    #[tokio::test]
    async fn an_endless_limit_is_no_panic() {
        let (mut near, mut far) = duplex(4);
        far.write_u8(1).await.unwrap();
        let mut stream = TokioIo::new(TimedStream {
            inner: TokioIo::new(&mut near),
            idle: Duration::MAX,
            forwarded: false,
            silence: Box::pin(tokio::time::sleep(Duration::MAX)),
        });
        assert_eq!(stream.read_u8().await.unwrap(), 1);
    }
}
