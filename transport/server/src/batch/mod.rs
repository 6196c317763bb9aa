//! Several changes in one request: read as one, then each is answered as if it had come alone.
//!
//! They begin in their order, many at once, so that they share commits. What fails concerns one change only; the others go on.

mod envelope;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use http::header::{ETAG, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use synctable_core::push_json_text;
use synctable_wire::header;
use tokio::task::unconstrained;
use tokio::time::Instant;

use self::envelope::Part;
use crate::brief;
use crate::coding;
use crate::door;
use crate::error::Failure;
use crate::gather::Reads;
use crate::handler::{Around, Core, is_json, media_type};
use crate::parameters::Parameters;
use crate::respond::{self, OPERATION_UNKNOWN_SINCE, PREFERENCE_APPLIED, REPEATED, Response};

/// So many changes are under way at once: each takes memory, and as many may share a commit.
const AT_ONCE: usize = 256;
/// What has not begun after this time is not tried: whoever asked gets an answer before it gives up.
const TIME: Duration = Duration::from_secs(5);
const ALLOW: &str = "POST, OPTIONS";

const NOT_TRIED: HeaderName = HeaderName::from_static(header::NOT_TRIED);
/// The headers that say something of one change.
static TOLD: [HeaderName; 6] = [
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
    around: Around<'_>,
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
    let around = Around {
        brief: brief::is_asked_for(headers),
        ..around
    };
    // What tokio allots to a task is used up by half of them, and the others would come one by one behind them. Each of them waits for the others anyway.
    let text = unconstrained(each(core, parts, around)).await;
    Ok(coding::packed(request, respond::json(StatusCode::OK, text)))
}

/// Does the changes, and prints their answers in the order of the changes.
async fn each(core: &Core, parts: Vec<Part>, around: Around<'_>) -> String {
    let reads = Reads::default();
    let around = Around {
        reads: Some(&reads),
        ..around
    };
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
                let answer = one(core, part.request, around).await;
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
async fn one(core: &Core, request: envelope::Inner, around: Around<'_>) -> Response {
    let effect = around.effect.part();
    let around = Around {
        effect: &effect,
        ..around
    };
    let envelope::Inner { request, target } = request;
    let result = async {
        if request.body().len() > core.limits.body {
            return Err(Failure::too_large(core.limits.body));
        }
        let parameters = Parameters::parse(request.uri().query().unwrap_or_default())?;
        core.route(&request, target, parameters, around).await
    };
    let mut answer = result
        .await
        .unwrap_or_else(|failure| around.dialect.error(&failure));
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
    text.push_str(r#"{"id":"#);
    push_json_text(text, id);
    text.push_str(r#","status":"#);
    text.push_str(answer.status().as_str());
    text.push_str(r#","headers":{"#);
    let told = TOLD.iter().filter_map(|name| {
        let value = answer.headers().get(name)?.to_str().ok()?;
        Some((name, value))
    });
    for (at, (name, value)) in told.enumerate() {
        text.push_str(if at == 0 { "\"" } else { ",\"" });
        text.push_str(name.as_str());
        text.push_str("\":");
        push_json_text(text, value);
    }
    text.push('}');
    match std::str::from_utf8(answer.body()) {
        Ok(body) if !body.is_empty() => {
            text.push_str(r#","body":"#);
            text.push_str(body);
        }
        _ => {}
    }
    text.push('}');
}
