//! Percent-escapes of URLs.

use std::fmt::Write;

use super::error::{ODataError, Source};

/// Escapes everything but the unreserved characters of a URL: letters, digits, `-`, `.`, `_` and `~`.
///
/// ```
/// use synctable_core::query::odata::{percent_decode, percent_encode};
/// assert_eq!(percent_encode("a+b ä"), "a%2Bb%20%C3%A4");
/// assert_eq!(percent_decode("a+b%20%C3%A4").unwrap(), "a+b ä");
/// ```
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Replaces percent-escapes by what they stand for. A `+` stays a plus.
///
/// # Errors
/// An escape without two hexadecimal digits, or escapes that are not UTF-8.
pub fn percent_decode(text: &str) -> Result<String, ODataError> {
    let source = Source::new("query", text);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = escape
            .get(..2)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let Some(byte) = byte else {
            let message =
                "'%' needs two hexadecimal digits behind it; write the sign itself as %25";
            return Err(source.error(text.len() - escape.len() - 1, message));
        };
        bytes.push(byte);
        rest = escape.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| source.error(0, "the percent-escapes are not UTF-8"))
}
