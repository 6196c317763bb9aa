//! The transport trait and what travels over it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{BatchAnswer, BatchLimits, ChangeAnswer, ChangeFeed, TransportError};
use crate::clock::Sleep;
use crate::name::{RecordId, TableName, Version};
use crate::query::RemoteQuery;
use crate::record::Record;
use crate::threads::{MaybeSend, MaybeSync};
use crate::timestamp::Timestamp;
use crate::words;

/// A way to a table server: three required methods.
///
/// Outcomes are values. An `Err` means that it is *not known* whether the request took effect. Dropping a future
/// is always safe and means the same as an `Err`.
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait Transport: Debug + MaybeSend + MaybeSync + 'static {
    /// Sends one change. It is sent at most once by this call, unless the transport knows that an attempt never left.
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError>;

    /// Sends several changes of different records in one request, in their order; only where
    /// [`batches`](TransportCapabilities::batches) was announced. Each is done, or not, on its own, and the others go on; but those of one
    /// [unit](Change::unit) are done together or not at all, and never sent without one of them.
    ///
    /// An answer has to speak of each of them, or say that none was looked at; else it is an error: it is not known what became
    /// of any. Like [`apply`](Self::apply) it sends at most once. By default each is sent with [`apply`](Self::apply).
    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        let mut answers = Vec::with_capacity(changes.len());
        for (table, change) in changes {
            answers.push(ChangeAnswer::Alone(self.apply(table, change).await));
        }
        Ok(BatchAnswer::Each(answers))
    }

    /// Reads one record. `None` where the server has none; a tombstone is returned where the server shows it,
    /// else it counts as none.
    async fn get(&self, table: &TableName, id: &RecordId)
    -> Result<Option<Record>, TransportError>;

    /// Reads one page: the first one of `query`, or the one at `cursor`.
    ///
    /// The server may answer with fewer records than [`Query::page`](crate::query::Query::page) or [`Query::top`](crate::query::Query::top) asks for.
    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError>;

    /// The server's own feed of the changes of a table, where it has one: pulls with a name follow it. Without one they walk through
    /// [`page`](Self::page) by `updatedAt` and `id`, as table servers have no other position.
    ///
    /// Where a table begins or ceases to have a feed, its named pulls begin at the start.
    fn feed(&self, table: &TableName) -> Option<&dyn ChangeFeed> {
        let _ = table;
        None
    }

    /// What the server announced since [`begin_push`](Self::begin_push), or since the transport was made.
    fn capabilities(&self) -> TransportCapabilities {
        TransportCapabilities::default()
    }

    /// Where the server is, in one spelling: the same text for the same address. It tells servers apart that announce no id.
    fn address(&self) -> Option<String> {
        None
    }

    /// The same way to the server with the credentials of one account, and of no other: a request for which these cannot be had is not
    /// sent, and fails as [`Unauthorized`](super::TransportErrorKind::Unauthorized). `None` where the transport does not tell accounts apart.
    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        let _ = account;
        None
    }

    /// A push begins: what the server announced before is not relied on any more, as it may be another release by now. That it takes parts
    /// of records may be remembered, as nothing is lost where it does not.
    fn begin_push(&self) {}

    /// Asks for other credentials after the server refused these. False where there are none; the engine calls it only
    /// for credentials with which no request was accepted.
    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        Ok(false)
    }

    /// A way to wait that works wherever this transport does. Without one, and without one that the context is
    /// given, nothing is tried twice within one call.
    fn sleep(&self) -> Option<Arc<dyn Sleep>> {
        None
    }
}

/// One change to send.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Insert, replace, delete or undelete.
    pub kind: ChangeKind,
    /// The record's id.
    pub id: RecordId,
    /// The record as it shall be; `None` for a delete.
    pub record: Option<Record>,
    /// The version on which the change is based. A write without one is only sent for inserts, and for records
    /// of servers that give no versions.
    pub if_match: Option<Version>,
    /// The server's record on which the change is based, for transports that send what differs from it in a way of their own.
    pub base: Option<Record>,
    /// The members of [`record`](Self::record) that are to be sent alone, so that the others stay as they are at the server: set only where
    /// [`partial_updates`](TransportCapabilities::partial_updates) was announced, together with [`if_match`](Self::if_match), and never
    /// empty. One whose value is `null` becomes `null`. `None`: the record replaces the server's as a whole. A transport that sends
    /// the whole all the same does no harm.
    pub members: Option<Vec<String>>,
    /// A key that is the same whenever this very change is sent again.
    pub operation_id: Option<String>,
    /// Changes that stand side by side in one call of [`apply_all`](Transport::apply_all) with the same number are done together or not at all: set
    /// only where [`units`](super::BatchLimits::units) were announced, on as many of them at most.
    pub unit: Option<u64>,
}

