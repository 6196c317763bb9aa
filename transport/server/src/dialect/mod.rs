//! The dialects of the wire protocol. Everything that differs between them is behind [`Dialect`], or asked of it.

mod print;

use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, EXPIRES, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use synctable_core::query::DEFAULT_PAGE;
use synctable_core::{Record, TableSchema};
use synctable_wire::header::{
    self, API_VERSION, API_VERSION_3, CLIENT_VERSION, OPTION_INCLUDE_DELETED,
    OPTION_RELATIVE_LINKS, OPTIONS,
};
use synctable_wire::{DialectFacts, Links, TOOLKIT, ZUMO2, ZUMO3};

use crate::error::Failure;
use crate::parameters::Parameters;
use crate::respond::{self, Response};

const SERVER_VERSION: HeaderName = HeaderName::from_static(header::SERVER_VERSION);

/// The details of a problem (RFC 9457).
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json; charset=utf-8");

/// The largest `$top` of a table that does not say.
const MAX_TOP: u32 = 128_000;

/// The dialect of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// That of the Datasync Toolkit.
    Toolkit,
    /// That of Azure Mobile Apps with protocol version 2.
    Zumo2,
    /// That of Azure Mobile Apps with protocol version 3.
    Zumo3,
}

impl Dialect {
    /// What is so for its clients, too.
    fn facts(self) -> DialectFacts {
        match self {
            Self::Toolkit => TOOLKIT,
            Self::Zumo2 => ZUMO2,
            Self::Zumo3 => ZUMO3,
        }
    }

    /// The dialect that a request speaks: by `ZUMO-API-VERSION`, as a parameter or else as a header.
    pub(crate) fn of(headers: &HeaderMap, parameters: &Parameters) -> Self {
        let header = headers
            .get(API_VERSION)
            .and_then(|value| value.to_str().ok());
        let version = parameters.get(API_VERSION).or(header).unwrap_or_default();
        if is_version_2(version) {
            Self::Zumo2
        } else if version == API_VERSION_3 && headers.contains_key(CLIENT_VERSION) {
            Self::Zumo3
        } else {
            Self::Toolkit
        }
    }

    /// A record as JSON, or only the members selected.
    pub(crate) fn item(
        self,
        record: &Record,
        schema: &TableSchema,
        select: Option<&[String]>,
    ) -> String {
        match (select, self) {
            (Some(names), _) => record.to_json_selected(names),
            (None, Self::Toolkit) => print::without_creation(record),
            (None, Self::Zumo3) => print::without_creation(&print::filled(record, schema)),
            (None, Self::Zumo2) => print::filled(record, schema).to_json(),
        }
    }

    /// A page: items as JSON, the count where it was asked for, where the next page is.
    pub(crate) fn list(self, items: &[String], count: Option<u64>, next: Option<&str>) -> String {
        match self {
            Self::Toolkit | Self::Zumo3 => print::page(items, count, next),
            Self::Zumo2 => print::array(items, count),
        }
    }

    /// An error. Where members are not as declared, it names them as the genuine servers do. Version 2 knows one line of text only, and
    /// so does the Toolkit for values that are none of their type, which its own server cannot read.
    pub(crate) fn error(self, failure: &Failure) -> Response {
        let mistyped = failure.faults.iter().any(|fault| fault.mistyped);
        match self {
            Self::Toolkit if !failure.faults.is_empty() && !mistyped => {
                respond::error_text(failure, respond::JSON, print::results(&failure.faults))
            }
            Self::Zumo3 if !failure.faults.is_empty() => {
                let text = print::problem(failure.status, &failure.faults, &failure.message);
                respond::error_text(failure, PROBLEM, text)
            }
            _ => respond::error(failure),
        }
    }

    /// How this client wants to be told where the next page is.
    pub(crate) fn links(self, headers: &HeaderMap) -> Links {
        if self == Self::Zumo3 && has_option(headers, OPTION_RELATIVE_LINKS) {
            Links::Path
        } else {
            self.facts().links
        }
    }

    /// Whether the request asks for tombstones.
    pub(crate) fn includes_deleted(self, headers: &HeaderMap, parameters: &Parameters) -> bool {
        let option = self == Self::Zumo3 && has_option(headers, OPTION_INCLUDE_DELETED);
        option || parameters.include_deleted()
    }

    /// Whether a tombstone can be read and written like a record where it is asked for.
    pub(crate) fn opens_tombstones(self) -> bool {
        self != Self::Zumo2
    }

