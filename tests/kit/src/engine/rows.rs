//! The tables of a [`TestServer`](super::TestServer): conditional writes, versions, times, pages.

use std::collections::BTreeMap;

use synctable_core::query::{Cursor, Evaluator, RemoteQuery, page_of};
use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_core::transport::{
    Change, ChangeKind, Conflict, ConflictCause, Outcome, PageCursor, Rejection, RemotePage,
    ServerRecord,
};
use synctable_core::{Record, RecordId, TableName, TableSchema, Timestamp, Version};

use super::log::Log;
use super::server::ServerOptions;
use super::typed::normal;
use crate::typed::{Flavour, Model};

/// 2026-01-01T00:00:00Z in ticks.
const START: i64 = 17_672_256_000_000_000;

/// What a server holds. Times are kept with all their digits and cut when they are shown.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) options: ServerOptions,
    pub(super) now: Timestamp,
    tables: BTreeMap<TableName, BTreeMap<RecordId, Record>>,
    models: BTreeMap<TableName, Model>,
    versions: u64,
    /// Tombstones up to here are removed.
    forgotten: BTreeMap<TableName, Timestamp>,
    pub(super) log: Log,
}

impl Rows {
    pub(super) fn new(options: ServerOptions) -> Self {
        Self {
            options,
            now: Timestamp::from_ticks(START),
            tables: BTreeMap::new(),
            models: BTreeMap::new(),
            versions: 0,
            forgotten: BTreeMap::new(),
            log: Log::default(),
        }
    }

    /// Says which class a table has.
    pub(super) fn declare(&mut self, table: &TableName, model: Model) {
        self.models.insert(table.clone(), model);
    }

    /// The class of a table, on a server with classes.
    fn class(&self, table: &TableName) -> Option<(Flavour, Model)> {
        let flavour = self.options.classes?;
        let model = self.models.get(table).cloned();
        Some((flavour, model.unwrap_or_else(Model::of_stories)))
    }

    /// The record as its class has it, or the status and words with which it is refused.
    pub(super) fn take(&self, table: &TableName, record: &Record) -> Result<Record, (u16, String)> {
        let Some((flavour, model)) = self.class(table) else {
            return Ok(record.clone());
        };
        let taken = model.take(flavour, record.body(), None);
        let taken = taken.map_err(|refusal| (refusal.status(flavour), refusal.words(flavour)))?;
        let (id, system) = (record.id().clone(), record.system().clone());
        Ok(Record::from_stored(id, system, taken.body))
    }

    /// Removes all tombstones of a table, and remembers the last one's time.
    pub(super) fn forget(&mut self, table: &TableName) {
        let Some(rows) = self.tables.get_mut(table) else {
            return;
        };
        let gone = |row: &Record| row.is_deleted();
        let last = rows
            .values()
            .filter(|row| gone(row))
            .filter_map(Record::updated_at)
            .max();
        rows.retain(|_, row| !gone(row));
        self.forget_in_log(table);
        if let Some(last) = last {
            let forgotten = self.forgotten.entry(table.clone()).or_insert(last);
            *forgotten = last.max(*forgotten);
        }
    }

    /// The time of the last deletion that is not known any more.
    pub(super) fn forgotten(&self, table: &TableName) -> Option<Timestamp> {
        self.forgotten.get(table).copied()
    }

    /// A row as clients see it, tombstones too.
    pub(super) fn get(&self, table: &TableName, id: &RecordId) -> Option<Record> {
        Some(self.shown(self.tables.get(table)?.get(id)?))
    }

    /// The rows that are not deleted, by id.
    pub(super) fn live(&self, table: &TableName) -> Vec<Record> {
        let rows = self
            .tables
            .get(table)
            .into_iter()
            .flat_map(BTreeMap::values);
        rows.filter(|row| !row.is_deleted())
            .map(|row| self.shown(row))
            .collect()
    }

    fn shown(&self, row: &Record) -> Record {
        let mut system = row.system().clone();
        if !self.options.ordered {
            system.updated_at = system.updated_at.map(Timestamp::floor_millis);
        }
        if self.options.classes.is_some() {
            // Their classes have no such member.
            system.created_at = None;
        }
        row.clone().with_system(system)
    }

    pub(super) fn migrate(&mut self, table: &TableName, change: impl Fn(&Record) -> Record) {
        for row in self.tables.entry(table.clone()).or_default().values_mut() {
            *row = row.clone().with_body_of(&change(row));
        }
    }

    /// The next time of a write.
    pub(super) fn tick(&mut self) -> Timestamp {
        self.now = Timestamp::from_ticks(self.now.ticks() + self.options.ticks_per_write);
        self.now
    }

