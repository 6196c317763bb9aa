//! Schema steps: a store in newer words, over a server and a queue that know the old ones.

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStore, StoreErrorKind};
use synctable_core::sync::SyncContext;
use synctable_core::{Declaration, Error, FieldType, Record, Step, Steps, TableName};

use super::TestServer;
use super::device::{Device, todo};
use super::server::Fault;
use super::spelling::exact;
use crate::Place;
use crate::fixture::{Store, all, declare_all, record};

pub(super) fn old() -> Declaration {
    Declaration::new()
        .with_field("title", FieldType::String)
        .with_field("n", FieldType::Integer)
        .with_index(["title"])
}

pub(super) fn renamed() -> Declaration {
    Declaration::new()
        .with_field("name", FieldType::String)
        .with_field("n", FieldType::Integer)
        .with_index(["name"])
}

pub(super) fn rename(here: bool) -> Steps {
    let rename = Step::rename("todo", "title", "name");
    Steps::new().step(
        1,
        if here {
            rename.here()
        } else {
            rename.everywhere()
        },
    )
}

pub(super) async fn over(
    store: &Store,
    server: &TestServer,
    table: Declaration,
    steps: Steps,
) -> Device {
    let all = declare_all(&todo(), table);
    Device::over(Arc::clone(store), server, |it| it.schema(all).steps(steps)).await
}

/// A device of the release before any step. `None` over a store that cannot change a declaration, which refuses steps and stays as it was.
pub(super) async fn first(harness: &dyn Place, server: &TestServer) -> Option<Device> {
    let store = harness.open().await.expect("the store opens");
    let device = over(&store, server, old(), Steps::new()).await;
    if store.capabilities().redefines {
        return Some(device);
    }
    let refused = SyncContext::builder(Arc::clone(&store))
        .steps(rename(true))
        .open()
        .await;
    assert!(
        matches!(&refused, Err(Error::Store(error)) if error.kind() == StoreErrorKind::Unsupported),
        "{refused:?}"
    );
    device.insert("a", 1).await;
    None
}

pub(super) async fn insert(device: &Device, record: Value) {
    device.todo.insert(&record).await.expect("it is new");
}

pub(super) async fn set(device: &Device, id: &str, changes: Value) {
    device.todo.update(id, &changes).await.expect("it is there");
}

pub(super) async fn get(device: &Device, id: &str) -> Value {
    let found = device.todo.get(id).await.expect("get answers");
    found.expect("it is there")
}

/// The body of the server's row.
pub(super) fn there(server: &TestServer, id: &str) -> Value {
    let row = server.row(&todo(), id).expect("the server has it");
    serde_json::from_str(row.body()).expect("an object")
}

pub(super) fn put(server: &TestServer, row: &str) {
    server.put(&todo(), &record(row));
}

/// Device and server hold the same, each in its words.
pub(super) async fn is_same(device: &Device, words: impl Fn(&str) -> String) {
    device.is_sound().await;
    assert_eq!(device.queue().await, [""; 0]);
    let (rows, live) = (device.rows().await, device.server.live(&todo()));
    assert_eq!(rows.len(), live.len());
    for (here, there) in rows.iter().zip(&live) {
        assert_eq!(here.id(), there.id());
        let said = Record::new(here.id().clone(), &words(here.body())).expect("an object");
        device.assert_says(&said, there.body());
    }
}

fn to_title(body: &str) -> String {
    body.replace("\"name\"", "\"title\"")
}

