//! Several changes in one request: read as one, then each is answered as if it had come alone.
//!
//! They begin in their order, many at once, so that they share commits. What fails concerns one change only; the others go on.

mod brief;
mod envelope;

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use http::header::{ETAG, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use synctable_wire::header;
use tokio::time::Instant;

use self::envelope::Part;
use crate::coding;
use crate::dialect::Dialect;
use crate::door::{self, Admitted};
use crate::effect::Effect;
use crate::error::Failure;
use crate::handler::{Core, is_json, media_type};
use crate::parameters::Parameters;
use crate::respond::{self, OPERATION_UNKNOWN_SINCE, REPEATED, Response};

/// So many changes are under way at once: each takes memory, and as many may share a commit.
const AT_ONCE: usize = 256;
/// What has not begun after this time is not tried: whoever asked gets an answer before it gives up.
const TIME: Duration = Duration::from_secs(5);
const ALLOW: &str = "POST, OPTIONS";

/// Tells that the answer leaves out what the client sent.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static(header::PREFERENCE_APPLIED);
const NOT_TRIED: HeaderName = HeaderName::from_static(header::NOT_TRIED);
/// The headers that say something of one change.
const TOLD: [HeaderName; 6] = [
    ETAG,
    PREFERENCE_APPLIED,
    RETRY_AFTER,
    OPERATION_UNKNOWN_SINCE,
    REPEATED,
    NOT_TRIED,
];

/// Answers a request with several changes. An error is about the whole request, and then no change was looked at.
pub(crate) async fn answer(
    core: &Core,
    request: &Request<Bytes>,
    dialect: Dialect,
    admitted: &Admitted,
    effect: &Effect,
) -> Result<Response, Failure> {
    if !core.limits.takes_batches() {
        return Err(Failure::not_found(
            "several changes in one request are not taken here",
        ));
    }
    match *request.method() {
        Method::OPTIONS => return Ok(respond::options(ALLOW)),
        Method::POST => {}
        _ => {
            return Err(Failure {
                allow: Some(ALLOW),
                ..Failure::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    format!("this method is not possible here; use one of {ALLOW}"),
                )
            });
        }
    }
    let headers = request.headers();
    door::check_post(headers, !request.body().is_empty())?;
    if !is_json(&media_type(headers)) {
        return Err(Failure::no_json());
    }
    let parts = envelope::read(request, &core.limits)?;
    let brief = brief::is_asked_for(headers);
    let text = each(core, parts, brief, dialect, admitted, effect).await;
    Ok(coding::packed(headers, respond::json(StatusCode::OK, text)))
}

/// Does the changes, and prints their answers in the order of the changes.
async fn each(
    core: &Core,
    parts: Vec<Part>,
    brief: bool,
    dialect: Dialect,
    admitted: &Admitted,
    effect: &Effect,
) -> String {
    let deadline = Instant::now() + TIME;
    let mut parts = parts.into_iter();
    let mut under_way = FuturesOrdered::new();
    let mut text = String::from(r#"{"responses":["#);
    loop {
        while under_way.len() < AT_ONCE
            && text.len() <= core.limits.batch_body
            && Instant::now() < deadline
        {
            let Some(part) = parts.next() else { break };
            under_way.push_back(async move {
                let mut answer = one(core, &part.request, dialect, admitted, effect).await;
                let body = part.request.request.body();
                if let Some(text) = brief.then(|| brief::of(body, &answer)).flatten() {
                    *answer.body_mut() = text.into();
                    let value = HeaderValue::from_static(header::PREFER_MINIMAL);
                    answer.headers_mut().insert(PREFERENCE_APPLIED, value);
                }
                (part.id, answer)
            });
        }
        match under_way.next().await {
            Some((id, answer)) => print(&mut text, &id, &answer),
            None => break,
        }
    }
    for part in parts {
        let mut answer = respond::empty(StatusCode::SERVICE_UNAVAILABLE);
        let value = HeaderValue::from_static(header::NOT_TRIED_SO);
        answer.headers_mut().insert(NOT_TRIED, value);
        print(&mut text, &part.id, &answer);
    }
    text.push_str("]}");
    text
}

/// Does one change as if it had come alone.
async fn one(
    core: &Core,
    request: &envelope::Inner,
    dialect: Dialect,
    admitted: &Admitted,
    effect: &Effect,
) -> Response {
    let effect = effect.part();
    let envelope::Inner { request, target } = request;
    let result = async {
        if request.body().len() > core.limits.body {
            return Err(Failure::too_large(core.limits.body));
        }
        let parameters = Parameters::parse(request.uri().query().unwrap_or_default())?;
        core.route(
            request,
            target.clone(),
            parameters,
            dialect,
            admitted,
            &effect,
        )
        .await
    };
    let mut answer = result
        .await
        .unwrap_or_else(|failure| dialect.error(&failure));
    if answer.status().is_success() && !answer.headers().contains_key(REPEATED) {
        // A batch may be repeated because its answer was lost: the client need not ask what became of each.
        let now = HeaderValue::from_static(header::REPEATED_NOW);
        answer.headers_mut().insert(REPEATED, now);
    }
    answer
}

fn print(text: &mut String, id: &str, answer: &Response) {
    if text.ends_with('}') {
        text.push(',');
    }
    let id = serde_json::Value::from(id);
    let _ = write!(
        text,
        r#"{{"id":{id},"status":{},"headers":{{"#,
        answer.status().as_u16()
    );
    let told = TOLD.into_iter().filter_map(|name| {
        let value = answer.headers().get(&name)?.to_str().ok()?;
        Some((name, value))
    });
    for (at, (name, value)) in told.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let value = serde_json::Value::from(value);
        let _ = write!(text, r#"{comma}"{name}":{value}"#);
    }
    text.push('}');
    match std::str::from_utf8(answer.body()) {
        Ok(body) if !body.is_empty() => {
            let _ = write!(text, r#","body":{body}"#);
        }
        _ => {}
    }
    text.push('}');
}
