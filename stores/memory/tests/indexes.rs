//! Declared indexes: kept with every write, built for records that are there, and never changing an answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use synctable_core::query::odata::parse_filter;
use synctable_core::query::{Query, field};
use synctable_core::store::{
    Access, Durability, LocalStore, LocalStoreExt, Plan, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{FieldType, Record, RecordId, Schema, TableName, TableSchema};
use synctable_kv::{Buffered, KvBackend, KvBatch, KvRead, KvStore, KvWrite};
use synctable_memory::MemoryBackend;
use synctable_testkit::{arb, compare_query, for_all};

fn table() -> TableName {
    TableName::new("t").unwrap()
}

fn declared(schema: &TableSchema) -> Schema {
    Schema::new().with_table(table(), schema.clone())
}

/// The same declaration without indexes.
fn bare(schema: &TableSchema) -> TableSchema {
    let mut bare = schema.clone();
    bare.indexes.clear();
    bare
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<Record>),
    Delete(usize),
    Clear(Vec<Record>),
    Reopen,
}

type Case = (TableSchema, Vec<Step>, Vec<Query>);

fn cases() -> BoxedStrategy<Case> {
    arb::schema()
        .prop_flat_map(|schema| {
            let records = || arb::records(&schema, 6);
            let step = prop_oneof![
                5 => records().prop_map(Step::Put),
                2 => (0..9_usize).prop_map(Step::Delete),
                1 => records().prop_map(Step::Clear),
                1 => Just(Step::Reopen),
            ];
            let queries = vec(arb::query(&schema), 1..6);
            (Just(schema.clone()), vec(step, 1..6), queries)
        })
        .boxed()
}

/// Does the steps on a store and on a plain map.
async fn run(
    backend: &MemoryBackend,
    mut store: KvStore<MemoryBackend>,
    steps: &[Step],
) -> (KvStore<MemoryBackend>, Vec<Record>) {
    let mut map: BTreeMap<RecordId, Record> = BTreeMap::new();
    for step in steps {
        let mut batch = WriteBatch::new();
        match step {
            Step::Put(records) => {
                for record in records {
                    batch = batch.put(&table(), record.clone());
                    map.insert(record.id().clone(), record.clone());
                }
            }
            Step::Delete(place) => {
                if let Some(id) = map.keys().nth(*place).cloned() {
                    batch = batch.delete(&table(), &id);
                    map.remove(&id);
                }
            }
            Step::Clear(records) => {
                // What is written before the clear goes with it, what comes behind stays.
                for record in records {
                    batch = batch.put(&table(), record.clone());
                }
                batch = batch.clear(&table());
                map.clear();
                for record in records.iter().skip(1) {
                    batch = batch.put(&table(), record.clone());
                    map.insert(record.id().clone(), record.clone());
                }
            }
            Step::Reopen => store = KvStore::open(backend.clone()).unwrap(),
        }
        store.commit(batch).await.unwrap();
    }
    (store, map.into_values().collect())
}

/// Whatever is written, queries answer as if there were no index.
#[test]
fn indexes_never_change_an_answer() {
    synctable_testkit::run(for_all(
        600,
        cases(),
        async |(schema, steps, queries): Case| {
            let backend = MemoryBackend::new();
            let store = KvStore::open(backend.clone()).unwrap();
            store.define(&declared(&schema)).await.unwrap();
            let (store, records) = run(&backend, store, &steps).await;
            for query in &queries {
                compare_query(&store, &table(), &schema, &records, query).await?;
            }
            Ok(())
        },
    ));
}

/// Indexes that are declared later are built for the records that are there.
#[test]
fn built_indexes_never_change_an_answer() {
    synctable_testkit::run(for_all(
        300,
        cases(),
        async |(schema, steps, queries): Case| {
            let backend = MemoryBackend::new();
            let store = KvStore::open(backend.clone()).unwrap();
            store.define(&declared(&bare(&schema))).await.unwrap();
            let (store, records) = run(&backend, store, &steps).await;
            store.define(&declared(&schema)).await.unwrap();
            for query in &queries {
                compare_query(&store, &table(), &schema, &records, query).await?;
            }
            Ok(())
        },
    ));
}

/// An engine that stops taking writes after some.
#[derive(Debug, Clone)]
struct Stopping {
    engine: MemoryBackend,
    left: Arc<AtomicUsize>,
    turn: Arc<Mutex<()>>,
}

impl KvBackend for Stopping {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.engine.snapshot()
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        Buffered::begin(
            &self.turn,
            durability,
            || self.snapshot(),
            |batch| self.write(batch),
        )
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }
}

impl Stopping {
    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(StoreError::new(StoreErrorKind::Io, "the engine stops"));
        }
        self.left.store(left - 1, Ordering::SeqCst);
        batch.write_to(&self.engine)
    }
}

fn movies() -> TableSchema {
    TableSchema::new()
        .with_field("year", FieldType::Integer)
        .with_field("title", FieldType::String)
        .with_index(["year", "title"])
}

