//! Where the next page starts: all that is ever taken from a next link.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use synctable_core::query::odata::percent_decode;
use synctable_wire::parameter::{SKIP, TOP};

/// Tokens are taken up to this length, so that a server cannot make requests too long to be sent.
const LONGEST_TOKEN: usize = 8 * 1024;

/// The position that a next link names: `$skip`, `$top` and a token such as `$skiptoken`.
///
/// Servers print links as people read them, with addresses that only they know, or with what a gateway made of them. So a link is
/// no address: host, path, filter and whatever else it says are our own, and only the position is the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// How many rows lie before the page; 0 where only the token says it.
    pub(crate) skip: u64,
    /// How many rows the server gives from there on.
    pub(crate) top: Option<u64>,
    token: Option<Token>,
}

/// A position in the server's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    name: String,
    /// Escaped as in a query.
    value: String,
}

/// What is said of one parameter.
#[derive(Debug, Default)]
enum Said<T> {
    #[default]
    Nothing,
    This(T),
    /// Two things, or something that cannot be.
    Nonsense,
}

/// What cannot be.
#[derive(Debug)]
struct Nonsense;

impl<T: PartialEq> Said<T> {
    fn note(&mut self, value: Option<T>) {
        *self = match (std::mem::take(self), value) {
            (Self::Nothing, Some(value)) => Self::This(value),
            (Self::This(old), Some(value)) if old == value => Self::This(old),
            _ => Self::Nonsense,
        };
    }

    fn known(self) -> Result<Option<T>, Nonsense> {
        match self {
            Self::Nothing => Ok(None),
            Self::This(value) => Ok(Some(value)),
            Self::Nonsense => Err(Nonsense),
        }
    }
}

impl Place {
    /// The position that a link names: an address, a path with a query, or a query, with or without its escapes. `None` where it
    /// names none, or where it can be read in two ways: a filter that was printed without escapes may look like a parameter.
    pub(crate) fn of(link: &str) -> Option<Self> {
        let (mut skip, mut top, mut token) = (Said::Nothing, Said::Nothing, Said::Nothing);
        for parameter in query_of(link).split('&') {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let Ok(name) = percent_decode(name) else {
                continue;
            };
            if name.eq_ignore_ascii_case(SKIP) {
                skip.note(number(value));
            } else if name.eq_ignore_ascii_case(TOP) {
                top.note(number(value));
            } else if is_token(&name) {
                token.note(Token::new(name, value));
            }
        }
        let skip = skip.known().ok()?.unwrap_or_default();
        let token = token.known().ok()?;
        if skip == 0 && token.is_none() {
            // The start is not behind any page.
            return None;
        }
        // None left is no reason to say that there is more; that is left to the page itself.
        let top = top.known().ok()?.filter(|top| *top > 0);
        Some(Self { skip, top, token })
    }

    /// A query that asks for the page here: `query` has the rest of it, with `$skip` and `$top`.
    pub(crate) fn joined(&self, query: String) -> String {
        match &self.token {
            None => query,
            Some(token) if query.is_empty() => token.to_string(),
            Some(token) => format!("{query}&{token}"),
        }
    }
}

/// As a query, which reads back.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skip = (self.skip > 0).then(|| format!("{SKIP}={}", self.skip));
        let top = self.top.map(|top| format!("{TOP}={top}"));
        let token = self.token.as_ref().map(Token::to_string);
        let parts: Vec<String> = [skip, top, token].into_iter().flatten().collect();
        f.write_str(&parts.join("&"))
    }
}

