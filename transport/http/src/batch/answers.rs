//! The answers within the answer to a batch.

use std::borrow::Cow;
use std::fmt;

use http::header::DATE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::client::Answer;

/// What a server says to one change.
#[derive(Debug)]
pub(super) struct Inner<'a> {
    status: StatusCode,
    headers: HeaderMap,
    body: &'a str,
}

/// The answers in `body`, where they are `count`, complete, and in the order of the requests, whose ids are their numbers.
pub(super) fn read(body: &[u8], count: usize) -> Option<Vec<Inner<'_>>> {
    // Whoever reads all at once can be made to hold many times the size of the body.
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    let mut json = serde_json::Deserializer::from_str(envelope.responses.get());
    let inner = Answers(count).deserialize(&mut json).ok()?;
    (inner.len() == count).then_some(inner)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    responses: &'a RawValue,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    status: u16,
    #[serde(default)]
    headers: Option<Told>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// A list of at most so many answers.
struct Answers(usize);

impl<'de> DeserializeSeed<'de> for Answers {
    type Value = Vec<Inner<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Answers {
    type Value = Vec<Inner<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of answers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut inner = Vec::with_capacity(self.0);
        while let Some(row) = list.next_element::<Row>()? {
            let number = inner.len();
            if number == self.0 || row.id != number.to_string() {
                return Err(A::Error::custom("not what was asked"));
            }
            let answer = Inner::of(row);
            inner.push(answer.ok_or_else(|| A::Error::custom("no answer"))?);
        }
        Ok(inner)
    }
}

/// The headers of an answer.
struct Told(HeaderMap);

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(ToldHeaders)
    }
}

struct ToldHeaders;

impl<'de> Visitor<'de> for ToldHeaders {
    type Value = Told;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Told, A::Error> {
        let mut headers = HeaderMap::with_capacity(4);
        while let Some((name, value)) = map.next_entry::<Cow<'_, str>, Cow<'_, str>>()? {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(A::Error::custom)?;
            let value = value.parse().map_err(A::Error::custom)?;
            // Two spellings of one name may say two things.
            if headers.insert(name, value).is_some() {
                return Err(A::Error::custom("a header comes twice"));
            }
        }
        Ok(Told(headers))
    }
}

impl<'a> Inner<'a> {
    fn of(row: Row<'a>) -> Option<Self> {
        Some(Self {
            status: StatusCode::from_u16(row.status).ok()?,
            headers: row.headers.map_or_else(HeaderMap::new, |told| told.0),
            body: row.body.map_or("", RawValue::get),
        })
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) fn body(&self) -> &'a str {
        self.body
    }

    /// The answer as if it had come alone. The server's clock is that of the whole, whose headers are `outer`.
    pub(super) fn alone(self, outer: &HeaderMap, place: String) -> Answer {
        let mut headers = self.headers;
        let date: Option<&HeaderValue> = outer.get(DATE);
        if let Some(date) = date {
            headers.insert(DATE, date.clone());
        }
        Answer {
            status: self.status,
            headers,
            body: Ok(self.body.as_bytes().to_vec()),
            place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_read_as_were_asked_for() {
        let body = br#"{"responses":[{"id":"0","status":204},{"id":"1","status":204}]}"#;
        for count in 0..4 {
            let read = read(body, count).map(|inner| inner.len());
            assert_eq!(read, (count == 2).then_some(2), "{count}");
        }
    }
}
