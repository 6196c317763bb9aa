//! Packed bodies of requests.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderValue, Request};

use crate::error::Failure;

/// What is taken, for the header of answers that says so (RFC 9110, 12.5.3).
pub(crate) const TAKEN: HeaderValue = HeaderValue::from_static("gzip");

/// The request with its body unpacked; `None` where that is not packed.
///
/// # Errors
/// 413 where it unpacks to more than `most` bytes, of which no more than that are ever held; 400 where it is not what its header says, and
/// 415 where it is packed in a way that is not known.
pub(crate) fn unpacked(
    request: &Request<Bytes>,
    most: usize,
) -> Result<Option<Request<Bytes>>, Failure> {
    let mut codings = request.headers().get_all(CONTENT_ENCODING).iter();
    let is = |value: &HeaderValue, name: &str| {
        value
            .to_str()
            .is_ok_and(|value| value.trim().eq_ignore_ascii_case(name))
    };
    match (codings.next(), codings.next()) {
        (None, _) => return Ok(None),
        (Some(one), None) if is(one, "identity") => return Ok(None),
        (Some(one), None) if is(one, "gzip") || is(one, "x-gzip") => {}
        _ => {
            return Err(Failure::unsupported_media(
                "the body is encoded; send it as plain JSON, or packed by gzip",
            ));
        }
    }
    let mut body = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(&**request.body())
        .take(bound)
        .read_to_end(&mut body)
        .map_err(|_| Failure::bad_request("the body is not packed as its header says"))?;
    if body.len() > most {
        return Err(Failure::too_large(most));
    }
    let mut request = request.clone().map(|_| Bytes::from(body));
    for name in [CONTENT_ENCODING, CONTENT_LENGTH] {
        request.headers_mut().remove(name);
    }
    Ok(Some(request))
}
