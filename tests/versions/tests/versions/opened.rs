//! A gateway that opens batches: it sees each change as if the change came alone, and may answer some of them itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::json;
use serde_json::value::RawValue;

use crate::reply::{Reply, pass};

const BATCH: &str = "/tables/$batch";

/// A change within a batch.
#[derive(Debug)]
struct Part {
    /// As it stands in the batch.
    text: Box<RawValue>,
    id: String,
    /// The request that it would be alone.
    alone: Request<Bytes>,
}

impl Part {
    fn of(text: Box<RawValue>, batch: &Request<Bytes>) -> Self {
        let members: BTreeMap<String, Box<RawValue>> = read(text.get());
        let mut alone = Request::builder()
            .method(&*word(&members["method"]))
            .uri(format!("/tables/{}", word(&members["url"])));
        let headers = alone.headers_mut().unwrap();
        headers.extend(batch.headers().clone());
        for (name, value) in read::<BTreeMap<String, String>>(members["headers"].get()) {
            let name = http::HeaderName::try_from(name).unwrap();
            headers.insert(name, value.try_into().unwrap());
        }
        let body = members.get("body").map_or("", |body| body.get());
        let body = Bytes::copy_from_slice(body.as_bytes());
        Self {
            id: word(&members["id"]),
            alone: alone.body(body).unwrap(),
            text,
        }
    }
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> T {
    serde_json::from_str(text).unwrap()
}

fn word(text: &RawValue) -> String {
    read(text.get())
}

/// Whether several changes travel in it.
pub(crate) fn is_batch(request: &Request<Bytes>) -> bool {
    request.method() == Method::POST && request.uri().path() == BATCH
}

fn parts(batch: &Request<Bytes>) -> Vec<Part> {
    let text = std::str::from_utf8(batch.body()).unwrap();
    let mut members: BTreeMap<String, Vec<Box<RawValue>>> = read(text);
    let requests = members.remove("requests").unwrap();
    let parts = requests.into_iter().map(|text| Part::of(text, batch));
    parts.collect()
}

/// The batch with some of its changes.
fn batch_of<'a>(batch: &Request<Bytes>, parts: impl Iterator<Item = &'a Part>) -> Request<Bytes> {
    let texts: Vec<&str> = parts.map(|part| part.text.get()).collect();
    let body = format!(r#"{{"requests":[{}]}}"#, texts.join(","));
    let mut request = batch.clone();
    *request.body_mut() = body.into();
    request
}

/// The changes that a request brings, each as a request of its own; none for a read.
pub(crate) fn changes(request: &Request<Bytes>) -> Vec<Request<Bytes>> {
    if is_batch(request) {
        let parts = parts(request).into_iter();
        parts.map(|part| part.alone).collect()
    } else if request.method() == Method::GET {
        Vec::new()
    } else {
        vec![request.clone()]
    }
}

/// The request with its first so many changes, if that leaves any.
pub(crate) fn first(request: &Request<Bytes>, count: usize) -> Option<Request<Bytes>> {
    if count == 0 {
        return None;
    }
    if !is_batch(request) {
        return Some(request.clone());
    }
    Some(batch_of(request, parts(request).iter().take(count)))
}

/// Answers what `rule` answers, and passes the rest on. A change whose connection is cut cuts that of its batch, before anything is done.
pub(crate) fn answer(
    request: &Request<Bytes>,
    rule: impl Fn(&Request<Bytes>) -> Option<Reply>,
    address: &str,
) -> Reply {
    if !is_batch(request) {
        return rule(request).unwrap_or_else(|| pass(request, address));
    }
    let parts = parts(request);
    let said: Vec<Option<Reply>> = parts.iter().map(|part| rule(&part.alone)).collect();
    if said.iter().all(Option::is_none) {
        return pass(request, address);
    }
    if said.iter().any(|reply| matches!(reply, Some(Reply::Cut))) {
        return Reply::Cut;
    }
    let left = || parts.iter().zip(&said).filter(|(_, said)| said.is_none());
    let passed = match left().count() {
        0 => Vec::new(),
        _ => responses(pass(
            &batch_of(request, left().map(|(part, _)| part)),
            address,
        )),
    };
    let mut passed = passed.into_iter();
    let each = parts.iter().zip(&said).map(|(part, said)| match said {
        Some(reply) => inner(&part.id, reply),
        None => passed.next().unwrap().get().to_owned(),
    });
    let each: Vec<String> = each.collect();
    Reply::json(200, &format!(r#"{{"responses":[{}]}}"#, each.join(",")))
}

/// What the server said to each change.
fn responses(reply: Reply) -> Vec<Box<RawValue>> {
    let Reply::Raw(bytes) = reply else {
        panic!("the server is asked");
    };
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
    let mut members: BTreeMap<String, Vec<Box<RawValue>>> = read(body);
    members.remove("responses").unwrap()
}

/// An answer as it stands in the answer to a batch.
fn inner(id: &str, reply: &Reply) -> String {
    let Reply::Answer(answer) = reply else {
        panic!("no answer to put into another: {reply:?}");
    };
    let body = std::str::from_utf8(answer.body()).unwrap();
    let body: Box<RawValue> = read(body);
    json!({"id": id, "status": answer.status().as_u16(), "headers": {}, "body": body}).to_string()
}
