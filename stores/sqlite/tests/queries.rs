//! Whatever the schema, the records and the query: SQL answers like the reference evaluation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use synctable_core::query::Query;
use synctable_core::store::{Durability, LocalStore, WriteBatch};
use synctable_core::{Record, Schema, TableName, TableSchema};
use synctable_sqlite::SqliteStore;
use synctable_testkit::{arb, compare_query, for_all, quick_folder};

type Case = (TableSchema, Vec<Record>, Vec<Query>);

fn cases(change: fn(&TableSchema, &Record) -> Record) -> BoxedStrategy<Case> {
    arb::schema()
        .prop_flat_map(move |schema| {
            let records = arb::records(&schema, 8);
            let queries = vec(arb::query(&schema), 1..6);
            (Just(schema), records, queries)
        })
        .prop_map(move |(schema, records, queries)| {
            let records = records
                .into_iter()
                .map(|record| change(&schema, &record))
                .collect();
            (schema, records, queries)
        })
        .boxed()
}

/// The record without members that do not fit their declared type.
fn fitting(schema: &TableSchema, record: &Record) -> Record {
    let members: Vec<String> = record
        .members()
        .into_iter()
        .filter(|(name, text)| schema.field(name).is_none_or(|ty| ty.fits(text)))
        .map(|(name, text)| format!("{}:{text}", serde_json::Value::from(&*name)))
        .collect();
    let body = format!("{{{}}}", members.join(","));
    Record::from_stored(record.id().clone(), record.system().clone(), body)
}

async fn check((schema, records, queries): Case) -> Result<(), String> {
    let folder = quick_folder();
    let store = SqliteStore::open(folder.path().join("a.db")).unwrap();
    let table = TableName::new("t").unwrap();
    let declaration = Schema::new().with_table(table.clone(), schema.clone());
    store.define(&declaration).await.unwrap();
    let batch = records.iter().fold(WriteBatch::new(), |batch, record| {
        batch.put(&table, record.clone())
    });
    store
        .commit(batch.durability(Durability::Eventual))
        .await
        .unwrap();
    for query in &queries {
        compare_query(&store, &table, &schema, &records, query).await?;
    }
    Ok(())
}

/// All members fit their types: SQL does as much as it can.
#[test]
fn tables_of_fitting_records_answer_like_the_reference() {
    synctable_testkit::run(for_all(600, cases(fitting), check));
}

/// Some members do not fit: columns do not hold everything.
#[test]
fn tables_of_any_records_answer_like_the_reference() {
    synctable_testkit::run(for_all(200, cases(|_, record| record.clone()), check));
}

/// Declared after the records came: columns are filled from what was kept.
#[test]
fn tables_declared_later_answer_like_the_reference() {
    let check = async |(schema, records, queries): Case| {
        let folder = quick_folder();
        let store = SqliteStore::open(folder.path().join("a.db")).unwrap();
        let table = TableName::new("t").unwrap();
        let bare = Schema::new().with_table(table.clone(), TableSchema::new());
        store.define(&bare).await.unwrap();
        let batch = records.iter().fold(WriteBatch::new(), |batch, record| {
            batch.put(&table, record.clone())
        });
        store.commit(batch).await.unwrap();
        // The fields come in two steps, so that some rows are in columns already.
        let fields: Vec<_> = schema.fields.iter().collect();
        for count in [fields.len() / 2, fields.len()] {
            let part = fields[..count]
                .iter()
                .fold(TableSchema::new(), |table, (name, ty)| {
                    table.with_field(*name, (*ty).clone())
                });
            let part = Schema::new().with_table(table.clone(), part);
            store.define(&part).await.unwrap();
            let ids: Vec<_> = records.iter().map(|record| record.id().clone()).collect();
            let found = store.get(&table, &ids).await.unwrap();
            let found: Vec<_> = found.into_iter().flatten().collect();
            if found != records {
                return Err(format!("with {count} fields: {found:?}"));
            }
        }
        let whole = Schema::new().with_table(table.clone(), schema.clone());
        store.define(&whole).await.unwrap();
        for query in &queries {
            compare_query(&store, &table, &schema, &records, query).await?;
        }
        Ok(())
    };
    synctable_testkit::run(for_all(100, cases(|_, record| record.clone()), check));
}
