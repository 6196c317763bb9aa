//! What a device does alone, in this process, against raw rusqlite: the same columns, indexes and durability by hand.

use std::sync::Arc;

use serde_json::Value;
use synctable::query::{Query, field};
use synctable::store::Durability;
use synctable::sync::SyncContext;
use synctable::{Record, RecordId};
use tempfile::TempDir;

use crate::data::{Item, items, table};
use crate::harness::{Bench, FSYNC, Job, NO_FSYNC, READS, database, in_turn, timed};
use crate::line::Goal;
use crate::ours::{Pages, device, device_of};
use crate::raw::Raw;
use crate::stats::Sample;

const RAW: &str = "rusqlite";
const INDEXES: [&str; 2] = ["category", "quantity"];

pub const JOBS: &[Job] = &[
    Job {
        name: "insert_one_caller",
        about: "a record and its operation in one commit, awaited one by one, against one row in one commit",
        run: |bench| inserts(bench, 1, [0.9, 0.75]),
        causes: &[(
            "",
            "two rows for one (the operation is a page more to log), and the planning of a change",
        )],
    },
    Job {
        name: "insert_64_tasks",
        about: "the same by 64 tasks at once, against one row in one commit, one by one",
        run: |bench| inserts(bench, 64, [10.0, 3.0]),
        causes: &[(
            "",
            "planning and waking take the processors that the commits leave; without fsync there is little to share",
        )],
    },
    Job {
        name: "point_get",
        about: "a record by id as JSON, against all columns of a row",
        run: point_get,
        causes: &[("", "the JSON text is printed from columns")],
    },
    Job {
        name: "indexed_query_100",
        about: "100 records by an index, against the same rows by SQL",
        run: indexed_query,
        causes: &[("", "the JSON text is printed from columns")],
    },
    Job {
        name: "scan",
        about: "a count by a field without an index, against JSON texts in SQLite",
        run: scan,
        causes: &[],
    },
    Job {
        name: "pull_rows_new",
        about: "a pull from pages in memory into an empty table, JSON parsed, against upserts of ready values",
        run: pull_new,
        causes: &[("", "parsing")],
    },
    Job {
        name: "pull_rows_held",
        about: "the same of rows that the table has already",
        run: pull_held,
        causes: &[("", "whole rows are read and compared, not versions alone")],
    },
];

/// Lines for ours and the limit, from seconds for `units`.
fn compare(
    bench: &mut Bench,
    subject: &str,
    units: usize,
    [ours, raw]: [Sample; 2],
    durability: &str,
    goal: f64,
) {
    let size = units as u64;
    let micros = |seconds: f64| seconds * 1e6 / units as f64;
    let unit = "µs";
    bench.line(RAW, size, raw.map(micros), unit, durability);
    let line = bench.line(subject, size, ours.map(micros), unit, durability);
    line.ratio = Some((raw.median / ours.median, RAW.into()));
    line.goal = Some(Goal::RatioAtLeast(goal));
}

fn inserts(bench: &mut Bench, tasks: usize, goals: [f64; 2]) {
    let count = (bench.records / if tasks == 1 { 50 } else { 16 }).max(64);
    let items = items(count / 64 * 64);
    let texts: Vec<Value> = items
        .iter()
        .map(|item| serde_json::from_str(&item.local_json()).unwrap())
        .collect();
    let kinds = [
        (Durability::Immediate, "FULL", FSYNC),
        (Durability::Eventual, "NORMAL", NO_FSYNC),
    ];
    for ((durability, synchronous, said), goal) in kinds.into_iter().zip(goals) {
        let samples = in_turn(
            bench.rounds,
            [
                &mut || {
                    let folder = bench.fresh();
                    let path = database(&folder);
                    let opened = device(&path, &INDEXES, durability);
                    let sync = bench.runtime.block_on(opened);
                    let shares = texts.chunks(texts.len() / tasks).map(<[Value]>::to_vec);
                    let shares: Vec<_> = shares.collect();
                    timed(|| bench.runtime.block_on(insert_all(&sync, shares))).0
                },
                &mut || {
                    let folder = bench.fresh();
                    let raw = Raw::open(&database(&folder), synchronous, &INDEXES);
                    timed(|| raw.insert_each(&items)).0
                },
            ],
        );
        let subject = format!("synctable, {synchronous}");
        compare(bench, &subject, items.len(), samples, said, goal);
    }
}

