//! Several changes in one request: read as one, then each is answered as if it had come alone.
//!
//! They begin in their order, many at once, so that they share commits. What fails concerns one change only, and those that are done together with
//! it or not at all; the others go on.

mod envelope;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesOrdered;
use http::header::{ETAG, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use synctable_core::{RecordId, TableName, push_json_text};
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
use crate::unit::Unit;

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
    let units = envelope::read(request, &core.limits)?;
    let around = Around {
        brief: brief::is_asked_for(headers),
        ..around
    };
    // What tokio allots to a task is used up by half of them, and the others would come one by one behind them. Each of them waits for the others anyway.
    let text = unconstrained(each(core, units, around)).await;
    Ok(coding::packed(request, respond::json(StatusCode::OK, text)))
}

/// Does the changes, and prints their answers in the order of the changes.
async fn each(core: &Core, units: Vec<Vec<Part>>, around: Around<'_>) -> String {
    let reads = Reads::default();
    let around = Around {
        reads: Some(&reads),
        ..around
    };
    let deadline = Instant::now() + TIME;
    let mut units = units.into_iter();
    let (mut under_way, mut count) = (FuturesOrdered::new(), 0);
    let mut text = String::from(r#"{"responses":["#);
    loop {
        while count < AT_ONCE && text.len() <= core.limits.batch_body && Instant::now() < deadline {
            let Some(unit) = units.next() else { break };
            count += unit.len();
            under_way.push_back(together(core, unit, around));
        }
        let Some(answers) = under_way.next().await else {
            break;
        };
        count -= answers.len();
        for (id, answer) in answers {
            print(&mut text, &id, &answer);
        }
    }
    for part in units.flatten() {
        let mut answer = respond::empty(StatusCode::SERVICE_UNAVAILABLE);
        let value = HeaderValue::from_static(header::NOT_TRIED_SO);
        answer.headers_mut().insert(NOT_TRIED, value);
        print(&mut text, &part.id, &answer);
    }
    text.push_str("]}");
    text
}

/// Does all of a unit or nothing of it; a change that is none by itself as it comes.
async fn together(
    core: &Core,
    mut parts: Vec<Part>,
    around: Around<'_>,
) -> Vec<(String, Response)> {
    if parts.len() < 2 {
        let Some(part) = parts.pop() else {
            return Vec::new();
        };
        return vec![(part.id, one(core, part.request, around).await)];
    }
    let records: Vec<(TableName, RecordId)> = parts
        .iter_mut()
        .filter_map(|part| part.record.take())
        .collect();
    let _turns = core.turns.take_all(&records).await;
    let unit = &Unit::new(parts.len());
    let each = parts.into_iter().zip(0_usize..).map(|(part, at)| {
        let around = Around {
            unit: Some(unit.part(at)),
            ..around
        };
        async move {
            let answer = one(core, part.request, around).await;
            unit.leave(at, answer.status().is_success());
            (part.id, answer)
        }
    });
    // Collected, as a stream of closures is not known to be `Send`.
    let each: Vec<_> = each.collect();
    join_all(each).await
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
