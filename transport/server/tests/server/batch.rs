//! Several changes in one request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use synctable_core::query::field;
use synctable_server::{
    Access, AccessRequest, Action, Grant, Limits, Refusal, TableServer, TableServerBuilder,
};

use crate::common::*;

const BATCH: &str = "/tables/$batch";

/// One change; the operation's id is that of the change.
fn change(id: &str, method: &str, url: &str, body: Value) -> Value {
    let mut change = json!({
        "id": id, "method": method, "url": url, "headers": {"x-operation-id": format!("op-{id}")},
    });
    if !body.is_null() {
        change["body"] = body;
    }
    change
}

fn new(id: &str) -> Value {
    change(id, "POST", "soft", json!({"id": id, "n": 1}))
}

fn envelope(changes: &[Value]) -> String {
    json!({ "requests": changes }).to_string()
}

async fn batch(server: &TableServer, headers: Headers<'_>, changes: &[Value]) -> Vec<Value> {
    let answer = send(server, "POST", BATCH, headers, &envelope(changes)).await;
    let answer = answer.expect(200).json();
    let responses = answer["responses"].as_array().unwrap();
    let ids = |all: &[Value]| all.iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(responses), ids(changes), "one each, in order");
    responses.clone()
}

fn statuses(responses: &[Value]) -> Vec<u64> {
    responses
        .iter()
        .map(|it| it["status"].as_u64().unwrap())
        .collect()
}

async fn with(
    store: &Arc<TestStore>,
    set: impl FnOnce(TableServerBuilder) -> TableServerBuilder,
) -> TableServer {
    let builder = builder(Arc::<TestStore>::clone(store), &TestClock::new());
    set(builder).build().await.unwrap()
}

