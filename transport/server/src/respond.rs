//! Making answers.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED,
    LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use synctable_core::query::odata::percent_encode;
use synctable_core::{Record, Timestamp};
use synctable_wire::header;

use crate::brief;
use crate::coding;
use crate::conditional::http_date;
use crate::error::Failure;
use crate::etag;
use crate::handler::Call;
use crate::limits::Limits;
use crate::operations::Repeated;
use crate::retention::Retention;

/// An answer with its whole body.
pub(crate) type Response = http::Response<Bytes>;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// Announces that operation ids are honoured.
const OPERATION_IDS: HeaderName = HeaderName::from_static(header::OPERATION_IDS);
/// Tells for how many seconds they are kept.
const OPERATION_IDS_KEPT: HeaderName = HeaderName::from_static(header::OPERATION_IDS_KEPT);
/// Tells that the operation id of the request is not known, and since when it would be.
pub(crate) const OPERATION_UNKNOWN_SINCE: HeaderName =
    HeaderName::from_static(header::OPERATION_UNKNOWN_SINCE);
/// Tells that an earlier request did it.
pub(crate) const REPEATED: HeaderName = HeaderName::from_static(header::REPEATED);
/// Tells that the answer leaves out what the client sent.
pub(crate) const PREFERENCE_APPLIED: HeaderName =
    HeaderName::from_static(header::PREFERENCE_APPLIED);
/// Tells how many changes are taken in one request.
const BATCH: HeaderName = HeaderName::from_static(header::BATCH);
const UNITS: HeaderName = HeaderName::from_static(header::UNITS);
/// Tells the time of the last deletion that is not known any more.
const DELETIONS_FORGOTTEN: HeaderName = HeaderName::from_static(header::DELETIONS_FORGOTTEN);
/// Announces that members alone are taken.
const PARTIAL_UPDATES: HeaderName = HeaderName::from_static(header::PARTIAL_UPDATES);
/// Tells which server it is.
const SERVER_ID: HeaderName = HeaderName::from_static(header::SERVER_ID);
/// Names what grows in the order of commits.
const ORDERED: HeaderName = HeaderName::from_static(header::ORDERED);

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// An answer with JSON text.
pub(crate) fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// An answer with one record and its version. Who said that it knows what it sent gets the rest alone, where that is enough.
pub(crate) fn item(call: &Call<'_>, status: StatusCode, record: &Record) -> Response {
    let mut response = json(status, String::new());
    mark_version(&mut response, record);
    if !call.around.is_part() {
        mark_time(&mut response, record);
    }
    let has_tag = response.headers().contains_key(ETAG);
    let is_brief = call.around.brief && matches!(status, StatusCode::OK | StatusCode::CREATED);
    let text = match is_brief.then(|| brief::or_whole(call, record, has_tag)) {
        Some(Ok(brief)) => {
            let value = HeaderValue::from_static(header::PREFER_MINIMAL);
            response.headers_mut().insert(PREFERENCE_APPLIED, value);
            brief
        }
        Some(Err(whole)) => whole,
        None => call.print(record, None),
    };
    *response.body_mut() = text.into();
    response
}

/// 201 with the record and where it is. A part of a batch has no headers but those that are told of it.
pub(crate) fn created(call: &Call<'_>, record: &Record) -> Response {
    let mut response = item(call, StatusCode::CREATED, record);
    if call.around.is_part() {
        return response;
    }
    let table = call.uri.path().trim_end_matches('/');
    let location = format!("{table}/{}", percent_encode(record.id().as_str()));
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// 304: the client has the record already.
pub(crate) fn not_modified(record: &Record) -> Response {
    let mut response = empty(StatusCode::NOT_MODIFIED);
    mark_version(&mut response, record);
    mark_time(&mut response, record);
    response
}

/// A page of records.
pub(crate) fn list(text: String) -> Response {
    json(StatusCode::OK, text)
}

/// Names the next page in a header. Its URL has no angle brackets, which clients of version 2 would not take off.
pub(crate) fn mark_next(response: &mut Response, url: &str) {
    if let Ok(value) = HeaderValue::try_from(format!("{url}; rel=next")) {
        response.headers_mut().insert(LINK, value);
    }
}

/// An error: one line of text as `{"error": ..}`.
pub(crate) fn error(failure: &Failure) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a str,
    }
    let message: String = failure
        .message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let text = serde_json::to_string(&Body { error: &message }).unwrap_or_default();
    let mut response = json(failure.status, text);
    let headers = response.headers_mut();
    if let Some(allow) = failure.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if failure.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if failure.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// An error in words of a dialect's own.
