//! Measures our paths against raw rusqlite in the same run, alternating, and prints a JSON line a case.
//!
//! `cargo bench --bench ratios` runs all cases, `cargo bench --bench ratios -- pull` those whose name contains `pull`.
//! `ratio` says how many times as fast as the baseline ours is; times are medians in microseconds a unit.
//! `cargo bench --bench ratios -- memory N` pulls N records and prints the peak memory of the process instead.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, and its parts are for nobody else"
)]

mod cases;

use std::future::IntoFuture;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cases::data::{Item, items};
use cases::ours::{Pages, Source, device, device_of};
use cases::raw::Raw;
use serde_json::{Value, json};
use synctable::Record;
use synctable::http::HttpTransport;
use synctable::query::{Query, field};
use synctable::server::TableServer;
use synctable::store::{Durability, LocalStore};
use synctable::sync::SyncContext;
use synctable::{RecordId, SqliteStore, TableSchema};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ROUNDS: usize = 5;

/// Measures ours and the baseline.
type Case = fn(&Runtime) -> [Duration; 2];

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let runtime = Runtime::new().unwrap();
    if let [first, count] = words.as_slice()
        && first == "memory"
    {
        return memory(&runtime, count.parse().expect("a number of records"));
    }
    let wanted =
        |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let cases: [(&str, Case); 10] = [
        ("insert_one_caller_full", |runtime| {
            insert_one(runtime, Durability::Immediate, "FULL")
        }),
        ("insert_one_caller_normal", |runtime| {
            insert_one(runtime, Durability::Eventual, "NORMAL")
        }),
        ("insert_64_tasks_full", |runtime| {
            insert_many(runtime, Durability::Immediate, "FULL")
        }),
        ("insert_64_tasks_normal", |runtime| {
            insert_many(runtime, Durability::Eventual, "NORMAL")
        }),
        ("point_get", point_get),
        ("indexed_query_100", indexed_query),
        ("unindexed_scan_vs_json_text", scan),
        ("pull_100k_new", pull_new),
        ("pull_100k_held", pull_held),
        ("push_10k_vs_post", push),
    ];
    for (name, case) in cases.into_iter().filter(|(name, _)| wanted(name)) {
        let [ours, baseline] = case(&runtime);
        let micros = |time: Duration| (time.as_secs_f64() * 1e8).round() / 100.0;
        let ratio = (baseline.as_secs_f64() / ours.as_secs_f64() * 100.0).round() / 100.0;
        println!(
            "{}",
            json!({"name": name, "ours": micros(ours), "baseline": micros(baseline), "ratio": ratio})
        );
    }
}

/// Runs both sides in turn, the order reversed every other round, and takes the median time a unit of each.
fn alternate(
    units: usize,
    mut ours: impl FnMut() -> Duration,
    mut baseline: impl FnMut() -> Duration,
) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            times[0].push(ours());
            times[1].push(baseline());
        } else {
            times[1].push(baseline());
            times[0].push(ours());
        }
    }
    times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2] / u32::try_from(units).unwrap()
    })
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn fresh() -> TempDir {
    TempDir::new().unwrap()
}

fn path(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("bench.db")
}

fn insert_one(runtime: &Runtime, durability: Durability, synchronous: &str) -> [Duration; 2] {
    let items = items(2000);
    let texts: Vec<Value> = items
        .iter()
        .map(|item| serde_json::from_str(&item.local_json()).unwrap())
        .collect();
    alternate(
        items.len(),
        || {
            let dir = fresh();
            let sync = runtime.block_on(device(&path(&dir), &["category", "quantity"], durability));
            let table = sync.table::<Value>("items").unwrap();
            timed(|| {
                runtime.block_on(async {
                    for text in &texts {
                        table.insert(text).await.unwrap();
                    }
                });
            })
        },
        || {
            let dir = fresh();
            let raw = Raw::open(&path(&dir), synchronous, &["category", "quantity"]);
            timed(|| raw.insert_each(&items))
        },
    )
}

