//! A store that implements `LocalStore` itself, with nothing of ours below it: records in memory, and a journal in which each batch is a line.
//!
//! What an engine with queries of its own has to do is all here: snapshots, checks, revisions, changes, durability, and what is said after an
//! error. Queries are answered by `page_of`; a real engine answers what it can by itself. `tests/native_store.rs` runs the conformance kit on it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use synctable::kv::files;
use synctable::query::{Query, page_of};
use synctable::store::{
    ChangeLog, Changed, Changes, Check, Durability, Expect, LocalStore, Page, Position, Revision,
    Revisions, StoreCapabilities, StoreError, StoreErrorKind, Write, WriteBatch,
};
use synctable::sync::SyncContext;
use synctable::{
    Record, RecordId, Schema, SystemProperties, TableName, TableSchema, Timestamp, Version,
};

/// A store in one file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// What reads see: each keeps the state that it began with. `None` once the store is closed.
    state: RwLock<Option<Arc<State>>>,
    /// One batch at a time is judged and written.
    writer: Mutex<Writer>,
    log: Mutex<ChangeLog>,
}

#[derive(Debug, Clone, Default)]
struct State {
    schema: Schema,
    tables: BTreeMap<TableName, Arc<BTreeMap<RecordId, Record>>>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    revisions: Revisions,
    /// A write failed half-way: what is in the file is not known.
    broken: bool,
}

/// A line of the journal, behind a sum over it.
#[derive(Serialize, Deserialize)]
enum Step {
    Declare(Vec<(String, TableSchema)>),
    Put(Row),
    Delete(String, String),
    Clear(String),
}

/// Table, id, version, the two times in ticks, whether it is deleted, and the text to the letter.
type Row = (
    String,
    String,
    Option<String>,
    Option<i64>,
    Option<i64>,
    bool,
    String,
);

impl Journal {
    /// Opens the journal at `path`; makes it where there is none. One process at a time.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| files::io_error(path, error);
        let mut options = OpenOptions::new();
        // Its owner alone may read it.
        let options = files::private(options.read(true).write(true).create(true));
        let mut file = options.open(path).map_err(failed)?;
        if file.try_lock().is_err() {
            let message = format!("{} is open already; close it there", files::shown(path));
            return Err(StoreError::new(StoreErrorKind::Locked, message));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let (mut state, mut revisions) = (State::default(), Revisions::default());
        let mut whole = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // The last line of a process that was killed may be cut: nobody was told that it is done.
            let Some(steps) = read(line) else { break };
            state.replay(steps, &mut revisions)?;
            whole += line.len();
        }
        if text.iter().skip(whole).any(|byte| *byte == b'\n') {
            let message = format!("{} is damaged; pull into a new store", files::shown(path));
            return Err(StoreError::corrupt(message));
        }
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        // So that the file itself, and the end of the last batch, survive a power cut.
        file.sync_all().map_err(failed)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        files::sync_folder(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        let broken = false;
        let writer = Writer {
            file,
            revisions,
            broken,
        };
        Ok(Self {
            path: path.to_owned(),
            state: RwLock::new(Some(Arc::new(state))),
            writer: Mutex::new(writer),
            log: Mutex::default(),
        })
    }

    /// What a read sees.
    fn state(&self) -> Result<Arc<State>, StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let message = "the store was closed; open it again";
        state
            .clone()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Closed, message))
    }

    fn set_state(&self, state: Option<State>) {
        let mut held = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *held = state.map(Arc::new);
    }
}

