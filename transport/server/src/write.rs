//! Creating, replacing and deleting records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use synctable_core::query::odata::percent_encode;
use synctable_core::store::{Expect, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{Draft, Record, RecordId, SystemProperties, Timestamp, Version};

use crate::conditional::{Access, Conditions, Verdict};
use crate::error::Failure;
use crate::handler::Call;
use crate::operations::Operation;
use crate::read::{gone, is_hidden, missing};
use crate::respond::{self, Response};

/// How often a change starts again because the record, or the end of the table's commits, was changed meanwhile.
/// Within one server the changes of a record take turns, so only other servers over the same store make it more
/// than a few.
const ATTEMPTS: usize = 32;

/// What a change makes of the stored record.
enum Step {
    /// Nothing: it is refused.
    Refuse(Response),
    /// A record with these members and this mark, and a new version and time.
    Put { record: Record, deleted: bool },
    /// No record.
    Remove(Record),
}

/// What became of a change.
enum Effect {
    Refused(Response),
    /// Done, now or by an earlier request with the same operation id; the record as the change left it.
    Done(Record),
}

/// A change of one record.
struct Change<'a> {
    call: &'a Call<'a>,
    id: RecordId,
    operation: Option<Operation>,
    /// The record that the client sent.
    sent: Option<Record>,
}

/// `POST` to a table: a new record.
pub(crate) async fn create(call: &Call<'_>) -> Result<Response, Failure> {
    let draft = read_body(call)?;
    let name = &call.table.name;
    let operation = Operation::read(call.headers, "POST", name, draft.id.as_ref())?;
    let sent = draft.or_id(|| call.core.ids.next_id());
    check_types(call, &sent)?;
    let change = Change {
        call,
        id: sent.id().clone(),
        operation,
        sent: Some(sent.clone()),
    };
    let effect = change.run(|stored| match stored {
        Some(stored) => Step::Refuse(respond::item(call.dialect, StatusCode::CONFLICT, &stored)),
        None => Step::Put {
            record: sent.clone(),
            deleted: false,
        },
    });
    Ok(match effect.await? {
        Effect::Refused(response) => response,
        Effect::Done(record) => {
            let table = call.path.trim_end_matches('/');
            let id = percent_encode(record.id().as_str());
            respond::created(call.dialect, &record, &format!("{table}/{id}"))
        }
    })
}

/// `PUT` of a record: all its members anew. A tombstone becomes a record again where tombstones are asked for.
pub(crate) async fn replace(call: &Call<'_>, id: RecordId) -> Result<Response, Failure> {
    let conditions = Conditions::read(call.headers, Access::Write)?;
    let draft = read_body(call)?;
    if draft.id.as_ref().is_some_and(|given| *given != id) {
        return Err(Failure::bad_request(
            "the 'id' of the record differs from the one in the URL",
        ));
    }
    let sent = draft.or_id(|| id.clone());
    check_types(call, &sent)?;
    let change = Change {
        call,
        operation: Operation::read(call.headers, "PUT", &call.table.name, Some(&id))?,
        sent: Some(sent.clone()),
        id,
    };
    let effect = change.run(|stored| {
        let stored = match stored {
            None => return Step::Refuse(respond::error(&missing())),
            Some(stored) if is_hidden(call, &stored) => {
                return Step::Refuse(respond::error(&gone()));
            }
            Some(stored) => stored,
        };
        match conditions.judge(&stored) {
            Verdict::Proceed => Step::Put {
                record: sent.clone(),
                deleted: call.table.schema.soft_delete && sent.is_deleted(),
            },
            Verdict::NotModified | Verdict::Failed => Step::Refuse(conflict(call, &stored)),
        }
    });
    Ok(match effect.await? {
        Effect::Refused(response) => response,
        Effect::Done(record) => respond::item(call.dialect, StatusCode::OK, &record),
    })
}

/// `DELETE` of a record: it becomes a tombstone where the table keeps them.
pub(crate) async fn delete(call: &Call<'_>, id: RecordId) -> Result<Response, Failure> {
    let conditions = Conditions::read(call.headers, Access::Write)?;
    let soft = call.table.schema.soft_delete;
    let change = Change {
        call,
        operation: Operation::read(call.headers, "DELETE", &call.table.name, Some(&id))?,
        sent: None,
        id,
    };
    let effect = change.run(|stored| {
        let stored = match stored {
            None => return Step::Refuse(respond::error(&missing())),
            Some(stored) if soft && stored.is_deleted() => {
                return Step::Refuse(respond::error(&gone()));
            }
            Some(stored) => stored,
        };
        match conditions.judge(&stored) {
            Verdict::Proceed if soft => Step::Put {
                record: stored,
                deleted: true,
            },
            Verdict::Proceed => Step::Remove(stored),
            Verdict::NotModified | Verdict::Failed => Step::Refuse(conflict(call, &stored)),
        }
    });
    Ok(match effect.await? {
        Effect::Refused(response) => response,
        Effect::Done(_) => respond::empty(StatusCode::NO_CONTENT),
    })
}

