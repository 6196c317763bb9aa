//! What a batch writes: records, and the entries of their indexes.

use std::collections::BTreeMap;

use synctable_core::store::{Durability, Revisions, StoreError};
use synctable_core::{Record, RecordId, TableName};

use crate::backend::{KvBatch, KvSnapshot};
use crate::catalogue::Catalogue;
use crate::index;
use crate::key::{Key, all_entries, all_records};
use crate::scan::Entries;
use crate::store::get;
use crate::value;

/// The writes of a batch on the state that a snapshot shows.
pub(crate) struct Writes<'a> {
    snapshot: &'a dyn KvSnapshot,
    catalogue: &'a Catalogue,
    keeps_indexes: bool,
    revisions: &'a mut Revisions,
    /// Records of indexed tables as this batch leaves them so far.
    changed: BTreeMap<(TableName, RecordId), Option<Record>>,
    cleared: Vec<TableName>,
    pub(crate) batch: KvBatch,
}

impl<'a> Writes<'a> {
    pub(crate) fn new(
        snapshot: &'a dyn KvSnapshot,
        catalogue: &'a Catalogue,
        keeps_indexes: bool,
        revisions: &'a mut Revisions,
        durability: Durability,
    ) -> Self {
        Self {
            snapshot,
            catalogue,
            keeps_indexes,
            revisions,
            changed: BTreeMap::new(),
            cleared: Vec::new(),
            batch: KvBatch::new(durability),
        }
    }

    pub(crate) fn put(&mut self, table: &TableName, record: &Record) -> Result<(), StoreError> {
        self.move_entries(table, record.id(), Some(record))?;
        let key = Key::record(table, record.id()).encode();
        let revision = self.revisions.next_number();
        self.batch.put(key, value::encode(record, revision));
        Ok(())
    }

    pub(crate) fn delete(&mut self, table: &TableName, id: &RecordId) -> Result<(), StoreError> {
        self.move_entries(table, id, None)?;
        self.batch.delete(Key::record(table, id).encode());
        Ok(())
    }

    pub(crate) fn clear(&mut self, table: &TableName) -> Result<(), StoreError> {
        let mut ranges = vec![all_records(table)];
        if self.keeps_indexes {
            let kept = self.catalogue.kept(table);
            ranges.extend(kept.map(|spec| all_entries(table.as_str(), &index::name(spec))));
        }
        for keys in ranges {
            self.batch.delete_written(&keys.start..&keys.end);
            for entry in Entries::new(self.snapshot, keys) {
                self.batch.delete(entry?.0);
            }
        }
        self.changed.retain(|(changed, _), _| changed != table);
        self.cleared.push(table.clone());
        Ok(())
    }

    /// Removes the entries of the record as it was and adds those of the record as it becomes.
    fn move_entries(
        &mut self,
        table: &TableName,
        id: &RecordId,
        new: Option<&Record>,
    ) -> Result<(), StoreError> {
        if !self.keeps_indexes || self.catalogue.kept(table).next().is_none() {
            return Ok(());
        }
        let key = (table.clone(), id.clone());
        let old = match self.changed.get(&key) {
            Some(changed) => changed.clone(),
            None if self.cleared.contains(table) => None,
            None => get(self.snapshot, table, id)?,
        };
        let schema = self.catalogue.table(table)?;
        for spec in self.catalogue.kept(table) {
            let entry = |record: &Record| index::entry(table, schema, spec, record);
            let (before, after) = (old.as_ref().map(entry), new.map(entry));
            if before != after {
                if let Some(before) = before {
                    self.batch.delete(before);
                }
                if let Some(after) = after {
                    self.batch.put(after, Vec::new());
                }
            }
        }
        self.changed.insert(key, new.cloned());
        Ok(())
    }
}
