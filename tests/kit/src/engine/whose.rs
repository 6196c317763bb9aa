//! "Was it mine?": what became of changes whose answers were lost, and of what was edited here since.

use std::sync::Arc;

use serde_json::json;
use synctable_core::store::LocalStoreExt;
use synctable_core::sync::{ConflictPolicy, Resolution, SwitchAccount, copy_store};
use synctable_core::{Declaration, Declarations, MergeRule, Record, RecordId};

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::{record, table};

/// Servers that recognise repeats, and servers that do not.
fn servers() -> [TestServer; 2] {
    let remembers = TestServer::new();
    remembers.configure(|options| options.operation_ids = true);
    [remembers, TestServer::foreign()]
}

fn counting() -> Declarations {
    let todo_table = Declaration::new().with_merge("n", MergeRule::Counter);
    Declarations::new().with_table(todo(), todo_table)
}

async fn counter_device(harness: &dyn Place, server: &TestServer) -> Device {
    Device::built(harness, server, |builder| {
        builder.schema(counting()).conflicts(ConflictPolicy::Merge)
    })
    .await
}

/// The effect takes place and something on the way answers 408, 429, 500, 502, 503 or 504, each time: nobody is in conflict with
/// oneself, and no counter moves twice.
pub async fn gateways_that_answer_after_the_effect(harness: &dyn Place) {
    for server in servers() {
        for status in [408, 429, 500, 502, 503, 504] {
            for counts in [false, true] {
                let place = harness.another();
                let server = server.clone();
                let (new, old) = (
                    format!("new{status}{counts}"),
                    format!("old{status}{counts}"),
                );
                server.set(&old, 5);
                let device = if counts {
                    counter_device(&*place, &server).await
                } else {
                    Device::new(&*place, &server).await
                };
                device.pull().await;
                device.insert(&new, 1).await;
                device.set(&old, 6).await;
                server.fault(Fault::Gateway(status));
                server.fault_at(1, Fault::Gateway(status));
                device.push().await;
                device.push().await;
                assert_eq!((server.n(&new), server.n(&old)), (Some(1), Some(6)));
                let (of_new, of_old) =
                    (server.effects(&todo(), &new), server.effects(&todo(), &old));
                assert_eq!((of_new, of_old), (1, 1), "{status} {counts}");
                let conflicts = device.sync.conflicts().await.expect("a queue");
                let knows = server.remembers();
                // Where nobody can know who moved a counter, one is asked.
                assert!(
                    conflicts.is_empty() || counts && !knows,
                    "{status} {conflicts:?}"
                );
                device.is_sound().await;
                device.sync.close().await.expect("it closes");
            }
        }
    }
}

/// An insert is lost on the way, the record is edited and sent anew; then the first request arrives after all.
pub async fn history_7_a_late_first_attempt(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.insert_generated("title", "first").await;
    let id = device.only_operation().await.id;
    device.push_is_cut(Fault::LostRequest).await;
    device
        .todo
        .update(&id, &json!({"title": "second"}))
        .await
        .expect("it is there");
    // After the question, before the insert.
    let late = device.server.clone();
    device
        .server
        .meanwhile(async move { late.lost_requests_arrive() });
    device.push().await;
    device.push().await;
    let row = device
        .server
        .row(&todo(), id.as_str())
        .expect("it is there");
    assert_eq!(row.member("title"), Some("second".into()));
    assert_eq!(device.queue().await, [""; 0]);
    device.is_in_sync().await;
}

/// A backup with a queued insert is restored to two phones, and the record is edited on both: neither side is silent.
pub async fn history_8_two_phones_from_one_backup(harness: &dyn Place) {
    for attempted in [false, true] {
        for server in servers() {
            let (first, backup) = (harness.another(), harness.another());
            let phone = Device::new(&*first, &server).await;
            phone.insert_generated("title", "milk").await;
            let id = phone.only_operation().await.id;
            if attempted {
                phone.push_is_cut(Fault::LostRequest).await;
            }
            let copy = backup.open().await.expect("the store opens");
            copy_store(&*phone.store, &*copy, |_| {})
                .await
                .expect("it is copied");
            let other = Device::over(copy, &server, |builder| builder).await;
            phone
                .todo
                .update(&id, &json!({"title": "milk and eggs"}))
                .await
                .expect("there");
            other
                .todo
                .update(&id, &json!({"title": "milk and bread"}))
                .await
                .expect("there");
            phone.push().await;
            phone.push().await;
            assert_eq!(phone.queue().await, [""; 0], "{attempted}");
            other.push().await;
            let conflicts = other.sync.conflicts().await.expect("a queue");
            assert_eq!(conflicts.len(), 1, "{attempted}: {:?}", other.queue().await);
            let row = server.row(&todo(), id.as_str()).expect("it is there");
            assert_eq!(row.member("title"), Some("milk and eggs".into()));
            for device in [&phone, &other] {
                device.is_sound().await;
                device.sync.close().await.expect("it closes");
            }
        }
    }
}

