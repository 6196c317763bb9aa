//! Conditional requests: a pure function of the headers and the stored record.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use synctable_core::{Record, Timestamp};

use crate::dialect::Dialect;
use crate::error::Failure;
use crate::etag::Tags;

/// The conditions of a request.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    matching: Option<Tags>,
    unmodified_since: Option<Timestamp>,
    none_matching: Option<Tags>,
    modified_since: Option<Timestamp>,
    /// How the time rules take a record that was changed at exactly the time given.
    same_time_is_modified: bool,
}

/// Whether a request reads or writes; a write is based on one version only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Read,
    Write,
}

/// What the conditions say about a stored record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All hold.
    Proceed,
    /// The client has it already (for reads: 304).
    NotModified,
    /// It is not what the client thinks (412).
    Failed,
}

impl Conditions {
    /// Reads the headers. Dates that are none are ignored, as HTTP asks; tags that are none are an error.
    pub(crate) fn read(
        headers: &HeaderMap,
        dialect: Dialect,
        intent: Intent,
    ) -> Result<Self, Failure> {
        if intent == Intent::Read && !dialect.reads_are_conditional() {
            return Ok(Self::default());
        }
        let conditions = Self {
            matching: tags(headers, &IF_MATCH)?,
            unmodified_since: date(headers, &IF_UNMODIFIED_SINCE),
            none_matching: tags(headers, &IF_NONE_MATCH)?,
            modified_since: date(headers, &IF_MODIFIED_SINCE),
            same_time_is_modified: dialect.same_time_is_modified(),
        };
        match &conditions.matching {
            Some(tags) if intent == Intent::Write && tags.count() > 1 => Err(Failure::bad_request(
                "the header 'if-match' of a write must have one tag only",
            )),
            _ => Ok(conditions),
        }
    }

    /// Judges a stored record. Times compare with the milliseconds that are stored; a record without a time
    /// fails both time rules.
    pub(crate) fn judge(&self, stored: &Record) -> Verdict {
        let version = stored.version();
        let updated = stored.updated_at();
        let is_modified = |time: Timestamp, since: Timestamp| {
            time > since || time == since && self.same_time_is_modified
        };
        let matched = match (&self.matching, self.unmodified_since) {
            (Some(tags), _) => tags.matches(version),
            (None, Some(since)) => updated.is_some_and(|time| !is_modified(time, since)),
            (None, None) => true,
        };
        let modified = match (&self.none_matching, self.modified_since) {
            (Some(tags), _) => !tags.matches_weakly(version),
            (None, Some(since)) => updated.is_some_and(|time| is_modified(time, since)),
            (None, None) => true,
        };
        match (matched, modified) {
            (false, _) => Verdict::Failed,
            (true, false) => Verdict::NotModified,
            (true, true) => Verdict::Proceed,
        }
    }
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Failure> {
    let garbled =
        || Failure::bad_request(format!("the header '{name}' is not a list of quoted tags"));
    let mut lines = Vec::new();
    for value in headers.get_all(name) {
        lines.push(std::str::from_utf8(value.as_bytes()).map_err(|_| garbled())?);
    }
    if lines.is_empty() {
        return Ok(None);
    }
    Tags::parse(&lines.join(",")).map(Some).ok_or_else(garbled)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(
        i64::try_from(since.as_millis()).ok()?,
    ))
}

