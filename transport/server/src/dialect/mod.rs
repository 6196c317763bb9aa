//! The dialects of the wire protocol. Everything that differs between them is behind [`Dialect`].

mod toolkit;

use http::HeaderMap;
use synctable_core::Record;

use crate::error::Failure;
use crate::parameters::Parameters;

/// The header and parameter that name the protocol version.
const API_VERSION: &str = "zumo-api-version";
/// The header that tells clients of version 3 from the Toolkit's own, which send the same version number.
const CLIENT_VERSION: &str = "x-zumo-version";

/// The dialect of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// That of the Datasync Toolkit.
    Toolkit,
}

impl Dialect {
    /// The dialect that a request speaks: by `ZUMO-API-VERSION`, as a parameter or else as a header.
    pub(crate) fn of(headers: &HeaderMap, parameters: &Parameters) -> Result<Self, Failure> {
        let header = headers
            .get(API_VERSION)
            .and_then(|value| value.to_str().ok());
        let version = parameters.get(API_VERSION).or(header).unwrap_or_default();
        let later = |name: &str| {
            Failure::bad_request(format!(
                "protocol version {version} (dialect {name}) comes with a later release; use the toolkit dialect"
            ))
        };
        if is_version_2(version) {
            Err(later("zumo2"))
        } else if version == "3.0.0" && headers.contains_key(CLIENT_VERSION) {
            Err(later("zumo3"))
        } else {
            Ok(Self::Toolkit)
        }
    }

    /// A record as JSON, or only the members selected.
    pub(crate) fn item(self, record: &Record, select: Option<&[String]>) -> String {
        match self {
            Self::Toolkit => toolkit::item(record, select),
        }
    }

    /// A page: items as JSON, the count where it was asked for, where the next page is.
    pub(crate) fn list(self, items: &[String], count: Option<u64>, next: Option<&str>) -> String {
        match self {
            Self::Toolkit => toolkit::list(items, count, next),
        }
    }

    /// The methods of a table.
    pub(crate) fn table_methods(self) -> &'static str {
        match self {
            Self::Toolkit => "GET, HEAD, POST, OPTIONS",
        }
    }

    /// The methods of a record.
    pub(crate) fn record_methods(self) -> &'static str {
        match self {
            Self::Toolkit => "GET, HEAD, PUT, DELETE, OPTIONS",
        }
    }
}

/// `2.0.` and digits.
fn is_version_2(version: &str) -> bool {
    version
        .strip_prefix("2.0.")
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_version_and_the_client_decide() {
        for (version, client, query, served) in [
            (None, false, "", true),
            (Some("3.0.0"), false, "", true),
            (Some("3.0.0"), true, "", false),
            (Some("2.0.0"), false, "", false),
            (Some("2.0.17"), true, "", false),
            (Some("2.0."), false, "", true),
            (Some("2.1.0"), false, "", true),
            (Some("nonsense"), true, "", true),
            (None, false, "ZUMO-api-Version=2.0.0", false),
            (Some("2.0.0"), false, "zumo-api-version=3.0.0", true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert(API_VERSION, HeaderValue::from_static(version));
            }
            if client {
                headers.insert(CLIENT_VERSION, HeaderValue::from_static("x"));
            }
            let parameters = Parameters::parse(query).unwrap();
            let dialect = Dialect::of(&headers, &parameters);
            assert_eq!(dialect.is_ok(), served, "{version:?} {client} {query}");
        }
    }
}
