use std::collections::BTreeMap;
use std::fs::{self, File};
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
use synctable::{Record, RecordId, Schema, SchemaError, SystemProperties, TableName, TableSchema};

/// A store in one file: records in memory, and a journal in which each batch is a line.
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
    tables: BTreeMap<TableName, Arc<Records>>,
}

type Records = BTreeMap<RecordId, Record>;

#[derive(Debug)]
struct Writer {
    file: File,
    revisions: Revisions,
    /// A write failed half-way: what is in the file is not known.
    broken: bool,
}

/// What a journal begins with. A file that does not is somebody else's.
const HEADER: &[u8] = b"journal 1\n";

/// What a line of the journal holds any number of, behind a sum over them.
#[derive(Serialize, Deserialize)]
enum Step {
    Declare(String, TableSchema),
    /// Table, id, the properties of the system, and the text to the letter.
    Put(String, String, SystemProperties, String),
    Delete(String, String),
    Clear(String),
}

impl Journal {
    /// Opens the journal at `path`; makes it where there is none. One process at a time.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| files::io_error(path, error);
        if !files::exists(path)? {
            // Made under another name, so that nobody ever finds half of it.
            files::make(path, |draft| fs::write(draft, HEADER).map_err(failed))?;
        }
        let file = File::options().read(true).write(true).open(path);
        let mut file = file.map_err(failed)?;
        if file.try_lock().is_err() {
            let message = format!("{} is open already; close it there", files::shown(path));
            return Err(StoreError::new(StoreErrorKind::Locked, message));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let Some(lines) = text.strip_prefix(HEADER) else {
            return Err(files::not_ours(path, "not a journal"));
        };
        let (mut state, mut revisions) = (State::default(), Revisions::default());
        let mut whole = 0;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            // The last line of a process that was killed may be cut: nobody was told that it is done.
            let Some(steps) = read(line) else { break };
            state.apply(steps, &mut revisions)?;
            whole += line.len();
        }
        if lines.iter().skip(whole).any(|byte| *byte == b'\n') {
            return Err(files::at(path, &damaged()));
        }
        file.set_len((HEADER.len() + whole) as u64)
            .map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        // So that the end of the last batch survives a power cut, too.
        file.sync_all().map_err(failed)?;
        let writer = Writer {
            file,
            revisions,
            broken: false,
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
        let closed = || StoreError::new(StoreErrorKind::Closed, message);
        state.clone().ok_or_else(closed)
    }

    fn set_state(&self, state: Option<State>) {
        let mut held = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *held = state.map(Arc::new);
    }

    /// Does steps whole or not at all: on the disk first, then where reads see them.
    fn write(
        &self,
        writer: &mut Writer,
        mut state: State,
        steps: Vec<Step>,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let line = line(&steps)?;
        state.apply(steps, &mut writer.revisions)?;
        writer.append(&line, durability)?;
        self.set_state(Some(state));
        Ok(())
    }

    /// Declares what `change` makes of what is declared.
    fn declare(
        &self,
        change: impl FnOnce(&Schema) -> Result<Schema, SchemaError>,
    ) -> Result<(), StoreError> {
        let mut writer = locked(&self.writer);
        let state = self.state()?;
        let wanted = change(&state.schema)
            .map_err(|error| StoreError::new(StoreErrorKind::Schema, error.to_string()))?;
        let is_new =
            |(name, table): &(&TableName, &TableSchema)| state.schema.table(name) != Some(*table);
        let steps = wanted.tables().filter(is_new);
        let steps: Vec<Step> = steps
            .map(|(name, table)| Step::declare(name, table))
            .collect();
        if steps.is_empty() {
            return Ok(());
        }
        self.write(&mut writer, (*state).clone(), steps, Durability::Immediate)
    }
}

impl Writer {
    /// Appends a line. After an error the file may end in a part of it, which nothing may follow.
    fn append(&mut self, line: &[u8], durability: Durability) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::unknown());
        }
        let written = self.file.write_all(line).and_then(|()| match durability {
            Durability::Immediate => self.file.sync_data(),
            Durability::Eventual => Ok(()),
        });
        // The line may be whole or not, and after a failed sync it may be gone later: only opening it again tells.
        self.broken = written.is_err();
        written.map_err(StoreError::unknown_after)
    }
}

