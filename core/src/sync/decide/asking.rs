//! Asking the application about conflicts. Nothing is held meanwhile, no guard and no lease: a person may take as long as it takes.
//!
//! A conflict is parked first, with a mark that its question is not answered. The answer is carried out as
//! [`resolve_parked`](SyncContext::resolve_parked) would, on exactly what was shown; what has changed since is shown again. A crash
//! leaves the mark, and the next push asks again.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::error::Error;
use crate::name::TableName;
use crate::sync::cancel::CancelToken;
use crate::sync::context::SyncContext;
use crate::sync::decide::conflict::{
    ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy,
};
use crate::sync::decide::consult::sides;
use crate::sync::decide::resolve::ParkedOperation;
use crate::sync::event::Event;
use crate::sync::queue::operation::OperationState;
use crate::transport::Rejection;

/// How often one push asks about the same operation.
const ROUNDS: u32 = 5;

impl SyncContext {
    /// Asks about the conflicts of these tables that are not answered yet; true where that leaves something to be sent. `asked`: how
    /// often this push has asked about each.
    pub(crate) async fn ask_about_conflicts(
        &self,
        tables: Option<&[TableName]>,
        cancel: &CancelToken,
        asked: &mut HashMap<u64, u32>,
    ) -> Result<bool, Error> {
        let ConflictPolicy::Custom(handler) = &self.inner.settings.conflicts else {
            return Ok(false);
        };
        let mut again = false;
        let mut parked = self.inner.queue.parked().await?;
        parked.retain(|one| {
            let wanted = tables.is_none_or(|tables| tables.contains(&one.table));
            wanted && one.state == OperationState::Conflict
        });
        for seq in parked.iter().map(|operation| operation.seq) {
            // Another push of this context asks about it already.
            let Some(_question) = self.inner.questions.ask(seq) else {
                continue;
            };
            let times = asked.entry(seq).or_default();
            while *times < ROUNDS {
                let Some(parked) = self.unanswered(seq).await? else {
                    break;
                };
                *times += 1;
                let answer = self.answer(handler, &parked.conflict);
                let (decision, words) = cancel.run(answer).await?;
                let sends = matches!(
                    decision,
                    ConflictDecision::Client | ConflictDecision::With(_)
                );
                match self.carry_out(&parked, decision, words).await {
                    Ok(()) => {
                        again |= sends;
                        break;
                    }
                    // It was shown as it is not any more.
                    Err(
                        Error::ConflictChanged { .. }
                        | Error::NotInConflict { .. }
                        | Error::NoSuchOperation { .. },
                    ) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(again)
    }

    /// The conflict, where its question is open.
    async fn unanswered(&self, seq: u64) -> Result<Option<ParkedOperation>, Error> {
        match self.operation(seq).await {
            Ok(operation)
                if operation.unanswered && operation.state == OperationState::Conflict =>
            {
                Ok(Some(self.shown(operation).await?))
            }
            Ok(_) | Err(Error::NoSuchOperation { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the handler says, and why it says nothing.
    async fn answer(
        &self,
        handler: &Arc<dyn ConflictHandler>,
        conflict: &ConflictDetails,
    ) -> (ConflictDecision, String) {
        let parked = |words: &str| (ConflictDecision::Park, words.to_owned());
        match AssertUnwindSafe(handler.resolve(conflict))
            .catch_unwind()
            .await
        {
            Ok(Ok(ConflictDecision::With(record))) => {
                let table = &conflict.operation.table;
                match self.inner.check_change(table, record, &sides(conflict)) {
                    Ok(record) => (ConflictDecision::With(record), String::new()),
                    Err(_) => {
                        parked("the conflict handler gave a record that does not fit the table")
                    }
                }
            }
            Ok(Ok(decision)) => (decision, String::new()),
            Ok(Err(error)) => parked(&one_line(&error.to_string())),
            Err(_) => parked("the conflict handler panicked"),
        }
    }

    async fn carry_out(
        &self,
        parked: &ParkedOperation,
        decision: ConflictDecision,
        words: String,
    ) -> Result<(), Error> {
        let operation = &parked.operation;
        let message = if words.is_empty() {
            parked.message.clone()
        } else {
            words
        };
        let refusal = Rejection::new(parked.status, message);
        let parks = decision == ConflictDecision::Park;
        self.end_conflict(
            operation.seq,
            Some(&parked.conflict),
            &move |_, _| Ok(decision.clone()),
            &refusal,
        )
        .await?;
        if parks {
            self.inner.listeners.emit(Event::ConflictParked {
                seq: operation.seq,
                table: operation.table.clone(),
                id: operation.id.clone(),
            });
        }
        Ok(())
    }
}

/// Text without control characters, cut to a length for a person.
fn one_line(text: &str) -> String {
    text.chars()
        .take(500)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
