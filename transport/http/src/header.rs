//! Headers: versions as entity tags, dates, waits and credentials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{ACCEPT_ENCODING, DATE, ETAG, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use synctable_core::transport::{BatchLimits, TransportError, TransportErrorKind};
use synctable_core::{Timestamp, Version};
use synctable_wire::header as names;

use crate::packing::GZIP;

/// Request header with the key that is the same whenever one change is sent again.
pub const OPERATION_ID: HeaderName = HeaderName::from_static(names::OPERATION_ID);
/// Response header `1`: the server answers a repeated [`OPERATION_ID`] with the first outcome.
pub const OPERATION_IDS: HeaderName = HeaderName::from_static(names::OPERATION_IDS);
/// Response header with a number of seconds: so long the server keeps the outcome of an [`OPERATION_ID`]. Where it is left out
/// beside [`OPERATION_IDS`], that is thirty days.
pub const OPERATION_IDS_KEPT: HeaderName = HeaderName::from_static(names::OPERATION_IDS_KEPT);
/// Response header `1`: the server takes the changed members of a record alone, by `PATCH` on the condition of its version.
pub const PARTIAL_UPDATES: HeaderName = HeaderName::from_static(names::PARTIAL_UPDATES);
/// Response header `CHANGES BYTES`: the server takes so many changes in one request, in a body of so many bytes.
pub const BATCH: HeaderName = HeaderName::from_static(names::BATCH);
/// Response header, beside [`BATCH`], with a number: so many changes of one request are done together or not at all.
pub const UNITS: HeaderName = HeaderName::from_static(names::UNITS);
/// Response header `current` or `earlier`: the operation was done by an earlier request with this [`OPERATION_ID`], and what is told
/// is what the server holds now, or others have changed the record since.
pub const REPEATED: HeaderName = HeaderName::from_static(names::REPEATED);
/// Response header within a batch: what of the wishes of the request holds for this answer.
pub(crate) const PREFERENCE_APPLIED: HeaderName =
    HeaderName::from_static(names::PREFERENCE_APPLIED);
/// Response header `1`, with status 503 within a batch: the server did not look at this change.
pub const NOT_TRIED: HeaderName = HeaderName::from_static(names::NOT_TRIED);
/// Response header with a time, on a conflict: the server did nothing under this [`OPERATION_ID`], and has kept all ids of this
/// user since then.
pub const OPERATION_UNKNOWN_SINCE: HeaderName =
    HeaderName::from_static(names::OPERATION_UNKNOWN_SINCE);
/// Response header with a time, on a page: that of the last deletion in the table that the server knows no more.
pub(crate) const DELETIONS_FORGOTTEN: HeaderName =
    HeaderName::from_static(names::DELETIONS_FORGOTTEN);
/// Response header with an id of the server's own: the same in each answer, and another one for every other server.
pub const SERVER_ID: HeaderName = HeaderName::from_static(names::SERVER_ID);
/// Response header with what grows in the order of commits within a table: `updatedAt` alone is unique, `updatedAt,id` is not, but ordered by id within one commit.
pub const ORDERED: HeaderName = HeaderName::from_static(names::ORDERED);
/// The older request header for the token of a signed-in user.
pub const X_ZUMO_AUTH: HeaderName = HeaderName::from_static(names::AUTH);

/// Request header that names an installation of an application to older servers.
pub(crate) const X_ZUMO_INSTALLATION_ID: HeaderName =
    HeaderName::from_static(names::INSTALLATION_ID);

/// A version as the value of `If-Match`: quoted, with `\` before each `"` that has none.
pub(crate) fn entity_tag(version: &Version) -> Result<HeaderValue, TransportError> {
    let mut tag = String::with_capacity(version.as_str().len() + 2);
    tag.push('"');
    let mut previous = '"';
    for c in version.as_str().chars() {
        if c == '"' && previous != '\\' {
            tag.push('\\');
        }
        tag.push(c);
        previous = c;
    }
    tag.push('"');
    value(&tag, "the record's version")
}

