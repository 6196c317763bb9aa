//! Creating, replacing and deleting records.

use http::StatusCode;
use http::header::IF_MATCH;
use synctable_core::{Record, RecordId, Version};

use crate::body;
use crate::change::{Change, Changed, Refused, Step};
use crate::conditional::{Conditions, Intent, Verdict};
use crate::dialect::Dialect;
use crate::error::Failure;
use crate::handler::Call;
use crate::judge::{judged, stamped, whole};
use crate::operations::{Operation, Sent};
use crate::read::{is_hidden, seen};
use crate::respond::{self, Response};

/// What a `POST` to a table brings.
#[derive(Debug)]
pub(crate) struct NewRecord {
    record: Record,
    operation: Option<Operation>,
}

impl NewRecord {
    /// Reads the request. For a table that is to be made for this record everything is judged here, as nothing is stored in it yet.
    pub(crate) fn read(call: &Call<'_>) -> Result<Self, Failure> {
        let draft = body::record(call)?;
        let operation = Operation::read(call, "POST", draft.id.as_ref())?;
        let ids = call.table.ids.as_ref().unwrap_or(&call.core.ids);
        let record = whole(call, draft.or_id(|| ids.next_id()))?;
        if !call.table.is_made {
            judged(call, record.clone(), None)?;
        }
        Ok(Self { record, operation })
    }
}

/// `POST` to a table: a new record.
pub(crate) async fn create(call: &Call<'_>, new: NewRecord) -> Result<Response, Failure> {
    let NewRecord { record, operation } = new;
    let change = Change {
        call,
        id: record.id().clone(),
        operation,
        sent: Sent::Record(record.clone()),
    };
    let done = change.run(|stored| {
        let record = judged(call, record.clone(), None)?;
        match stored {
            None => Ok(Step::Put {
                record,
                deleted: false,
            }),
            Some(stored) if call.may_see(&stored) => {
                Err(Refused::Conflict(StatusCode::CONFLICT, Box::new(stored)))
            }
            Some(_) => Err(Failure::bad_request(
                "the record cannot be stored under this id; choose another",
            )
            .into()),
        }
    });
    answer(call, done.await, |record| match call.dialect() {
        Dialect::Zumo2 => respond::item(call, StatusCode::CREATED, &record),
        Dialect::Toolkit | Dialect::Zumo3 => respond::created(call, &record),
    })
}

/// `PUT` of a record: all its members anew. A tombstone becomes a record again where tombstones are asked for.
pub(crate) async fn replace(call: &Call<'_>, id: RecordId) -> Result<Response, Failure> {
    let conditions = Conditions::read(call.headers, call.dialect(), Intent::Write)?;
    let draft = body::record(call)?;
    check_id(draft.id.as_ref(), &id)?;
    let record = whole(call, draft.or_id(|| id.clone()))?;
    let change = Change {
        call,
        operation: Operation::read(call, "PUT", Some(&id))?,
        sent: Sent::Record(record.clone()),
        id,
    };
    let done = change.run(|stored| {
        let stored = changeable(call, stored)?;
        check_conditions(&conditions, &stored)?;
        let deleted = call.table.rules().soft_delete && record.is_deleted();
        Ok(Step::Put {
            record: judged(call, record.clone(), Some(&stored))?,
            deleted,
        })
    });
    answer(call, done.await, |record| {
        respond::item(call, StatusCode::OK, &record)
    })
}

/// `PATCH` of a record: some of its members anew.
pub(crate) async fn merge(call: &Call<'_>, id: Option<RecordId>) -> Result<Response, Failure> {
    let conditions = Conditions::read(call.headers, call.dialect(), Intent::Write)?;
    let changes = body::changes(call)?;
    let named = changes.draft.id.clone();
    let id = id.or_else(|| named.clone()).ok_or_else(|| {
        Failure::bad_request("the record is not named; put its 'id' into the path or the body")
    })?;
    check_id(named.as_ref(), &id)?;
    let change = Change {
        call,
        operation: Operation::read(call, "PATCH", Some(&id))?,
        sent: Sent::Members,
        id,
    };
    let done = change.run(|stored| {
        let undeletes = changes.undeletes && call.dialect().opens_tombstones();
        let stored = if undeletes && call.dialect().revives_unasked() {
            seen(call, stored)?
        } else {
            changeable(call, stored)?
        };
        check_conditions(&conditions, &stored)?;
        check_version(call, changes.draft.system.version.as_ref(), &stored)?;
        let record = stamped(call, stored.patched(&changes.draft))?;
        // Members that come one by one make no larger record than one that comes as a whole.
        if record.body().len() > call.core.limits.body {
            return Err(Failure::too_large(call.core.limits.body).into());
        }
        let record = judged(call, record, Some(&stored))?;
        let deleted = changes.draft.system.deleted || stored.is_deleted() && !undeletes;
        Ok(Step::Put {
            record,
            deleted: call.table.rules().soft_delete && deleted,
        })
    });
    answer(call, done.await, |record| {
        respond::item(call, StatusCode::OK, &record)
    })
}

