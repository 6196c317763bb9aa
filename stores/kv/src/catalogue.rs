//! What a store knows of its tables: their declarations, and which of their indexes are kept.

use std::collections::BTreeMap;

use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_core::{IndexSpec, RecordId, Schema, TableName, TableSchema};

use crate::batch::KvBatch;
use crate::index;
use crate::key::{EVERYTHING, Key, all_states, all_tables};
use crate::read::{KvRead, KvReadExt};
use crate::scan::entries;

/// What the entry [`Key::Format`] holds, before the number of the format.
const FORMAT_NAME: &str = "synctable kv ";
const FORMAT: u32 = 2;
/// That of release 0.1: records have no revision.
const FIRST: u32 = 1;
/// What the same entry of a sealed store begins with.
const SEALED_NAME: &[u8] = b"synctable sealed ";

/// Declared tables and the state of their indexes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Catalogue {
    pub(crate) schema: Schema,
    /// The format that the store is known to have.
    format: u32,
    /// Indexes whose entries are written with every record; others are declared at most.
    kept: BTreeMap<(TableName, String), State>,
}

/// How far an index is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// Entries of records behind this id may be missing.
    Building(Option<RecordId>),
    /// Every record has its entry.
    Ready,
}

const READY: &[u8] = b"ready";
const BUILDING: &[u8] = b"building ";

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready => READY.to_vec(),
            Self::Building(after) => {
                let after = after.as_ref().map_or("", RecordId::as_str);
                [BUILDING, after.as_bytes()].concat()
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes == READY {
            return Some(Self::Ready);
        }
        let after = std::str::from_utf8(bytes.strip_prefix(BUILDING)?).ok()?;
        Some(Self::Building(
            (!after.is_empty()).then(|| RecordId::system(after)),
        ))
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self {
            schema: Schema::default(),
            format: FORMAT,
            kept: BTreeMap::new(),
        }
    }
}

impl Catalogue {
    /// True where an earlier release wrote the store, and this one has not yet.
    pub(crate) fn is_older(&self) -> bool {
        self.format < FORMAT
    }

    /// The format, where it is an earlier one.
    pub(crate) fn earlier(&self) -> Option<u32> {
        self.is_older().then_some(self.format)
    }

    /// Notes this release's format, here and in a batch. That is all there is to an upgrade: the batch is the first with a record in
    /// this release's layout, and records are read in each.
    pub(crate) fn bring_forward(&mut self, batch: &mut KvBatch) {
        let entry = format!("{FORMAT_NAME}{FORMAT}").into_bytes();
        batch.put(Key::Format.encode(), entry);
        self.format = FORMAT;
    }

    pub(crate) fn table(&self, table: &TableName) -> Result<&TableSchema, StoreError> {
        self.schema
            .table(table)
            .ok_or_else(|| StoreError::unknown_table(table))
    }

