//! An engine that does not always know what came of a commit, and a check of the stores over it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proptest::collection::vec;
use proptest::prelude::*;
use synctable_core::query::{Query, field};
use synctable_core::store::{
    Changed, Changes, Durability, LocalStore, LocalStoreExt, Position, StoreError, StoreErrorKind,
    WriteBatch,
};
use synctable_core::{FieldType, Record, RecordId, Schema, TableName, TableSchema};
use synctable_kv::{
    Buffered, Indexes, KvBackend, KvBatch, KvRead, KvStore, KvWrite, Limits, Promises,
};

use crate::{compare_query, for_all};

/// What becomes of a batch whose commit is answered with [`InDoubt`](StoreErrorKind::InDoubt).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It was done.
    Done,
    /// It was not, and will not be.
    Lost,
    /// It is done later: when [`Doubting::land`] is called, and at the latest before the next transaction.
    Late,
}

/// An engine over another one, some of whose commits are answered with [`InDoubt`](StoreErrorKind::InDoubt). Clones share it.
#[derive(Debug, Clone)]
pub struct Doubting {
    engine: Arc<dyn KvBackend>,
    limits: Limits,
    state: Arc<Mutex<State>>,
    turn: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// After so many commits that one.
    next: Option<(usize, Doubt)>,
    late: Option<KvBatch>,
}

