//! Revisions: what a store calls the states of a record, and the checks that name one.

use std::collections::HashSet;

use synctable_core::query::{Query, field};
use synctable_core::store::{Expect, LocalStoreExt, Revision, WriteBatch};
use synctable_core::{FieldType, Record, RecordId, TableName, TableSchema};

use crate::Place;
use crate::fixture::{
    Store, all, assert_holds, commit, declare, get, id, put, record, refused, store_of, store_with,
    table,
};

/// The contract that all of these belong to.
const RULE: &str =
    "every record that a store reads out carries its revision (synctable_core::store::Revision)";

fn revision_of(record: &Record) -> Revision {
    record.revision().expect(RULE).clone()
}

async fn revision(store: &Store, table: &TableName, id: &RecordId) -> Revision {
    revision_of(&get(store, table, id).await.expect("the record is there"))
}

fn at(table: &TableName, id: &RecordId, revision: Revision) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.check(table, id, Expect::At(revision));
    batch
}

/// `get` and `query`, with whatever filter, order and page, give a record the same revision, and reading gives it no other.
pub async fn every_read_tells_the_revision(harness: &dyn Place) {
    let one = table("one");
    let declared = TableSchema::new()
        .with_field("n", FieldType::Integer)
        .with_index(["n"]);
    let store = store_of(harness, &declare(&one, declared)).await;
    let records: Vec<Record> = (0..7)
        .map(|n| record(&format!(r#"{{"id":"r{n}","n":{},"t":"x{n}"}}"#, 10 - n)))
        .collect();
    put(&store, &one, &records).await;
    let mut seen = Vec::new();
    for record in &records {
        seen.push(revision(&store, &one, record.id()).await);
    }
    let queries = [
        Query::all(),
        Query::all().page(2),
        Query::all().order_by("n").page(3),
        Query::all().order_by_desc("t"),
        Query::all().filter(field("n").gt(0)).order_by_desc("n"),
        Query::all().filter(field("n").eq(7)),
        Query::all().filter(field("id").eq("r3")),
        Query::all().filter(field("t").ne("y")).page(4),
    ];
    for query in queries {
        let found = store.query_all(&one, &query).await.expect("query answers");
        assert!(!found.is_empty());
        for record in found {
            let place = records.iter().position(|it| it.id() == record.id());
            let expected = &seen[place.expect("a record that was put")];
            assert_eq!(&revision_of(&record), expected, "{query:?}");
        }
    }
    let ids: Vec<RecordId> = records.iter().map(|record| record.id().clone()).collect();
    let again = store.get(&one, &ids).await.expect("get answers");
    let again: Vec<Revision> = again.iter().flatten().map(revision_of).collect();
    assert_eq!(again, seen);
}

/// Every write gives a record a revision that it never had: an update, one that changes nothing, an insert after a delete or a clear,
/// several in one batch.
pub async fn a_revision_is_never_given_twice(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let (a, other) = (record(r#"{"id":"a","n":1}"#), record(r#"{"id":"a","n":2}"#));
    let write = |record: &Record| WriteBatch::new().put(&one, record.clone());
    let delete = || WriteBatch::new().delete(&one, a.id());
    let mut seen = HashSet::new();
    for batch in [
        write(&a),
        write(&a),
        write(&other),
        write(&a),
        delete().put(&one, a.clone()),
        write(&other).put(&one, a.clone()),
        WriteBatch::new().clear(&one).put(&one, a.clone()),
    ] {
        commit(&store, batch).await;
        assert!(seen.insert(revision(&store, &one, a.id()).await));
    }
    for gone in [delete(), WriteBatch::new().clear(&one)] {
        commit(&store, gone).await;
        commit(&store, write(&a)).await;
        assert!(seen.insert(revision(&store, &one, a.id()).await));
    }
}

/// `At` holds for what was read and for nothing else: not after an update, one that changes nothing, a way there and back, or a delete
/// and an insert of the same; not in another table, nor for another record.
pub async fn expect_at_is_judged(harness: &dyn Place) {
    let (one, two) = (table("one"), table("two"));
    let store = store_with(harness, &[&one, &two]).await;
    let (a, other) = (record(r#"{"id":"a","n":1}"#), record(r#"{"id":"a","n":2}"#));
    let b = record(r#"{"id":"b"}"#);
    put(&store, &one, &[a.clone(), b.clone()]).await;
    put(&store, &two, std::slice::from_ref(&a)).await;

    let first = revision(&store, &one, a.id()).await;
    // What does not touch the record does not move it.
    put(&store, &one, std::slice::from_ref(&b)).await;
    put(&store, &two, std::slice::from_ref(&a)).await;
    commit(&store, at(&one, a.id(), first.clone())).await;
    commit(
        &store,
        at(&one, a.id(), first.clone()).put(&one, other.clone()),
    )
    .await;
    refused(
        &store,
        at(&one, a.id(), first.clone()).clear(&one),
        &one,
        a.id(),
    )
    .await;
    put(&store, &one, std::slice::from_ref(&a)).await;
    refused(
        &store,
        at(&one, a.id(), first.clone()).clear(&one),
        &one,
        a.id(),
    )
    .await;

    for change in [
        WriteBatch::new().put(&one, a.clone()),
        WriteBatch::new().delete(&one, a.id()),
        WriteBatch::new().put(&one, a.clone()),
        WriteBatch::new().delete(&one, a.id()).put(&one, a.clone()),
        WriteBatch::new()
            .clear(&one)
            .put(&one, a.clone())
            .put(&one, b.clone()),
    ] {
        let seen = get(&store, &one, a.id())
            .await
            .map(|record| revision_of(&record));
        commit(&store, change).await;
        if let Some(seen) = seen {
            refused(&store, at(&one, a.id(), seen).clear(&one), &one, a.id()).await;
        }
    }
    let (ours, theirs) = (
        revision(&store, &one, a.id()).await,
        revision(&store, &one, b.id()).await,
    );
    assert_ne!(
        ours, theirs,
        "two records of a batch have the same revision"
    );
    refused(&store, at(&one, a.id(), theirs).clear(&one), &one, a.id()).await;
    refused(
        &store,
        at(&one, &id("c"), ours.clone()).clear(&one),
        &one,
        &id("c"),
    )
    .await;
    refused(&store, at(&two, a.id(), ours).clear(&one), &two, a.id()).await;
    let unknown = Revision::from_bytes(b"a revision of another store");
    refused(&store, at(&one, a.id(), unknown).clear(&one), &one, a.id()).await;
    assert_holds(&store, &one, &[a.clone(), b]).await;
    assert_holds(&store, &two, &[a]).await;
}

/// A refused batch moves no revision, and a check is judged on the state before the batch.
pub async fn refused_batches_move_no_revision(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let (a, b) = (record(r#"{"id":"a"}"#), record(r#"{"id":"b"}"#));
    put(&store, &one, &[a.clone(), b.clone()]).await;
    let before: Vec<Revision> = all(&store, &one).await.iter().map(revision_of).collect();
    let batch = WriteBatch::new()
        .put(&one, a.clone())
        .delete(&one, b.id())
        .expect_absent(&one, b.id());
    refused(&store, batch, &one, b.id()).await;
    let after: Vec<Revision> = all(&store, &one).await.iter().map(revision_of).collect();
    assert_eq!(before, after);
    let [first, _] = &before[..] else {
        panic!("two records were put");
    };
    let batch = WriteBatch::new().put(&one, a.clone()).put(&one, a.clone());
    let mut batch = batch.delete(&one, b.id());
    batch.check(&one, a.id(), Expect::At(first.clone()));
    commit(&store, batch).await;
    assert_holds(&store, &one, &[a]).await;
}
