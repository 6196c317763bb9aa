//! A small server over real sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One database in memory, at a free port of this machine, until it is dropped.
#[derive(Debug)]
pub struct CouchServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    database: String,
    documents: BTreeMap<String, Document>,
    sequence: u64,
    /// Positions before this one are refused, unless they were given since.
    horizon: u64,
    /// How often deletions were forgotten.
    epoch: u64,
    requests: Vec<String>,
    /// How many more requests are answered before connections break; `None` for all.
    answers: Option<usize>,
    /// The next answer is lost.
    loses: bool,
}

#[derive(Debug)]
struct Document {
    body: String,
    generation: u64,
    sequence: u64,
    deleted: bool,
}

impl Document {
    fn rev(&self) -> String {
        format!("{}-{:08x}", self.generation, self.sequence)
    }

    /// As it is shown: with id and revision before its members.
    fn shown(&self, id: &str) -> String {
        let rev = self.rev();
        if self.deleted {
            return json!({"_id": id, "_rev": rev, "_deleted": true}).to_string();
        }
        let members = self.body.trim().trim_start_matches('{');
        let comma = if members.trim() == "}" { "" } else { "," };
        format!(
            "{{\"_id\":{},\"_rev\":{}{comma}{members}",
            json!(id),
            json!(rev)
        )
    }
}

impl CouchServer {
    /// Starts one with a database of this name.
    pub async fn start(database: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            database: database.to_owned(),
            ..State::default()
        }));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            _serving: serving,
        })
    }

    /// Where it is.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Somebody else writes a document.
    pub fn set(&self, id: &str, body: &Value) {
        self.state().write(id, Some(body.to_string()));
    }

    /// Somebody else deletes a document.
    pub fn remove(&self, id: &str) {
        self.state().write(id, None);
    }

    /// The documents that are not deleted, without `_id` and `_rev`.
    pub fn live(&self) -> BTreeMap<String, Value> {
        let state = self.state();
        let live = state.documents.iter().filter(|(_, it)| !it.deleted);
        live.map(|(id, it)| {
            (
                id.clone(),
                serde_json::from_str(&it.body).unwrap_or(Value::Null),
            )
        })
        .collect()
    }

    /// Forgets what was deleted, and refuses the positions from before.
    pub fn compact(&self) {
        let mut state = self.state();
        state.documents.retain(|_, it| !it.deleted);
        state.horizon = state.sequence;
        state.epoch += 1;
    }

    /// Breaks each connection after so many more requests.
    pub fn break_after(&self, answers: usize) {
        self.state().answers = Some(answers);
    }

    /// Does what the next request asks, and breaks the connection before the answer.
    pub fn lose_answer(&self) {
        self.state().loses = true;
    }

    /// Answers again.
    pub fn mend(&self) {
        self.state().answers = None;
    }

    /// The requests since the last time: method and target.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let answer = |request| answer(Arc::clone(&state), request);
            let connection = http1::Builder::new();
            // One that is broken on purpose ends with an error.
            let _ = connection
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut state = lock(&state);
    if let Some(left) = &mut state.answers {
        // Nothing is answered, and the connection ends.
        *left = left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
    }
    state.requests.push(format!("{} {}", head.method, head.uri));
    let query = head.uri.query().unwrap_or_default();
    let parameters: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let (status, text) = state.answer(&head.method, head.uri.path(), &parameters, &body);
    if std::mem::take(&mut state.loses) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn refused(status: StatusCode, error: &str, reason: &str) -> (StatusCode, String) {
    (
        status,
        json!({"error": error, "reason": reason}).to_string(),
    )
}

