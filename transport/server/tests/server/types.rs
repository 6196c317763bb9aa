//! Tables with declared types, over both kinds of stores and in all dialects.

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::Declarations;
use synctable_core::query::odata::percent_encode;
use synctable_core::store::LocalStore;
use synctable_memory::MemoryStore;
use synctable_server::TableServer;
use synctable_sqlite::SqliteStore;
use tempfile::TempDir;

use crate::common::*;

const SCHEMA: &str = r#"{"tables": {"movies": {"softDelete": true,
  "fields": {"title": "string", "year": "integer", "score": "number", "winner": "boolean", "released": "date",
             "at": "time", "seen": "datetime", "blob": "bytes", "place": "geopoint", "extra": "json",
             "rating": {"enum": ["G", "PG", "R"]}}}}}"#;

const ROWS: [&str; 4] = [
    r#"{"id":"a","title":"Alien","year":1979,"score":8.50,"winner":true,"released":"1979-05-25","at":"20:15:00","seen":"2026-01-02T03:04:05.678Z","blob":"AAEC","place":{"type":"Point","coordinates":[2.35,48.85]},"extra":{"tags":["x","y"],"deep":{"n":7}},"rating":"R"}"#,
    r#"{"id":"b","title":"Babe","year":1995,"score":6.8,"winner":false,"released":"1995-08-04","at":"10:00:00","seen":"2026-02-02T00:00:00.000Z","place":{"type":"Point","coordinates":[-0.12,51.5]},"extra":{"deep":{"n":3}},"rating":"G"}"#,
    r#"{"id":"c","title":" Casino it's ","year":1995,"score":-2.5,"winner":false,"rating":"PG"}"#,
    r#"{"id":"d","extra":[1,2.50,12345678901234567890]}"#,
];

