//! The transport.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use synctable_core::query::{Cursor, Evaluator, RemoteQuery, page_of};
use synctable_core::transport::{
    Change, ChangeFeed, ChangeKind, Conflict, ConflictCause, FeedAnswer, FeedChange, FeedNext,
    FeedPage, FeedToken, Outcome, PageCursor, Rejection, RemotePage, ServerRecord, Transport,
    TransportError, TransportErrorKind,
};
use synctable_core::{Record, RecordId, TableName, TableSchema};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::document::{AllDocs, Changes, Refused, Written, at, change_of, is_design, record_of};

/// The longest answer that is read.
const MAX_ANSWER: usize = 16 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The way to a server that speaks like `CouchDB`, by plain HTTP. Each table is a database of its name.
///
/// Queries are judged here, as the server has no such language: a page reads the whole database, and so do pulls in full and audits.
/// Pulls with a name follow `_changes`, where a document that does not match has left the query.
#[derive(Debug, Clone)]
pub struct CouchTransport {
    address: String,
}

struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl CouchTransport {
    /// The way to `address`, as in `127.0.0.1:5984`.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
        }
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> Result<Answer, TransportError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| failed(TransportErrorKind::BadRequest, error))?;
        let exchange = async {
            let stream = TcpStream::connect(&self.address)
                .await
                .map_err(|error| failed(TransportErrorKind::Unreachable, error))?;
            let broken = |error| failed(TransportErrorKind::Broken, error);
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
            let connection = AbortOnDrop(tokio::spawn(connection));
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
            let body = body.await.map_err(|error| {
                let message = error.to_string();
                TransportError::new(TransportErrorKind::Broken, message).with_source(error)
            })?;
            drop(connection);
            let body = body.to_bytes();
            Ok(Answer { status, body })
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| {
            let message = "no answer came in time";
            Err(TransportError::new(TransportErrorKind::Timeout, message))
        })
    }

    async fn read(&self, path: &str) -> Result<Answer, TransportError> {
        let answer = self.send(Method::GET, path, "").await?;
        match answer.status.as_u16() {
            200 => Ok(answer),
            404 if !answer.is_about_the_database() => Ok(answer),
            _ => Err(answer.error()),
        }
    }
}

/// A connection ends with the request that it was made for, also where that is dropped.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, TransportError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| failed(TransportErrorKind::Protocol, error).with_status(self.status()))
    }

    fn owned<T: DeserializeOwned + Default>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// "Not found" of a document says `missing` or `deleted`; any other is about the database.
    fn is_about_the_database(&self) -> bool {
        let reason = self.owned::<Refused>().reason;
        reason != "missing" && reason != "deleted"
    }

    /// An answer that says nothing about a record.
    fn error(&self) -> TransportError {
        use TransportErrorKind as Kind;
        let kind = match self.status() {
            401 => Kind::Unauthorized,
            403 => Kind::Forbidden,
            404 => Kind::UnknownTable,
            408 | 429 | 503 => Kind::Busy,
            502 | 504 => Kind::Gateway,
            500.. => Kind::Failed,
            _ => Kind::Protocol,
        };
        let message = format!("the server answers {}", self.status);
        TransportError::new(kind, message).with_status(self.status())
    }

    fn refusal(&self) -> Rejection {
        Rejection::new(Some(self.status()), self.owned::<Refused>().reason)
    }
}

