//! Reading pages: options of the query, next links, and rows that change between pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use synctable_core::query::odata::percent_encode;
use synctable_core::store::{LocalStore, WriteBatch};
use synctable_core::{Declaration, FieldType, Record};
use synctable_memory::MemoryStore;
use synctable_server::{Limits, TableServer};

use crate::common::*;

/// A server with `count` rows `r00`, `r01`, .. in each table; `n` is the number modulo 10.
async fn filled(count: usize) -> TableServer {
    let server = server().await;
    fill(&server, "hard", count).await;
    fill(&server, "soft", count).await;
    server
}

async fn fill(server: &TableServer, table: &str, count: usize) {
    for n in 0..count {
        let body = format!(r#"{{"id":"r{n:02}","n":{},"t":"it's {n}"}}"#, n % 10);
        post(server, &format!("/tables/{table}"), &body)
            .await
            .expect(201);
    }
}

/// All pages from `query` on, following next links as a client does.
async fn pages(server: &TableServer, table: &str, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut query = Some(query.to_owned());
    while let Some(text) = query {
        let answer = get(server, &format!("/tables/{table}?{text}"))
            .await
            .expect(200);
        pages.push(answer.ids());
        query = answer.next_link();
        assert!(pages.len() < 1000, "endless");
    }
    pages
}

fn lengths(pages: &[Vec<String>]) -> Vec<usize> {
    pages.iter().map(Vec::len).collect()
}

#[tokio::test]
async fn an_answer_has_items_and_the_rest_only_where_it_is_asked_for() {
    let server = filled(3).await;
    let answer = get(&server, "/tables/hard").await.expect(200);
    assert_eq!(answer.ids(), ["r00", "r01", "r02"]);
    assert_eq!(answer.header("synctable-ordered"), Some("updatedAt,id"));
    assert_eq!(answer.header("etag"), None);
    let json = answer.json();
    let names: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(names, ["items"]);
    let answer = get(&server, "/tables/hard?$count=true&$top=1")
        .await
        .expect(200);
    assert_eq!(answer.json()["count"], json!(3));
    let empty = get(&server, "/tables/hard?$filter=n%20eq%2099")
        .await
        .expect(200);
    assert_eq!(empty.text, r#"{"items":[]}"#);
}

#[tokio::test]
async fn the_options_of_a_query() {
    let server = filled(12).await;
    for (query, ids) in [
        ("$filter=n+eq+1", vec!["r01", "r11"]),
        (
            "%24filter=n%20eq%201%20and%20t%20ne%20%27it%27%27s%2011%27",
            vec!["r01"],
        ),
        ("$FILTER=n gt 8".replace(' ', "%20").as_str(), vec!["r09"]),
        (
            "$orderby=n%20desc,id%20desc&$top=3",
            vec!["r09", "r08", "r07"],
        ),
        ("$orderby=n&$skip=2&$top=3", vec!["r01", "r11", "r02"]),
        ("$orderby=UpdatedAt%20desc&$top=1", vec!["r11"]),
        (
            "$filter=updatedAt%20ge%20cast(2026-01-31T12:00:00.010Z,Edm.DateTimeOffset)",
            vec!["r10", "r11"],
        ),
        (
            "$filter=id%20in%20(%27r03%27,%27r04%27)&custom=1",
            vec!["r03", "r04"],
        ),
        ("$top=0", vec![]),
        ("$skip=11", vec!["r11"]),
        ("$skip=100", vec![]),
    ] {
        let answer = get(&server, &format!("/tables/hard?{query}"))
            .await
            .expect(200);
        assert_eq!(answer.ids(), ids, "{query}");
        assert_eq!(answer.next_link(), None, "{query}");
    }
    let answer = get(&server, "/tables/hard?$select=n,ID&$top=1")
        .await
        .expect(200);
    assert_eq!(answer.text, r#"{"items":[{"n":0,"id":"r00"}]}"#);
    let answer = get(&server, "/tables/hard?$top=0&$count=true&$skip=5")
        .await
        .expect(200);
    assert_eq!(answer.json(), json!({"items": [], "count": 12}));
}

#[tokio::test]
async fn bad_queries_are_refused_with_the_place() {
    let server = filled(1).await;
    let deep = format!("$filter={}n{}", "(".repeat(500), ")".repeat(500));
    for query in [
        "$filter=n%20eq",
        "$filter=n%20eq%20'a",
        "$filter=nothing(n)",
        "$filter=year%20-%201900",
        "$orderby=n%20up",
        "$select=a,%20b",
        "$top=-1",
        "$top=x",
        "$top=128001",
        "$top=99999999999999999999",
        "$skip=-1",
        "$count=maybe",
        "$unknown=1",
        "$top=1&$top=2",
        "$skiptoken=nonsense",
        "$skiptoken=",
        deep.as_str(),
    ] {
        let answer = get(&server, &format!("/tables/hard?{query}"))
            .await
            .expect(400);
        assert!(!answer.error().contains(char::is_control));
    }
    let answer = get(&server, "/tables/hard?$filter=(n%20eq%20)")
        .await
        .expect(400);
    assert!(answer.error().contains("position 6"), "{}", answer.error());
    let server = filled(101).await;
    let next = get(&server, "/tables/hard?$orderby=n")
        .await
        .next_link()
        .unwrap();
    get(&server, &format!("/tables/hard?{next}"))
        .await
        .expect(200);
    let other = next.replace("$orderby=n", "$orderby=n,t");
    get(&server, &format!("/tables/hard?{other}"))
        .await
        .expect(400);
}

#[tokio::test]
async fn pages_are_cut_to_the_tables_size_and_drain() {
    let store = Arc::new(MemoryStore::new());
    let schema = Declaration::new().with_page_size(4).with_max_top(20);
    let server = builder(store, &TestClock::new())
        .table(table("small"), schema)
        .build()
        .await
        .unwrap();
    fill(&server, "small", 10).await;
    for (query, expected) in [
        ("", vec![4, 4, 2]),
        ("$top=20", vec![4, 4, 2]),
        ("$top=8", vec![4, 4]),
        ("$top=9", vec![4, 4, 1]),
        ("$top=3", vec![3]),
        ("$skip=3", vec![4, 3]),
        ("$skip=1&$top=6", vec![4, 2]),
        ("$skip=2&$top=8&$orderby=n%20desc", vec![4, 4]),
        ("$filter=n%20lt%208", vec![4, 4]),
        ("$filter=n%20lt%209", vec![4, 4, 1]),
    ] {
        assert_eq!(
            lengths(&pages(&server, "small", query).await),
            expected,
            "{query}"
        );
    }
    get(&server, "/tables/small?$top=21").await.expect(400);
    let query = "$filter=t%20ne%20'it''s%207'&$select=id&$count=true&x=%26&$top=9";
    let first = get(&server, &format!("/tables/small?{query}"))
        .await
        .expect(200);
    let next = first.next_link().unwrap();
    assert!(!next.starts_with('?') && !next.contains("skip="), "{next}");
    assert!(
        next.contains("x=%26") && next.contains("%24top=5"),
        "{next}"
    );
    let second = get(&server, &format!("/tables/small?{next}"))
        .await
        .expect(200);
    assert_eq!(second.json()["count"], json!(9));
    assert_eq!(second.json()["items"][0], json!({"id": "r04"}));
}

#[tokio::test]
async fn tombstones_are_hidden_unless_asked_for() {
    let server = filled(4).await;
    delete(&server, "/tables/soft/r01").await.expect(204);
    for (query, ids) in [
        ("", vec!["r00", "r02", "r03"]),
        ("__includeDeleted=false", vec!["r00", "r02", "r03"]),
        ("__includedeleted=TRUE", vec!["r00", "r01", "r02", "r03"]),
        ("$filter=deleted%20eq%20true", vec![]),
        (
            "$filter=deleted%20eq%20true&__includeDeleted=true",
            vec!["r01"],
        ),
        ("$filter=n%20eq%201%20or%20n%20eq%202", vec!["r02"]),
    ] {
        let answer = get(&server, &format!("/tables/soft?$count=true&{query}"))
            .await
            .expect(200);
        assert_eq!(answer.ids(), ids, "{query}");
        assert_eq!(answer.json()["count"], json!(ids.len()), "{query}");
    }
}

#[tokio::test]
async fn next_pages_keep_asking_for_tombstones() {
    let server = filled(101).await;
    delete(&server, "/tables/soft/r100").await.expect(204);
    let pages = pages(&server, "soft", "__includeDeleted=true&$orderby=updatedAt").await;
    assert_eq!(lengths(&pages), [100, 1]);
    assert_eq!(pages[1], ["r100"]);
}

#[tokio::test]
async fn a_page_has_a_bound_in_bytes() {
    let mut limits = Limits::default();
    limits.page = 5000;
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .limits(limits)
        .build()
        .await
        .unwrap();
    for (n, size) in [10, 2000, 2000, 9000, 9000, 10, 10].into_iter().enumerate() {
        let body = format!(r#"{{"id":"r{n}","x":"{}"}}"#, "x".repeat(size));
        post(&server, "/tables/hard", &body).await.expect(201);
    }
    let all = pages(&server, "hard", "").await;
    assert_eq!(lengths(&all), [3, 1, 1, 2]);
    assert_eq!(all.concat(), ["r0", "r1", "r2", "r3", "r4", "r5", "r6"]);
    let some = pages(&server, "hard", "$top=5").await;
    assert_eq!(lengths(&some), [3, 1, 1]);
}

#[tokio::test]
async fn unknown_names_are_refused_where_fields_are_declared() {
    let schema = Declaration::new()
        .with_field("title", FieldType::String)
        .with_field("year", FieldType::Integer);
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .table(table("movies"), schema)
        .build()
        .await
        .unwrap();
    post(
        &server,
        "/tables/movies",
        r#"{"id":"a","title":"T","free":1}"#,
    )
    .await
    .expect(201);
    for (query, status) in [
        ("$filter=title%20eq%20'T'", 200),
        ("$filter=TITLE%20eq%20'T'", 200),
        ("$orderby=Year,updatedat", 200),
        ("$select=YEAR,Version", 200),
        ("$filter=free%20eq%201", 400),
        (
            "$filter=year%20eq%201%20or%20tolower(nothing)%20eq%20'a'",
            400,
        ),
        ("$orderby=nothing", 400),
        ("$select=title,nothing", 400),
    ] {
        get(&server, &format!("/tables/movies?{query}"))
            .await
            .expect(status);
        if status == 400 {
            get(&server, &format!("/tables/hard?{query}"))
                .await
                .expect(200);
        }
    }
    let answer = get(
        &server,
        "/tables/movies?$filter=TITLE%20eq%20'T'&$select=YEAR,Title",
    )
    .await;
    assert_eq!(answer.text, r#"{"items":[{"year":null,"title":"T"}]}"#);
}

#[tokio::test]
async fn rows_of_one_time_are_paged_by_id() {
    let store = Arc::new(MemoryStore::new());
    let server = builder(Arc::<MemoryStore>::clone(&store), &TestClock::new())
        .build()
        .await
        .unwrap();
    let mut batch = WriteBatch::new();
    for n in 0..250 {
        let text = format!(r#"{{"id":"r{n:03}","updatedAt":"2026-01-01T00:00:00Z"}}"#);
        batch = batch.put(&table("hard"), Record::from_json(&text).unwrap());
    }
    store.commit(batch).await.unwrap();
    let all = pages(&server, "hard", "$orderby=updatedAt").await;
    assert_eq!(lengths(&all), [100, 100, 50]);
    assert_eq!(all.concat().iter().collect::<BTreeSet<_>>().len(), 250);
}

/// What happens between two pages.
#[derive(Debug, Clone)]
enum Event {
    Put(u8, u8),
    Delete(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..40u8, 0..10u8).prop_map(|(id, n)| Event::Put(id, n)),
        (0..40u8).prop_map(Event::Delete),
    ]
}

async fn play(server: &TableServer, list: &str, event: &Event, touched: &mut BTreeSet<String>) {
    let (Event::Put(id, _) | Event::Delete(id)) = event;
    let id = format!("r{id:02}");
    let path = format!("{list}/{id}");
    match event {
        Event::Delete(_) => drop(delete(server, &path).await),
        Event::Put(_, n) => {
            let body = format!(r#"{{"id":"{id}","n":{n},"deleted":false}}"#);
            let put = put(server, &format!("{path}?__includedeleted=true"), &body).await;
            if put.status == 404 {
                post(server, list, &body).await.expect(201);
            }
        }
    }
    touched.insert(id);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever happens between pages, a row that nobody touched comes exactly once.
    #[test]
    fn unchanged_rows_are_neither_skipped_nor_repeated(
        rows in prop::collection::btree_map(0..40u8, 0..10u8, 0..40),
        size in 1..6u32,
        soft in any::<bool>(),
        options in prop::sample::select(vec![
            "",
            "$orderby=n",
            "$orderby=n desc",
            "$orderby=updatedAt",
            "$orderby=updatedAt desc&__includeDeleted=true",
            "$filter=n ge 4",
            "$filter=n ge 4&$orderby=n,id desc",
        ]),
        events in prop::collection::vec(prop::collection::vec(event(), 0..4), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut schema = Declaration::new().with_page_size(size);
            schema.server.soft_delete = soft;
            let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
                .table(table("rows"), schema)
                .build()
                .await
                .unwrap();
            let mut touched = BTreeSet::new();
            for (id, n) in &rows {
                play(&server, "/tables/rows", &Event::Put(*id, *n), &mut touched).await;
            }
            touched.clear();
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            let mut events = events.iter();
            let mut query = Some(options.replace(' ', "%20"));
            while let Some(text) = query {
                let answer = get(&server, &format!("/tables/rows?{text}")).await.expect(200);
                for id in answer.ids() {
                    *seen.entry(id).or_default() += 1;
                }
                query = answer.next_link();
                for event in events.next().into_iter().flatten() {
                    play(&server, "/tables/rows", event, &mut touched).await;
                }
            }
            for (id, n) in &rows {
                let id = format!("r{id:02}");
                if !touched.contains(&id) {
                    let expected = usize::from(!options.contains("n ge 4") || *n >= 4);
                    assert_eq!(seen.get(&id).copied().unwrap_or_default(), expected, "{id}");
                }
            }
        });
    }
}

#[tokio::test]
async fn a_page_can_end_at_every_kind_of_value() {
    let schema = Declaration::new().with_page_size(1);
    let server = builder(Arc::new(MemoryStore::new()), &TestClock::new())
        .table(table("ends"), schema)
        .build()
        .await
        .unwrap();
    let values = [
        json!(null),
        json!(true),
        json!(-1.5),
        json!(9_007_199_254_740_993_i64),
        json!("ü & = + / ' \" %"),
        json!("2026-01-01"),
        json!([1]),
        json!({"a": 1}),
        json!(""),
    ];
    for (n, value) in values.iter().enumerate() {
        let body = json!({"id": format!("r{n} %&='"), "v": value, "w": {"x": value}});
        post(&server, "/tables/ends", &body.to_string())
            .await
            .expect(201);
    }
    for order in ["v", "v desc", "w/x,v desc"] {
        let query = format!("$orderby={}&$top=9", percent_encode(order));
        let pages = pages(&server, "ends", &query).await;
        assert_eq!(lengths(&pages), [1; 9], "{order}");
        let unique: BTreeSet<String> = pages.concat().into_iter().collect();
        assert_eq!(unique.len(), 9, "{order}");
    }
}