/// `POST` to a record, in version 2: it is no tombstone any more.
pub(crate) async fn undelete(call: &Call<'_>, id: RecordId) -> Result<Response, Failure> {
    let conditions = Conditions::read(call.headers, call.dialect(), Intent::Write)?;
    let change = Change {
        call,
        operation: Operation::read(call, "UNDELETE", Some(&id))?,
        sent: Sent::Members,
        id,
    };
    let done = change.run(|stored| {
        let stored = seen(call, stored)?;
        check_conditions(&conditions, &stored)?;
        Ok(Step::Put {
            record: stored,
            deleted: false,
        })
    });
    answer(call, done.await, |record| {
        respond::item(call, StatusCode::CREATED, &record)
    })
}

/// `DELETE` of a record: it becomes a tombstone where the table keeps them.
pub(crate) async fn delete(call: &Call<'_>, id: RecordId) -> Result<Response, Failure> {
    let conditions = Conditions::read(call.headers, call.dialect(), Intent::Write)?;
    let soft = call.table.rules().soft_delete;
    let change = Change {
        call,
        operation: Operation::read(call, "DELETE", Some(&id))?,
        sent: Sent::Nothing,
        id,
    };
    let done = change.run(|stored| {
        let stored = seen(call, stored)?;
        if soft && stored.is_deleted() {
            return Err(call.dialect().gone().into());
        }
        check_conditions(&conditions, &stored)?;
        Ok(if soft {
            Step::Put {
                record: stored,
                deleted: true,
            }
        } else {
            Step::Remove(stored)
        })
    });
    answer(call, done.await, |record| match call.dialect() {
        Dialect::Zumo2 => respond::item(call, StatusCode::OK, &record),
        Dialect::Toolkit | Dialect::Zumo3 => respond::empty(StatusCode::NO_CONTENT),
    })
}

/// The answer to a change: what `done` makes of the record as the change left it, or why there was no change.
fn answer(
    call: &Call<'_>,
    result: Result<Changed, Refused>,
    done: impl FnOnce(Record) -> Response,
) -> Result<Response, Failure> {
    match result {
        Ok(Changed { record, repeated }) => {
            let mut response = done(record);
            respond::mark_repeated(&mut response, repeated);
            Ok(response)
        }
        Err(Refused::Conflict(status, stored)) => Ok(respond::item(call, status, &stored)),
        Err(Refused::Unknown(status, stored, since)) => {
            let mut response = respond::item(call, status, &stored);
            respond::mark_unknown(&mut response, since);
            Ok(response)
        }
        Err(Refused::Failure(failure)) => Err(failure),
    }
}

/// The stored record, unless there is none for this client or it is a tombstone that was not asked for.
fn changeable(call: &Call<'_>, stored: Option<Record>) -> Result<Record, Failure> {
    let stored = seen(call, stored)?;
    if is_hidden(call, &stored) {
        return Err(call.dialect().gone());
    }
    Ok(stored)
}

/// 412 with the stored record, unless the request's conditions hold.
fn check_conditions(conditions: &Conditions, stored: &Record) -> Result<(), Refused> {
    match conditions.judge(stored) {
        Verdict::Proceed => Ok(()),
        Verdict::NotModified | Verdict::Failed => Err(Refused::Conflict(
            StatusCode::PRECONDITION_FAILED,
            Box::new(stored.clone()),
        )),
    }
}

/// A version among the members to change is a condition in version 2, where no header has one; in version 3 it
/// cannot be changed. To the Toolkit's dialect it is the server's, and overlooked as in a whole record.
fn check_version(call: &Call<'_>, given: Option<&Version>, stored: &Record) -> Result<(), Refused> {
    if given.is_none() || given == stored.version() {
        return Ok(());
    }
    match call.dialect() {
        Dialect::Toolkit => Ok(()),
        Dialect::Zumo2 if call.headers.contains_key(IF_MATCH) => Ok(()),
        Dialect::Zumo2 => Err(Refused::Conflict(
            StatusCode::CONFLICT,
            Box::new(stored.clone()),
        )),
        Dialect::Zumo3 => Err(Failure::bad_request(
            "the 'version' cannot be changed; leave it out, or send it as 'if-match'",
        )
        .into()),
    }
}

fn check_id(given: Option<&RecordId>, id: &RecordId) -> Result<(), Failure> {
    match given {
        Some(given) if given != id => Err(Failure::bad_request(
            "the 'id' of the record differs from the one in the URL",
        )),
        _ => Ok(()),
    }
}
