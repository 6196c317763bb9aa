//! Schema steps: a store in newer words, over a server and a queue that know the old ones.

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStore, StoreErrorKind, WriteBatch};
use synctable_core::sync::SyncContext;
use synctable_core::{Declaration, Error, FieldType, Record, SchemaError, Step, Steps, TableName};

use super::TestServer;
use super::device::{Device, todo};
use super::faulty::{Fault as StoreFault, Faulty, How};
use super::server::Fault;
use super::spelling::exact;
use crate::Place;
use crate::fixture::{Store, all, declare_all, record};

fn old() -> Declaration {
    Declaration::new()
        .with_field("title", FieldType::String)
        .with_field("n", FieldType::Integer)
        .with_index(["title"])
}

fn renamed() -> Declaration {
    Declaration::new()
        .with_field("name", FieldType::String)
        .with_field("n", FieldType::Integer)
        .with_index(["name"])
}

fn rename(here: bool) -> Steps {
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

async fn over(store: &Store, server: &TestServer, table: Declaration, steps: Steps) -> Device {
    let all = declare_all(&todo(), table);
    Device::over(Arc::clone(store), server, |it| it.schema(all).steps(steps)).await
}

/// A device of the release before any step. `None` over a store that cannot change a declaration, which refuses steps and stays as it was.
async fn first(harness: &dyn Place, server: &TestServer) -> Option<Device> {
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

async fn insert(device: &Device, record: Value) {
    device.todo.insert(&record).await.expect("it is new");
}

async fn set(device: &Device, id: &str, changes: Value) {
    device.todo.update(id, &changes).await.expect("it is there");
}

async fn get(device: &Device, id: &str) -> Value {
    let found = device.todo.get(id).await.expect("get answers");
    found.expect("it is there")
}

/// The body of the server's row.
fn there(server: &TestServer, id: &str) -> Value {
    let row = server.row(&todo(), id).expect("the server has it");
    serde_json::from_str(row.body()).expect("an object")
}

fn put(server: &TestServer, row: &str) {
    server.put(&todo(), &record(row));
}

/// Device and server hold the same, each in its words.
async fn is_same(device: &Device, words: impl Fn(&str) -> String) {
    device.is_sound().await;
    assert_eq!(device.queue().await, [""; 0]);
    let here: Vec<String> = device
        .rows()
        .await
        .iter()
        .map(|row| words(row.body()))
        .collect();
    let live = device.server.live(&todo());
    let there: Vec<String> = live.iter().map(|row| row.body().to_owned()).collect();
    assert_eq!(here, there);
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
    assert_eq!(row.body(), r#"{"n":1,"title":"z","free":[1e2]}"#);
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

/// The value of a field that is declared no more stays with the record, and goes back where the server has it.
pub async fn s11_a_removed_value_survives_a_put(harness: &dyn Place) {
    let server = exact();
    put(&server, r#"{"id":"a","n":1,"title":"x"}"#);
    let Some(device) = first(harness, &server).await else {
        return;
    };
    device.pull().await;
    let steps = Steps::new().step(1, Step::remove("todo", "title").here());
    let table = Declaration::new().with_field("n", FieldType::Integer);
    let device = over(&device.store, &server, table, steps).await;
    let declared = device.store.schema().await.expect("it answers");
    assert!(
        declared
            .table(&todo())
            .expect("it is known")
            .field("title")
            .is_none()
    );
    set(&device, "a", json!({"n": 2})).await;
    device.push().await;
    assert_eq!(there(&server, "a"), json!({"n": 2, "title": "x"}));
    device.is_in_sync().await;
}

/// A value without a counterpart in the new type stays exactly, and is counted; the others are found as what they are.
pub async fn s11_values_that_do_not_fit_stay_and_are_counted(harness: &dyn Place) {
    let server = exact();
    let Some(device) = first(harness, &server).await else {
        return;
    };
    for (id, title) in [("a", "12"), ("b", "twelve"), ("c", "7")] {
        insert(&device, json!({"id": id, "n": 1, "title": title})).await;
    }
    let steps = || {
        let step = Step::retype("todo", "title", FieldType::String, FieldType::Integer);
        Steps::new()
            .step(1, step.here())
            .step(2, Step::index("todo", ["title", "n"]))
    };
    let table = || Declaration::new().with_field("title", FieldType::Integer);
    let device = over(&device.store, &server, table(), steps()).await;
    for device in [
        device.clone(),
        over(&device.store, &server, table(), steps()).await,
    ] {
        let kept = device.sync.kept_values();
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(
            (&kept[0].table, &*kept[0].field, kept[0].count),
            (&todo(), "title", 1)
        );
    }
    assert_eq!(get(&device, "b").await["title"], json!("twelve"));
    let below = Query::all()
        .filter(field("title").lt(100))
        .order_by("title");
    let found = device.todo.query_with(below).await.expect("it answers");
    let titles: Vec<&Value> = found.records.iter().map(|found| &found["title"]).collect();
    assert_eq!(titles, [&json!(7), &json!(12)]);
    let asked = Query::all().filter(field("title").eq(7));
    let refused = device.todo.pull(asked, "seven").await;
    assert!(
        matches!(&refused, Err(Error::QueryWords { field, .. }) if field == "title"),
        "{refused:?}"
    );
    device.push().await;
    assert_eq!(there(&server, "a"), json!({"n": 1, "title": "12"}));
    device.is_sound().await;
}

/// An application that knows fewer steps than the store has had is refused at opening and at its next change; it changes nothing.
pub async fn s11_an_older_application_is_refused(harness: &dyn Place) {
    let server = exact();
    let Some(older) = first(harness, &server).await else {
        return;
    };
    insert(&older, json!({"id": "a", "n": 1, "title": "x"})).await;
    // One that has nothing queued notices it, too.
    let place = harness.another();
    if let Some(idle) = first(&*place, &server).await {
        over(&idle.store, &server, renamed(), rename(true)).await;
        let late = idle.todo.insert(&json!({"id": "a", "title": "x"})).await;
        assert!(matches!(late, Err(Error::SchemaNewer { .. })), "{late:?}");
    }
    let device = over(&older.store, &server, renamed(), rename(true)).await;
    let newer = |result: Result<(), Error>| {
        assert!(
            matches!(result, Err(Error::SchemaNewer { store: 1, here: 0 })),
            "{result:?}"
        );
    };
    newer(
        older
            .todo
            .insert(&json!({"id": "b", "title": "y"}))
            .await
            .map(drop),
    );
    newer(
        older
            .todo
            .update("a", &json!({"title": "y"}))
            .await
            .map(drop),
    );
    newer(older.todo.delete("a").await.map(drop));
    match older.sync.push().await {
        Err(Error::PushStopped { source, .. }) => newer(Err(*source)),
        other => panic!("the push is not stopped: {other:?}"),
    }
    newer(
        SyncContext::builder(Arc::clone(&device.store))
            .open()
            .await
            .map(drop),
    );
    // Another step under a number that the store has had is none of this application's.
    let other = Steps::new().step(1, Step::remove("todo", "title").here());
    let other = SyncContext::builder(Arc::clone(&device.store))
        .steps(other)
        .open()
        .await;
    assert!(
        matches!(
            &other,
            Err(Error::Schema(SchemaError::Step { number: 1, .. }))
        ),
        "{other:?}"
    );
    assert_eq!(device.rows().await.len(), 1);
    assert_eq!(device.queue().await, ["insert a"]);
    set(&device, "a", json!({"name": "z"})).await;
    // Who knows no step at all, to look at the store, takes its own.
    let looking = SyncContext::builder(Arc::clone(&device.store)).transport(server.clone());
    let looking = looking.steps_of_the_store().open().await.expect("it opens");
    assert_eq!(looking.push().await.expect("the push ends").pushed, 1);
    assert_eq!(there(&server, "a"), json!({"n": 1, "title": "z"}));
}

/// Records of which some have both names, so that a step that is done twice shows, and a queue beside them.
async fn large(device: &Device) {
    let mut batch = WriteBatch::new();
    for n in 0..450 {
        let both = if n % 3 == 0 { r#","name":"b""# } else { "" };
        let row = format!(r#"{{"id":"r{n:03}","version":"v","n":"{n}","title":"t{n}"{both}}}"#);
        batch = batch.put(&todo(), record(&row));
    }
    device.store.commit(batch).await.expect("it is written");
    for n in [3, 201, 449] {
        set(device, &format!("r{n:03}"), json!({"title": "edited"})).await;
    }
    device.delete("r100").await;
}

/// Cut at any of its writes, a conversion goes on at the next opening: nothing is lost, nothing is done twice.
pub async fn s11_a_killed_conversion_goes_on(harness: &dyn Place) {
    let steps = || {
        let retype = Step::retype("todo", "n", FieldType::String, FieldType::Integer);
        rename(true).step(2, retype.everywhere())
    };
    let text = || old_with_text();
    let mut expected: Option<(Vec<String>, Vec<String>)> = None;
    for at in 0.. {
        let server = exact();
        let place = harness.another();
        let store = place.open().await.expect("the store opens");
        if !store.capabilities().redefines {
            return;
        }
        let device = over(&store, &server, text(), Steps::new()).await;
        large(&device).await;
        drop(device);
        let faulty = Faulty::new(Arc::clone(&store), None);
        let how = if at % 2 == 0 {
            How::WritesFromThen
        } else {
            How::DoneThenWrites
        };
        faulty.fail(StoreFault {
            at: at / 2,
            kind: StoreErrorKind::Io,
            how,
        });
        let cut = SyncContext::builder(Arc::<Faulty>::clone(&faulty) as Store)
            .schema(declare_all(&todo(), renamed()))
            .steps(steps())
            .open()
            .await;
        assert_eq!(cut.is_err(), faulty.is_hit(), "write {at}: {cut:?}");
        let device = over(&store, &server, renamed(), steps()).await;
        let rows = device.rows().await;
        for row in &rows {
            let n: i64 = row.id().as_str()[1..].parse().expect("a number");
            assert_eq!(row.member("n"), Some(json!(n)), "write {at}");
            let edited = [3, 201, 449].contains(&n);
            let name = if edited {
                "edited".to_owned()
            } else {
                format!("t{n}")
            };
            assert_eq!(row.member("name"), Some(json!(name)), "write {at}");
            let title = (n % 3 == 0).then(|| json!("b"));
            assert_eq!(row.member("title"), title, "write {at}");
        }
        let operations = device.sync.pending().await.expect("the queue is read");
        let bases = operations.iter().map(|one| format!("{:?}", one.base));
        let found = (rows.iter().map(Record::to_json).collect(), bases.collect());
        assert_eq!(
            *expected.get_or_insert_with(|| found.clone()),
            found,
            "write {at}"
        );
        assert_eq!(device.queue().await.len(), 4, "write {at}");
        device.is_sound().await;
        if !faulty.is_hit() {
            return;
        }
    }
}

fn old_with_text() -> Declaration {
    Declaration::new()
        .with_field("title", FieldType::String)
        .with_field("n", FieldType::String)
        .with_index(["title"])
        .with_index(["n"])
}
