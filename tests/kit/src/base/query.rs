//! Queries: filter, order, window and pages, judged by the reference evaluation.

use synctable_core::query::odata::parse_filter;
use synctable_core::query::{Field, Query, field};
use synctable_core::store::{LocalStoreExt, Page, StoreErrorKind, WriteBatch};
use synctable_core::{Date, FieldType, Record, TableName, TableSchema, Timestamp};

use crate::Place;
use crate::compare_query;
use crate::fixture::{
    Store, all, are_kept, assert_holds, assert_kept, commit, declare, id, put, record, store_of,
    store_with, table,
};

/// Records with ties, nulls, missing members and values of mixed kinds.
fn records() -> Vec<Record> {
    [
        r#"{"id":"01","title":"Milk","n":1,"rating":"PG","due":"2024-02-29","at":"2024-02-29T11:00:00Z","done":true}"#,
        r#"{"id":"02","title":"milk","n":1.0,"rating":"G","due":"2024-03-01","at":"2024-02-29T12:00:00+01:00","done":false}"#,
        r#"{"id":"03","title":"Bread","n":2,"rating":"R","due":"1969-12-31","at":"2024-02-29T11:00:00.0000001Z"}"#,
        r#"{"id":"04","title":"bread","n":-2.5,"rating":"G","due":null,"at":null,"done":null}"#,
        r#"{"id":"05","title":"Straße","n":9007199254740993,"version":"v5","updatedAt":"2024-02-29T12:00:00Z"}"#,
        r#"{"id":"06","title":"STRASSE","n":9007199254740992.0,"version":"v6","updatedAt":"2024-02-29T12:00:00.001Z"}"#,
        r#"{"id":"07","title":"","n":0,"deleted":true,"place":{"type":"Point","coordinates":[13.4,52.5]}}"#,
        r#"{"id":"08","title":null,"n":null,"deleted":true,"place":{"type":"Point","coordinates":[2.35,48.86]}}"#,
        r#"{"id":"09"}"#,
        r#"{"id":"10","title":1,"n":"1","rating":1,"due":"tomorrow","at":"2024-02-29","done":"true","place":[]}"#,
        r#"{"id":"11","title":"%","n":1e2,"obj":{"city":"Berlin","zip":{"code":10115}}}"#,
        r#"{"id":"12","title":"100%","n":100,"obj":{"city":"Bonn","zip":null}}"#,
        r#"{"id":"13","title":"a_b","n":-0.0,"obj":[{"city":"Berlin"}]}"#,
        r#"{"id":"14","title":"é","n":12345678901234567890,"obj":"Berlin"}"#,
        r#"{"id":"15","title":"é","n":0.1,"rating":"XXX","due":"2024-02-30"}"#,
        r#"{"id":"16","title":"日本","n":-9223372036854775808,"rating":"PG","due":"2024-02-29","at":"2024-03-01T00:00:00Z"}"#,
        r#"{"id":"17","title":"o'clock","n":9223372036854775807,"rating":"PG","due":"2024-02-29","done":true}"#,
        r#"{"id":"18","title":"a\u0000b","n":7,"rating":"R","due":"2024-02-29","done":true}"#,
        r#"{"id":"A","title":"Milk","n":7,"done":true}"#,
        r#"{"id":"a","title":"Milk","n":7,"done":true}"#,
    ]
    .map(record)
    .to_vec()
}

fn declared() -> TableSchema {
    let words = ["PG", "G", "R"].map(str::to_owned).to_vec();
    TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("n", FieldType::Number)
        .with_field("rating", FieldType::Enum(words))
        .with_field("due", FieldType::Date)
        .with_field("at", FieldType::DateTime)
        .with_field("done", FieldType::Boolean)
        .with_field("place", FieldType::GeoPoint)
        .with_field("obj", FieldType::Json)
        .with_index(["n"])
        .with_index(["rating", "title"])
        .with_index(["updatedAt", "id"])
}

