//! Several processes, and processes that end badly: what was acknowledged is there afterwards.
//!
//! The child is this test binary once more, told by an environment variable what to do.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use synctable_core::query::Query;
use synctable_core::store::{Durability, LocalStore, LocalStoreExt, StoreErrorKind, WriteBatch};
use synctable_core::{FieldType, Record, RecordId, Schema, TableName, TableSchema};
use synctable_sqlite::SqliteStore;

const STORE: &str = "SYNCTABLE_TEST_STORE";

fn tables() -> [TableName; 2] {
    ["todo", "queue"].map(|name| TableName::new(name).unwrap())
}

fn schema() -> Schema {
    tables().into_iter().fold(Schema::new(), |schema, table| {
        let fields = TableSchema::new()
            .with_field("text", FieldType::String)
            .with_index(["text"]);
        schema.with_table(table, fields)
    })
}

fn record(number: usize) -> Record {
    let text = "x".repeat(number % 3000);
    let id = RecordId::new(&format!("{number:08}")).unwrap();
    Record::new(id, &format!(r#"{{"text":"{text}"}}"#)).unwrap()
}

/// Commits one record to both tables.
async fn commit(
    store: &SqliteStore,
    number: usize,
    durability: Durability,
) -> Result<(), StoreErrorKind> {
    let batch = tables()
        .iter()
        .fold(WriteBatch::new().durability(durability), |batch, table| {
            batch.put(table, record(number))
        });
    store
        .commit(batch)
        .await
        .map(|_| ())
        .map_err(|error| error.kind())
}

/// The numbers in the store; both tables must agree.
async fn numbers(store: &SqliteStore) -> Vec<usize> {
    let [todo, queue] = tables();
    let records = store.query_all(&todo, &Query::all()).await.unwrap();
    let queued = store.query_all(&queue, &Query::all()).await.unwrap();
    assert_eq!(records, queued, "half a batch");
    let numbers: Vec<usize> = records
        .iter()
        .map(|record| record.id().as_str().parse().unwrap())
        .collect();
    for (number, stored) in numbers.iter().zip(&records) {
        assert_eq!(*stored, record(*number));
    }
    numbers
}

/// A command that runs `test` of this binary as a child on `path`.
fn child(test: &str, path: &Path, shell: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--ignored"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The lines of a child that begin with `word`, without it.
fn lines(output: impl std::io::Read, word: &'static str) -> impl Iterator<Item = String> {
    BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(move |line| {
            // The test harness writes in front of the first line.
            Some(line.split_once(word)?.1.trim().to_owned())
        })
}

#[tokio::test]
#[ignore = "the child of killed_processes_lose_nothing_acknowledged"]
async fn writes_until_killed() {
    let Some(path) = env::var_os(STORE) else {
        return;
    };
    let store = SqliteStore::open(path).unwrap();
    store.define(&schema()).await.unwrap();
    let first = numbers(&store).await.len();
    for number in first.. {
        let durability = if number % 3 == 0 {
            Durability::Immediate
        } else {
            Durability::Eventual
        };
        commit(&store, number, durability).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn killed_processes_lose_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut known = 0;
    for round in 1..=8 {
        let mut process = child("writes_until_killed", &path, "").spawn().unwrap();
        let mut acknowledged = lines(process.stdout.take().unwrap(), "acknowledged");
        for _ in 0..round * 7 {
            let number: usize = acknowledged
                .next()
                .expect("the child writes")
                .parse()
                .unwrap();
            assert_eq!(number, known, "the child found all that was there");
            known += 1;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        // It may have got further before the signal came.
        known += acknowledged.count();
        let store = SqliteStore::builder(&path).create(false).open().unwrap();
        let found = numbers(&store).await;
        assert!(
            found.len() == known || found.len() == known + 1,
            "{known} acknowledged, {} found",
            found.len()
        );
        assert!(found.iter().enumerate().all(|(at, number)| at == *number));
        known = found.len();
    }
}

#[tokio::test]
#[ignore = "the child of failed_writes_poison_the_store"]
async fn writes_until_refused() {
    let Some(path) = env::var_os(STORE) else {
        return;
    };
    let store = SqliteStore::open(path).unwrap();
    store.define(&schema()).await.unwrap();
    let mut number = 0;
    let first = loop {
        match commit(&store, number, Durability::Immediate).await {
            Ok(()) => number += 1,
            Err(kind) => break kind,
        }
    };
    let second = commit(&store, number, Durability::Immediate)
        .await
        .unwrap_err();
    let close = store.close().await.unwrap_err().kind();
    println!("outcome {number} {first:?} {second:?} {close:?}");
}

#[tokio::test]
async fn failed_writes_poison_the_store_until_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    // No file may grow beyond 1 MiB: from there on every write fails.
    let limit = "trap '' XFSZ; ulimit -f 1024 2>/dev/null || ulimit -f 2048;";
    let output = child("writes_until_refused", &path, limit)
        .output()
        .unwrap();
    let outcome = lines(&output.stdout[..], "outcome")
        .next()
        .expect("the child ends");
    let words: Vec<&str> = outcome.split(' ').collect();
    let acknowledged: usize = words[0].parse().unwrap();
    assert!(acknowledged > 5, "{outcome}");
    assert!(matches!(words[1], "Io" | "Unknown"), "{outcome}");
    assert_eq!(words[2..], ["Unknown", "Unknown"], "{outcome}");
    let store = SqliteStore::builder(&path).create(false).open().unwrap();
    let found = numbers(&store).await.len();
    assert!(
        found == acknowledged || found == acknowledged + 1,
        "{found}: {outcome}"
    );
    commit(&store, found, Durability::Immediate).await.unwrap();
}

#[tokio::test]
#[ignore = "the child of processes_on_one_store_lose_no_update"]
async fn counts_up() {
    let Some(path) = env::var_os(STORE) else {
        return;
    };
    let store = SqliteStore::open(path).unwrap();
    let [todo, _] = tables();
    store.define(&schema()).await.unwrap();
    let id = RecordId::new("counter").unwrap();
    for _ in 0..COUNTS {
        loop {
            let record = store.get_one(&todo, &id).await.unwrap();
            let number = record.as_ref().map_or(0, |record| {
                record.member("number").unwrap().as_u64().unwrap()
            });
            let next = Record::new(id.clone(), &format!(r#"{{"number":{}}}"#, number + 1)).unwrap();
            let batch = match record {
                Some(record) => WriteBatch::new().expect_same(&todo, record),
                None => WriteBatch::new().expect_absent(&todo, &id),
            };
            match store.commit(batch.put(&todo, next)).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::CheckFailed),
            }
        }
    }
    store.close().await.unwrap();
}

const COUNTS: u64 = 60;

#[tokio::test]
async fn processes_on_one_store_lose_no_update() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    // All of them find no file.
    let start = || child("counts_up", &path, "").spawn().unwrap();
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    let count = children.len() as u64;
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = SqliteStore::builder(&path).create(false).open().unwrap();
    let counter = RecordId::new("counter").unwrap();
    let record = store
        .get_one(&tables()[0], &counter)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.member("number").unwrap(), count * COUNTS);
}

#[test]
#[ignore = "the child of a_store_without_room_is_not_made"]
fn opens() {
    let Some(path) = env::var_os(STORE) else {
        return;
    };
    match SqliteStore::open(path) {
        Ok(_) => println!("outcome opened"),
        Err(error) => println!("outcome {:?} {error}", error.kind()),
    }
}

#[test]
fn a_store_without_room_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    // No room for even one page.
    let output = child("opens", &path, "trap '' XFSZ; ulimit -f 1;").output();
    let outcome = lines(&output.unwrap().stdout[..], "outcome")
        .next()
        .unwrap();
    assert!(outcome.starts_with("Io "), "{outcome}");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(names.is_empty(), "something was made: {names:?}");
}
