//! Reading a request with several changes: strictly, within bounds, and without a tree of their contents.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use synctable_core::{RecordId, TableName};
use synctable_wire::{TABLES, header};

use crate::error::Failure;
use crate::handler::Target;
use crate::limits::Limits;

const OPERATION_ID: HeaderName = HeaderName::from_static(header::OPERATION_ID);
/// What a change may say in headers of its own. All else is said once, for all of them.
const OWN: [HeaderName; 3] = [OPERATION_ID, IF_MATCH, CONTENT_TYPE];
/// What the whole request may say for itself, but not for its changes.
const NOT_INHERITED: [HeaderName; 7] = [
    OPERATION_ID,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
];

/// One change and the name under which it is answered.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: String,
    pub(super) request: Inner,
    /// The record that one of a group is about, as far as the table's name and the id are well formed.
    pub(super) record: Option<(TableName, RecordId)>,
}

/// One change as a request.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) request: Request<Bytes>,
    pub(super) target: Target,
}

/// The changes of the request, each on another record: those that are done together or not at all side by side, most others alone.
///
/// # Errors
/// 400 where it is no such request: then no change is looked at.
pub(super) fn read(request: &Request<Bytes>, limits: &Limits) -> Result<Vec<Vec<Part>>, Failure> {
    let bad = |words: String| Failure::bad_request(format!("the batch cannot be read: {words}"));
    let mut reader = serde_json::Deserializer::from_slice(request.body());
    let written = Requests(limits.batch)
        .deserialize(&mut reader)
        .and_then(|written| reader.end().map(|()| written))
        .map_err(|error| bad(error.to_string()))?;
    let mut shared = request.headers().clone();
    for name in &NOT_INHERITED {
        shared.remove(name);
    }
    // There is room for these in each copy, and they are put over by what the change says.
    shared.insert(OPERATION_ID, HeaderValue::from_static(""));
    shared.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut ids = HashSet::with_capacity(written.len());
    let mut records = HashSet::with_capacity(written.len());
    let mut units: Vec<Vec<Part>> = Vec::with_capacity(written.len());
    let mut groups = Groups::default();
    for part in written {
        let words = |words: &str| bad(format!("request '{}' {words}", short(&part.id)));
        if !ids.insert(part.id.clone()) {
            return Err(words("comes twice"));
        }
        let inner = part.inner(request, &shared, limits).map_err(words)?;
        let id = match &inner.target.id {
            Some(id) => Some(id.clone()),
            None => part.body.and_then(named),
        };
        let id = id.ok_or_else(|| words("names no record"))?;
        let table = inner.target.table.to_lowercase();
        let group = part.atomicity_group.as_deref();
        // Alone it takes its turn by itself.
        let record = group.and_then(|_| TableName::new(&table).ok().zip(RecordId::new(&id).ok()));
        if !records.insert((table, id)) {
            return Err(words("is about a record that another one is about"));
        }
        let joins = groups
            .next(group, inner.request.headers(), limits.most_of_a_unit())
            .map_err(words)?;
        let part = Part {
            id: part.id.into_owned(),
            request: inner,
            record,
        };
        match units.last_mut().filter(|_| joins) {
            Some(unit) => unit.push(part),
            None => units.push(vec![part]),
        }
    }
    Ok(units)
}

/// The groups of changes that are done together or not at all, as far as they were read.
#[derive(Debug, Default)]
struct Groups {
    seen: HashSet<String>,
    last: Option<String>,
    /// The operation ids of the last one.
    operations: HashSet<HeaderValue>,
}

impl Groups {
    /// Whether the next change joins the one before it.
    fn next(
        &mut self,
        group: Option<&str>,
        headers: &HeaderMap,
        most: usize,
    ) -> Result<bool, &'static str> {
        let joins = group.is_some() && self.last.as_deref() == group;
        if !joins {
            self.operations.clear();
            self.last = group.map(str::to_owned);
        }
        let Some(group) = group else {
            return Ok(false);
        };
        if most < 2 {
            return Err("is of a group, which is not taken here");
        }
        if !joins && !self.seen.insert(group.to_owned()) {
            return Err("does not stand beside the others of its group");
        }
        let operation = headers.get(OPERATION_ID).cloned();
        if operation.is_some_and(|operation| !self.operations.insert(operation)) {
            return Err("has the operation id of another one of its group");
        }
        if self.operations.len() > most {
            return Err("is of a group with more changes than are taken");
        }
        Ok(joins)
    }
}

