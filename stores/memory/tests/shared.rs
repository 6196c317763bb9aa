//! A key-value engine that several processes may have open: two stores over one engine, which know of each other only what is in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use proptest::prelude::*;
use synctable_core::store::{
    Author, ChangeLog, Changed, Changes, Durability, KNOWN_CHANGES, LocalStore, LocalStoreExt,
    Position, ProcessLock, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{FieldType, Record, RecordId, Schema, TableName, TableSchema};
use synctable_kv::{Indexes, KvBackend, KvRead, KvStore, KvWrite, Limits, Promises};
use synctable_memory::MemoryBackend;
use synctable_stories::{engine_tests, store_tests};
use synctable_testkit::{Harness, async_trait, run};

/// One opening of an engine in memory, as a process would have it.
#[derive(Debug, Clone, Default)]
struct Opening {
    engine: Arc<MemoryBackend>,
    /// Whoever holds the lock of the processes.
    holder: Arc<Mutex<Weak<()>>>,
    /// How often it was asked what it promises.
    asked: Arc<AtomicUsize>,
}

impl KvBackend for Opening {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.engine.snapshot()
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        self.engine.begin_write(durability)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }
    fn limits(&self) -> Limits {
        // As a key-value service may have them.
        Limits::default().with_longest_value(4 << 20)
    }
    fn indexes(&self) -> Indexes {
        self.engine.indexes()
    }
    fn promises(&self) -> Promises {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.engine.promises().with_multi_process(true)
    }
    fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        let mut holder = self.holder.lock().unwrap();
        if holder.strong_count() > 0 {
            return Ok(ProcessLock::Taken);
        }
        let held = Arc::new(());
        *holder = Arc::downgrade(&held);
        Ok(ProcessLock::Held(Box::new(held)))
    }
}

#[derive(Default)]
struct Engine(Opening);

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Harness for Engine {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(KvStore::open(self.0.clone())?))
    }
}

mod kit {
    use super::*;

    store_tests!(Engine; base, changes, model, concurrent, unordered, contexts, cancel, schema_change, long_keys);
}

mod engine {
    use super::*;

    engine_tests!(Engine);
}

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

fn row(id: &str) -> Record {
    Record::from_json(&format!(r#"{{"id":"{id}","n":1}}"#)).unwrap()
}

fn two() -> [KvStore<Opening>; 2] {
    let opening = Opening::default();
    [opening.clone(), opening].map(|it| KvStore::open(it).unwrap())
}

fn indexed() -> Schema {
    let table = TableSchema::new()
        .with_field("n", FieldType::Integer)
        .with_index(["n"]);
    Schema::new().with_table(todo(), table)
}

#[test]
fn an_index_that_one_declares_is_kept_by_the_other() {
    run(async {
        let [one, other] = two();
        let plain = Schema::new().with_table(todo(), TableSchema::new());
        one.define(&plain).await.unwrap();
        let fill = (0..700).fold(WriteBatch::new(), |batch, n| {
            batch.put(&todo(), row(&format!("a{n}")))
        });
        other.commit(fill).await.unwrap();
        one.define(&indexed()).await.unwrap();
        // The other one was opened before.
        let more = WriteBatch::new().put(&todo(), row("b"));
        other.commit(more).await.unwrap();
        let query = synctable_core::query::Query::all()
            .filter(synctable_core::query::field("n").eq(1))
            .page(1_000);
        assert_eq!(one.query_all(&todo(), &query).await.unwrap().len(), 701);
        assert_eq!(other.schema().await.unwrap(), one.schema().await.unwrap());
        let access = other.explain(&todo(), &query).await.unwrap();
        assert_eq!(access, one.explain(&todo(), &query).await.unwrap());
        assert!(access.to_string().contains("index"), "{access}");
    });
}

#[test]
fn a_store_that_one_had_alone_can_be_shared_later() {
    run(async {
        let opening = Opening::default();
        {
            let alone = KvStore::open(Arc::clone(&opening.engine)).unwrap();
            alone.define(&indexed()).await.unwrap();
            let put = WriteBatch::new().put(&todo(), row("a"));
            alone.commit(put).await.unwrap();
        }
        let [one, other] = [(); 2].map(|()| KvStore::open(opening.clone()).unwrap());
        let before = other.position().await.unwrap();
        let crossing = WriteBatch::new()
            .expect_unchanged(&todo(), before)
            .put(&todo(), row("b"));
        one.commit(WriteBatch::new().put(&todo(), row("c")))
            .await
            .unwrap();
        let refused = other.commit(crossing).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::CheckFailed);
        let found = other.get_one(&todo(), row("c").id()).await.unwrap();
        assert!(found.is_some());
    });
}

/// It may take a lock.
#[test]
fn an_engine_is_asked_once_what_it_promises() {
    run(async {
        let opening = Opening::default();
        let store = KvStore::open(opening.clone()).unwrap();
        store.define(&indexed()).await.unwrap();
        let begin = store.position().await.unwrap();
        let put = WriteBatch::new().put(&todo(), row("a"));
        store.commit(put).await.unwrap();
        store.get_one(&todo(), row("a").id()).await.unwrap();
        store.changes_since(begin, 10).await.unwrap();
        assert!(store.capabilities().multi_process);
        assert_eq!(opening.asked.load(Ordering::Relaxed), 1);
    });
}

/// A commit of one of the two: who says it makes it, and which of the two tables it writes how often.
type Step = (bool, Option<u8>, bool, usize);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// What is noted in the engine answers as the log in the memory of one process does.
    #[test]
    fn the_log_in_the_engine_answers_as_one_in_memory(
        steps in prop::collection::vec((any::<bool>(), prop::option::of(0..3u8), any::<bool>(), 0..40usize), 1..40),
        large in 0..40usize, limit in 900..3_000usize,
    ) {
        run(compare(steps, large, limit));
    }
}

