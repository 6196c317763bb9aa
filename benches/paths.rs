//! Criterion benches of the everyday paths, for comparing one version of this code with another: `cargo bench --bench paths`.
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

use cases::data::{items, table};
use cases::ours::{Pages, device_of};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::Value;
use synctable::query::{Query, RemoteQuery, field};
use synctable::{Record, RecordId};
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn reads(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (dir, items) = (TempDir::new().unwrap(), items(20_000));
    let sync = runtime.block_on(device_of(
        &dir.path().join("bench.db"),
        &["category"],
        Pages::ready(&items),
    ));
    runtime.block_on(async {
        sync.table::<Record>("items")
            .unwrap()
            .pull(Query::all(), "all")
            .await
            .unwrap()
    });
    let (store, name) = (std::sync::Arc::clone(sync.store()), table());
    let mut ids = items
        .iter()
        .map(|item| RecordId::new(&item.id).unwrap())
        .cycle();
    criterion.bench_function("point get", |bench| {
        bench.iter(|| {
            runtime
                .block_on(store.get(&name, &[ids.next().unwrap()]))
                .unwrap()
        });
    });
    let query = Query::all()
        .filter(field("category").eq("category-007"))
        .page(100);
    criterion.bench_function("indexed query", |bench| {
        bench.iter(|| runtime.block_on(store.query(&name, &query)).unwrap());
    });
    let query = Query::all().filter(field("tag").eq("t7"));
    criterion.bench_function("scan of 20,000", |bench| {
        bench.iter(|| runtime.block_on(store.count(&name, &query)).unwrap());
    });
}

fn writes(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let dir = TempDir::new().unwrap();
    let sync = runtime.block_on(device_of(
        &dir.path().join("bench.db"),
        &[],
        Pages::ready(&[]),
    ));
    let todos = sync.table::<Value>("todo").unwrap();
    let todo = serde_json::json!({"text": "Milk", "complete": false});
    criterion.bench_function("insert with its operation, durable", |bench| {
        bench.iter(|| runtime.block_on(todos.insert(&todo).into_future()).unwrap());
    });
}

fn texts(criterion: &mut Criterion) {
    let text = items(1)[0].server_json();
    criterion.bench_function("record from text", |bench| {
        bench.iter(|| Record::from_json(&text).unwrap());
    });
    let filter = "$filter=((complete eq false) and (priority ge 2))&$orderby=priority desc&$top=10";
    criterion.bench_function("query from text", |bench| {
        bench.iter(|| RemoteQuery::from_odata(filter).unwrap());
    });
}

criterion_group!(benches, texts, reads, writes);
criterion_main!(benches);