impl Writer {
    /// Appends a line. After an error the file may end in a part of it, which nothing may follow.
    fn append(&mut self, steps: &[Step], durability: Durability) -> Result<(), StoreError> {
        let unknown = |message: &str| StoreError::new(StoreErrorKind::Unknown, message);
        if self.broken {
            return Err(unknown("an earlier write failed; open the store again"));
        }
        let line = line(steps)?;
        let written = self.file.write_all(&line).and_then(|()| match durability {
            Durability::Immediate => self.file.sync_data(),
            Durability::Eventual => Ok(()),
        });
        written.map_err(|error| {
            // The line may be whole or not, and after a failed sync it may be gone later: only opening it again tells.
            self.broken = true;
            unknown("writing failed; open the store again to see what is in it").with_source(error)
        })
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn table(&self, name: &TableName) -> Result<&Arc<BTreeMap<RecordId, Record>>, StoreError> {
        self.tables
            .get(name)
            .ok_or_else(|| StoreError::unknown_table(name))
    }

    fn records(&mut self, name: &TableName) -> &mut BTreeMap<RecordId, Record> {
        // Copied where a read holds it: a table of a real engine has snapshots of its own.
        Arc::make_mut(self.tables.entry(name.clone()).or_default())
    }

    fn declare(&mut self, schema: Schema) {
        for (name, _) in schema.tables() {
            self.tables.entry(name.clone()).or_default();
        }
        self.schema = schema;
    }

    /// Judges a check against the state before the batch.
    fn holds(&self, check: &Check) -> Result<bool, StoreError> {
        let stored = self.table(&check.table)?.get(&check.id);
        Ok(match &check.expect {
            Expect::Absent => stored.is_none(),
            Expect::Present => stored.is_some(),
            Expect::At(revision) => stored.and_then(Record::revision) == Some(revision),
            Expect::Same(record) => stored == Some(&**record),
        })
    }

    fn write(&mut self, write: &Write, revisions: &mut Revisions) {
        match write {
            Write::Put { table, record } => {
                let record = record
                    .clone()
                    .at(Revision::from_number(revisions.next_number()));
                self.records(table).insert(record.id().clone(), record);
            }
            Write::Delete { table, id } => {
                self.records(table).remove(id);
            }
            Write::Clear { table } => self.records(table).clear(),
        }
    }

    fn replay(&mut self, steps: Vec<Step>, revisions: &mut Revisions) -> Result<(), StoreError> {
        let damaged = || StoreError::corrupt("the journal is damaged; pull into a new store");
        let named = |table: &str| TableName::stored(table).map_err(|_| damaged());
        for step in steps {
            let write = match step {
                Step::Declare(tables) => {
                    let mut schema = Schema::new();
                    for (name, table) in tables {
                        schema = schema.with_table(named(&name)?, table);
                    }
                    self.declare(schema);
                    continue;
                }
                Step::Put(row) => Write::Put {
                    table: named(&row.0)?,
                    record: record_of(row),
                },
                Step::Delete(table, id) => Write::Delete {
                    table: named(&table)?,
                    id: RecordId::system(&id),
                },
                Step::Clear(table) => Write::Clear {
                    table: named(&table)?,
                },
            };
            self.write(&write, revisions);
        }
        Ok(())
    }
}

fn row_of(table: &TableName, record: &Record) -> Row {
    let (id, system) = (record.id().to_string(), record.system());
    let version = system.version.as_ref().map(ToString::to_string);
    let [created, updated] =
        [system.created_at, system.updated_at].map(|it| it.map(Timestamp::ticks));
    let body = record.body().to_owned();
    (
        table.to_string(),
        id,
        version,
        created,
        updated,
        system.deleted,
        body,
    )
}

fn record_of((_, id, version, created, updated, deleted, body): Row) -> Record {
    let system = SystemProperties {
        version: version.map(|version| Version::new(&version)),
        created_at: created.map(Timestamp::from_ticks),
        updated_at: updated.map(Timestamp::from_ticks),
        deleted,
    };
    Record::from_stored(RecordId::system(&id), system, body)
}

impl Step {
    fn of(write: &Write) -> Self {
        match write {
            Write::Put { table, record } => Self::Put(row_of(table, record)),
            Write::Delete { table, id } => Self::Delete(table.to_string(), id.to_string()),
            Write::Clear { table } => Self::Clear(table.to_string()),
        }
    }
}

/// A sum over a line: it tells a cut or a changed one (FNV-1a).
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn line(steps: &[Step]) -> Result<Vec<u8>, StoreError> {
    let text = serde_json::to_string(steps).map_err(|error| {
        StoreError::new(StoreErrorKind::Other, "the batch cannot be written").with_source(error)
    })?;
    Ok(format!("{:016x} {text}\n", sum(text.as_bytes())).into_bytes())
}

fn read(line: &[u8]) -> Option<Vec<Step>> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (written, text) = text.split_once(' ')?;
    let same = u64::from_str_radix(written, 16).ok()? == sum(text.as_bytes());
    serde_json::from_str(text).ok().filter(|_| same)
}

