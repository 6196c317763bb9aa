//! What a unit of work takes, counted and not timed: for `valgrind --tool=callgrind`, whose total this program's arguments make comparable.
//!
//! `counted insert N`, `counted pull N`, `counted query N` make a device over a new SQLite store and do so many units; a line says how many frames went to the
//! write-ahead log for one. The instructions of a unit are those of `2N` less those of `N`, divided by `N`, which leaves out the rest:
//!
//! ```sh
//! cargo bench --no-run --bench counted
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/deps/counted-* insert 350
//! ```
//!
//! Frames are told by the length of the log, which grows no more once the log has begun anew. They are right for `insert 700` or less.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, and its parts are for nobody else"
)]

mod cases;

use std::path::Path;

use cases::data::{Item, items};
use cases::ours::{Pages, device, device_of};
use synctable::query::{Query, field};
use synctable::store::Durability;
use synctable::{Draft, Record};

const USAGE: &str = "counted insert|pull|query N";

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    // `cargo bench` alone: there is nothing to compare with.
    let [verb, count] = words.as_slice() else {
        return println!("{USAGE}");
    };
    let count: u64 = count.parse().expect(USAGE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.db");
    let frames = runtime.block_on(async {
        match verb.as_str() {
            "insert" => insert(&path, count).await,
            "pull" => pull(&path, count).await,
            "query" => query(&path, count).await,
            _ => panic!("{USAGE}"),
        }
    });
    let thousandths = frames * 1000 / count.max(1);
    println!("{verb} {count}: {thousandths} thousandths of a frame each");
}

/// How many pages the write-ahead log of a store holds.
fn frames(path: &Path) -> u64 {
    let log = path.with_extension("db-wal");
    let length = std::fs::metadata(log).map_or(0, |log| log.len());
    length.saturating_sub(32) / (4096 + 24)
}

fn body(item: &Item) -> Record {
    let text = format!(r#"{{"id":"{}",{}}}"#, item.id, item.members());
    Draft::from_json(&text).unwrap().or_id(|| unreachable!())
}

async fn insert(path: &Path, count: u64) -> u64 {
    let rows: Vec<Record> = items(count).iter().map(body).collect();
    let sync = device(path, &["category"], Durability::Eventual).await;
    let table = sync.table::<Record>("items").unwrap();
    let before = frames(path);
    for row in &rows {
        table.insert(row).await.unwrap();
    }
    frames(path) - before
}

/// `count` rows, of which each page has a thousand.
async fn pull(path: &Path, count: u64) -> u64 {
    let pages = Pages::ready(&items(count));
    let sync = device_of(path, &["category"], pages).await;
    let table = sync.table::<Record>("items").unwrap();
    let before = frames(path);
    let report = table.pull(Query::all(), "all").await.unwrap();
    assert_eq!(report.added, count);
    frames(path) - before
}

/// `count` queries by an index over a thousand rows.
async fn query(path: &Path, count: u64) -> u64 {
    let pages = Pages::ready(&items(1000));
    let sync = device_of(path, &["category"], pages).await;
    let table = sync.table::<Record>("items").unwrap();
    table.pull(Query::all(), "all").await.unwrap();
    let before = frames(path);
    for number in 0..count {
        let wanted = format!("category-{:03}", number % 1000);
        let page = table
            .query()
            .filter(field("category").eq(wanted))
            .await
            .unwrap();
        assert!(page.records.len() < 100);
    }
    frames(path) - before
}
