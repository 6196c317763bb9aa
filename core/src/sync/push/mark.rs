//! Marking: what may reach the server from now on is noted durably before it is sent.

use std::borrow::Cow;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::schema::Steps;
use crate::store::Durability;
use crate::sync::event::Origin;
use crate::sync::inner::Inner;
use crate::sync::push::key::{legacy_key, new_key};
use crate::sync::push::partial::changed_members;
use crate::sync::queue::lookup::Known;
use crate::sync::queue::operation::{Operation, OperationKind, OperationState};
use crate::sync::remote::Remote;
use crate::sync::slots::Edit;

/// An operation on its way, with the record as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    pub(crate) operation: Operation,
    pub(crate) record: Option<Record>,
    /// It may have been sent before, and what became of that is not known.
    pub(crate) unsure: bool,
    /// The store holds nothing else about the record: no other operation, and the record as it is sent.
    pub(crate) is_all: bool,
}

/// An operation that is to be marked.
#[derive(Debug)]
pub(crate) struct ToMark {
    pub(crate) seq: u64,
    pub(crate) table: TableName,
    pub(crate) id: RecordId,
    /// As it was read.
    pub(crate) known: Option<Known>,
}

impl Edit for ToMark {
    fn key(&self) -> (&TableName, &RecordId) {
        (&self.table, &self.id)
    }

    fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }
}

impl Sending {
    /// About how many bytes of content it holds.
    pub(crate) fn bytes(&self) -> usize {
        let operation = &self.operation;
        let kept = [&operation.base, &operation.item, &operation.shadow];
        let records = kept.into_iter().chain([&self.record]);
        let bytes = |record: &Record| record.body().len();
        records.flatten().map(bytes).sum::<usize>()
            + operation.sent.iter().map(bytes).sum::<usize>()
    }

    /// In the words of all steps, which are mostly its own.
    pub(crate) fn in_newest(&self, steps: &Steps) -> Cow<'_, Self> {
        let (table, words) = (&self.operation.table, self.operation.words);
        if words >= steps.len() {
            return Cow::Borrowed(self);
        }
        let record = self.record.clone();
        Cow::Owned(Self {
            record: record.map(|record| steps.forward(table, words, record)),
            operation: self.operation.clone().in_newest(steps),
            unsure: self.unsure,
            is_all: self.is_all,
        })
    }
}

impl Inner {
    /// Notes durably that these operations may reach the server from now on, and takes what they send.
    ///
    /// What a server takes of records may change until an operation may have reached it, and with that its key.
    pub(crate) async fn mark(
        &self,
        remote: &Remote,
        group: &[ToMark],
    ) -> Result<Vec<Sending>, Error> {
        let account = remote.link.account();
        let server_time = remote.capabilities().server_time;
        let sendings = self.each_slot_then(
            group,
            (Durability::Immediate, Origin::Push),
            |ToMark { seq, .. }, slot, _| {
                let record = slot.record.clone();
                let Some(operation) = slot.find(*seq).filter(|operation| !operation.is_parked())
                else {
                    return Ok(None);
                };
                let unsure = operation.is_unsure();
                let record = match operation.kind {
                    OperationKind::Delete => None,
                    _ => operation.item.clone().or(record),
                };
                if operation.key.is_none() && operation.state == OperationState::Attempted {
                    operation.key = Some(legacy_key(&self.store_id, operation, record.as_ref()));
                    operation.account.clone_from(&account);
                } else if operation.key.is_none() || !unsure {
                    let members = remote
                        .takes_members(operation)
                        .then(|| changed_members(operation, record.as_ref()))
                        .flatten();
                    if operation.key.is_none() || operation.members != members {
                        operation.members = members;
                        let random = self.ids.next_id();
                        operation.key = Some(new_key(
                            &self.store_id,
                            account.as_deref(),
                            operation,
                            &random,
                        ));
                        operation.account.clone_from(&account);
                    }
                }
                if !operation.is_unsure() {
                    operation.first_sent = server_time;
                }
                operation.state = OperationState::Attempted;
                operation.attempts += 1;
                Ok(Some((*seq, record, unsure)))
            },
            |marked, slot| {
                let (seq, record, unsure) = marked?;
                let operation = slot.operations.iter().find(|it| it.seq == seq)?;
                Some(Sending {
                    is_all: slot.operations.len() == 1 && slot.record == record,
                    operation: operation.clone(),
                    record,
                    unsure,
                })
            },
        );
        Ok(sendings.await?.into_iter().flatten().collect())
    }
}