impl State {
    /// Writes or deletes a document, whatever is there; gives its revision.
    fn write(&mut self, id: &str, body: Option<String>) -> String {
        self.sequence += 1;
        let before = self.documents.get(id).map_or(0, |it| it.generation);
        let document = Document {
            deleted: body.is_none(),
            body: body.unwrap_or_default(),
            generation: before + 1,
            sequence: self.sequence,
        };
        let rev = document.rev();
        self.documents.insert(id.to_owned(), document);
        rev
    }

    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        parameters: &BTreeMap<String, String>,
        body: &[u8],
    ) -> (StatusCode, String) {
        let path = path.trim_start_matches('/');
        let (database, rest) = path.split_once('/').unwrap_or((path, ""));
        if database != self.database {
            return refused(
                StatusCode::NOT_FOUND,
                "not_found",
                "Database does not exist.",
            );
        }
        match (method, rest) {
            (&Method::GET, "_changes") => self.changes(parameters),
            (&Method::GET, "_all_docs") => {
                let live = self.documents.iter().filter(|(_, it)| !it.deleted);
                let rows = live.map(|(id, it)| {
                    let (rev, doc) = (json!(it.rev()), it.shown(id));
                    let id = json!(id);
                    format!(
                        "{{\"id\":{id},\"key\":{id},\"value\":{{\"rev\":{rev}}},\"doc\":{doc}}}"
                    )
                });
                let rows: Vec<String> = rows.collect();
                let (count, rows) = (rows.len(), rows.join(","));
                let text = format!("{{\"total_rows\":{count},\"offset\":0,\"rows\":[{rows}]}}");
                (StatusCode::OK, text)
            }
            (&Method::GET, id) => match self.documents.get(&decoded(id)) {
                Some(it) if !it.deleted => (StatusCode::OK, it.shown(&decoded(id))),
                Some(_) => refused(StatusCode::NOT_FOUND, "not_found", "deleted"),
                None => refused(StatusCode::NOT_FOUND, "not_found", "missing"),
            },
            (&Method::PUT | &Method::DELETE, id) => {
                self.change(&decoded(id), method, parameters.get("rev"), body)
            }
            _ => refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "no"),
        }
    }

    fn change(
        &mut self,
        id: &str,
        method: &Method,
        rev: Option<&String>,
        body: &[u8],
    ) -> (StatusCode, String) {
        let there = self.documents.get(id);
        let fits = match there {
            // A deleted document may be written anew without naming its revision.
            Some(it) if it.deleted && rev.is_none() => true,
            Some(it) => rev == Some(&it.rev()),
            None => rev.is_none(),
        };
        let deletes = method == Method::DELETE;
        if deletes && there.is_none_or(|it| it.deleted) {
            let reason = there.map_or("missing", |_| "deleted");
            return refused(StatusCode::NOT_FOUND, "not_found", reason);
        }
        if !fits {
            return refused(
                StatusCode::CONFLICT,
                "conflict",
                "Document update conflict.",
            );
        }
        let body = (!deletes).then(|| String::from_utf8_lossy(body).into_owned());
        let taken = body
            .as_deref()
            .map(serde_json::from_str::<Map<String, Value>>);
        match taken {
            Some(Err(_)) => {
                return refused(StatusCode::BAD_REQUEST, "bad_request", "invalid UTF-8 JSON");
            }
            Some(Ok(members)) if members.keys().any(|name| name.starts_with('_')) => {
                return refused(
                    StatusCode::BAD_REQUEST,
                    "doc_validation",
                    "Bad special document member",
                );
            }
            _ => {}
        }
        let rev = self.write(id, body);
        let status = if deletes {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        (
            status,
            json!({"ok": true, "id": id, "rev": rev}).to_string(),
        )
    }

    fn changes(&self, parameters: &BTreeMap<String, String>) -> (StatusCode, String) {
        let since = parameters.get("since").map_or("0", String::as_str);
        let Some((since, epoch)) = position(since, self.epoch) else {
            return refused(StatusCode::BAD_REQUEST, "bad_request", "malformed since");
        };
        if since < self.horizon && epoch != self.epoch {
            return refused(
                StatusCode::GONE,
                "gone",
                "deletions since then are not known",
            );
        }
        let limit = parameters.get("limit").and_then(|text| text.parse().ok());
        let limit = limit.unwrap_or(usize::MAX);
        let mut changed: Vec<(&String, &Document)> = self.documents.iter().collect();
        changed.retain(|(_, it)| it.sequence > since);
        changed.sort_by_key(|(_, it)| it.sequence);
        let pending = changed.len().saturating_sub(limit);
        changed.truncate(limit);
        let last = if pending > 0 {
            changed.last().map_or(since, |(_, it)| it.sequence)
        } else {
            self.sequence.max(since)
        };
        let results = changed.iter().map(|(id, it)| {
            let (seq, rev, doc) = (self.seq(it.sequence, epoch), json!(it.rev()), it.shown(id));
            let deleted = if it.deleted { ",\"deleted\":true" } else { "" };
            let id = json!(id);
            format!("{{\"seq\":{seq},\"id\":{id},\"changes\":[{{\"rev\":{rev}}}]{deleted},\"doc\":{doc}}}")
        });
        let results: Vec<String> = results.collect();
        let (results, last) = (results.join(","), self.seq(last, epoch));
        let text = format!("{{\"results\":[{results}],\"last_seq\":{last},\"pending\":{pending}}}");
        (StatusCode::OK, text)
    }

    /// The text of a position, for a walk that was let begin in an epoch.
    fn seq(&self, number: u64, epoch: u64) -> Value {
        let known = number >= self.horizon;
        let epoch = if known { self.epoch } else { epoch };
        json!(format!("{number}-g1AAAAB{epoch:x}"))
    }
}

/// The number and the epoch of a position; "0" is the start.
fn position(text: &str, now: u64) -> Option<(u64, u64)> {
    if text == "0" {
        return Some((0, now));
    }
    let (number, epoch) = text.split_once("-g1AAAAB")?;
    Some((number.parse().ok()?, u64::from_str_radix(epoch, 16).ok()?))
}