fn queries() -> Vec<Query> {
    let time: Timestamp = "2024-02-29T11:00:00Z".parse().expect("a time");
    let date: Date = "2024-02-29".parse().expect("a date");
    let filters = [
        field("title").eq("Milk"),
        field("title").ne("Milk"),
        field("title").is_null(),
        field("title").gt("Z"),
        field("title").to_lower().eq("milk"),
        field("title").to_lower().eq("straße"),
        field("title")
            .contains("%")
            .or(field("title").starts_with("a_")),
        field("title").length().gt(5),
        field("title").is_in(["Milk", "o'clock", "a\0b"]),
        field("n").eq(1),
        field("n").ge(9_007_199_254_740_993_i64),
        field("n").lt(0.5),
        field("n").is_in([7, 100]),
        field("rating").le("G"),
        field("rating").eq("XXX"),
        field("due").le(date),
        field("due").eq("2024-02-29"),
        field("due").year().eq(2024).and(field("due").day().gt(1)),
        field("at").eq(time),
        field("at").gt(date),
        field("at").hour().eq(12),
        field("at")
            .date()
            .eq(date)
            .and(field("at").time().gt("11:30:00")),
        field("updatedAt").hour().cast_text().eq("12"),
        field("n").round().eq(-3),
        field("n").round().cast_text().eq("0.0"),
        field("n").cast_text().eq("1.0"),
        parse_filter("1 div n gt 1e308").expect("a filter"),
        parse_filter("n div 0.0 eq INF and n lt INF").expect("a filter"),
        field("n").gt(f64::NEG_INFINITY),
        field("n").is_in([f64::INFINITY, 7.0]),
        field("n").div(0).is_null(),
        field("n").div(0.0).lt(-1e308),
        field("done").cast_text().eq("true"),
        field("due").cast_text().gt("2024-02"),
        field("done").into(),
        field("done").eq(true).not(),
        field("deleted")
            .eq(false)
            .and(field("version").is_not_null()),
        field("updatedAt").gt("2024-02-29T12:00:00Z".parse::<Timestamp>().expect("a time")),
        field("id").ge("1").and(field("id").lt("a")),
        field("obj/city").eq("Berlin"),
        field("obj/zip/code").gt(1),
        field("nowhere").is_null(),
    ];
    let orders = [
        Query::all(),
        Query::all().order_by("title"),
        Query::all().order_by_desc("n"),
        Query::all().order_by("rating").order_by_desc("title"),
        Query::all().order_by("due").order_by("at"),
        Query::all()
            .order_by_desc("done")
            .order_by_desc("updatedAt"),
        Query::all().order_by("place").order_by_desc("obj/city"),
        Query::all().order_by_desc("id"),
        Query::all().order_by("deleted").order_by("id"),
        Query::all().order_by("updatedAt").order_by("id"),
        Query::all().order_by("updatedAt"),
        Query::all().order_by_desc("updatedAt"),
        Query::all().order_by("updatedAt").order_by_desc("id"),
    ];
    let windows = [
        |query: Query| query,
        |query: Query| query.page(1),
        |query: Query| query.page(3),
        |query: Query| query.page(20),
        |query: Query| query.skip(2).top(7).page(3),
        |query: Query| query.top(6).page(3),
        |query: Query| query.top(0),
        |query: Query| query.skip(19),
        |query: Query| query.skip(1000).top(u64::MAX),
        |query: Query| query.skip(u64::MAX).top(1),
    ];
    let filtered = filters
        .into_iter()
        .map(|filter| Query::all().filter(filter).page(4));
    let windowed = orders
        .into_iter()
        .flat_map(|query| windows.map(|window| window(query.clone())));
    let both = Query::all()
        .filter(field("n").ge(0))
        .order_by("rating")
        .order_by("n")
        .skip(1)
        .top(5)
        .page(2);
    let bound = [
        field("done").eq(true),
        field("n").gt(0).or(field("rating").eq("G")),
    ]
    .map(|rule| {
        let query = Query::all().filter(field("id").gt("02").and(field("title").ne("é")));
        query.within(rule).order_by_desc("n").page(2)
    });
    filtered
        .chain(windowed)
        .chain([both])
        .chain(bound)
        .collect()
}

