//! Operation ids: a change that is sent again is answered with the outcome it had, and not done again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use serde::{Deserialize, Serialize};
use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStore, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{Record, RecordId, SystemProperties, TableName, Timestamp};

use crate::error::Failure;
use crate::handler::Call;
use crate::tables::{OPERATION_FIELD, OPERATIONS};

/// The request header with the operation's id.
const OPERATION_ID: HeaderName = HeaderName::from_static(synctable_wire::header::OPERATION_ID);
const LONGEST_ID: usize = 128;

/// What a client does under an operation id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    verb: String,
    table: TableName,
    /// The record that the client named; `None` where the server gave the id.
    target: Option<RecordId>,
}

/// One operation of a client.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// The id as the client sent it.
    sent_id: String,
    /// The id of the row with the outcome: that of the user and the operation.
    id: RecordId,
    request: Request,
}

/// What the client sent with an operation, for the answer to a repeat.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The whole record.
    Record(Record),
    /// Some members.
    Members,
    /// Nothing.
    Nothing,
}

/// What is known of an operation that was done by an earlier request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// What it left is what is stored now.
    Current,
    /// Others have changed or removed the record since.
    Earlier,
}

/// What became of an operation. Members are kept only where the client does not send all of them again when it asks again. The operation's id as the
/// client sent it, [`OPERATION_FIELD`], stands beside; the first releases did not write it.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {
    request: Request,
    /// The record's id and system properties as the change left them.
    record: Record,
}

impl Operation {
    /// Reads the request's operation id, if it has one.
    pub(crate) fn read(
        call: &Call<'_>,
        verb: &str,
        target: Option<&RecordId>,
    ) -> Result<Option<Self>, Failure> {
        let mut values = call.headers.get_all(OPERATION_ID).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let bytes = value.as_bytes();
        let visible = bytes.iter().all(u8::is_ascii_graphic);
        if bytes.is_empty() || bytes.len() > LONGEST_ID || !visible || values.next().is_some() {
            return Err(Failure::bad_request(format!(
                "the header '{OPERATION_ID}' must be one id of 1 to {LONGEST_ID} visible ASCII characters"
            )));
        }
        let sent_id = String::from_utf8_lossy(bytes).into_owned();
        // Encoded, because they may hold characters that ids of records cannot.
        let id = URL_SAFE_NO_PAD.encode(bytes);
        let id = match call.grant.user() {
            Some(user) => format!("{}.{id}", URL_SAFE_NO_PAD.encode(user)),
            None => id,
        };
        Ok(Some(Self {
            sent_id,
            id: RecordId::system(&id),
            request: Request {
                verb: verb.to_owned(),
                table: call.table.name.clone(),
                target: target.cloned(),
            },
        }))
    }

    /// Whether it makes a new record.
    pub(crate) fn creates(&self) -> bool {
        self.request.verb == "POST"
    }

    /// The outcome, if the operation was done already.
    pub(crate) async fn find(&self, call: &Call<'_>) -> Result<Option<Done>, Failure> {
        let table = TableName::system(OPERATIONS);
        let Some(row) = call.stored(&table, &self.id).await? else {
            return Ok(None);
        };
        let done: Done = serde_json::from_str(row.body())
            .map_err(|error| Failure::internal(&format!("stored operation: {error}")))?;
        if done.request == self.request {
            Ok(Some(done))
        } else {
            Err(Failure::bad_request(
                "the operation id was used for another change; use a new id for each change",
            ))
        }
    }

    /// Whether anybody did something under this id: a device that signed in anew may ask under another name than it sent.
    pub(crate) async fn is_known_to_anybody(
        &self,
        store: &dyn LocalStore,
    ) -> Result<bool, StoreError> {
        let same = Query::all()
            .filter(field(OPERATION_FIELD).eq(self.sent_id.as_str()))
            .top(1)
            .page(1);
        let table = TableName::system(OPERATIONS);
        Ok(!store.query(&table, &same).await?.records.is_empty())
    }

    /// Adds the outcome to the batch of the change, which left the record as `record`: with its members where the client does not send
    /// all of them again.
    pub(crate) fn remember(
        &self,
        batch: WriteBatch,
        record: &Record,
        members: bool,
        now: Timestamp,
    ) -> Result<WriteBatch, StoreError> {
        let text = |value: Result<String, serde_json::Error>| {
            value.map_err(|error| {
                StoreError::new(
                    StoreErrorKind::Other,
                    "the outcome of the operation cannot be kept",
                )
                .with_source(error)
            })
        };
        let request = text(serde_json::to_string(&self.request))?;
        let sent_id = text(serde_json::to_string(&self.sent_id))?;
        let kept = if members { record.body() } else { "{}" };
        let kept = Record::from_stored(record.id().clone(), record.system().clone(), kept);
        // As `Done` is read: a record writes itself faster than it is written member by member.
        let body = format!(
            r#"{{"request":{request},"record":{},"{OPERATION_FIELD}":{sent_id}}}"#,
            kept.to_json()
        );
        let system = SystemProperties {
            updated_at: Some(now.floor_millis()),
            ..SystemProperties::default()
        };
        let row = Record::from_stored(self.id.clone(), system, body);
        let table = TableName::system(OPERATIONS);
        Ok(batch.expect_absent(&table, &self.id).put(&table, row))
    }
}

impl Done {
    /// The record as the change left it: what is stored now if that is still it, else the members that were kept, or that the
    /// client sends again, with the system properties of then. What others did since is not passed off as its outcome: the
    /// client would take it for the base of its next change and undo it.
    pub(crate) async fn record(
        self,
        call: &Call<'_>,
        sent: &Sent,
    ) -> Result<(Record, Repeated), StoreError> {
        let stored = call.stored(&self.request.table, self.record.id());
        let stored = stored.await?;
        // What a deletion left is nothing: a tombstone may be removed, too.
        let is_gone = stored.is_none() && self.request.verb == "DELETE";
        let stored = stored.filter(|stored| call.may_see(stored));
        Ok(match (stored, sent) {
            (Some(stored), _) if stored.version() == self.record.version() => {
                (stored, Repeated::Current)
            }
            (_, Sent::Record(sent)) => (self.record.with_body_of(sent), Repeated::Earlier),
            (_, Sent::Members | Sent::Nothing) if is_gone => (self.record, Repeated::Current),
            (_, Sent::Members | Sent::Nothing) => (self.record, Repeated::Earlier),
        })
    }
}
