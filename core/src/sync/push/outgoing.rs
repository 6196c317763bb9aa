//! A request on its way, alone or together with others.

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
    /// What was said of it when it went out with others.
    told: Option<Told>,
    /// The last answer is what the server holds.
    pub(super) is_current: bool,
}

/// What a server has said of an operation that travelled with others.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) result: Result<Outcome, TransportError>,
    /// It is what the server holds, even where an earlier attempt had the effect.
    pub(crate) is_current: bool,
}

impl Told {
    /// Whether nothing more has to be asked to conclude it.
    pub(crate) fn is_done(&self) -> bool {
        self.is_current && matches!(self.result, Ok(Outcome::Applied(_)))
    }
}

impl<'a> Outgoing<'a> {
    pub(super) fn of(first: &'a Sending, told: Option<Told>) -> Self {
        Self {
            first,
            change: None,
            told,
            is_current: false,
        }
    }

    /// Whether it was sent, and answered, already.
    pub(super) fn is_answered(&self) -> bool {
        self.told.is_some()
    }

    /// Sends it once. Where the server takes no members alone, and has done nothing, the whole follows as the same operation; that table is not
    /// sent any more of them over this link.
    pub(super) async fn send(
        &mut self,
        remote: &Remote,
        sending: &mut Cow<'_, Sending>,
    ) -> Result<Outcome, TransportError> {
        let (table, words) = (&self.first.operation.table, self.first.operation.words);
        let told = self.told.take();
        self.is_current = told.as_ref().is_some_and(|told| told.is_current);
        let told = match told.map(|told| told.result).transpose()? {
            // Most of what travelled with others is answered for good, and needs no request of its own.
            Some(outcome) if outcome != Outcome::WholeOnly => return Ok(outcome),
            other => other,
        };
        let change = self.change.get_or_insert_with(|| change(self.first));
        let outcome = match told {
            Some(outcome) => outcome,
            None => {
                if change.members.is_some() && !remote.takes_members(&sending.operation) {
                    (change.members, sending.to_mut().operation.members) = (None, None);
                }
                remote.apply(table, change.clone(), words).await?
            }
        };
        if outcome != Outcome::WholeOnly || change.members.take().is_none() {
            return Ok(outcome);
        }
        sending.to_mut().operation.members = None;
        tracing::debug!(%table, "the server takes whole records only");
        remote.link.learn_whole_only(table);
        remote.apply(table, change.clone(), words).await
    }
}