    /// The indexes of a table whose entries are written.
    pub(crate) fn kept<'a>(&'a self, table: &TableName) -> impl Iterator<Item = &'a IndexSpec> {
        self.of_state(table, |_| true)
    }

    /// The indexes of a table that answer queries.
    pub(crate) fn ready<'a>(&'a self, table: &TableName) -> impl Iterator<Item = &'a IndexSpec> {
        self.of_state(table, |state| *state == State::Ready)
    }

    fn of_state<'a>(
        &'a self,
        table: &TableName,
        wanted: fn(&State) -> bool,
    ) -> impl Iterator<Item = &'a IndexSpec> {
        let declared = self.schema.table(table).map(|table| table.indexes.iter());
        let table = table.clone();
        declared.into_iter().flatten().filter(move |spec| {
            let key = (table.clone(), index::name(spec));
            self.kept.get(&key).is_some_and(wanted)
        })
    }

    /// The declared indexes that are not ready, with what is known of them.
    pub(crate) fn unready(&self) -> Vec<(TableName, IndexSpec, Option<State>)> {
        let mut unready = Vec::new();
        for (name, table) in self.schema.tables() {
            for spec in &table.indexes {
                let state = self.kept.get(&(name.clone(), index::name(spec)));
                if state != Some(&State::Ready) {
                    unready.push((name.clone(), spec.clone(), state.cloned()));
                }
            }
        }
        unready
    }

    /// How far an index is that is kept.
    pub(crate) fn state(&self, table: &TableName, spec: &IndexSpec) -> Option<&State> {
        self.kept.get(&(table.clone(), index::name(spec)))
    }

    /// Sets the state of an index here and in a batch.
    pub(crate) fn set(
        &mut self,
        batch: &mut KvBatch,
        table: &TableName,
        spec: &IndexSpec,
        state: State,
    ) {
        let index = index::name(spec);
        let key = Key::IndexState {
            table: table.as_str(),
            index: &index,
        };
        batch.put(key.encode(), state.encode());
        self.kept.insert((table.clone(), index), state);
    }

    /// Forgets all indexes, here and in a batch: their entries are not written any more.
    pub(crate) fn forget_indexes(&mut self, batch: &mut KvBatch) {
        for (table, index) in self.kept.keys() {
            let table = table.as_str();
            batch.delete(Key::IndexState { table, index }.encode());
        }
        self.kept.clear();
    }

    /// Forgets the indexes over an enum that has more words than in `old`, here and in a batch: records that held such a word before have
    /// their entry under its text, and none under its place.
    pub(crate) fn forget_outgrown(&mut self, old: &Schema, batch: &mut KvBatch) {
        for (name, table) in self.schema.tables() {
            let Some(before) = old.table(name) else {
                continue;
            };
            let outgrown = |field: &String| before.field(field) != table.field(field);
            for spec in &table.indexes {
                let index = index::name(spec);
                if before.indexes.contains(spec) && spec.fields.iter().any(outgrown) {
                    let key = Key::IndexState {
                        table: name.as_str(),
                        index: &index,
                    };
                    batch.delete(key.encode());
                    self.kept.remove(&(name.clone(), index));
                }
            }
        }
    }

    /// Forgets the indexes of a table that its declaration has no more, or over a field that it declares in another way than `old` does, here and in a batch.
    /// Returns their names: their entries are of no use.
    pub(crate) fn forget_replaced(
        &mut self,
        old: &Schema,
        name: &TableName,
        batch: &mut KvBatch,
    ) -> Vec<String> {
        let (Some(before), Some(table)) = (old.table(name), self.schema.table(name)) else {
            return Vec::new();
        };
        let other = |field: &String| before.field(field) != table.field(field);
        let stays =
            |spec: &IndexSpec| table.indexes.contains(spec) && !spec.fields.iter().any(other);
        let gone = before.indexes.iter().filter(|spec| !stays(spec));
        let gone: Vec<String> = gone.map(index::name).collect();
        for index in &gone {
            let table = name.as_str();
            batch.delete(Key::IndexState { table, index }.encode());
            self.kept.remove(&(name.clone(), index.clone()));
        }
        gone
    }

    pub(crate) fn keeps_any(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Notes the format and the declarations that `old` lacks.
    pub(crate) fn declare(&mut self, old: &Schema, batch: &mut KvBatch) -> Result<(), StoreError> {
        self.bring_forward(batch);
        for (table, declared) in self.schema.tables() {
            if old.table(table) != Some(declared) {
                let text = serde_json::to_vec(declared).map_err(|error| {
                    let message = format!("table {table}: its declaration cannot be written");
                    StoreError::new(StoreErrorKind::Schema, message).with_source(error)
                })?;
                batch.put(Key::Table(table.as_str()).encode(), text);
            }
        }
        Ok(())
    }

    /// True in an engine that holds a store; false where it holds nothing, and an error where it holds something else.
    pub(crate) fn is_there(engine: &dyn KvRead) -> Result<bool, StoreError> {
        if let Some(format) = engine.get(&Key::Format.encode())? {
            return format_of(&format).map(|_| true);
        }
        let anything = engine.scan(EVERYTHING, 1)?;
        match anything.first() {
            None => Ok(false),
            Some((key, _)) if Key::decode(key).is_some() => Err(without_format()),
            Some(_) => Err(not_a_store()),
        }
    }

    /// What is stored in an engine that is ours, which may hold nothing yet.
    pub(crate) fn stored(engine: &dyn KvRead) -> Result<Self, StoreError> {
        if Self::is_there(engine)? {
            Self::read(engine)
        } else {
            Ok(Self::default())
        }
    }

    /// What is stored.
    pub(crate) fn read(snapshot: &dyn KvRead) -> Result<Self, StoreError> {
        let format = snapshot.get(&Key::Format.encode())?;
        let format = format.ok_or_else(without_format)?;
        let format = format_of(&format)?;
        let damaged = || StoreError::corrupt("the stored declaration of a table is damaged");
        let mut catalogue = Self {
            format,
            ..Self::default()
        };
        for entry in entries(snapshot, &all_tables()) {
            let (key, text) = entry?;
            let Some(Key::Table(table)) = Key::decode(&key) else {
                return Err(damaged());
            };
            let table = TableName::stored(table).map_err(|error| damaged().with_source(error))?;
            let declared =
                serde_json::from_slice(&text).map_err(|error| damaged().with_source(error))?;
            catalogue.schema = catalogue.schema.with_table(table, declared);
        }
        for entry in entries(snapshot, &all_states()) {
            let (key, text) = entry?;
            let Some(Key::IndexState { table, index }) = Key::decode(&key) else {
                return Err(damaged());
            };
            let table = TableName::stored(table).map_err(|error| damaged().with_source(error))?;
            let state = State::decode(&text).ok_or_else(damaged)?;
            catalogue.kept.insert((table, index.to_owned()), state);
        }
        Ok(catalogue)
    }
}

fn format_of(format: &[u8]) -> Result<u32, StoreError> {
    if format.starts_with(SEALED_NAME) {
        let message = "the store is encrypted; open it with its key";
        return Err(StoreError::new(StoreErrorKind::KeyNeeded, message));
    }
    let number = std::str::from_utf8(format)
        .ok()
        .and_then(|text| text.strip_prefix(FORMAT_NAME)?.parse::<u32>().ok());
    match number {
        Some(known @ FIRST..=FORMAT) => Ok(known),
        Some(newer) => {
            let message = format!(
                "the store has format {newer}, this release reads up to {FORMAT}; update the program"
            );
            Err(StoreError::new(StoreErrorKind::FormatTooNew, message))
        }
        None => Err(not_a_store()),
    }
}

fn without_format() -> StoreError {
    let message = "the store has entries, but the one that names its format is gone; restore a copy of the store";
    StoreError::corrupt(message)
}

fn not_a_store() -> StoreError {
    let message = "the database holds something other than a synctable store; choose another path";
    StoreError::new(StoreErrorKind::NotAStore, message)
}
