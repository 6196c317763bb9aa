//! Changes of one request that are done together or not at all.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};
use synctable_core::store::LocalStore;
use synctable_server::{Limits, TableServer};

use crate::common::*;
use crate::declared::serving;

const BATCH: &str = "/tables/$batch";

/// One change of a group, or of none; the operation's id is that of the change.
fn change(id: &str, group: Option<&str>, method: &str, url: &str, body: Value) -> Value {
    let headers = json!({"x-operation-id": format!("op-{id}")});
    let mut change = json!({"id": id, "method": method, "url": url, "headers": headers});
    if let Some(group) = group {
        change["atomicityGroup"] = json!(group);
    }
    if !body.is_null() {
        change["body"] = body;
    }
    change
}

fn new(id: &str, group: Option<&str>, table: &str) -> Value {
    change(id, group, "POST", table, json!({"id": id, "n": 1}))
}

async fn send_batch(server: &TableServer, changes: &[Value]) -> Answer {
    let body = json!({ "requests": changes }).to_string();
    send(server, "POST", BATCH, &[], &body).await
}

async fn batch(server: &TableServer, changes: &[Value]) -> Vec<Value> {
    let answer = send_batch(server, changes).await.expect(200).json();
    let responses = answer["responses"].as_array().unwrap().clone();
    assert_eq!(responses.len(), changes.len());
    responses
}

fn statuses(responses: &[Value]) -> Vec<u64> {
    let status = |it: &Value| it["status"].as_u64().unwrap();
    responses.iter().map(status).collect()
}

async fn is_there(server: &TableServer, target: &str) -> bool {
    get(server, target).await.status == 200
}

#[tokio::test]
async fn a_group_is_done_over_all_its_tables_at_one_time() {
    let server = server().await;
    let responses = batch(
        &server,
        &[
            new("x", None, "soft"),
            new("a", Some("g"), "soft"),
            new("b", Some("g"), "hard"),
            new("c", Some("g"), "soft"),
            new("y", None, "hard"),
        ],
    )
    .await;
    assert_eq!(statuses(&responses), [201; 5]);
    let time = |at: usize| responses[at]["body"]["updatedAt"].clone();
    assert!(time(1).is_string());
    assert_eq!([time(1), time(2)], [time(3), time(3)]);
    for target in ["/tables/soft/a", "/tables/hard/b", "/tables/soft/c"] {
        get(&server, target).await.expect(200);
    }
    // The next commit of each of its tables is later.
    for table in ["soft", "hard"] {
        let later = post(&server, &format!("/tables/{table}"), "{}")
            .await
            .expect(201);
        assert!(later.json()["updatedAt"].as_str() > time(1).as_str());
    }
}

#[tokio::test]
async fn where_one_is_refused_none_is_done_and_others_are() {
    let server = server().await;
    post(&server, "/tables/soft", r#"{"id":"there"}"#)
        .await
        .expect(201);
    let mut late = change("late", Some("g"), "PUT", "soft/there", json!({"n": 2}));
    late["headers"]["if-match"] = json!("\"x\"");
    for (bad, status) in [
        (new("there", Some("g"), "soft"), 409),
        (late, 412),
        (
            change("none", Some("g"), "DELETE", "soft/none", Value::Null),
            404,
        ),
        (
            change("list", Some("g"), "PATCH", "soft/list", json!([1])),
            400,
        ),
        (new("nowhere", Some("g"), "nowhere"), 404),
    ] {
        for place in 0..3 {
            let mut group = vec![new("a", Some("g"), "soft"), new("b", Some("g"), "hard")];
            group.insert(place, bad.clone());
            let single = new(
                &format!("s{status}{place}{}", bad["id"].as_str().unwrap()),
                None,
                "soft",
            );
            group.push(single);
            let mut expected = [424, 424, 424, 201];
            expected[place] = status;
            assert_eq!(statuses(&batch(&server, &group).await), expected, "{bad}");
            assert!(!is_there(&server, "/tables/soft/a").await);
            assert!(!is_there(&server, "/tables/hard/b").await);
        }
    }
}

#[tokio::test]
async fn a_repeated_group_has_the_outcome_it_had() {
    let server = server().await;
    let group = [new("a", Some("g"), "soft"), new("b", Some("g"), "hard")];
    let first = batch(&server, &group).await;
    let again = batch(&server, &group).await;
    assert_eq!(statuses(&again), [201, 201]);
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(first["body"], again["body"]);
        assert_eq!(again["headers"]["synctable-repeated"], json!("current"));
    }
    // What was done alone before does not stand in the way of the others.
    let group = [new("a", Some("h"), "soft"), new("c", Some("h"), "hard")];
    assert_eq!(statuses(&batch(&server, &group).await), [201, 201]);
    // Nothing is kept of a group that was not done.
    let refused = [
        new("d", Some("g"), "soft"),
        change("e", Some("g"), "PUT", "soft/e", json!({})),
    ];
    assert_eq!(statuses(&batch(&server, &refused).await), [424, 404]);
    assert_eq!(statuses(&batch(&server, &refused[..1]).await), [201]);
}

