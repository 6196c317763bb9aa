//! Answers that are not the table server's: redirects, and the pages of a network where one signs in.
//!
//! None of them is followed. They are told apart so that the message can say what to do.

use http::header::{CONTENT_TYPE, LOCATION};
use http::uri::Authority;
use synctable_core::transport::{TransportError, TransportErrorKind as Kind};

use crate::client::Answer;
use crate::text;
use crate::url::BaseUrl;

/// The most characters of a redirect's target that are shown.
const LONGEST: usize = 120;

/// The error for an answer that is not to be believed, to a request for `path`; `credentials` says whether requests carry any.
pub(crate) fn diverted(
    answer: &Answer,
    base: &BaseUrl,
    path: &str,
    credentials: bool,
) -> Option<TransportError> {
    match answer.status.as_u16() {
        301 | 302 | 303 | 307 | 308 => Some(redirected(answer, base, path, credentials)),
        511 => Some(portal(answer, "it wants you to sign in first")),
        // Gateways and web servers refuse by pages for people, too: those refusals mean what their status says.
        204 | 304 | 400..=599 => None,
        _ if !credentials && shows_a_page(answer) => {
            Some(portal(answer, "it gave a page for people"))
        }
        _ => None,
    }
}

fn redirected(answer: &Answer, base: &BaseUrl, path: &str, credentials: bool) -> TransportError {
    let location = answer.headers.get(LOCATION);
    let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let Some(target) = location.and_then(|location| Target::parse(&location, base, path)) else {
        let what = "redirects without saying where to; check the base URL";
        return answer.error(Kind::Protocol, what);
    };
    let own = target
        .authority
        .host()
        .eq_ignore_ascii_case(base.authority.host());
    let origin = format!("{}://{}", target.scheme, target.authority);
    if !own {
        let origin = shown(&origin);
        return if credentials {
            let what = format!("sends to {origin} to sign in; sign in again or give another token");
            answer.error(Kind::SignIn, &what)
        } else {
            portal(answer, &format!("it sends to {origin}"))
        };
    }
    let to_https = target.scheme == "https" && !base.is_https();
    let what = if to_https && target.path == path {
        let instead = shown(&format!("{origin}{}", base.path("")));
        format!("takes requests by https only; use {instead} as the base URL")
    } else {
        // What follows a `;` may name a session.
        let place = target.path.split(';').next().unwrap_or_default();
        let place = shown(&format!("{origin}{place}"));
        format!("redirects to {place}, which is not followed; use the URL of the service itself")
    };
    answer.error(Kind::Redirected, &what)
}

/// The error for an answer of the network. It shows no clock, as that is not the server's.
fn portal(answer: &Answer, how: &str) -> TransportError {
    let status = answer.status.as_u16();
    let message = format!(
        "the network answers in place of {}: {how}; sign in to the network on a web page, or check the base URL ({status})",
        answer.place
    );
    answer.failure(Kind::Portal, message).with_server_time(None)
}

/// True where the body is a page for people: said so, or seen so where nothing is said.
fn shows_a_page(answer: &Answer) -> bool {
    if answer.headers.contains_key(CONTENT_TYPE) {
        return text::is_html(&answer.headers);
    }
    let body = answer.body.as_deref().unwrap_or_default();
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body = body.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"].iter().any(|start| {
        body.get(..start.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(start))
    })
}

/// Where a redirect leads: without user name, query and fragment, which may hold secrets.
struct Target {
    scheme: String,
    authority: Authority,
    path: String,
}

impl Target {
    /// Reads an absolute URL, one without a scheme, a path, or a path beside that of the request.
    fn parse(location: &str, base: &BaseUrl, path: &str) -> Option<Self> {
        let location = location.trim().replace('\\', "/");
        let end = location.find(['?', '#']).unwrap_or(location.len());
        let location = location.get(..end)?;
        let own = base.scheme.as_str().to_owned();
        let (scheme, rest) = match location.split_once(':') {
            Some((scheme, rest)) if !scheme.contains('/') => (scheme.to_ascii_lowercase(), rest),
            _ => (own, location),
        };
        if !matches!(scheme.as_str(), "http" | "https") {
            return None;
        }
        let Some(rest) = rest.strip_prefix("//") else {
            // `http:x` is a path nowhere.
            return (rest.len() == location.len()).then(|| Self {
                scheme,
                authority: base.authority.clone(),
                path: match location {
                    "" => path.to_owned(),
                    location if location.starts_with('/') => location.to_owned(),
                    location => {
                        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                        format!("{folder}/{location}")
                    }
                },
            });
        };
        let start = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(start);
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let authority: Authority = authority.parse().ok()?;
        (!authority.host().is_empty()).then(|| Self {
            scheme,
            authority,
            path: if path.is_empty() { "/" } else { path }.to_owned(),
        })
    }
}