/// A change as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    headers: Own,
    #[serde(borrow, default, rename = "atomicityGroup")]
    atomicity_group: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

impl Written<'_> {
    fn inner(
        &self,
        outer: &Request<Bytes>,
        shared: &HeaderMap,
        limits: &Limits,
    ) -> Result<Inner, &'static str> {
        let method = match &*self.method {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return Err("has another method than POST, PUT, PATCH and DELETE"),
        };
        if self.url.len() > limits.target {
            return Err("has a url that is too long");
        }
        if !self.headers.0.contains_key(OPERATION_ID) {
            return Err("has no operation id");
        }
        let (path, own) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let path = format!("/{TABLES}/{path}");
        let target = Target::parse(&path).map_err(|_| "has a url that names no table")?;
        if target.is_batch() {
            return Err("is a batch itself");
        }
        let queries = [own, outer.uri().query().unwrap_or_default()];
        let queries = queries.map(str::to_owned);
        let query: Vec<String> = queries.into_iter().filter(|it| !it.is_empty()).collect();
        let uri = format!("{path}?{}", query.join("&"));
        let uri = uri.trim_end_matches('?');
        let body = self.body.map(|body| body.get().as_bytes());
        let body = body.map(|body| outer.body().slice_ref(body));
        let mut request = Request::new(body.unwrap_or_default());
        *request.uri_mut() = uri
            .parse()
            .map_err(|_| "has a url that is not well formed")?;
        *request.method_mut() = method;
        *request.extensions_mut() = outer.extensions().clone();
        let headers = request.headers_mut();
        headers.clone_from(shared);
        if self.body.is_none() {
            headers.remove(CONTENT_TYPE);
        }
        for (name, value) in &self.headers.0 {
            headers.insert(name, value.clone());
        }
        Ok(Inner { request, target })
    }
}

/// The id in a body; `None` where there is none.
fn named(body: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let named: Named = serde_json::from_str(body.get()).ok()?;
    Some(named.id)
}

/// The beginning of a text that a client chose, for a message.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// `{"requests":[..]}` with at most so many.
struct Requests(usize);

impl<'de> DeserializeSeed<'de> for Requests {
    type Value = Vec<Written<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Requests {
    type Value = Vec<Written<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the member 'requests'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut requests = None;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            match &*name {
                "requests" if requests.is_none() => {
                    requests = Some(map.next_value_seed(List(self.0))?);
                }
                "requests" => return Err(A::Error::duplicate_field("requests")),
                _ => return Err(A::Error::custom("there is a member besides 'requests'")),
            }
        }
        requests.ok_or_else(|| A::Error::missing_field("requests"))
    }
}

/// The list, no longer than this.
struct List(usize);

impl<'de> DeserializeSeed<'de> for List {
    type Value = Vec<Written<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Vec<Written<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut written = Vec::new();
        while let Some(next) = list.next_element()? {
            if written.len() == self.0 {
                let words = format_args!("more than {} requests", self.0);
                return Err(A::Error::custom(words));
            }
            written.push(next);
        }
        Ok(written)
    }
}

/// The headers of one change.
struct Own(HeaderMap);

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(OwnHeaders)
    }
}

struct OwnHeaders;

impl<'de> Visitor<'de> for OwnHeaders {
    type Value = Own;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Own, A::Error> {
        let mut headers = HeaderMap::new();
        while let Some((name, value)) = map.next_entry::<Cow<'_, str>, Cow<'_, str>>()? {
            let name = OWN
                .into_iter()
                .find(|own| name.eq_ignore_ascii_case(own.as_str()));
            let name = name.ok_or_else(|| A::Error::custom("a header that is not one change's"))?;
            let value = HeaderValue::from_str(&value)
                .map_err(|_| A::Error::custom("the value of a header is not well formed"))?;
            if headers.insert(name, value).is_some() {
                return Err(A::Error::custom("a header comes twice"));
            }
        }
        Ok(Own(headers))
    }
}
