//! Stores whose schema took a step: what stays, what is counted, who is refused, and what a cut leaves.

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStore, StoreErrorKind, WriteBatch};
use synctable_core::sync::SyncContext;
use synctable_core::{Declaration, Error, FieldType, Record, SchemaError, Step, Steps};

use super::device::{Device, todo};
use super::faulty::{Fault as StoreFault, Faulty, How};
use super::spelling::exact;
use super::steps::{first, get, insert, over, put, rename, renamed, set, there};
use crate::Place;
use crate::fixture::{Store, declare_all, record};

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
