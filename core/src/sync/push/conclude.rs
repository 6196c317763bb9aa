//! What a look at the row comes to: an effect, another try, or a conflict that is decided.

use crate::record::Record;
use crate::sync::decide::conflict::ConflictDetails;
use crate::sync::push::answer::Answer;
use crate::sync::push::deliver::Delivery;
use crate::sync::push::mark::Sending;
use crate::sync::push::ours::Ours;
use crate::sync::push::request::effect;
use crate::sync::queue::operation::Operation;
use crate::transport::Rejection;

impl Delivery<'_> {
    /// What a look at the row came to, when the operation is not to be sent as it is. `refusal`: what the server said before.
    pub(super) fn conclude(
        &self,
        sending: &Sending,
        found: Ours,
        row: Option<Record>,
        refusal: Rejection,
        last_round: bool,
    ) -> Answer {
        match found {
            Ours::Accepted(_) | Ours::Overtaken(_) => effect(found, row, sending),
            Ours::Undelete | Ours::GoOn if !last_round => Answer::Rebase(row),
            Ours::Removed => Answer::Removed(row),
            Ours::Conflict { unsure } => {
                let mut operation = sending.operation.clone();
                operation.unsure = unsure;
                self.conflict(sending, operation, row, refusal, last_round)
            }
            Ours::NotApplied | Ours::Undelete | Ours::GoOn => {
                let operation = sending.operation.clone();
                self.conflict(sending, operation, row, refusal, last_round)
            }
        }
    }

    fn conflict(
        &self,
        sending: &Sending,
        operation: Operation,
        server: Option<Record>,
        mut refusal: Rejection,
        last_round: bool,
    ) -> Answer {
        let unsure = operation.unsure;
        let details = ConflictDetails {
            base: operation.base.clone(),
            local: sending.record.clone(),
            server: server.clone(),
            operation,
        };
        let (decision, message) = self.inner.decide_conflict(&details, last_round);
        if !message.is_empty() {
            refusal.message = message;
        }
        Answer::Conflict {
            server,
            decision,
            refusal,
            unsure,
        }
    }
}
