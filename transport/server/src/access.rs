//! Who may read and write which records.

use std::fmt;

use async_trait::async_trait;
use http::{Extensions, HeaderMap};
use serde_json::{Map, Value};
use synctable_core::query::{Evaluator, Expr};
use synctable_core::{Draft, Record, RecordError, RecordId, TableName, TableSchema};
use synctable_wire::header::AUTH;

/// Decides about every request before anything is looked up for it.
///
/// What it grants may be narrowed to some of the table's records. The others are to the client as if they were not
/// there: they are not listed, not counted, not paged over, answered with 404, and no conflict shows them. An id
/// that such a record has already is refused for a new one with 400, without saying why.
///
/// ```
/// use async_trait::async_trait;
/// use synctable_core::query::field;
/// use synctable_server::{Access, AccessRequest, Grant, Refusal};
///
/// /// Everybody works on records of their own.
/// #[derive(Debug)]
/// struct Owners;
///
/// #[async_trait]
/// impl Access for Owners {
///     async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal> {
///         let user = request.bearer_token().ok_or(Refusal::Unauthenticated)?;
///         Ok(Grant::all()
///             .for_user(user)
///             .only(field("owner").eq(user))
///             .with_member("owner", user))
///     }
/// }
/// ```
#[async_trait]
pub trait Access: fmt::Debug + Send + Sync + 'static {
    /// What the request may do. Dropping the future drops the request, which is then not done.
    async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal>;
}

/// What a request is about to do.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AccessRequest<'a> {
    /// The kind of work.
    pub action: Action,
    /// The table, which need not exist.
    pub table: &'a TableName,
    /// The record that the path names, which need not exist.
    pub record: Option<&'a RecordId>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What layers in front of the server found out about the request.
    pub extensions: &'a Extensions,
}

/// The kinds of work on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// A record or a page of them is read.
    Read,
    /// A record is added.
    Create,
    /// A record is changed, or brought back after it was deleted.
    Update,
    /// A record is deleted.
    Delete,
}

/// Why a request is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not known who asks: 401.
    Unauthenticated,
    /// Who asks may not do this: 403.
    Forbidden,
    /// Who asks shall not learn that the table exists: 404.
    Hidden,
    /// It cannot be decided now: 503.
    Unavailable,
}

/// What a request may do.
#[derive(Debug, Clone, Default)]
pub struct Grant {
    user: Option<String>,
    rows: Option<Expr>,
    members: Map<String, Value>,
}

impl<'a> AccessRequest<'a> {
    /// The token of `Authorization: Bearer ..`, or else of `X-ZUMO-AUTH`. It is not checked.
    pub fn bearer_token(&self) -> Option<&'a str> {
        let bearer = self.headers.get("authorization").and_then(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let token = bearer.or_else(|| self.headers.get(AUTH)?.to_str().ok())?;
        (!token.is_empty()).then_some(token)
    }
}

impl Grant {
    /// All records of the table.
    pub fn all() -> Self {
        Self::default()
    }

    /// Names the user. Operation ids of different users are then told apart: with several users, name them.
    #[must_use]
    pub fn for_user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// Only records that match, as they are stored and as they shall be stored; several filters must all match.
    #[must_use]
    pub fn only(mut self, rows: impl Into<Expr>) -> Self {
        let rows = rows.into();
        self.rows = Some(match self.rows.take() {
            Some(earlier) => earlier.and(rows),
            None => rows,
        });
        self
    }

    /// Sets a member in every record that the request writes, whatever the client sends for it.
    #[must_use]
    pub fn with_member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(crate) fn rows(&self) -> Option<&Expr> {
        self.rows.as_ref()
    }

    /// Whether a record is one of those granted.
    pub(crate) fn covers(&self, schema: &TableSchema, record: &Record) -> bool {
        let evaluator = Evaluator::new(schema);
        self.rows
            .as_ref()
            .is_none_or(|rows| evaluator.matches(rows, record))
    }

    /// Whether a member is set in every record.
    pub(crate) fn sets(&self, member: &str) -> bool {
        self.members.contains_key(member)
    }

    /// The record with the members that are set for it.
    pub(crate) fn stamped(&self, record: Record) -> Result<Record, RecordError> {
        if self.members.is_empty() {
            return Ok(record);
        }
        Ok(record.patched(&Draft::from_serialize(&self.members)?))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tokens_are_found_in_either_header() {
        let table = TableName::new("t").unwrap();
        for (name, value, token) in [
            ("authorization", "Bearer abc", Some("abc")),
            ("authorization", "bearer  abc ", Some("abc")),
            ("authorization", "Basic abc", None),
            ("authorization", "Bearer ", None),
            ("authorization", "abc", None),
            ("x-zumo-auth", "abc", Some("abc")),
            ("x-zumo-auth", "", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            let request = AccessRequest {
                action: Action::Read,
                table: &table,
                record: None,
                headers: &headers,
                extensions: &Extensions::new(),
            };
            assert_eq!(request.bearer_token(), token, "{name}: {value}");
        }
    }
}
