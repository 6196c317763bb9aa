//! Percent-escapes of URLs.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::{ODataError, Source};

/// All but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Escapes everything but the unreserved characters of a URL: letters, digits, `-`, `.`, `_` and `~`.
///
/// ```
/// use synctable_core::query::odata::{percent_decode, percent_encode};
/// assert_eq!(percent_encode("a+b ä"), "a%2Bb%20%C3%A4");
/// assert_eq!(percent_decode("a+b%20%C3%A4").unwrap(), "a+b ä");
/// ```
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Replaces percent-escapes by what they stand for. A `+` stays a plus.
///
/// # Errors
/// An escape without two hexadecimal digits, or escapes that are not UTF-8.
pub fn percent_decode(text: &str) -> Result<String, ODataError> {
    let source = Source::new("query", text);
    // The library takes a sign without digits for itself.
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            let message =
                "'%' needs two hexadecimal digits behind it; write the sign itself as %25";
            return Err(source.error(at, message));
        }
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded
        .map(Cow::into_owned)
        .map_err(|_| source.error(0, "the percent-escapes are not UTF-8"))
}
