//! A request on its way.

use crate::sync::push::mark::Sending;
use crate::sync::push::request::change;
use crate::sync::queue::operation::Operation;
use crate::sync::remote::Remote;
use crate::transport::{Change, Outcome, TransportError};

/// A request in the words that it was first sent in, whatever the operation is told in by now.
#[derive(Debug)]
pub(super) struct Outgoing {
    change: Change,
    /// The number of its words.
    words: u32,
}

impl Outgoing {
    pub(super) fn of(sending: &Sending) -> Self {
        Self {
            change: change(sending),
            words: sending.operation.words,
        }
    }

    /// Sends it once. Where the server takes no members alone, and has done nothing, the whole follows as the same operation; that table is not
    /// sent any more of them over this link.
    pub(super) async fn send(
        &mut self,
        remote: &Remote,
        operation: &mut Operation,
    ) -> Result<Outcome, TransportError> {
        let table = operation.table.clone();
        if self.change.members.is_some() && !remote.takes_members(operation) {
            (self.change.members, operation.members) = (None, None);
        }
        let outcome = remote
            .apply(&table, self.change.clone(), self.words)
            .await?;
        if outcome != Outcome::WholeOnly || self.change.members.take().is_none() {
            return Ok(outcome);
        }
        operation.members = None;
        tracing::debug!(%table, "the server takes whole records only");
        remote.link.learn_whole_only(&table);
        remote.apply(&table, self.change.clone(), self.words).await
    }
}