#[async_trait]
impl LocalStore for Journal {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        let mut writer = locked(&self.writer);
        let mut state = (*self.state()?).clone();
        let merged = state.schema.merged(schema);
        let merged =
            merged.map_err(|error| StoreError::new(StoreErrorKind::Schema, error.to_string()))?;
        if merged == state.schema {
            return Ok(());
        }
        let tables = merged
            .tables()
            .map(|(name, table)| (name.to_string(), table.clone()));
        let step = Step::Declare(tables.collect());
        writer.append(&[step], Durability::Immediate)?;
        state.declare(merged);
        self.set_state(Some(state));
        Ok(())
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        Ok(self.state()?.schema.clone())
    }

    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let state = self.state()?;
        let records = state.table(table)?;
        Ok(ids.iter().map(|id| records.get(id).cloned()).collect())
    }

    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        let state = self.state()?;
        let records = state
            .table(table)?
            .values()
            .map(|record| Ok(record.clone()));
        let declared = state.schema.table(table);
        page_of(query, &declared.cloned().unwrap_or_default(), records)
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let mut writer = locked(&self.writer);
        let mut state = (*self.state()?).clone();
        // 1. Every check, against the state before the batch.
        for write in batch.writes() {
            state.table(write.table())?;
        }
        for unchanged in batch.unchanged() {
            let table = &unchanged.table;
            state.table(table)?;
            let log = locked(&self.log);
            if !log.is_unchanged(table, unchanged.since, batch.get_author()) {
                return Err(StoreError::table_changed(table));
            }
        }
        for check in batch.checks() {
            if !state.holds(check)? {
                return Err(StoreError::check_failed(&check.table, &check.id));
            }
        }
        // 2. The writes: on the disk first, then where reads see them.
        let steps: Vec<Step> = batch.writes().iter().map(Step::of).collect();
        if !steps.is_empty() || batch.get_durability() == Durability::Immediate {
            writer.append(&steps, batch.get_durability())?;
        }
        for write in batch.writes() {
            state.write(write, &mut writer.revisions);
        }
        self.set_state(Some(state));
        // 3. The change log, once reads see it: a position never passes what cannot be read yet.
        let changed = batch.writes().iter().map(Changed::by).collect();
        Ok(locked(&self.log).append(batch.get_author(), changed))
    }

    async fn position(&self) -> Result<Position, StoreError> {
        self.state()?;
        Ok(locked(&self.log).position())
    }

    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.state()?;
        Ok(locked(&self.log).since(since, limit))
    }

    fn capabilities(&self) -> StoreCapabilities {
        // Promise what is true: the kit tests each promise.
        let none = StoreCapabilities::default();
        none.with_persistent(true)
            .with_durable(true)
            .with_ordered_commits(true)
    }

    async fn close(&self) -> Result<(), StoreError> {
        let writer = locked(&self.writer);
        if self.state().is_err() {
            return Ok(());
        }
        self.set_state(None);
        let synced = writer.file.sync_all().and_then(|()| writer.file.unlock());
        synced.map_err(|error| files::io_error(&self.path, error))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.journal");
    let sync = SyncContext::builder(Arc::new(Journal::open(&path)?));
    let sync = sync.open().await?;
    let note = serde_json::json!({"id": "a", "text": "hello"});
    sync.table("notes")?.insert(&note).await?;
    println!(
        "{} change waits in {}",
        sync.pending_count(),
        path.display()
    );
    Ok(sync.close().await?)
}