/// Filters, orders and windows over members that are not declared.
pub async fn queries_answer_like_the_reference(harness: &dyn Place) {
    queries_answer(harness, TableSchema::new()).await;
}

/// Filters, orders and windows over declared and indexed fields, with values that do not fit their type.
pub async fn queries_of_declared_fields_answer_like_the_reference(harness: &dyn Place) {
    queries_answer(harness, declared()).await;
}

fn by_id(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by(|a, b| a.id().cmp(b.id()));
    records
}

async fn queries_answer(harness: &dyn Place, schema: TableSchema) {
    let (todo, other) = (table("todo"), table("other"));
    let tables = declare(&todo, schema.clone()).with_table(other.clone(), TableSchema::new());
    let store = store_of(harness, &tables).await;
    let records = records();
    put(&store, &todo, &records).await;
    put(
        &store,
        &other,
        &[record(r#"{"id":"015","title":"Milk","n":1}"#)],
    )
    .await;
    // A cast to text shows the spelling of the store.
    let kept = all(&store, &todo).await;
    assert_kept(&store, &kept, &by_id(records), "the records");
    for query in queries() {
        if let Err(difference) = compare_query(&store, &todo, &schema, &kept, &query).await {
            panic!("{difference}");
        }
    }
}

/// A filter that makes long texts out of short ones is refused before it takes the memory.
pub async fn long_texts_are_refused(harness: &dyn Place) {
    for schema in [TableSchema::new(), declared()] {
        let todo = table("todo");
        let store = store_of(harness, &declare(&todo, schema)).await;
        put(&store, &todo, &records()).await;
        let longer = |text: Field| {
            let ten = "a".repeat(10);
            text.replace("a", ten.clone())
                .replace("a", ten.clone())
                .replace("a", ten)
        };
        let base = || field("title").concat("aaaaaaaaaa");
        let long = longer(longer(base())).length().gt(5);
        let both = longer(base()).concat(longer(base())).length().gt(20_000);
        for (filter, most, fits) in [
            (longer(base()).length().gt(10_000), 1 << 20, true),
            (long, 1 << 20, false),
            (both.clone(), 1 << 20, true),
            (both, 15_000, false),
        ] {
            let mut query = Query::all().filter(filter.clone());
            query.budget.text = most;
            let answers = [
                store
                    .query(&todo, &query)
                    .await
                    .map(|page| !page.records.is_empty()),
                store.count(&todo, &query).await.map(|count| count > 0),
            ];
            for answer in answers {
                match answer {
                    Ok(found) => assert!(fits && found, "{filter:?} is answered"),
                    Err(error) => {
                        assert!(!fits, "{filter:?} fails: {error}");
                        assert_eq!(
                            error.kind(),
                            StoreErrorKind::OverBudget,
                            "{filter:?}: {error}"
                        );
                    }
                }
            }
        }
    }
}

/// A budget of steps counts what is judged for whoever asks: records that the query is not bound to cost it nothing.
pub async fn only_granted_records_count_against_a_budget(harness: &dyn Place) {
    for schema in [TableSchema::new(), declared()] {
        let todo = table("todo");
        let store = store_of(harness, &declare(&todo, schema)).await;
        let rows: Vec<Record> = (0..2_000)
            .map(|n| {
                record(&format!(
                    r#"{{"id":"r{n:04}","n":{n},"title":"the same","done":{}}}"#,
                    n < 3
                ))
            })
            .collect();
        put(&store, &todo, &rows).await;
        let filter = || {
            field("title")
                .to_upper()
                .contains("SAME")
                .and(field("n").ge(0))
        };
        let mut mine = Query::all().filter(filter()).within(field("done").eq(true));
        mine.budget.steps = 200;
        let found = store
            .query(&todo, &mine)
            .await
            .map(|page| page.records.len());
        assert_eq!(found.map_err(|error| error.kind()), Ok(3));
        assert_eq!(
            store
                .count(&todo, &mine)
                .await
                .map_err(|error| error.kind()),
            Ok(3)
        );
        let mut all = Query::all()
            .filter(filter())
            .within(field("n").ge(0))
            .page(5_000);
        all.budget.steps = 200;
        let refused = store.query(&todo, &all).await.map_err(|error| error.kind());
        assert_eq!(refused, Err(StoreErrorKind::OverBudget));
        all.budget.steps = 1_000_000;
        let found = store
            .query(&todo, &all)
            .await
            .map(|page| page.records.len());
        assert_eq!(found.map_err(|error| error.kind()), Ok(2_000));
    }
}

/// Following the pages gives every record once, in order, whatever the size of a page; without one it is 100.
pub async fn pages_follow_each_other_without_gap(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let records: Vec<Record> = (0..250)
        .map(|n| record(&format!(r#"{{"id":"{n:03}","tie":{}}}"#, n / 200)))
        .collect();
    put(&store, &todo, &records).await;
    for query in [
        Query::all(),
        Query::all().order_by("tie"),
        Query::all().filter(field("tie").ge(0)),
    ] {
        let first = page(&store, &todo, &query).await;
        assert_kept(&store, &first.records, &records[..100], "the first page");
        assert!(first.next.is_some());
        for size in [1, 7, 125, 249, 250, 251, u32::MAX] {
            let query = query.clone().page(size);
            let first = page(&store, &todo, &query).await;
            assert_eq!(
                first.records.len(),
                usize::try_from(size).unwrap_or(250).min(250)
            );
            assert_eq!(first.next.is_some(), size < 250, "page of {size}");
            let found = store.query_all(&todo, &query).await.expect("query answers");
            let kept = are_kept(store.capabilities(), &found, &records);
            assert!(kept, "pages of {size} skip or repeat a record");
        }
    }
}

/// A cursor is a position by value: records that come and go around it neither skip nor repeat others.
pub async fn cursor_stays_good_when_records_come_and_go(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let of = |name: &str, n: i64| record(&format!(r#"{{"id":"{name}","n":{n}}}"#));
    let records = [of("b", 2), of("d", 4), of("f", 6), of("h", 8)];
    for order in [Query::all(), Query::all().order_by("n")] {
        commit(&store, WriteBatch::new().clear(&todo)).await;
        put(&store, &todo, &records).await;
        let first = page(&store, &todo, &order.clone().page(2)).await;
        assert_kept(&store, &first.records, &records[..2], "the first page");
        // The record at the cursor goes, others come before and behind it.
        let batch = WriteBatch::new()
            .delete(&todo, &id("d"))
            .delete(&todo, &id("h"))
            .put(&todo, of("a", 1))
            .put(&todo, of("c", 3))
            .put(&todo, of("e", 5));
        commit(&store, batch).await;
        let second = page(&store, &todo, &order.after(first.next).page(2)).await;
        let rest = [of("e", 5), of("f", 6)];
        assert_kept(&store, &second.records, &rest, "the second page");
        assert_eq!(second.next, None);
    }
    assert_holds(
        &store,
        &todo,
        &[of("a", 1), of("b", 2), of("c", 3), of("e", 5), of("f", 6)],
    )
    .await;
}

/// A cursor that does not fit the order of the query is an error, not a wrong page.
pub async fn cursor_of_another_order_is_refused(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    put(&store, &todo, &records()).await;
    let by_n = Query::all().order_by("n").page(2);
    let cursor = page(&store, &todo, &by_n).await.next;
    for query in [Query::all(), by_n.clone().order_by("title")] {
        let error = store
            .query(&todo, &query.after(cursor.clone()))
            .await
            .expect_err("another order");
        assert_eq!(error.kind(), StoreErrorKind::Other, "{error}");
    }
    page(&store, &todo, &by_n.after(cursor)).await;
}

/// A table without records has one page, and that is empty.
pub async fn empty_table_has_one_empty_page(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_of(harness, &declare(&todo, declared())).await;
    for query in queries() {
        assert_eq!(page(&store, &todo, &query).await, Page::default());
        assert_eq!(store.count(&todo, &query).await.expect("count answers"), 0);
    }
}

async fn page(store: &Store, table: &TableName, query: &Query) -> Page {
    store.query(table, query).await.expect("query answers")
}
