//! The pages that may ask: origins as browsers tell them.

use std::fmt;
use std::str::FromStr;

use http::uri::Authority;

/// An origin as browsers write it: `https://app.example`, `http://localhost:3000`, `capacitor://localhost`, `file://`, or `null`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginError(());

impl Origin {
    /// Whether it is a page of the server that was asked at `authority`: then no other site is in play.
    pub(crate) fn is_at(&self, authority: &Authority) -> bool {
        let Some((scheme, own)) = self.0.split_once("://") else {
            return false;
        };
        let port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return false,
        };
        let asked = authority.as_str();
        let asked = asked.strip_suffix(port).unwrap_or(asked);
        own.eq_ignore_ascii_case(asked)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Ok(Self(text.to_owned()));
        }
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or(OriginError(()))?;
        let in_scheme =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let good_scheme =
            scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(in_scheme);
        // Pages from files have none.
        let good_rest = match rest {
            "" => scheme == "file",
            _ => rest.parse::<Authority>().is_ok() && !rest.contains('@'),
        };
        if !good_scheme || !good_rest {
            return Err(OriginError(()));
        }
        // Browsers leave out the port that the scheme implies.
        let rest = match scheme {
            "http" => rest.strip_suffix(":80").unwrap_or(rest),
            "https" => rest.strip_suffix(":443").unwrap_or(rest),
            _ => rest,
        };
        Ok(Self(format!("{scheme}://{rest}")))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no origin; write it as browsers do, without a path, such as https://app.example or null")
    }
}

impl std::error::Error for OriginError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for (text, printed) in [
            ("null", Some("null")),
            ("https://app.example", Some("https://app.example")),
            ("HTTPS://App.Example:443", Some("https://app.example")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("http://[::1]:80", Some("http://[::1]")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("file://", Some("file://")),
            ("https://", None),
            ("https://app.example/", None),
            ("https://app.example/path", None),
            ("https://user@app.example", None),
            ("app.example", None),
            ("://app.example", None),
            ("Null", None),
            ("*", None),
            ("", None),
            ("https://a https://b", None),
        ] {
            let origin = text.parse::<Origin>().ok();
            let origin = origin.map(|origin| origin.to_string());
            assert_eq!(origin.as_deref(), printed, "{text}");
        }
    }

    #[test]
    fn pages_of_the_server_itself_are_no_foreign_ones() {
        for (origin, asked, own) in [
            ("http://localhost:8080", "localhost:8080", true),
            ("http://localhost:8080", "LOCALHOST:8080", true),
            ("http://localhost", "localhost:80", true),
            ("https://a.example", "a.example", true),
            ("https://a.example", "a.example:443", true),
            ("http://localhost:3000", "localhost:8080", false),
            ("http://localhost", "localhost:443", false),
            ("http://localhost.evil.example", "localhost", false),
            ("file://", "localhost", false),
            ("null", "null", false),
            ("capacitor://localhost", "localhost", false),
        ] {
            let origin: Origin = origin.parse().unwrap();
            let asked: Authority = asked.parse().unwrap();
            assert_eq!(origin.is_at(&asked), own, "{origin} at {asked}");
        }
    }
}
