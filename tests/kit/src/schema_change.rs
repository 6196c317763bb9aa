//! Declarations that are replaced: fields that go, are new, or have another type.

use proptest::prelude::*;
use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStore, StoreErrorKind, WriteBatch};
use synctable_core::{FieldOptions, FieldType, Record, Schema, TableSchema};

use crate::fixture::{
    Store, assert_holds, commit, declare, put, record, store_of, store_with, table,
};
use crate::{Place, arb, compare_query, for_all};

fn before() -> TableSchema {
    TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("rank", FieldType::String)
        .with_field("old", FieldType::Integer)
        .with_field("level", FieldType::String)
        .with_index(["level"])
        .with_index(["rank", "title"])
        .with_index(["old"])
        .with_index(["title"])
}

/// `title` is called `name`, `rank` is a number, `level` one of three words in their order, `old` is declared no more.
fn after() -> TableSchema {
    let words = ["low", "middle", "high"].map(str::to_owned).to_vec();
    TableSchema::new()
        .with_field("level", FieldType::Enum(words))
        .with_index(["level"])
        .with_field("rank", FieldType::Integer)
        .with_field_options(
            "name",
            FieldType::String,
            FieldOptions::new().with_default("?"),
        )
        .with_index(["rank"])
        .with_index(["name", "rank"])
}

