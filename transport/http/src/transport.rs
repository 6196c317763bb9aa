//! The transport itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use synctable_core::query::Query;
use synctable_core::transport::{
    Change, Outcome, PageCursor, Rejection, RemotePage, Transport, TransportCapabilities,
    TransportError, TransportErrorKind as Kind,
};
use synctable_core::{Record, RecordId, TableName};

use crate::auth::{AuthHeader, TokenProvider};
use crate::builder::HttpTransportBuilder;
use crate::client::{Answer, Client};
use crate::dialect::{Call, Wire};
use crate::header::{self, OPERATION_ID, OPERATION_IDS, ORDERED};
use crate::outcome;
use crate::page::{self, Listing, ListingError, RowLimits};
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
    base: BaseUrl,
    paths: BTreeMap<TableName, String>,
    wire: &'static dyn Wire,
    headers: HeaderMap,
    auth: Option<(Arc<dyn TokenProvider>, AuthHeader)>,
    client: Client,
    limits: RowLimits,
    operation_ids: AtomicBool,
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
        }
    }

    /// The path of a table, from the root.
    fn table_path(&self, table: &TableName) -> String {
        match self.paths.get(table) {
            Some(path) => path.clone(),
            None => self.base.path(&format!("/tables/{table}")),
        }
    }

    /// Sends a request with credentials; a refused token is refreshed once.
    async fn send(
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
        let mut request = Request::new(Full::new(Bytes::from(body)));
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

    /// Asks for the first page. A server that refuses a page of the size wished is asked for one of its own size.
    async fn first_page(
        &self,
        table: &TableName,
        query: &Query,
        wish: Option<u64>,
    ) -> Result<(Call, Answer), TransportError> {
        let top = [query.top, wish].into_iter().flatten().min();
        let call = page_call(self.wire.query(query, top)?);
        let answer = self.send(table, &call, &HeaderMap::new()).await?;
        if answer.status != 400 || wish.is_none() {
            return Ok((call, answer));
        }
        let call = page_call(self.wire.query(query, query.top)?);
        let answer = self.send(table, &call, &HeaderMap::new()).await?;
        Ok((call, answer))
    }

    /// The most rows wanted in a page, where that is less than all rows wanted.
    fn wish(&self, query: &Query) -> Option<u64> {
        let limit = u64::try_from(self.limits.rows).unwrap_or(u64::MAX);
        let page = u64::from(query.page?).min(limit);
        query.top.is_none_or(|top| page < top).then_some(page)
    }

    fn read_page(
        &self,
        answer: &mut Answer,
        table_path: &str,
    ) -> Result<(Listing, Option<PageCursor>), TransportError> {
        if answer.status != 200 {
            return Err(answer.refusal(Kind::BadQuery));
        }
        let body = std::mem::replace(&mut answer.body, Ok(Vec::new()))?;
        let listing = page::listing(&body, self.limits).map_err(|error| match error {
            ListingError::NotAPage(what) => answer.error(Kind::Protocol, &what),
            ListingError::TooManyRows => {
                let what = format!("gave a page of more than {} rows", self.limits.rows);
                answer.error(Kind::TooLarge, &what)
            }
        })?;
        let next = match &listing.link {
            Some(link) if listing.linked => {
                let query = self.base.next_query(table_path, link)?;
                Some(PageCursor::new(&query))
            }
            _ => None,
        };
        Ok((listing, next))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Transport for HttpTransport {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        let call = self.wire.change(change)?;
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
        outcome::of_change(change, answer, limit)
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let call = self.wire.get(id);
        let answer = self.send(table, &call, &HeaderMap::new()).await?;
        outcome::of_get(id, answer, self.limits.bytes)
    }

    async fn page(
        &self,
        table: &TableName,
        query: &Query,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let path = self.table_path(table);
        let wish = self.wish(query);
        let (call, mut answer) = match cursor {
            Some(cursor) => {
                let call = page_call(self.base.next_query(&path, cursor.as_str())?);
                let answer = self.send(table, &call, &HeaderMap::new()).await?;
                (call, answer)
            }
            None => self.first_page(table, query, wish).await?,
        };
        let (listing, next) = self.read_page(&mut answer, &path)?;
        // A page as large as wished ends the request, not the result: no link then says nothing.
        let as_wished = wish.is_some()
            && url::top_of(&call.query)
                .is_some_and(|top| u64::try_from(listing.rows()).is_ok_and(|rows| rows >= top));
        let mut page = RemotePage::default();
        page.last = listing.linked && next.is_none() && !as_wished && self.wire.absent_link_ends();
        page.records = listing.records;
        page.invalid = listing.invalid;
        page.next = next;
        page.total = listing.count;
        page.server_time = header::date(&answer.headers).and_then(header::timestamp);
        page.ordered = says(&answer, &ORDERED, "updatedAt");
        Ok(page)
    }

    fn capabilities(&self) -> TransportCapabilities {
        let mut capabilities = TransportCapabilities::default();
        capabilities.operation_ids = self.operation_ids.load(Ordering::Relaxed);
        capabilities
    }
}

fn page_call(query: String) -> Call {
    Call {
        query,
        ..Call::new(Method::GET, None)
    }
}

/// True where a header of the answer has exactly this value.
fn says(answer: &Answer, name: &http::HeaderName, value: &str) -> bool {
    answer.headers.get(name).is_some_and(|found| found == value)
}