const DIALECTS: [(&str, Headers<'static>); 3] = [
    ("toolkit", &[]),
    ("zumo2", &[("zumo-api-version", "2.0.0")]),
    (
        "zumo3",
        &[("zumo-api-version", "3.0.0"), ("x-zumo-version", "x")],
    ),
];

/// The servers, and the folder of the one with files.
async fn servers() -> ([TableServer; 2], TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let memory: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
    let sqlite: Arc<dyn LocalStore> =
        Arc::new(SqliteStore::open(folder.path().join("rows.db")).unwrap());
    let open = async |store| {
        let server = TableServer::builder(store)
            .schema(Declarations::from_json(SCHEMA).unwrap())
            .build()
            .await
            .unwrap();
        for row in ROWS {
            post(&server, "/tables/movies", row).await.expect(201);
        }
        server
    };
    ([open(memory).await, open(sqlite).await], folder)
}

/// The ids of a page, one letter each.
fn letters(answer: &Answer) -> String {
    let json = answer.json();
    let rows = json.get("items").or(json.get("results")).unwrap_or(&json);
    let rows = rows.as_array().unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_function_and_literal_in_both_spellings() {
    let (servers, _folder) = servers().await;
    for server in servers {
        for (filter, ids) in [
            ("tolower(title) eq 'alien'", "a"),
            ("toupper(title) eq 'BABE'", "b"),
            ("trim(title) eq 'Casino it''s'", "c"),
            ("length(title) eq 4", "b"),
            ("concat(title,'!') eq 'Babe!'", "b"),
            ("indexof(title,'e') eq 3", "ab"),
            ("substring(title,1) eq 'abe'", "b"),
            ("substring(title,1,2) eq 'li'", "a"),
            ("replace(title,'e','3') eq 'Ali3n'", "a"),
            ("startswith(title,'A')", "a"),
            ("endswith(title,'e')", "b"),
            ("substringof('lie',title)", "a"),
            ("contains(title,'lie')", "a"),
            ("year(released) eq 1979", "a"),
            ("month(released) eq 8 and day(released) eq 4", "b"),
            (
                "hour(at) eq 20 and minute(at) eq 15 and second(at) eq 0",
                "a",
            ),
            ("second(seen) eq 5 and year(seen) eq 2026", "a"),
            ("floor(score) eq 8", "a"),
            ("ceiling(score) eq 7", "b"),
            ("round(score) eq 9", "a"),
            ("round(score) eq -3", "c"),
            ("year add 1 eq 1980", "a"),
            ("year sub 5 eq 1990", "bc"),
            ("year mul 2 eq 3990", "bc"),
            ("year div 1000 eq 1", "abc"),
            ("year mod 10 eq 5", "bc"),
            ("-score gt 2.0", "c"),
            ("score eq 8.5M", "a"),
            ("score lt 7f and score gt -1e1", "bc"),
            ("year eq 1995L", "bc"),
            ("winner", "a"),
            ("not winner", "bcd"),
            ("not(winner eq true) and year ne null", "bc"),
            ("title eq null", "d"),
            ("title ne 'Babe'", "acd"),
            ("year in (1979,2000)", "a"),
            ("rating eq 'PG'", "c"),
            ("rating gt 'G'", "ac"),
            ("released lt 1990-01-01", "a"),
            ("released ge cast(1990-01-01,Edm.Date)", "b"),
            ("at gt 12:00:00", "a"),
            ("at lt cast(12:00:00,Edm.TimeOfDay)", "b"),
            ("seen eq datetime'2026-01-02T03:04:05.678Z'", "a"),
            (
                "seen gt datetimeoffset'2026-01-02T04:04:05.6780000+01:00'",
                "b",
            ),
            (
                "seen ge cast(2026-01-02T03:04:05.678Z,Edm.DateTimeOffset)",
                "ab",
            ),
            ("seen lt 2026-01-03T00:00:00Z", "a"),
            ("extra/deep/n gt 5", "a"),
            ("extra/deep/n le 5", "b"),
            ("id eq 'a' or id eq 'b' and winner", "a"),
            ("(id eq 'a' or id eq 'b') and not winner", "b"),
            ("deleted eq false", "abcd"),
            ("TITLE eq 'Babe'", "b"),
        ] {
            for (dialect, headers) in DIALECTS {
                let target = format!("/tables/movies?$filter={}", percent_encode(filter));
                let answer = send(&server, "GET", &target, headers, "").await;
                assert_eq!(answer.status, 200, "{filter}: {answer:?}");
                assert_eq!(letters(&answer), ids, "{dialect}: {filter}");
            }
        }
    }
}

#[tokio::test]
async fn distances_are_in_kilometres() {
    // Paris to London is about 343 km.
    let paris = "geography'POINT(2.35 48.85)'";
    let (servers, _folder) = servers().await;
    for server in servers {
        for (filter, ids) in [
            (format!("geo.distance(place,{paris}) lt 1"), "a"),
            (
                format!(
                    "geo.distance(place,{paris}) gt 340 and geo.distance({paris},place) lt 346"
                ),
                "b",
            ),
            (format!("geo.distance(place,{paris}) lt 340"), "a"),
        ] {
            let target = format!("/tables/movies?$filter={}", percent_encode(&filter));
            assert_eq!(
                letters(&get(&server, &target).await.expect(200)),
                ids,
                "{filter}"
            );
        }
    }
}

#[tokio::test]
async fn orders_are_by_type() {
    let (servers, _folder) = servers().await;
    for server in servers {
        for (order, ids) in [
            ("rating", "dbca"),
            ("rating%20desc", "acbd"),
            ("score", "dcba"),
            ("year%20desc,title", "cbad"),
            ("released%20desc", "bacd"),
            ("at", "cdba"),
            ("seen%20desc", "bacd"),
            ("winner%20desc,id", "abcd"),
            ("extra/deep/n", "cdba"),
        ] {
            for (dialect, headers) in DIALECTS {
                let target = format!("/tables/movies?$orderby={order}");
                let answer = send(&server, "GET", &target, headers, "").await.expect(200);
                assert_eq!(letters(&answer), ids, "{dialect}: {order}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_stored_is_what_was_sent() {
    let (servers, _folder) = servers().await;
    for server in servers {
        for row in ROWS {
            let sent: Value = serde_json::from_str(row).unwrap();
            let id = sent["id"].as_str().unwrap();
            for (_, headers) in DIALECTS {
                let target = format!("/tables/movies/{id}");
                let answer = send(&server, "GET", &target, headers, "").await.expect(200);
                let json = answer.json();
                for (name, value) in sent.as_object().unwrap() {
                    assert_eq!(&json[name], value, "{answer:?}");
                }
            }
        }
        let answer = get(&server, "/tables/movies/d").await;
        assert!(
            answer.text.contains("[1,2.50,12345678901234567890]"),
            "{answer:?}"
        );
        let answer = get(&server, "/tables/movies/a").await;
        assert!(answer.text.contains("\"score\":8.50"), "{answer:?}");
    }
}

#[tokio::test]
async fn older_dialects_print_every_declared_field() {
    let (servers, _folder) = servers().await;
    for server in servers {
        for (dialect, headers) in DIALECTS {
            let answer = send(&server, "GET", "/tables/movies/d", headers, "").await;
            let json = answer.expect(200).json();
            let printed = json.as_object().unwrap().contains_key("title");
            assert_eq!(printed, dialect != "toolkit", "{dialect}");
            assert_eq!(json.get("createdAt").is_some(), dialect == "zumo2");
            let target = "/tables/movies?$filter=id%20eq%20'd'&$select=id,title";
            let page = send(&server, "GET", target, headers, "")
                .await
                .expect(200)
                .json();
            let row = page.get("items").unwrap_or(&page)[0].clone();
            assert_eq!(row, json!({"id": "d", "title": null}));
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_its_type_is_refused() {
    let (servers, _folder) = servers().await;
    for server in servers {
        for member in [
            r#""title":1"#,
            r#""year":1.5"#,
            r#""score":"x""#,
            r#""winner":1"#,
            r#""released":"yesterday""#,
            r#""at":"25:00:00""#,
            r#""seen":"2026-01-01""#,
            r#""place":[1,2]"#,
            r#""rating":"X""#,
        ] {
            for (dialect, headers) in DIALECTS {
                let body = format!("{{{member}}}");
                let name = member.split('"').nth(1).unwrap();
                let mut answers =
                    vec![send(&server, "POST", "/tables/movies", headers, &body).await];
                if dialect != "zumo2" {
                    answers.push(send(&server, "PUT", "/tables/movies/a", headers, &body).await);
                }
                if dialect != "toolkit" {
                    answers.push(send(&server, "PATCH", "/tables/movies/a", headers, &body).await);
                }
                for answer in answers {
                    assert!(
                        answer.expect(400).error().contains(name),
                        "{dialect} {member}"
                    );
                }
            }
        }
    }
}

/// What was stored before its type was declared does not stand in the way of a change of something else.
#[tokio::test]
async fn only_what_a_change_touches_is_judged() {
    let store: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
    let open = async |schema: &str| {
        TableServer::builder(Arc::clone(&store))
            .schema(Declarations::from_json(schema).unwrap())
            .build()
            .await
            .unwrap()
    };
    let before = open(r#"{"tables": {"movies": {}}}"#).await;
    let old = r#"{"id":"old","title":"Alien","year":"1979","rating":"NC-17"}"#;
    post(&before, "/tables/movies", old).await.expect(201);
    drop(before);
    let server = open(SCHEMA).await;
    let (_, zumo3) = DIALECTS[2];
    let patch = r#"{"title":"Aliens"}"#;
    send(&server, "PATCH", "/tables/movies/old", zumo3, patch)
        .await
        .expect(200);
    let put = r#"{"id":"old","title":"Alien 3","year":"1979","rating":"NC-17"}"#;
    send(&server, "PUT", "/tables/movies/old", &[], put)
        .await
        .expect(200);
    let bad = r#"{"rating":"X"}"#;
    send(&server, "PATCH", "/tables/movies/old", zumo3, bad)
        .await
        .expect(400);
    let bad = r#"{"id":"old","title":"Alien 3","year":"1980","rating":"NC-17"}"#;
    send(&server, "PUT", "/tables/movies/old", &[], bad)
        .await
        .expect(400);
    let good = r#"{"year":1979,"rating":"R"}"#;
    send(&server, "PATCH", "/tables/movies/old", zumo3, good)
        .await
        .expect(200);
    send(&server, "PATCH", "/tables/movies/old", zumo3, bad)
        .await
        .expect(400);
}

#[tokio::test]
async fn malformed_queries_are_refused_with_their_place() {
    let ([server, _], _folder) = servers().await;
    for (query, message) in [
        ("$filter=title%20eq", "$filter, position 8"),
        ("$filter=year%20-%201900%20gt%201", "$filter, position 5"),
        ("$filter=nosuch(title)", "$filter, position 0"),
        (
            "$filter=title%20eq%20'x'%20and%20nosuch%20eq%201",
            "$filter, position 17",
        ),
        ("$orderby=title%20up", "$orderby, position 6"),
        ("$orderby=title,nosuch", "$orderby, position 6"),
        ("$select=id,%20title", "$select, position 3"),
        ("$select=id,nosuch", "$select, position 3"),
        ("$top=-1", "$top, position 0"),
        ("$skip=x", "$skip, position 0"),
        ("$top=9223372036854775808000", "$top, position 0"),
        ("$count=maybe", "$count, position 0"),
        ("$expand=x", "query, position 0"),
        ("$top=1&$top=2", "query, position 7"),
    ] {
        for (dialect, headers) in DIALECTS {
            let target = format!("/tables/movies?{query}");
            let error = send(&server, "GET", &target, headers, "")
                .await
                .expect(400)
                .error();
            assert!(error.starts_with(message), "{dialect} {query}: {error}");
        }
    }
}
