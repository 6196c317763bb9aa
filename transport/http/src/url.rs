//! Where tables and records are: pure functions of the base URL.

use std::net::IpAddr;

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

    /// True where the host is this machine by its very name: `localhost`, or an address of the loopback. What another name stands for
    /// the network says, which is not to be believed.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The path, from the root, of what lies at `path` under this URL.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The one spelling of this URL: host in lower case, no port where it is the scheme's own, no slash at the end.
    pub(crate) fn normalised(&self) -> String {
        let own = if self.is_https() { 443 } else { 80 };
        let port = self.authority.port_u16().filter(|port| *port != own);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let host = self.authority.host().to_ascii_lowercase();
        format!("{}://{host}{port}{}", self.scheme, self.prefix)
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

fn bad(message: &str) -> TransportError {
    TransportError::new(TransportErrorKind::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap()
    }

    #[test]
    fn one_address_has_one_spelling() {
        for (text, normalised) in [
            ("http://localhost:8080/", "http://localhost:8080"),
            ("HTTPS://Example.com:443/Api/", "https://example.com/Api"),
            ("http://example.com:80", "http://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("http://[::1]:5", "http://[::1]:5"),
        ] {
            assert_eq!(base(text).normalised(), normalised, "{text}");
        }
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
    fn this_machine_is_known_by_its_name() {
        for here in [
            "localhost",
            "LocalHost:80",
            "127.0.0.1",
            "127.8.9.1:5",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(base(&format!("http://{here}/p")).is_loopback(), "{here}");
        }
        for other in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "notlocalhost",
            "a.localhost",
            "127.1",
            "0.0.0.0",
            "10.0.2.2",
            "[::]",
            "[fe80::1]:80",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(!base(&format!("http://{other}")).is_loopback(), "{other}");
        }
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