/// The version in the `ETag` of an answer. A weak tag is none: it is a hash of the text, not of the record.
pub(crate) fn version(headers: &HeaderMap) -> Option<Version> {
    let tag = std::str::from_utf8(headers.get(ETAG)?.as_bytes()).ok()?;
    if tag.starts_with("W/") {
        return None;
    }
    let inner = tag
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(tag);
    (!inner.is_empty()).then(|| Version::new(&inner.replace("\\\"", "\"")))
}

/// The most characters of a server's id that is believed.
const LONGEST_SERVER_ID: usize = 200;

/// The id that the server announces of itself. What is too long, or said twice with a difference, is none.
pub(crate) fn server_id(headers: &HeaderMap) -> Option<String> {
    let mut said = headers.get_all(SERVER_ID).iter();
    let first = said.next()?;
    if said.any(|other| other != first) {
        return None;
    }
    let id = first.to_str().ok()?.trim();
    (!id.is_empty() && id.len() <= LONGEST_SERVER_ID).then(|| id.to_owned())
}

/// A header value from text; the error says `what` and shows nothing of it.
pub(crate) fn value(text: &str, what: &str) -> Result<HeaderValue, TransportError> {
    HeaderValue::from_str(text).map_err(|error| {
        let message = format!("{what} holds characters that cannot be sent in a header");
        TransportError::new(TransportErrorKind::BadRequest, message).with_source(error)
    })
}

/// The server's clock at the answer.
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// The server's clock at the answer, as a timestamp.
pub(crate) fn server_time(headers: &HeaderMap) -> Option<Timestamp> {
    let since = date(headers)?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis())
        .ok()
        .map(Timestamp::from_millis)
}

/// Since when the server would know of an effect of the operation id that it was sent.
pub(crate) fn unknown_since(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(OPERATION_UNKNOWN_SINCE)?.to_str().ok()?;
    text.trim().parse().ok()
}

/// Up to which deletion of the table the server has removed tombstones.
pub(crate) fn forgotten(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DELETIONS_FORGOTTEN)?.to_str().ok()?;
    text.trim().parse().ok()
}

/// How many changes the server takes in one request, and together. What cannot be read, or comes to no more than one change, is no announcement.
pub(crate) fn batches(headers: &HeaderMap) -> Option<BatchLimits> {
    let text = |name| headers.get(name)?.to_str().ok();
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<usize>().ok()).flatten()
    };
    let (changes, bytes) = text(BATCH)?.split_once(' ')?;
    let (changes, bytes) = (number(changes)?, number(bytes)?);
    let units = text(UNITS).and_then(number).filter(|most| *most >= 2);
    let limits = BatchLimits::of(changes).with_bytes(Some(bytes));
    (changes >= 2 && bytes > 0).then(|| limits.with_units(units.map(|most| most.min(changes))))
}

/// True where the server says that it takes bodies packed by gzip.
pub(crate) fn unpacks(headers: &HeaderMap) -> bool {
    let said = headers.get_all(ACCEPT_ENCODING).iter();
    let ways = said.filter_map(|said| said.to_str().ok());
    ways.flat_map(|ways| ways.split(',')).any(|way| {
        let (name, weight) = way.split_once(';').unwrap_or((way, ""));
        let never = weight.trim().strip_prefix("q=").map(str::parse) == Some(Ok(0.0));
        name.trim().eq_ignore_ascii_case(GZIP) && !never
    })
}

/// True where a header has exactly this value.
pub(crate) fn says(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|found| found == value)
}