#[async_trait]
impl Transport for CouchTransport {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let mut path = document(table, &change.id);
        // An insert names no revision: there must be none, or a deleted one.
        if let Some(rev) = &change.if_match {
            path = format!("{path}?rev={}", encoded(rev.as_str()));
        }
        let (method, body) = match &change.record {
            Some(record) => (Method::PUT, record.body()),
            None => (Method::DELETE, ""),
        };
        let answer = self.send(method, &path, body).await?;
        Ok(match answer.status() {
            200..=202 => {
                let written: Written = answer.json()?;
                let now = change.record.clone();
                Outcome::Applied(now.map(|record| at(record, &written.rev)))
            }
            404 if !answer.is_about_the_database() => Outcome::Missing,
            409 => {
                // It does not say with what; the engine asks.
                let cause = match change.kind {
                    ChangeKind::Insert => ConflictCause::Existing,
                    _ => ConflictCause::Version,
                };
                let conflict = Conflict::new(ServerRecord::Unknown);
                Outcome::Conflict(conflict.with_cause(cause, answer.refusal()))
            }
            400 | 403 | 413 | 415 => Outcome::Rejected(answer.refusal()),
            _ => return Err(answer.error()),
        })
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let answer = self.read(&document(table, id)).await?;
        if answer.status != StatusCode::OK {
            return Ok(None);
        }
        let doc: &RawValue = answer.json()?;
        let record = record_of(id.as_str(), doc.get());
        let unusable = |reason| TransportError::new(TransportErrorKind::Protocol, reason);
        record.map(Some).map_err(|row| unusable(row.reason))
    }

    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let path = format!("/{table}/_all_docs?include_docs=true");
        let answer = self.read(&path).await?;
        let all: AllDocs<'_> = answer.json()?;
        let mut page = RemotePage::default();
        let mut records = Vec::new();
        for row in all.rows.iter().filter(|row| !is_design(&row.id)) {
            match record_of(&row.id, row.doc.get()) {
                Ok(record) => records.push(Ok(record)),
                Err(invalid) => page.invalid.push(invalid),
            }
        }
        let mut query = query.query.clone();
        query.after = cursor.map(|cursor| Cursor::from_text(cursor.as_str()));
        let found = page_of(&query, &TableSchema::new(), records)
            .map_err(|error| failed(TransportErrorKind::BadQuery, error))?;
        page.records = found.records;
        page.last = found.next.is_none();
        page.next = found.next.map(|next| PageCursor::new(next.as_str()));
        Ok(page)
    }

    fn feed(&self, _: &TableName) -> Option<&dyn ChangeFeed> {
        Some(self)
    }

    fn address(&self) -> Option<String> {
        Some(self.address.clone())
    }
}

#[async_trait]
impl ChangeFeed for CouchTransport {
    async fn changes(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        from: Option<&FeedToken>,
    ) -> Result<FeedAnswer, TransportError> {
        let since = from.map_or("0", FeedToken::as_str);
        let mut path = format!(
            "/{table}/_changes?include_docs=true&since={}",
            encoded(since)
        );
        if let Some(limit) = query.query.page {
            path = format!("{path}&limit={limit}");
        }
        let answer = self.send(Method::GET, &path, "").await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::GONE => return Ok(FeedAnswer::Expired),
            _ => return Err(answer.error()),
        }
        let changes: Changes<'_> = answer.json()?;
        let token = changes.last_seq.get();
        let token: String = serde_json::from_str(token).unwrap_or_else(|_| token.to_owned());
        let token = FeedToken::new(&token)?;
        let next = if changes.pending == 0 {
            FeedNext::Done(token)
        } else {
            FeedNext::Position(token)
        };
        let mut page = FeedPage::new(Vec::new(), next);
        page.total = Some(changes.pending + changes.results.len() as u64);
        let schema = TableSchema::new();
        let evaluator = Evaluator::new(&schema);
        for row in changes.results.iter().filter(|row| !row.is_design()) {
            match change_of(row) {
                Ok(FeedChange::Row(record)) if !record.is_deleted() => {
                    let filter = query.query.filter.as_ref();
                    let matches = filter.is_none_or(|it| evaluator.matches(it, &record));
                    page.changes.push(if matches {
                        FeedChange::Row(record)
                    } else {
                        FeedChange::Left(record.id().clone())
                    });
                }
                Ok(change) => page.changes.push(change),
                Err(invalid) => page.invalid.push(invalid),
            }
        }
        Ok(FeedAnswer::Page(page))
    }
}

fn document(table: &TableName, id: &RecordId) -> String {
    format!("/{table}/{}", encoded(id.as_str()))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn failed(
    kind: TransportErrorKind,
    error: impl std::error::Error + Send + Sync + 'static,
) -> TransportError {
    TransportError::new(kind, error.to_string()).with_source(error)
}
