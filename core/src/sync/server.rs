//! What a context knows of its server.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::name::TableName;
use crate::store::Expect;
use crate::sync::identity::rule::ServerIdentity;
use crate::sync::push::batch::{End, Pace};
use crate::transport::{Transport, TransportError, TransportErrorKind};

/// Where a context pushes and pulls, which may change at any time. A call takes the link once, as it begins, and goes on with that one
/// to its end: so nothing that one server said is ever told to another, or taken for its word.
#[derive(Debug)]
pub(crate) struct Server {
    link: Mutex<Arc<Link>>,
}

impl Server {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link: Mutex::new(Arc::new(link)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What calls that begin now go by.
    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.lock())
    }

    /// Puts another link in the place of the one that is there, for calls that begin from now on.
    pub(crate) fn change(&self, next: impl FnOnce(&Link) -> Link) -> Arc<Link> {
        let mut link = self.lock();
        *link = Arc::new(next(&link));
        Arc::clone(&link)
    }
}

/// What answers have shown of a server.
#[derive(Debug, Default)]
struct Learned {
    /// Members that accepted answers of a table lacked, though they were sent.
    drops: HashMap<TableName, HashSet<String>>,
    /// Tables that take no members alone.
    whole_only: HashSet<TableName>,
    /// How many operations travel together.
    pace: Pace,
}

/// A way to a server, for an account, and what was learned over it.
#[derive(Debug, Default)]
pub(crate) struct Link {
    transport: Option<Arc<dyn Transport>>,
    /// What the application calls the server.
    name: Option<String>,
    /// The account that the application named.
    named: Option<String>,
    /// For whom this link pushes and pulls, once that is settled.
    account: Mutex<Option<String>>,
    /// What has to hold of the row that says whose the store is, for local changes in the name of this account.
    owner: Mutex<Option<Expect>>,
    /// The id of a server that answered and is not the store's.
    other: Mutex<Option<String>>,
    learned: Arc<Mutex<Learned>>,
}

impl Link {
    pub(crate) fn new(
        transport: Option<Arc<dyn Transport>>,
        name: Option<String>,
        named: Option<String>,
    ) -> Self {
        Self {
            transport,
            name,
            named,
            ..Self::default()
        }
    }

    /// With what `before` has learned of the same server, by all that can be told of it without a request.
    pub(crate) fn following(mut self, before: &Self) -> Self {
        let seen = self.identity();
        if seen.address.is_some() && seen == before.identity() {
            self.learned = Arc::clone(&before.learned);
            self.set_other(before.other());
        }
        self
    }

    /// The transport, if one is set.
    pub(crate) fn transport(&self) -> Result<&Arc<dyn Transport>, Error> {
        self.transport.as_ref().ok_or_else(|| {
            let message = "no server is set; give the context a transport";
            TransportError::new(TransportErrorKind::Missing, message).into()
        })
    }

    /// The server as this context names it.
    pub(crate) fn identity(&self) -> ServerIdentity {
        ServerIdentity {
            id: None,
            name: self.name.clone(),
            address: self.transport.as_deref().and_then(Transport::address),
        }
    }

    /// The account that the application named.
    pub(crate) fn named_account(&self) -> Option<&String> {
        self.named.as_ref()
    }

    /// The account of this link: its own, else the store's.
    pub(crate) fn account(&self) -> Option<String> {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.clone()
    }

    pub(crate) fn set_account(&self, name: Option<String>) {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// What has to hold of the row that says whose the store is, for local changes; `None` while it has to be looked at.
    pub(crate) fn owner(&self) -> Option<Expect> {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        owner.clone()
    }

    pub(crate) fn set_owner(&self, row: Option<Expect>) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = row;
    }

    /// The id of a server that answered and is not the store's.
    pub(crate) fn other(&self) -> Option<String> {
        let other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
        other.clone()
    }

    pub(crate) fn set_other(&self, id: Option<String>) {
        *self.other.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The members of a table that the server is known not to keep.
    pub(crate) fn drops(&self, table: &TableName) -> HashSet<String> {
        self.learned().drops.get(table).cloned().unwrap_or_default()
    }

    /// An accepted answer has shown that the server does not keep these members.
    pub(crate) fn learn_drops(&self, table: &TableName, names: Vec<String>) {
        if !names.is_empty() {
            let mut learned = self.learned();
            learned
                .drops
                .entry(table.clone())
                .or_default()
                .extend(names);
        }
    }

    /// Whether the server is known to take no members of this table's records alone.
    pub(crate) fn takes_whole_only(&self, table: &TableName) -> bool {
        self.learned().whole_only.contains(table)
    }

    /// The server has refused members of a record of this table alone.
    pub(crate) fn learn_whole_only(&self, table: &TableName) {
        self.learned().whole_only.insert(table.clone());
    }

    /// How many operations travel together.
    pub(crate) fn pace(&self) -> Pace {
        self.learned().pace
    }

    /// A push begins.
    pub(crate) fn begin_push(&self) {
        let mut learned = self.learned();
        learned.pace = learned.pace.anew();
    }

    /// A batch of so many operations has ended.
    pub(crate) fn learn_pace(&self, operations: usize, end: End) {
        let mut learned = self.learned();
        learned.pace = learned.pace.after(operations, end);
    }

    /// Another server: what was seen of the one before says nothing of it.
    pub(crate) fn forget_learned(&self) {
        *self.learned() = Learned::default();
    }
}
