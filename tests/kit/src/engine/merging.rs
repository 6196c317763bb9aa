//! Declared merge rules: what both sides of a conflict changed is joined, on this device and on the next.

use serde_json::json;
use synctable_core::sync::{ConflictPolicy, Resolution};
use synctable_core::{Declaration, Error, MergeRule, Record};

use super::device::{Device, todo};
use super::typed::assert_holds;
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::{declare_all, record};
use crate::typed::Flavour;

/// A device whose table merges `n` as a counter, `tags` as a set and `best` as the greatest.
async fn device(harness: &dyn Place, server: &TestServer, policy: ConflictPolicy) -> Device {
    let rules = Declaration::new()
        .with_merge("n", MergeRule::Counter)
        .with_merge("tags", MergeRule::Set)
        .with_merge("best", MergeRule::Max);
    let schema = declare_all(&todo(), rules);
    Device::built(harness, server, |builder| {
        builder.schema(schema).conflicts(policy)
    })
    .await
}

fn first() -> Record {
    record(r#"{"id":"a","n":5,"tags":["x"],"best":3,"text":"t"}"#)
}

fn body(server: &TestServer) -> String {
    let row = server.row(&todo(), "a").expect("the row is there");
    row.body().to_owned()
}

/// Two devices change the same members of a record; both changes count, on the server and on both devices.
pub async fn rules_join_what_two_devices_changed(harness: &dyn Place) {
    let server = TestServer::new();
    server.put(&todo(), &first());
    let here = device(harness, &server, ConflictPolicy::Merge).await;
    let place = harness.another();
    let there = device(&*place, &server, ConflictPolicy::Merge).await;
    for device in [&here, &there] {
        device.pull().await;
    }
    let changes = json!({"n": 7, "tags": ["x", "y"], "best": 9});
    here.todo.update("a", &changes).await.expect("it is there");
    let changes = json!({"n": 4, "tags": ["z"], "best": 8, "text": "u"});
    there.todo.update("a", &changes).await.expect("it is there");
    for device in [&here, &there] {
        assert_eq!(device.push().await.conflicts, 0);
    }
    let row = server.row(&todo(), "a").expect("the row is there");
    assert_holds(
        &here,
        &row,
        r#"{"n":6,"tags":["y","z"],"best":9,"text":"u"}"#,
    );
    for device in [&here, &there] {
        device.pull().await;
        device.is_in_sync().await;
    }
}

/// Two devices raise a counter to the same number: it is raised twice, whatever the policy says.
pub async fn equal_changes_of_a_counter_both_count(harness: &dyn Place) {
    let server = TestServer::new();
    server.put(&todo(), &first());
    let device = device(harness, &server, ConflictPolicy::Park).await;
    device.pull().await;
    device.set("a", 6).await;
    server.put(
        &todo(),
        &record(&first().to_json().replace("\"n\":5", "\"n\":6")),
    );
    let seq = device.push_to_conflict().await;
    let merged = device.sync.resolve(seq, Resolution::Merge).await;
    let merged = merged.expect("a rule decides").expect("a record");
    assert_eq!(merged.member("n"), Some(json!(7)));
    device.push().await;
    device.pull().await;
    device.is_in_sync().await;
    assert_eq!(server.n("a"), Some(7));
}

/// The answer to a counter's change is lost, at a server that does not recognise repeats: the next push sees that it
/// was done and does not count it again.
pub async fn lost_answer_of_a_counter_counts_once(harness: &dyn Place) {
    let server = TestServer::foreign();
    server.put(&todo(), &first());
    let device = device(harness, &server, ConflictPolicy::Merge).await;
    device.pull().await;
    device.set("a", 6).await;
    device.push_is_cut(Fault::LostAnswer).await;
    // Whoever moved the counter, it is at 6: nobody knows, so nobody decides.
    let seq = device.push_to_conflict().await;
    assert!(device.only_operation().await.unsure);
    device
        .sync
        .resolve(seq, Resolution::Server)
        .await
        .expect("a side is chosen");
    device.pull().await;
    device.is_in_sync().await;
    assert_eq!(server.n("a"), Some(6));
}

/// What no rule decides is parked with its names; the rest of the merge is done by whoever resolves it.
pub async fn clash_without_a_rule_is_parked_by_name(harness: &dyn Place) {
    let server = TestServer::new();
    server.put(&todo(), &first());
    let device = device(harness, &server, ConflictPolicy::Merge).await;
    device.pull().await;
    let changes = json!({"n": 6, "text": "here"});
    device
        .todo
        .update("a", &changes)
        .await
        .expect("it is there");
    let theirs = r#"{"id":"a","n":8,"tags":["x"],"best":3,"text":"there"}"#;
    server.put(&todo(), &record(theirs));
    let seq = device.push_to_conflict().await;
    let parked = device
        .sync
        .conflicts()
        .await
        .expect("the queue is read")
        .remove(0);
    assert_eq!(parked.message, "both sides changed text");
    let error = device.sync.resolve(seq, Resolution::Merge).await;
    let error = error.expect_err("it still clashes").to_string();
    assert!(error.contains("both sides changed text"), "{error}");
    device
        .sync
        .resolve(seq, Resolution::Server)
        .await
        .expect("a side is chosen");
    device.is_in_sync().await;
}

/// Rules are part of the stored declaration: a context that declares nothing merges by them.
pub async fn rules_are_kept_with_the_declaration(harness: &dyn Place) {
    let server = TestServer::new();
    server.put(&todo(), &first());
    let declaring = device(harness, &server, ConflictPolicy::Park).await;
    declaring.pull().await;
    declaring.set("a", 6).await;
    server.put(
        &todo(),
        &record(&first().to_json().replace("\"n\":5", "\"n\":9")),
    );
    let device = declaring.again().await;
    let seq = device.push_to_conflict().await;
    let merged = device.sync.resolve(seq, Resolution::Merge).await;
    let merged = merged.expect("a rule decides").expect("a record");
    assert_eq!(merged.member("n"), Some(json!(10)));
}

/// The answer is lost and someone else changes the counter as well: whether the change is in already cannot be told, so that
/// nothing is counted until someone decides.
pub async fn counter_of_an_unsure_change_is_parked(harness: &dyn Place) {
    let (device, seq) = unsure_change(harness, &TestServer::foreign()).await;
    let seq = seq.expect("the conflict is parked");
    assert!(device.only_operation().await.unsure);
    let error = device.sync.resolve(seq, Resolution::Merge).await;
    let error = error.expect_err("nobody can tell").to_string();
    assert!(error.contains("an answer was lost"), "{error}");
    device
        .sync
        .resolve(seq, Resolution::Server)
        .await
        .expect("a side is chosen");
    device.is_in_sync().await;
}

/// The same at a server that recognises repeats: it says that the change is in, and nothing has to be decided.
pub async fn counter_of_a_recognised_repeat_counts_once(harness: &dyn Place) {
    let server = TestServer::foreign();
    server.configure(|options| options.operation_ids = true);
    let (device, seq) = unsure_change(harness, &server).await;
    assert_eq!(seq, None);
    device.pull().await;
    device.is_in_sync().await;
    assert_eq!(server.n("a"), Some(7), "both changes count once");
}

/// A change from 5 to 6 takes effect without an answer, then someone else raises it to 7. The device pushes again.
async fn unsure_change(harness: &dyn Place, server: &TestServer) -> (Device, Option<u64>) {
    server.put(&todo(), &first());
    let device = device(harness, server, ConflictPolicy::Merge).await;
    device.pull().await;
    device.set("a", 6).await;
    device.push_is_cut(Fault::LostAnswer).await;
    server.put(
        &todo(),
        &record(&first().to_json().replace("\"n\":5", "\"n\":7")),
    );
    device.push().await;
    let parked = device.sync.conflicts().await.expect("the queue is read");
    let seq = parked.first().map(|parked| parked.operation.seq);
    (device, seq)
}

/// A decision on what was listed a while ago is not carried out over what came in between.
pub async fn changed_conflicts_are_decided_anew(harness: &dyn Place) {
    let server = TestServer::new();
    server.put(&todo(), &first());
    let device = device(harness, &server, ConflictPolicy::Park).await;
    device.pull().await;
    device
        .todo
        .update("a", &json!({"text": "here"}))
        .await
        .expect("it is there");
    server.put(
        &todo(),
        &record(&first().to_json().replace("\"t\"", "\"there\"")),
    );
    device.push_to_conflict().await;
    let listed = device
        .sync
        .conflicts()
        .await
        .expect("the queue is read")
        .remove(0);
    device
        .todo
        .update("a", &json!({"text": "later"}))
        .await
        .expect("it is there");
    let client = || Resolution::Client;
    let error = device.sync.resolve_parked(&listed, client()).await;
    assert!(
        matches!(error, Err(Error::ConflictChanged { .. })),
        "{error:?}"
    );
    let listed = device
        .sync
        .conflicts()
        .await
        .expect("the queue is read")
        .remove(0);
    server.put(
        &todo(),
        &record(&first().to_json().replace("\"t\"", "\"newer\"")),
    );
    device.pull_only().await;
    let error = device.sync.resolve_parked(&listed, client()).await;
    assert!(
        matches!(error, Err(Error::ConflictChanged { .. })),
        "{error:?}"
    );
    let listed = device
        .sync
        .conflicts()
        .await
        .expect("the queue is read")
        .remove(0);
    device
        .sync
        .resolve_parked(&listed, client())
        .await
        .expect("it is as listed");
    device.push().await;
    device.pull().await;
    device.is_in_sync().await;
    assert!(body(&server).contains("later"), "{}", body(&server));
}

/// A record is replaced by one that leaves a member out which the server had filled in, and others changed it: what is joined is taken
/// by a server with types.
pub async fn what_a_typed_server_filled_in_is_not_removed(harness: &dyn Place) {
    for flavour in Flavour::ALL {
        let place = harness.another();
        let server = TestServer::of_classes(flavour);
        let device = Device::with(&*place, &server, ConflictPolicy::Merge).await;
        server.put(&todo(), &record(r#"{"id":"a","n":1,"text":"x"}"#));
        device.pull().await;
        let row = server.row(&todo(), "a").expect("there");
        assert_eq!(row.member("m"), Some(json!(0)), "its class has it");
        let mut new: serde_json::Value = serde_json::from_str(&row.to_json()).expect("JSON");
        let members = new.as_object_mut().expect("an object");
        members.remove("m");
        members.insert("n".into(), json!(2));
        device.todo.replace(&new).await.expect("there");
        server.put(&todo(), &record(r#"{"id":"a","n":1,"text":"y"}"#));
        let report = device.push().await;
        assert_eq!((report.conflicts, report.rejected, report.aside), (0, 0, 0));
        let row = server.row(&todo(), "a").expect("there");
        let members = ["n", "text", "m"].map(|name| row.member(name));
        assert_eq!(members, [json!(2), json!("y"), json!(0)].map(Some));
        device.is_in_sync().await;
        device.sync.close().await.expect("it closes");
    }
}
