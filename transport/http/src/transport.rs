//! The transport itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use synctable_core::query::RemoteQuery;
use synctable_core::transport::{
    BatchAnswer, Change, ChangeFeed, Outcome, PageCursor, RemotePage, Transport,
    TransportCapabilities, TransportError, TransportErrorKind as Kind,
};
use synctable_core::{Record, RecordId, Sleep, TableName};
use synctable_wire::TABLES;
use synctable_wire::parameter::TOP;

use crate::announced::Announced;
use crate::auth::Credentials;
use crate::builder::HttpTransportBuilder;
use crate::client::{Answer, Client};
use crate::dialect::{Call, Dialect, Wire};
use crate::diverted::diverted;
use crate::header::X_ZUMO_AUTH;
use crate::outcome;
use crate::packing::{self, Effort};
use crate::page::RowLimits;
use crate::paging::page_call;
use crate::patience::Waits;
use crate::probes::Trusted;
use crate::sleep::TokioSleep;
use crate::url::{self, BaseUrl};

/// The way to a table server over HTTP/1.1.
///
/// Connections are kept and used again. Redirects are not followed, proxies of the environment are used where
/// [asked for](HttpTransportBuilder::proxies_of_environment), and credentials go to the origin of the base URL only. Needs a tokio runtime. Does not try again by itself, neither after
/// a refused token nor after a failure: that is for the engine, which knows what may be repeated.
///
/// ```no_run
/// use synctable_core::TableName;
/// use synctable_core::query::RemoteQuery;
/// use synctable_core::transport::Transport;
/// use synctable_http::HttpTransport;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = HttpTransport::builder("http://localhost:8080").build()?;
/// let page = transport.page(&TableName::new("todoitem")?, &RemoteQuery::all(), None).await?;
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
    auth: Option<Credentials>,
    client: Client,
    pub(crate) limits: RowLimits,
    pub(crate) announced: Arc<Announced>,
    /// The smallest `$top` that the server has refused.
    pub(crate) refused_top: Arc<AtomicU64>,
    pub(crate) trusted: Arc<Trusted>,
    pub(crate) waits: Arc<AllWaits>,
    /// Requests that go another way need no tokio runtime, so there may be none to wait by.
    pub(crate) sleep: Option<Arc<dyn Sleep>>,
}

