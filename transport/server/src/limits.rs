//! What one request, one connection and the whole server may use.

use std::time::Duration;

use http::HeaderValue;
use synctable_core::query::odata;

/// Bounds that keep a careless or hostile client from using up the server. All are on by default.
///
/// ```
/// use synctable_server::Limits;
/// let mut limits = Limits::default();
/// limits.body = 64 * 1024;
/// assert_eq!(limits.connections, 1024);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request body, packed and unpacked, and so of a record. Default 1 MiB; more is answered with 413.
    pub body: usize,
    /// Changes in one request to `/tables/$batch`. Default 1000; more are answered with 400. With less than 2 there is no such path.
    pub batch: usize,
    /// Bytes of the body of a request with several changes; each change is bounded by [`body`](Self::body), too. Default 4 MiB; more is answered
    /// with 413.
    pub batch_body: usize,
    /// Changes that are done together or not at all: those of a request with several changes that have one `atomicityGroup`. Default 100; more are
    /// answered with 400. With less than 2 no such group is taken.
    pub unit: usize,
    /// Bytes of the request line and headers together, at least 8 KiB. Default 64 KiB; more is answered with 431.
    pub headers: usize,
    /// Bytes of the request target. Default 32 KiB; more is answered with 414.
    pub target: usize,
    /// Bytes of records in one page; a page that would be larger is cut, at least one record is given.
    /// Default 1 MiB.
    pub page: usize,
    /// Bytes of all answers together that clients have not read yet, and of the records that they are made of. Answers up to 64 KiB do not count:
    /// of them there are no more than connections. Default 256 MiB; where there is no room, 503. A client that does not read gives
    /// its room back after [`write_timeout`](Self::write_timeout).
    pub answers: usize,
    /// Steps that finding the records of one page, or counting them, may take: see
    /// [`Budget::steps`](synctable_core::query::Budget::steps). Default 50 million; more is answered with 400. A table of many
    /// millions of records needs an index for what is asked of it, or a higher bound. Texts that a filter makes are
    /// bounded by [`body`](Self::body).
    pub steps: u64,
    /// Full scans at the same time; further ones wait, while other requests go on. Default 2. A store with threads of its own for them
    /// ([`background_reads`](synctable_core::store::StoreCapabilities::background_reads)) decides by itself.
    pub scans: usize,
    /// Tables that are made on first use. Default 1000; the next one is answered with 404.
    pub tables: usize,
    /// Open connections; further ones wait. Default 1024.
    pub connections: usize,
    /// Time for the request line and headers, and for an idle connection to send the next ones. Default 10 s.
    pub header_timeout: Duration,
    /// Time for the request body. Default 30 s; later is answered with 408.
    pub body_timeout: Duration,
    /// Time for finding the answer. Default 30 s; later is answered with 503, or with 504 where a change may be done.
    pub handler_timeout: Duration,
    /// Time that a client may leave an answer unread. Default 30 s.
    pub write_timeout: Duration,
    /// Time that requests in flight have to finish when the server stops. Default 10 s.
    pub drain_timeout: Duration,
    /// Depth and size of the text of a query; more is answered with 400.
    pub query: odata::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1024 * 1024,
            batch: 1000,
            batch_body: 4 * 1024 * 1024,
            unit: 100,
            headers: 64 * 1024,
            target: 32 * 1024,
            page: 1024 * 1024,
            answers: 256 * 1024 * 1024,
            steps: 50_000_000,
            scans: 2,
            tables: 1000,
            connections: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            handler_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            query: odata::Limits::default(),
        }
    }
}

impl Limits {
    /// Whether several changes may come in one request.
    pub(crate) fn takes_batches(&self) -> bool {
        self.batch >= 2
    }

    /// How many changes may be done together or not at all, for a header.
    pub(crate) fn announced_unit(&self) -> Option<HeaderValue> {
        let most = self.most_of_a_unit();
        (most >= 2).then(|| HeaderValue::from(most))
    }

    /// How many changes may be done together or not at all: none where several do not come in one request.
    pub(crate) fn most_of_a_unit(&self) -> usize {
        self.unit.min(self.batch)
    }

    /// How many changes are taken in one request, and how many bytes of its body, for a header.
    pub(crate) fn announced_batch(&self) -> Option<HeaderValue> {
        let text = format!("{} {}", self.batch, self.batch_body);
        let value = HeaderValue::try_from(text).ok();
        value.filter(|_| self.takes_batches())
    }
}