impl Doubting {
    /// Knows of all commits until [`doubt`](Self::doubt) is called.
    pub fn new(engine: impl KvBackend + 'static) -> Self {
        Self {
            limits: engine.limits(),
            engine: Arc::new(engine),
            state: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Says that it takes no longer keys.
    #[must_use]
    pub fn with_longest_key(mut self, bytes: usize) -> Self {
        self.limits = self.limits.with_longest_key(bytes);
        self
    }

    /// After so many commits the next one is in doubt; with `None` none is any more.
    pub fn doubt(&self, next: Option<(usize, Doubt)>) {
        self.state().next = next;
    }

    /// What is late is done now.
    pub fn land(&self) -> Result<(), StoreError> {
        let late = self.state().late.take();
        late.map_or(Ok(()), |batch| batch.write_to(&self.engine))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: &KvBatch) -> Result<(), StoreError> {
        let next = self.state().next;
        self.state().next = next.and_then(|(left, doubt)| Some((left.checked_sub(1)?, doubt)));
        match next {
            Some((0, Doubt::Done)) => batch.write_to(&self.engine)?,
            Some((0, Doubt::Lost)) => {}
            Some((0, Doubt::Late)) => self.state().late = Some(batch.clone()),
            _ => return batch.write_to(&self.engine),
        }
        let message = "the connection to the engine broke during a commit";
        Err(StoreError::new(StoreErrorKind::InDoubt, message))
    }
}

impl KvBackend for Doubting {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.engine.snapshot()
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let begun = || {
            self.land()?;
            self.snapshot()
        };
        Buffered::begin(&self.turn, durability, begun, |batch| self.apply(batch))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn indexes(&self) -> Indexes {
        self.engine.indexes()
    }

    fn promises(&self) -> Promises {
        self.engine.promises()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<(u8, u8)>),
    Delete(u8),
    Clear,
    Define(usize),
    Redefine(usize),
    Land,
    Reopen,
}

type Case = Vec<(Step, Option<(usize, Doubt)>)>;

fn cases() -> BoxedStrategy<Case> {
    let step = prop_oneof![
        8 => vec((0..6_u8, 0..4_u8), 1..4).prop_map(Step::Put),
        3 => (0..6_u8).prop_map(Step::Delete),
        1 => Just(Step::Clear),
        2 => (0..DECLARATIONS).prop_map(Step::Define),
        3 => (0..DECLARATIONS).prop_map(Step::Redefine),
        1 => Just(Step::Land),
        1 => Just(Step::Reopen),
    ];
    let doubt = prop_oneof![Just(Doubt::Done), Just(Doubt::Lost), Just(Doubt::Late)];
    let doubt = prop_oneof![1 => Just(None), 1 => (0..3_usize, doubt).prop_map(Some)];
    vec((step, doubt), 1..16).boxed()
}

const DECLARATIONS: usize = 4;

fn declaration(which: usize) -> TableSchema {
    let words = TableSchema::new().with_field("s", FieldType::String);
    let numbers = words.clone().with_field("n", FieldType::Integer);
    match which {
        0 => numbers,
        1 => numbers.with_index(["n"]),
        2 => numbers.with_index(["n"]).with_index(["s", "n"]),
        _ => words.with_field("n", FieldType::String).with_index(["n"]),
    }
}

fn table() -> TableName {
    TableName::new("t").expect("a name")
}

fn schema(which: usize) -> Schema {
    Schema::new().with_table(table(), declaration(which))
}

fn record(id: u8, n: u8) -> Record {
    // Longer than the keys of some engines.
    let id = format!("{id}{}", "x".repeat(80));
    let text = format!(r#"{{"id":"{id}","n":{n},"s":"s{}"}}"#, n % 2);
    Record::from_json(&text).expect("a record")
}

/// What a store may hold.
#[derive(Debug, Clone, PartialEq)]
struct World {
    schema: Schema,
    records: BTreeMap<RecordId, Record>,
}

impl World {
    /// What a step makes of it; `None` where it is refused.
    fn after(&self, step: &Step) -> Option<Self> {
        let mut world = self.clone();
        match step {
            Step::Put(all) => {
                let all = all.iter().map(|(id, n)| record(*id, *n));
                let all = all.map(|record| (record.id().clone(), record));
                world.records.extend(all);
            }
            Step::Delete(id) => {
                world.records.remove(record(*id, 0).id());
            }
            Step::Clear => world.records.clear(),
            Step::Define(which) => world.schema = self.schema.merged(&schema(*which)).ok()?,
            Step::Redefine(which) => world.schema = schema(*which),
            Step::Land | Step::Reopen => {}
        }
        Some(world)
    }
}

/// Makes a store over an engine.
pub type Open<'a> = &'a dyn Fn(Doubting) -> Result<KvStore<Arc<dyn KvBackend>>, StoreError>;

/// Runs random histories over stores whose engine answers some commits with [`InDoubt`](StoreErrorKind::InDoubt): after each step a store holds what it may hold,
/// answers queries from that, with and without indexes, goes on, and has told each change once it can be read.
#[expect(clippy::future_not_send, reason = "a test polls it where it is")]
pub async fn commits_in_doubt_are_settled(
    number: u32,
    engine: impl Fn() -> Doubting,
    open: Open<'_>,
) {
    for_all(number, cases(), async |case: Case| {
        let text = |error: StoreError| error.to_string();
        let engine = engine();
        let store = open(engine.clone()).map_err(text)?;
        store.define(&schema(0)).await.map_err(text)?;
        let world = World {
            schema: schema(0),
            records: BTreeMap::new(),
        };
        let position = store.position().await.map_err(text)?;
        let mut told = Told {
            position,
            records: BTreeMap::new(),
        };
        let mut run = Run {
            engine,
            store,
            worlds: vec![world],
        };
        for (step, doubt) in &case {
            if matches!(step, Step::Reopen) {
                run.engine.land().map_err(text)?;
                run.store = open(run.engine.clone()).map_err(text)?;
                told.position = run.store.position().await.map_err(text)?;
                told.records = run.found().await.map_err(text)?.records;
            }
            run.engine.doubt(*doubt);
            run.step(step).await?;
            run.engine.doubt(None);
            run.answers_right().await?;
            told.hear(&run.store).await.map_err(text)?;
        }
        // The next write finds out, and what is stored is what another opening sees.
        run.step(&Step::Put(vec![(7, 7)])).await?;
        told.hear(&run.store).await.map_err(text)?;
        let found = run.found().await.map_err(text)?;
        if told.records != found.records {
            return Err(format!("told {told:?}, but there is {found:?}"));
        }
        run.store = open(run.engine.clone()).map_err(text)?;
        run.worlds = vec![found];
        run.answers_right().await
    })
    .await;
}

struct Run {
    engine: Doubting,
    store: KvStore<Arc<dyn KvBackend>>,
    /// One of them is what the store holds.
    worlds: Vec<World>,
}

impl Run {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let batch = WriteBatch::new();
        let done = match step {
            Step::Put(all) => {
                let all = all.iter().map(|(id, n)| record(*id, *n));
                let batch = all.fold(batch, |batch, record| batch.put(&table(), record));
                self.store.commit(batch).await.map(drop)
            }
            Step::Delete(id) => {
                let batch = batch.delete(&table(), record(*id, 0).id());
                self.store.commit(batch).await.map(drop)
            }
            Step::Clear => self.store.commit(batch.clear(&table())).await.map(drop),
            Step::Define(which) => self.store.define(&schema(*which)).await,
            Step::Redefine(which) => {
                let declaration = declaration(*which);
                self.store.redefine(&table(), &declaration).await
            }
            Step::Land => self.engine.land(),
            Step::Reopen => Ok(()),
        };
        let after = |world: &World| world.after(step);
        match done {
            Ok(()) => self.worlds = self.worlds.iter().filter_map(after).collect(),
            Err(error) if error.kind() == StoreErrorKind::InDoubt => {
                for more in self.worlds.iter().filter_map(after).collect::<Vec<_>>() {
                    if !self.worlds.contains(&more) {
                        self.worlds.push(more);
                    }
                }
                return Ok(());
            }
            // Refused in each world that it may be.
            Err(error) if error.kind() == StoreErrorKind::Schema => {
                self.worlds.retain(|world| after(world).is_none());
            }
            Err(error) => return Err(format!("{step:?}: {error}")),
        }
        if !matches!(step, Step::Land) {
            // The write has found out.
            let found = self.found().await.map_err(|error| error.to_string())?;
            if !self.worlds.contains(&found) {
                return Err(format!("{step:?}: {found:?} instead of {:?}", self.worlds));
            }
            self.worlds = vec![found];
        }
        Ok(())
    }

    async fn found(&self) -> Result<World, StoreError> {
        let page = self.store.query(&table(), &Query::all()).await?;
        let records = page.records.into_iter();
        Ok(World {
            schema: self.store.schema().await?,
            records: records.map(|it| (it.id().clone(), it)).collect(),
        })
    }

    /// Whether all answers are those of one world.
    async fn answers_right(&self) -> Result<(), String> {
        let n = || field("n");
        let queries = [
            Query::all(),
            Query::all().filter(n().eq(1)),
            Query::all().filter(n().eq("1")),
            Query::all().filter(n().gt(1)).order_by("n"),
            Query::all().order_by("n").page(3),
            Query::all().filter(field("s").eq("s1")).order_by("n"),
        ];
        let mut wrong = String::new();
        for world in &self.worlds {
            let records: Vec<Record> = world.records.values().cloned().collect();
            let declared = world.schema.table(&table()).cloned().unwrap_or_default();
            let mut compared = Ok(());
            if self.store.schema().await.ok().as_ref() != Some(&world.schema) {
                compared = Err("another schema".to_owned());
            }
            for query in &queries {
                if compared.is_ok() {
                    compared =
                        compare_query(&self.store, &table(), &declared, &records, query).await;
                }
            }
            match compared {
                Ok(()) => return Ok(()),
                Err(error) => wrong = format!("{wrong}\n{error}"),
            }
        }
        Err(wrong)
    }
}

/// What somebody knows who reads what was told to have changed.
#[derive(Debug)]
struct Told {
    position: Position,
    records: BTreeMap<RecordId, Record>,
}

impl Told {
    async fn hear(&mut self, store: &KvStore<Arc<dyn KvBackend>>) -> Result<(), StoreError> {
        let changes = store.changes_since(self.position, 10_000).await?;
        let Changes::Known { changed, next, .. } = changes else {
            return Err(StoreError::corrupt("a change is not known any more"));
        };
        for change in changed {
            if let Changed::Record { id, .. } = change {
                self.records.remove(&id);
                let found = store.get_one(&table(), &id).await?;
                self.records.extend(found.map(|it| (id, it)));
            } else {
                let all = store.query(&table(), &Query::all()).await?.records;
                self.records = all.into_iter().map(|it| (it.id().clone(), it)).collect();
            }
        }
        self.position = next;
        Ok(())
    }
}