impl Token {
    fn new(name: String, value: &str) -> Option<Self> {
        let fits = (1..=LONGEST_TOKEN).contains(&value.len());
        fits.then(|| Self {
            name,
            value: escaped(value),
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// The part of a link behind its first `?`. A bare query may have one inside of a value.
fn query_of(link: &str) -> &str {
    match link.split_once('?') {
        Some((before, query)) if is_address(before) || !before.contains('=') => query,
        _ => link,
    }
}

/// True for `SCHEME:..` and `/..`: what comes before the query of an address, even where it holds `=`.
fn is_address(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    };
    text.starts_with('/') || scheme.is_some_and(is_scheme)
}

/// A whole number, and nothing else.
fn number(text: &str) -> Option<u64> {
    let text = percent_decode(text).ok()?;
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// True for `$skiptoken` and others of its kind.
fn is_token(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let word = name
        .strip_prefix('$')
        .and_then(|name| name.strip_suffix("token"));
    word.is_some_and(|word| word.len() <= 20 && word.bytes().all(|b| b.is_ascii_lowercase()))
}

/// What a value in a query must not hold. Signs of escapes are looked at apart.
const FORBIDDEN: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A value as a query may hold it: its escapes stay as they are, and what is not allowed is escaped. The rest stays, too, as it may
/// mean one thing with an escape and another without.
fn escaped(value: &str) -> String {
    let mut parts = value.split('%');
    let first = parts.next().unwrap_or_default();
    let mut out = utf8_percent_encode(first, FORBIDDEN).to_string();
    for part in parts {
        let digits = part.as_bytes().get(..2);
        let is_escape = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        out.push_str(if is_escape { "%" } else { "%25" });
        out.extend(utf8_percent_encode(part, FORBIDDEN));
    }
    out
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(link: &str) -> Option<String> {
        Place::of(link).map(|place| place.to_string())
    }

    #[test]
    fn all_forms_of_links_name_their_place() {
        for link in [
            "http://host:8080/api/tables/t?$skip=2&$top=1",
            "HTTPS://HOST/other?$skip=2&$top=1",
            "http://internal/..?$filter=a eq 1&$skip=2&$top=1",
            "//host/t?$skip=2&$top=1",
            "/api/tables/t?$skip=2&$top=1",
            "/odata/t(id=5)?$skip=2&$top=1",
            "t?$skip=2&$top=1",
            "?$skip=2&$top=1",
            "$skip=2&$top=1",
            "%24skip=2&%24TOP=1",
            "$top=1&$skip=%32&$skip=2",
            "$filter=url eq 'http://x/?y'&$skip=2&$top=1",
            "http://u:p@host:99999/ \u{e9}?$skip=2&$top=1",
        ] {
            assert_eq!(shown(link).as_deref(), Some("$skip=2&$top=1"), "{link}");
        }
    }

    /// As the genuine servers print them.
    #[test]
    fn links_of_the_genuine_servers() {
        for (link, place) in [
            (
                "http://HOST/tables/memos?$filter=title ne '\u{20ac} %26 %2B%23'&$orderby=updatedAt%2Cid&$count=true&__includedeleted=true&$skip=7&$top=1",
                "$skip=7&$top=1",
            ),
            (
                "http://HOST/tables/memos?$skip=7&$top=199993",
                "$skip=7&$top=199993",
            ),
            ("/tables/memos?$orderby=id&$select=id&$skip=7", "$skip=7"),
            ("$orderby=id&$select=id&$skip=7", "$skip=7"),
            (
                "http://127.0.0.1/?%24filter=(complete%20eq%20false)&%24skip=1&%24top=1&%24inlinecount=allpages",
                "$skip=1&$top=1",
            ),
        ] {
            assert_eq!(shown(link).as_deref(), Some(place), "{link}");
        }
    }

    #[test]
    fn tokens_stay_as_they_are_but_for_what_is_not_allowed() {
        for (value, sent) in [
            ("a%2Fb+c/d==", "a%2Fb+c/d=="),
            ("a b\u{e9}\"#<>", "a%20b%C3%A9%22%23%3C%3E"),
            ("100%", "100%25"),
            ("%zz%4", "%25zz%254"),
            ("a\r\nHost: evil", "a%0D%0AHost:%20evil"),
            ("{[|]}", "%7B%5B%7C%5D%7D"),
        ] {
            let link = format!("https://h/t?%24skiptoken={value}&$filter=x");
            let expected = format!("$skiptoken={sent}");
            assert_eq!(shown(&link), Some(expected), "{value}");
        }
        assert_eq!(shown("$skipToken=A").as_deref(), Some("$skipToken=A"));
        assert_eq!(shown("$deltatoken=A").as_deref(), Some("$deltatoken=A"));
        let place = Place::of("$top=3&$skiptoken=a").unwrap();
        assert_eq!(place.joined(String::new()), "$skiptoken=a");
        assert_eq!(place.joined("$top=3".to_owned()), "$top=3&$skiptoken=a");
    }

    #[test]
    fn links_without_a_place_name_none() {
        let long = format!("$skiptoken={}", "1".repeat(LONGEST_TOKEN + 1));
        let many = format!("$skip={}", "1".repeat(100_000));
        for link in [
            "",
            "?",
            "://",
            "http://",
            "http://host/tables/t",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "a=1",
            "$top=5",
            "skip=5",
            "$skip",
            "$skip=",
            "$skip=0",
            "$skip=-1",
            "$skip=+1",
            "$skip=1.5",
            "$skip=1 HTTP/1.1",
            "$skip=1\r\nX-Evil: 1",
            "$skip=1#x",
            "$skip=\u{1f480}",
            "$skip=%ff",
            "$skip=1&$skip=2",
            "$skip=1&$top=x",
            "$skiptoken=",
            "$skiptoken=a&$skiptoken=b",
            "$filter=title eq 'a&$skip=99'&$skip=2",
            "%ff$skip=1",
            &long,
            &many,
        ] {
            assert_eq!(shown(link), None, "{link}");
        }
        assert_eq!(shown("$skip=1&$top=0").as_deref(), Some("$skip=1"));
    }
}
