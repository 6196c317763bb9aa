//! Positions and reads while commits overlap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use synctable_core::query::{Query, field};
use synctable_core::store::{Author, Changes, Durability, LocalStore, Position, WriteBatch};
use synctable_core::{Record, RecordId, TableName};
use tokio::task::yield_now;

use crate::Place;
use crate::changes::{committed, is_named, position, refused, since};
use crate::fixture::{Store, all, commit, get, id, record, store_with, table};
use crate::threads::{InABox, together};

/// Of overlapping commits that put the same record, the one whose content stands came last: for all others, that record was changed behind the
/// position that their `commit` returned.
pub async fn the_position_of_a_commit_lies_right_behind_it(harness: &dyn Place) {
    const RULE: &str = "the position that `commit` returns lies right behind the batch: what lands later lies behind it (LocalStore::commit)";
    const WRITERS: usize = 6;
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let shared = id("shared");
    for _ in 0..20 {
        let writers = (0..WRITERS).map(|writer| {
            let author = Author::random();
            let row = record(&format!(r#"{{"id":"shared","by":{writer}}}"#));
            let batch = WriteBatch::new()
                .durability(Durability::Eventual)
                .author(author);
            let (store, batch) = (Arc::clone(&store), batch.put(&one, row));
            let commit = async move { store.commit(batch).await.expect("the batch is taken") };
            async move { (author, commit.await) }
        });
        let answered: Vec<(Author, Position)> = join_all(writers).await;
        let stands = get(&store, &one, &shared).await.expect("it was put");
        let stands = stands.member("by").and_then(|by| by.as_u64());
        for (writer, (author, behind)) in (0..).zip(&answered) {
            let relies = WriteBatch::new()
                .author(*author)
                .expect_unchanged(&one, *behind);
            if Some(writer) == stands {
                let ahead = answered.iter().any(|(_, other)| behind < other);
                assert!(!ahead, "{behind:?} was last, of {answered:?}: {RULE}");
                let done = store.commit(relies).await;
                assert!(done.is_ok(), "{done:?}: nobody came later. {RULE}");
                continue;
            }
            let changed = since(&store, *behind, 100).await.unwrap_or_default();
            assert!(
                is_named(&changed, &one, &shared),
                "the record was changed behind {behind:?}, of {answered:?}, and is not named: {RULE}"
            );
            refused(&store, relies).await;
        }
    }
}

/// What somebody saw who read after learning of a position.
struct Look {
    place: Position,
    seen: BTreeMap<RecordId, Record>,
}

/// Whoever reads after `position` or `changes_since` has answered a place sees all that was changed up to it: what was not there yet
/// is named behind that place, however long its commit was under way.
pub async fn no_place_is_ahead_of_what_can_be_read(harness: &dyn Place) {
    const WRITERS: usize = 3;
    const ROUNDS: usize = 8;
    for tasks in [false, true] {
        let harness = harness.another();
        let one = table("one");
        let store = store_with(&*harness, &[&one]).await;
        let writing = Arc::new(AtomicUsize::new(WRITERS));
        let writers = (0..WRITERS).map(|writer| {
            let (store, one, writing) = (Arc::clone(&store), one.clone(), Arc::clone(&writing));
            let writes = async move {
                for round in 0..ROUNDS {
                    // Each row is written once, so no later change hides that it was passed over.
                    let commits = (0..3).map(|number| {
                        let row = format!(r#"{{"id":"{writer}-{round}-{number}"}}"#);
                        let batch = WriteBatch::new().durability(Durability::Eventual);
                        commit(&store, batch.put(&one, record(&row)))
                    });
                    join_all(commits).await;
                    yield_now().await;
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            };
            writes.in_a_box()
        });
        let writers = together(writers.collect(), tasks);
        let (looks, _) = join(looks(&store, &one, &writing), writers).await;
        let end = all(&store, &one).await;
        assert_eq!(end.len(), WRITERS * ROUNDS * 3);
        for Look { place, seen } in looks {
            let behind = since(&store, place, 1000).await.unwrap_or_default();
            for record in &end {
                assert!(
                    seen.get(record.id()) == Some(record) || is_named(&behind, &one, record.id()),
                    "{} became visible after a read that began behind {place:?}, and is not named behind it: a place that was answered never \
                     passes what cannot be read yet (LocalStore::position, LocalStore::changes_since)",
                    record.id()
                );
            }
        }
    }
}

/// Learns of places and reads, until nobody writes any more and all is told.
async fn looks(store: &Store, table: &TableName, writing: &AtomicUsize) -> Vec<Look> {
    let (mut looks, mut place) = (Vec::new(), position(store).await);
    loop {
        let over = writing.load(Ordering::SeqCst) == 0;
        let here = position(store).await;
        looks.push(look(store, table, here).await);
        let changes = store.changes_since(place, 4).await.expect("an answer");
        let Changes::Known { next, more, .. } = changes else {
            panic!("the last 10,000 changes are known (synctable_core::store::KNOWN_CHANGES)");
        };
        place = next;
        looks.push(look(store, table, place).await);
        if over && !more {
            return looks;
        }
        yield_now().await;
    }
}

async fn look(store: &Store, table: &TableName, place: Position) -> Look {
    let page = store.query(table, &Query::all().page(1000)).await;
    let records = page.expect("query answers").records.into_iter();
    let seen = records
        .map(|record| (record.id().clone(), record))
        .collect();
    Look { place, seen }
}

/// What was answered is seen by every read that begins afterwards, and lies at or below every position, while other commits are under way.
pub async fn an_answered_commit_is_seen_beside_others(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    for tasks in [false, true] {
        let writers = (0..6usize).map(|writer| {
            let (store, one) = (Arc::clone(&store), one.clone());
            async move {
                for number in 0..10 {
                    let row = format!(r#"{{"id":"{writer}","n":{number}}}"#);
                    is_seen(&store, &one, &record(&row)).await;
                }
            }
            .in_a_box()
        });
        together(writers.collect(), tasks).await;
    }
}

/// Puts a record that nobody else does, and demands that it is seen.
async fn is_seen(store: &Store, one: &TableName, row: &Record) {
    const RULE: &str = "after `Ok` every later read sees all of the batch, whatever else is under way (LocalStore::commit)";
    let n = |record: &Record| record.member("n").and_then(|n| n.as_u64());
    let before = position(store).await;
    let batch = WriteBatch::new().durability(Durability::Eventual);
    let answered = committed(store, batch.put(one, row.clone())).await;
    let found = get(store, one, row.id()).await.expect(RULE);
    assert_eq!(n(&found), n(row), "get: {RULE}");
    let query = Query::all().filter(field("id").eq(row.id().as_str()));
    let page = store.query(one, &query).await.expect("query answers");
    let found: Vec<_> = page.records.iter().map(n).collect();
    assert_eq!(found, [n(row)], "query: {RULE}");
    let count = store.count(one, &query).await;
    assert_eq!(count.expect("count answers"), 1, "count: {RULE}");
    let here = position(store).await;
    assert!(
        answered <= here && before < answered,
        "{before:?}, then {answered:?} was answered, then {here:?}: `position` is behind each commit that was answered before \
         (LocalStore::position)"
    );
    let changed = since(store, before, 100).await.unwrap_or_default();
    assert!(
        is_named(&changed, one, row.id()),
        "a commit that was answered is named behind each position from before it (LocalStore::changes_since)"
    );
}
