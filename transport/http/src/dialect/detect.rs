//! Which kind of server an answer comes from.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use synctable_wire::header::SERVER_VERSION;

use super::Dialect;

/// What a page looks like from outside.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shape {
    Newer {
        #[serde(rename = "items")]
        _items: Vec<IgnoredAny>,
    },
    Older {
        #[serde(rename = "results")]
        _results: Vec<IgnoredAny>,
    },
    Bare(#[allow(dead_code, reason = "only its shape matters")] Vec<IgnoredAny>),
    Problem {
        title: String,
    },
}

impl Dialect {
    /// The dialect of the server that gave this answer to `GET /tables/TABLE` *without* a `ZUMO-API-VERSION`; `None` where
    /// the answer does not tell: a refused token, a table that is not there, something else than a table server.
    ///
    /// Servers of version 2 name themselves or refuse the request for its missing version; those of version 3 refuse it
    /// in another form; the Datasync Toolkit answers with a page of `items`.
    /// [`HttpTransportBuilder::detect`](crate::HttpTransportBuilder::detect) asks and decides.
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use synctable_http::Dialect;
    ///
    /// let page = br#"{"items":[],"count":null,"nextLink":null}"#;
    /// let dialect = Dialect::detect(StatusCode::OK, &HeaderMap::new(), page);
    /// assert_eq!(dialect, Some(Dialect::Toolkit));
    /// ```
    pub fn detect(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        if headers.contains_key(SERVER_VERSION) {
            return Some(Self::Zumo2);
        }
        let shape = serde_json::from_slice(body).ok();
        match (status.as_u16(), shape) {
            (200, Some(Shape::Newer { .. })) => Some(Self::Toolkit),
            (200, Some(Shape::Older { .. } | Shape::Bare(_))) => Some(Self::Zumo2),
            (400, Some(Shape::Problem { title }))
                if title.starts_with("Missing") || title.starts_with("Invalid") =>
            {
                Some(Self::Zumo3)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_answers_tell_the_dialect() {
        let named = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-zumo-server-version"),
            http::HeaderValue::from_static("node-4.0.2"),
        )]);
        let none = HeaderMap::new();
        for (status, headers, body, expected) in [
            (
                400,
                &named,
                r#"{"error":"An invalid API version was specified"}"#,
                Some(Dialect::Zumo2),
            ),
            (401, &named, "", Some(Dialect::Zumo2)),
            (200, &none, "[]", Some(Dialect::Zumo2)),
            (
                200,
                &none,
                r#"{"results":[{}],"count":1}"#,
                Some(Dialect::Zumo2),
            ),
            (
                200,
                &none,
                r#"{"items":[{"id":"a"}],"nextLink":null}"#,
                Some(Dialect::Toolkit),
            ),
            (
                400,
                &none,
                r#"{"title":"Missing ZUMO-API-VERSION","status":400}"#,
                Some(Dialect::Zumo3),
            ),
            (400, &none, r#"{"title":"Bad request"}"#, None),
            (401, &none, "", None),
            (404, &none, "<html>", None),
            (200, &none, "<html>", None),
            (200, &none, r#"{"id":"a"}"#, None),
            (200, &none, "", None),
            (500, &none, "[]", None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                Dialect::detect(status, headers, body.as_bytes()),
                expected,
                "{status} {body}"
            );
        }
    }
}
