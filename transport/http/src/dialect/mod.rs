//! Dialects: what differs between the kinds of table servers, and nothing else.

mod toolkit;

use std::fmt;
use std::str::FromStr;

use http::Method;
use synctable_core::RecordId;
use synctable_core::query::Query;
use synctable_core::transport::{Change, TransportError, TransportErrorKind};

/// The kind of table server on the other side.
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
    /// Azure Mobile Apps, protocol version 2.0.0. Comes with a later release.
    Zumo2,
    /// Azure Mobile Apps, protocol version 3.0.0. Comes with a later release.
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
        match text {
            "toolkit" => Ok(Self::Toolkit),
            "zumo2" => Ok(Self::Zumo2),
            "zumo3" => Ok(Self::Zumo3),
            _ => Err(UnknownDialect),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Toolkit => "toolkit",
            Self::Zumo2 => "zumo2",
            Self::Zumo3 => "zumo3",
        })
    }
}

impl Dialect {
    /// The wire form of this dialect.
    pub(crate) fn wire(self) -> Result<&'static dyn Wire, TransportError> {
        match self {
            Self::Toolkit => Ok(&toolkit::Toolkit),
            Self::Zumo2 | Self::Zumo3 => Err(TransportError::new(
                TransportErrorKind::BadRequest,
                format!("the dialect {self} comes with a later release; use toolkit"),
            )),
        }
    }
}

/// How a dialect says things on the wire.
pub(crate) trait Wire: fmt::Debug + Send + Sync {
    /// The request that sends a change.
    fn change(&self, change: &Change) -> Result<Call, TransportError>;

    /// The request that reads one record, as a tombstone where it is one.
    fn get(&self, id: &RecordId) -> Call;

    /// The query string that asks for `query` with `top` as its `$top`.
    fn query(&self, query: &Query, top: Option<u64>) -> Result<String, TransportError>;

    /// True where a page in the newer form (`items`) without a next link is the last one.
    fn absent_link_ends(&self) -> bool;
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

    #[test]
    fn dialects_to_come_are_refused() {
        assert!(Dialect::Toolkit.wire().is_ok());
        for dialect in [Dialect::Zumo2, Dialect::Zumo3] {
            let error = dialect.wire().unwrap_err();
            assert!(error.to_string().contains("later release"), "{error}");
        }
    }
}
