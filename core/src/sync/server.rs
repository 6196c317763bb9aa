//! What a context knows of its server.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::name::TableName;
use crate::store::Expect;
use crate::sync::identity::rule::ServerIdentity;
use crate::transport::{Transport, TransportError, TransportErrorKind};

/// The server, as far as the context has one.
#[derive(Debug)]
pub(crate) struct Server {
    transport: Option<Arc<dyn Transport>>,
    /// What the application calls it.
    name: Option<String>,
    /// For whom this context pushes and pulls, once that is settled.
    account: Mutex<Option<String>>,
    /// What has to hold of the row that says whose the store is, for this context's own changes.
    owner: Mutex<Option<Expect>>,
    /// The id of a server that answered and is not the store's.
    other: Mutex<Option<String>>,
    /// Members that accepted answers of a table lacked, though they were sent.
    drops: Mutex<HashMap<TableName, HashSet<String>>>,
}

impl Server {
    pub(crate) fn new(transport: Option<Arc<dyn Transport>>, name: Option<String>) -> Self {
        Self {
            transport,
            name,
            account: Mutex::default(),
            owner: Mutex::default(),
            other: Mutex::default(),
            drops: Mutex::default(),
        }
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

    /// The account of this context: its own, else the store's.
    pub(crate) fn account(&self) -> Option<String> {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.clone()
    }

    pub(crate) fn set_account(&self, name: Option<String>) {
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// What has to hold of the row that says whose the store is, for this context's own changes; `None` while it has to be looked at.
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

    /// The members of a table that the server is known not to keep.
    pub(crate) fn drops(&self, table: &TableName) -> HashSet<String> {
        let drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        drops.get(table).cloned().unwrap_or_default()
    }

    /// An accepted answer has shown that the server does not keep these members.
    pub(crate) fn learn_drops(&self, table: &TableName, names: Vec<String>) {
        if !names.is_empty() {
            let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
            drops.entry(table.clone()).or_default().extend(names);
        }
    }

    /// Another server: what the one before did not keep says nothing of it.
    pub(crate) fn forget_drops(&self) {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        drops.clear();
    }
}