/// A time as headers print it, in whole seconds; `None` before 1970.
pub(crate) fn http_date(time: Timestamp) -> Option<String> {
    let millis = u64::try_from(time.millis()).ok()?;
    let time: SystemTime = UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
    Some(httpdate::fmt_http_date(time))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const BEFORE: &str = "Sat, 31 Jan 2026 11:59:59 GMT";
    const AT: &str = "Sat, 31 Jan 2026 12:00:00 GMT";
    const AFTER: &str = "Sat, 31 Jan 2026 12:00:01 GMT";

    fn stored() -> Record {
        Record::from_json(r#"{"id":"a","version":"v1","updatedAt":"2026-01-31T12:00:00.000Z"}"#)
            .unwrap()
    }

    fn judge(lines: &[(&HeaderName, &str)], record: &Record) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Conditions::read(&headers, Dialect::Toolkit, Intent::Read)
            .unwrap()
            .judge(record)
    }

    #[test]
    fn the_matrix_of_single_rules() {
        use Verdict::{Failed, NotModified, Proceed};
        for (name, value, verdict) in [
            (&IF_MATCH, "\"v1\"", Proceed),
            (&IF_MATCH, "\"v0\"", Failed),
            (&IF_MATCH, "\"v0\", \"v1\"", Proceed),
            (&IF_MATCH, "W/\"v1\"", Failed),
            (&IF_MATCH, "*", Proceed),
            (&IF_NONE_MATCH, "\"v1\"", NotModified),
            (&IF_NONE_MATCH, "\"v0\"", Proceed),
            (&IF_NONE_MATCH, "W/\"v1\"", NotModified),
            (&IF_NONE_MATCH, "W/\"v0\"", Proceed),
            (&IF_NONE_MATCH, "\"v0\", W/\"v1\"", NotModified),
            (&IF_NONE_MATCH, "*", NotModified),
            (&IF_UNMODIFIED_SINCE, BEFORE, Failed),
            (&IF_UNMODIFIED_SINCE, AT, Failed),
            (&IF_UNMODIFIED_SINCE, AFTER, Proceed),
            (&IF_UNMODIFIED_SINCE, "yesterday", Proceed),
            (&IF_MODIFIED_SINCE, BEFORE, Proceed),
            (&IF_MODIFIED_SINCE, AT, Proceed),
            (&IF_MODIFIED_SINCE, AFTER, NotModified),
            (&IF_MODIFIED_SINCE, "yesterday", Proceed),
        ] {
            assert_eq!(
                judge(&[(name, value)], &stored()),
                verdict,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn the_older_dialects_take_the_same_time_as_not_modified() {
        let judge = |name: &HeaderName, value, dialect| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            Conditions::read(&headers, dialect, Intent::Read)
                .unwrap()
                .judge(&stored())
        };
        for (name, value, verdict) in [
            (&IF_UNMODIFIED_SINCE, BEFORE, Verdict::Failed),
            (&IF_UNMODIFIED_SINCE, AT, Verdict::Proceed),
            (&IF_MODIFIED_SINCE, BEFORE, Verdict::Proceed),
            (&IF_MODIFIED_SINCE, AT, Verdict::NotModified),
        ] {
            assert_eq!(judge(name, value, Dialect::Zumo3), verdict, "{name}");
            let read = judge(name, value, Dialect::Zumo2);
            assert_eq!(read, Verdict::Proceed, "reads have no conditions there");
        }
    }

    #[test]
    fn tags_beat_dates_and_match_rules_come_first() {
        use Verdict::{Failed, NotModified, Proceed};
        for (lines, verdict) in [
            (
                [(&IF_MATCH, "\"v1\""), (&IF_UNMODIFIED_SINCE, BEFORE)],
                Proceed,
            ),
            (
                [(&IF_NONE_MATCH, "\"v0\""), (&IF_MODIFIED_SINCE, AFTER)],
                Proceed,
            ),
            ([(&IF_MATCH, "\"v0\""), (&IF_NONE_MATCH, "\"v1\"")], Failed),
            (
                [(&IF_MATCH, "\"v1\""), (&IF_NONE_MATCH, "\"v1\"")],
                NotModified,
            ),
            ([(&IF_MATCH, "\"v0\""), (&IF_MATCH, "\"v1\"")], Proceed),
        ] {
            assert_eq!(judge(&lines, &stored()), verdict, "{lines:?}");
        }
    }

    #[test]
    fn a_record_without_time_or_version_fails_every_rule_but_none_match() {
        let bare = Record::from_json(r#"{"id":"a"}"#).unwrap();
        assert_eq!(judge(&[(&IF_MATCH, "*")], &bare), Verdict::Failed);
        assert_eq!(judge(&[(&IF_NONE_MATCH, "*")], &bare), Verdict::Proceed);
        assert_eq!(
            judge(&[(&IF_UNMODIFIED_SINCE, AFTER)], &bare),
            Verdict::Failed
        );
        assert_eq!(
            judge(&[(&IF_MODIFIED_SINCE, BEFORE)], &bare),
            Verdict::NotModified
        );
    }

    #[test]
    fn a_write_with_several_or_garbled_tags_is_refused() {
        for (intent, line, good) in [
            (Intent::Write, "\"a\"", true),
            (Intent::Write, "W/\"a\"", true),
            (Intent::Write, "\"a\", \"b\"", false),
            (Intent::Read, "\"a\", \"b\"", true),
            (Intent::Write, "a", false),
            (Intent::Read, "a", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(line));
            assert_eq!(
                Conditions::read(&headers, Dialect::Toolkit, intent).is_ok(),
                good,
                "{intent:?} {line}"
            );
        }
    }

    #[test]
    fn dates_print_in_whole_seconds() {
        assert_eq!(http_date(stored().updated_at().unwrap()).unwrap(), AT);
        assert_eq!(http_date(Timestamp::MIN), None);
        assert!(http_date(Timestamp::MAX).is_some());
    }
}
