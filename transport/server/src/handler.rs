//! From a request to its answer: routes, verbs, dialect.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use synctable_core::query::odata::percent_decode;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreError};
use synctable_core::{Clock, IdSource, Record, RecordId, TableName};
use synctable_wire::{BATCH, TABLES};

use crate::access::{Access, AccessRequest, Action, Grant};
use crate::answers::Answers;
use crate::batch;
use crate::coding;
use crate::dialect::Dialect;
use crate::door::{self, Admitted, Door};
use crate::effect::Effect;
use crate::error::Failure;
use crate::gather::Reads;
use crate::limits::Limits;
use crate::parameters::Parameters;
use crate::read;
use crate::respond::{self, Response};
use crate::retention::{Pruner, Retention};
use crate::scans::Scans;
use crate::tables::{Table, Tables};
use crate::tls::Tls;
use crate::tombstones::Tombstones;
use crate::turns::Turns;
use crate::unit::Part;
use crate::write::{self, NewRecord};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Core {
    /// What it announces of itself.
    pub(crate) id: HeaderValue,
    pub(crate) store: Arc<dyn LocalStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) limits: Limits,
    pub(crate) tables: Tables,
    pub(crate) access: Option<Arc<dyn Access>>,
    /// Where clients find the server, without a slash at the end.
    pub(crate) base_url: Option<String>,
    pub(crate) door: Door,
    pub(crate) tls: Option<Tls>,
    pub(crate) retention: Retention,
    pub(crate) pruner: Pruner,
    pub(crate) tombstones: Tombstones,
    pub(crate) turns: Turns,
    pub(crate) scans: Scans,
    pub(crate) answers: Answers,
}

/// One request to a table that exists.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) core: &'a Core,
    pub(crate) table: Arc<Table>,
    pub(crate) grant: Grant,
    pub(crate) parameters: Parameters<'a>,
    pub(crate) include_deleted: bool,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
    pub(crate) body: &'a Bytes,
    pub(crate) around: Around<'a>,
}

/// What a request has around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) admitted: &'a Admitted,
    pub(crate) effect: &'a Effect,
    /// Where it reads together with the other parts of one request.
    pub(crate) reads: Option<&'a Reads>,
    /// Where it is done together with others or not at all.
    pub(crate) unit: Option<Part<'a>>,
    /// Whether the client has what it sent, and need not be told it.
    pub(crate) brief: bool,
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) table: String,
    pub(crate) id: Option<String>,
}

/// What to do at a target.
enum Verb {
    List,
    Get(RecordId),
    Create,
    Replace(RecordId),
    /// The id may also be in the body.
    Merge(Option<RecordId>),
    Undelete(RecordId),
    Delete(RecordId),
}

impl Core {
    /// Answers one request that was let in, and notes when it may have an effect. Whatever goes wrong is an answer, too.
    pub(crate) async fn handle(
        &self,
        request: &Request<Bytes>,
        admitted: &Admitted,
        effect: &Effect,
    ) -> Response {
        let response = match self.answer(request, admitted, effect).await {
            Ok(response) => response,
            Err(failure) => respond::error(&failure),
        };
        let response = self.finish(response, admitted);
        // Neither path nor query: they may hold contents.
        tracing::debug!(method = %request.method(), status = response.status().as_u16(), "request");
        if request.method() == Method::HEAD {
            respond::without_body(response)
        } else {
            response
        }
    }

    /// The answer with what every one carries.
    pub(crate) fn finish(&self, response: Response, admitted: &Admitted) -> Response {
        let now = self.clock.now();
        let mut response = respond::finish(response, now, self.retention, &self.limits, &self.id);
        admitted.mark(&mut response);
        response
    }

