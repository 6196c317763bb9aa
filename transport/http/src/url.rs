//! Where tables, records and next pages are: pure functions of the base URL.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use synctable_core::RecordId;
use synctable_core::query::odata::percent_encode;
use synctable_core::transport::{TransportError, TransportErrorKind};

/// The base URL of a service: an origin, and a path prefix that does not end in `/`.
#[derive(Debug, Clone)]
pub(crate) struct BaseUrl {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    prefix: String,
}

impl BaseUrl {
    /// Reads `http://HOST[:PORT][/PREFIX]` or the same with `https`.
    pub(crate) fn parse(text: &str) -> Result<Self, TransportError> {
        if text.contains(['?', '#']) {
            return Err(bad(
                "the base URL must end with its path, without '?' and '#'",
            ));
        }
        let uri = Uri::try_from(text).map_err(|error| {
            bad("the base URL is not valid; use http://HOST[:PORT][/PATH] or https://..")
                .with_source(error)
        })?;
        let scheme = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("http") => Scheme::HTTP,
            Some("https") => Scheme::HTTPS,
            _ => return Err(bad("the base URL must start with http:// or https://")),
        };
        let authority = uri
            .authority()
            .filter(|authority| !authority.host().is_empty());
        let Some(authority) = authority else {
            return Err(bad(
                "the base URL names no host; use http://HOST[:PORT][/PATH]",
            ));
        };
        if authority.as_str().contains('@') {
            return Err(bad(
                "the base URL must not hold a user name or password; give a token instead",
            ));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(bad(
                "the port of the base URL must be a number from 1 to 65535",
            ));
        }
        Ok(Self {
            scheme,
            authority: authority.clone(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// True where requests are encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The path, from the root, of what lies at `path` under this URL.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Host, port and path, for messages: no scheme, no query, no credentials.
    pub(crate) fn show(&self, path: &str) -> String {
        format!("{}{path}", self.authority)
    }

    /// The URL of a path from the root and a query (empty for none).
    pub(crate) fn uri(&self, path: &str, query: &str) -> Result<Uri, TransportError> {
        let target = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{query}")
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(target)
            .build()
            .map_err(|error| {
                bad(&format!(
                    "no URL can be formed for {}: its query is too long or holds forbidden characters",
                    self.show(path)
                ))
                .with_source(error)
            })
    }

    /// The query of the next page from a next link of the table at `path` (from the root).
    ///
    /// A link is an absolute URL, a path with a query, or a bare query. One that leads to another origin or
    /// another path is refused: only its query is ever used.
    pub(crate) fn next_query(&self, path: &str, link: &str) -> Result<String, TransportError> {
        let refuse = |why: &str| {
            let shown: String = link
                .chars()
                .take(120)
                .flat_map(char::escape_debug)
                .collect();
            let message = format!(
                "the server at {} gave a next link that {why}: '{shown}'",
                self.show(path)
            );
            TransportError::new(TransportErrorKind::Protocol, message)
        };
        let query = if has_scheme(link) {
            let target: Uri = link.parse().map_err(|_| refuse("is not a URL"))?;
            if !self.is_origin_of(&target) {
                return Err(refuse("leads to another server"));
            }
            if target.path() != path {
                return Err(refuse("leads to another table"));
            }
            target.query().unwrap_or_default().to_owned()
        } else if link.starts_with('/') {
            match link.split_once('?') {
                Some((link_path, query)) if link_path == path => query.to_owned(),
                _ => return Err(refuse("leads to another table")),
            }
        } else {
            link.strip_prefix('?').unwrap_or(link).to_owned()
        };
        // A bare query has parameters; a relative path (`todoitem?$skip=5`) is not one of the three forms.
        let first = query.split(['&', '?']).next().unwrap_or_default();
        if !first.contains('=') {
            return Err(refuse("has no query"));
        }
        if query.contains('#') || PathAndQuery::try_from(format!("/?{query}")).is_err() {
            return Err(refuse("holds forbidden characters"));
        }
        Ok(in_ascii(&query))
    }

    fn is_origin_of(&self, other: &Uri) -> bool {
        let Some(authority) = other.authority() else {
            return false;
        };
        let scheme = other.scheme_str().unwrap_or_default();
        scheme.eq_ignore_ascii_case(self.scheme.as_str())
            && !authority.as_str().contains('@')
            && authority.host().eq_ignore_ascii_case(self.authority.host())
            && self.port(authority) == self.port(&self.authority)
    }

    /// The port of an authority under this URL's scheme; `None` where it is not a number.
    fn port(&self, authority: &Authority) -> Option<u16> {
        if authority.as_str().len() > authority.host().len() {
            authority.port_u16()
        } else {
            Some(if self.is_https() { 443 } else { 80 })
        }
    }
}

/// Checks a path that a user maps a table to.
pub(crate) fn checked_path(path: &str) -> Result<String, TransportError> {
    let valid = path.starts_with('/')
        && path.len() > 1
        && !path.ends_with('/')
        && !path.contains(['?', '#'])
        && PathAndQuery::try_from(path).is_ok();
    if valid {
        Ok(path.to_owned())
    } else {
        Err(bad(
            "the path of a table must start with '/', not end with it, and hold no query; percent-encode other characters",
        ))
    }
}

/// The path of a record in the table at `table_path`.
pub(crate) fn item_path(table_path: &str, id: &RecordId) -> String {
    format!("{table_path}/{}", percent_encode(id.as_str()))
}

/// The value of `$top` in a query, where it is a number.
pub(crate) fn top_of(query: &str) -> Option<u64> {
    query.split('&').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let named = name.eq_ignore_ascii_case("$top") || name.eq_ignore_ascii_case("%24top");
        named.then(|| value.parse().ok()).flatten()
    })
}

/// A query with what is not ASCII as escapes, which a server may have left out.
fn in_ascii(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    for c in query.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.push_str(&percent_encode(c.encode_utf8(&mut [0; 4])));
        }
    }
    out
}

