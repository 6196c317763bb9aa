//! Packed bodies of requests, and of answers to those that ask for it.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderValue, Request};

use crate::error::Failure;
use crate::respond::Response;

/// What is taken, for the header of answers that says so (RFC 9110, 12.5.3).
pub(crate) const TAKEN: HeaderValue = HeaderValue::from_static("gzip");

/// Where a packed body says how it was packed, and that it was with the least work (RFC 1952, 2.3.1).
const EXTRA_FLAGS: usize = 8;
const FASTEST: u8 = 4;

/// An answer of less is one packet anyway.
const LEAST: usize = 1024;

/// The mark of a request that was packed with little work.
#[derive(Debug, Clone, Copy)]
struct Hurried;

/// The answer, packed where the headers of its request allow that: with little work where the request was.
pub(crate) fn packed(request: &Request<Bytes>, answer: Response) -> Response {
    let values = request.headers().get_all(ACCEPT_ENCODING).iter();
    let mut values = values.filter_map(|value| value.to_str().ok());
    // Who gives weights may mean "not at all" by one, and gets it as it is.
    let is_asked = values.any(|value| value.split(',').any(|name| name.trim() == "gzip"));
    if !is_asked || answer.body().len() < LEAST {
        return answer;
    }
    let level = match request.extensions().get::<Hurried>() {
        Some(_) => Compression::fast(),
        None => Compression::default(),
    };
    let room = Vec::with_capacity(answer.body().len() / 3);
    let mut packer = GzEncoder::new(room, level);
    let Ok(()) = packer.write_all(answer.body()) else {
        return answer;
    };
    let Ok(body) = packer.finish() else {
        return answer;
    };
    let mut answer = answer.map(|_| Bytes::from(body));
    let name = HeaderValue::from_static("gzip");
    answer.headers_mut().insert(CONTENT_ENCODING, name);
    answer
}

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
    let is_hurried = request.body().get(EXTRA_FLAGS) == Some(&FASTEST);
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
    if is_hurried {
        request.extensions_mut().insert(Hurried);
    }
    Ok(Some(request))
}
