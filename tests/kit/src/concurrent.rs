//! Many tasks on one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use synctable_core::query::Query;
use synctable_core::store::{Durability, LocalStore, StoreErrorKind, WriteBatch};
use synctable_core::{Record, RecordId, TableName};
use tokio::task::JoinHandle;

use crate::Place;
use crate::fixture::{
    Store, assert_holds, assert_one, commit, get, id, put, record, store_with, table,
};

/// Tasks that count together, and what each adds.
const TASKS: u32 = 6;
const ADDITIONS: u32 = 20;

fn numbered(name: &str, number: u32) -> Record {
    record(&format!(r#"{{"id":"{name}","n":{number}}}"#))
}

fn number_of(record: &Record) -> u64 {
    let number = record.member("n").and_then(|value| value.as_u64());
    number.expect("a record of this test has a number")
}

async fn all_done(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await.expect("a task of this test fails");
    }
}

/// Writers replace or delete eight records at once; no reader ever sees some of them.
pub async fn no_torn_batch_is_ever_seen(harness: &dyn Place) {
    const ROUNDS: u32 = 30;
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let ids: Vec<RecordId> = (0..8).map(|n| id(&format!("r{n}"))).collect();
    let writers = (0..3).map(|writer| {
        let (store, todo, ids) = (Arc::clone(&store), todo.clone(), ids.clone());
        crate::threads::spawn(async move {
            for round in 0..ROUNDS {
                let number = round * 3 + writer;
                let batch = WriteBatch::new().durability(Durability::Eventual);
                let batch = ids.iter().fold(batch, |batch, id| {
                    if number % 4 == 3 {
                        batch.delete(&todo, id)
                    } else {
                        batch.put(&todo, numbered(id.as_str(), number))
                    }
                });
                commit(&store, batch).await;
                tokio::task::yield_now().await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let written = Arc::new(AtomicBool::new(false));
    let readers = (0..3).map(|_| {
        let (store, todo, ids) = (Arc::clone(&store), todo.clone(), ids.clone());
        let written = Arc::clone(&written);
        crate::threads::spawn(async move {
            let whole = |found: &[&Record]| {
                let alike = found
                    .iter()
                    .all(|record| number_of(record) == number_of(found[0]));
                assert!(
                    alike && [0, ids.len()].contains(&found.len()),
                    "a torn batch was seen: {found:?}"
                );
            };
            while !written.load(Ordering::Acquire) {
                let found = store.get(&todo, &ids).await.expect("get answers");
                whole(&found.iter().flatten().collect::<Vec<_>>());
                let page = store
                    .query(&todo, &Query::all().order_by_desc("n"))
                    .await
                    .expect("query answers");
                whole(&page.records.iter().collect::<Vec<_>>());
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    all_done(writers).await;
    written.store(true, Ordering::Release);
    all_done(readers).await;
}

/// Tasks that write different records at the same time all find theirs afterwards.
pub async fn no_commit_is_lost(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let tasks = (0..8).map(|task| {
        let (store, todo) = (Arc::clone(&store), todo.clone());
        crate::threads::spawn(async move {
            for number in 0..20 {
                let next = numbered(&format!("{task}-{number:02}"), number);
                let insert = WriteBatch::new()
                    .expect_absent(&todo, next.id())
                    .put(&todo, next);
                commit(&store, insert).await;
            }
        })
    });
    all_done(tasks.collect()).await;
    let names = (0..8).flat_map(|task| (0..20).map(move |number| (task, number)));
    let expected: Vec<Record> = names
        .map(|(task, number)| numbered(&format!("{task}-{number:02}"), number))
        .collect();
    assert_holds(&store, &todo, &expected).await;
}

/// Tasks add one to a counter by reading it and demanding that it is unchanged: no addition is lost.
pub async fn compare_and_set_reaches_the_exact_total(harness: &dyn Place) {
    count_up(harness, |batch, todo, counter| {
        batch.expect_same(todo, counter)
    })
    .await;
}

/// The same, by the revision that was read.
pub async fn compare_and_set_by_revision_reaches_the_exact_total(harness: &dyn Place) {
    count_up(harness, |batch, todo, counter| {
        assert!(
            counter.revision().is_some(),
            "a record that is read has a revision"
        );
        batch.expect_as_read(todo, &counter)
    })
    .await;
}

/// Adds to a batch the check that the counter is as it was read.
type Unchanged = fn(WriteBatch, &TableName, Record) -> WriteBatch;

async fn count_up(harness: &dyn Place, unchanged: Unchanged) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    put(&store, &todo, &[numbered("counter", 0)]).await;
    let tasks = (0..TASKS).map(|_| {
        let (store, todo) = (Arc::clone(&store), todo.clone());
        crate::threads::spawn(async move {
            for _ in 0..ADDITIONS {
                add_one(&store, &todo, unchanged).await;
            }
        })
    });
    all_done(tasks.collect()).await;
    assert_holds(&store, &todo, &[numbered("counter", TASKS * ADDITIONS)]).await;
}

async fn add_one(store: &Store, todo: &TableName, unchanged: Unchanged) {
    // Every refusal means that another addition was done since the read.
    for _ in 0..=TASKS * ADDITIONS {
        let counter = get(store, todo, &id("counter"))
            .await
            .expect("the counter is there");
        let number = u32::try_from(number_of(&counter)).expect("a small number");
        tokio::task::yield_now().await;
        let batch = unchanged(WriteBatch::new(), todo, counter);
        let batch = batch.put(todo, numbered("counter", number + 1));
        match store.commit(batch).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{error}"),
        }
    }
    panic!("a check is refused though nothing was changed");
}

/// What one task has committed, every other task reads.
pub async fn acknowledged_commit_is_seen_by_every_task(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    for number in 0..50 {
        let next = numbered("a", number);
        put(&store, &todo, std::slice::from_ref(&next)).await;
        let tasks = (0..4).map(|_| {
            let (store, todo, next) = (Arc::clone(&store), todo.clone(), next.clone());
            crate::threads::spawn(async move {
                assert_one(&store, &todo, &next).await;
                assert_holds(&store, &todo, &[next]).await;
            })
        });
        all_done(tasks.collect()).await;
    }
}

/// Where the store claims `ordered_commits`: batches that each build on the one before all succeed, though none is
/// awaited before the next is polled.
pub async fn commits_are_done_in_order_where_claimed(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    if !store.capabilities().ordered_commits {
        return;
    }
    put(&store, &todo, &[numbered("a", 0)]).await;
    let chain = (0..60).map(|number| {
        let durability = if number % 7 == 0 {
            Durability::Immediate
        } else {
            Durability::Eventual
        };
        let batch = WriteBatch::new()
            .durability(durability)
            .expect_same(&todo, numbered("a", number))
            .put(&todo, numbered("a", number + 1));
        store.commit(batch)
    });
    for (number, outcome) in join_all(chain.collect::<Vec<_>>())
        .await
        .into_iter()
        .enumerate()
    {
        assert!(
            outcome.is_ok(),
            "commit {number} was done out of order: {outcome:?}"
        );
    }
    assert_holds(&store, &todo, &[numbered("a", 60)]).await;
}
