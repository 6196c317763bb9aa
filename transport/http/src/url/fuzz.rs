//! Next links that are nearly right.

use proptest::prelude::*;

use super::*;
use crate::page::fuzz::mutate::{mutated_text, try_many};

const LINKS: [&str; 6] = [
    "https://example.com:8443/api/tables/todo?$skip=5&$filter=id%20eq%20%27a%27",
    "/api/tables/todo?$skiptoken=abc%2F",
    "?$skip=5",
    "$skip=5",
    "//example.com:8443/api/tables/todo?$skip=5",
    "https://user@example.com:8443/api/tables/todo?$skip=5#x",
];

const WORDS: [&str; 22] = [
    "http://",
    "https://",
    "//",
    "/",
    "\\",
    "@",
    ":",
    ":80",
    "?",
    "#",
    "..",
    "%2e",
    "%2f",
    "%",
    "evil.example",
    ".",
    "[::1]",
    " ",
    "\r\n",
    "\0",
    "\u{e9}",
    "=",
];

/// Whatever the link, the next page is asked for at the same place as the first.
#[test]
fn next_links() {
    let base = BaseUrl::parse("https://example.com:8443/api").unwrap();
    let path = base.path("/tables/todo");
    try_many(20_000, &mutated_text(&LINKS, &WORDS), |link| {
        match base.next_query(&path, &link) {
            Ok(query) => {
                let uri = base.uri(&path, &query);
                let uri = uri.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(uri.scheme_str(), Some("https"));
                prop_assert_eq!(
                    uri.authority().map(Authority::as_str),
                    Some("example.com:8443")
                );
                prop_assert_eq!(uri.path(), &path);
                prop_assert_eq!(uri.query(), Some(query.as_str()));
                prop_assert!(query.bytes().all(|b| b.is_ascii_graphic() && b != b'#'));
            }
            Err(error) => {
                let text = error.to_string();
                prop_assert!(
                    !text.chars().any(char::is_control) && text.len() < 2000,
                    "{text}"
                );
            }
        }
        Ok(())
    });
}