    async fn answer(
        &self,
        request: &Request<Bytes>,
        admitted: &Admitted,
        effect: &Effect,
    ) -> Result<Response, Failure> {
        let (uri, headers) = (request.uri(), request.headers());
        if let Some(response) = door::preflight(admitted, request.method(), headers) {
            return Ok(response);
        }
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
        let most = self.body_limit(uri.path());
        if request.body().len() > most {
            return Err(Failure::too_large(most));
        }
        let target = Target::parse(uri.path())?;
        let unpacked = coding::unpacked(request, most)?;
        let request = unpacked.as_ref().unwrap_or(request);
        let parameters = Parameters::parse(query)?;
        let dialect = Dialect::of(headers, &parameters);
        let around = Around {
            dialect,
            admitted,
            effect,
            reads: None,
            unit: None,
            brief: false,
        };
        let response = if target.is_batch() {
            batch::answer(self, request, around).await
        } else {
            self.route(request, target, parameters, around).await
        };
        let mut response = response.unwrap_or_else(|failure| dialect.error(&failure));
        dialect.mark(&mut response);
        Ok(response)
    }

    /// How many bytes the body of a request to this path may have.
    pub(crate) fn body_limit(&self, path: &str) -> usize {
        match Target::parse(path) {
            Ok(target) if target.is_batch() && self.limits.takes_batches() => {
                self.limits.batch_body
            }
            _ => self.limits.body,
        }
    }

    /// Answers one request to a table or a record.
    pub(crate) async fn route(
        &self,
        request: &Request<Bytes>,
        target: Target,
        parameters: Parameters<'_>,
        around: Around<'_>,
    ) -> Result<Response, Failure> {
        let dialect = around.dialect;
        let allow = match target.id {
            None => dialect.table_methods(),
            Some(_) => dialect.record_methods(),
        };
        let id = target
            .id
            .map(|id| RecordId::new(&id))
            .transpose()
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        if request.method() == Method::OPTIONS {
            return Ok(respond::options(allow));
        }
        let verb = Verb::of(request.method(), id, dialect).ok_or_else(|| Failure {
            allow: Some(allow),
            ..Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("this method is not possible here; use one of {allow}"),
            )
        })?;
        if request.method() == Method::POST {
            door::check_post(request.headers(), !request.body().is_empty())?;
        }
        let name = Tables::name(&target.table)?;
        let grant = match &self.access {
            None => Grant::all(),
            Some(access) => access
                .grant(AccessRequest {
                    action: verb.action(),
                    table: &name,
                    record: verb.record(),
                    headers: request.headers(),
                    extensions: request.extensions(),
                })
                .await
                .map_err(|refusal| Failure::refused(refusal, &name))?,
        };
        let table = self.tables.find(name)?;
        if !table.is_made && !matches!(verb, Verb::List | Verb::Create) {
            return Err(Failure::no_record());
        }
        let mut call = Call {
            core: self,
            table,
            grant,
            include_deleted: dialect.includes_deleted(request.headers(), &parameters),
            parameters,
            headers: request.headers(),
            uri: request.uri(),
            body: request.body(),
            around,
        };
        match verb {
            Verb::List => read::list(&call).await,
            Verb::Get(id) => read::one(&call, &id).await,
            Verb::Create => {
                // Only what can be put into a table makes one.
                let new = NewRecord::read(&call)?;
                if !call.table.is_made {
                    call.table = self.tables.make(&*self.store, &call.table.name).await?;
                }
                write::create(&call, new).await
            }
            Verb::Replace(id) => write::replace(&call, id).await,
            Verb::Merge(id) => write::merge(&call, id).await,
            Verb::Undelete(id) => write::undelete(&call, id).await,
            Verb::Delete(id) => write::delete(&call, id).await,
        }
    }
}

impl Around<'_> {
    /// Whether it is a part of a request with several changes.
    pub(crate) fn is_part(&self) -> bool {
        self.reads.is_some()
    }
}

