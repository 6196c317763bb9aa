//! Answers: items, refusals, dates.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED, LOCATION};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;
use synctable_core::{Record, Timestamp, Version};
use synctable_testkit::typed::{Flavour, Refusal};

use crate::rows::shown;

const JSON: &str = "application/json; charset=utf-8";
const PROBLEM: &str = "application/problem+json; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// An answer under construction.
pub(crate) type Answer = Response<Bytes>;

/// A status and nothing else.
pub(crate) fn bare(status: u16) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}

pub(crate) fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    // What cannot be written as it is, is escaped before it comes here.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

fn text(status: u16, content_type: &str, body: String) -> Answer {
    let answer = bare(status).map(|_| Bytes::from(body));
    with(answer, CONTENT_TYPE, content_type)
}

/// JSON.
pub(crate) fn json(status: u16, body: String) -> Answer {
    text(status, JSON, body)
}

/// One row.
pub(crate) fn item(status: u16, flavour: Flavour, row: &Record) -> Answer {
    let mut answer = json(status, shown(flavour, row, None));
    if let Some(version) = row.version() {
        answer = with(answer, ETAG, &tag(version));
    }
    match row.updated_at() {
        Some(time) => with(answer, LAST_MODIFIED, &http_date(time)),
        None => answer,
    }
}

/// With the place of a new record.
pub(crate) fn located(answer: Answer, place: &str) -> Answer {
    with(answer, LOCATION, place)
}

/// The version as an entity tag.
pub(crate) fn tag(version: &Version) -> String {
    format!("\"{}\"", version.as_str())
}

/// A status about a record: one server says nothing more, the other says it again in a body.
pub(crate) fn status(flavour: Flavour, status: u16) -> Answer {
    let (section, title) = match status {
        404 => ("5", "Not Found"),
        410 => ("11", "Gone"),
        _ => ("1", "Bad Request"),
    };
    match flavour {
        Flavour::Toolkit => bare(status),
        Flavour::Zumo3 => text(
            status,
            PROBLEM,
            format!(
                r#"{{"type":"https://tools.ietf.org/html/rfc9110#section-15.5.{section}","title":"{title}","status":{status},"traceId":"00-0-0-00"}}"#
            ),
        ),
    }
}

/// A verb that is not known.
pub(crate) fn not_allowed(verbs: &str) -> Answer {
    with(bare(405), ALLOW, verbs)
}

/// A record that cannot be taken.
pub(crate) fn refusal(flavour: Flavour, refusal: &Refusal) -> Answer {
    let (status, body) = (refusal.status(flavour), refusal.body(flavour));
    match flavour {
        Flavour::Toolkit if body.is_empty() => bare(status),
        Flavour::Toolkit => json(status, body),
        Flavour::Zumo3 => text(status, PROBLEM, body),
    }
}

/// A query that cannot be taken.
pub(crate) fn bad_query(flavour: Flavour, words: &str) -> Answer {
    match flavour {
        Flavour::Toolkit => json(
            400,
            format!(
                r#"{{"code":"400","message":{},"target":null,"details":null,"innerError":null,"instanceAnnotations":[],"typeAnnotation":null}}"#,
                Value::from(words)
            ),
        ),
        Flavour::Zumo3 => text(400, PLAIN, words.to_owned()),
    }
}

/// A request to the older server without the version of its protocol, or with another one.
pub(crate) fn bad_version(version: Option<&str>) -> Answer {
    let (title, detail) = match version {
        None => (
            "Missing",
            "The value of ZUMO-API-VERSION is not specified in headers or query parameters",
        ),
        Some(_) => (
            "Invalid",
            "The value of ZUMO-API-VERSION is not a supported version",
        ),
    };
    text(
        400,
        PROBLEM,
        format!(r#"{{"title":"{title} ZUMO-API-VERSION","status":400,"detail":"{detail}"}}"#),
    )
}

/// With the server's clock.
pub(crate) fn dated(answer: Answer, now: Timestamp) -> Answer {
    with(answer, DATE, &http_date(now))
}

/// A time as HTTP writes it, to the second.
fn http_date(time: Timestamp) -> String {
    let (date, (hour, minute, second, _)) = (time.date(), time.time_of_day().parts());
    let (year, month, day) = date.parts();
    // 1970 began on a Thursday.
    let day_of_week = match date.days().rem_euclid(7) {
        0 => "Thu",
        1 => "Fri",
        2 => "Sat",
        3 => "Sun",
        4 => "Mon",
        5 => "Tue",
        _ => "Wed",
    };
    let month = match month {
        1 => "Jan",
        2 => "Feb",
        3 => "Mar",
        4 => "Apr",
        5 => "May",
        6 => "Jun",
        7 => "Jul",
        8 => "Aug",
        9 => "Sep",
        10 => "Oct",
        11 => "Nov",
        _ => "Dec",
    };
    format!("{day_of_week}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_has_them() {
        for (millis, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            assert_eq!(http_date(Timestamp::from_millis(millis)), text);
        }
    }
}
