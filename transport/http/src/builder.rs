//! The options of a transport.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use synctable_core::transport::{TransportError, TransportErrorKind};
use synctable_core::{Sleep, TableName};
use synctable_wire::header as names;

use crate::auth::{AuthHeader, Credentials, FixedToken, TokenProvider};
use crate::client::Client;
use crate::dialect::{AGENT, Dialect};
use crate::exchange::Exchange;
use crate::header::{self, X_ZUMO_INSTALLATION_ID};
use crate::page::RowLimits;
use crate::proxy::Proxies;
use crate::tls::TlsOptions;
use crate::transport::HttpTransport;
use crate::url::{self, BaseUrl};

/// Headers that frame a request or state its conditions; the transport alone sets them.
const OWN_HEADERS: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-match",
    "if-none-match",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    names::OPERATION_ID,
    names::API_VERSION,
];

/// Headers whose values are credentials, however they are given.
const CREDENTIALS: [&str; 6] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "x-functions-key",
    names::AUTH,
];

/// The smallest limit for the head of an answer that the HTTP library takes.
const LEAST_HEAD: usize = 8 * 1024;

/// Times and sizes; all are finite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    pub(crate) idle: Duration,
    pub(crate) total: Duration,
    pub(crate) head: usize,
    pub(crate) body: usize,
    pub(crate) row: RowLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(15),
            total: Duration::from_secs(30),
            head: 64 * 1024,
            body: 32 * 1024 * 1024,
            row: RowLimits {
                rows: 10_000,
                bytes: 1024 * 1024,
            },
        }
    }
}

/// Collects the options of an [`HttpTransport`]; [`build`](Self::build) checks them all.
///
/// ```
/// use std::time::Duration;
/// use synctable_http::{AuthHeader, HttpTransport};
///
/// let transport = HttpTransport::builder("https://example.com/api")
///     .token("the-token-of-the-user", AuthHeader::Bearer)
///     .header("X-App-Version", "1.2.0")
///     .timeout(Duration::from_secs(60))
///     .root_certificates([])
///     .build();
/// # assert!(transport.is_ok() || transport.unwrap_err().to_string().contains("root certificates"));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct HttpTransportBuilder {
    base: String,
    dialect: Dialect,
    headers: Vec<(String, HeaderText)>,
    plain_tokens: bool,
    auth: Option<(Arc<dyn TokenProvider>, AuthHeader)>,
    paths: Vec<(TableName, String)>,
    tls: TlsOptions,
    proxies: Proxies,
    limits: Limits,
    gzip: bool,
    exchange: Option<Arc<dyn Exchange>>,
    sleep: Option<Arc<dyn Sleep>>,
}

/// The value of a header that may be a secret, and whether it is known to be one.
#[derive(Clone)]
struct HeaderText {
    value: String,
    secret: bool,
}

impl std::fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl HttpTransportBuilder {
    pub(crate) fn new(base: String) -> Self {
        Self {
            base,
            dialect: Dialect::default(),
            headers: Vec::new(),
            plain_tokens: false,
            auth: None,
            paths: Vec::new(),
            tls: TlsOptions::default(),
            proxies: Proxies::None,
            limits: Limits::default(),
            gzip: false,
            exchange: None,
            sleep: None,
        }
    }

    /// With the dialect of the server; [`Dialect::Toolkit`] where not said.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// With the dialect that the server's answer to a request for one record of `table` tells, see [`Dialect::detect`].
    ///
    /// Applications keep what they found: the server need not be asked, or be there, the next time.
    ///
    /// # Errors
    /// A bad option, a server that cannot be reached, or an answer that does not tell; its message says what came instead.
    pub async fn detect(self, table: &TableName) -> Result<Self, TransportError> {
        // Neither version header nor anything else that only one of them would take.
        let asking = Self {
            dialect: Dialect::Toolkit,
            ..self.clone()
        };
        let dialect = asking.build()?.ask_dialect(table).await?;
        Ok(self.dialect(dialect))
    }

    /// The dialect so far: the one that was set or [detected](Self::detect).
    pub fn chosen_dialect(&self) -> Dialect {
        self.dialect
    }

