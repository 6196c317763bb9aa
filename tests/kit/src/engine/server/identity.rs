//! Who the server is, and for whom requests are made.

use synctable_core::transport::{TransportError, TransportErrorKind};

use super::TestServer;
use crate::engine::rows::Rows;

/// What clients are told of the server, and what they tell of themselves.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) announces: Option<String>,
    pub(super) address: Option<String>,
    /// What clients heard since a push began.
    pub(super) heard: Option<String>,
    signed_in: Option<String>,
    /// With whose token the requests came that arrived.
    users: Vec<Option<String>>,
}

impl Identity {
    /// With whose token a request goes out. The one who is signed in has one, and no other account.
    pub(super) fn user_of(&self, account: Option<&str>) -> Result<Option<String>, TransportError> {
        match (account, &self.signed_in) {
            (Some(account), Some(user)) if account != user => {
                let message = "the token provider has no token of this account";
                Err(TransportError::new(
                    TransportErrorKind::Unauthorized,
                    message,
                ))
            }
            (_, user) => Ok(user.clone()),
        }
    }

    /// A request is answered.
    pub(super) fn answered(&mut self, user: Option<String>) {
        self.users.push(user);
        if self.announces.is_some() {
            self.heard.clone_from(&self.announces);
        }
    }
}

impl TestServer {
    /// Announces an id in each answer from now on, or none, as an older release does.
    pub fn announce(&self, id: Option<&str>) {
        self.state().identity.announces = id.map(Into::into);
    }

    /// Says where it is.
    pub fn at(&self, address: &str) {
        self.state().identity.address = Some(address.into());
    }

    /// It has another database, which is empty and has an id of its own.
    pub fn with_new_database(&self, id: Option<&str>) {
        let mut state = self.state();
        state.rows = Rows::new(state.rows.options);
        state.identity.announces = id.map(Into::into);
    }

    /// From now on requests go out with the token of `user`. A client that asks for another account gets none.
    pub fn sign_in(&self, user: &str) {
        self.state().identity.signed_in = Some(user.into());
    }

    /// This server for requests of one account.
    pub(crate) fn of_account(&self, account: &str) -> Self {
        Self {
            account: Some(account.into()),
            ..self.clone()
        }
    }

    /// With whose token the requests came that arrived, oldest first.
    pub fn users(&self) -> Vec<Option<String>> {
        self.state().identity.users.clone()
    }
}
