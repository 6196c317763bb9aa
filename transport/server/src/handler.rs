//! From a request to its answer: routes, verbs, dialect.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use synctable_core::query::odata::percent_decode;
use synctable_core::store::LocalStore;
use synctable_core::{Clock, IdSource, RecordId, TableName};
use tokio::sync::{Mutex, MutexGuard};

use crate::dialect::Dialect;
use crate::error::Failure;
use crate::limits::Limits;
use crate::operations::Pruner;
use crate::parameters::Parameters;
use crate::respond::{self, Response};
use crate::tables::{Table, Tables};
use crate::{read, write};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<dyn LocalStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) limits: Limits,
    pub(crate) tables: Tables,
    pub(crate) pruner: Pruner,
    /// Writes of one record take turns here, so that they do not fail each other's checks in the store.
    turns: Vec<Mutex<()>>,
    hasher: RandomState,
}

/// One request to a table that exists.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) core: &'a Core,
    pub(crate) dialect: Dialect,
    pub(crate) table: Arc<Table>,
    pub(crate) parameters: Parameters<'a>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) path: &'a str,
    pub(crate) body: &'a Bytes,
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    table: String,
    id: Option<String>,
}

/// What to do at a target.
enum Verb {
    List,
    Get(RecordId),
    Create,
    Replace(RecordId),
    Delete(RecordId),
}

impl Core {
    pub(crate) fn new(
        store: Arc<dyn LocalStore>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        limits: Limits,
        tables: Tables,
    ) -> Self {
        const TURNS: usize = 256;
        Self {
            store,
            clock,
            ids,
            limits,
            tables,
            pruner: Pruner::default(),
            turns: std::iter::repeat_with(Mutex::default).take(TURNS).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Waits for the turn to write a record. Some records share a turn, which costs time only.
    pub(crate) async fn turn(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Option<MutexGuard<'_, ()>> {
        let hash = self.hasher.hash_one((table, id));
        let at = usize::try_from(hash % self.turns.len().max(1) as u64).unwrap_or_default();
        match self.turns.get(at) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    /// Answers one request. Whatever goes wrong is an answer, too.
    pub(crate) async fn handle(&self, request: &Request<Bytes>) -> Response {
        let response = match self.answer(request).await {
            Ok(response) => response,
            Err(failure) => respond::error(&failure),
        };
        let response = respond::finish(response, self.clock.now());
        // Neither path nor query: they may hold contents.
        tracing::debug!(method = %request.method(), status = response.status().as_u16(), "request");
        if request.method() == Method::HEAD {
            respond::without_body(response)
        } else {
            response
        }
    }

    async fn answer(&self, request: &Request<Bytes>) -> Result<Response, Failure> {
        let (uri, headers) = (request.uri(), request.headers());
        let query = uri.query().unwrap_or_default();
        if uri.path().len() + query.len() > self.limits.target {
            return Err(Failure::new(
                StatusCode::URI_TOO_LONG,
                format!(
                    "the request target is longer than {} bytes",
                    self.limits.target
                ),
            ));
        }
        if request.body().len() > self.limits.body {
            return Err(Failure::too_large(self.limits.body));
        }
        let target = Target::parse(uri.path())?;
        let parameters = Parameters::parse(query)?;
        let dialect = Dialect::of(headers, &parameters)?;
        let allow = match target.id {
            None => dialect.table_methods(),
            Some(_) => dialect.record_methods(),
        };
        let id = target
            .id
            .map(|id| RecordId::new(&id))
            .transpose()
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        let verb = match (request.method(), id) {
            (&Method::OPTIONS, _) => return Ok(respond::options(allow)),
            (&Method::GET | &Method::HEAD, None) => Verb::List,
            (&Method::GET | &Method::HEAD, Some(id)) => Verb::Get(id),
            (&Method::POST, None) => Verb::Create,
            (&Method::PUT, Some(id)) => Verb::Replace(id),
            (&Method::DELETE, Some(id)) => Verb::Delete(id),
            (method, _) => {
                return Err(Failure {
                    status: StatusCode::METHOD_NOT_ALLOWED,
                    message: format!("{method} is not possible here; use one of {allow}"),
                    allow: Some(allow),
                });
            }
        };
        let call = Call {
            core: self,
            dialect,
            table: self.tables.find(&*self.store, &target.table).await?,
            parameters,
            headers,
            path: uri.path(),
            body: request.body(),
        };
        match verb {
            Verb::List => read::list(&call).await,
            Verb::Get(id) => read::one(&call, &id).await,
            Verb::Create => write::create(&call).await,
            Verb::Replace(id) => write::replace(&call, id).await,
            Verb::Delete(id) => write::delete(&call, id).await,
        }
    }
}

impl Call<'_> {
    /// The body as JSON text, if the headers say that it is.
    pub(crate) fn json_text(&self) -> Result<&str, Failure> {
        let header = |name| {
            self.headers
                .get(name)
                .map(|value| value.to_str().unwrap_or_default().trim())
        };
        if header(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Failure::unsupported_media(
                "the body is encoded; send it as plain JSON",
            ));
        }
        let media = header(CONTENT_TYPE)
            .and_then(|value| value.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if media != "application/json" && !media.ends_with("+json") {
            return Err(Failure::unsupported_media(
                "the body must be sent as 'content-type: application/json'",
            ));
        }
        std::str::from_utf8(self.body)
            .map_err(|_| Failure::bad_request("the body is not valid UTF-8"))
    }
}

impl Target {
    /// `/tables/{table}` or `/tables/{table}/{id}`; a slash at the end of a table's path is overlooked.
    fn parse(path: &str) -> Result<Self, Failure> {
        let unknown = || Failure::not_found("there is nothing here; tables are at /tables/NAME");
        let mut parts = path.strip_prefix('/').ok_or_else(unknown)?.split('/');
        let root = parts.next().unwrap_or_default();
        let table = decode(parts.next().unwrap_or_default())?;
        let id = decode(parts.next().unwrap_or_default())?;
        if !root.eq_ignore_ascii_case("tables") || table.is_empty() || parts.next().is_some() {
            return Err(unknown());
        }
        Ok(Self {
            table,
            id: (!id.is_empty()).then_some(id),
        })
    }
}

fn decode(segment: &str) -> Result<String, Failure> {
    percent_decode(segment)
        .map_err(|_| Failure::bad_request("the percent-escapes of the path are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_tables_and_records() {
        let target = |path| Target::parse(path).ok().map(|t| (t.table, t.id));
        let found = |table: &str, id: Option<&str>| Some((table.to_owned(), id.map(str::to_owned)));
        for (path, expected) in [
            ("/tables/todo", found("todo", None)),
            ("/tables/todo/", found("todo", None)),
            ("/Tables/Todo/a%20b", found("Todo", Some("a b"))),
            ("/tables/todo/a%2Fb", found("todo", Some("a/b"))),
            ("/tables/todo/a/b", None),
            ("/tables/todo/a/", None),
            ("/tables/", None),
            ("/tables", None),
            ("/", None),
            ("*", None),
            ("", None),
            ("//todo", None),
            ("/tables//a", None),
            ("/tables/%ff", None),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