impl State {
    fn table(&self, name: &TableName) -> Result<&Records, StoreError> {
        let table = self.tables.get(name).map(|records| &**records);
        table.ok_or_else(|| StoreError::unknown_table(name))
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

    /// Does what a line says: when it is committed, and again at each opening.
    fn apply(&mut self, steps: Vec<Step>, revisions: &mut Revisions) -> Result<(), StoreError> {
        for step in steps {
            match step {
                Step::Declare(table, declaration) => {
                    let table = TableName::stored(&table).map_err(|_| damaged())?;
                    self.tables.entry(table.clone()).or_default();
                    self.schema = std::mem::take(&mut self.schema).with_table(table, declaration);
                }
                Step::Put(table, id, system, text) => {
                    let record = Record::from_stored(RecordId::system(&id), system, text);
                    // Another one each time, and others after each opening.
                    let revision = Revision::from_number(revisions.next_number());
                    let records = self.records(&table)?;
                    records.insert(record.id().clone(), record.at(revision));
                }
                Step::Delete(table, id) => {
                    self.records(&table)?.remove(id.as_str());
                }
                Step::Clear(table) => self.records(&table)?.clear(),
            }
        }
        Ok(())
    }

    fn records(&mut self, table: &str) -> Result<&mut Records, StoreError> {
        // Copied where a read holds it: a table of a real engine has snapshots of its own.
        let records = self.tables.get_mut(table).map(Arc::make_mut);
        records.ok_or_else(damaged)
    }

    /// What makes this state of nothing.
    fn steps(&self) -> Vec<Step> {
        let declared = self.schema.tables();
        let mut steps: Vec<Step> = declared
            .map(|(name, table)| Step::declare(name, table))
            .collect();
        for (table, records) in &self.tables {
            steps.extend(records.values().map(|record| Step::put(table, record)));
        }
        steps
    }
}

impl Step {
    fn declare(name: &TableName, table: &TableSchema) -> Self {
        Self::Declare(name.to_string(), table.clone())
    }

    fn put(table: &TableName, record: &Record) -> Self {
        let (table, id) = (table.to_string(), record.id().to_string());
        Self::Put(table, id, record.system().clone(), record.body().to_owned())
    }

    fn of(write: &Write) -> Self {
        match write {
            Write::Put { table, record } => Self::put(table, record),
            Write::Delete { table, id } => Self::Delete(table.to_string(), id.to_string()),
            Write::Clear { table } => Self::Clear(table.to_string()),
        }
    }
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

/// A sum over a line: it tells a cut or a changed one (FNV-1a).
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn damaged() -> StoreError {
    StoreError::corrupt("the journal is damaged; pull into a new store")
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl LocalStore for Journal {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.declare(|declared| declared.merged(schema))
    }

    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        self.state()?.table(table)?;
        self.declare(|declared| {
            let wanted = declared
                .clone()
                .with_table(table.clone(), declaration.clone());
            wanted.check().map(|()| wanted)
        })
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
        let records = state.table(table)?.values().cloned().map(Ok);
        let declared = state.schema.table(table).cloned().unwrap_or_default();
        page_of(query, &declared, records)
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let mut writer = locked(&self.writer);
        let state = self.state()?;
        // 1. Every check, against the state before the batch.
        for write in batch.writes() {
            state.table(write.table())?;
        }
        for check in batch.checks() {
            if !state.holds(check)? {
                return Err(StoreError::check_failed(&check.table, &check.id));
            }
        }
        for unchanged in batch.unchanged() {
            let (table, since) = (&unchanged.table, unchanged.since);
            state.table(table)?;
            if !locked(&self.log).is_unchanged(table, since, batch.get_author()) {
                return Err(StoreError::table_changed(table));
            }
        }
        // 2. The writes. One without any, that is `Immediate`, syncs those before it.
        let durability = batch.get_durability();
        let steps: Vec<Step> = batch.writes().iter().map(Step::of).collect();
        if !steps.is_empty() || durability == Durability::Immediate {
            self.write(&mut writer, (*state).clone(), steps, durability)?;
        }
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
        StoreCapabilities::default()
            .with_persistent(true)
            .with_durable(true)
            .with_ordered_commits(true)
            .with_redefines(true)
    }

    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        files::check_vacant(path)?;
        let mut steps = self.state()?.steps();
        steps.extend(mark.writes().iter().map(Step::of));
        let text = [HEADER, &line(&steps)?].concat();
        let draft = files::Draft::of_file(path)?;
        let written = fs::write(draft.path(), text);
        written.map_err(|error| files::io_error(path, error))?;
        draft.place(files::Taken::Refused)
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
