//! What browsers are told about answers to pages of other origins.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::Admitted;
use crate::respond::{self, Response};

/// Headers of answers that pages may read: those of the dialects, and the server's own.
const EXPOSED: &str = "Link, ETag, Location, Date, Last-Modified, Retry-After, \
    x-zumo-server-version, synctable-operation-ids, synctable-operation-ids-kept, \
    synctable-operation-unknown-since, synctable-partial-updates, synctable-server-id, \
    synctable-ordered, synctable-deletions-forgotten, synctable-batch, synctable-repeated, \
    Accept-Encoding";
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// A browser need not ask again for so many seconds.
const MAX_AGE: &str = "600";
const PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// The answer to a browser that asks whether a page may send a request. That comes before the request's token, and has none.
pub(crate) fn preflight(
    admitted: &Admitted,
    method: &Method,
    headers: &HeaderMap,
) -> Option<Response> {
    let asks = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || admitted.origin.is_none() {
        return None;
    }
    let mut response = respond::empty(StatusCode::NO_CONTENT);
    let answer = response.headers_mut();
    answer.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(METHODS),
    );
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    // Which headers there are is the page's matter: it may ask, and what they say is judged when they come.
    for wanted in headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.append(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    if headers.contains_key(PRIVATE_NETWORK) {
        answer.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    Some(response)
}

impl Admitted {
    /// Lets the page that asked read the answer.
    pub(crate) fn mark(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if self.by_origin {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = &self.origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED),
            );
        }
    }
}
