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
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use synctable_core::transport::{
    BatchAnswer, BatchLimits, Change, ChangeAnswer, Outcome, Rejection, TransportError,
    TransportErrorKind as Kind,
};
use synctable_core::{Draft, Record, TableName, push_json_text};
use synctable_wire::header as names;
use synctable_wire::{BATCH, TABLES};
use tokio::time::Instant;

use self::answers::Inner;
use crate::change::{Plan, Prepared};
use crate::client::Answer;
use crate::dialect::Call;
use crate::header::{self, NOT_TRIED, OPERATION_ID, PREFERENCE_APPLIED, REPEATED};
use crate::packing::{self, Effort};
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
    /// It is not done, as another one of its unit is answered here.
    NotDone,
}

/// The changes of one request, and what becomes of the others.
#[derive(Debug)]
struct Packed<'a> {
    body: String,
    count: usize,
    parts: Vec<Part<'a>>,
    /// The first of them are a unit that does not go in one request.
    unit_has_no_form: bool,
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
        if packed.unit_has_no_form {
            let message = "changes that belong together do not go in one request";
            return Ok(BatchAnswer::Refused(Rejection::new(None, message)));
        }
        if packed.count < 2 {
            return Ok(BatchAnswer::Each(self.first_alone(changes, packed).await));
        }
        let call = Call::new(Method::POST, None).with_body(packed.body);
        let path = self.base.path(&format!("/{TABLES}/{BATCH}"));
        let prefer = HeaderValue::from_static(names::PREFER_OF_BATCH);
        let mut wishes = HeaderMap::from_iter([(HeaderName::from_static(names::PREFER), prefer)]);
        let effort = self.announced.effort();
        if effort != Effort::None {
            // The answer tells as much as the request: both ways of a line count alike.
            wishes.insert(ACCEPT_ENCODING, HeaderValue::from_static(packing::GZIP));
        }
        let (bytes, began) = (call.body.as_ref().map_or(0, String::len), Instant::now());
        let sent = self.send_to(&path, &call, &wishes, effort);
        let sent = self.waits.batches.answer(self.sleeps(), bytes, sent).await;
        self.announced
            .note_time(bytes, began.elapsed(), self.base.is_loopback());
        let mut answer = sent?;
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
                Part::NotDone => ChangeAnswer::NotDone,
                Part::Packed(prepared) => {
                    // There are as many as were packed.
                    let Some((inner, number)) = inner.next() else {
                        return Err(answer.error(Kind::Protocol, "left out a change"));
                    };
                    match as_sent(&prepared, &inner, self.limits.bytes) {
                        Some(record) => {
                            let outcome = Ok(Outcome::Applied(Some(record)));
                            answered(outcome, inner.headers())
                        }
                        None => {
                            let place = self.base.show(&self.call_path(table, &prepared.call));
                            let inner = inner.alone(&answer.headers, place);
                            self.told(&prepared, inner, number == 0)
                        }
                    }
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
        if answer.status == StatusCode::FAILED_DEPENDENCY && prepared.change.unit.is_some() {
            return ChangeAnswer::NotDone;
        }
        let headers = answer.headers.clone();
        answered(prepared.judge(answer, self.limits.bytes), &headers)
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
                Part::NotDone => ChangeAnswer::NotDone,
                _ if sent || change.unit.is_some() => ChangeAnswer::NotTried,
                _ => {
                    sent = true;
                    ChangeAnswer::Alone(self.send_change(table, change).await)
                }
            });
        }
        each
    }

    /// Packs the changes up to the first one that does not fit in, those of a unit together.
    fn pack<'a>(&self, changes: &'a [(TableName, Change)], limits: BatchLimits) -> Packed<'a> {
        let mut packed = Packed {
            body: FRAME.0.to_owned(),
            count: 0,
            parts: Vec::with_capacity(changes.len()),
            unit_has_no_form: false,
        };
        let mut records = HashSet::new();
        let mut open = true;
        let are_one = |one: &(_, Change), next: &(_, Change)| {
            one.1.unit.is_some() && one.1.unit == next.1.unit
        };
        for unit in changes.chunk_by(are_one) {
            let (before, count) = (packed.body.len(), packed.count);
            let mut parts = Vec::with_capacity(unit.len());
            for (table, change) in unit {
                open &= packed.count < limits.changes && records.insert((table, &change.id));
                let part = if open {
                    self.pack_one(&mut packed, table, change, limits)
                } else {
                    Part::Left
                };
                open &= !matches!(part, Part::Left);
                parts.push(part);
            }
            let is_said = parts.iter().any(|part| matches!(part, Part::Said(_)));
            if unit.len() > 1 && (is_said || !open) {
                // All of it goes or nothing.
                packed.body.truncate(before);
                packed.count = count;
                packed.unit_has_no_form |= !is_said && packed.parts.is_empty();
                for part in &mut parts {
                    match part {
                        Part::Said(_) => {}
                        part if is_said => *part = Part::NotDone,
                        part => *part = Part::Left,
                    }
                }
            }
            packed.parts.append(&mut parts);
        }
        packed.body.push_str(FRAME.1);
        packed
    }

    fn pack_one<'a>(
        &self,
        packed: &mut Packed<'_>,
        table: &TableName,
        change: &'a Change,
        limits: BatchLimits,
    ) -> Part<'a> {
        let prepared = match self.plan(change) {
            Err(error) => return Part::Said(Err(error)),
            Ok(Plan::Refused(why)) => return Part::Said(Ok(Outcome::Rejected(why))),
            Ok(Plan::Untouched) => return Part::Left,
            Ok(Plan::Request(prepared)) => prepared,
        };
        let (before, most) = (packed.body.len(), limits.bytes.unwrap_or(usize::MAX));
        let fits = self.inner(packed, table, &prepared).is_some()
            && packed.body.len() + FRAME.1.len() <= most;
        if !fits {
            packed.body.truncate(before);
            return Part::Left;
        }
        packed.count += 1;
        Part::Packed(prepared)
    }

    /// Adds the request of a change to that of a batch. `None` where it has no form there, and part of it may be added: a table at another place, a change
    /// without an operation id, one that may take a second request.
    fn inner(
        &self,
        packed: &mut Packed<'_>,
        table: &TableName,
        prepared: &Prepared<'_>,
    ) -> Option<()> {
        let (change, call) = (&prepared.change, &prepared.call);
        if self.wire.may_have_rest(change) || !prepared.conditions.contains_key(OPERATION_ID) {
            return None;
        }
        let path = self.call_path(table, call);
        let url = path
            .strip_prefix(self.base.path("/").as_str())?
            .strip_prefix(TABLES)?
            .strip_prefix('/')?;
        let out = &mut packed.body;
        if packed.count > 0 {
            out.push(',');
        }
        out.push_str(r#"{"id":""#);
        out.push_str(&packed.count.to_string());
        if let Some(unit) = change.unit {
            out.push_str(r#"","atomicityGroup":"u"#);
            out.push_str(&unit.to_string());
        }
        out.push_str(r#"","method":""#);
        out.push_str(call.method.as_str());
        out.push_str(r#"","url":"#);
        if call.query.is_empty() {
            push_json_text(out, url);
        } else {
            push_json_text(out, &format!("{url}?{}", call.query));
        }
        out.push_str(r#","headers":{"#);
        for (at, (name, value)) in prepared.conditions.iter().enumerate() {
            out.push_str(if at == 0 { "\"" } else { ",\"" });
            out.push_str(name.as_str());
            out.push_str("\":");
            // Conditions were made of text.
            push_json_text(out, &String::from_utf8_lossy(value.as_bytes()));
        }
        out.push('}');
        if let Some(body) = &call.body {
            out.push_str(",\"body\":");
            out.push_str(body);
        }
        out.push('}');
        Some(())
    }
}

/// An outcome with what the headers say of it.
fn answered(outcome: Result<Outcome, TransportError>, headers: &HeaderMap) -> ChangeAnswer {
    let says = |what| header::says(headers, &REPEATED, what);
    let current = says(names::REPEATED_CURRENT) || says(names::REPEATED_NOW);
    match outcome {
        Ok(outcome @ (Outcome::Applied(_) | Outcome::OtherId(_))) if current => {
            ChangeAnswer::Current(outcome)
        }
        outcome => ChangeAnswer::Alone(outcome),
    }
}

/// The record that was sent as a whole, with what the server has set, where it says no more: most answers are so, and their text is not put
/// together to be read again.
fn as_sent(prepared: &Prepared<'_>, inner: &Inner<'_>, most: usize) -> Option<Record> {
    let (change, call) = (&prepared.change, &prepared.call);
    let is_whole = matches!(call.method, Method::POST | Method::PUT);
    let is_brief = header::says(inner.headers(), &PREFERENCE_APPLIED, names::PREFER_MINIMAL);
    if !is_whole || !is_brief || !matches!(inner.status().as_u16(), 200 | 201) {
        return None;
    }
    let sent = change.record.as_ref().filter(|it| *it.id() == change.id)?;
    let (body, told) = (call.body.as_ref()?, inner.body());
    let draft = Draft::from_json(told).ok()?;
    if draft.id.is_some() || draft.body() != "{}" || body.len() + told.len() > most {
        return None;
    }
    let mut system = draft.system;
    system.version = header::version(inner.headers()).or(system.version);
    Some(sent.clone().with_system(system))
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
    let mut whole = String::from("{\"id\":");
    push_json_text(&mut whole, sent.id().as_str());
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