    /// With an id of this installation of the application, for servers of Azure Mobile Apps that send notifications to it
    /// or tell installations apart in their logs (`X-ZUMO-INSTALLATION-ID`). None is sent where not said.
    pub fn installation_id(self, id: impl Into<String>) -> Self {
        self.header(X_ZUMO_INSTALLATION_ID.as_str(), id)
    }

    /// With answers that the server may compress (`Accept-Encoding: gzip`); not where not said. The
    /// [limit](Self::body_limit) of a body is for what comes out, so a small answer cannot become a large one.
    ///
    /// Large bodies of requests are compressed in any case, where the server's answers say that it takes that (`Accept-Encoding: gzip`), and
    /// answers to several changes in one request may be. Both are so with little work where the last such request took 250 ms at most, and not at all
    /// where the host is this machine by its name and the last one took a second at most.
    pub fn gzip(mut self, allowed: bool) -> Self {
        self.gzip = allowed;
        self
    }

    /// With a header on each request. Headers that frame the request (such as `Content-Length`) are refused.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.push_header(name.into(), value.into(), false)
    }

    /// With a header whose value is a secret, such as the key of an API: as [`header`](Self::header), and it goes where a token may go
    /// (see [`allow_plain_tokens`](Self::allow_plain_tokens)). `Authorization`, `Cookie`, `X-API-Key` and their like are secrets anyway.
    pub fn secret_header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.push_header(name.into(), value.into(), true)
    }

    fn push_header(mut self, name: String, value: String, secret: bool) -> Self {
        self.headers.push((name, HeaderText { value, secret }));
        self
    }

    /// With a token that never changes.
    pub fn token(self, token: impl Into<String>, header: AuthHeader) -> Self {
        self.auth(Arc::new(FixedToken(token.into())), header)
    }

    /// With tokens from `provider`. It is asked for a new one where the engine wants other credentials after a 401.
    /// A [`UserToken`](crate::UserToken) is one that the application sets as users sign in and out.
    pub fn auth(mut self, provider: Arc<dyn TokenProvider>, header: AuthHeader) -> Self {
        self.auth = Some((provider, header));
        self
    }

    /// With tokens and secret headers that may go to another machine over plain `http://`, where everybody on the way can read them. Not
    /// where not said: [`build`](Self::build) refuses them then. This machine (`localhost`, `127.0.0.1`, `[::1]`) may always be asked so.
    pub fn allow_plain_tokens(mut self, allowed: bool) -> Self {
        self.plain_tokens = allowed;
        self
    }

    /// True where a token or a secret header would go to another machine over plain `http://`, whether or not that is
    /// [allowed](Self::allow_plain_tokens).
    pub fn would_expose_secrets(&self) -> bool {
        let is_secret = |(name, text): &(String, HeaderText)| text.secret || is_secret_header(name);
        (self.auth.is_some() || self.headers.iter().any(is_secret))
            && BaseUrl::parse(&self.base).is_ok_and(|base| !base.is_https() && !base.is_loopback())
    }

    /// With the records of `table` at `path` under the base URL; `/tables/{table}` where not said.
    pub fn table_path(mut self, table: TableName, path: impl Into<String>) -> Self {
        self.paths.push((table, path.into()));
        self
    }

    /// With root certificates (DER) that are trusted instead of those of the platform; none keeps the platform's.
    pub fn root_certificates(mut self, roots: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.tls.roots.extend(roots);
        self
    }

    /// With the root certificates of a PEM file, such as those of a company, that are trusted beside those of the platform (or beside
    /// [`root_certificates`](Self::root_certificates)).
    pub fn trust_also(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.more.push(pem.into());
        self
    }

    /// With a certificate that servers are shown who ask for one, with those above it, and its key, both as PEM.
    pub fn client_certificate(
        mut self,
        certificates: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.client = Some((certificates.into(), key.into()));
        self
    }

    /// With requests that go by the HTTP proxy at `url`, `http://[USER:PASSWORD@]HOST:PORT`, but for those to this machine itself. `https` goes
    /// through it unread; what goes over plain `http` it reads. Its password goes to it in plain.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxies = Proxies::Given(url.into());
        self
    }

    /// With the proxy that `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` names (or the same in lower case), but for hosts that `NO_PROXY` names and
    /// for this machine itself. Without it these variables are not looked at.
    pub fn proxies_of_environment(mut self) -> Self {
        self.proxies = Proxies::Environment;
        self
    }

    /// With the longest time for a connection to be made; 5 s where not said.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.limits.connect = time;
        self
    }

    /// With the longest silence on a connection, between any two bytes; 15 s where not said.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.limits.idle = time;
        self
    }

    /// With the longest time for a request and its answer, all in all; 30 s where not said. A batch of changes, and a read of one row, is given up
    /// before where it is far later than those before it, and asked for again.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.limits.total = time;
        self
    }

    /// With the most bytes of the status line and headers of an answer; 64 KiB where not said, at least 8 KiB.
    /// It is checked between two reads, so a head of up to twice the size may pass.
    pub fn head_limit(mut self, bytes: usize) -> Self {
        self.limits.head = bytes.max(LEAST_HEAD);
        self
    }

    /// With the most bytes of the body of an answer; 32 MiB where not said.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.limits.body = bytes;
        self
    }

    /// With the most rows of a page, at least one; 10,000 where not said. No more are asked for.
    pub fn row_limit(mut self, rows: u32) -> Self {
        self.limits.row.rows = usize::try_from(rows.max(1)).unwrap_or(usize::MAX);
        self
    }

    /// With the most bytes of one record, sent or received; 1 MiB where not said.
    pub fn record_limit(mut self, bytes: usize) -> Self {
        self.limits.row.bytes = bytes;
        self
    }

    /// With requests that go over `exchange` in place of our sockets. The limits of time, of the head and of connections, TLS and
    /// proxies are up to it then.
    pub fn exchange(mut self, exchange: Arc<dyn Exchange>) -> Self {
        self.exchange = Some(exchange);
        self
    }

    /// With this way to wait: between attempts, and for an answer that is far later than those before it, which is given up then and asked for again. Over
    /// our sockets the timer of tokio does it where nothing is said; over an [`exchange`](Self::exchange) answers are waited for as long as
    /// it says itself.
    pub fn sleep(mut self, sleep: impl Sleep + 'static) -> Self {
        self.sleep = Some(Arc::new(sleep));
        self
    }

    /// The transport, or what is wrong with the first bad option. Nothing is sent.
    pub fn build(self) -> Result<HttpTransport, TransportError> {
        let base = BaseUrl::parse(&self.base)?;
        if !self.plain_tokens && self.would_expose_secrets() {
            let message = format!(
                "a token would go to {} over plain http://, where others can read it; use https://, or allow_plain_tokens(true) \
                 where the way there is safe",
                base.show("")
            );
            return Err(TransportError::new(TransportErrorKind::BadRequest, message));
        }
        let mut paths = BTreeMap::new();
        for (table, path) in self.paths {
            paths.insert(table, base.path(&url::checked_path(&path)?));
        }
        let client = match self.exchange {
            Some(exchange) => Client::over(exchange, &self.limits, self.gzip),
            None => {
                let tls = self.tls.config(base.is_https())?;
                let proxy = self.proxies.on_the_way_to(&base)?;
                Client::new(&self.limits, tls, proxy, base.is_https(), self.gzip)
            }
        };
        let mut transport = HttpTransport::new(
            base,
            paths,
            self.dialect.wire(),
            headers(self.dialect, self.headers)?,
            self.auth
                .map(|(provider, header)| Credentials::new(provider, header)),
            client,
            self.limits.row,
        );
        transport.sleep = self.sleep.or(transport.sleep);
        Ok(transport)
    }
}

/// True for `Authorization`, `Cookie`, `X-API-Key` and their like, whose values are secrets however they are given.
pub fn is_secret_header(name: &str) -> bool {
    CREDENTIALS.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// The headers of every request: those of the library and of the dialect, then those of the user.
fn headers(
    dialect: Dialect,
    given: Vec<(String, HeaderText)>,
) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in dialect.wire().quirks().headers {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    for (name, text) in given {
        let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
        let bad = |why: &str| {
            let message = format!("the header '{shown}' {why}");
            TransportError::new(TransportErrorKind::BadRequest, message)
        };
        let name: HeaderName = name
            .parse()
            .map_err(|_| bad("has a name that is not valid; use letters, digits and '-'"))?;
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(bad("cannot be set; the transport sets it itself"));
        }
        let mut value = header::value(&text.value, &format!("the header '{shown}'"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