    /// Stores a row with a new version.
    pub(super) fn put(&mut self, table: &TableName, row: &Record, at: Timestamp, deleted: bool) {
        self.versions += 1;
        let mut system = row.system().clone();
        system.version = Some(Version::new(&format!("v{}", self.versions)));
        system.created_at.get_or_insert(self.now);
        system.updated_at = Some(at);
        system.deleted = deleted;
        let row = row.clone().with_system(system);
        let row = if self.options.typed {
            normal(&row)
        } else {
            row
        };
        self.log.note(table, row.id());
        let rows = self.tables.entry(table.clone()).or_default();
        rows.insert(row.id().clone(), row);
    }

    /// Deletes a row that exists: leaves a tombstone, or nothing.
    pub(super) fn delete(&mut self, table: &TableName, row: &Record) {
        let at = self.tick();
        if self.options.soft_delete {
            self.put(table, row, at, true);
        } else if let Some(rows) = self.tables.get_mut(table) {
            rows.remove(row.id());
            self.log.note(table, row.id());
        }
    }

    /// Does a change if it is based on the row as it is.
    pub(super) fn apply(&mut self, table: &TableName, change: &Change) -> Outcome {
        let row = self.get(table, &change.id);
        let gone = || Outcome::Missing;
        let taken = |row: &Record| {
            let refusal = Rejection::new(Some(409), "there is such a record");
            let conflict = Conflict::new(ServerRecord::Known(row.clone()));
            Outcome::Conflict(conflict.with_cause(ConflictCause::Existing, refusal))
        };
        let conflict =
            |row: &Record| Outcome::Conflict(Conflict::new(ServerRecord::Known(row.clone())));
        let hidden = !self.options.shows_tombstones;
        match (change.kind, &row) {
            (ChangeKind::Insert, Some(row)) => return taken(row),
            (ChangeKind::Replace | ChangeKind::Undelete | ChangeKind::Delete, None) => {
                return gone();
            }
            (ChangeKind::Delete, Some(row)) if row.is_deleted() => return gone(),
            (ChangeKind::Replace, Some(row)) if row.is_deleted() && hidden => return gone(),
            (ChangeKind::Replace, Some(row)) if row.is_deleted() => return conflict(row),
            (ChangeKind::Undelete, Some(row)) if !row.is_deleted() => return conflict(row),
            (_, Some(row))
                if self.options.checks_versions && row.version() != change.if_match.as_ref() =>
            {
                return conflict(row);
            }
            _ => {}
        }
        match (change.kind, row, &change.record) {
            (ChangeKind::Delete, Some(row), _) => {
                self.delete(table, &row);
                Outcome::Applied(None)
            }
            (_, row, Some(record)) => {
                let at = self.tick();
                let mut system = record.system().clone();
                system.created_at = row.and_then(|row| row.system().created_at);
                self.put(table, &record.clone().with_system(system), at, false);
                Outcome::Applied(self.get(table, &change.id))
            }
            (_, _, None) => gone(),
        }
    }

    /// One page, judged on the times with all their digits.
    pub(super) fn page(
        &self,
        table: &TableName,
        asked: &RemoteQuery,
        cursor: Option<&PageCursor>,
    ) -> Result<RemotePage, StoreError> {
        let options = &self.options;
        let model = self.class(table).map(|(_, model)| model);
        if let Some(model) = &model {
            let checked = model.check(asked);
            checked.map_err(|words| StoreError::new(StoreErrorKind::Other, words))?;
        }
        let schema = model.map_or_else(TableSchema::new, |model| model.schema());
        let mut query = asked.query.clone();
        if options.ignores_filters {
            query.filter = None;
        }
        query.page = Some(query.page.unwrap_or(options.page).min(options.page));
        query.after = cursor.map(|cursor| Cursor::from_text(cursor.as_str()));
        let all = self
            .tables
            .get(table)
            .into_iter()
            .flat_map(BTreeMap::values);
        let listed = all.filter(|row| asked.include_deleted || !row.is_deleted());
        let found = page_of(&query, &schema, listed.clone().cloned().map(Ok))?;
        let mut page = RemotePage::default();
        page.records = found.records.iter().map(|row| self.shown(row)).collect();
        page.last = options.says_last && found.next.is_none();
        page.next = found.next.map(|next| PageCursor::new(next.as_str()));
        page.server_time = Some(self.now);
        page.ordered = options.ordered;
        page.total = asked.total.then(|| {
            let evaluator = Evaluator::new(&schema);
            let matches = |row: &&Record| match &query.filter {
                Some(filter) => evaluator.matches(filter, row),
                None => true,
            };
            listed.filter(matches).count() as u64
        });
        Ok(page)
    }
}
