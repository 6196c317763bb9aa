//! What an answer means for the one record it is about.

use synctable_core::transport::{
    Change, ChangeKind, Conflict, Outcome, Rejection, ServerRecord, TransportError,
    TransportErrorKind as Kind,
};
use synctable_core::{Record, RecordId};

use crate::client::Answer;
use crate::{header, text};

/// The outcome of a change.
pub(crate) fn of_change(
    change: &Change,
    answer: Answer,
    record_limit: usize,
    missing_is_gone: bool,
) -> Result<Outcome, TransportError> {
    let conflict = |server| Ok(Outcome::Conflict(Conflict::new(server)));
    match (answer.status.as_u16(), change.kind) {
        (200 | 201, _) => {
            record(answer, &change.id, record_limit).map(|r| Outcome::Applied(Some(r)))
        }
        // No table server answers so about a record: there is no such table.
        (404, _) if text::is_html(&answer.headers) => Err(answer.refusal(Kind::Protocol)),
        (204, _) | (404 | 410, ChangeKind::Delete) => Ok(Outcome::Applied(None)),
        (404 | 410, ChangeKind::Replace | ChangeKind::Undelete) => conflict(if missing_is_gone {
            ServerRecord::Gone
        } else {
            ServerRecord::Unknown
        }),
        (409 | 412, _) => {
            // Without a version it may be an echo of what was sent.
            let server = match record(answer, &change.id, record_limit) {
                Ok(record) if record.version().is_some() => ServerRecord::Known(record),
                _ => ServerRecord::Unknown,
            };
            conflict(server)
        }
        (401 | 403 | 404 | 408 | 429, _) => Err(answer.refusal(Kind::Protocol)),
        (status @ 400..=499, _) => Ok(Outcome::Rejected(Rejection::new(
            Some(status),
            answer.words(),
        ))),
        _ => Err(answer.refusal(Kind::Protocol)),
    }
}

/// The record that was asked for by its id.
pub(crate) fn of_get(
    id: &RecordId,
    answer: Answer,
    record_limit: usize,
) -> Result<Option<Record>, TransportError> {
    match answer.status.as_u16() {
        200 => record(answer, id, record_limit).map(Some),
        404 if text::is_html(&answer.headers) => Err(answer.refusal(Kind::Protocol)),
        404 | 410 => Ok(None),
        _ => Err(answer.refusal(Kind::BadQuery)),
    }
}

/// The record in the body of an answer, with the version of its `ETag`. It must be the one of `id`.
fn record(mut answer: Answer, id: &RecordId, limit: usize) -> Result<Record, TransportError> {
    let body = std::mem::replace(&mut answer.body, Ok(Vec::new()))?;
    if body.len() > limit {
        let what = format!("gave a record larger than {limit} bytes");
        return Err(answer.error(Kind::TooLarge, &what));
    }
    let record = std::str::from_utf8(&body)
        .ok()
        .and_then(|text| Record::from_json(text).ok())
        .ok_or_else(|| answer.error(Kind::Protocol, "gave something that is not a record"))?;
    if record.id() != id {
        return Err(answer.error(Kind::Protocol, "gave a record with another id"));
    }
    let mut system = record.system().clone();
    system.version = header::version(&answer.headers).or(system.version);
    Ok(record.with_system(system))
}