impl Change {
    /// A change of a kind to a record.
    pub fn new(kind: ChangeKind, id: RecordId) -> Self {
        Self {
            kind,
            id,
            record: None,
            if_match: None,
            base: None,
            members: None,
            operation_id: None,
            unit: None,
        }
    }

    /// With the record as it shall be.
    #[must_use]
    pub fn with_record(mut self, record: Record) -> Self {
        self.record = Some(record);
        self
    }

    /// With the version on which the change is based.
    #[must_use]
    pub fn with_if_match(mut self, version: Option<Version>) -> Self {
        self.if_match = version;
        self
    }

    /// With the server's record on which the change is based.
    #[must_use]
    pub fn with_base(mut self, base: Option<Record>) -> Self {
        self.base = base;
        self
    }

    /// With the members that are to be sent alone; `None`: all of them.
    #[must_use]
    pub fn with_members(mut self, members: Option<Vec<String>>) -> Self {
        self.members = members;
        self
    }

    /// As one of the changes that are done together or not at all.
    #[must_use]
    pub fn with_unit(mut self, unit: Option<u64>) -> Self {
        self.unit = unit;
        self
    }

    /// With the key that marks repeats.
    #[must_use]
    pub fn with_operation_id(mut self, key: impl Into<String>) -> Self {
        self.operation_id = Some(key.into());
        self
    }
}

/// The kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A new record.
    Insert,
    /// The whole record anew, or some [`members`](Change::members) of it.
    Replace,
    /// No more record.
    Delete,
    /// A tombstone becomes a record again, with the members given.
    Undelete,
}

/// What a server made of a change.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done; with the record as it now is, where the server says.
    Applied(Option<Record>),
    /// Done under another id than asked for: the server keeps the record as this one.
    OtherId(Record),
    /// Not done: the server says that there is no such record. A server that does not know the table may say the same.
    Missing,
    /// Not done: the server's record is not the one on which the change is based.
    Conflict(Conflict),
    /// Not done, and the same change will be refused again.
    Rejected(Rejection),
    /// Not done: the server takes no [`members`](Change::members) alone, at least not in this table. It may take the whole, which the engine
    /// sends at once.
    WholeOnly,
}

/// The server's side of a conflict.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Conflict {
    /// What the server holds.
    pub server: ServerRecord,
    /// What the server complains about.
    pub cause: ConflictCause,
    /// The server's status and words, in case that it turns out to be no conflict of versions.
    pub refusal: Rejection,
    /// Where the server says that it did nothing under this operation id so far: since when it keeps the ids of this user, by its
    /// own clock.
    pub unknown_since: Option<Timestamp>,
}

impl Conflict {
    /// A version that moved.
    pub fn new(server: ServerRecord) -> Self {
        Self {
            server,
            cause: ConflictCause::Version,
            refusal: Rejection::new(None, ""),
            unknown_since: None,
        }
    }

    /// With what the server complains about, its status and its words.
    #[must_use]
    pub fn with_cause(mut self, cause: ConflictCause, refusal: Rejection) -> Self {
        self.cause = cause;
        self.refusal = refusal;
        self
    }

    /// With since when the server would know of an effect of this operation id; see [`unknown_since`](Self::unknown_since).
    #[must_use]
    pub fn with_unknown_since(mut self, since: Option<Timestamp>) -> Self {
        self.unknown_since = since;
        self
    }
}

/// What a server complains about when it answers with a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictCause {
    /// The record is not at the version on which the change is based (412).
    Version,
    /// Something that is there already stands in the way (409): the record itself, or a rule of the table that
    /// this one record breaks, such as a unique or foreign key.
    Existing,
}

