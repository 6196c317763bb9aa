//! What an answer means for the one record it is about.

use synctable_core::transport::{
    Change, ChangeKind, Conflict, ConflictCause, Outcome, Rejection, ServerRecord, TransportError,
    TransportErrorKind as Kind,
};
use synctable_core::{Record, RecordId};

use crate::client::Answer;
use crate::{header, text};

/// Whether an answer to members alone says that the server takes no such request: not the method, or not in this form.
pub(crate) fn is_whole_only(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 405 | 415 | 501)
}

/// The outcome of a change.
pub(crate) fn of_change(
    change: &Change,
    mut answer: Answer,
    record_limit: usize,
) -> Result<Outcome, TransportError> {
    match (answer.status.as_u16(), change.kind) {
        (200 | 201, kind) => {
            let record = record(&mut answer, record_limit)?;
            if *record.id() == change.id {
                Ok(Outcome::Applied(Some(record)))
            } else if kind == ChangeKind::Insert {
                Ok(Outcome::OtherId(record))
            } else {
                Err(of_another(&answer))
            }
        }
        (204, _) => Ok(Outcome::Applied(None)),
        // No table server answers so about a record: there is no such table.
        (404, _) if text::is_html(&answer.headers) => Err(answer.refusal(Kind::Protocol)),
        // An insert is about the table.
        (404 | 410, ChangeKind::Replace | ChangeKind::Delete | ChangeKind::Undelete) => {
            Ok(Outcome::Missing)
        }
        (409 | 412, _) => Ok(Outcome::Conflict(conflict(change, answer, record_limit))),
        (401 | 403 | 404 | 408 | 429, _) => Err(answer.refusal(Kind::Protocol)),
        (400..=499, _) => Ok(Outcome::Rejected(refusal(change, &answer))),
        _ => Err(answer.refusal(Kind::Protocol)),
    }
}

/// What an answer with 409 or 412 tells.
fn conflict(change: &Change, mut answer: Answer, record_limit: usize) -> Conflict {
    let refusal = refusal(change, &answer);
    let since = header::unknown_since(&answer.headers);
    let (cause, server) = if answer.status == 412 {
        // Without a version it may be an echo of what was sent.
        let row = record(&mut answer, record_limit)
            .ok()
            .filter(|row| *row.id() == change.id && has_version(row));
        let server = row.map_or(ServerRecord::Unknown, ServerRecord::Known);
        (ConflictCause::Version, server)
    } else {
        // The row here may be an echo, or the one that this record collides with.
        (ConflictCause::Existing, ServerRecord::Unknown)
    };
    Conflict::new(server)
        .with_cause(cause, refusal)
        .with_unknown_since(since)
}

/// The status and the server's words. A row is no words, though a member of it may have the name of some.
fn refusal(change: &Change, answer: &Answer) -> Rejection {
    let body = answer.body.as_deref().unwrap_or_default();
    let row = std::str::from_utf8(body)
        .ok()
        .and_then(|text| Record::from_json(text).ok())
        .is_some_and(|row| *row.id() == change.id || has_version(&row));
    let words = if row { answer.reason() } else { answer.words() };
    Rejection::new(Some(answer.status.as_u16()), words)
}

fn has_version(row: &Record) -> bool {
    row.version()
        .is_some_and(|version| !version.as_str().is_empty())
}

/// The record that was asked for by its id.
pub(crate) fn of_get(
    id: &RecordId,
    mut answer: Answer,
    record_limit: usize,
) -> Result<Option<Record>, TransportError> {
    match answer.status.as_u16() {
        200 => {
            let record = record(&mut answer, record_limit)?;
            if record.id() == id {
                Ok(Some(record))
            } else {
                Err(of_another(&answer))
            }
        }
        404 if text::is_html(&answer.headers) => Err(answer.refusal(Kind::Protocol)),
        404 | 410 => Ok(None),
        _ => Err(answer.refusal(Kind::BadQuery)),
    }
}

fn of_another(answer: &Answer) -> TransportError {
    answer.error(Kind::Protocol, "gave a record with another id")
}

/// The record in the body of an answer, which is taken out of it, with the version of its `ETag`.
fn record(answer: &mut Answer, limit: usize) -> Result<Record, TransportError> {
    let body = std::mem::replace(&mut answer.body, Ok(Vec::new()))?;
    if body.len() > limit {
        let what = format!("gave a record larger than {limit} bytes");
        return Err(answer.error(Kind::TooLarge, &what));
    }
    let record = std::str::from_utf8(&body)
        .ok()
        .and_then(|text| Record::from_json(text).ok())
        .ok_or_else(|| answer.error(Kind::Protocol, "gave something that is not a record"))?;
    let mut system = record.system().clone();
    system.version = header::version(&answer.headers).or(system.version);
    Ok(record.with_system(system))
}