/// Rows in the words of before, of after and of neither; more than a store is likely to write at once.
fn rows() -> Vec<Record> {
    let mut rows = vec![
        record(r#"{"id":"a","title":"x","rank":"7","old":1}"#),
        record(r#"{"id":"b","version":"v","name":"y","rank":7,"old":"one"}"#),
        record(r#"{"id":"c","rank":1.50,"title":null,"free":{"k": [1e2]}}"#),
        record(
            r#"{"id":"d","updatedAt":"2024-02-29T12:00:00.0000001Z","deleted":true,"old":-0,"rank":null}"#,
        ),
        record(r#"{"id":"e"}"#),
    ];
    rows.extend((0..700).map(|n| {
        record(&format!(
            r#"{{"id":"r{n:03}","name":"n{}","rank":{},"title":"t{n}","old":{n},"level":"{}"}}"#,
            n % 13,
            n % 7,
            ["high", "low", "middle", "none"][n % 4]
        ))
    }));
    rows
}

async fn redefine(store: &Store, declared: &TableSchema) {
    let done = store.redefine(&table("movies"), declared).await;
    done.expect("the declaration is replaced");
}

async fn filled(harness: &dyn Place) -> Store {
    let movies = table("movies");
    let store = store_of(harness, &declare(&movies, before())).await;
    put(&store, &movies, &rows()).await;
    store
}

async fn answers(store: &Store, declared: &TableSchema, records: &[Record]) {
    let movies = table("movies");
    let by = |name: &str| Query::all().order_by(name).page(50);
    for query in [
        Query::all().page(50),
        by("rank"),
        Query::all().order_by_desc("rank").order_by("id").page(50),
        by("name").order_by("rank"),
        by("title"),
        by("level"),
        Query::all().filter(field("level").gt("low")).page(100),
        by("old"),
        Query::all().filter(field("rank").eq(5)),
        Query::all().filter(field("rank").eq("7")),
        Query::all().filter(field("rank").ge(6)).order_by("rank"),
        Query::all().filter(field("name").eq("n3")).order_by("rank"),
        Query::all().filter(field("name").eq("n3").and(field("rank").lt(3))),
        Query::all().filter(field("old").eq(1).or(field("title").eq("t4"))),
        Query::all().filter(field("old").eq("one")),
    ] {
        compare_query(store, &movies, declared, records, &query)
            .await
            .expect("the new declaration counts");
    }
}

/// The store says the new declaration and nothing of the one before; what other tables are stays.
pub async fn a_declaration_is_replaced_whole(harness: &dyn Place) {
    let movies = table("movies");
    let store = filled(harness).await;
    let other = declare(&table("books"), before());
    store.define(&other).await.expect("define adds");
    redefine(&store, &after()).await;
    let expected = other.clone().with_table(movies.clone(), after());
    assert_eq!(store.schema().await.expect("it answers"), expected);
    // Once more is nothing new, and so is what it says already.
    redefine(&store, &after()).await;
    store
        .define(&declare(&movies, after()))
        .await
        .expect("define is idempotent");
    // It adds to the new declaration, and a field of before may have any type.
    let added = TableSchema::new().with_field("old", FieldType::String);
    store
        .define(&declare(&movies, added))
        .await
        .expect("it is new");
    let error = store.define(&declare(&movies, before())).await;
    let error = error.expect_err("rank is a number");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    redefine(&store, &TableSchema::new()).await;
    let expected = other.with_table(movies, TableSchema::new());
    assert_eq!(store.schema().await.expect("it answers"), expected);
}

/// What was stored is what is read, to the letter: values that fit the new type and those that do not, of fields that are gone and that are new.
pub async fn contents_stay_as_they_are(harness: &dyn Place) {
    let store = filled(harness).await;
    for declared in [after(), TableSchema::new(), before(), after()] {
        redefine(&store, &declared).await;
        assert_holds(&store, &table("movies"), &rows()).await;
    }
}

/// Queries, orders and indexes answer as if the table had always been declared so, and go on to when records change.
pub async fn queries_answer_by_the_new_declaration(harness: &dyn Place) {
    let movies = table("movies");
    let store = filled(harness).await;
    let mut records = rows();
    answers(&store, &before(), &records).await;
    redefine(&store, &after()).await;
    answers(&store, &after(), &records).await;
    // What an index of before or after says of a record moves with it.
    records[0] = record(r#"{"id":"a","name":"n3","rank":6,"title":"t4"}"#);
    let gone = records.remove(6);
    let batch = WriteBatch::new().put(&movies, records[0].clone());
    commit(&store, batch.delete(&movies, gone.id())).await;
    answers(&store, &after(), &records).await;
    // Entries that an index had before are no answers when it is there again.
    redefine(&store, &before()).await;
    answers(&store, &before(), &records).await;
    commit(&store, WriteBatch::new().clear(&movies)).await;
    answers(&store, &before(), &[]).await;
}

/// A table that is not there is not made, and a declaration that cannot be changes nothing.
pub async fn only_tables_that_are_there_are_redefined(harness: &dyn Place) {
    let store = store_with(harness, &[&table("movies")]).await;
    let unknown = store.redefine(&table("books"), &before()).await;
    let error = unknown.expect_err("there is no such table");
    assert_eq!(error.kind(), StoreErrorKind::UnknownTable, "{error}");
    let wrong = TableSchema::new().with_index(["nothing"]);
    let error = store.redefine(&table("movies"), &wrong).await;
    let error = error.expect_err("the index is over no field");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    let schema = store.schema().await.expect("it answers");
    assert_eq!(schema, declare(&table("movies"), TableSchema::new()));
}

/// A new declaration outlives the store, where that is persistent.
pub async fn a_new_declaration_is_there_when_opened_again(harness: &dyn Place) {
    let store = filled(harness).await;
    if !store.capabilities().persistent {
        return;
    }
    redefine(&store, &after()).await;
    store.close().await.expect("the store closes");
    drop(store);
    let store = harness.reopen().await.expect("the store opens again");
    let expected = Schema::new().with_table(table("movies"), after());
    assert_eq!(store.schema().await.expect("it answers"), expected);
    assert_holds(&store, &table("movies"), &rows()).await;
    answers(&store, &after(), &rows()).await;
}

/// Random records under one random declaration and then another, with random queries.
#[expect(
    clippy::future_not_send,
    reason = "random strategies stay on their thread; a behaviour is run by `block_on`"
)]
pub async fn random_declarations_answer_like_the_reference(harness: &dyn Place) {
    let case = (arb::schema(), arb::schema()).prop_flat_map(|(before, after)| {
        let queries = proptest::collection::vec(arb::query(&after), 6);
        let records = (arb::records(&before, 8), arb::records(&after, 8));
        (Just(before), Just(after), records, queries)
    });
    for_all(40, case, async |(before, after, (old, new), queries)| {
        let todo = table("todo");
        let harness = harness.another();
        let store = store_of(&*harness, &declare(&todo, before)).await;
        let mut records = old;
        for record in new {
            if !records.iter().any(|other| other.id() == record.id()) {
                records.push(record);
            }
        }
        put(&store, &todo, &records).await;
        records.sort_by(|left, right| left.id().cmp(right.id()));
        let done = store.redefine(&todo, &after).await;
        done.map_err(|error| error.to_string())?;
        for query in std::iter::once(&Query::all()).chain(&queries) {
            compare_query(&store, &todo, &after, &records, query).await?;
        }
        Ok(())
    })
    .await;
}