/// What is known of a record at the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ServerRecord {
    /// The record, perhaps a tombstone.
    Known(Record),
    /// The answer did not tell; ask with [`Transport::get`].
    Unknown,
}

/// Why a server refused a change for good.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rejection {
    /// The HTTP status, where there is one.
    pub status: Option<u16>,
    /// The server's words.
    pub message: String,
}

impl Rejection {
    /// A rejection. Of long words both ends are kept.
    pub fn new(status: Option<u16>, message: impl Into<String>) -> Self {
        Self {
            status,
            message: words::message(message),
        }
    }
}

/// One page of records from a server.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RemotePage {
    /// The records in the server's order.
    pub records: Vec<Record>,
    /// Rows that are no records; they are reported and left out.
    pub invalid: Vec<InvalidRow>,
    /// Where the next page is, if the server said.
    pub next: Option<PageCursor>,
    /// True when the server said that nothing follows; false when it is not known.
    pub last: bool,
    /// The count of all matching records, where it was asked for and given.
    pub total: Option<u64>,
    /// The server's clock at the answer.
    pub server_time: Option<Timestamp>,
    /// True when the server promises that `updatedAt` grows in the order of commits within a table, and that a page in the order of time, which is
    /// not the last, ends between two times, unless all of it has one time; then its records come by id. Where times are unique that is so anyway.
    pub ordered: bool,
    /// What the server announced in this answer as its own id; [`TransportCapabilities::server_id`] is that of any answer.
    pub server_id: Option<String>,
    /// Up to here the server has removed tombstones of the table: who knows it only up to an earlier time may have missed deletions. To be told
    /// as it is after the records were read.
    pub forgotten: Option<Timestamp>,
}

/// A row of a page that is not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidRow {
    /// Its id, where it has a usable one.
    pub id: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

impl InvalidRow {
    /// A bad row.
    pub fn new(id: Option<String>, reason: impl Into<String>) -> Self {
        Self {
            id,
            reason: words::message(reason),
        }
    }
}

/// Where a page starts, in the server's own terms (a next link).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageCursor(Arc<str>);

impl PageCursor {
    /// Wraps the server's text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The server's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a transport and the server behind it offer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransportCapabilities {
    /// The server answers a repeated [`Change::operation_id`] with the first outcome, and keeps it so long.
    pub operation_ids_kept: Option<Duration>,
    /// The server takes [`members`](Change::members) alone. Where it does not after all, [`Outcome::WholeOnly`] says so.
    pub partial_updates: bool,
    /// The server takes several changes in one request, up to these limits. Used only where [`operation_ids_kept`](Self::operation_ids_kept)
    /// is announced, too, as a lost answer is found out by them.
    pub batches: Option<BatchLimits>,
    /// The server's clock, as the last answer showed it.
    pub server_time: Option<Timestamp>,
    /// What the server announced as its own id: the same for ever, and another one for every other server. An answer without one
    /// withdraws nothing.
    pub server_id: Option<String>,
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn apply(&self, table: &TableName, change: &Change) -> Result<Outcome, TransportError> {
        (**self).apply(table, change).await
    }
    async fn apply_all(
        &self,
        changes: &[(TableName, Change)],
    ) -> Result<BatchAnswer, TransportError> {
        (**self).apply_all(changes).await
    }
    async fn get(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, TransportError> {
        (**self).get(table, id).await
    }
    async fn page(
        &self,
        table: &TableName,
        query: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, TransportError> {
        (**self).page(table, query, cursor).await
    }
    fn feed(&self, table: &TableName) -> Option<&dyn ChangeFeed> {
        (**self).feed(table)
    }
    fn capabilities(&self) -> TransportCapabilities {
        (**self).capabilities()
    }
    fn address(&self) -> Option<String> {
        (**self).address()
    }
    fn for_account(&self, account: &str) -> Option<Arc<dyn Transport>> {
        (**self).for_account(account)
    }
    fn begin_push(&self) {
        (**self).begin_push();
    }
    async fn renew_credentials(&self) -> Result<bool, TransportError> {
        (**self).renew_credentials().await
    }
    fn sleep(&self) -> Option<Arc<dyn Sleep>> {
        (**self).sleep()
    }
}
