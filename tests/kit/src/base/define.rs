//! Declarations.

use synctable_core::query::{Query, field};
use synctable_core::store::{Expect, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{FieldOptions, FieldType, Record, Schema, TableSchema};

use crate::Place;
use crate::compare_query;
use crate::fixture::{assert_holds, commit, declare, id, put, record, store_of, store_with, table};

/// Declaring the same again is fine and changes nothing.
pub async fn define_twice_changes_nothing(harness: &dyn Place) {
    let movies = table("movies");
    let declared = TableSchema::new()
        .with_field("year", FieldType::Integer)
        .with_index(["year"]);
    let schema = declare(&movies, declared);
    let store = store_of(harness, &schema).await;
    let kept = record(r#"{"id":"a","year":1999}"#);
    put(&store, &movies, std::slice::from_ref(&kept)).await;
    store.define(&schema).await.expect("define is idempotent");
    store
        .define(&Schema::new())
        .await
        .expect("nothing to define");
    assert_holds(&store, &movies, &[kept]).await;
}

/// A later declaration adds fields and indexes; records stay, and their members now have the declared kind.
pub async fn define_adds_fields_and_keeps_records(harness: &dyn Place) {
    let movies = table("movies");
    let first = TableSchema::new().with_field("title", FieldType::String);
    let store = store_of(harness, &declare(&movies, first)).await;
    let records = [
        record(
            r#"{"id":"a","title":"A","rating":"R","year":1999.0,"seen":"2024-02-29T12:00:00+01:00"}"#,
        ),
        record(r#"{"id":"b","rating":"PG","year":2001,"seen":"2024-02-29T11:30:00Z"}"#),
        record(r#"{"id":"c","rating":"G","year":"x","seen":null}"#),
    ];
    put(&store, &movies, &records).await;
    let words = ["G", "PG", "R"].map(str::to_owned).to_vec();
    let second = TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("year", FieldType::Integer)
        .with_field("rating", FieldType::Enum(words))
        .with_field("seen", FieldType::DateTime)
        .with_index(["rating"])
        .with_index(["year", "title"]);
    store
        .define(&declare(&movies, second.clone()))
        .await
        .expect("define adds");
    assert_holds(&store, &movies, &records).await;
    for query in [
        Query::all().order_by("rating"),
        Query::all().order_by_desc("seen"),
        Query::all().filter(field("rating").lt("R")),
        Query::all().filter(field("year").ge(1999)),
    ] {
        compare_query(&store, &movies, &second, &records, &query)
            .await
            .expect("declared kinds count");
    }
    // What the new declaration left out is still there.
    let third = declare(
        &movies,
        TableSchema::new().with_field("extra", FieldType::Json),
    );
    store.define(&third).await.expect("define adds");
    let again = declare(
        &movies,
        TableSchema::new().with_field("year", FieldType::String),
    );
    let error = store.define(&again).await.expect_err("year is an integer");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
}

/// A field keeps its type; the whole declaration is refused, also its other tables.
pub async fn define_refuses_another_type_and_changes_nothing(harness: &dyn Place) {
    let (movies, other) = (table("movies"), table("other"));
    let declared = TableSchema::new().with_field("year", FieldType::Integer);
    let store = store_of(harness, &declare(&movies, declared)).await;
    let kept = record(r#"{"id":"a","year":1999}"#);
    put(&store, &movies, std::slice::from_ref(&kept)).await;
    let retyped = TableSchema::new().with_field("year", FieldType::String);
    let schema = declare(&movies, retyped).with_table(other.clone(), TableSchema::new());
    let error = store.define(&schema).await.expect_err("another type");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    assert_holds(&store, &movies, &[kept]).await;
    let error = store
        .query(&other, &Query::all())
        .await
        .expect_err("not defined");
    assert_eq!(error.kind(), StoreErrorKind::UnknownTable, "{error}");
}

/// An enum takes further words at its end, and no other change.
pub async fn define_lets_an_enum_grow(harness: &dyn Place) {
    let movies = table("movies");
    let rating = |words: &[&str]| {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        TableSchema::new()
            .with_field("rating", FieldType::Enum(words))
            .with_index(["rating"])
    };
    let store = store_of(harness, &declare(&movies, rating(&["PG", "G"]))).await;
    let records = [
        record(r#"{"id":"a","rating":"A"}"#),
        record(r#"{"id":"b","rating":"G"}"#),
        record(r#"{"id":"c","rating":"PG"}"#),
    ];
    put(&store, &movies, &records).await;
    let grown = rating(&["PG", "G", "A"]);
    store
        .define(&declare(&movies, grown.clone()))
        .await
        .expect("an enum may grow");
    let query = Query::all().order_by("rating");
    compare_query(&store, &movies, &grown, &records, &query)
        .await
        .expect("new words count");
    let shuffled = declare(&movies, rating(&["G", "PG", "A"]));
    let error = store
        .define(&shuffled)
        .await
        .expect_err("words cannot move");
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
}

/// Records that hold a word before it is declared are ordered by its place afterwards, and nothing is left of them under its text: neither
/// where they are changed, nor where they are removed.
pub async fn define_orders_words_that_records_hold_already(harness: &dyn Place) {
    let movies = table("movies");
    let rating = |words: &[&str]| {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        TableSchema::new()
            .with_field("rating", FieldType::Enum(words))
            .with_field("year", FieldType::Integer)
            .with_index(["rating"])
            .with_index(["year", "rating"])
            .with_index(["year"])
    };
    let of = |id: &str, rating: &str| {
        record(&format!(
            r#"{{"id":"{id}","rating":"{rating}","year":1979}}"#
        ))
    };
    let store = store_of(harness, &declare(&movies, rating(&["PG", "G"]))).await;
    let mut records = vec![
        of("a", "A"),
        of("b", "G"),
        of("c", "X"),
        of("d", "R"),
        of("e", "R"),
        of("f", "unknown"),
    ];
    put(&store, &movies, &records).await;
    let grown = rating(&["PG", "G", "X", "R", "A"]);
    let equal = async |records: &[Record]| {
        let year = || Query::all().filter(field("year").eq(1979));
        for query in [
            Query::all().order_by("rating"),
            Query::all().order_by("rating").page(2),
            Query::all().order_by_desc("rating").page(1),
            year().order_by("rating"),
            year(),
            Query::all().filter(field("rating").eq("R")),
            Query::all().filter(field("rating").gt("X")),
            Query::all().filter(field("rating").eq("unknown")),
        ] {
            compare_query(&store, &movies, &grown, records, &query)
                .await
                .expect("the new words count");
        }
    };
    store
        .define(&declare(&movies, grown.clone()))
        .await
        .expect("an enum may grow");
    equal(&records).await;
    records[0] = of("a", "PG");
    put(&store, &movies, &records[..1]).await;
    equal(&records).await;
    let gone = records.remove(3);
    let batch = WriteBatch::new().delete(&movies, gone.id());
    store.commit(batch).await.expect("the batch is taken");
    equal(&records).await;
}

/// Tables that a declaration does not name stay.
pub async fn define_leaves_other_tables_alone(harness: &dyn Place) {
    let (movies, books) = (table("movies"), table("books"));
    let store = store_with(harness, &[&movies]).await;
    let kept = record(r#"{"id":"a"}"#);
    put(&store, &movies, std::slice::from_ref(&kept)).await;
    store
        .define(&declare(&books, TableSchema::new()))
        .await
        .expect("define adds");
    assert_holds(&store, &movies, &[kept]).await;
    assert_holds(&store, &books, &[]).await;
}

/// A table that was never defined is an error in every call, and nothing is written.
pub async fn unknown_tables_are_refused_in_every_call(harness: &dyn Place) {
    let (known, unknown) = (table("known"), table("unknown"));
    let store = store_with(harness, &[&known]).await;
    let refused = |error: Option<StoreError>| {
        assert_eq!(
            error.expect("an error").kind(),
            StoreErrorKind::UnknownTable
        );
    };
    refused(store.get(&unknown, &[id("a")]).await.err());
    refused(store.get(&unknown, &[]).await.err());
    refused(store.query(&unknown, &Query::all()).await.err());
    refused(store.count(&unknown, &Query::all()).await.err());
    let a = record(r#"{"id":"a"}"#);
    let good = || WriteBatch::new().put(&known, a.clone());
    refused(store.commit(good().put(&unknown, a.clone())).await.err());
    refused(store.commit(good().delete(&unknown, a.id())).await.err());
    refused(store.commit(good().clear(&unknown)).await.err());
    for expect in [
        Expect::Absent,
        Expect::Present,
        Expect::Same(Box::new(a.clone())),
    ] {
        let mut batch = good();
        batch.check(&unknown, a.id(), expect);
        refused(store.commit(batch).await.err());
    }
    assert_holds(&store, &known, &[]).await;
    commit(&store, good()).await;
    assert_holds(&store, &known, std::slice::from_ref(&a)).await;
}

/// The store says what was declared, table by table, as all calls of `define` add up.
pub async fn schema_is_what_was_declared(harness: &dyn Place) {
    let (movies, books) = (table("movies"), table("books"));
    let words = |words: &[&str]| FieldType::Enum(words.iter().map(|word| (*word).into()).collect());
    let first = TableSchema::new()
        .with_field("rating", words(&["G"]))
        .with_field_options("code", FieldType::String, FieldOptions::new().with_unique())
        .with_index(["rating"]);
    let later = TableSchema::new()
        .with_field_options(
            "rating",
            words(&["G", "PG"]),
            FieldOptions::new().with_default("G"),
        )
        .with_field("year", FieldType::Integer)
        .with_index(["year", "rating"]);
    let store = store_of(harness, &declare(&movies, first.clone())).await;
    let declared = declare(&movies, first);
    assert_eq!(store.schema().await.expect("schema answers"), declared);
    let later = declare(&movies, later).with_table(books, TableSchema::new());
    store.define(&later).await.expect("define adds");
    let declared = declared.merged(&later).expect("both fit");
    assert_eq!(store.schema().await.expect("schema answers"), declared);
}
