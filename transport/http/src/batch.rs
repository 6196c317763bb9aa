//! Several changes in one request: which of them go together, and what the answer says of each.
//!
//! The form is a part of OData's JSON batch: each change is a request within the request, formed as if it went alone, and each answer within
//! the answer is judged as if it had come alone. Whatever is not a 200 with one answer for each of them, in their order, says nothing of any.
//!
//! An answer is limited as every other one ([`body_limit`](crate::HttpTransportBuilder::body_limit)), and each record in it as every other record.
//! A closer limit would refuse the answer to the same changes each time, where conflicts show large records.

mod answers;

use std::collections::HashSet;

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use synctable_core::transport::{
    BatchAnswer, BatchLimits, Change, ChangeAnswer, Outcome, Rejection, TransportError,
    TransportErrorKind as Kind,
};
use synctable_core::{Record, TableName};
use synctable_wire::header as names;
use synctable_wire::{BATCH, TABLES};

use crate::change::{Plan, Prepared};
use crate::client::Answer;
use crate::dialect::Call;
use crate::header::{self, NOT_TRIED, OPERATION_ID, PREFERENCE_APPLIED, REPEATED};
use crate::packing;
use crate::transport::HttpTransport;

/// What stands before and behind the changes in the body of a request.
const FRAME: (&str, &str) = (r#"{"requests":["#, "]}");

/// What becomes of a change of a batch.
#[derive(Debug)]
enum Part<'a> {
    /// It is answered here, without being sent.
    Said(Result<Outcome, TransportError>),
    /// It goes with the others.
    Packed(Box<Prepared<'a>>),
    /// It is left for another time.
    Left,
}

/// The changes of one request, and what becomes of the others.
#[derive(Debug)]
struct Packed<'a> {
    body: String,
    count: usize,
    parts: Vec<Part<'a>>,
}

impl HttpTransport {
    /// Sends as many of the changes as one request holds; the others are answered "not tried".
    ///
    /// A change that does not fit in, as it takes other requests or more of them, ends the batch; where it is the first one, it goes alone. So does
    /// the first one where no other goes with it: then the limits of batches do not hold for it. Each call settles the first change in some way.
    pub(crate) async fn send_together(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        // The announcement may have been withdrawn since the caller looked.
        let limits = self.announced.get().batches;
        let packed = self.pack(changes, limits.unwrap_or(BatchLimits::of(1)));
        if packed.count < 2 {
            return Ok(BatchAnswer::Each(self.first_alone(changes, packed).await));
        }
        let call = Call::new(Method::POST, None).with_body(packed.body);
        let path = self.base.path(&format!("/{TABLES}/{BATCH}"));
        let prefer = HeaderValue::from_static(names::PREFER_OF_BATCH);
        let wishes = HeaderMap::from_iter([
            (HeaderName::from_static(names::PREFER), prefer),
            // The answer tells as much as the request: both ways of a line count alike.
            (ACCEPT_ENCODING, HeaderValue::from_static(packing::GZIP)),
        ]);
        let mut answer = self.send_to(&path, &call, &wishes).await?;
        match answer.status.as_u16() {
            200 => {}
            401 | 403 | 408 | 429 => return Err(answer.refusal(Kind::Protocol)),
            status @ (400..=499 | 501) => {
                let refusal = Rejection::new(Some(status), answer.words());
                return Ok(BatchAnswer::Refused(refusal));
            }
            _ => return Err(answer.refusal(Kind::Protocol)),
        }
        let body = std::mem::replace(&mut answer.body, Ok(Vec::new()))?;
        let Some(inner) = answers::read(&body, packed.count) else {
            let what = "gave something that is not one answer for each change";
            return Err(answer.error(Kind::Protocol, what));
        };
        let mut inner = inner.into_iter().zip(0_usize..);
        let mut each = Vec::with_capacity(changes.len());
        for (part, (table, _)) in packed.parts.into_iter().zip(changes) {
            each.push(match part {
                Part::Said(outcome) => ChangeAnswer::Alone(outcome),
                Part::Left => ChangeAnswer::NotTried,
                Part::Packed(prepared) => {
                    // There are as many as were packed.
                    let Some((inner, number)) = inner.next() else {
                        return Err(answer.error(Kind::Protocol, "left out a change"));
                    };
                    let place = self.base.show(&self.call_path(table, &prepared.call));
                    let inner = inner.alone(&answer.headers, place);
                    self.told(&prepared, inner, number == 0)
                }
            });
        }
        Ok(BatchAnswer::Each(each))
    }

