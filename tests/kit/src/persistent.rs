//! Closing a store and opening it again.

use std::collections::HashSet;

use synctable_core::query::Query;
use synctable_core::store::{
    Author, Changed, Changes, Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind,
    WriteBatch,
};
use synctable_core::{FieldType, Record, RecordId, TableName, TableSchema};

use crate::Place;
use crate::compare_query;
use crate::fixture::{
    Store, assert_holds, commit, declare, id, put, record, store_of, store_with, table,
};

async fn reopen(harness: &dyn Place, store: Store) -> Store {
    store.close().await.expect("the store closes");
    drop(store);
    harness.reopen().await.expect("the store opens again")
}

/// All records are there, whatever the durability of their batch, and none that was removed.
pub async fn reopened_store_has_every_record(harness: &dyn Place) {
    let (todo, system) = (table("todo"), TableName::system("__operations"));
    let mut store = store_with(harness, &[&todo, &system]).await;
    let operation =
        Record::new(RecordId::system("0001|todo|é"), r#"{"n":1.50}"#).expect("a record");
    put(&store, &system, std::slice::from_ref(&operation)).await;
    let mut expected = Vec::new();
    for round in 0..3 {
        for (name, durability) in [
            ("e", Durability::Eventual),
            ("i", Durability::Immediate),
            ("z", Durability::Eventual),
        ] {
            let next = record(&format!(
                r#"{{"id":"{round}{name}","version":"v\u0000{round}","updatedAt":"2024-02-29T12:00:00.0000001Z","deleted":true,"n":1e2,"t":"é\u0000"}}"#
            ));
            let gone = record(&format!(r#"{{"id":"{round}{name}-gone"}}"#));
            let batch = WriteBatch::new().durability(durability);
            commit(
                &store,
                batch
                    .clone()
                    .put(&todo, next.clone())
                    .put(&todo, gone.clone()),
            )
            .await;
            commit(&store, batch.delete(&todo, gone.id())).await;
            expected.push(next);
        }
        store = reopen(harness, store).await;
        assert_holds(&store, &todo, &expected).await;
        assert_holds(&store, &system, std::slice::from_ref(&operation)).await;
    }
    commit(&store, WriteBatch::new().clear(&todo)).await;
    let store = reopen(harness, store).await;
    assert_holds(&store, &todo, &[]).await;
}

/// Declarations are in force without being made again.
pub async fn reopened_store_has_every_declaration(harness: &dyn Place) {
    let (movies, books) = (table("movies"), table("books"));
    let words = ["PG", "G"].map(str::to_owned).to_vec();
    let declared = TableSchema::new()
        .with_field("rating", FieldType::Enum(words))
        .with_field("year", FieldType::Integer)
        .with_index(["rating"]);
    let store = store_of(harness, &declare(&movies, declared.clone())).await;
    store
        .define(&declare(&books, TableSchema::new()))
        .await
        .expect("define adds");
    let store = reopen(harness, store).await;
    assert_holds(&store, &books, &[]).await;
    let error = store
        .query(&table("unknown"), &Query::all())
        .await
        .expect_err("not defined");
    assert_eq!(error.kind(), StoreErrorKind::UnknownTable, "{error}");
    let records = [
        record(r#"{"id":"a","rating":"G"}"#),
        record(r#"{"id":"b","rating":"PG"}"#),
    ];
    put(&store, &movies, &records).await;
    let query = Query::all().order_by("rating");
    compare_query(&store, &movies, &declared, &records, &query)
        .await
        .expect("the enum is declared");
    let retyped = TableSchema::new().with_field("year", FieldType::String);
    let error = store
        .define(&declare(&movies, retyped))
        .await
        .expect_err("another type");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    store
        .define(&declare(&movies, declared))
        .await
        .expect("the same again");
    assert_holds(&store, &movies, &records).await;
}

/// A cursor that was kept goes on where it stood.
pub async fn cursor_outlives_the_store(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let records: Vec<Record> = (0..9)
        .map(|n| record(&format!(r#"{{"id":"{n}","n":{}}}"#, n / 3)))
        .collect();
    put(&store, &todo, &records).await;
    let query = Query::all().order_by("n").page(4);
    let first = store.query(&todo, &query).await.expect("query answers");
    let store = reopen(harness, store).await;
    let rest = store
        .query_all(&todo, &query.after(first.next))
        .await
        .expect("query answers");
    assert_eq!(rest, &records[4..]);
}

/// What is written after opening again never has a revision from before: a check that was planned then does not hold for it.
pub async fn another_opening_gives_other_revisions(harness: &dyn Place) {
    let todo = table("todo");
    let mut store = store_with(harness, &[&todo]).await;
    let a = record(r#"{"id":"a","n":1}"#);
    let mut seen = HashSet::new();
    for _ in 0..3 {
        for _ in 0..5 {
            put(&store, &todo, std::slice::from_ref(&a)).await;
            let found = store.get_one(&todo, a.id()).await.expect("get answers");
            let revision = found.and_then(|record| record.revision().cloned());
            let revision = revision.expect("a record that is read has a revision");
            assert!(seen.insert(revision), "a revision is given again");
        }
        commit(&store, WriteBatch::new().delete(&todo, a.id())).await;
        store = reopen(harness, store).await;
    }
}

/// After `close` every call says so.
pub async fn closed_store_refuses_every_call(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let here = store.position().await.expect("position answers");
    store.close().await.expect("the store closes");
    store.close().await.expect("closing again does nothing");
    let refused = |error: Option<StoreError>| {
        assert_eq!(error.expect("an error").kind(), StoreErrorKind::Closed);
    };
    let a = record(r#"{"id":"a"}"#);
    refused(
        store
            .define(&declare(&todo, TableSchema::new()))
            .await
            .err(),
    );
    refused(store.get(&todo, &[id("a")]).await.err());
    refused(store.query(&todo, &Query::all()).await.err());
    refused(store.count(&todo, &Query::all()).await.err());
    refused(store.commit(WriteBatch::new().put(&todo, a)).await.err());
    refused(store.position().await.err());
    refused(store.changes_since(here, 10).await.err());
    drop(store);
    let store = harness.reopen().await.expect("the store opens again");
    assert_holds(&store, &todo, &[]).await;
}

/// A position of an earlier opening is not known, or everything since is named; no check passes over what happened since.
pub async fn another_opening_passes_over_no_change(harness: &dyn Place) {
    let todo = table("todo");
    let me = Author::random();
    let store = store_with(harness, &[&todo]).await;
    put(&store, &todo, &[record(r#"{"id":"a"}"#)]).await;
    let before = store.position().await.expect("position answers");
    let store = reopen(harness, store).await;
    let late = WriteBatch::new()
        .author(me)
        .put(&todo, record(r#"{"id":"b"}"#));
    commit(&store, late).await;
    let changes = store.changes_since(before, 100).await.expect("an answer");
    if let Changes::Known { changed, .. } = changes {
        let id = record(r#"{"id":"b"}"#).id().clone();
        let b = Changed::Record {
            table: todo.clone(),
            id,
        };
        assert!(changed.contains(&b), "{changed:?}");
    }
    let relies = WriteBatch::new().expect_unchanged(&todo, before);
    let error = store.commit(relies).await.expect_err(
        "the table was changed since, which a store must not pass over (WriteBatch::expect_unchanged)",
    );
    assert_eq!(error.kind(), StoreErrorKind::CheckFailed);
}