/// Device v2 calls `name` what server and others call `title`: what comes is seen, what goes out is theirs, and a whole record drops nothing.
pub async fn s11_a_rename_here_is_translated_both_ways(harness: &dyn Place) {
    let server = exact();
    put(&server, r#"{"id":"a","n":1,"title":"x","free":[1e2]}"#);
    let Some(device) = first(harness, &server).await else {
        return;
    };
    device.pull().await;
    let device = over(&device.store, &server, renamed(), rename(true)).await;
    put(&server, r#"{"id":"b","n":2,"title":"y"}"#);
    device.pull().await;
    assert_eq!(
        (
            &get(&device, "a").await["name"],
            &get(&device, "b").await["name"]
        ),
        (&json!("x"), &json!("y"))
    );
    assert_eq!(get(&device, "a").await["title"], Value::Null);
    let found = Query::all().filter(field("name").ge("x")).order_by("name");
    let found = device.todo.query_with(found).await.expect("it answers");
    assert_eq!(found.records.len(), 2);
    set(&device, "a", json!({"name": "z"})).await;
    insert(&device, json!({"id": "c", "n": 3, "name": "w"})).await;
    assert_eq!(device.push().await.pushed, 2);
    let row = server.row(&todo(), "a").expect("it is there");
    device.assert_says(&row, r#"{"n":1,"title":"z","free":[1e2]}"#);
    assert_eq!(there(&server, "c"), json!({"n": 3, "title": "w"}));
    // A filter is in the words of the device, and asks in those of the server.
    put(&server, r#"{"id":"d","n":4,"title":"z"}"#);
    put(&server, r#"{"id":"e","n":5,"title":"other"}"#);
    let wanted = Query::all().filter(field("name").eq("z"));
    device.todo.pull(wanted, "z").await.expect("the pull ends");
    assert_eq!(get(&device, "d").await["name"], json!("z"));
    assert!(device.todo.get("e").await.expect("get answers").is_none());
    device.pull().await;
    is_same(&device, to_title).await;
    let audit = device.todo.audit(Query::all()).compare_only().await;
    assert!(audit.expect("the audit ends").is_clean());
}

/// What the old release queued goes out in the words of before where the server keeps them, and in the new ones where it has made the step.
pub async fn s11_a_queue_of_the_old_schema_is_sent(harness: &dyn Place) {
    for here in [true, false] {
        let server = exact();
        let place = harness.another();
        for id in ["a", "b", "c"] {
            put(&server, &format!(r#"{{"id":"{id}","n":1,"title":"x"}}"#));
        }
        let Some(device) = first(&*place, &server).await else {
            return;
        };
        device.pull().await;
        set(&device, "a", json!({"title": "edited"})).await;
        device.delete("b").await;
        insert(&device, json!({"id": "new", "n": 1, "title": "made"})).await;
        if !here {
            // The server makes the step; others use it.
            server.migrate(&todo(), |row| {
                let id = row.id();
                record(&format!(r#"{{"id":"{id}","n":1,"name":"x"}}"#))
            });
        }
        let queue = device.queue().await;
        let device = over(&device.store, &server, renamed(), rename(here)).await;
        assert_eq!(device.queue().await, queue, "converting queues nothing");
        assert_eq!(get(&device, "a").await["name"], json!("edited"));
        let report = device.push().await;
        assert_eq!(
            (report.pushed, report.conflicts, report.rejected),
            (3, 0, 0)
        );
        let word = if here { "title" } else { "name" };
        assert_eq!(there(&server, "a"), json!({"n": 1, word: "edited"}));
        assert_eq!(there(&server, "new"), json!({"n": 1, word: "made"}));
        device.pull().await;
        is_same(&device, |body| {
            if here {
                to_title(body)
            } else {
                body.to_owned()
            }
        })
        .await;
    }
}

/// A request that may have had its effect is repeated as it was, to the letter and under its key; one that had it is recognised.
pub async fn s11_what_was_sent_is_not_converted(harness: &dyn Place) {
    for (fault, sent_again) in [(Fault::LostRequest, true), (Fault::LostAnswer, false)] {
        let server = exact();
        let place = harness.another();
        put(&server, r#"{"id":"a","n":1,"title":"x"}"#);
        let Some(device) = first(&*place, &server).await else {
            return;
        };
        device.pull().await;
        set(&device, "a", json!({"title": "01"})).await;
        device.push_is_cut(fault).await;
        let before = server.changes();
        let kept = all(&device.store, &TableName::system("__operations")).await;
        let retyped = || {
            let step = Step::retype("todo", "name", FieldType::String, FieldType::Integer);
            rename(true).step(2, step.here())
        };
        let table = || Declaration::new().with_field("name", FieldType::Integer);
        let device = over(&device.store, &server, table(), retyped()).await;
        let now = all(&device.store, &TableName::system("__operations")).await;
        for name in ["key", "base", "words"] {
            assert_eq!(now[0].member(name), kept[0].member(name), "{name}");
        }
        // `"01"` would come back as `"1"`, so it stays; what is edited on the way waits behind.
        assert_eq!(get(&device, "a").await["name"], json!("01"));
        server.forget_requests();
        let report = device.push().await;
        assert_eq!((report.conflicts, report.pending), (0, 0), "{fault:?}");
        let after = server.changes();
        assert_eq!(after.len(), usize::from(sent_again), "{fault:?}");
        if let (Some(first), Some(again)) = (before.last(), after.first()) {
            let text = |record: &Option<Record>| record.as_ref().map(Record::to_json);
            assert_eq!(
                (&again.operation_id, text(&again.record)),
                (&first.operation_id, text(&first.record))
            );
        }
        assert_eq!(there(&server, "a"), json!({"n": 1, "title": "01"}));
        device.pull().await;
        is_same(&device, to_title).await;
    }
}

/// What is edited here while an old request is open goes out behind it, in the same words.
pub async fn s11_edits_behind_what_was_sent_go_on(harness: &dyn Place) {
    for fault in [Fault::LostRequest, Fault::LostAnswer] {
        let server = exact();
        let place = harness.another();
        put(&server, r#"{"id":"a","n":1,"title":"x","more":1}"#);
        let Some(device) = first(&*place, &server).await else {
            return;
        };
        device.pull().await;
        set(&device, "a", json!({"title": "y"})).await;
        insert(&device, json!({"id": "b", "n": 1, "title": "new"})).await;
        device.push_is_cut(fault).await;
        let device = over(&device.store, &server, renamed(), rename(true)).await;
        set(&device, "a", json!({"n": 7})).await;
        set(&device, "b", json!({"name": "newer"})).await;
        let report = device.push().await;
        assert_eq!((report.conflicts, report.pending), (0, 0), "{fault:?}");
        assert_eq!(
            there(&server, "a"),
            json!({"n": 7, "title": "y", "more": 1})
        );
        assert_eq!(there(&server, "b"), json!({"n": 1, "title": "newer"}));
        device.pull().await;
        is_same(&device, to_title).await;
    }
}

/// An old request that turns out to be a conflict, is cancelled or discarded ends in the words of the device.
pub async fn s11_what_was_sent_is_settled_in_the_new_words(harness: &dyn Place) {
    for end in 0..3 {
        let server = exact();
        let place = harness.another();
        put(&server, r#"{"id":"a","n":1,"title":"x"}"#);
        let Some(device) = first(&*place, &server).await else {
            return;
        };
        device.pull().await;
        set(&device, "a", json!({"title": "y"})).await;
        device.push_is_cut(Fault::LostRequest).await;
        let device = over(&device.store, &server, renamed(), rename(true)).await;
        let seq = device.only_seq().await;
        match end {
            0 => drop(device.sync.cancel(seq).await.expect("it is queued")),
            1 => drop(device.sync.discard(seq).await.expect("it is queued")),
            _ => {
                put(&server, r#"{"id":"a","n":2,"title":"z"}"#);
                assert_eq!(device.push_to_conflict().await, seq);
                let parked = device.sync.conflicts().await.expect("the queue is read");
                let shown = parked[0].clone().conflict;
                for (side, name) in [
                    (&shown.base, "x"),
                    (&shown.local, "y"),
                    (&shown.server, "z"),
                ] {
                    let side = side.as_ref().expect("each side is there");
                    assert_eq!(side.member("name"), Some(json!(name)));
                }
                let server = synctable_core::sync::Resolution::Server;
                device
                    .sync
                    .resolve(seq, server)
                    .await
                    .expect("it is resolved");
            }
        }
        let name = ["x", "y", "z"][end];
        assert_eq!(get(&device, "a").await["name"], json!(name));
        device.is_sound().await;
        set(&device, "a", json!({"n": 5})).await;
        device.push().await;
        assert_eq!(there(&server, "a"), json!({"n": 5, "title": name}));
    }
}

/// Pulls go on under their names after a rename: what one of them wants is not let go because another has not been made in the new words yet.
pub async fn s11_filters_of_pulls_follow(harness: &dyn Place) {
    let server = exact();
    put(&server, r#"{"id":"a","n":1,"title":"x"}"#);
    put(&server, r#"{"id":"b","n":2,"title":"y"}"#);
    let Some(device) = first(harness, &server).await else {
        return;
    };
    for (field_name, name) in [("title", "x"), ("title", "y")] {
        let wanted = Query::all().filter(field(field_name).eq(name));
        device.todo.pull(wanted, name).await.expect("the pull ends");
    }
    let device = over(&device.store, &server, renamed(), rename(true)).await;
    let wanted = Query::all().filter(field("name").eq("x"));
    let report = device.todo.pull(wanted, "x").await.expect("the pull ends");
    assert_eq!((report.left, report.added), (0, 0), "the position went on");
    assert_eq!(device.rows().await.len(), 2);
    // Under another filter, what the other pull wants stays.
    let wanted = Query::all().filter(field("name").eq("z"));
    let report = device.todo.pull(wanted, "x").await.expect("the pull ends");
    assert_eq!(report.left, 1);
    assert_eq!(get(&device, "b").await["name"], json!("y"));
}
