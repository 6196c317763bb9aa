//! What a batch writes: records, and the entries of their indexes.

use synctable_core::store::{Revisions, StoreError, Write};
use synctable_core::{Record, RecordId, TableName};

use crate::catalogue::Catalogue;
use crate::index;
use crate::key::{Key, all_entries, all_records};
use crate::read::KvWrite;
use crate::reads::get;
use crate::value;

/// The writes of a batch, in a transaction.
pub(crate) struct Writes<'a> {
    pub(crate) transaction: &'a mut dyn KvWrite,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) keeps_indexes: bool,
    pub(crate) revisions: &'a mut Revisions,
}

impl Writes<'_> {
    pub(crate) fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Put { table, record } => self.put(table, record),
            Write::Delete { table, id } => self.delete(table, id),
            Write::Clear { table } => self.clear(table),
        }
    }

    fn put(&mut self, table: &TableName, record: &Record) -> Result<(), StoreError> {
        self.move_entries(table, record.id(), Some(record))?;
        let key = Key::record(table, record.id()).encode();
        let revision = self.revisions.next_number();
        self.transaction.put(&key, &value::encode(record, revision))
    }

    fn delete(&mut self, table: &TableName, id: &RecordId) -> Result<(), StoreError> {
        self.move_entries(table, id, None)?;
        self.transaction.delete(&Key::record(table, id).encode())
    }

    fn clear(&mut self, table: &TableName) -> Result<(), StoreError> {
        let mut ranges = vec![all_records(table)];
        if self.keeps_indexes {
            let kept = self.catalogue.kept(table);
            ranges.extend(kept.map(|spec| all_entries(table.as_str(), &index::name(spec))));
        }
        for keys in ranges {
            self.transaction.delete_range(&keys.start..&keys.end)?;
        }
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
        let old = get(&*self.transaction, table, id)?;
        let schema = self.catalogue.table(table)?;
        for spec in self.catalogue.kept(table) {
            let entry = |record: &Record| index::entry(table, schema, spec, record);
            let (before, after) = (old.as_ref().map(entry), new.map(entry));
            if before != after {
                if let Some(before) = before {
                    self.transaction.delete(&before)?;
                }
                if let Some(after) = after {
                    self.transaction.put(&after, &[])?;
                }
            }
        }
        Ok(())
    }
}
