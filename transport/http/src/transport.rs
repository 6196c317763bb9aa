//! The transport itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::{HeaderMap, HeaderValue, Request};
use synctable_core::query::Query;
use synctable_core::transport::{
    Change, Conflict, Outcome, PageCursor, Rejection, RemotePage, ServerRecord, Transport,
    TransportCapabilities, TransportError, TransportErrorKind as Kind,
};
use synctable_core::{Record, RecordId, TableName};

use crate::auth::{AuthHeader, TokenProvider};
use crate::builder::HttpTransportBuilder;
use crate::client::{Answer, Client};
use crate::dialect::{Call, Dialect, Wire};
use crate::doubts::Trusted;
use crate::header::{self, OPERATION_ID, OPERATION_IDS};
use crate::outcome;
use crate::page::RowLimits;
use crate::paging::page_call;
use crate::url::{self, BaseUrl};

/// The way to a table server over HTTP/1.1.
///
/// Connections are kept and used again. Redirects are not followed, proxies of the environment are not used,
/// and credentials go to the origin of the base URL only. Needs a tokio runtime. Does not try again by itself:
/// wrap it in [`Retry`](synctable_core::transport::Retry) for that.
///
/// ```no_run
/// use synctable_core::TableName;
/// use synctable_core::query::Query;
/// use synctable_core::transport::Transport;
/// use synctable_http::HttpTransport;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = HttpTransport::builder("http://localhost:8080").build()?;
/// let page = transport.page(&TableName::new("todoitem")?, &Query::all(), None).await?;
/// println!("{} records", page.records.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HttpTransport {
    pub(crate) base: BaseUrl,
    paths: BTreeMap<TableName, String>,
    pub(crate) wire: &'static dyn Wire,
    headers: HeaderMap,
    auth: Option<(Arc<dyn TokenProvider>, AuthHeader)>,
    client: Client,
    pub(crate) limits: RowLimits,
    operation_ids: AtomicBool,
    /// The smallest `$top` that the server has refused.
    pub(crate) refused_top: AtomicU64,
    pub(crate) trusted: Trusted,
}

impl HttpTransport {
    /// Starts a transport to the service at `base`, such as `https://example.com` or `http://localhost:8080/api`.
    pub fn builder(base: impl Into<String>) -> HttpTransportBuilder {
        HttpTransportBuilder::new(base.into())
    }

    pub(crate) fn new(
        base: BaseUrl,
        paths: BTreeMap<TableName, String>,
        wire: &'static dyn Wire,
        headers: HeaderMap,
        auth: Option<(Arc<dyn TokenProvider>, AuthHeader)>,
        client: Client,
        limits: RowLimits,
    ) -> Self {
        Self {
            base,
            paths,
            wire,
            headers,
            auth,
            client,
            limits,
            operation_ids: AtomicBool::new(false),
            refused_top: AtomicU64::new(u64::MAX),
            trusted: Trusted::default(),
        }
    }

    /// The path of a table, from the root.
    pub(crate) fn table_path(&self, table: &TableName) -> String {
        match self.paths.get(table) {
            Some(path) => path.clone(),
            None => self.base.path(&format!("/tables/{table}")),
        }
    }

    /// Sends a request with credentials; a refused token is refreshed once.
    pub(crate) async fn send(
        &self,
        table: &TableName,
        call: &Call,
        conditions: &HeaderMap,
    ) -> Result<Answer, TransportError> {
        let Some((provider, header)) = &self.auth else {
            return self.send_once(table, call, conditions, None).await;
        };
        let token = self.token(provider, false).await?;
        let credentials = token.as_deref().map(|token| (*header, token));
        let answer = self.send_once(table, call, conditions, credentials).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        match self.token(provider, true).await? {
            Some(fresh) if Some(&fresh) != token.as_ref() => {
                let credentials = Some((*header, fresh.as_str()));
                self.send_once(table, call, conditions, credentials).await
            }
            _ => Ok(answer),
        }
    }

    async fn token(
        &self,
        provider: &Arc<dyn TokenProvider>,
        refresh: bool,
    ) -> Result<Option<String>, TransportError> {
        provider.token(refresh).await.map_err(|error| {
            let message = "the token provider gave no token; sign in again";
            TransportError::new(Kind::Unauthorized, message).with_source(error)
        })
    }