/// How long answers are waited for.
#[derive(Debug, Default)]
pub(crate) struct AllWaits {
    pub(crate) batches: Waits,
    /// Reads of one row.
    rows: Waits,
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
        auth: Option<Credentials>,
        client: Client,
        limits: RowLimits,
    ) -> Self {
        let sockets = client.is_over_sockets();
        Self {
            base,
            paths,
            wire,
            headers,
            auth,
            client,
            limits,
            announced: Arc::default(),
            refused_top: Arc::new(AtomicU64::new(u64::MAX)),
            trusted: Arc::default(),
            waits: Arc::default(),
            sleep: sockets.then(|| Arc::new(TokioSleep) as Arc<dyn Sleep>),
        }
    }

    /// The same way to the server, with the credentials of one account. What is known of the server is shared.
    fn of_account(&self, account: &str) -> Self {
        Self {
            base: self.base.clone(),
            paths: self.paths.clone(),
            wire: self.wire,
            headers: self.headers.clone(),
            auth: self.auth.as_ref().map(|auth| auth.of(account)),
            client: self.client.clone(),
            limits: self.limits,
            announced: Arc::clone(&self.announced),
            refused_top: Arc::clone(&self.refused_top),
            trusted: Arc::clone(&self.trusted),
            waits: Arc::clone(&self.waits),
            sleep: self.sleep.clone(),
        }
    }

    /// How to wait, if there is a way.
    pub(crate) fn sleeps(&self) -> Option<&dyn Sleep> {
        self.sleep.as_deref()
    }

    /// The path of a table, from the root.
    pub(crate) fn table_path(&self, table: &TableName) -> String {
        match self.paths.get(table) {
            Some(path) => path.clone(),
            None => self.base.path(&format!("/{TABLES}/{table}")),
        }
    }

    /// The path of a record, or of its table where the request names none.
    pub(crate) fn call_path(&self, table: &TableName, call: &Call) -> String {
        let path = self.table_path(table);
        match &call.id {
            Some(id) => url::item_path(&path, id),
            None => path,
        }
    }

    /// Sends a request about a table with credentials, once. An answer that is not the table server's is an error.
    pub(crate) async fn send(
        &self,
        table: &TableName,
        call: &Call,
        conditions: &HeaderMap,
    ) -> Result<Answer, TransportError> {
        let path = self.call_path(table, call);
        self.send_to(&path, call, conditions, Effort::Usual).await
    }

    /// Sends a request to a path, as [`send`](Self::send) does. A large body is packed where the server says that it takes that; where it does not
    /// after all (415), it has looked at nothing, and the body goes as it is.
    pub(crate) async fn send_to(
        &self,
        path: &str,
        call: &Call,
        conditions: &HeaderMap,
        effort: Effort,
    ) -> Result<Answer, TransportError> {
        let body = call.body.as_deref();
        let packed = body.filter(|_| self.announced.unpacks());
        if let Some(packed) = packed.and_then(|body| packing::packed(body, effort)) {
            let mut conditions = conditions.clone();
            conditions.insert(CONTENT_ENCODING, HeaderValue::from_static(packing::GZIP));
            let answer = self.send_body(path, call, &conditions, packed).await?;
            if answer.status != StatusCode::UNSUPPORTED_MEDIA_TYPE {
                return Ok(answer);
            }
            self.announced.does_not_unpack();
        }
        let body = body.unwrap_or_default().as_bytes().to_vec();
        self.send_body(path, call, conditions, body).await
    }

    async fn send_body(
        &self,
        path: &str,
        call: &Call,
        conditions: &HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, TransportError> {
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = self.base.uri(path, &call.query)?;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.extend(conditions.clone());
        if call.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(credentials) = &self.auth {
            credentials.set(headers).await?;
        }
        let signed = self.auth.is_some()
            || headers.contains_key(AUTHORIZATION)
            || headers.contains_key(X_ZUMO_AUTH);
        let answer = self.client.send(request, self.base.show(path)).await?;
        tracing::debug!(method = %call.method, place = answer.place, status = answer.status.as_u16());
        if let Some(error) = diverted(&answer, &self.base, path, signed) {
            return Err(error);
        }
        self.announced.note(answer.status, &answer.headers);
        Ok(answer)
    }

    /// Asks a server of an unknown kind which one it is.
    pub(crate) async fn ask_dialect(&self, table: &TableName) -> Result<Dialect, TransportError> {
        let call = page_call(format!("{TOP}=1"));
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
        self.send_change(table, change).await
    }

    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        self.send_together(changes).await
    }

    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        let call = self.wire.get(id)?;
        let headers = HeaderMap::new();
        let answer = self.send(table, &call, &headers);
        let mut answer = self.waits.rows.answer(self.sleeps(), 1, answer).await?;
        if call.id.is_some() {
            return outcome::of_get(id, answer, self.limits.bytes);
        }
        let listing = self.read_page(&mut answer)?;
        if let Some(row) = listing.invalid.first() {
            let what = format!("gave something that is not a record: {}", row.reason);
            return Err(answer.error(Kind::Protocol, &what));
        }
        Ok(listing.records.into_iter().find(|record| record.id() == id))
    }

    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        let page = self.read(table, query, cursor);
        if query.query.top == Some(1) && cursor.is_none() {
            return self.waits.rows.answer(self.sleeps(), 1, page).await;
        }
        page.await
    }

    fn feed(&self, _: &TableName) -> Option<&dyn ChangeFeed> {
        // Table servers have times, and no position of their own.
        None
    }

    fn capabilities(&self) -> TransportCapabilities {
        let mut known = self.announced.get();
        known.partial_updates &= self.wire.quirks().sends_members;
        known
    }

    fn address(&self) -> Option<String> {
        Some(self.base.normalised())
    }

    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(self.of_account(account)))
    }

    fn begin_push(&self) {
        self.announced.forget();
    }

    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        match &self.auth {
            Some(credentials) => credentials.renew().await,
            None => Ok(false),
        }
    }

    fn sleep(&self) -> Option<Arc<dyn Sleep>> {
        self.sleep.clone()
    }
}