/// An insert landed and its answer was lost. Somebody edits one member, the device another: both edits survive.
pub async fn history_9_an_insert_that_others_edited(harness: &dyn Place) {
    for server in servers() {
        let place = harness.another();
        let device = Device::new(&*place, &server).await;
        device.insert_generated("title", "tea").await;
        let id = device.only_operation().await.id;
        device.push_is_cut(Fault::LostAnswer).await;
        let row = server.row(&todo(), id.as_str()).expect("it landed");
        server.put(
            &todo(),
            &with_members(&row, r#"{"title":"tea","rating":5}"#),
        );
        device
            .todo
            .update(&id, &json!({"title": "green tea"}))
            .await
            .expect("there");
        device.push().await;
        device.push().await;
        let row = server.row(&todo(), id.as_str()).expect("it is there");
        let found = (row.member("title"), row.member("rating"));
        assert_eq!(found, (Some("green tea".into()), Some(5.into())));
        device.is_in_sync().await;
        device.sync.close().await.expect("it closes");
    }
}

fn with_members(row: &Record, members: &str) -> Record {
    let body = Record::new(row.id().clone(), members).expect("an object");
    row.clone().with_body_of(&body)
}

/// An update that only leaves a member out is lost on the way, and somebody changes the record: it is not taken for done.
pub async fn history_10_an_update_that_leaves_a_member_out(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::foreign()).await;
    device
        .server
        .put(&todo(), &record(r#"{"id":"a","title":"x","rating":3}"#));
    device.pull().await;
    device
        .todo
        .replace(&json!({"id": "a", "title": "x"}))
        .await
        .expect("there");
    device.push_is_cut(Fault::LostRequest).await;
    device
        .server
        .put(&todo(), &record(r#"{"id":"a","title":"y","rating":3}"#));
    device.push().await;
    let conflicts = device.sync.conflicts().await.expect("a queue");
    assert_eq!(conflicts.len(), 1);
    assert!(!conflicts[0].operation.unsure, "it is known not to be in");
    device.is_sound().await;
}

/// A counter went from 5 to 6, the answer was lost, and somebody took one off: it is 5 with our step counted, or we are asked.
pub async fn history_11_a_counter_that_others_moved(harness: &dyn Place) {
    for server in servers() {
        let place = harness.another();
        server.set("a", 5);
        let device = counter_device(&*place, &server).await;
        device.pull().await;
        device.set("a", 6).await;
        device.push_is_cut(Fault::LostAnswer).await;
        assert_eq!(server.n("a"), Some(6));
        server.set("a", 5);
        device.push().await;
        let conflicts = device.sync.conflicts().await.expect("a queue");
        assert_eq!(server.n("a"), Some(5));
        if server.remembers() {
            assert!(conflicts.is_empty());
            device.pull().await;
            device.is_in_sync().await;
        } else {
            assert!(conflicts.len() == 1 && conflicts[0].operation.unsure);
        }
        device.is_sound().await;
        device.sync.close().await.expect("it closes");
    }
}

/// The same after a sign-in that made a new user at the server, whose ids it does not know: one is asked.
pub async fn history_12_a_counter_after_another_sign_in(harness: &dyn Place) {
    let [server, _] = servers();
    server.set("a", 5);
    let device = counter_device(harness, &server).await;
    device.pull().await;
    device.set("a", 6).await;
    device.push_is_cut(Fault::LostAnswer).await;
    server.set("a", 5);
    server.forget_outcomes();
    let settings = |builder: synctable_core::sync::ContextBuilder| {
        let builder = builder.schema(counting()).conflicts(ConflictPolicy::Merge);
        builder.account("somebody")
    };
    let device = Device::over(Arc::clone(&device.store), &server, settings).await;
    let keep = SwitchAccount::Keep;
    device.sync.switch_account(keep).await.expect("kept");
    device.push().await;
    let conflicts = device.sync.conflicts().await.expect("a queue");
    assert!(
        conflicts.len() == 1 && conflicts[0].operation.unsure,
        "{conflicts:?}"
    );
    assert_eq!(server.n("a"), Some(5));
}

/// `done: true` never arrived, and somebody changed the title: `done: true` is not lost.
pub async fn history_13_an_update_that_never_arrived(harness: &dyn Place) {
    for server in servers() {
        let place = harness.another();
        let device = Device::with(&*place, &server, ConflictPolicy::Merge).await;
        server.put(&todo(), &record(r#"{"id":"a","title":"x","done":false}"#));
        device.pull().await;
        device
            .todo
            .update("a", &json!({"done": true}))
            .await
            .expect("there");
        device.push_is_cut(Fault::LostRequest).await;
        server.put(&todo(), &record(r#"{"id":"a","title":"y","done":false}"#));
        device.push().await;
        let row = server.row(&todo(), "a").expect("there");
        let found = (row.member("title"), row.member("done"));
        assert_eq!(found, (Some("y".into()), Some(true.into())));
        device.is_in_sync().await;
        device.sync.close().await.expect("it closes");
    }
}

/// A table in which one may insert but not read answers the repeat of an insert whose answer was lost with "taken": it is in.
pub async fn history_15_a_table_that_may_not_be_read(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::foreign()).await;
    device.insert_generated("title", "a letter").await;
    device.server.hide(Fault::Forbidden);
    device.server.fault(Fault::LostAnswer);
    device.push().await;
    device.push().await;
    assert_eq!(device.queue().await, [""; 0]);
    assert_eq!(device.server.live(&todo()).len(), 1);
}

/// A restored backup makes an equal change again, and two phones from one backup make equal changes: no false "pushed".
pub async fn history_17_restored_backups(harness: &dyn Place) {
    for server in servers() {
        let (first, second) = (harness.another(), harness.another());
        server.set("a", 1);
        let phone = Device::new(&*first, &server).await;
        phone.pull().await;
        let copy = second.open().await.expect("the store opens");
        copy_store(&*phone.store, &*copy, |_| {})
            .await
            .expect("it is copied");
        phone.insert("note", 1).await;
        phone.set("a", 2).await;
        phone.push().await;
        phone.delete("note").await;
        phone.push().await;
        // The backup makes the same changes, with the same numbers.
        let other = Device::over(copy, &server, |builder| builder).await;
        other.insert("note", 1).await;
        other.set("a", 2).await;
        other.push().await;
        for operation in other.sync.conflicts().await.expect("a queue") {
            let seq = operation.operation.seq;
            other
                .sync
                .resolve(seq, Resolution::Client)
                .await
                .expect("a conflict");
        }
        other.push().await;
        // What it was told to be pushed is there, and no pull takes it away.
        assert_eq!(server.n("note"), Some(1));
        other.pull().await;
        assert_eq!(other.n("note").await, Some(1));
        other.is_in_sync().await;
        for device in [&phone, &other] {
            device.sync.close().await.expect("it closes");
        }
    }
}

/// Operations that an older release has sent keep the key that it sent, so that the server recognises them; new ones get another.
pub async fn operations_of_an_old_release_keep_their_key(harness: &dyn Place) {
    let [server, _] = servers();
    let device = Device::new(harness, &server).await;
    device.insert("a", 1).await;
    device.push_is_cut(Fault::LostRequest).await;
    let operation = device.only_operation().await;
    let key = operation.key.clone().expect("it was sent");
    assert_eq!(key.len(), 43);
    // As 0.1 left it: without what it did not know.
    let operations = table("__operations");
    let row = crate::fixture::all(&device.store, &operations)
        .await
        .remove(0);
    let new = ["key", "firstSent", "aside", "account", "generated", "sent"];
    let members = row.members().into_iter();
    let old: Vec<String> = members
        .filter(|(name, _)| !new.contains(&&**name))
        .map(|(name, text)| format!("\"{name}\":{text}"))
        .collect();
    let old = format!("{{{}}}", old.join(","));
    let old = Record::new(row.id().clone(), &old).expect("an object");
    let batch = synctable_core::store::WriteBatch::new().put(&operations, old);
    device.store.commit(batch).await.expect("it is written");
    let device = device.again().await;
    let operation = device.only_operation().await;
    assert!(operation.key.is_none() && operation.is_unsure());
    device.push_is_cut_at(1, Fault::LostRequest).await;
    let legacy = device.only_operation().await.key.expect("it was marked");
    let meta = device
        .store
        .get_one(&table("__meta"), &RecordId::system("store"))
        .await;
    let store = meta.expect("a store").expect("an identity").member("value");
    let store = store
        .and_then(|value| value.as_str().map(str::to_owned))
        .expect("text");
    assert!(legacy.starts_with(&format!("{store}-1-0-")), "{legacy}");
    assert_eq!(device.push().await.pushed, 1);
    assert_eq!(server.effects(&todo(), "a"), 1);
    device.is_in_sync().await;
}

/// An insert that may be in is refused when it is sent again, and deleted here: it is deleted there, too.
pub async fn an_unsure_insert_that_is_deleted_here_is_deleted_there(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::foreign()).await;
    device.insert_generated("title", "tea").await;
    let id = device.only_operation().await.id;
    device.push_is_cut(Fault::LostRequest).await;
    device.server.reject(|_, _| {
        Some(synctable_core::transport::Rejection::new(
            Some(400),
            "not now",
        ))
    });
    assert_eq!(device.push().await.rejected, 1);
    device.server.calm();
    device.server.lost_requests_arrive();
    assert_eq!(device.server.live(&todo()).len(), 1);
    device.delete(id.as_str()).await;
    assert_eq!(device.queue().await, [format!("delete {id} attempted")]);
    device.push().await;
    let parked = device.sync.conflicts().await.expect("a queue");
    for parked in parked {
        let seq = parked.operation.seq;
        device
            .sync
            .resolve(seq, Resolution::Client)
            .await
            .expect("a conflict");
    }
    device.push().await;
    assert!(device.server.live(&todo()).is_empty());
    device.is_in_sync().await;
}

/// The answer to an update was lost, others changed another member, and the record was edited here: what goes out puts nothing back.
pub async fn edits_behind_an_accepted_change_put_nothing_back(harness: &dyn Place) {
    for server in servers() {
        let place = harness.another();
        let device = Device::new(&*place, &server).await;
        server.put(
            &todo(),
            &record(r#"{"id":"a","title":"x","rating":1,"note":"n"}"#),
        );
        device.pull().await;
        device
            .todo
            .update("a", &json!({"title": "y"}))
            .await
            .expect("there");
        device.push_is_cut(Fault::LostAnswer).await;
        let row = server.row(&todo(), "a").expect("it landed");
        server.put(
            &todo(),
            &with_members(&row, r#"{"title":"y","rating":5,"note":"n"}"#),
        );
        device
            .todo
            .update("a", &json!({"note": "m"}))
            .await
            .expect("there");
        device.push().await;
        device.push().await;
        let row = server.row(&todo(), "a").expect("there");
        let members = ["title", "rating", "note"].map(|name| row.member(name));
        let expected = [json!("y"), json!(5), json!("m")].map(Some);
        assert_eq!(members, expected);
        device.is_in_sync().await;
        // The same member: a conflict, and nobody's side is silent.
        device
            .todo
            .update("a", &json!({"title": "z"}))
            .await
            .expect("there");
        device.push_is_cut(Fault::LostAnswer).await;
        let row = server.row(&todo(), "a").expect("it landed");
        server.put(
            &todo(),
            &with_members(&row, r#"{"title":"z","rating":5,"note":"theirs"}"#),
        );
        device
            .todo
            .update("a", &json!({"note": "ours"}))
            .await
            .expect("there");
        device.push().await;
        device.push().await;
        assert_eq!(device.sync.conflicts().await.expect("a queue").len(), 1);
        let row = server.row(&todo(), "a").expect("there");
        assert_eq!(row.member("note"), Some("theirs".into()));
        device.is_sound().await;
        device.sync.close().await.expect("it closes");
    }
}

/// The answer to an insert was lost, the server remembers it, and the record was edited here: what the server added to it stays.
pub async fn edits_behind_a_remembered_insert_remove_nothing(harness: &dyn Place) {
    let server = TestServer::new();
    server.configure(|options| (options.typed, options.operation_ids) = (true, true));
    let device = Device::new(harness, &server).await;
    device.insert("a", 1).await;
    device.push_is_cut(Fault::LostAnswer).await;
    device
        .todo
        .update("a", &json!({"n": 2}))
        .await
        .expect("there");
    device.push().await;
    device.push().await;
    let sent = server.changes().pop().and_then(|change| change.record);
    let sent = sent.expect("the edit went out");
    let members = ["n", "mood", "stars"].map(|name| sent.member(name));
    assert_eq!(members, [json!(2), json!("Calm"), json!(0)].map(Some));
    device.is_in_sync().await;
}

/// The answer to an update was lost, others changed the record, and it was deleted here: a conflict, not their silence.
pub async fn a_delete_behind_an_accepted_change_meets_what_others_did(harness: &dyn Place) {
    for server in servers() {
        for theirs in [false, true] {
            let place = harness.another();
            let device = Device::new(&*place, &server).await;
            let id = format!("a{theirs}");
            let json = format!(r#"{{"id":"{id}","title":"x","rating":1}}"#);
            server.put(&todo(), &record(&json));
            device.pull().await;
            device
                .todo
                .update(&id, &json!({"title": "y"}))
                .await
                .expect("there");
            device.push_is_cut(Fault::LostAnswer).await;
            if theirs {
                let row = server.row(&todo(), &id).expect("it landed");
                server.put(&todo(), &with_members(&row, r#"{"title":"y","rating":5}"#));
            }
            device.delete(&id).await;
            device.push().await;
            device.push().await;
            let conflicts = device.sync.conflicts().await.expect("a queue").len();
            let there = server
                .row(&todo(), &id)
                .is_some_and(|row| !row.is_deleted());
            assert_eq!((conflicts, there), (usize::from(theirs), theirs));
            device.is_sound().await;
            device.sync.close().await.expect("it closes");
        }
    }
}