impl Verb {
    /// What a method does; `None` where it does nothing.
    fn of(method: &Method, id: Option<RecordId>, dialect: Dialect) -> Option<Self> {
        use Dialect::{Toolkit, Zumo2, Zumo3};
        Some(match (method, id, dialect) {
            (&Method::GET | &Method::HEAD, None, _) => Self::List,
            (&Method::GET | &Method::HEAD, Some(id), _) => Self::Get(id),
            (&Method::POST, None, _) => Self::Create,
            (&Method::POST, Some(id), Zumo2) => Self::Undelete(id),
            (&Method::PUT, Some(id), Toolkit | Zumo3) => Self::Replace(id),
            (&Method::PATCH, id, Zumo2) => Self::Merge(id),
            (&Method::PATCH, Some(id), Toolkit | Zumo3) => Self::Merge(Some(id)),
            (&Method::DELETE, Some(id), _) => Self::Delete(id),
            _ => return None,
        })
    }

    fn action(&self) -> Action {
        match self {
            Self::List | Self::Get(_) => Action::Read,
            Self::Create => Action::Create,
            Self::Replace(_) | Self::Merge(_) | Self::Undelete(_) => Action::Update,
            Self::Delete(_) => Action::Delete,
        }
    }

    /// The record that the path names.
    fn record(&self) -> Option<&RecordId> {
        match self {
            Self::List | Self::Create => None,
            Self::Merge(id) => id.as_ref(),
            Self::Get(id) | Self::Replace(id) | Self::Undelete(id) | Self::Delete(id) => Some(id),
        }
    }
}

impl Call<'_> {
    /// Whether the client may know of a stored record.
    pub(crate) fn may_see(&self, record: &Record) -> bool {
        self.grant.covers(self.table.schema(), record)
    }

    /// The dialect that the client speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        self.around.dialect
    }

    /// Reads a record by its id.
    pub(crate) async fn stored(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, StoreError> {
        let store = &*self.core.store;
        match self.around.reads {
            Some(reads) => reads.get(store, table, id).await,
            None => store.get_one(table, id).await,
        }
    }

    /// A record as JSON, or only the members selected.
    pub(crate) fn print(&self, record: &Record, select: Option<&[String]>) -> String {
        self.dialect().item(record, self.table.schema(), select)
    }

    /// The body as JSON text, if the headers say that it is.
    pub(crate) fn json_text(&self) -> Result<&str, Failure> {
        let media = self.media_type();
        let untyped = media.is_empty() && self.dialect() == Dialect::Zumo2;
        if !is_json(&media) && !untyped {
            return Err(Failure::no_json());
        }
        let text = std::str::from_utf8(self.body)
            .map_err(|_| Failure::bad_request("the body is not valid UTF-8"))?;
        // Version 2 creates a record of nothing from nothing.
        Ok(match (text, self.dialect()) {
            ("", Dialect::Zumo2) => "{}",
            _ => text,
        })
    }

    /// The media type of the body without its parameters, in lower case.
    pub(crate) fn media_type(&self) -> String {
        media_type(self.headers)
    }
}

/// The media type of a body without its parameters, in lower case; nothing where there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

pub(crate) fn is_json(media: &str) -> bool {
    media == "application/json" || media.ends_with("+json")
}

impl Target {
    /// `/tables/{table}` or `/tables/{table}/{id}`; a slash at the end of a table's path is overlooked.
    pub(crate) fn parse(path: &str) -> Result<Self, Failure> {
        let unknown = || Failure::not_found("there is nothing here; tables are at /tables/NAME");
        let mut parts = path.strip_prefix('/').ok_or_else(unknown)?.split('/');
        let root = parts.next().unwrap_or_default();
        let table = decode(parts.next().unwrap_or_default())?;
        let id = decode(parts.next().unwrap_or_default())?;
        if !root.eq_ignore_ascii_case(TABLES) || table.is_empty() || parts.next().is_some() {
            return Err(unknown());
        }
        Ok(Self {
            table,
            id: (!id.is_empty()).then_some(id),
        })
    }

    /// Whether it stands for several changes. No table has this name.
    pub(crate) fn is_batch(&self) -> bool {
        self.table == BATCH && self.id.is_none()
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
