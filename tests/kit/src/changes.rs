//! Changes: what a store says was changed since a position, and the check that a table was not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use synctable_core::store::{
    Author, Changed, Changes, Durability, KNOWN_CHANGES, LocalStoreExt, Position, StoreErrorKind,
    WriteBatch,
};
use synctable_core::{Record, RecordId, TableName};

use crate::Place;
use crate::fixture::{Store, all, commit, get, id, put, record, store_with, table};

/// The contract that all of these belong to.
const RULE: &str = "a store names every record that was changed since a position, or says that it does not know \
    (synctable_core::store::LocalStore, Changes)";

pub(crate) async fn position(store: &Store) -> Position {
    store.position().await.expect("position answers")
}

pub(crate) async fn committed(store: &Store, batch: WriteBatch) -> Position {
    store.commit(batch).await.expect("the batch is taken")
}

/// All that is known since a position, asked for in pages of `limit`; `None` where it is not known.
pub(crate) async fn since(store: &Store, since: Position, limit: usize) -> Option<Vec<Changed>> {
    let (mut all, mut place) = (Vec::new(), since);
    loop {
        let changes = store.changes_since(place, limit).await;
        match changes.expect("changes_since answers") {
            Changes::Unknown { now } => {
                assert_ne!(
                    now, since,
                    "what is not known since here will not be: {RULE}"
                );
                return None;
            }
            Changes::Known {
                changed,
                next,
                more,
            } => {
                assert!(changed.len() <= limit.max(1), "more names than asked for");
                let moved = place < next || place == next && !more;
                assert!(moved, "from {place:?} to {next:?}: no way on ({RULE})");
                all.extend(changed);
                if !more {
                    return Some(all);
                }
                place = next;
            }
        }
    }
}

pub(crate) fn is_named(changed: &[Changed], table: &TableName, id: &RecordId) -> bool {
    changed.iter().any(|change| match change {
        Changed::Table { table: named } => named == table,
        Changed::Record {
            table: named,
            id: name,
        } => named == table && name == id,
    })
}

/// Demands that the batch is refused as somebody has changed `table`.
pub(crate) async fn refused(store: &Store, batch: WriteBatch) {
    let error = store.commit(batch).await;
    let error = error
        .expect_err("somebody has changed the table: WriteBatch::expect_unchanged must not hold");
    assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{error}");
}

