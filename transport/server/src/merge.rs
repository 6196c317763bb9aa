//! Which changes can be one batch: a pure rule.

use std::collections::{HashMap, HashSet};

use synctable_core::store::{Check, Write, WriteBatch};
use synctable_core::{RecordId, TableName};

/// Batches as one.
///
/// Checks of a batch are judged on what was there before it. So batches of which one touches what another touches, too, are never one:
/// the second has to be judged on what the first has left.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    checks: Vec<Check>,
    writes: Vec<Write>,
    touched: HashMap<TableName, HashSet<RecordId>>,
}

impl Merged {
    /// Adds a batch behind the others; false where it must not be one with them. The first is always added.
    ///
    /// The batches of changes are made of checks and writes of records alone, and all are durable at once: that is all that is merged.
    pub(crate) fn add(&mut self, batch: &WriteBatch) -> bool {
        let checked = batch.checks().iter().map(|check| (&check.table, &check.id));
        let written = batch.writes().iter().filter_map(|write| match write {
            Write::Put { table, record } => Some((table, record.id())),
            Write::Delete { table, id } => Some((table, id)),
            Write::Clear { .. } => None,
        });
        // They are few, and most rows are both checked and written.
        let mut touches: Vec<(&TableName, &RecordId)> = Vec::new();
        for row in checked.chain(written) {
            if !touches.contains(&row) {
                touches.push(row);
            }
        }
        let is_taken = |(table, id): &(&TableName, &RecordId)| {
            let ids = self.touched.get(*table);
            ids.is_some_and(|ids| ids.contains(*id))
        };
        if touches.iter().any(is_taken) {
            return false;
        }
        for (table, id) in touches {
            match self.touched.get_mut(table) {
                Some(ids) => {
                    ids.insert(id.clone());
                }
                None => {
                    let ids = HashSet::from([id.clone()]);
                    self.touched.insert(table.clone(), ids);
                }
            }
        }
        self.checks.extend_from_slice(batch.checks());
        self.writes.extend_from_slice(batch.writes());
        true
    }

    /// The one batch: the checks of all, then the writes of all, table by table, as that is less work for a store. Those of one table are in the
    /// order in which they were added.
    pub(crate) fn into_batch(mut self) -> WriteBatch {
        self.writes
            .sort_by(|one, other| one.table().cmp(other.table()));
        WriteBatch::new()
            .with_checks(self.checks)
            .with_writes(self.writes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use synctable_core::Record;
    use synctable_core::store::Expect;

    use super::*;

    fn batch(parts: &[(u8, u8, u8)]) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for (table, id, kind) in parts {
            let table = TableName::system(["__a", "__b"][usize::from(*table)]);
            let id = RecordId::system(&format!("r{id}"));
            match kind {
                0 => batch.check(&table, &id, Expect::Absent),
                1 => batch.push(Write::Delete { table, id }),
                _ => {
                    let record = Record::new(id, "{}").unwrap();
                    batch.push(Write::Put { table, record });
                }
            }
        }
        batch
    }

    fn touches(parts: &[(u8, u8, u8)]) -> HashSet<(u8, u8)> {
        parts.iter().map(|(table, id, _)| (*table, *id)).collect()
    }

    proptest! {
        /// Batches are merged exactly where they touch nothing in common, and in their order.
        #[test]
        fn what_touches_the_same_is_not_one(
            all in prop::collection::vec(prop::collection::vec((0..2_u8, 0..12_u8, 0..3_u8), 1..4), 1..8),
        ) {
            let mut merged = Merged::default();
            let (mut before, mut checks, mut writes) = (HashSet::new(), Vec::new(), Vec::new());
            for parts in &all {
                let batch = batch(parts);
                let fits = touches(parts).is_disjoint(&before);
                prop_assert_eq!(merged.add(&batch), fits);
                if fits {
                    before.extend(touches(parts));
                    checks.extend_from_slice(batch.checks());
                    writes.extend_from_slice(batch.writes());
                }
            }
            let batch = merged.into_batch();
            writes.sort_by(|one: &Write, other| one.table().cmp(other.table()));
            prop_assert_eq!(batch.checks(), &checks[..]);
            prop_assert_eq!(batch.writes(), &writes[..]);
        }
    }
}
