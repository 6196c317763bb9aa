//! Fields with defaults, required values and lengths: a device fills and judges as a server with declared members would.

use serde_json::{Value, json};
use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStoreExt, WriteBatch};
use synctable_core::sync::{ConflictPolicy, Resolution};
use synctable_core::{
    Declaration, Error, FieldOptions, FieldType, MergeRule, RecordId, SchemaError, TableName,
};

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::{declare_all, record};

fn declared() -> Declaration {
    let options = FieldOptions::new;
    Declaration::new()
        .with_field_options("rank", FieldType::Integer, options().with_default(5))
        .with_field_options("open", FieldType::Boolean, options().with_default(true))
        .with_field_options(
            "title",
            FieldType::String,
            options().with_required().with_max_length(5),
        )
}

async fn device(harness: &dyn Place, server: &TestServer, table: Declaration) -> Device {
    let schema = declare_all(&todo(), table);
    Device::built(harness, server, |builder| {
        builder.schema(schema).conflicts(ConflictPolicy::Merge)
    })
    .await
}

async fn get(device: &Device, id: &str) -> Value {
    let found = device.todo.get(id).await.expect("get answers");
    found.expect("the record is there")
}

/// The ids of the records with a rank below six, by which the default counts.
async fn found(device: &Device) -> Vec<Value> {
    let shown = field("rank").lt(6).and(field("open").eq(true));
    let query = Query::all().filter(shown).order_by("id");
    let page = device.todo.query_with(query).await;
    let page = page.expect("the query answers");
    page.records.iter().map(|item| item["id"].clone()).collect()
}

