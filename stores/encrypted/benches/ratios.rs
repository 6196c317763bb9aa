//! What sealing costs: a sealed store against a plain one over the same engine, alternating in one run.
//!
//! `cargo bench -p synctable-encrypted` prints a JSON line a case: medians in microseconds, and how many times as long the sealed one takes.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]

use std::hint::black_box;
use std::time::Instant;

use synctable_core::store::{Durability, LocalStore, LocalStoreExt, WriteBatch};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use synctable_encrypted::{RawKey, Sealed};
use synctable_kv::{KvBackend, KvStore};
use synctable_redb::RedbStore;

const RECORDS: usize = 20_000;
const ROUNDS: usize = 9;
const GETS: usize = 5_000;

fn key() -> RawKey {
    RawKey::from_bytes([7; 32])
}

fn record(n: usize) -> Record {
    let text = "x".repeat(250);
    Record::from_json(&format!(
        r#"{{"id":"record-{n:08}","n":{n},"text":"{text}"}}"#
    ))
    .unwrap()
}

async fn filled<B: KvBackend>(engine: B) -> (KvStore<B>, TableName) {
    let store = KvStore::open(engine).unwrap();
    let table = TableName::new("t").unwrap();
    let schema = Schema::new().with_table(table.clone(), TableSchema::new());
    store.define(&schema).await.unwrap();
    for start in (0..RECORDS).step_by(1_000) {
        let batch = WriteBatch::new().durability(Durability::Eventual);
        let batch = (start..start + 1_000).fold(batch, |batch, n| batch.put(&table, record(n)));
        store.commit(batch).await.unwrap();
    }
    (store, table)
}

/// Microseconds a call.
async fn gets<B: KvBackend>(store: &KvStore<B>, table: &TableName, ids: &[RecordId]) -> f64 {
    let begun = Instant::now();
    for id in ids {
        black_box(store.get_one(table, id).await.unwrap().unwrap());
    }
    begun.elapsed().as_secs_f64() * 1e6 / ids.len() as f64
}

/// Microseconds a durable commit of one record.
async fn puts<B: KvBackend>(store: &KvStore<B>, table: &TableName) -> f64 {
    let begun = Instant::now();
    for n in 0..50 {
        store
            .commit(WriteBatch::new().put(table, record(n * 17)))
            .await
            .unwrap();
    }
    begun.elapsed().as_secs_f64() * 1e6 / 50.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let engine = |name: &str| {
        RedbStore::builder(folder.path().join(name))
            .cache(64 << 20)
            .backend()
            .unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (plain, table) = filled(engine("plain")).await;
        let (sealed, _) = filled(Sealed::builder(engine("sealed")).raw_key(key()).create(true).open().unwrap()).await;
        let ids: Vec<RecordId> = (0..GETS)
            .map(|n| record(n * 7919 % RECORDS).id().clone())
            .collect();
        let report = |case: &str, plain: Vec<f64>, sealed: Vec<f64>| {
            let (plain, sealed) = (median(plain), median(sealed));
            println!(r#"{{"case":"{case}","plain_us":{plain:.2},"sealed_us":{sealed:.2},"ratio":{:.2}}}"#, sealed / plain);
        };
        let engine_of_none = Sealed::builder(engine("none")).raw_key(key()).create(true).cache(0);
        let (none, _) = filled(engine_of_none.open().unwrap()).await;
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(gets(&plain, &table, &ids).await);
            b.push(gets(&sealed, &table, &ids).await);
            c.push(gets(&none, &table, &ids).await);
        }
        report("point_get", a.clone(), b);
        report("point_get_without_cache", a, c);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(puts(&plain, &table).await);
            b.push(puts(&sealed, &table).await);
        }
        report("durable_commit", a, b);
        plain.close().await.unwrap();
        sealed.close().await.unwrap();
        drop((plain, sealed));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            drop(KvStore::open(engine("plain")).unwrap());
            a.push(begun.elapsed().as_secs_f64() * 1e6);
            let begun = Instant::now();
            drop(KvStore::open(Sealed::builder(engine("sealed")).raw_key(key()).open().unwrap()).unwrap());
            b.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        report("open_with_raw_key", a, b);
    });
}