/// Puts, also of what is there, deletes, also of what is not, and a clear are named; the position that `commit` returns lies behind them.
pub async fn every_write_is_named(harness: &dyn Place) {
    let (one, other) = (table("one"), table("other"));
    let store = store_with(harness, &[&one, &other]).await;
    let (a, missing) = (record(r#"{"id":"a"}"#), id("missing"));
    let batches = [
        WriteBatch::new().put(&one, a.clone()),
        WriteBatch::new().put(&one, a.clone()),
        WriteBatch::new()
            .durability(Durability::Eventual)
            .put(&one, a.clone()),
        WriteBatch::new().delete(&one, a.id()),
        WriteBatch::new().delete(&one, &missing),
        WriteBatch::new().clear(&one),
    ];
    for batch in batches {
        let named = if batch.writes() == WriteBatch::new().delete(&one, &missing).writes() {
            &missing
        } else {
            a.id()
        };
        let before = position(&store).await;
        let after = committed(&store, batch.clone()).await;
        let changed = since(&store, before, 10).await.expect(RULE);
        assert!(
            is_named(&changed, &one, named),
            "{batch:?} is not named: {RULE}"
        );
        assert!(!is_named(&changed, &other, named), "{changed:?}");
        let reached = position(&store).await;
        assert!(
            after <= reached && before < after,
            "from {before:?} to {after:?}, then {reached:?}"
        );
        assert_eq!(since(&store, after, 10).await, Some(Vec::new()));
    }
}

/// A commit of three is followed one by one, and one of 5,000 in pages: nothing is left out, and nothing begins anew.
pub async fn a_commit_is_followed_in_pages(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    for (size, limit) in [(3, 1), (5000, 100)] {
        let before = position(&store).await;
        put(&store, &one, &[record(r#"{"id":"before"}"#)]).await;
        let records: Vec<Record> = (0..size)
            .map(|number| record(&format!(r#"{{"id":"{size}-{number}"}}"#)))
            .collect();
        put(&store, &one, &records).await;
        put(&store, &one, &[record(r#"{"id":"after"}"#)]).await;
        let changed = since(&store, before, limit).await.expect(RULE);
        let named: BTreeSet<&Changed> = changed.iter().collect();
        let whole = named.contains(&Changed::Table { table: one.clone() });
        for record in &records {
            let change = Changed::Record {
                table: one.clone(),
                id: record.id().clone(),
            };
            assert!(
                whole || named.contains(&change),
                "{change:?} is left out: {RULE}"
            );
        }
        for name in ["before", "after"] {
            assert!(
                is_named(&changed, &one, &id(name)),
                "{name} is left out: {RULE}"
            );
        }
    }
}

/// The last 10,000 changes are known, and a page of none is none.
pub async fn ten_thousand_changes_are_known(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let before = position(&store).await;
    for portion in 0..10 {
        let records: Vec<Record> = (0..KNOWN_CHANGES / 10)
            .map(|number| record(&format!(r#"{{"id":"{portion}-{number}"}}"#)))
            .collect();
        put(&store, &one, &records).await;
    }
    let changed = since(&store, before, 1000).await;
    let changed =
        changed.expect("the last 10,000 changes are known (synctable_core::store::KNOWN_CHANGES)");
    for name in ["0-0", "4-500", "9-999"] {
        assert!(is_named(&changed, &one, &id(name)), "{name}: {RULE}");
    }
}

/// Positions of another log and from the future are not known, and no table is unchanged since then.
pub async fn strange_positions_are_not_known(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let here = committed(&store, WriteBatch::new().put(&one, record(r#"{"id":"a"}"#))).await;
    let strange = [
        Position::new(here.log() ^ 1, here.commit(), here.place()),
        Position::new(here.log(), here.commit() + 1, 0),
        Position::new(here.log(), here.commit(), here.place() + 1),
    ];
    for place in strange {
        let answer = store.changes_since(place, 10).await.expect("an answer");
        let Changes::Unknown { now } = answer else {
            panic!("{place:?} is no position of this store, which is at {here:?}: {answer:?}");
        };
        assert_eq!(since(&store, now, 10).await, Some(Vec::new()));
        refused(&store, WriteBatch::new().expect_unchanged(&one, place)).await;
    }
}

/// `expect_unchanged` fails once anybody but the author of the batch has written to the table, whatever it was, and else holds.
pub async fn expect_unchanged_is_judged(harness: &dyn Place) {
    let (one, other) = (table("one"), table("other"));
    let store = store_with(harness, &[&one, &other]).await;
    let (me, somebody) = (Author::random(), Author::random());
    let a = record(r#"{"id":"a"}"#);
    let mine = || WriteBatch::new().author(me);
    let start = committed(&store, WriteBatch::new().put(&one, a.clone())).await;

    // Another table, and my own writes, do not count.
    committed(
        &store,
        WriteBatch::new().author(somebody).put(&other, a.clone()),
    )
    .await;
    committed(&store, mine().put(&one, a.clone())).await;
    committed(
        &store,
        mine().expect_unchanged(&one, start).put(&one, a.clone()),
    )
    .await;
    // Mine count for everybody else, also for who does not say who it is.
    refused(&store, WriteBatch::new().expect_unchanged(&one, start)).await;
    refused(
        &store,
        WriteBatch::new()
            .author(somebody)
            .expect_unchanged(&one, start),
    )
    .await;

    let others = [
        WriteBatch::new().author(somebody).put(&one, a.clone()),
        WriteBatch::new().put(&one, a.clone()),
        WriteBatch::new().delete(&one, a.id()),
        WriteBatch::new().delete(&one, &id("missing")),
        WriteBatch::new().clear(&one),
    ];
    for batch in others {
        let here = position(&store).await;
        let after = committed(&store, batch.clone()).await;
        // Not even where the last write of all was mine.
        committed(&store, mine().put(&one, record(r#"{"id":"mine"}"#))).await;
        let mut late = mine()
            .expect_unchanged(&one, here)
            .put(&one, record(r#"{"id":"late"}"#));
        late = late.put(&other, record(r#"{"id":"late"}"#));
        refused(&store, late).await;
        assert_eq!(get(&store, &other, &id("late")).await, None, "{batch:?}");
        committed(&store, mine().expect_unchanged(&one, after)).await;
    }
}

/// Somebody who reads what the store names, and nothing else, has what the store has.
pub async fn who_follows_the_changes_has_all(harness: &dyn Place) {
    const WRITERS: usize = 4;
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let mut place = position(&store).await;
    let writers = (0..WRITERS).map(|writer| {
        let (store, one) = (Arc::clone(&store), one.clone());
        crate::threads::spawn(async move {
            for number in 0..40 {
                let row = record(&format!(
                    r#"{{"id":"{}","by":{writer},"n":{number}}}"#,
                    (number * 7 + writer) % 13
                ));
                let batch = match number % 5 {
                    4 => WriteBatch::new().delete(&one, row.id()),
                    _ => WriteBatch::new().put(&one, row),
                };
                commit(&store, batch.durability(Durability::Eventual)).await;
                tokio::task::yield_now().await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut copy: BTreeMap<RecordId, Record> = BTreeMap::new();
    loop {
        let over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let changes = store.changes_since(place, 3).await.expect("an answer");
        let Changes::Known {
            changed,
            next,
            more,
        } = changes
        else {
            panic!("{RULE}");
        };
        for change in changed {
            match change {
                Changed::Record { id, .. } => {
                    match store.get_one(&one, &id).await.expect("get answers") {
                        Some(record) => copy.insert(id, record),
                        None => copy.remove(&id),
                    };
                }
                Changed::Table { .. } => {
                    let found = all(&store, &one).await.into_iter();
                    copy = found.map(|record| (record.id().clone(), record)).collect();
                }
            }
        }
        place = next;
        if over && !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.expect("a writer ends well");
    }
    let held: Vec<Record> = copy.into_values().collect();
    assert_eq!(held, all(&store, &one).await, "{RULE}");
}