impl Change<'_> {
    /// Reads the record, lets `decide` say what to do, and does it if the record is still the same; else all
    /// again. The change, its time and its outcome under the operation id are one batch.
    async fn run(
        &self,
        decide: impl Fn(Option<Record>) -> Step + Send + Sync,
    ) -> Result<Effect, Failure> {
        let core = self.call.core;
        let store = &*core.store;
        let table = &self.call.table.name;
        if self.operation.is_some() {
            core.pruner.prune(store, core.clock.now()).await;
        }
        let _turn = core.turn(table, &self.id).await;
        for _ in 0..ATTEMPTS {
            if let Some(operation) = &self.operation
                && let Some(done) = operation.find(store).await?
            {
                let record = done.record(store, self.sent.as_ref()).await?;
                return Ok(Effect::Done(record));
            }
            let stored = store.get_one(table, &self.id).await?;
            let result = match decide(stored.clone()) {
                Step::Refuse(response) => return Ok(Effect::Refused(response)),
                Step::Put { record, deleted } => {
                    let version = new_version().map_err(|error| Failure::internal(&error))?;
                    self.put(stored, record, version, deleted).await
                }
                Step::Remove(record) => self.remove(record).await,
            };
            match result {
                Ok(record) => return Ok(Effect::Done(record)),
                Err(error) if error.kind() == StoreErrorKind::CheckFailed => {
                    tracing::debug!(%table, "the record was changed meanwhile; trying again");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::busy(
            "the record is changed too often by others; try again",
        ))
    }

    async fn put(
        &self,
        stored: Option<Record>,
        record: Record,
        version: Version,
        deleted: bool,
    ) -> Result<Record, StoreError> {
        let core = self.call.core;
        let table = &self.call.table;
        let stamped = |time: Timestamp| {
            let created_at = match &stored {
                Some(stored) => stored.system().created_at,
                None => Some(time),
            };
            record.clone().with_system(SystemProperties {
                version: Some(version.clone()),
                created_at,
                updated_at: Some(time),
                deleted,
            })
        };
        let expect = match &stored {
            Some(stored) => Expect::Same(Box::new(stored.clone())),
            None => Expect::Absent,
        };
        let time = table.sequence.commit(&*core.store, &*core.clock, |time| {
            let record = stamped(time);
            let mut batch = WriteBatch::new();
            batch.check(&table.name, &self.id, expect);
            self.remember(batch.put(&table.name, record.clone()), &record)
        });
        Ok(stamped(time.await?))
    }

    /// A removal needs no place among the table's times: nothing of it is left to be pulled.
    async fn remove(&self, stored: Record) -> Result<Record, StoreError> {
        let core = self.call.core;
        let table = &self.call.table.name;
        let batch = WriteBatch::new()
            .expect_same(table, stored.clone())
            .delete(table, &self.id);
        core.store.commit(self.remember(batch, &stored)?).await?;
        Ok(stored)
    }

    fn remember(&self, batch: WriteBatch, record: &Record) -> Result<WriteBatch, StoreError> {
        match &self.operation {
            Some(operation) => operation.remember(batch, record, self.call.core.clock.now()),
            None => Ok(batch),
        }
    }
}

/// 412 with the stored record.
fn conflict(call: &Call<'_>, stored: &Record) -> Response {
    respond::item(call.dialect, StatusCode::PRECONDITION_FAILED, stored)
}

fn read_body(call: &Call<'_>) -> Result<Draft, Failure> {
    Draft::from_json(call.json_text()?).map_err(|error| Failure::bad_request(error.to_string()))
}

fn check_types(call: &Call<'_>, record: &Record) -> Result<(), Failure> {
    call.table
        .schema
        .check_record(&call.table.name, record)
        .map_err(|error| Failure::bad_request(error.to_string()))
}

/// Base64 of 16 random bytes.
fn new_version() -> Result<Version, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(Version::new(&STANDARD.encode(bytes)))
}