#[tokio::test]
async fn unique_values_are_handed_over_within_a_group_in_its_order() {
    let declared = r#"{"tables": {"memos": {"softDelete": true, "fields": {"code": {"type": "string", "unique": true}}}}}"#;
    let store: Arc<dyn LocalStore> = TestStore::new(true, 1);
    let server = serving(&store, declared).await;
    let memo = |id: &str, code: &str| {
        change(
            id,
            Some("g"),
            "POST",
            "memos",
            json!({"id": id, "code": code}),
        )
    };
    assert_eq!(
        statuses(&batch(&server, &[memo("a", "1"), memo("b", "2")]).await),
        [201, 201]
    );
    // Freed by one, taken by the next.
    let delete = |id: &str| {
        let url = format!("memos/{id}");
        change(
            &format!("delete-{id}"),
            Some("g"),
            "DELETE",
            &url,
            Value::Null,
        )
    };
    let handed = [delete("a"), memo("c", "1")];
    assert_eq!(statuses(&batch(&server, &handed).await), [204, 201]);
    // Not before it is freed, and not twice.
    let early = [memo("d", "2"), delete("b")];
    assert_eq!(statuses(&batch(&server, &early).await), [400, 424]);
    let twice = [memo("d", "3"), memo("e", "3")];
    assert_eq!(statuses(&batch(&server, &twice).await), [424, 400]);
    // The value is held by who has it now.
    let taken = post(&server, "/tables/memos", r#"{"id":"f","code":"1"}"#).await;
    taken.expect(400);
    post(&server, "/tables/memos", r#"{"id":"f","code":"3"}"#)
        .await
        .expect(201);
}

#[tokio::test]
async fn groups_that_cannot_be_are_refused_with_the_whole_request() {
    let server = server().await;
    let mut same = new("b", Some("g"), "soft");
    same["headers"]["x-operation-id"] = json!("op-a");
    let many: Vec<Value> = (0..101)
        .map(|n| new(&format!("m{n}"), Some("g"), "soft"))
        .collect();
    for (changes, words) in [
        (
            vec![
                new("a", Some("g"), "soft"),
                new("b", None, "soft"),
                new("c", Some("g"), "soft"),
            ],
            "does not stand beside the others of its group",
        ),
        (
            vec![new("a", Some("g"), "soft"), same],
            "has the operation id of another one of its group",
        ),
        (many, "is of a group with more changes than are taken"),
    ] {
        let refused = send_batch(&server, &changes).await.expect(400);
        assert!(refused.error().contains(words), "{}", refused.error());
        assert!(!is_there(&server, "/tables/soft/a").await);
    }
    let announced = |answer: &Answer| answer.header("synctable-units").map(str::to_owned);
    assert_eq!(
        announced(&get(&server, "/tables/soft").await).as_deref(),
        Some("100")
    );
    let mut limits = Limits::default();
    limits.unit = 1;
    let store = TestStore::new(true, 0);
    let builder = builder(Arc::<TestStore>::clone(&store), &TestClock::new());
    let server = builder.limits(limits).build().await.unwrap();
    assert_eq!(announced(&get(&server, "/tables/soft").await), None);
    let refused = send_batch(&server, &[new("a", Some("g"), "soft")])
        .await
        .expect(400);
    assert!(
        refused
            .error()
            .contains("is of a group, which is not taken here")
    );
}

/// Groups over the same records and tables, in crossing orders, with single changes beside them: all end, and each is whole.
#[tokio::test]
async fn crossing_groups_wait_for_each_other_and_end() {
    for (ordered, yields) in [(true, 0), (true, 3), (false, 3)] {
        let store = TestStore::new(ordered, yields);
        let builder = builder(Arc::<TestStore>::clone(&store), &TestClock::new());
        let server = &builder.build().await.unwrap();
        for id in ["a", "b"] {
            for table in ["soft", "hard"] {
                let body = json!({"id": id, "n": 0}).to_string();
                post(server, &format!("/tables/{table}"), &body)
                    .await
                    .expect(201);
            }
        }
        let urls = ["soft/a", "hard/b", "soft/b", "hard/a"];
        let all = (0..12).map(|n| async move {
            let mut places = [0, 1, 2, 3];
            places.rotate_left(n % 4);
            if n % 2 == 0 {
                places.reverse();
            }
            let changes = places.map(|at| {
                change(
                    &format!("{n}-{at}"),
                    Some("g"),
                    "PUT",
                    urls[at],
                    json!({ "n": n }),
                )
            });
            let statuses = statuses(&batch(server, &changes).await);
            assert_eq!(statuses, [200; 4], "{n}");
        });
        let singles = (0..12).map(|n| async move {
            post(server, "/tables/soft", &format!(r#"{{"id":"s{n}"}}"#))
                .await
                .expect(201);
        });
        tokio::join!(join_all(all), join_all(singles));
        let mut numbers = Vec::new();
        for url in urls {
            let stored = get(server, &format!("/tables/{url}")).await.expect(200);
            numbers.push(stored.json()["n"].clone());
        }
        assert!(numbers.iter().all(|n| *n == numbers[0]), "{numbers:?}");
    }
}
