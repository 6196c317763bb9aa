//! The next links of the two servers, each odd in its own way.

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use synctable_core::query::odata::percent_decode;
use synctable_testkit::typed::Flavour;

/// Where a page goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    /// How many records lie before it.
    pub(crate) skip: u64,
    /// How many were asked for and not given yet.
    pub(crate) top: Option<u64>,
}

/// A next link. One server writes a query without an address. The other writes an address as a person reads it, which is none, or a path
/// where it is asked for one.
pub(crate) fn next_link(
    flavour: Flavour,
    uri: &Uri,
    host: &str,
    path_only: bool,
    rest: Rest,
) -> String {
    let query = uri.query().unwrap_or_default();
    match flavour {
        Flavour::Toolkit => bare_query(query, rest),
        Flavour::Zumo3 => {
            let mut parts: Vec<String> = query
                .split('&')
                .filter(|part| !part.is_empty() && !is(part, "$skip") && !is(part, "$top"))
                .map(str::to_owned)
                .collect();
            parts.push(format!("$skip={}", rest.skip));
            parts.extend(rest.top.map(|top| format!("$top={top}")));
            let link = format!("{}?{}", uri.path(), parts.join("&"));
            if path_only {
                link
            } else {
                format!("http://{host}{}", readable(&link))
            }
        }
    }
}

/// The parameters in their order, each escaped anew, the place at the end.
fn bare_query(query: &str, rest: Rest) -> String {
    let kept = query
        .split('&')
        .filter(|part| !part.is_empty() && !is(part, "$skip"));
    let mut parts: Vec<String> = kept
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match rest.top.filter(|_| is(part, "$top")) {
                Some(top) => format!("{}={top}", escaped(name)),
                None => format!("{}={}", escaped(name), escaped(value)),
            }
        })
        .collect();
    parts.push(format!("$skip={}", rest.skip));
    parts.join("&")
}

fn is(part: &str, option: &str) -> bool {
    let name = part.split('=').next().unwrap_or_default();
    percent_decode(name).is_ok_and(|name| name.eq_ignore_ascii_case(option))
}

/// What the encoder of that server escapes: of ASCII, it leaves letters, digits and these.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b'-')
    .remove(b'.')
    .remove(b';')
    .remove(b'@')
    .remove(b'_')
    .remove(b'~');

/// A text, escaped anew.
fn escaped(text: &str) -> String {
    let text = percent_decode(text).unwrap_or_else(|_| text.to_owned());
    utf8_percent_encode(&text, ESCAPED).to_string()
}

/// An address as a person reads it: escapes are undone, except those of ASCII characters that mean something in an address.
fn readable(link: &str) -> String {
    let mut out = Vec::new();
    let mut rest = link.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let byte = behind.get(..2).filter(|_| *first == b'%');
        let byte = byte
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if !(byte < b' ' || b"%#?;/:@&=+$,[]!'()*\\".contains(&byte)) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    // Bytes that are no text stay escaped.
    String::from_utf8(out).unwrap_or_else(|_| link.to_owned())
}
