//! What a proxy says about the request that it passes on.

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether the client asked the proxy by HTTPS. With several proxies the first entry is that of the one that the client asked.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    let first = |name: &HeaderName| {
        let text = headers.get(name)?.to_str().ok()?;
        text.split(',').next()
    };
    let proto = first(&FORWARDED).and_then(proto).or_else(|| first(&PROTO));
    proto.is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"))
}

/// The member `proto` of an entry of `Forwarded` (RFC 7239).
fn proto(entry: &str) -> Option<&str> {
    entry.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let wanted = name.trim().eq_ignore_ascii_case("proto");
        wanted.then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_scheme_is_found_in_either_header() {
        for (name, value, https) in [
            ("x-forwarded-proto", "https", true),
            ("x-forwarded-proto", "HTTPS , http", true),
            ("x-forwarded-proto", "http, https", false),
            ("x-forwarded-proto", "", false),
            ("forwarded", "for=1.2.3.4;proto=https;by=x", true),
            ("forwarded", "For=\"[::1]\"; Proto=\"https\"", true),
            ("forwarded", "proto=http, proto=https", false),
            ("forwarded", "for=1.2.3.4", false),
            ("x-forwarded-host", "https", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(is_https(&headers), https, "{name}: {value}");
        }
    }
}
