//! A request on its way.

use std::borrow::Cow;

use crate::sync::push::mark::Sending;
use crate::sync::push::request::change;
use crate::sync::remote::Remote;
use crate::transport::{Change, Outcome, TransportError};

/// A request in the words that it was first sent in, whatever the operation is told in by now.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    first: &'a Sending,
    /// Made once it is known that it has to go out.
    change: Option<Change>,
}

impl<'a> Outgoing<'a> {
    pub(super) fn of(first: &'a Sending) -> Self {
        Self {
            first,
            change: None,
        }
    }

    /// Sends it once. Where the server takes no members alone, and has done nothing, the whole follows as the same operation; that table is not
    /// sent any more of them over this link.
    pub(super) async fn send(
        &mut self,
        remote: &Remote,
        sending: &mut Cow<'_, Sending>,
    ) -> Result<Outcome, TransportError> {
        let (table, words) = (&self.first.operation.table, self.first.operation.words);
        let change = self.change.get_or_insert_with(|| change(self.first));
        if change.members.is_some() && !remote.takes_members(&sending.operation) {
            (change.members, sending.to_mut().operation.members) = (None, None);
        }
        let outcome = remote.apply(table, change.clone(), words).await?;
        if outcome != Outcome::WholeOnly || change.members.take().is_none() {
            return Ok(outcome);
        }
        sending.to_mut().operation.members = None;
        tracing::debug!(%table, "the server takes whole records only");
        remote.link.learn_whole_only(table);
        remote.apply(table, change.clone(), words).await
    }
}
