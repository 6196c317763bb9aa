//! What can go wrong when tables are used and synced.

use thiserror::Error;

use crate::name::{NameError, RecordId, TableName};
use crate::record::RecordError;
use crate::schema::SchemaError;
use crate::store::StoreError;
use crate::sync::PushReport;
use crate::transport::{TransportError, TransportErrorKind};
use crate::words::{brief, quote};

/// A failed call of the engine. Whatever it says, no queued change is lost.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A table name, id or query name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The text or value is no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A declaration is not valid, or a record does not fit it.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server could not be asked, or its answer could not be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There is no such record.
    #[error("table {table} has no record with id '{id}'")]
    NotFound {
        /// The table.
        table: TableName,
        /// The id.
        id: RecordId,
    },
    /// There is such a record already.
    #[error("table {table} already has a record with id '{id}'; update or replace it")]
    AlreadyExists {
        /// The table.
        table: TableName,
        /// The id.
        id: RecordId,
    },
    /// A record is larger than the limit of the context.
    #[error(
        "table {table}, id '{id}': the record has {bytes} bytes, more than the limit of {limit}"
    )]
    TooLarge {
        /// The table.
        table: TableName,
        /// The id.
        id: RecordId,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A stored record cannot be read into the type of the table handle. From an `update`, `replace` or `upsert` it means that the change
    /// is stored and only its result could not be read; from a `modify`, that there was nothing to make the change from.
    #[error("table {table}, id '{id}': the record does not fit the type")]
    Typed {
        /// The table.
        table: TableName,
        /// The id.
        id: RecordId,
        /// What serde says.
        source: serde_json::Error,
    },
    /// The table is kept on this device only.
    #[error("table {table} is local only and is never synced")]
    LocalOnly {
        /// The table.
        table: TableName,
    },
    /// A purge would lose changes that were not pushed.
    #[error(
        "table {table} has {count} operations that were not pushed; push first, or discard them"
    )]
    PendingOperations {
        /// The table.
        table: TableName,
        /// How many.
        count: u64,
    },
    /// Everything of the server or account would go, and with it changes that were not pushed.
    #[error(
        "{count} operations were not pushed; push them to where they belong first, or discard them"
    )]
    NotPushed {
        /// How many.
        count: u64,
    },
    /// The server is another one than the rows and positions of this store came from. Nothing was written there and nothing of it was
    /// stored; say with [`SyncContext::accept_server`](crate::sync::SyncContext::accept_server) which it is.
    #[error(
        "the server ({}) is not the one that this store belongs to ({}); accept it as the same one, or as another one, \
         for which what was pulled is removed and pulled anew",
        quote(.now),
        quote(.was)
    )]
    ServerChanged {
        /// The server so far: its address, name or id.
        was: String,
        /// The one that is there now.
        now: String,
    },
    /// The store belongs to another account, or its queued operations were made without one. Local reads go on, and so do
    /// changes while the store has no account; say with
    /// [`SyncContext::switch_account`](crate::sync::SyncContext::switch_account) what is to be done.
    #[error(
        "the store belongs to {}, not to {}; keep its data under the other name, or switch, for which what was pulled is removed \
         and pulled anew",
        account(.was.as_deref()),
        account(.now.as_deref())
    )]
    AccountChanged {
        /// The account of the store; `None` where it has none.
        was: Option<String>,
        /// The account of the context.
        now: Option<String>,
    },
    /// The store has had more schema steps than this application knows: a newer release of it uses the store. Nothing was read or changed.
    #[error(
        "the store has had {store} steps of its schema and this release of the application knows {here}; update it"
    )]
    SchemaNewer {
        /// How many steps the store has had.
        store: u32,
        /// How many the context was given.
        here: u32,
    },
    /// A query for the server is about a field that has another type there.
    #[error(
        "table {table}: the server has the field '{}' in another type, so it cannot be asked for it; ask for all and filter here",
        quote(.field)
    )]
    QueryWords {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
    },
    /// There is no operation with this number.
    #[error("there is no queued operation {seq}; list the pending ones")]
    NoSuchOperation {
        /// The number asked for.
        seq: u64,
    },
    /// The operation is not in conflict.
    #[error("operation {seq} is not in conflict")]
    NotInConflict {
        /// The number asked for.
        seq: u64,
    },
    /// The operation is in conflict, so there is nothing to try again.
    #[error("operation {seq} is in conflict; resolve it: choose a side, or merge both")]
    IsConflict {
        /// The number asked for.
        seq: u64,
    },
    /// The server keeps the record under another id than it was sent with.
    #[error(
        "operation {seq} made a record with another id, '{id}', at the server; resolve it by taking the server's record"
    )]
    OtherId {
        /// The operation.
        seq: u64,
        /// The id at the server.
        id: RecordId,
    },
    /// A conflict is not any more what the application saw when it decided.
    #[error("the conflict of operation {seq} has changed meanwhile; list it again")]
    ConflictChanged {
        /// The operation.
        seq: u64,
    },
    /// A merge found members that both sides changed in different ways, or one side was deleted.
    #[error("operation {seq} cannot be merged: {}; choose a side or give the record", brief(.reason, 300))]
    CannotMerge {
        /// The operation.
        seq: u64,
        /// Why not.
        reason: String,
    },
    /// The query cannot be used for a pull.
    #[error("a pull cannot take this query: {0}")]
    PullQuery(&'static str),
    /// The server answers pages that do not move on, so the pull would never end.
    #[error(
        "table {table}: the server's pages do not move on; it ignores the filter or the order of the query"
    )]
    NoProgress {
        /// The table.
        table: TableName,
    },
    /// A push ended early; the report says what was done before.
    #[error("the push stopped: {} operations arrived, {} are queued", .report.pushed, .report.pending)]
    PushStopped {
        /// What was done before.
        report: Box<PushReport>,
        /// Why it stopped.
        source: Box<Self>,
    },
    /// Another process that has the store open is pushing its queue, or took over from this one, which had not moved on for a minute.
    #[error("another process is pushing this store; nothing is lost, push again when it is done")]
    AnotherPusher,
    /// The call was cancelled by its token.
    #[error("cancelled")]
    Cancelled,
    /// Other writers changed the same records again and again; try once more.
    #[error("other writers keep changing the same records; try again")]
    Contended,
}

