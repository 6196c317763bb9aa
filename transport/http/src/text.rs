//! The words of an error answer, fit for one line.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// The most characters of a server's words that are kept.
const LONGEST: usize = 300;

/// The most bytes of an answer that are looked at.
const LARGEST: usize = 64 * 1024;

/// The type of a page for people.
const HTML: &[u8] = b"text/html";

/// What the server says in an error answer: the message in its JSON, its plain text, or else the reason of the status.
pub(crate) fn words(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let html = is_html(headers);
    let body = if body.len() > LARGEST { &[] } else { body };
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => message(&value).unwrap_or_default(),
        Err(_) if html => String::new(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let line = one_line(&text);
    if line.is_empty() || line.starts_with('<') {
        return reason(status);
    }
    line
}

/// The reason of a status.
pub(crate) fn reason(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("no reason given");
    reason.to_lowercase()
}

/// True where the body is a page for people.
pub(crate) fn is_html(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|ty| ty.as_bytes().get(..HTML.len()))
        .is_some_and(|ty| ty.eq_ignore_ascii_case(HTML))
}

/// The message in the JSON of an error: a string, `error` (text or an object with a message), `errors` by the member that they
/// are about, `description`, `message`, the `detail` or `title` of a problem, or the messages of a list of failed checks, each
/// with the members that it is about.
fn message(value: &Value) -> Option<String> {
    const NAMES: [&str; 7] = [
        "error",
        "errors",
        "description",
        "message",
        "errorMessage",
        "detail",
        "title",
    ];
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(members) => NAMES.iter().find_map(|name| {
            let value = members.get(*name)?;
            match (*name, value) {
                ("errors", Value::Object(errors)) => joined(
                    errors
                        .iter()
                        .filter_map(|(member, text)| about(member, message(text)?)),
                ),
                ("errorMessage", _) => about(&names(members.get("memberNames")), message(value)?),
                _ => message(value),
            }
        }),
        Value::Array(items) => joined(items.iter().filter_map(message)),
        _ => None,
    }
}

/// A text with the member that it is about; the text alone where it is about the whole.
fn about(member: &str, text: String) -> Option<String> {
    match (member.trim(), text.trim().is_empty()) {
        (_, true) => None,
        ("", _) => Some(text),
        (member, _) => Some(format!("{member}: {text}")),
    }
}

/// The names in a list, as text.
fn names(list: Option<&Value>) -> String {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn joined(texts: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<_> = texts.collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Text without control characters and double spaces, cut where it is long.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if let Some((cut, _)) = line.char_indices().nth(LONGEST) {
            line.truncate(cut);
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn said(body: &str) -> String {
        words(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn messages_are_found_in_all_shapes() {
        for (body, expected) in [
            (r#"{"error":"no such column"}"#, "no such column"),
            (
                r#"{"error":{"code":"","message":"bad filter"}}"#,
                "bad filter",
            ),
            (r#"{"description":"d","message":"m"}"#, "d"),
            (r#"{"message":"m"}"#, "m"),
            (
                r#"{"title":"Missing header","status":400}"#,
                "Missing header",
            ),
            (r#"{"title":"t","detail":"d"}"#, "d"),
            (
                r#"[{"memberNames":["x"],"errorMessage":"too long"},{"errorMessage":"too old"}]"#,
                "x: too long; too old",
            ),
            (
                r#"[{"memberNames":["Title"],"errorMessage":"The Title field is required."}]"#,
                "Title: The Title field is required.",
            ),
            (
                r#"[{"memberNames":["a","b"],"errorMessage":"differ"},{"memberNames":[],"errorMessage":"all"}]"#,
                "a, b: differ; all",
            ),
            (
                r#"{"errors":{"mood":["Error converting value \"Sad\" to type 'Srv.Mood'. Path 'mood', line 1, position 35."]},"type":"https://tools.ietf.org/html/rfc9110#section-15.5.1","title":"One or more validation errors occurred.","status":400}"#,
                "mood: Error converting value \"Sad\" to type 'Srv.Mood'. Path 'mood', line 1, position 35.",
            ),
            (
                r#"{"errors":{"":["Unexpected character."],"a":["one","two"],"b":"three"},"title":"t"}"#,
                "Unexpected character.; a: one; two; b: three",
            ),
            (r#"{"errors":{},"title":"t"}"#, "t"),
            (r#"{"errors":[{"message":"m"}],"title":"t"}"#, "m"),
            (
                r#"{"code":"400","message":"Could not find a property named 'nosuch' on type 'Srv.Memo'.","target":null,"details":null}"#,
                "Could not find a property named 'nosuch' on type 'Srv.Memo'.",
            ),
            (
                "Could not find a property named 'nosuch' on type 'Srv.Memo'.",
                "Could not find a property named 'nosuch' on type 'Srv.Memo'.",
            ),
            (r#""just text""#, "just text"),
            ("plain text", "plain text"),
            ("", "bad request"),
            ("{}", "bad request"),
            ("[]", "bad request"),
            ("17", "bad request"),
            ("<html><body>Not here</body></html>", "bad request"),
        ] {
            assert_eq!(said(body), expected, "{body}");
        }
        let html = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
        assert_eq!(words(StatusCode::NOT_FOUND, &html, b"gone"), "not found");
        assert_eq!(
            words(StatusCode::NOT_FOUND, &HeaderMap::new(), b"\xff"),
            "\u{fffd}"
        );
    }

    #[test]
    fn words_are_one_short_line() {
        assert_eq!(said("a\r\n\tb\u{7}\u{1b}[31mc\0"), "a b [31mc");
        let long = said(&"é".repeat(10_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
        assert_eq!(said(&"é ".repeat(10_000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn deep_json_is_not_followed() {
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(said(&deep).chars().count(), LONGEST + 1);
    }

    #[test]
    fn huge_answers_are_not_read() {
        assert_eq!(said(&format!("[{}0]", "0,".repeat(LARGEST))), "bad request");
    }
}