/// Each share by a task; a single one by the caller.
async fn insert_all(sync: &SyncContext, shares: Vec<Vec<Value>>) {
    let insert = |share: Vec<Value>| {
        let table = sync.table::<Value>("items").unwrap();
        async move {
            for text in &share {
                table.insert(text).await.unwrap();
            }
        }
    };
    if let [_] = shares.as_slice() {
        for share in shares {
            insert(share).await;
        }
        return;
    }
    let tasks = shares.into_iter().map(|share| tokio::spawn(insert(share)));
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// A filled device and a filled raw database.
fn filled(bench: &Bench, folder: &TempDir, items: &[Item]) -> (SyncContext, Raw) {
    let path = database(folder);
    let opened = device_of(&path, &INDEXES, Pages::ready(items));
    let sync = bench.runtime.block_on(opened);
    pull(bench, &sync, "all");
    let raw = Raw::open(&folder.path().join("raw.db"), "NORMAL", &INDEXES);
    raw.upsert_all(items);
    (sync, raw)
}

/// Pulls all, and gives how many rows were here already.
fn pull(bench: &Bench, sync: &SyncContext, name: &str) -> u64 {
    let table = sync.table::<Record>("items").unwrap();
    let pull = async { table.pull(Query::all(), name).page(1000).await };
    bench.runtime.block_on(pull).unwrap().unchanged
}

fn point_get(bench: &mut Bench) {
    let (folder, items) = (bench.fresh(), items(bench.records));
    let (sync, raw) = filled(bench, &folder, &items);
    let store = Arc::clone(sync.store());
    let ids: Vec<RecordId> = items
        .iter()
        .step_by(7)
        .take(10_000)
        .map(|item| RecordId::new(&item.id).unwrap())
        .collect();
    let name = table();
    let samples = in_turn(
        bench.rounds,
        [
            &mut || {
                let work = async {
                    for id in &ids {
                        let found = store.get(&name, std::slice::from_ref(id)).await.unwrap();
                        assert!(found[0].is_some());
                    }
                };
                timed(|| bench.runtime.block_on(work)).0
            },
            &mut || timed(|| ids.iter().for_each(|id| assert!(raw.get(id.as_str()) > 0))).0,
        ],
    );
    compare(bench, "synctable", ids.len(), samples, READS, 0.95);
}

fn indexed_query(bench: &mut Bench) {
    // Of 100,000 records each category has a hundred.
    let (folder, items) = (bench.fresh(), items(bench.records));
    let (sync, raw) = filled(bench, &folder, &items);
    let store = Arc::clone(sync.store());
    let categories: Vec<&str> = items
        .iter()
        .take(1000)
        .map(|item| item.category.as_str())
        .collect();
    let name = table();
    let samples = in_turn(
        bench.rounds,
        [
            &mut || {
                let work = async {
                    for category in &categories {
                        let query = Query::all().filter(field("category").eq(*category));
                        let found = store.query(&name, &query.page(100)).await.unwrap();
                        assert!(!found.records.is_empty());
                    }
                };
                timed(|| bench.runtime.block_on(work)).0
            },
            &mut || {
                let work = || {
                    for category in &categories {
                        assert!(raw.by_category(category) > 0);
                    }
                };
                timed(work).0
            },
        ],
    );
    compare(bench, "synctable", categories.len(), samples, READS, 1.0);
}

fn scan(bench: &mut Bench) {
    let (folder, items) = (bench.fresh(), items(bench.records));
    let (sync, raw) = filled(bench, &folder, &items);
    raw.store_documents(&items);
    let store = Arc::clone(sync.store());
    let tags: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    let name = table();
    let samples = in_turn(
        bench.rounds,
        [
            &mut || {
                let work = async {
                    for tag in &tags {
                        let query = Query::all().filter(field("tag").eq(tag));
                        assert!(store.count(&name, &query).await.unwrap() > 0);
                    }
                };
                timed(|| bench.runtime.block_on(work)).0
            },
            &mut || {
                let count = |tag: &String| assert!(raw.count_documents_by_tag(tag) > 0);
                timed(|| tags.iter().for_each(count)).0
            },
        ],
    );
    compare(bench, "synctable", tags.len(), samples, READS, 5.0);
}

fn pull_new(bench: &mut Bench) {
    let items = items(bench.records);
    let samples = in_turn(
        bench.rounds,
        [
            &mut || {
                let folder = bench.fresh();
                let path = database(&folder);
                let opened = device_of(&path, &INDEXES, Pages::ready(&items));
                let sync = bench.runtime.block_on(opened);
                timed(|| pull(bench, &sync, "all")).0
            },
            &mut || {
                let folder = bench.fresh();
                let raw = Raw::open(&database(&folder), "NORMAL", &INDEXES);
                timed(|| raw.upsert_all(&items)).0
            },
        ],
    );
    compare(bench, "synctable", items.len(), samples, NO_FSYNC, 0.85);
}

fn pull_held(bench: &mut Bench) {
    let (folder, items) = (bench.fresh(), items(bench.records));
    let (sync, raw) = filled(bench, &folder, &items);
    let mut round = 0;
    let samples = in_turn(
        bench.rounds,
        [
            &mut || {
                round += 1;
                // Another name starts from the beginning.
                let (seconds, held) = timed(|| pull(bench, &sync, &format!("again-{round}")));
                assert_eq!(held, items.len() as u64);
                seconds
            },
            &mut || timed(|| raw.upsert_all(&items)).0,
        ],
    );
    compare(bench, "synctable", items.len(), samples, NO_FSYNC, 4.0);
}