/// An account in words.
fn account(name: Option<&str>) -> String {
    name.map_or_else(
        || "no account".into(),
        |name| format!("the account '{}'", quote(name)),
    )
}

/// What kind of failure an [`enum@Error`] is: what to do about it, rather than where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the application gave is not valid: a name, a record, a query, a number of an operation. Mend it.
    Input,
    /// There is no such record or operation, or there is one already.
    State,
    /// Changes wait that the call would lose, or that need a decision.
    Pending,
    /// It is not the server that the store belongs to. The user has to say whether it is the same one.
    OtherServer,
    /// It is not the account that the store belongs to. The user has to say whether the data is kept.
    OtherAccount,
    /// Nobody who speaks for the server could be reached. Try again later.
    Offline,
    /// The user has to sign in.
    SignIn,
    /// The server does not allow it.
    Forbidden,
    /// The server is busy or failed. Try again later.
    Server,
    /// The server's answers are not those of a table server, or it does not know what was asked for.
    Protocol,
    /// The local store failed.
    Store,
    /// Another process or task is at it. Try again.
    Busy,
    /// The call was cancelled.
    Cancelled,
}

impl Error {
    /// The transport error behind this error, if there is one.
    pub fn as_transport(&self) -> Option<&TransportError> {
        match self {
            Self::Transport(error) => Some(error),
            Self::PushStopped { source, .. } => source.as_transport(),
            _ => None,
        }
    }

    /// What kind of failure it is. That of a stopped push is the kind of what stopped it.
    pub fn kind(&self) -> ErrorKind {
        use TransportErrorKind as Kind;
        match self {
            Self::Name(_)
            | Self::Record(_)
            | Self::Schema(_)
            | Self::TooLarge { .. }
            | Self::Typed { .. }
            | Self::PullQuery(_)
            | Self::QueryWords { .. }
            | Self::LocalOnly { .. } => ErrorKind::Input,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::NoSuchOperation { .. }
            | Self::NotInConflict { .. }
            | Self::ConflictChanged { .. } => ErrorKind::State,
            Self::ServerChanged { .. } => ErrorKind::OtherServer,
            Self::AccountChanged { .. } => ErrorKind::OtherAccount,
            Self::PendingOperations { .. }
            | Self::NotPushed { .. }
            | Self::CannotMerge { .. }
            | Self::IsConflict { .. }
            | Self::OtherId { .. } => ErrorKind::Pending,
            Self::NoProgress { .. } => ErrorKind::Protocol,
            Self::Store(_) | Self::SchemaNewer { .. } => ErrorKind::Store,
            Self::PushStopped { source, .. } => source.kind(),
            Self::AnotherPusher | Self::Contended => ErrorKind::Busy,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Transport(error) => match error.kind() {
                _ if error.is_offline() => ErrorKind::Offline,
                _ if error.needs_sign_in() => ErrorKind::SignIn,
                Kind::Forbidden => ErrorKind::Forbidden,
                Kind::Busy | Kind::Gateway | Kind::Failed => ErrorKind::Server,
                Kind::BadRequest | Kind::Missing | Kind::BadQuery => ErrorKind::Input,
                _ => ErrorKind::Protocol,
            },
        }
    }

    /// True when nobody who speaks for the server could be reached: nothing is wrong with the data, and nothing with the credentials.
    pub fn is_offline(&self) -> bool {
        self.as_transport().is_some_and(TransportError::is_offline)
    }

    /// True when the same call may succeed later without a change of anything here.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::AnotherPusher | Self::Contended => true,
            Self::PushStopped { source, .. } => source.is_temporary(),
            error => error
                .as_transport()
                .is_some_and(TransportError::is_temporary),
        }
    }

    /// True when the user has to sign in, again or as somebody else.
    pub fn needs_sign_in(&self) -> bool {
        self.as_transport()
            .is_some_and(TransportError::needs_sign_in)
    }
}
