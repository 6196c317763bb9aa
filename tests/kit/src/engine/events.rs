//! Events: one for each change, from whoever made it, and how far a push or a pull got.

use serde_json::json;
use synctable_core::query::Query;
use synctable_core::sync::{Event, Events, Purge, Resolution};
use synctable_core::transport::Rejection;

use super::TestServer;
use super::device::{Device, changes};
use crate::Place;

/// Each change of a record is told once, with who made it.
pub async fn each_change_is_told_once(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let mut events = device.sync.events();
    device.server.set("a", 1);
    device.server.set("b", 1);
    device.pull().await;
    assert_eq!(changes(&mut events), ["Pull Inserted a", "Pull Inserted b"]);
    device.insert("c", 1).await;
    device.set("a", 2).await;
    device.delete("b").await;
    assert_eq!(
        changes(&mut events),
        ["Local Inserted c", "Local Updated a", "Local Deleted b"]
    );
    device.push().await;
    let mut told = changes(&mut events);
    told.sort_unstable();
    assert_eq!(told, ["Push Updated a", "Push Updated c"]);
    device.set("a", 3).await;
    device.server.set("a", 9);
    let seq = device.push_to_conflict().await;
    device
        .sync
        .resolve(seq, Resolution::Server)
        .await
        .expect("resolved");
    device.set("a", 4).await;
    device
        .sync
        .cancel(device.only_seq().await)
        .await
        .expect("it waits");
    let expected = [
        "Local Updated a",
        "Resolution Updated a",
        "Local Updated a",
        "Resolution Updated a",
    ];
    assert_eq!(changes(&mut events), expected);
}

/// What is refused or changes nothing is not told.
pub async fn refused_changes_are_not_told(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.insert("a", 1).await;
    device.push().await;
    let mut events = device.sync.events();
    device
        .todo
        .insert(&json!({"id": "a"}))
        .await
        .expect_err("it exists");
    device.todo.delete("b").await.expect_err("there is none");
    let mut transaction = device.sync.transaction();
    transaction
        .insert(&device.todo, &json!({"id": "c"}))
        .expect("staged");
    transaction.delete(&device.todo, "b").expect("staged");
    transaction.commit().await.expect_err("there is none");
    device.pull().await;
    device.todo.pull_full(Query::all()).await.expect("a pull");
    assert!(changes(&mut events).is_empty());
}

/// The events that are not about records, in words.
fn steps(events: &mut Events) -> Vec<String> {
    let mut steps = Vec::new();
    while let Some(event) = events.try_next() {
        steps.push(match event {
            Event::PushStarted { pending } => format!("push of {pending}"),
            Event::PushProgress { done, total } => format!("{done} of {total}"),
            Event::PushFinished(report) => format!("pushed {}", report.pushed),
            Event::PullStarted { table } => format!("pull of {table}"),
            Event::PullProgress { fetched, total, .. } => format!("{fetched} of {total:?}"),
            Event::PullFinished { report, .. } => format!("pulled {}", report.fetched),
            Event::ConflictParked { id, .. } => format!("conflict on {id}"),
            Event::OperationRejected { id, .. } => format!("refusal of {id}"),
            Event::Purged { count, .. } => format!("purged {count}"),
            _ => continue,
        });
    }
    steps
}

/// A push and a pull tell how far they are and how much there is.
pub async fn progress_is_told(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let mut events = device.sync.events();
    for number in 0..70 {
        device.insert(&format!("r{number}"), number).await;
    }
    device.push().await;
    assert_eq!(
        steps(&mut events),
        ["push of 70", "64 of 70", "70 of 70", "pushed 70"]
    );
    device.push().await;
    assert_eq!(steps(&mut events), ["pushed 0"]);
    device.server.configure(|options| options.page = 50);
    device.todo.pull_full(Query::all()).await.expect("a pull");
    let told = steps(&mut events);
    assert_eq!(
        (told[0].as_str(), told[told.len() - 1].as_str()),
        ("pull of todo", "pulled 70")
    );
    let progress = &told[1..told.len() - 1];
    assert!(!progress.is_empty() && progress.iter().all(|step| step.ends_with("of Some(70)")));
    assert_eq!(progress[progress.len() - 1], "70 of Some(70)");
}

/// What is parked is told, and so is a purge.
pub async fn parked_operations_are_told(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    let mut events = device.sync.events();
    device.set("a", 2).await;
    device.server.set("a", 9);
    device
        .server
        .reject(|_, change| (change.id.as_str() == "b").then(|| Rejection::new(None, "no")));
    device.insert("b", 1).await;
    device.push().await;
    let mut told = steps(&mut events);
    told.sort_unstable();
    let expected = [
        "0 of 2",
        "conflict on a",
        "push of 2",
        "pushed 0",
        "refusal of b",
    ];
    assert_eq!(told, expected);
    device
        .todo
        .purge(Purge::all().discard_pending())
        .await
        .expect("purged");
    assert_eq!(steps(&mut events), ["purged 2"]);
}

/// A listener that does not read never holds anyone up; it is told how many events it missed.
pub async fn slow_listeners_are_told(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let mut events = device.sync.events();
    let mut transaction = device.sync.transaction();
    for number in 0..1_500 {
        let new = json!({"id": format!("r{number:04}"), "n": number});
        transaction.insert(&device.todo, &new).expect("staged");
    }
    transaction.commit().await.expect("stored");
    let Some(Event::Lagged(missed)) = events.next().await else {
        panic!("events were lost without a word");
    };
    let rest = changes(&mut events);
    assert_eq!(missed + rest.len() as u64, 1_500);
    assert_eq!(rest[rest.len() - 1], "Local Inserted r1499");
    device.insert("next", 1).await;
    assert_eq!(changes(&mut events), ["Local Inserted next"]);
    drop(device);
}
