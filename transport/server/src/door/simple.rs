//! Requests that a page of any site can send without being asked for leave first: forms, and what looks like one.

use http::{HeaderMap, HeaderName};
use synctable_wire::header::API_VERSION;

use crate::error::Failure;
use crate::handler::{is_json, media_type};

const VERSION: HeaderName = HeaderName::from_static(API_VERSION);

/// Refuses a `POST` that a form could have sent. A form has no body of JSON, and no headers of its own; the parameters of its target
/// are whatever the page wants.
pub(crate) fn check_post(headers: &HeaderMap, has_body: bool) -> Result<(), Failure> {
    if has_body && !is_json(&media_type(headers)) {
        return Err(Failure::no_json());
    }
    if !has_body && !headers.contains_key(VERSION) {
        return Err(Failure::bad_request(
            "the request has no body; send a record, or the header 'ZUMO-API-VERSION' where none is needed",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn what_a_form_can_send_is_refused() {
        for (media, version, body, good) in [
            (Some("application/json"), false, true, true),
            (Some("Application/JSON; charset=utf-8"), false, true, true),
            (Some("application/merge-patch+json"), false, true, true),
            (Some("text/plain"), false, true, false),
            (Some("text/plain"), true, true, false),
            (Some("text/plain; x=application/json"), true, true, false),
            (
                Some("application/x-www-form-urlencoded"),
                false,
                true,
                false,
            ),
            (Some("multipart/form-data"), false, true, false),
            (None, false, true, false),
            (None, true, true, false),
            (None, true, false, true),
            (None, false, false, false),
            (Some("application/json"), false, false, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(media) = media {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
            }
            if version {
                headers.insert(VERSION, HeaderValue::from_static("2.0.0"));
            }
            let found = check_post(&headers, body).is_ok();
            assert_eq!(found, good, "{media:?} {version} {body}");
        }
    }
}