async fn compare(steps: Vec<Step>, large: usize, limit: usize) {
    let stores = two();
    let tables = [todo(), TableName::new("notes").unwrap()];
    let schema = tables.iter().fold(Schema::new(), |schema, table| {
        schema.with_table(table.clone(), TableSchema::new())
    });
    stores[0].define(&schema).await.unwrap();
    let begin = stores[1].position().await.unwrap();
    let mut model = ChangeLog::continued(begin.log(), begin.commit());
    let mut places = vec![begin];
    let authors: Vec<Author> = (1..4).map(Author::from_number).collect();
    for (number, (by_other, author, in_notes, count)) in steps.into_iter().enumerate() {
        // One of them changes more than the log has to know.
        let count = if number == large {
            KNOWN_CHANGES / 2 + 900
        } else {
            count
        };
        let table = &tables[usize::from(in_notes)];
        let author = author.map(|it| authors[usize::from(it)]);
        let ids = (0..count).map(|n| RecordId::new(&format!("{number}-{n}")).unwrap());
        let deleted = ids.fold(WriteBatch::new(), |batch, id| batch.delete(table, &id));
        let batch = match author {
            Some(author) => deleted.author(author),
            None => deleted,
        };
        let names = batch.writes().iter().map(Changed::by).collect();
        let expected = model.append(author, names);
        let position = stores[usize::from(by_other)].commit(batch).await.unwrap();
        assert_eq!(position, expected);
        places.push(position);
    }
    places.push(Position::new(begin.log(), model.position().commit() + 1, 0));
    places.push(Position::new(begin.log() ^ 1, 1, 0));
    for store in &stores {
        assert_eq!(store.position().await.unwrap(), model.position());
        for place in &places {
            let mut place = *place;
            loop {
                let answer = store.changes_since(place, limit).await.unwrap();
                match (&answer, model.since(place, limit)) {
                    // The engine may know more than it has to.
                    (Changes::Known { .. }, Changes::Unknown { .. }) => break,
                    (_, expected) => assert_eq!(answer, expected),
                }
                let Changes::Known {
                    next, more: true, ..
                } = answer
                else {
                    break;
                };
                place = next;
            }
            for table in &tables {
                for author in authors.iter().copied().map(Some).chain([None]) {
                    let check = WriteBatch::new().expect_unchanged(table, place);
                    let check = match author {
                        Some(author) => check.author(author),
                        None => check,
                    };
                    let holds = store.commit(check).await.is_ok();
                    assert_eq!(holds, model.is_unchanged(table, place, author), "{place:?}");
                }
            }
        }
    }
}