/// What is new or replaced has the default of what it leaves out, here and at the server; an update adds nothing.
pub async fn defaults_fill_what_is_new_or_replaced(harness: &dyn Place) {
    let server = TestServer::new();
    server.put(&todo(), &record(r#"{"id":"old","n":1,"title":"t"}"#));
    let device = device(harness, &server, declared()).await;
    device.pull().await;
    let todo = &device.todo;
    let new = json!({"id": "a", "n": 1, "title": "t"});
    let stored = todo.insert(&new).await.expect("it is new");
    assert_eq!(
        (&stored["rank"], &stored["open"]),
        (&json!(5), &json!(true))
    );
    assert_eq!(found(&device).await, ["a"]);
    todo.update("old", &json!({"n": 2}))
        .await
        .expect("it is there");
    assert_eq!(get(&device, "old").await.get("rank"), None);
    todo.update("a", &json!({"rank": 9}))
        .await
        .expect("it is there");
    todo.replace(&new).await.expect("it is there");
    assert_eq!(get(&device, "a").await["rank"], 5);
    for id in ["a", "b"] {
        let record = json!({"id": id, "n": 3, "title": "t", "open": null});
        todo.upsert(&record).await.expect("it is taken");
        let stored = get(&device, id).await;
        assert_eq!(
            (&stored["rank"], &stored["open"]),
            (&json!(5), &Value::Null)
        );
    }
    device.push().await;
    let row = |id: &str| server.row(&super::device::todo(), id).expect("it is there");
    assert_eq!(row("a").member("rank"), Some(json!(5)));
    assert_eq!(row("old").member("rank"), None);
    device.pull().await;
    device.is_in_sync().await;
}

/// Only what a change touches is judged.
pub async fn required_values_and_lengths_are_judged(harness: &dyn Place) {
    let server = TestServer::new();
    server.put(&todo(), &record(r#"{"id":"long","n":1,"title":"123456"}"#));
    server.put(&todo(), &record(r#"{"id":"none","n":1}"#));
    let device = device(harness, &server, declared()).await;
    device.pull().await;
    let table = &device.todo;
    for id in ["long", "none"] {
        let update = table.update(id, &json!({"n": 2})).await;
        update.expect("its title is untouched");
    }
    let before = device.rows().await;
    let new = |title: Value| json!({"id": "x", "title": title});
    let missing = [
        table.insert(&json!({"id": "x"})).await,
        table.insert(&new(json!(" "))).await,
        table.update("long", &json!({"title": null})).await,
        table.replace(&json!({"id": "long", "n": 1})).await,
    ];
    for result in missing {
        let refused = matches!(&result, Err(Error::Schema(SchemaError::Required { field, .. })) if field == "title");
        assert!(refused, "{result:?}");
    }
    let long = [
        table.insert(&new(json!("12345😀"))).await,
        table.update("long", &json!({"title": "1234567"})).await,
        table.modify("none", |_| json!({"title": "123456"})).await,
    ];
    for result in long {
        let refused = matches!(
            &result,
            Err(Error::Schema(SchemaError::TooLong { most: 5, .. }))
        );
        assert!(refused, "{result:?}");
    }
    assert_eq!(device.rows().await, before);
    table
        .insert(&new(json!("123😀")))
        .await
        .expect("it is short enough");
    let report = device.push().await;
    assert_eq!((report.pushed, report.rejected), (3, 0));
}

/// A server that keeps nothing of a default has the insert all the same.
pub async fn a_default_that_the_server_leaves_out_is_no_conflict(harness: &dyn Place) {
    let server = TestServer::new();
    let device = device(harness, &server, declared()).await;
    let new = json!({"id": "a", "n": 1, "title": "t"});
    device.todo.insert(&new).await.expect("it is new");
    server.fault(Fault::LostAnswer);
    device.push().await;
    server.put(&todo(), &record(r#"{"id":"a","n":1,"title":"t"}"#));
    server.forget_outcomes();
    let report = device.push().await;
    assert_eq!((report.conflicts, report.pending), (0, 0));
    device.pull().await;
    device.is_in_sync().await;
}

/// To write a default into a record that lacks it is no change; from there on both sides count.
pub async fn merges_take_a_missing_member_for_its_default(harness: &dyn Place) {
    for (ours, theirs, merged) in [
        (json!({"rank": 5, "n": 2}), r#","rank":6"#, 6),
        (json!({"rank": 7}), r#","rank":5"#, 7),
        (json!({"rank": 7}), r#","rank":6"#, 8),
    ] {
        let server = TestServer::new();
        server.put(&todo(), &record(r#"{"id":"a","n":1,"title":"t"}"#));
        let table = declared().with_merge("rank", MergeRule::Counter);
        let place = harness.another();
        let device = device(&*place, &server, table).await;
        device.pull().await;
        device.todo.update("a", &ours).await.expect("it is there");
        let row = format!(r#"{{"id":"a","n":1,"title":"u"{theirs}}}"#);
        server.put(&todo(), &record(&row));
        let report = device.push().await;
        assert_eq!(
            (report.conflicts, report.pending),
            (0, 0),
            "{ours} {theirs}"
        );
        let row = server.row(&todo(), "a").expect("it is there");
        assert_eq!(row.member("rank"), Some(json!(merged)), "{ours} {theirs}");
        device.pull().await;
        device.is_in_sync().await;
    }
    // Without a rule it is a clash, unless one side only wrote what is meant anyway.
    let server = TestServer::new();
    server.put(&todo(), &record(r#"{"id":"a","n":1,"title":"t"}"#));
    let device = device(harness, &server, declared()).await;
    device.pull().await;
    device
        .todo
        .update("a", &json!({"rank": 7}))
        .await
        .expect("it is there");
    server.put(&todo(), &record(r#"{"id":"a","n":1,"title":"t","rank":6}"#));
    let seq = device.push_to_conflict().await;
    let resolved = device.sync.resolve(seq, Resolution::Merge).await;
    assert!(resolved.is_err(), "{resolved:?}");
}

/// A store in which an earlier release kept whole declarations in a row of `__meta`: opened, also by whoever declares nothing, it has the same tables
/// and rules, and the row is gone in the same commit that keeps the rules elsewhere.
pub async fn declarations_of_earlier_stores_are_brought_forward(harness: &dyn Place) {
    let server = TestServer::new();
    let table = Declaration::new()
        .with_field("rank", FieldType::Integer)
        .with_merge("rank", MergeRule::Counter);
    let kept = device(harness, &server, table.clone()).await;
    kept.insert("a", 1).await;
    let meta = TableName::system("__meta");
    let (old, new) = (RecordId::system("schema"), RecordId::system("device"));
    let row = kept.store.get_one(&meta, &new).await.expect("it answers");
    assert!(row.is_some(), "the device's part is kept");
    let older = declare_all(&todo(), table.with_local_only().with_soft_delete()).to_json();
    let older = json!({"id": "schema", "value": older}).to_string();
    let batch = WriteBatch::new().delete(&meta, &new);
    let batch = batch.put(&meta, record(&older));
    kept.store.commit(batch).await.expect("it is written");

    let before = kept.store.position().await.expect("it answers");
    let next = kept.again().await;
    let declared = next.sync.declarations();
    let found = declared.table(&todo()).expect("it is known");
    assert!(found.device.local_only);
    assert_eq!(found.device.merge.find("rank"), Some(MergeRule::Counter));
    assert_eq!(found.schema.fields.len(), 1);
    let ids = [old, new.clone()];
    let rows = kept.store.get(&meta, &ids).await.expect("it answers");
    assert!(rows[0].is_none() && rows[1].is_some(), "{rows:?}");
    let changes = kept.store.changes_since(before, 100).await;
    let changes = format!("{:?}", changes.expect("it answers"));
    assert_eq!(changes.matches("\"schema\"").count(), 1, "{changes}");
    let again = kept.again().await.sync.declarations();
    let again = again.table(&todo()).expect("it is known");
    assert_eq!(
        (&again.schema, &again.device),
        (&found.schema, &found.device)
    );
    assert_eq!(next.n("a").await, Some(1));
}