    async fn send_once(
        &self,
        table: &TableName,
        call: &Call,
        conditions: &HeaderMap,
        credentials: Option<(AuthHeader, &str)>,
    ) -> Result<Answer, TransportError> {
        let mut path = self.table_path(table);
        if let Some(id) = &call.id {
            path = url::item_path(&path, id);
        }
        let body = call.body.clone().unwrap_or_default();
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = self.base.uri(&path, &call.query)?;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.extend(conditions.clone());
        if call.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some((header, token)) = credentials {
            header.set(token, headers)?;
        }
        let answer = self.client.send(request, self.base.show(&path)).await?;
        tracing::debug!(method = %call.method, place = answer.place, status = answer.status.as_u16());
        if says(&answer, &OPERATION_IDS, "1") {
            self.operation_ids.store(true, Ordering::Relaxed);
        }
        Ok(answer)
    }

    /// Sends the one request of a change, or finds out that there is nothing to send.
    async fn apply_one(
        &self,
        table: &TableName,
        change: &Change,
    ) -> Result<Outcome, TransportError> {
        let Some(call) = self.wire.change(change)? else {
            return self.untouched(table, change).await;
        };
        let limit = self.limits.bytes;
        if call.body.as_ref().is_some_and(|body| body.len() > limit) {
            let message = format!("the record is larger than {limit} bytes; it was not sent");
            return Ok(Outcome::Rejected(Rejection::new(None, message)));
        }
        let mut conditions = HeaderMap::new();
        if let Some(version) = &change.if_match {
            conditions.insert(IF_MATCH, header::entity_tag(version)?);
        }
        if let Some(key) = &change.operation_id {
            conditions.insert(OPERATION_ID, header::value(key, "the operation id")?);
        }
        let answer = self.send(table, &call, &conditions).await?;
        outcome::of_change(change, answer, limit, self.wire.habits().missing_is_gone)
    }

    /// A change that changes nothing: done, if the server's record still is the one on which it is based.
    async fn untouched(
        &self,
        table: &TableName,
        change: &Change,
    ) -> Result<Outcome, TransportError> {
        Ok(match self.get(table, &change.id).await? {
            Some(server)
                if !server.is_deleted()
                    && (change.if_match.is_none()
                        || server.version() == change.if_match.as_ref()) =>
            {
                Outcome::Applied(Some(server))
            }
            Some(server) => Outcome::Conflict(Conflict::new(ServerRecord::Known(server))),
            None => Outcome::Conflict(Conflict::new(ServerRecord::Gone)),
        })
    }

    /// Asks a server of an unknown kind which one it is.
    pub(crate) async fn ask_dialect(&self, table: &TableName) -> Result<Dialect, TransportError> {
        let call = page_call("$top=1".to_owned());
        let answer = self.send(table, &call, &HeaderMap::new()).await?;
        let body = answer.body.as_deref().unwrap_or_default();
        Dialect::detect(answer.status, &answer.headers, body).ok_or_else(|| {
            match answer.status.as_u16() {
                200..=299 => answer.error(
                    Kind::Protocol,
                    "gave something that is not a page; check the base URL",
                ),
                _ => answer.refusal(Kind::Protocol),
            }
        })
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Transport for HttpTransport {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let outcome = self.apply_one(table, change).await?;
        if let Outcome::Applied(Some(server)) = &outcome
            && let Some(rest) = self.wire.rest(change, server)?
        {
            // Should this be lost, the server has the record on another version than the change is based on: a conflict.
            return self.apply_one(table, &rest).await;
        }
        Ok(outcome)
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let call = self.wire.get(id)?;
        let mut answer = self.send(table, &call, &HeaderMap::new()).await?;
        if call.id.is_some() {
            return outcome::of_get(id, answer, self.limits.bytes);
        }
        let (listing, _) = self.read_page(&mut answer, &self.table_path(table))?;
        if let Some(row) = listing.invalid.first() {
            let what = format!("gave something that is not a record: {}", row.reason);
            return Err(answer.error(Kind::Protocol, &what));
        }
        Ok(listing.records.into_iter().find(|record| record.id() == id))
    }

    async fn page(
        &self,
        table: &TableName,
        query: &Query,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        self.read(table, query, cursor).await
    }

    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::default();
        capabilities.operation_ids = self.operation_ids.load(Ordering::Relaxed);
        capabilities
    }
}

/// True where a header of the answer has exactly this value.
pub(crate) fn says(answer: &Answer, name: &http::HeaderName, value: &str) -> bool {
    answer.headers.get(name).is_some_and(|found| found == value)
}