    /// What the answer to one change says. The first one was looked at, whatever the answer says: else nothing would ever get on.
    fn told(&self, prepared: &Prepared<'_>, mut answer: Answer, first: bool) -> ChangeAnswer {
        if header::says(&answer.headers, &PREFERENCE_APPLIED, names::PREFER_MINIMAL)
            && let (Some(sent), Ok(told)) = (&prepared.call.body, &answer.body)
            && let Some(whole) = whole(sent, told)
        {
            answer.body = Ok(whole.into_bytes());
        }
        let untried =
            answer.status == 503 && header::says(&answer.headers, &NOT_TRIED, names::NOT_TRIED_SO);
        if untried && !first {
            return ChangeAnswer::NotTried;
        }
        let says = |what| header::says(&answer.headers, &REPEATED, what);
        let current = says(names::REPEATED_CURRENT) || says(names::REPEATED_NOW);
        match prepared.judge(answer, self.limits.bytes) {
            Ok(outcome @ (Outcome::Applied(_) | Outcome::OtherId(_))) if current => {
                ChangeAnswer::Current(outcome)
            }
            outcome => ChangeAnswer::Alone(outcome),
        }
    }

    /// The answers where at most one change is sent: the first one that was not answered here.
    async fn first_alone(
        &self,
        changes: &[(TableName, Change)],
        packed: Packed<'_>,
    ) -> Vec<ChangeAnswer> {
        let mut sent = false;
        let mut each = Vec::with_capacity(changes.len());
        for (part, (table, change)) in packed.parts.into_iter().zip(changes) {
            each.push(match part {
                Part::Said(outcome) => ChangeAnswer::Alone(outcome),
                _ if sent => ChangeAnswer::NotTried,
                _ => {
                    sent = true;
                    ChangeAnswer::Alone(self.send_change(table, change).await)
                }
            });
        }
        each
    }

    /// Packs the changes up to the first one that does not fit in.
    fn pack<'a>(&self, changes: &'a [(TableName, Change)], limits: BatchLimits) -> Packed<'a> {
        let most = limits.bytes.unwrap_or(usize::MAX);
        let mut packed = Packed {
            body: FRAME.0.to_owned(),
            count: 0,
            parts: Vec::with_capacity(changes.len()),
        };
        let mut records = HashSet::new();
        let mut open = true;
        for (table, change) in changes {
            open &= packed.count < limits.changes && records.insert((table, &change.id));
            if !open {
                packed.parts.push(Part::Left);
                continue;
            }
            let part = match self.plan(change) {
                Err(error) => Part::Said(Err(error)),
                Ok(Plan::Refused(why)) => Part::Said(Ok(Outcome::Rejected(why))),
                Ok(Plan::Untouched) => Part::Left,
                Ok(Plan::Request(prepared)) => match self.inner(table, &prepared, packed.count) {
                    Some(text) if packed.takes(&text, most) => Part::Packed(prepared),
                    _ => Part::Left,
                },
            };
            open = !matches!(part, Part::Left);
            packed.parts.push(part);
        }
        packed.body.push_str(FRAME.1);
        packed
    }

    /// The request of a change within that of a batch; `None` where it has no form there: a table at another place, a change without an operation id,
    /// one that may take a second request.
    fn inner(&self, table: &TableName, prepared: &Prepared<'_>, number: usize) -> Option<String> {
        let (change, call) = (&prepared.change, &prepared.call);
        if self.wire.may_have_rest(change) || !prepared.conditions.contains_key(OPERATION_ID) {
            return None;
        }
        let path = self.call_path(table, call);
        let mut url = path
            .strip_prefix(&self.base.path(&format!("/{TABLES}/")))?
            .to_owned();
        if !call.query.is_empty() {
            url = format!("{url}?{}", call.query);
        }
        let headers: Vec<_> = prepared.conditions.iter().map(pair).collect();
        let mut text = format!(
            r#"{{"id":"{number}","method":"{}","url":{},"headers":{{{}}}"#,
            call.method,
            Value::from(url),
            headers.join(",")
        );
        if let Some(body) = &call.body {
            text.push_str(",\"body\":");
            text.push_str(body);
        }
        text.push('}');
        Some(text)
    }
}

impl Packed<'_> {
    /// Takes a request in, if the body stays within `most` bytes.
    fn takes(&mut self, request: &str, most: usize) -> bool {
        let comma = if self.count == 0 { "" } else { "," };
        let length = self.body.len() + comma.len() + request.len() + FRAME.1.len();
        if length > most {
            return false;
        }
        self.body.push_str(comma);
        self.body.push_str(request);
        self.count += 1;
        true
    }
}

/// The record that a server has stored as it was `sent`, and of which it has `told` the rest: what it set itself, and what it added. `None`
/// where that is no object.
fn whole(sent: &str, told: &[u8]) -> Option<String> {
    // Without what the server sets.
    let sent = Record::from_json(sent).ok()?;
    let told = std::str::from_utf8(told).ok()?.trim();
    let members = [sent.body(), told].map(|text| {
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        Some(inner.trim())
    });
    let mut whole = format!("{{\"id\":{}", Value::from(sent.id().as_str()));
    for members in members {
        let members = members?;
        if !members.is_empty() {
            whole.push(',');
            whole.push_str(members);
        }
    }
    whole.push('}');
    Some(whole)
}

/// A header as a member of a JSON object.
fn pair((name, value): (&HeaderName, &HeaderValue)) -> String {
    // Conditions were made of text.
    let value = String::from_utf8_lossy(value.as_bytes());
    format!("\"{name}\":{}", Value::from(value))
}
