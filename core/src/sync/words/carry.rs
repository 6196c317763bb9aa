//! An operation in newer words: a pure rule.
//!
//! What may have been sent stays as it was sent, so that a repeat of the request is the very same one. It is told from the server's row in the newest
//! words, which are the same for what was the same in the words of before.

use crate::name::TableName;
use crate::record::Record;
use crate::schema::Steps;
use crate::sync::queue::operation::{Operation, OperationKind};

impl Operation {
    /// True for one whose request may be repeated as it was.
    fn is_frozen(&self) -> bool {
        self.is_unsure()
    }

    /// With all that it holds in the words of all steps, except where the next request has to be the one that was sent. `from`: the words that the
    /// store had; `record`: the record as it was in them.
    pub(crate) fn carried(mut self, steps: &Steps, from: u32, record: Option<&Record>) -> Self {
        let table = self.table.clone();
        // Never sent, and from the server: it is what the store has.
        forward(&mut self.shadow, steps, &table, from);
        if self.is_frozen() {
            if self.kind != OperationKind::Delete && self.item.is_none() {
                self.item = record.cloned();
            }
            return self;
        }
        self.in_newest(steps)
    }

    /// With its contents in the words of all steps. Its key stays if the request does.
    pub(crate) fn in_newest(mut self, steps: &Steps) -> Self {
        if self.words >= steps.len() {
            return self;
        }
        let (table, words) = (self.table.clone(), self.words);
        let sent = |record: Option<&Record>, words| {
            record.map(|record| steps.to_server(&table, words, record.clone()))
        };
        let before = (
            sent(self.item.as_ref(), words),
            sent(self.base.as_ref(), words),
        );
        forward(&mut self.base, steps, &table, words);
        forward(&mut self.item, steps, &table, words);
        for content in &mut self.sent {
            *content = steps.forward(&table, words, content.clone());
        }
        for name in self.members.iter_mut().flatten() {
            *name = steps.name_now(&table, words, name).to_owned();
        }
        self.words = steps.len();
        let after = (
            sent(self.item.as_ref(), self.words),
            sent(self.base.as_ref(), self.words),
        );
        if before != after {
            (self.key, self.account) = (None, None);
        }
        self
    }
}

fn forward(record: &mut Option<Record>, steps: &Steps, table: &TableName, words: u32) {
    if let Some(known) = record.take() {
        *record = Some(steps.forward(table, words, known));
    }
}