#[tokio::test]
async fn each_change_is_answered_as_if_it_came_alone_and_a_failure_stops_no_other() {
    let server = server().await;
    let made = post(&server, "/tables/soft", r#"{"id":"a b","n":1}"#)
        .await
        .expect(201);
    post(&server, "/tables/hard", r#"{"id":"gone"}"#)
        .await
        .expect(201);
    let tag = format!("\"{}\"", made.version());
    let mut put = change("2", "PUT", "soft/a%20b", json!({"n": 2}));
    put["headers"]["if-match"] = json!(tag);
    let mut late = change("3", "PUT", "soft/c", json!({"n": 2}));
    late["headers"]["If-Match"] = json!("\"x\"");
    post(&server, "/tables/soft", r#"{"id":"c"}"#)
        .await
        .expect(201);
    let responses = batch(
        &server,
        &[("prefer", "odata.continue-on-error")],
        &[
            change("1", "POST", "Soft", json!({"id": "new", "n": 1.50})),
            put,
            late,
            change("4", "DELETE", "hard/gone", Value::Null),
            change("5", "PATCH", "soft/missing", json!({"n": 1})),
            change("6", "POST", "nowhere", json!({"id": "x"})),
            change("7", "PATCH", "soft/d", json!([1])),
        ],
    )
    .await;
    assert_eq!(statuses(&responses), [201, 200, 412, 204, 404, 404, 400]);
    assert_eq!(responses[0]["body"]["n"], json!(1.5));
    for (at, target) in [
        (0, "/tables/soft/new"),
        (1, "/tables/soft/a%20b"),
        (2, "/tables/soft/c"),
    ] {
        let stored = get(&server, target).await.expect(200);
        assert_eq!(responses[at]["body"], stored.json());
        let etag = responses[at]["headers"]["etag"].as_str();
        assert_eq!(etag, stored.header("etag"));
    }
    assert_eq!(responses[3].get("body"), None);
    assert_eq!(
        responses[3]["headers"],
        json!({"synctable-repeated": "now"})
    );
    assert!(responses[4]["body"]["error"].is_string());
    get(&server, "/tables/hard/gone").await.expect(404);
}

#[tokio::test]
async fn all_answers_announce_what_a_batch_may_hold() {
    let announced = |answer: &Answer| answer.header("synctable-batch").map(str::to_owned);
    let server = server().await;
    for target in ["/tables/soft", "/nowhere"] {
        let answer = get(&server, target).await;
        assert_eq!(announced(&answer).as_deref(), Some("1000 4194304"));
    }
    let store = TestStore::new(true, 0);
    let mut limits = Limits::default();
    limits.batch = 1;
    let server = with(&store, |builder| builder.limits(limits)).await;
    let answer = get(&server, "/tables/soft").await;
    assert_eq!(announced(&answer), None);
    let refused = send(&server, "POST", BATCH, &[], &envelope(&[new("a")])).await;
    refused.expect(404);
}

#[tokio::test]
async fn many_changes_take_few_commits() {
    for (ordered, yields) in [(true, 0), (true, 3), (false, 3)] {
        let store = TestStore::new(ordered, yields);
        let server = with(&store, |builder| builder).await;
        let changes: Vec<Value> = (0..1000).map(|n| new(&format!("r{n}"))).collect();
        let responses = batch(&server, &[], &changes).await;
        assert!(statuses(&responses).iter().all(|status| *status == 201));
        let tries = store.tries.load(Ordering::SeqCst);
        assert!(tries <= 20, "{tries} commits");
    }
}

/// A change waits for the commit that it shares: one that comes alone shares it with few of those that came together.
#[tokio::test]
async fn a_change_that_comes_alone_shares_its_commit_with_few() {
    let commits = async |alone: usize| {
        let store = TestStore::new(true, 0);
        let server = with(&store, |builder| builder).await;
        let changes: Vec<Value> = (0..200).map(|n| new(&format!("r{n}"))).collect();
        let bodies = (0..alone).map(|n| json!({"id": format!("alone{n}")}).to_string());
        let ones = bodies.map(async |body| post(&server, "/tables/soft", &body).await.expect(201));
        let (responses, _) = join(batch(&server, &[], &changes), join_all(ones)).await;
        assert!(statuses(&responses).iter().all(|status| *status == 201));
        store.tries.load(Ordering::SeqCst)
    };
    assert_eq!(commits(0).await, 1);
    // 64, 72 and the rest.
    assert_eq!(commits(1).await, 3);
}

/// The changes that are under way at once read together: their records, and what became of their operations.
#[tokio::test]
async fn many_changes_take_few_reads() {
    let store = TestStore::new(true, 0);
    let server = with(&store, |builder| builder).await;
    let of = |method: &str, number: usize| match method {
        "POST" => new(&format!("r{number}")),
        _ => {
            let id = format!("{method}{number}");
            change(
                &id,
                method,
                &format!("soft/r{number}"),
                json!({"n": number}),
            )
        }
    };
    // The end of the table's times is read once. A new record is put without a look at what became of its operation, a repeat is found by its record.
    for (method, status, most) in [
        ("POST", 201, 2),
        ("POST", 201, 3),
        ("PUT", 200, 2),
        ("PUT", 200, 2),
    ] {
        let changes: Vec<Value> = (0..256).map(|number| of(method, number)).collect();
        let before = store.gets.load(Ordering::SeqCst);
        let responses = batch(&server, &[], &changes).await;
        assert!(statuses(&responses).iter().all(|found| *found == status));
        let reads = store.gets.load(Ordering::SeqCst) - before;
        assert!(reads <= most, "{method}: {reads} reads");
    }
}

#[tokio::test]
async fn a_read_that_fails_fails_those_that_share_it_and_no_other() {
    let store = TestStore::new(true, 0);
    let server = with(&store, |builder| builder).await;
    let kind = synctable_core::store::StoreErrorKind::Closed;
    store.reads.lock().unwrap().push_back(Read::Fail(kind));
    let changes: Vec<Value> = ["a", "b"].map(new).to_vec();
    let responses = batch(&server, &[], &changes).await;
    assert_eq!(statuses(&responses), [503, 503]);
    let responses = batch(&server, &[], &changes).await;
    assert_eq!(statuses(&responses), [201, 201]);
}

/// It was done for a record that was removed since, so nothing but the check of its commit tells.
#[tokio::test]
async fn an_insert_that_was_done_is_not_done_again_where_its_record_is_gone() {
    let store = TestStore::new(true, 0);
    let server = with(&store, |builder| builder).await;
    let hard = |id: &str| change(id, "POST", "hard", json!({"id": id}));
    let changes: Vec<Value> = ["a", "b", "c"].map(hard).to_vec();
    let first = batch(&server, &[], &changes[..1]).await;
    assert_eq!(statuses(&first), [201]);
    delete(&server, "/tables/hard/a").await.expect(204);
    let again = batch(&server, &[], &changes).await;
    assert_eq!(statuses(&again), [201, 201, 201]);
    assert_eq!(again[0]["headers"]["synctable-repeated"], "earlier");
    assert_eq!(again[0]["body"], first[0]["body"]);
    get(&server, "/tables/hard/a").await.expect(404);
    get(&server, "/tables/hard/b").await.expect(200);
}

#[tokio::test]
async fn a_repeated_batch_does_nothing_twice_and_says_what_became_of_it() {
    let store = TestStore::new(true, 0);
    let server = with(&store, |builder| builder).await;
    let mut changes: Vec<Value> = ["a", "b", "c"].map(new).to_vec();
    post(&server, "/tables/hard", r#"{"id":"h"}"#)
        .await
        .expect(201);
    changes.push(change("h", "DELETE", "hard/h", Value::Null));
    let first = batch(&server, &[], &changes).await;
    assert_eq!(statuses(&first), [201, 201, 201, 204]);
    put(&server, "/tables/soft/b", r#"{"n":2}"#)
        .await
        .expect(200);
    delete(&server, "/tables/soft/c").await.expect(204);
    changes.push(new("d"));
    let again = batch(&server, &[], &changes).await;
    assert_eq!(statuses(&again), [201, 201, 201, 204, 201]);
    for (at, repeated) in ["current", "earlier", "earlier", "current"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(again[at]["headers"]["synctable-repeated"], repeated, "{at}");
        assert_eq!(again[at]["body"], first[at]["body"]);
    }
    for fresh in first.iter().chain(&again[4..]) {
        assert_eq!(fresh["headers"]["synctable-repeated"], "now");
    }
    // Also alone.
    let alone = [("x-operation-id", "op-a")];
    let answer = send(
        &server,
        "POST",
        "/tables/soft",
        &alone,
        r#"{"id":"a","n":1}"#,
    )
    .await;
    assert_eq!(
        answer.expect(201).header("synctable-repeated"),
        Some("current")
    );
    post(&server, "/tables/hard", r#"{"id":"h"}"#)
        .await
        .expect(201);
    let again = batch(&server, &[], &changes[3..4]).await;
    assert_eq!(again[0]["headers"]["synctable-repeated"], "earlier");
}

/// Nothing of it is looked at.
#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole() {
    let store = TestStore::new(true, 0);
    let mut limits = Limits::default();
    limits.batch = 3;
    limits.batch_body = 2000;
    let server = with(&store, |builder| builder.limits(limits)).await;
    let good = new("good");
    let other = |set: &dyn Fn(&mut Value)| {
        let mut other = new("other");
        set(&mut other);
        envelope(&[good.clone(), other])
    };
    let deep = format!(r#"{{"requests":{}"#, "[".repeat(1900));
    let texts = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        deep,
        r#"{"requests":{}}"#.to_owned(),
        r#"{"requests":[],"requests":[]}"#.to_owned(),
        format!("{} x", envelope(std::slice::from_ref(&good))),
        json!({"requests": [good], "more": 1}).to_string(),
        envelope(&[good.clone(), new("a"), new("b"), new("c")]),
        envelope(&[good.clone(), good.clone()]),
        other(&|it| it["id"] = json!("good")),
        other(&|it| it["id"] = json!(7)),
        other(&|it| it["body"] = json!({"n": 1})),
        other(&|it| it["body"] = json!({"id": 1})),
        other(&|it| it["body"] = Value::Null),
        other(&|it| it["body"]["id"] = json!("good")),
        other(&|it| {
            it["method"] = json!("PUT");
            it["url"] = json!("SOFT/goo%64");
        }),
        other(&|it| it["method"] = json!("GET")),
        other(&|it| it["method"] = json!("post")),
        other(&|it| it["url"] = json!("$batch")),
        other(&|it| it["url"] = json!("soft/a/b")),
        other(&|it| it["url"] = json!("")),
        other(&|it| it["url"] = json!("http://x/tables/soft")),
        other(&|it| it["headers"] = json!({})),
        other(&|it| it["headers"]["authorization"] = json!("Bearer x")),
        other(&|it| it["headers"]["if-match"] = json!("a\nb")),
        other(&|it| it["headers"]["X-Operation-Id"] = json!("b")),
        other(&|it| it["dependsOn"] = json!(["good"])),
    ];
    for text in texts {
        let answer = send(
            &server,
            "POST",
            BATCH,
            &[("content-type", "application/json")],
            &text,
        )
        .await;
        answer.expect(400);
    }
    let long = envelope(&[change(
        "a",
        "POST",
        "soft",
        json!({"id": "a", "x": "x".repeat(2000)}),
    )]);
    send(&server, "POST", BATCH, &[], &long).await.expect(413);
    let form = [("content-type", "text/plain")];
    let text = envelope(std::slice::from_ref(&good));
    send(&server, "POST", BATCH, &form, &text).await.expect(415);
    let coded = [("content-encoding", "br")];
    send(&server, "POST", BATCH, &coded, &text)
        .await
        .expect(415);
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
        let answer = send(&server, method, BATCH, &[], "").await.expect(405);
        assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    }
    let answer = send(&server, "OPTIONS", BATCH, &[], "").await.expect(204);
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    assert_eq!(store.tries.load(Ordering::SeqCst), 0);
    assert!(batch(&server, &[], &[]).await.is_empty());
    assert_eq!(statuses(&batch(&server, &[], &[good]).await), [201]);
}

#[tokio::test]
async fn a_record_has_the_limit_that_it_has_alone() {
    let store = TestStore::new(true, 0);
    let mut limits = Limits::default();
    limits.body = 100;
    let server = with(&store, |builder| builder.limits(limits)).await;
    let large = change(
        "large",
        "POST",
        "soft",
        json!({"id": "large", "x": "x".repeat(100)}),
    );
    let responses = batch(&server, &[], &[new("a"), large, new("b")]).await;
    assert_eq!(statuses(&responses), [201, 413, 201]);
}

#[tokio::test]
async fn what_comes_behind_large_answers_is_not_tried() {
    let store = TestStore::new(true, 0);
    let mut limits = Limits::default();
    limits.batch_body = 120_000;
    let server = with(&store, |builder| builder.limits(limits)).await;
    let changes: Vec<Value> = (0..900).map(|n| new(&format!("r{n}"))).collect();
    let responses = batch(&server, &[], &changes).await;
    let tried = statuses(&responses).iter().filter(|it| **it == 201).count();
    assert!((256..900).contains(&tried), "{tried}");
    for (n, response) in responses.iter().enumerate() {
        let said = response["headers"].get("synctable-not-tried");
        assert_eq!(said, (n >= tried).then_some(&json!("1")));
        assert_eq!(response["status"], if n >= tried { 503 } else { 201 });
    }
    let count = get(&server, "/tables/soft?$count=true&$top=1").await.json();
    assert_eq!(count["count"], tried);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_begun_after_five_seconds_is_not_tried() {
    let store = TestStore::gated();
    let server = with(&store, |builder| builder).await;
    let changes: Vec<Value> = (0..300).map(|n| new(&format!("r{n}"))).collect();
    let (responses, ()) = tokio::join!(batch(&server, &[], &changes), async {
        store.started.notified().await;
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
        store.gate.as_ref().unwrap().add_permits(1000);
    });
    let tried = statuses(&responses).iter().filter(|it| **it == 201).count();
    assert_eq!(tried, 256, "those that had begun are done");
    for response in &responses[tried..] {
        assert_eq!(response["headers"], json!({"synctable-not-tried": "1"}));
        assert_eq!(response["status"], 503);
    }
}

/// Everybody creates; only Ann changes what she owns.
#[derive(Debug)]
struct Owners;

#[async_trait::async_trait]
impl Access for Owners {
    async fn grant(&self, request: AccessRequest<'_>) -> Result<Grant, Refusal> {
        let user = request.bearer_token().ok_or(Refusal::Unauthenticated)?;
        if request.table.as_str() == "hard" {
            return Err(Refusal::Hidden);
        }
        if request.action == Action::Delete {
            return Err(Refusal::Forbidden);
        }
        let own = Grant::all().for_user(user).only(field("owner").eq(user));
        Ok(own.with_member("owner", user))
    }
}

#[tokio::test]
async fn access_is_asked_for_each_change() {
    let store = TestStore::new(true, 0);
    let server = with(&store, |builder| builder.access(Arc::new(Owners))).await;
    let bob = [("authorization", "Bearer bob")];
    send(&server, "POST", "/tables/soft", &bob, r#"{"id":"bobs"}"#)
        .await
        .expect(201);
    let changes = [
        new("a"),
        change("h", "POST", "hard", json!({"id": "x"})),
        change("b", "PUT", "soft/bobs", json!({"n": 1})),
        change("d", "DELETE", "soft/d", Value::Null),
        new("z"),
    ];
    let responses = batch(&server, &[("authorization", "Bearer ann")], &changes).await;
    assert_eq!(statuses(&responses), [201, 404, 404, 403, 201]);
    assert_eq!(responses[0]["body"]["owner"], "ann");
    let nobody = batch(&server, &[], &changes[..1]).await;
    assert_eq!(statuses(&nobody), [401]);
}

#[tokio::test]
async fn each_dialect_answers_in_its_own_words() {
    for (version, deleted) in [("2.0.0", 200), ("3.0.0", 204)] {
        let server = server().await;
        let dialect = [("zumo-api-version", version), ("x-zumo-version", "x")];
        let responses = batch(&server, &dialect, &[new("a"), new("b")]).await;
        assert_eq!(statuses(&responses), [201, 201]);
        let alone = send(&server, "GET", "/tables/soft/a", &dialect, "").await;
        assert_eq!(responses[0]["body"], alone.expect(200).json());
        let changes = [
            change("1", "PATCH", "soft/a", json!({"n": 3})),
            change("2", "DELETE", "soft/b", Value::Null),
        ];
        let responses = batch(&server, &dialect, &changes).await;
        assert_eq!(statuses(&responses), [200, deleted]);
        let undelete = match version {
            "2.0.0" => change("3", "POST", "soft/b", Value::Null),
            _ => change("3", "PUT", "soft/b?__includedeleted=true", json!({"n": 1})),
        };
        let responses = batch(&server, &dialect, &[undelete]).await;
        assert!(statuses(&responses)[0] <= 201, "{responses:?}");
        get(&server, "/tables/soft/b").await.expect(200);
    }
}

#[tokio::test]
async fn a_commit_in_doubt_is_in_doubt_for_those_that_share_it() {
    let store = TestStore::new(true, 0);
    let server = with(&store, |builder| builder).await;
    *store.late_fault.lock().unwrap() = Some(synctable_core::store::StoreErrorKind::InDoubt);
    let changes: Vec<Value> = ["a", "b"].map(new).to_vec();
    let responses = batch(&server, &[], &changes).await;
    assert!(
        statuses(&responses).iter().all(|status| *status == 504),
        "{responses:?}"
    );
    let again = batch(&server, &[], &changes).await;
    assert_eq!(statuses(&again), [201, 201]);
    assert_eq!(again[0]["headers"]["synctable-repeated"], "current");
}
