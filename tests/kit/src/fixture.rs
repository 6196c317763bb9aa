//! What most behaviours start with.

use std::sync::Arc;

use synctable_core::query::Query;
use synctable_core::store::{
    LocalStore, LocalStoreExt, StoreCapabilities, StoreErrorKind, WriteBatch,
};
use synctable_core::{Declaration, Declarations, Record, RecordId, Schema, TableName, TableSchema};

use crate::Place;

pub(crate) type Store = Arc<dyn LocalStore>;

pub(crate) fn table(name: &str) -> TableName {
    TableName::stored(name).expect("a table name")
}

pub(crate) fn id(text: &str) -> RecordId {
    RecordId::new(text).expect("an id")
}

pub(crate) fn record(json: &str) -> Record {
    Record::from_json(json).expect("a record")
}

/// A schema with `table` declared as `declared`.
pub(crate) fn declare(table: &TableName, declared: TableSchema) -> Schema {
    Schema::new().with_table(table.clone(), declared)
}

/// Declarations with `table` declared as `declared`.
pub(crate) fn declare_all(table: &TableName, declared: Declaration) -> Declarations {
    Declarations::new().with_table(table.clone(), declared)
}

/// The store of a harness with tables that declare no fields.
pub(crate) async fn store_with(harness: &dyn Place, tables: &[&TableName]) -> Store {
    let schema = tables.iter().fold(Schema::new(), |schema, name| {
        schema.with_table((*name).clone(), TableSchema::new())
    });
    store_of(harness, &schema).await
}

/// The store of a harness with the tables of `schema`.
pub(crate) async fn store_of(harness: &dyn Place, schema: &Schema) -> Store {
    let store = harness.open().await.expect("the store opens");
    store.define(schema).await.expect("define is taken");
    store
}

pub(crate) async fn put(store: &Store, table: &TableName, records: &[Record]) {
    let batch = records.iter().fold(WriteBatch::new(), |batch, record| {
        batch.put(table, record.clone())
    });
    commit(store, batch).await;
}

pub(crate) async fn commit(store: &Store, batch: WriteBatch) {
    store.commit(batch).await.expect("the batch is taken");
}

/// Demands that the batch is refused because of the check on `id`, where the store says which.
pub(crate) async fn refused(store: &Store, batch: WriteBatch, table: &TableName, id: &RecordId) {
    let error = store
        .commit(batch)
        .await
        .expect_err("a check does not hold");
    assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{error}");
    if let Some(failed) = error.failed_check() {
        assert_eq!(failed, (table, id));
    }
}

pub(crate) async fn get(store: &Store, table: &TableName, id: &RecordId) -> Option<Record> {
    store.get_one(table, id).await.expect("get answers")
}

/// Every record of a table, by ascending id.
pub(crate) async fn all(store: &Store, table: &TableName) -> Vec<Record> {
    store
        .query_all(table, &Query::all())
        .await
        .expect("query answers")
}

/// Demands that the table holds exactly `expected`, given by ascending id.
pub(crate) async fn assert_holds(store: &Store, table: &TableName, expected: &[Record]) {
    let found = all(store, table).await;
    assert_kept(
        store,
        &found,
        expected,
        &format!("records of table {table}"),
    );
}

/// True where `found`, which was read from a store that makes these promises, is what it has to make of `expected`.
pub(crate) fn are_kept(keeps: StoreCapabilities, found: &[Record], expected: &[Record]) -> bool {
    let mut pairs = found.iter().zip(expected);
    found == expected
        || keeps.by_value
            && found.len() == expected.len()
            && pairs.all(|(kept, given)| keeps.keeps_as(kept, given))
}

/// Demands that one record is there, as [`assert_holds`] does of all.
pub(crate) async fn assert_one(store: &Store, table: &TableName, expected: &Record) {
    let found = get(store, table, expected.id()).await;
    let found = Vec::from_iter(found);
    assert_kept(
        store,
        &found,
        std::slice::from_ref(expected),
        &format!("a record of table {table}"),
    );
}

/// Demands that `found`, which was read from the store, is what it has to make of `expected`: the same, or of the same values where it keeps
/// only these.
pub(crate) fn assert_kept(store: &Store, found: &[Record], expected: &[Record], what: &str) {
    if are_kept(store.capabilities(), found, expected) {
        return;
    }
    let text = |records: &[Record]| records.iter().map(Record::to_json).collect::<Vec<_>>();
    assert_eq!(text(found), text(expected), "{what}");
    assert_eq!(found, expected, "{what}");
}
