//! Marking: what may reach the server from now on is noted durably before it is sent.

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::planted::planted;
use crate::record::Record;
use crate::store::Durability;
use crate::sync::context::Inner;
use crate::sync::event::Origin;
use crate::sync::queue::operation::{Operation, OperationKind, OperationState};

/// An operation on its way, with the record as it is sent.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) operation: Operation,
    pub(crate) record: Option<Record>,
    /// It may have been sent before: find out first.
    pub(crate) recheck: bool,
}

impl Inner {
    /// Notes durably that these operations may reach the server from now on, and takes what they send.
    pub(crate) async fn mark(
        &self,
        group: &[(u64, TableName, RecordId)],
    ) -> Result<Vec<Sending>, Error> {
        let mut keys: Vec<_> = group
            .iter()
            .map(|(_, table, id)| (table.clone(), id.clone()))
            .collect();
        keys.sort_unstable();
        self.with_slots(&keys, Durability::Immediate, Origin::Push, |slots, _| {
            let mut sendings = Vec::with_capacity(group.len());
            for (seq, table, id) in group {
                let slot = slots
                    .iter_mut()
                    .find(|slot| slot.table == *table && slot.id == *id);
                let Some(slot) = slot else { continue };
                let record = slot.record.clone();
                let Some(operation) = slot.find(*seq).filter(|operation| !operation.is_parked())
                else {
                    continue;
                };
                let recheck = operation.state == OperationState::Attempted
                    && !planted!(NoQuestionAfterLostAnswer);
                if !planted!(NotMarked) {
                    operation.state = OperationState::Attempted;
                }
                operation.attempts += 1;
                let record = match operation.kind {
                    OperationKind::Delete => None,
                    _ => operation.item.clone().or(record),
                };
                sendings.push(Sending {
                    operation: operation.clone(),
                    record,
                    recheck,
                });
            }
            Ok(sendings)
        })
        .await
    }
}