/// The text in one line, cut where it is long.
fn shown(text: &str) -> String {
    text.chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn answer(status: u16, headers: &[(http::HeaderName, &str)], body: &str) -> Answer {
        let pairs = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (name.clone(), value)
        });
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: pairs.collect::<HeaderMap>(),
            body: Ok(body.as_bytes().to_vec()),
            place: "h/api/tables/todo".to_owned(),
        }
    }

    /// What a redirect to `location` means under `http://h/api`.
    fn sent_to(location: &str, credentials: bool) -> (Kind, String) {
        let base = BaseUrl::parse("http://h/api").unwrap();
        let answer = answer(307, &[(LOCATION, location)], "");
        let error = diverted(&answer, &base, "/api/tables/todo", credentials).unwrap();
        (error.kind(), error.to_string())
    }

    #[test]
    fn https_of_the_same_place_is_what_to_use() {
        for (location, instead) in [
            ("https://h/api/tables/todo", "use https://h/api as"),
            (
                "HTTPS://H:8443/api/tables/todo?$top=1#x",
                "use https://H:8443/api as",
            ),
        ] {
            for credentials in [false, true] {
                let (kind, message) = sent_to(location, credentials);
                assert_eq!(kind, Kind::Redirected, "{location}");
                assert!(message.contains(instead), "{message}");
            }
        }
        // Whoever speaks https already is not told to.
        let base = BaseUrl::parse("https://h").unwrap();
        let answer = answer(301, &[(LOCATION, "https://h/tables/todo/")], "");
        let error = diverted(&answer, &base, "/tables/todo", false).unwrap();
        assert!(!error.to_string().contains("only"), "{error}");
    }

    #[test]
    fn other_places_of_the_same_host_are_named() {
        for (location, target) in [
            ("/login?token=secret", "http://h/login,"),
            ("login;session=secret", "http://h/api/tables/login,"),
            ("?secret", "http://h/api/tables/todo,"),
            ("", "http://h/api/tables/todo,"),
            ("//h/x", "http://h/x,"),
            ("http://h:81", "http://h:81/,"),
            ("https://user:secret@h/login", "https://h/login,"),
            ("/é x", "http://h/é x,"),
        ] {
            let (kind, message) = sent_to(location, true);
            assert_eq!(kind, Kind::Redirected, "{location}");
            assert!(message.contains(target), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn another_host_is_a_sign_in_or_a_network() {
        for location in [
            "https://login.example.com/authorize?code=secret",
            "//login.example.com/secret",
            "https://h@login.example.com/h",
            "/\\login.example.com",
            "http://login.example.com/h/\u{e9} x",
        ] {
            let (kind, message) = sent_to(location, true);
            assert_eq!(kind, Kind::SignIn, "{location}");
            assert!(
                message.contains("//login.example.com to sign in"),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
            let (kind, message) = sent_to(location, false);
            assert_eq!(kind, Kind::Portal, "{location}");
            assert!(message.starts_with("the network answers"), "{message}");
        }
    }

    #[test]
    fn targets_that_are_none() {
        for location in [
            "javascript:alert(1)",
            "app://login",
            "http:x",
            "http://",
            "//:x/",
        ] {
            let (kind, message) = sent_to(location, true);
            assert_eq!(kind, Kind::Protocol, "{location} {message}");
        }
        let (_, message) = sent_to(&format!("/{}", "x".repeat(5000)), true);
        assert!(message.len() < 400, "{message}");
    }

    #[test]
    fn pages_of_a_network() {
        let base = BaseUrl::parse("http://h").unwrap();
        let html = &[(CONTENT_TYPE, "Text/HTML; charset=utf-8")][..];
        let json = &[(CONTENT_TYPE, "application/json")][..];
        let page = "\u{feff} <!DOCTYPE html><title>Welcome</title>";
        for (status, headers, body, credentials, expected) in [
            (511, &[][..], "", true, true),
            (511, html, page, false, true),
            (200, html, "sign in", false, true),
            (200, &[], page, false, true),
            (201, &[], "<HTML>", false, true),
            (202, html, "", false, true),
            (200, html, page, true, false),
            (200, json, page, false, false),
            (200, &[], r#"{"items":[]}"#, false, false),
            (200, &[], "<htm", false, false),
            (204, html, "", false, false),
            (400, html, page, false, false),
            (404, html, page, false, false),
            (502, html, page, false, false),
        ] {
            let answer = answer(status, headers, body);
            let error = diverted(&answer, &base, "/tables/todo", credentials);
            let kind = error.map(|error| error.kind());
            assert_eq!(kind.is_some(), expected, "{status} {headers:?} {body}");
            assert!(kind.is_none_or(|kind| kind == Kind::Portal));
        }
    }
}