pub(crate) fn error_text(failure: &Failure, media: HeaderValue, text: String) -> Response {
    let mut response = json(failure.status, text);
    response.headers_mut().insert(CONTENT_TYPE, media);
    response
}

/// 204 with the methods that a resource takes.
pub(crate) fn options(allow: &'static str) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// Says that the records' `updatedAt` grows in the order of commits, and that those of one commit share it.
pub(crate) fn mark_ordered(response: &mut Response) {
    let value = HeaderValue::from_static(header::ORDERED_BY_TIME_AND_ID);
    response.headers_mut().insert(ORDERED, value);
}

/// Says that nothing was done under the request's operation id, and that no id was forgotten since this time.
pub(crate) fn mark_unknown(response: &mut Response, since: Timestamp) {
    if let Ok(value) = HeaderValue::from_str(&since.to_string()) {
        response
            .headers_mut()
            .insert(OPERATION_UNKNOWN_SINCE, value);
    }
}

/// Says of a change that an earlier request of the same operation did it, and whether what is told is what is stored now.
pub(crate) fn mark_repeated(response: &mut Response, repeated: Option<Repeated>) {
    let value = match repeated {
        None => return,
        Some(Repeated::Current) => header::REPEATED_CURRENT,
        Some(Repeated::Earlier) => header::REPEATED_EARLIER,
    };
    let headers = response.headers_mut();
    headers.insert(REPEATED, HeaderValue::from_static(value));
}

/// Says which deletions in the table are not known any more, if any.
pub(crate) fn mark_forgotten(response: &mut Response, last: Option<Timestamp>) {
    let value = last.and_then(|last| HeaderValue::from_str(&last.to_string()).ok());
    if let Some(value) = value {
        response.headers_mut().insert(DELETIONS_FORGOTTEN, value);
    }
}

/// What every answer carries. The date is that of the server's clock, like the times in records. It is there before 1970, too,
/// which it cannot tell: the HTTP layer would put the machine's clock in its place.
pub(crate) fn finish(
    mut response: Response,
    now: Timestamp,
    retention: Retention,
    limits: &Limits,
    id: &HeaderValue,
) -> Response {
    let headers = response.headers_mut();
    insert_date(headers, DATE, now.max(Timestamp::EPOCH));
    let honoured = HeaderValue::from_static(header::OPERATION_IDS_HONOURED);
    headers.insert(OPERATION_IDS, honoured);
    headers.insert(OPERATION_IDS_KEPT, retention.seconds());
    let taken = HeaderValue::from_static(header::PARTIAL_UPDATES_TAKEN);
    headers.insert(PARTIAL_UPDATES, taken);
    if let Some(value) = limits.announced_batch() {
        headers.insert(BATCH, value);
    }
    if let Some(value) = limits.announced_unit() {
        headers.insert(UNITS, value);
    }
    headers.insert(ACCEPT_ENCODING, coding::TAKEN);
    headers.insert(SERVER_ID, id.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The answer to HEAD: that to GET without its body.
pub(crate) fn without_body(mut response: Response) -> Response {
    let length = std::mem::take(response.body_mut()).len();
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn mark_version(response: &mut Response, record: &Record) {
    let headers = response.headers_mut();
    if let Some(tag) = record.version().and_then(etag::to_header) {
        headers.insert(ETAG, tag);
    }
}

fn mark_time(response: &mut Response, record: &Record) {
    if let Some(time) = record.updated_at() {
        insert_date(response.headers_mut(), LAST_MODIFIED, time);
    }
}

fn insert_date(headers: &mut HeaderMap, name: HeaderName, time: Timestamp) {
    if let Some(value) = http_date(time).and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(name, value);
    }
}