    /// Whether a change that says so makes a tombstone a record again though tombstones were not asked for.
    pub(crate) fn revives_unasked(self) -> bool {
        self == Self::Zumo3
    }

    /// What is answered where a tombstone is and none was asked for.
    pub(crate) fn gone(self) -> Failure {
        let message = "the record is deleted; ask with '__includedeleted=true'";
        match self {
            Self::Toolkit | Self::Zumo3 => Failure::new(StatusCode::GONE, message),
            Self::Zumo2 => {
                Failure::not_found("the record is deleted; POST to its path undeletes it")
            }
        }
    }

    /// Whether a record is answered to a read only where the client does not have it already.
    pub(crate) fn reads_are_conditional(self) -> bool {
        self != Self::Zumo2
    }

    /// Whether a time rule takes a record as changed that was changed at exactly the time given.
    pub(crate) fn same_time_is_modified(self) -> bool {
        self == Self::Toolkit
    }

    /// The methods of a table.
    pub(crate) fn table_methods(self) -> &'static str {
        match self {
            Self::Toolkit | Self::Zumo3 => "GET, HEAD, POST, OPTIONS",
            Self::Zumo2 => "GET, HEAD, POST, PATCH, OPTIONS",
        }
    }

    /// The methods of a record.
    pub(crate) fn record_methods(self) -> &'static str {
        match self {
            Self::Zumo2 => "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
            Self::Toolkit | Self::Zumo3 => "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        }
    }

    /// Records in a page of a table that does not say.
    pub(crate) fn default_page(self) -> u32 {
        match self {
            Self::Toolkit | Self::Zumo3 => DEFAULT_PAGE,
            Self::Zumo2 => 50,
        }
    }

    /// The largest `$top` of a table that does not say. Version 2 gives as many records in one page.
    pub(crate) fn default_max_top(self) -> u32 {
        self.facts().most_top.unwrap_or(MAX_TOP)
    }

    /// Adds the headers that clients of the dialect look for.
    pub(crate) fn mark(self, response: &mut Response) {
        if self == Self::Zumo2 {
            let headers = response.headers_mut();
            for (name, value) in [
                (
                    SERVER_VERSION,
                    concat!("synctable-", env!("CARGO_PKG_VERSION")),
                ),
                (ACCESS_CONTROL_EXPOSE_HEADERS, "Link,ETag"),
                (EXPIRES, "0"),
                (PRAGMA, "no-cache"),
            ] {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
}

fn has_option(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(OPTIONS)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(option))
}

/// `2.0.` and digits.
fn is_version_2(version: &str) -> bool {
    version
        .strip_prefix("2.0.")
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_and_the_client_decide() {
        use Dialect::{Toolkit, Zumo2, Zumo3};
        for (version, client, query, dialect) in [
            (None, false, "", Toolkit),
            (Some("3.0.0"), false, "", Toolkit),
            (Some("3.0.0"), true, "", Zumo3),
            (Some("2.0.0"), false, "", Zumo2),
            (Some("2.0.17"), true, "", Zumo2),
            (Some("2.0."), false, "", Toolkit),
            (Some("2.0.x"), false, "", Toolkit),
            (Some("2.1.0"), false, "", Toolkit),
            (Some("nonsense"), true, "", Toolkit),
            (None, false, "ZUMO-api-Version=2.0.0", Zumo2),
            (Some("2.0.0"), false, "zumo-api-version=3.0.0", Toolkit),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert(API_VERSION, HeaderValue::from_static(version));
            }
            if client {
                headers.insert(CLIENT_VERSION, HeaderValue::from_static("x"));
            }
            let parameters = Parameters::parse(query).unwrap();
            let found = Dialect::of(&headers, &parameters);
            assert_eq!(found, dialect, "{version:?} {client} {query}");
        }
    }

    #[test]
    fn options_of_version_3_are_read() {
        let none = Parameters::parse("").unwrap();
        for (value, links, deleted) in [
            ("nextLink=path", Links::Path, false),
            ("include:deleted", Links::Url, true),
            ("x, NEXTLINK=PATH ,Include:Deleted", Links::Path, true),
            ("nextLink=url", Links::Url, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(OPTIONS, HeaderValue::from_static(value));
            let dialect = Dialect::Zumo3;
            assert_eq!(dialect.links(&headers), links, "{value}");
            assert_eq!(dialect.includes_deleted(&headers, &none), deleted);
            assert!(!Dialect::Toolkit.includes_deleted(&headers, &none));
        }
    }
}
