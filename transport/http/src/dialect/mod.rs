//! Dialects: what differs between the kinds of table servers, and nothing else.

mod body;
mod detect;
mod toolkit;
mod zumo2;
mod zumo3;

use std::fmt;
use std::str::FromStr;

use http::Method;
use synctable_core::query::RemoteQuery;
use synctable_core::query::odata::Spelling;
use synctable_core::transport::{Change, ChangeKind, TransportError, TransportErrorKind};
use synctable_core::{Record, RecordId};
use synctable_wire::header as names;
use synctable_wire::{TOOLKIT, ZUMO2, ZUMO3};

/// What this library calls itself.
pub(crate) const AGENT: &str = concat!("synctable/", env!("CARGO_PKG_VERSION"));

/// Asks for next links without an address: servers print the one that they have behind a proxy, and without its escapes.
const RELATIVE_LINKS: (&str, &str) = (names::OPTIONS, names::OPTION_RELATIVE_LINKS);

/// The kind of table server on the other side.
///
/// Servers of Azure Mobile Apps are older than the Datasync Toolkit, and differ from it and from each other in verbs,
/// spelling of queries, statuses and shapes of answers. Where it is not known which kind a server is,
/// [`HttpTransportBuilder::detect`](crate::HttpTransportBuilder::detect) asks it.
///
/// ```
/// use synctable_http::Dialect;
/// assert_eq!("toolkit".parse(), Ok(Dialect::Toolkit));
/// assert!("soap".parse::<Dialect>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Datasync Toolkit 8 and later, and the reference server of synctable.
    #[default]
    Toolkit,
    /// Azure Mobile Apps, protocol version 2.0.0: its servers for node and for .NET Framework.
    Zumo2,
    /// Azure Mobile Apps, protocol version 3.0.0: its servers for ASP.NET Core.
    Zumo3,
}

/// Text that names no dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownDialect;

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown dialect; use toolkit, zumo2 or zumo3")
    }
}

impl std::error::Error for UnknownDialect {}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        let all = [Self::Toolkit, Self::Zumo2, Self::Zumo3];
        let named = all.into_iter().find(|dialect| dialect.name() == text);
        named.ok_or(UnknownDialect)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Dialect {
    fn name(self) -> &'static str {
        match self {
            Self::Toolkit => TOOLKIT.name,
            Self::Zumo2 => ZUMO2.name,
            Self::Zumo3 => ZUMO3.name,
        }
    }

    /// The wire form of this dialect.
    pub(crate) fn wire(self) -> &'static dyn Wire {
        match self {
            Self::Toolkit => &toolkit::Toolkit,
            Self::Zumo2 => &zumo2::Zumo2,
            Self::Zumo3 => &zumo3::Zumo3,
        }
    }
}

/// How a dialect says things on the wire.
pub(crate) trait Wire: fmt::Debug + Send + Sync {
    /// What holds for every request.
    fn quirks(&self) -> Quirks;

    /// The request that sends a change; `None` where it would change nothing and cannot be sent.
    fn change(&self, change: &Change) -> Result<Option<Call>, TransportError>;

    /// Whether a change may take a second request.
    fn may_have_rest(&self, _change: &Change) -> bool {
        false
    }

    /// What is left of a change after its request made the server's record `server`: only where it
    /// [may have a rest](Self::may_have_rest).
    fn rest(&self, _change: &Change, _server: &Record) -> Result<Option<Change>, TransportError> {
        Ok(None)
    }

    /// The request that reads one record, as a tombstone where it is one. Without an id it is a page of at most that record.
    fn get(&self, id: &RecordId) -> Result<Call, TransportError>;

    /// The query string that asks for `query` with `top` as its `$top`.
    fn query(&self, query: &RemoteQuery, top: Option<u64>) -> Result<String, TransportError>;
}

/// What a kind of server does alike with every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quirks {
    /// Headers that each request has.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// A page in the newer form (`items`) without a next link is the last one.
    pub(crate) absent_link_ends: bool,
    /// The largest page that it gives, and `$top=0` means a page of its own size.
    pub(crate) most_rows: Option<u32>,
    /// A filter that it cannot take makes it fail (500), or find nothing.
    pub(crate) fails_on_filters: bool,
    /// Its requests send the members that a change names alone. Else the dialect has a way of its own, or none.
    pub(crate) sends_members: bool,
}

/// A query in a spelling, with `top` as its `$top`.
fn spelled(
    query: &RemoteQuery,
    top: Option<u64>,
    spelling: Spelling,
) -> Result<String, TransportError> {
    let mut sent = query.clone();
    sent.query.top = top;
    sent.to_query_string(spelling)
        .map_err(|error| TransportError::new(TransportErrorKind::BadQuery, error.to_string()))
}

/// The change that gives a record which came back as `server` what it shall hold, on its new version.
fn follow_up(change: &Change, server: &Record) -> Change {
    let mut rest = change.clone();
    rest.kind = ChangeKind::Replace;
    rest.if_match = server.version().cloned();
    rest.base = Some(server.clone());
    rest.operation_id = change
        .operation_id
        .as_ref()
        .map(|key| format!("{key}-members"));
    rest
}

/// A request as a dialect forms it; address, conditions and credentials are the same in all dialects.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The record, or `None` for the table.
    pub(crate) id: Option<RecordId>,
    /// The query string; empty for none.
    pub(crate) query: String,
    /// The JSON body.
    pub(crate) body: Option<String>,
}

impl Call {
    /// A request without query and body.
    pub(crate) fn new(method: Method, id: Option<&RecordId>) -> Self {
        Self {
            method,
            id: id.cloned(),
            query: String::new(),
            body: None,
        }
    }

    /// With a query string.
    pub(crate) fn with_query(mut self, query: impl Into<String>) -> Self {
        self.query = query.into();
        self
    }

    /// With a JSON body.
    pub(crate) fn with_body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for dialect in [Dialect::Toolkit, Dialect::Zumo2, Dialect::Zumo3] {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
    }
}
