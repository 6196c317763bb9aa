//! Store against store, in this process and through the engine: the same work over each that this crate comes with.

use std::path::Path;
use std::sync::Arc;

use synctable::encrypted::RawKey;
use synctable::query::{Query, field};
use synctable::sync::{Purge, SyncContext};
use synctable::{Record, RecordId, StoreKey, open_store};

use crate::data::{Item, items, schema, table};
use crate::harness::{Bench, FSYNC, Job, READS, timed};
use crate::line::Goal;
use crate::stats::Sample;

/// A store: its name, the front of its URL, and the one without encryption that it is compared with.
const STORES: [(&str, &str, &str); 6] = [
    ("SQLite", "sqlite", ""),
    ("memory", "memory", "SQLite"),
    ("redb", "redb", "SQLite"),
    ("sled", "sled", "SQLite"),
    ("sealed redb", "encrypted+redb", "redb"),
    ("sealed SQLite", "encrypted+sqlite", "SQLite"),
];

pub const JOBS: &[Job] = &[
    Job {
        name: "store_import",
        about: "records that are queued, 500 a transaction; a sealed store against the same one unsealed",
        run: |bench| all(bench, Work::Import),
        causes: &[
            (
                "sealed",
                "each entry is sealed alone, and held once more in the sums that show what was changed from outside",
            ),
            (
                "exponent",
                "the depth of a tree alone makes 1.09 at these sizes (n log n); the rest is not known yet",
            ),
        ],
    },
    Job {
        name: "store_get",
        about: "a record by id",
        run: |bench| all(bench, Work::Get),
        causes: &[],
    },
    Job {
        name: "store_query",
        about: "100 records by an indexed field; sealed stores have no such index and read all",
        run: |bench| all(bench, Work::Query),
        causes: &[],
    },
    Job {
        name: "store_purge",
        about: "a purge of the whole table that discards what is queued, in one commit",
        run: |bench| all(bench, Work::Purge),
        causes: &[
            (
                "sealed",
                "of each entry that goes its part of the sums is taken back",
            ),
            (
                "",
                "an entry each goes for record, index and operation, as the engine removes no ranges",
            ),
            (
                "exponent",
                "the depth of a tree alone makes 1.09 at these sizes (n log n); the rest is not known yet",
            ),
        ],
    },
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Work {
    Import,
    Get,
    Query,
    Purge,
}

fn all(bench: &mut Bench, work: Work) {
    let sizes = match work {
        Work::Import | Work::Purge => bench.sizes(bench.records).to_vec(),
        // One size says it.
        Work::Get | Work::Query => vec![bench.records / 4],
    };
    let mut costs = vec![Vec::new(); STORES.len()];
    for &size in &sizes {
        let items = items(size);
        // The largest one takes minutes if it is repeated.
        let rounds = if size == sizes[sizes.len() - 1] {
            1
        } else {
            bench.few()
        };
        let mut seconds = vec![Vec::new(); STORES.len()];
        for _ in 0..rounds {
            for (store, (_, url, _)) in STORES.iter().enumerate() {
                seconds[store].push(one(bench, work, url, &items));
            }
        }
        let samples: Vec<Sample> = seconds.iter().map(|seconds| Sample::of(seconds)).collect();
        for (store, (name, url, base)) in STORES.iter().enumerate() {
            costs[store].push((size, samples[store].median));
            let (unit, factor) = match work {
                Work::Import | Work::Purge => ("s", 1.0),
                Work::Get | Work::Query => ("µs", 1e6),
            };
            let durability = match (work, *url) {
                (Work::Get | Work::Query, _) => READS,
                (_, "memory") => "memory",
                _ => FSYNC,
            };
            let sample = samples[store].map(|seconds| seconds * factor);
            let line = bench.line(name, size, sample, unit, durability);
            let base = STORES.iter().position(|(name, _, _)| name == base);
            if let Some(base) = base {
                let ratio = samples[base].median / samples[store].median;
                line.ratio = Some((ratio, STORES[base].0.into()));
            }
            let sealed = url.starts_with("encrypted");
            line.goal = match work {
                Work::Import if sealed => Some(Goal::RatioAtLeast(short_of(1.5))),
                Work::Purge => Some(Goal::AtMost(2.0)),
                _ => None,
            };
        }
    }
    for (store, (name, _, _)) in STORES.iter().enumerate() {
        bench.growth(name, &costs[store], 1.1);
    }
}

/// The ratio of what takes so many times as long.
fn short_of(times: f64) -> f64 {
    (100.0 / times).round() / 100.0
}

/// Seconds for all, or for one read.
fn one(bench: &Bench, work: Work, url: &str, items: &[Item]) -> f64 {
    let folder = bench.fresh();
    let runtime = &bench.runtime;
    let sync = runtime.block_on(open(url, folder.path()));
    let (import, ()) = timed(|| runtime.block_on(import(&sync, items)));
    let store = Arc::clone(sync.store());
    let name = table();
    let seconds = match work {
        Work::Import => import,
        Work::Get => {
            let ids: Vec<_> = items.iter().step_by(7).take(2000).collect();
            let gets = async {
                for item in &ids {
                    let id = RecordId::new(&item.id).unwrap();
                    assert!(store.get(&name, &[id]).await.unwrap()[0].is_some());
                }
            };
            timed(|| runtime.block_on(gets)).0 / ids.len() as f64
        }
        Work::Query => {
            const QUERIES: usize = 20;
            let queries = async {
                for number in 0..QUERIES {
                    let query = Query::all().filter(field("tag").eq(format!("t{number}")));
                    let found = store.query(&name, &query.page(100)).await.unwrap();
                    assert!(!found.records.is_empty());
                }
            };
            timed(|| runtime.block_on(queries)).0 / QUERIES as f64
        }
        Work::Purge => {
            let table = sync.table::<Record>("items").unwrap();
            let purge = table.purge(Purge::all().discard_pending());
            let (seconds, report) = timed(|| runtime.block_on(purge));
            assert_eq!(report.unwrap().discarded, items.len() as u64);
            seconds
        }
    };
    runtime.block_on(sync.close()).unwrap();
    seconds
}

async fn open(url: &str, folder: &Path) -> SyncContext {
    let key = url
        .starts_with("encrypted")
        .then(|| RawKey::random().unwrap());
    let url = match url {
        "memory" => "memory:".into(),
        _ => format!("{url}:{}", folder.join("bench.store").display()),
    };
    let store = open_store(&url, key.map(StoreKey::Raw)).unwrap();
    let builder = SyncContext::builder(store).schema(schema(&["tag"]));
    builder.open().await.unwrap()
}

async fn import(sync: &SyncContext, items: &[Item]) {
    let table = sync.table::<Record>("items").unwrap();
    for chunk in items.chunks(500) {
        let mut transaction = sync.transaction();
        for item in chunk {
            let record = Record::from_json(&item.local_json()).unwrap();
            transaction.insert(&table, &record).unwrap();
        }
        transaction.commit().await.unwrap();
    }
}