/// How long the server asks to wait: seconds, or until a date by the server's own clock (else by `now`).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = date(headers).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag_of(version: &str) -> String {
        let tag = entity_tag(&Version::new(version)).unwrap();
        String::from_utf8(tag.as_bytes().to_vec()).unwrap()
    }

    fn version_in(tag: &str) -> Option<String> {
        let tag = HeaderValue::from_str(tag).unwrap();
        let version = version(&HeaderMap::from_iter([(ETAG, tag)]));
        version.map(|version| version.as_str().to_owned())
    }

    #[test]
    fn versions_are_quoted_and_escaped() {
        assert_eq!(tag_of("AAAAAAAAB9E="), "\"AAAAAAAAB9E=\"");
        assert_eq!(tag_of("a\"b"), "\"a\\\"b\"");
        assert_eq!(tag_of("a\\\"b"), "\"a\\\"b\"");
        assert_eq!(tag_of("\""), "\"\\\"\"");
        assert_eq!(tag_of("*"), "\"*\"");
        assert_eq!(tag_of("é"), "\"é\"");
    }

    #[test]
    fn versions_that_do_not_fit_a_header_are_refused() {
        for version in ["a\r\nX: y", "a\n", "\0", "\u{7f}"] {
            let error = entity_tag(&Version::new(version)).unwrap_err();
            assert_eq!(error.kind(), TransportErrorKind::BadRequest);
            assert!(!error.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn tags_become_versions() {
        assert_eq!(version_in("\"MQ==\"").as_deref(), Some("MQ=="));
        assert_eq!(version_in("\"a\\\"b\"").as_deref(), Some("a\"b"));
        assert_eq!(version_in("MQ==").as_deref(), Some("MQ=="));
        assert_eq!(version_in("\"").as_deref(), Some("\""));
        for none in ["W/\"MQ==\"", "\"\"", ""] {
            assert_eq!(version_in(none), None, "{none}");
        }
        assert_eq!(version(&HeaderMap::new()), None);
        let bytes = HeaderValue::from_bytes(b"\"\xff\"").unwrap();
        assert_eq!(version(&HeaderMap::from_iter([(ETAG, bytes)])), None);
    }

    #[test]
    fn times_of_forgotten_deletions_that_cannot_be_read_say_nothing() {
        let said =
            |text| HeaderMap::from_iter([(DELETIONS_FORGOTTEN, HeaderValue::from_static(text))]);
        let time = "2026-01-31T12:00:00.001Z";
        let read = forgotten(&said(time)).map(|time| time.to_string());
        assert_eq!(read.as_deref(), Some(time));
        for none in ["", "yesterday", "1"] {
            assert_eq!(forgotten(&said(none)), None, "{none}");
        }
        assert_eq!(forgotten(&HeaderMap::new()), None);
    }

    #[test]
    fn limits_of_batches_are_two_numbers() {
        let said = |text| {
            batches(&HeaderMap::from_iter([(
                BATCH,
                HeaderValue::from_static(text),
            )]))
        };
        let limits = BatchLimits::of(500).with_bytes(Some(1_048_576));
        assert_eq!(said("500 1048576"), Some(limits));
        assert_eq!(said("2 1"), Some(BatchLimits::of(2).with_bytes(Some(1))));
        for none in [
            "",
            "500",
            "500 ",
            " 500 1",
            "500  1",
            "500 1 ",
            "500 1 1",
            "500,1",
            "500 1x",
            "+500 1",
            "500 -1",
            "5e2 1",
            "many some",
            "0 1",
            "1 1048576",
            "500 0",
            "99999999999999999999999 1",
            "2 99999999999999999999999",
        ] {
            assert_eq!(said(none), None, "{none}");
        }
        assert_eq!(batches(&HeaderMap::new()), None);
    }

    #[test]
    fn waits_are_read_in_both_forms() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let wait = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("0"), Some(Duration::ZERO));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::from_secs(7))
        );
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        for none in ["", "-1", "1.5", "soon", "99999999999999999999999"] {
            assert_eq!(wait(none), None, "{none}");
        }
    }

    #[test]
    fn a_wait_until_a_date_goes_by_the_clock_of_the_server() {
        let at = |text: &'static str| HeaderValue::from_static(text);
        let headers = HeaderMap::from_iter([
            (RETRY_AFTER, at("Sun, 06 Nov 1994 08:49:37 GMT")),
            (DATE, at("Sun, 06 Nov 1994 08:49:35 GMT")),
        ]);
        assert_eq!(
            retry_after(&headers, UNIX_EPOCH),
            Some(Duration::from_secs(2))
        );
        let time = server_time(&headers).unwrap();
        assert_eq!(time.to_string(), "1994-11-06T08:49:35.000Z");
    }
}
