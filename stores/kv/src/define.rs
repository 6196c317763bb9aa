//! Declaring tables, and building the indexes of records that are there.

use std::ops::Range;

use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_core::{IndexSpec, Schema, TableName, TableSchema};

use crate::backend::{Indexes, KvBackend};
use crate::batch::KvBatch;
use crate::catalogue::{Catalogue, State};
use crate::index;
use crate::key::{Key, all_entries, all_records, behind};
use crate::read::KvReadExt;
use crate::scan::records;
use crate::store::{Change, KvStore, Writer};

/// Records of which index entries are written in one batch while an index is built.
const BUILD: usize = 500;

impl<B: KvBackend> KvStore<B> {
    pub(crate) fn define_now(&self, schema: &Schema) -> Result<(), StoreError> {
        let mut writer = self.writer();
        while !self.try_define(&mut writer, schema)? {}
        Ok(())
    }

    /// False where another process has changed the declarations meanwhile.
    fn try_define(&self, writer: &mut Writer, schema: &Schema) -> Result<bool, StoreError> {
        self.settle(writer)?;
        let old = self.catalogue()?;
        let merged = old
            .schema
            .merged(schema)
            .map_err(|error| StoreError::new(StoreErrorKind::Schema, error.to_string()))?;
        let mut new = (*old).clone();
        new.schema = merged;
        let mut batch = KvBatch::default();
        new.forget_outgrown(&old.schema, &mut batch);
        self.declare(writer, &old, new, batch, &[])
    }

    /// Replaces the declaration of a table. Indexes that it does not have, or over fields of which it says something else, are forgotten in the same batch;
    /// those that it has are built as in a `define`.
    pub(crate) fn redefine_now(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer();
        while !self.try_redefine(&mut writer, table, declaration)? {}
        Ok(())
    }

    /// False where another process has changed the declarations meanwhile.
    fn try_redefine(
        &self,
        writer: &mut Writer,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<bool, StoreError> {
        self.settle(writer)?;
        let old = self.catalogue()?;
        old.table(table)?;
        let schema = Schema::new().with_table(table.clone(), declaration.clone());
        schema
            .check()
            .map_err(|error| StoreError::new(StoreErrorKind::Schema, error.to_string()))?;
        let mut new = (*old).clone();
        new.schema = new.schema.with_table(table.clone(), declaration.clone());
        let mut batch = KvBatch::default();
        let entries: Vec<Range<Vec<u8>>> = new
            .forget_replaced(&old.schema, table, &mut batch)
            .iter()
            .map(|index| all_entries(table.as_str(), index))
            .collect();
        self.declare(writer, &old, new, batch, &entries)
    }

    /// Goes over to other declarations, with what the caller has in the batch already, and without these entries. False, and nothing is done, where the old
    /// ones do not hold any more.
    fn declare(
        &self,
        writer: &mut Writer,
        old: &Catalogue,
        mut new: Catalogue,
        mut batch: KvBatch,
        outgrown: &[Range<Vec<u8>>],
    ) -> Result<bool, StoreError> {
        // An index that is not ready answers no query, so nothing that is read depends on it.
        if self.is_read_only() {
            return if new.schema == old.schema {
                Ok(true)
            } else {
                Err(StoreError::read_only())
            };
        }
        let keeps = self.backend.engine.indexes() != Indexes::None;
        let unready = if keeps { new.unready() } else { Vec::new() };
        if new.schema == old.schema && unready.is_empty() {
            return Ok(true);
        }
        new.declare(&old.schema, &mut batch)?;
        self.keep_earlier(old)?;
        let mut transaction = self.begin(writer, Durability::Immediate)?;
        if let Some(seen) = &self.seen
            && *seen.catalogue(&*transaction)? != *old
        {
            return Ok(false);
        }
        for keys in outgrown {
            transaction.delete_range(&keys.start..&keys.end)?;
        }
        for (table, spec, state) in &unready {
            if state.is_none() {
                let keys = all_records(table);
                let state = if transaction.is_vacant(&keys.start..&keys.end)? {
                    State::Ready
                } else {
                    State::Building(None)
                };
                // Entries of an earlier life of this index, when it was not written for a while, are of no use.
                let entries = all_entries(table.as_str(), &index::name(spec));
                transaction.delete_range(&entries.start..&entries.end)?;
                new.set(&mut batch, table, spec, state);
            }
        }
        batch.write_in(&mut *transaction)?;
        self.finish(writer, transaction, Change::of(&new))?;
        for (table, spec, _) in new.unready().iter().filter(|_| keeps) {
            self.build(writer, &mut new, table, spec)?;
        }
        Ok(true)
    }

    /// Writes the missing entries of an index, some in each batch together with how far it got. A cut leaves an index that is
    /// kept but not used; the next `define` goes on behind the last batch.
    fn build(
        &self,
        writer: &mut Writer,
        catalogue: &mut Catalogue,
        table: &TableName,
        spec: &IndexSpec,
    ) -> Result<(), StoreError> {
        loop {
            let mut transaction = self.begin(writer, Durability::Eventual)?;
            if let Some(seen) = &self.seen {
                // Another process may build it, too, or have no use for it any more.
                *catalogue = (*seen.catalogue(&*transaction)?).clone();
            }
            let Some(State::Building(mut after)) = catalogue.state(table, spec).cloned() else {
                return Ok(());
            };
            let mut batch = KvBatch::default();
            let mut count = 0;
            let schema = catalogue.table(table)?;
            let mut keys = all_records(table);
            if let Some(after) = &after {
                keys.start = behind(Key::record(table, after).encode());
            }
            for record in records(&*transaction, table, &keys).take(BUILD) {
                let record = record?;
                batch.put(index::entry(table, schema, spec, &record), Vec::new());
                after = Some(record.id().clone());
                count += 1;
            }
            let done = count < BUILD;
            let state = if done {
                State::Ready
            } else {
                State::Building(after.clone())
            };
            catalogue.set(&mut batch, table, spec, state);
            batch.write_in(&mut *transaction)?;
            self.finish(writer, transaction, Change::of(catalogue))?;
            if done {
                return Ok(());
            }
        }
    }
}
