//! Queries that would take more than anybody should give them.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use synctable_core::query::field;
use synctable_core::store::LocalStore;
use synctable_core::{Declaration, FieldType, TableSchema};
use synctable_memory::MemoryStore;
use synctable_server::{Access, AccessRequest, Grant, Limits, Refusal, TableServer};
use synctable_sqlite::SqliteStore;
use tempfile::TempDir;

use crate::common::*;

fn stores() -> (TempDir, [Arc<dyn LocalStore>; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(folder.path().join("server.db")).unwrap();
    (folder, [Arc::new(MemoryStore::new()), Arc::new(file)])
}

/// A table with a text, and one that need not be a text.
fn schema() -> TableSchema {
    TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("free", FieldType::Json)
}

async fn server_of(store: Arc<dyn LocalStore>, limits: Limits) -> TableServer {
    builder(store, &TestClock::new())
        .table(table("texts"), schema())
        .limits(limits)
        .build()
        .await
        .unwrap()
}

const DIALECTS: [&str; 3] = ["", "2.0.0", "3.0.0"];

async fn filtered(server: &TableServer, dialect: &str, filter: &str) -> Answer {
    let encoded = filter.replace(' ', "%20").replace('\'', "%27");
    let target = format!("/tables/texts?$filter={encoded}&$count=true&$inlinecount=allpages");
    send(server, "GET", &target, &[("zumo-api-version", dialect)], "").await
}

#[tokio::test]
async fn a_filter_that_makes_texts_of_gigabytes_is_refused() {
    let (_folder, stores) = stores();
    for store in stores {
        let server = server_of(store, Limits::default()).await;
        let row = r#"{"id":"x","title":"aaaaaaaaaa","free":"aaaaaaaaaa"}"#;
        post(&server, "/tables/texts", row).await.expect(201);
        let letters = "a".repeat(100);
        for member in ["title", "free"] {
            let mut nested = member.to_owned();
            let mut doubled = format!("concat({member},'{letters}')");
            for _ in 0..4 {
                nested = format!("replace({nested},'a','{letters}')");
            }
            for _ in 0..5 {
                doubled = format!("replace(concat({doubled},{doubled}),'a','aaaa')");
            }
            for dialect in DIALECTS {
                for text in [&nested, &doubled] {
                    for filter in [format!("length({text}) gt 5"), format!("{text} eq 'b'")] {
                        let answer = filtered(&server, dialect, &filter).await.expect(400);
                        assert!(answer.text.contains("bytes"), "{answer:?}");
                    }
                }
                let short = format!("length(replace({member},'a','{letters}')) eq 1000");
                filtered(&server, dialect, &short).await.expect(200);
            }
        }
    }
}

#[tokio::test]
async fn a_query_that_takes_too_many_steps_is_refused_and_the_next_one_is_answered() {
    let (_folder, stores) = stores();
    for store in stores {
        let mut limits = Limits::default();
        limits.steps = 30_000;
        let server = server_of(store, limits).await;
        for n in 0..60 {
            let row = format!(r#"{{"id":"{n}","title":"the title of {n}"}}"#);
            post(&server, "/tables/texts", &row).await.expect(201);
        }
        let term = "contains(tolower(title),'zzz')";
        let long = vec![term; 200].join(" or ");
        for dialect in DIALECTS {
            let answer = filtered(&server, dialect, &long).await.expect(400);
            assert!(answer.text.contains("steps"), "{answer:?}");
            filtered(&server, dialect, term).await.expect(200);
        }
    }
}

#[tokio::test]
async fn an_order_is_short_and_its_steps_count() {
    let (_folder, stores) = stores();
    for store in stores {
        let mut limits = Limits::default();
        limits.steps = 2_000;
        let server = builder(store, &TestClock::new());
        let server = server.limits(limits).build().await.unwrap();
        for n in 0..60 {
            let row = format!(r#"{{"id":"{n}"}}"#);
            post(&server, "/tables/hard", &row).await.expect(201);
        }
        let ordered = |terms: usize| {
            let names: Vec<String> = (0..terms).map(|n| format!("m{n}")).collect();
            format!("/tables/hard?$orderby={}", names.join(","))
        };
        let answer = get(&server, &ordered(33)).await.expect(400);
        assert!(answer.text.contains("32 terms"), "{answer:?}");
        let answer = get(&server, &ordered(32)).await.expect(400);
        assert!(answer.text.contains("steps"), "{answer:?}");
        get(&server, &ordered(2)).await.expect(200);
    }
}

/// A rule that takes long for each record.
#[derive(Debug)]
struct LongRule;

#[async_trait]
impl Access for LongRule {
    async fn grant(&self, _: AccessRequest<'_>) -> Result<Grant, Refusal> {
        let part = |n: u32| field("title").to_lower().contains(format!("zz{n}"));
        let rule = (1..300).fold(part(0), |rule, n| rule.or(part(n)));
        Ok(Grant::all().only(rule.not()))
    }
}

/// Sorting is work, and so is a rule, though it costs the client nothing.
#[tokio::test]
async fn what_takes_long_is_not_done_on_the_thread_that_answers() {
    for ruled in [false, true] {
        let store = TestStore::new(false, 0);
        let mut server = builder(Arc::clone(&store) as Arc<dyn LocalStore>, &TestClock::new());
        if ruled {
            server = server.access(Arc::new(LongRule));
        }
        let server = server.build().await.unwrap();
        for n in 0..60 {
            let row = format!(r#"{{"id":"{n}","title":"the title of {n}"}}"#);
            post(&server, "/tables/hard", &row).await.expect(201);
        }
        let names: Vec<String> = (0..32).map(|n| format!("m{n}")).collect();
        let long = format!("/tables/hard?$orderby={}", names.join(","));
        let here = std::thread::current().id();
        for (target, is_long) in [("/tables/hard?$orderby=m1", ruled), (&*long, true)] {
            store.readers.lock().unwrap().clear();
            get(&server, target).await.expect(200);
            let readers = store.readers.lock().unwrap().clone();
            assert_eq!(readers.len(), if is_long { 2 } else { 1 }, "{target}");
            assert_eq!(readers.first(), Some(&here));
            assert_eq!(readers.get(1).is_some_and(|last| *last != here), is_long);
        }
    }
}

/// Everybody has records of their own.
#[derive(Debug)]
struct Owners;

#[async_trait]
impl Access for Owners {
    async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal> {
        let user = request.bearer_token().ok_or(Refusal::Unauthenticated)?;
        Ok(Grant::all()
            .for_user(user)
            .only(field("owner").eq(user))
            .with_member("owner", user))
    }
}

#[tokio::test]
async fn records_of_others_cost_a_query_nothing_and_show_nothing() {
    for declared in [false, true] {
        let (_folder, stores) = stores();
        for store in stores {
            let mut limits = Limits::default();
            limits.steps = 500;
            let mut schema = Declaration::from(schema()).with_soft_delete();
            if declared {
                schema = schema
                    .with_field("owner", FieldType::String)
                    .with_index(["title"]);
            }
            let server = builder(store, &TestClock::new())
                .table(table("texts"), schema)
                .access(Arc::new(Owners))
                .limits(limits)
                .build()
                .await
                .unwrap();
            let as_user = |user: &str| format!("Bearer {user}");
            for n in 0..300 {
                let user = if n < 5 { "me" } else { "you" };
                let row = format!(r#"{{"id":"{n:03}","title":"s{n}"}}"#);
                let headers = [("authorization", &*as_user(user))];
                send(&server, "POST", "/tables/texts", &headers, &row)
                    .await
                    .expect(201);
            }
            let (me, you) = (as_user("me"), as_user("you"));
            let filter = "contains(toupper(title),%27S%27)";
            for order in ["", "&$orderby=title%20desc", "&$orderby=updatedAt"] {
                let target = format!("/tables/texts?$filter={filter}{order}&$count=true");
                let mine = send(&server, "GET", &target, &[("authorization", &me)], "").await;
                let mine = mine.expect(200);
                assert_eq!(mine.json()["count"], json!(5));
                assert_eq!(mine.ids().len(), 5);
                let yours = send(&server, "GET", &target, &[("authorization", &you)], "").await;
                yours.expect(400);
            }
        }
    }
}

#[tokio::test]
async fn looking_at_tables_and_what_is_refused_makes_none() {
    let (_folder, stores) = stores();
    for store in stores {
        let open = async || {
            let mut limits = Limits::default();
            limits.tables = 3;
            builder(Arc::clone(&store), &TestClock::new())
                .any_table(true)
                .limits(limits)
                .build()
                .await
                .unwrap()
        };
        let server = open().await;
        for n in 0..50 {
            let path = format!("/tables/unknown{n}");
            let page = get(&server, &format!("{path}?$count=true&$filter=a%20eq%201")).await;
            assert_eq!(page.expect(200).json(), json!({"items": [], "count": 0}));
            get(&server, &format!("{path}?$filter=a%20eq"))
                .await
                .expect(400);
            get(&server, &format!("{path}/x")).await.expect(404);
            send(&server, "DELETE", &format!("{path}/x"), &[], "")
                .await
                .expect(404);
            let row = r#"{"id":"x"}"#;
            send(&server, "PUT", &format!("{path}/x"), &[], row)
                .await
                .expect(404);
            // Refused as records, so nothing is put into a table.
            for refused in [
                r#"{"id":"x/y"}"#,
                "[]",
                "{",
                r#"{"id":1}"#,
                "{\"id\":\"x\",\"a\":1e400}",
            ] {
                post(&server, &path, refused).await.expect(400);
            }
            let long = "x".repeat(200);
            for (header, value, status) in [
                ("content-type", "text/plain", 415),
                ("content-encoding", "br", 415),
                ("x-operation-id", &*long, 400),
            ] {
                let answer = send(&server, "POST", &path, &[(header, value)], row).await;
                answer.expect(status);
            }
        }
        let schema = store.schema().await.unwrap();
        assert!(
            !schema
                .tables()
                .any(|(name, _)| name.as_str().starts_with("unknown"))
        );
        post(&server, "/tables/made", r#"{"id":"a"}"#)
            .await
            .expect(201);
        assert_eq!(get(&server, "/tables/made").await.expect(200).ids(), ["a"]);
        // After a restart it is there without a write.
        let server = open().await;
        assert_eq!(get(&server, "/tables/made").await.expect(200).ids(), ["a"]);
    }
}

#[tokio::test]
async fn every_served_table_has_the_index_of_a_pull() {
    let (_folder, stores) = stores();
    for store in stores {
        // As an earlier release left it.
        let earlier = synctable_core::Schema::new()
            .with_table(table("hard"), TableSchema::new())
            .with_table(table("old"), TableSchema::new());
        store.define(&earlier).await.unwrap();
        let server = builder(Arc::clone(&store), &TestClock::new()).any_table(true);
        let server = server.build().await.unwrap();
        post(&server, "/tables/new", r#"{"id":"a"}"#)
            .await
            .expect(201);
        let schema = store.schema().await.unwrap();
        for name in ["hard", "soft", "old", "new"] {
            let indexes = &schema.table(&table(name)).unwrap().indexes;
            let found = indexes
                .iter()
                .any(|index| index.fields == ["updatedAt", "id"]);
            assert!(found, "{name}: {indexes:?}");
        }
    }
}