fn insert_many(runtime: &Runtime, durability: Durability, synchronous: &str) -> [Duration; 2] {
    let items = items(6400);
    let texts: Vec<Value> = items
        .iter()
        .map(|item| serde_json::from_str(&item.local_json()).unwrap())
        .collect();
    alternate(
        items.len(),
        || {
            let dir = fresh();
            let sync = runtime.block_on(device(&path(&dir), &["category", "quantity"], durability));
            let shares: Vec<Vec<Value>> = texts.chunks(100).map(<[Value]>::to_vec).collect();
            timed(|| {
                runtime.block_on(async {
                    let tasks: Vec<_> = shares
                        .into_iter()
                        .map(|share| {
                            let table = sync.table::<Value>("items").unwrap();
                            tokio::spawn(async move {
                                for text in &share {
                                    table.insert(text).await.unwrap();
                                }
                            })
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            })
        },
        || {
            let dir = fresh();
            let raw = Raw::open(&path(&dir), synchronous, &["category", "quantity"]);
            timed(|| raw.insert_each(&items))
        },
    )
}

/// A filled device and a filled raw database.
fn filled(runtime: &Runtime, dir: &TempDir, items: &[Item]) -> (SyncContext, Raw) {
    let sync = runtime.block_on(device_of(
        &path(dir),
        &["category", "quantity"],
        Pages::ready(items),
    ));
    runtime.block_on(pull(&sync));
    let raw = Raw::open(
        &dir.path().join("raw.db"),
        "NORMAL",
        &["category", "quantity"],
    );
    raw.upsert_all(items);
    raw.store_documents(items);
    (sync, raw)
}

async fn pull(sync: &SyncContext) {
    sync.table::<Record>("items")
        .unwrap()
        .pull(Query::all(), "all")
        .page(1000)
        .into_future()
        .await
        .unwrap();
}

fn point_get(runtime: &Runtime) -> [Duration; 2] {
    let (dir, items) = (fresh(), items(100_000));
    let (sync, raw) = filled(runtime, &dir, &items);
    let store = Arc::clone(sync.store());
    let name = cases::data::table();
    let ids: Vec<RecordId> = items
        .iter()
        .step_by(7)
        .take(10_000)
        .map(|item| RecordId::new(&item.id).unwrap())
        .collect();
    alternate(
        ids.len(),
        || {
            timed(|| {
                runtime.block_on(async {
                    for id in &ids {
                        assert!(
                            store.get(&name, std::slice::from_ref(id)).await.unwrap()[0].is_some()
                        );
                    }
                });
            })
        },
        || {
            timed(|| {
                for id in &ids {
                    assert!(raw.get(id.as_str()) > 0);
                }
            })
        },
    )
}

fn indexed_query(runtime: &Runtime) -> [Duration; 2] {
    let (dir, items) = (fresh(), items(100_000));
    let (sync, raw) = filled(runtime, &dir, &items);
    let store = Arc::clone(sync.store());
    let name = cases::data::table();
    let categories: Vec<String> = (0..1000).map(|n| format!("category-{n:03}")).collect();
    alternate(
        categories.len(),
        || {
            timed(|| {
                runtime.block_on(async {
                    for category in &categories {
                        let query = Query::all()
                            .filter(field("category").eq(category))
                            .page(100);
                        assert!(!store.query(&name, &query).await.unwrap().records.is_empty());
                    }
                });
            })
        },
        || {
            timed(|| {
                for category in &categories {
                    assert!(raw.by_category(category) > 0);
                }
            })
        },
    )
}

fn scan(runtime: &Runtime) -> [Duration; 2] {
    let (dir, items) = (fresh(), items(100_000));
    let (sync, raw) = filled(runtime, &dir, &items);
    let store = Arc::clone(sync.store());
    let name = cases::data::table();
    alternate(
        10,
        || {
            timed(|| {
                runtime.block_on(async {
                    for n in 0..10 {
                        let query = Query::all().filter(field("tag").eq(format!("t{n}")));
                        assert!(store.count(&name, &query).await.unwrap() > 0);
                    }
                });
            })
        },
        || {
            timed(|| {
                for n in 0..10 {
                    assert!(raw.count_documents_by_tag(&format!("t{n}")) > 0);
                }
            })
        },
    )
}

fn pull_new(runtime: &Runtime) -> [Duration; 2] {
    let items = items(100_000);
    let indexes = ["category", "quantity"];
    alternate(
        items.len(),
        || {
            let dir = fresh();
            let sync = runtime.block_on(device_of(&path(&dir), &indexes, Pages::ready(&items)));
            timed(|| runtime.block_on(pull(&sync)))
        },
        || {
            let dir = fresh();
            let raw = Raw::open(&path(&dir), "NORMAL", &indexes);
            timed(|| raw.upsert_all(&items))
        },
    )
}

fn pull_held(runtime: &Runtime) -> [Duration; 2] {
    let (dir, items) = (fresh(), items(100_000));
    let (sync, raw) = filled(runtime, &dir, &items);
    let mut round = 0;
    alternate(
        items.len(),
        || {
            round += 1;
            // Another name starts from the beginning.
            let name = format!("again-{round}");
            let pull = sync
                .table::<Record>("items")
                .unwrap()
                .pull(Query::all(), &name)
                .page(1000);
            timed(|| {
                let report = runtime.block_on(pull.into_future()).unwrap();
                assert_eq!(report.unchanged, 100_000);
            })
        },
        || timed(|| raw.upsert_all(&items)),
    )
}

fn push(runtime: &Runtime) -> [Duration; 2] {
    const COUNT: u64 = 10_000;
    let items = items(COUNT);
    let serve = |dir: &Path| {
        let store: Arc<dyn LocalStore> =
            Arc::new(SqliteStore::open(dir.join("server.db")).unwrap());
        runtime.block_on(async {
            let server = TableServer::builder(store)
                .table(cases::data::table(), TableSchema::new())
                .build()
                .await
                .unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            (
                url,
                tokio::spawn(
                    async move { server.serve(listener, std::future::pending::<()>()).await },
                ),
            )
        })
    };
    alternate(
        items.len(),
        || {
            let dir = fresh();
            let (url, server) = serve(dir.path());
            let sync = runtime.block_on(async {
                let store: Arc<dyn LocalStore> = Arc::new(SqliteStore::open(path(&dir)).unwrap());
                let http = HttpTransport::builder(&url).build().unwrap();
                let sync = SyncContext::builder(store)
                    .transport(http)
                    .open()
                    .await
                    .unwrap();
                let table = sync.table::<Record>("items").unwrap();
                for chunk in items.chunks(1000) {
                    let mut transaction = sync.transaction();
                    for item in chunk {
                        transaction
                            .insert(&table, &Record::from_json(&item.local_json()).unwrap())
                            .unwrap();
                    }
                    transaction.commit().await.unwrap();
                }
                sync
            });
            let time = timed(|| {
                let report = runtime
                    .block_on(sync.push().parallel(8).into_future())
                    .unwrap();
                assert_eq!(report.pushed, COUNT);
            });
            server.abort();
            time
        },
        || {
            let dir = fresh();
            let (url, server) = serve(dir.path());
            let time = runtime.block_on(post_all(&url, &items));
            server.abort();
            time
        },
    )
}

/// The same records posted one after the other over one connection, by the transport alone.
async fn post_all(url: &str, items: &[Item]) -> Duration {
    use synctable::transport::{Change, ChangeKind, Outcome, Transport};
    let http = HttpTransport::builder(url).build().unwrap();
    let table = cases::data::table();
    let start = Instant::now();
    for item in items {
        let record = Record::from_json(&item.local_json()).unwrap();
        let change = Change::new(ChangeKind::Insert, record.id().clone()).with_record(record);
        assert!(matches!(
            http.apply(&table, &change).await.unwrap(),
            Outcome::Applied(Some(_))
        ));
    }
    start.elapsed()
}

fn memory(runtime: &Runtime, count: u64) {
    let dir = fresh();
    let sync = runtime.block_on(device_of(
        &path(&dir),
        &["category"],
        Pages(Source::Made(count)),
    ));
    let idle = peak_kib();
    runtime.block_on(pull(&sync));
    println!(
        "{}",
        json!({"name": "memory_of_pull", "records": count, "idleKiB": idle, "peakKiB": peak_kib()})
    );
}

/// The largest resident size of this process so far.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