/// True for `SCHEME://..`.
fn has_scheme(link: &str) -> bool {
    link.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

fn bad(message: &str) -> TransportError {
    TransportError::new(TransportErrorKind::BadRequest, message)
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap()
    }

    #[test]
    fn good_base_urls_are_read() {
        for (text, prefix, shown) in [
            ("http://localhost:8080", "", "localhost:8080/t"),
            ("http://localhost:8080/", "", "localhost:8080/t"),
            (
                "HTTPS://Example.com/api/v1/",
                "/api/v1",
                "Example.com/api/v1/t",
            ),
            ("http://[::1]:5", "", "[::1]:5/t"),
            ("http://127.0.0.1/a%20b", "/a%20b", "127.0.0.1/a%20b/t"),
        ] {
            let base = base(text);
            assert_eq!(base.prefix, prefix, "{text}");
            assert_eq!(base.show(&base.path("/t")), shown, "{text}");
        }
        assert!(base("https://a").is_https() && !base("http://a").is_https());
    }

    #[test]
    fn bad_base_urls_are_refused_in_one_line_without_credentials() {
        for text in [
            "",
            "/tables",
            "localhost:8080",
            "example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "http://:80",
            "http://user:secret@example.com",
            "http://secret@example.com",
            "http://example.com:99999",
            "http://example.com:0",
            "http://example.com:",
            "http://example.com/?q=1",
            "http://example.com/#x",
            "http://exa mple.com",
            "http://example.com/a b",
            "http://exämple.com",
            "http://example.com\r\nX: y",
        ] {
            let error = BaseUrl::parse(text).unwrap_err();
            assert_eq!(error.kind(), TransportErrorKind::BadRequest, "{text}");
            let message = error.to_string();
            assert!(!message.contains("secret") && !message.chars().any(char::is_control));
        }
    }

    #[test]
    fn ids_are_escaped_in_paths() {
        for (id, path) in [
            ("a-1._~", "/t/a-1._~"),
            (
                "a b#%&=;:@,'()|é",
                "/t/a%20b%23%25%26%3D%3B%3A%40%2C%27%28%29%7C%C3%A9",
            ),
            ("...", "/t/..."),
            ("%2e%2e", "/t/%252e%252e"),
        ] {
            assert_eq!(item_path("/t", &RecordId::new(id).unwrap()), path);
        }
        let hostile = RecordId::system("a/../b\r\nX: y\0");
        assert_eq!(item_path("/t", &hostile), "/t/a%2F..%2Fb%0D%0AX%3A%20y%00");
    }

    #[test]
    fn urls_are_built_under_the_base() {
        let base = base("http://h:1/p");
        let uri = base.uri("/p/t", "$top=1").unwrap();
        assert_eq!(uri.to_string(), "http://h:1/p/t?$top=1");
        assert_eq!(base.uri("/p/t", "").unwrap().to_string(), "http://h:1/p/t");
        assert!(base.uri("/p/t", &"a".repeat(70_000)).is_err());
        assert!(base.uri("/p/t", "a=\r\nX: y").is_err());
    }

    #[test]
    fn the_three_forms_of_next_links_give_their_query() {
        let base = base("http://host:8080/api");
        for link in [
            "http://host:8080/api/tables/t?$skip=2&$top=1",
            "HTTP://HOST:8080/api/tables/t?$skip=2&$top=1",
            "/api/tables/t?$skip=2&$top=1",
            "$skip=2&$top=1",
            "?$skip=2&$top=1",
        ] {
            let query = base.next_query("/api/tables/t", link).unwrap();
            assert_eq!(query, "$skip=2&$top=1", "{link}");
        }
        let filter = "$filter=url%20eq%20'http://x/?y'&%24skip=2";
        assert_eq!(base.next_query("/api/tables/t", filter).unwrap(), filter);
    }

    #[test]
    fn default_ports_are_the_same_as_none() {
        for (text, link) in [
            ("http://h", "http://h:80/t?a=1"),
            ("http://h:80", "http://h/t?a=1"),
            ("https://h", "https://h:443/t?a=1"),
        ] {
            assert_eq!(base(text).next_query("/t", link).unwrap(), "a=1", "{link}");
        }
    }

    #[test]
    fn what_is_not_ascii_in_a_next_link_is_escaped() {
        let query = base("http://h").next_query("/t", "?$filter=a%20eq%20%27é%27");
        assert_eq!(query.unwrap(), "$filter=a%20eq%20%27%C3%A9%27");
    }

    #[test]
    fn hostile_next_links_are_refused() {
        let base = base("http://host:8080/api");
        for link in [
            "http://evil:8080/api/tables/t?a=1",
            "https://host:8080/api/tables/t?a=1",
            "http://host:8081/api/tables/t?a=1",
            "http://host/api/tables/t?a=1",
            "http://host:99999/api/tables/t?a=1",
            "http://host:8080@evil/api/tables/t?a=1",
            "http://user@host:8080/api/tables/t?a=1",
            "http://host:8080.evil/api/tables/t?a=1",
            "http://host:8080/api/tables/u?a=1",
            "http://host:8080/api/tables/t/../u?a=1",
            "http://host:8080/api/tables/t",
            "//evil/api/tables/t?a=1",
            "/api/tables/u?a=1",
            "/api/tables/t",
            "/api/tables/t?",
            "ftp://host/api/tables/t?a=1",
            "javascript:alert(1)",
            "tables/t?a=1",
            "",
            "?",
            "a=1#x",
            "a=1\r\nHost: evil",
            "a=1 2",
            "http://",
            "://",
        ] {
            let error = base.next_query("/api/tables/t", link).unwrap_err();
            assert_eq!(error.kind(), TransportErrorKind::Protocol, "{link}");
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }

    #[test]
    fn table_paths_are_checked() {
        for good in ["/api/todo", "/x", "/a%20b"] {
            assert!(checked_path(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "x", "/x/", "/x?y", "/x#y", "/a b", "/a\n"] {
            assert!(checked_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn top_is_found_in_queries() {
        assert_eq!(top_of("$skip=1&$top=20"), Some(20));
        assert_eq!(top_of("%24top=5"), Some(5));
        assert_eq!(top_of("%24TOP=5"), Some(5));
        assert_eq!(top_of("$topping=5&x=$top=4"), None);
        assert_eq!(top_of("$top=x"), None);
    }
}
