//! What happens, told to whoever listens.

use tokio::sync::broadcast;

use crate::name::{RecordId, TableName};
use crate::sync::pull::report::PullReport;
use crate::sync::push::report::PushReport;

/// Something that happened. Each commit gives its events after it is stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A record changed in the local store.
    Changed {
        /// The table.
        table: TableName,
        /// The record.
        id: RecordId,
        /// What happened to it.
        change: RecordChange,
        /// Who did it.
        origin: Origin,
    },
    /// All or many records of a table were removed at once.
    Purged {
        /// The table.
        table: TableName,
        /// How many.
        count: u64,
    },
    /// A push begins.
    PushStarted {
        /// Operations in the queue.
        pending: u64,
    },
    /// A push settled some operations.
    PushProgress {
        /// Operations settled so far.
        done: u64,
        /// Operations in the queue when the push began.
        total: u64,
    },
    /// A push ended without being stopped.
    PushFinished(PushReport),
    /// A pull begins.
    PullStarted {
        /// The table.
        table: TableName,
    },
    /// A pull stored a page.
    PullProgress {
        /// The table.
        table: TableName,
        /// Records received so far.
        fetched: u64,
        /// Records in all, where the server says.
        total: Option<u64>,
    },
    /// A pull ended.
    PullFinished {
        /// The table.
        table: TableName,
        /// What it did.
        report: PullReport,
    },
    /// An operation was parked because of a conflict.
    ConflictParked {
        /// The operation.
        seq: u64,
        /// The table.
        table: TableName,
        /// The record.
        id: RecordId,
    },
    /// An operation failed in a way that may be its own or everybody's; a later push tries it again.
    OperationAside {
        /// The operation.
        seq: u64,
        /// The table.
        table: TableName,
        /// The record.
        id: RecordId,
    },
    /// The server refused an operation for good.
    OperationRejected {
        /// The operation.
        seq: u64,
        /// The table.
        table: TableName,
        /// The record.
        id: RecordId,
    },
    /// The listener was too slow and missed this many events; read again what matters.
    Lagged(u64),
}

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordChange {
    /// It is new.
    Inserted,
    /// It has other content.
    Updated,
    /// It is gone.
    Deleted,
}

/// Who changed a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The application.
    Local,
    /// The server's answer to a push.
    Push,
    /// A pull.
    Pull,
    /// The resolution of a conflict, or a cancelled operation.
    Resolution,
}

/// Events kept for a listener that does not read.
const BUFFER: usize = 1024;

/// Who listens to a context.
#[derive(Debug)]
pub(crate) struct Listeners(broadcast::Sender<Event>);

impl Default for Listeners {
    fn default() -> Self {
        Self(broadcast::channel(BUFFER).0)
    }
}

impl Listeners {
    pub(crate) fn emit(&self, event: Event) {
        // No listener is not an error.
        let _ = self.0.send(event);
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }
}

/// The events of a context from the moment of subscribing.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` once the context is gone. A slow listener never holds up the engine: it
    /// loses the oldest events and is told so by [`Event::Lagged`].
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event if one is waiting.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.0.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Event::Lagged(missed)),
            Err(_) => None,
        }
    }
}