fn movie(n: usize) -> Record {
    let (year, title) = (1900 + n % 100, n % 7);
    Record::from_json(&format!(
        r#"{{"id":"m{n:04}","year":{year},"title":"t{title}"}}"#
    ))
    .unwrap()
}

const MOVIES: usize = 1_300;

#[test]
fn a_build_that_stops_at_any_write_goes_on() {
    synctable_testkit::run(async {
        let query = Query::all()
            .filter(field("year").eq(1950))
            .order_by("title")
            .page(5);
        for stop in 0.. {
            let engine = MemoryBackend::new();
            let store = KvStore::open(engine.clone()).unwrap();
            store.define(&declared(&bare(&movies()))).await.unwrap();
            let mut records: Vec<Record> = (0..MOVIES).map(movie).collect();
            let batch = records.iter().fold(WriteBatch::new(), |batch, record| {
                batch.put(&table(), record.clone())
            });
            store.commit(batch).await.unwrap();
            drop(store);
            let left = Arc::new(AtomicUsize::new(stop));
            let stopping = Stopping {
                engine: engine.clone(),
                left,
                turn: Arc::default(),
            };
            let built = KvStore::open(stopping)
                .unwrap()
                .define(&declared(&movies()))
                .await;
            // Meanwhile records change on both sides of where it stopped.
            let store = KvStore::open(engine.clone()).unwrap();
            let changed = Record::from_json(r#"{"id":"m0000","year":1950,"title":"t3"}"#).unwrap();
            let batch = WriteBatch::new()
                .put(&table(), changed.clone())
                .delete(&table(), records[1_299].id());
            store.commit(batch).await.unwrap();
            records[0] = changed;
            records.pop();
            compare_query(&store, &table(), &movies(), &records, &query)
                .await
                .unwrap();
            store.define(&Schema::new()).await.unwrap();
            compare_query(&store, &table(), &movies(), &records, &query)
                .await
                .unwrap();
            if stop > 0 {
                let access = Access::Index {
                    fields: vec!["year".into(), "title".into()],
                    equal: 1,
                    range: false,
                };
                assert_eq!(
                    store.explain(&table(), &query).await.unwrap(),
                    Plan::new(access, true),
                    "{stop}"
                );
            }
            if built.is_ok() {
                assert!(stop >= 4, "{stop} writes");
                break;
            }
        }
    });
}

#[test]
fn a_query_says_which_index_it_uses() {
    synctable_testkit::run(async {
        let store = KvStore::empty(MemoryBackend::new());
        store.define(&declared(&movies())).await.unwrap();
        let index = |equal, range| Access::Index {
            fields: vec!["year".into(), "title".into()],
            equal,
            range,
        };
        for (query, plan) in [
            (Query::all(), Plan::new(Access::Scan, true)),
            (
                Query::all().order_by("title"),
                Plan::new(Access::Scan, false),
            ),
            (
                Query::all().filter(field("id").eq("a")),
                Plan::new(Access::Ids, true),
            ),
            (
                Query::all().order_by("year").order_by("title"),
                Plan::new(index(0, false), true),
            ),
            (
                Query::all().order_by_desc("year").order_by_desc("title"),
                Plan::new(index(0, false), true),
            ),
            (
                Query::all().filter(field("year").eq(1950)),
                Plan::new(index(1, false), false),
            ),
            (
                Query::all()
                    .filter(field("year").eq(1950))
                    .order_by_desc("title"),
                Plan::new(index(1, false), true),
            ),
            (
                Query::all().filter(field("year").eq(1950).and(field("title").eq("x"))),
                Plan::new(index(2, false), true),
            ),
            (
                Query::all().filter(field("year").ge(1950).and(field("year").lt(1960))),
                Plan::new(index(0, true), false),
            ),
            (
                Query::all().filter(field("year").eq(1950).or(field("title").eq("x"))),
                Plan::new(Access::Scan, true),
            ),
            (
                Query::all().filter(field("year").is_in([1950, 1940])),
                Plan::new(index(0, true), false),
            ),
            (
                Query::all()
                    .filter(field("year").eq(1950).or(field("year").eq(1940)))
                    .order_by("year")
                    .order_by("title"),
                Plan::new(index(0, true), true),
            ),
            (
                Query::all().filter(field("year").eq(1950).and(field("title").is_in(["x", "y"]))),
                Plan::new(index(1, true), false),
            ),
        ] {
            assert_eq!(
                store.explain(&table(), &query).await.unwrap(),
                plan,
                "{query:?}"
            );
        }
    });
}

/// Texts that are longer than an index takes keep their order and their equality.
#[test]
fn long_texts_are_answered_right() {
    synctable_testkit::run(async {
        let schema = TableSchema::new()
            .with_field("text", FieldType::String)
            .with_index(["text"]);
        let store = KvStore::empty(MemoryBackend::new());
        store.define(&declared(&schema)).await.unwrap();
        let start = "a".repeat(600);
        let records: Vec<Record> = ["c", "", "b", "ab", "b"]
            .iter()
            .enumerate()
            .map(|(n, end)| {
                Record::from_json(&format!(r#"{{"id":"{n}","text":"{start}{end}"}}"#)).unwrap()
            })
            .collect();
        let batch = records.iter().fold(WriteBatch::new(), |batch, record| {
            batch.put(&table(), record.clone())
        });
        store.commit(batch).await.unwrap();
        for page in [1, 2, 9] {
            for query in [
                Query::all().order_by("text").page(page),
                Query::all().order_by_desc("text").page(page),
                Query::all()
                    .filter(field("text").eq(format!("{start}b")))
                    .page(page),
                Query::all()
                    .filter(field("text").gt(format!("{start}ab")))
                    .page(page),
                Query::all()
                    .filter(field("text").le(start.as_str()))
                    .page(page),
            ] {
                compare_query(&store, &table(), &schema, &records, &query)
                    .await
                    .unwrap();
            }
        }
        assert_eq!(
            store.query_all(&table(), &Query::all()).await.unwrap(),
            records
        );
    });
}

/// Every bound at its edges, in every order, page by page.
#[test]
fn ranges_are_answered_right() {
    synctable_testkit::run(async {
        let store = KvStore::empty(MemoryBackend::new());
        store.define(&declared(&movies())).await.unwrap();
        let records: Vec<Record> = (0..230).map(movie).collect();
        let batch = records.iter().fold(WriteBatch::new(), |batch, record| {
            batch.put(&table(), record.clone())
        });
        store.commit(batch).await.unwrap();
        let year = || field("year");
        for bound in [1_899, 1_900, 1_950, 1_999, 2_000] {
            for filter in [
                year().lt(bound),
                year().le(bound),
                year().gt(bound),
                year().ge(bound),
                year().ge(bound).and(year().le(bound + 3)),
                year().gt(bound).and(year().lt(bound + 3)),
                year().eq(bound).and(field("title").ge("t3")),
                year().eq(bound).and(field("title").lt("t3")),
            ] {
                let plain = Query::all().filter(filter).page(7);
                for query in [
                    plain.clone(),
                    plain.clone().order_by("year").order_by("title"),
                    plain.clone().order_by_desc("year").order_by_desc("title"),
                    plain.clone().order_by("title"),
                    plain.order_by_desc("title").skip(2).top(9),
                ] {
                    compare_query(&store, &table(), &movies(), &records, &query)
                        .await
                        .unwrap();
                }
            }
        }
    });
}

/// Times, dates and words are ranges of an index, too, and so is a text that does not fit among them.
#[test]
fn times_and_words_are_looked_up() {
    synctable_testkit::run(async {
        let words = ["low", "high"].map(str::to_owned).to_vec();
        let schema = TableSchema::new()
            .with_field("due", FieldType::DateTime)
            .with_field("day", FieldType::Date)
            .with_field("rank", FieldType::Enum(words))
            .with_index(["due"])
            .with_index(["day"])
            .with_index(["rank"]);
        let store = KvStore::open(MemoryBackend::new()).unwrap();
        store.define(&declared(&schema)).await.unwrap();
        let mut batch = WriteBatch::new();
        for (id, due, day, rank) in [
            ("a", "2026-01-01T10:00:00Z", "2026-01-01", "high"),
            ("b", "2026-02-01T12:00:00+02:00", "2026-02-01", "low"),
            // A store takes what it is given: the engine checks what applications write.
            ("c", "2026-03-01", "some day", "none"),
            ("d", "never", "2026-04-01", "low"),
        ] {
            let row = format!(r#"{{"id":"{id}","due":"{due}","day":"{day}","rank":"{rank}"}}"#);
            batch = batch.put(&table(), Record::from_json(&row).unwrap());
        }
        store.commit(batch).await.unwrap();
        for (filter, ids) in [
            (
                "due ge cast(2026-01-15T00:00:00Z,Edm.DateTimeOffset)",
                "b c",
            ),
            ("due eq cast(2026-02-01T10:00:00Z,Edm.DateTimeOffset)", "b"),
            ("due eq cast(2026-03-01,Edm.Date)", "c"),
            ("due lt cast(2026-01-15,Edm.Date)", "a"),
            ("day le cast(2026-02-01,Edm.Date)", "a b"),
            (
                "day in (cast(2026-02-01,Edm.Date),cast(2026-04-01,Edm.Date))",
                "b d",
            ),
            ("rank gt 'low'", "a c"),
            ("rank eq 'low'", "b d"),
            ("rank eq null", ""),
        ] {
            let query = Query::all().filter(parse_filter(filter).unwrap());
            let plan = store.explain(&table(), &query).await.unwrap();
            assert!(
                matches!(plan.access, Access::Index { .. }),
                "{filter}: {plan:?}"
            );
            let page = store.query(&table(), &query).await.unwrap();
            let found: Vec<_> = page.records.iter().map(|row| row.id().as_str()).collect();
            assert_eq!(found.join(" "), ids, "{filter}");
        }
    });
}
