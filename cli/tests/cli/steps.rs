//! Stores of applications whose schema has taken steps: the command works in their words, or refuses and says what to do.

use std::sync::Arc;

use serde_json::{Value, json};
use synctable::store::{LocalStore, LocalStoreExt, WriteBatch};
use synctable::sync::SyncContext;
use synctable::{
    Declaration, Declarations, FieldType, Record, RecordId, SqliteStore, Step, Steps, TableName,
};

use super::kit::{Device, Server};

fn run<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(story)
}

/// The application as its newest release opens the store of a device.
async fn application(store: &Arc<dyn LocalStore>) -> SyncContext {
    let rename = Step::rename("todoitem", "title", "name").here();
    let index = Step::index("todoitem", ["name"]);
    let fields = Declaration::new()
        .with_field("name", FieldType::String)
        .with_index(["name"]);
    let table = TableName::new("todoitem").unwrap();
    let context = SyncContext::builder(Arc::clone(store))
        .schema(Declarations::new().with_table(table, fields))
        .steps(Steps::new().step(1, rename).step(2, index));
    context.open().await.unwrap()
}

fn opened(device: &Device) -> Arc<dyn LocalStore> {
    Arc::new(SqliteStore::open(device.store()).unwrap())
}

/// A device with a record of the application of before, which waits to be sent, and the steps.
fn stepped() -> Device {
    let device = Device::new();
    run(async {
        let store = opened(&device);
        let before = SyncContext::builder(Arc::clone(&store)).open().await;
        let table = before.unwrap().table::<Value>("todoitem").unwrap();
        let row = json!({"id": "a", "title": "old", "n": 1});
        table.insert(&row).await.unwrap();
        application(&store).await;
        store.close().await.unwrap();
    });
    device
}

#[test]
fn the_command_works_in_the_words_of_the_store() {
    let device = stepped();
    let inspected = device.ok(&["inspect"]);
    assert!(inspected.out.contains("todoitem"), "{inspected:?}");
    let found = device.ok(&["query", "todoitem", "name eq 'old'"]).line();
    assert_eq!(found["name"], "old");
    assert_eq!(device.export("todoitem").lines().count(), 1);
    device.ok(&["insert", "todoitem", r#"{"id":"b","name":"new"}"#]);
    assert_eq!(device.ok(&["pending"]).lines().len(), 2);
    let server = Server::todos();
    device.ok(&["push", "--remote", &server.url()]);
    // The server, and devices without the step, know the old word.
    let other = Device::of(&server);
    other.ok(&["pull", "todoitem"]);
    let titles = |device: &Device, word: &str| {
        let mut rows = device.ok(&["query", "todoitem"]).lines();
        rows.sort_by_key(|row| row["id"].to_string());
        let words = rows.iter().map(|row| row[word].clone());
        words.collect::<Vec<_>>()
    };
    assert_eq!(titles(&other, "title"), ["old", "new"]);
    other.ok(&["update", "todoitem", "a", r#"{"title":"theirs"}"#]);
    other.ok(&["push"]);
    device.ok(&["pull", "todoitem"]);
    assert_eq!(titles(&device, "name"), ["theirs", "new"]);
    device.ok(&["verify"]);
    device.ok(&["verify", "--remote", &server.url()]);
    run(async {
        let sync = application(&opened(&device)).await;
        assert!(sync.verify().await.unwrap().is_empty());
        let table = sync.table::<Value>("todoitem").unwrap();
        assert_eq!(table.get("a").await.unwrap().unwrap()["name"], "theirs");
    });
}

/// Puts the row that tells the steps of a store, and gives the one before.
fn set_steps(device: &Device, change: impl FnOnce(&str) -> String) -> Record {
    run(async {
        let (store, meta) = (opened(device), TableName::stored("__meta").unwrap());
        let id = RecordId::system("steps");
        let row = store.get_one(&meta, &id).await.unwrap().unwrap();
        let other = Record::new(id, &change(row.body())).unwrap();
        store
            .commit(WriteBatch::new().put(&meta, other))
            .await
            .unwrap();
        store.close().await.unwrap();
        row
    })
}

#[test]
fn a_store_with_steps_of_a_newer_kind_is_refused_and_kept() {
    let device = stepped();
    let before = device.export("todoitem");
    let pending = device.ok(&["pending"]).out;
    let row = set_steps(&device, |body| {
        let newer = body.replace(r#""rename""#, r#""split""#);
        assert_ne!(newer, body);
        newer
    });
    let server = Server::todos();
    let remote = server.url();
    for verb in [
        &["inspect"][..],
        &["query", "todoitem"],
        &["export", "todoitem"],
        &["insert", "todoitem", r#"{"id":"c"}"#],
        &["pending"],
        &["push", "--remote", &remote],
        &["pull", "todoitem", "--remote", &remote],
        &["verify"],
    ] {
        let ran = device.run(verb);
        assert!((1..100).contains(&ran.code), "{verb:?}: {ran:?}");
        assert!(ran.err.contains("update the program"), "{verb:?}: {ran:?}");
        assert!(!ran.err.contains("panicked"), "{verb:?}: {ran:?}");
    }
    set_steps(&device, |_| row.body().to_owned());
    assert_eq!(device.export("todoitem"), before);
    assert_eq!(device.ok(&["pending"]).out, pending);
    device.ok(&["verify"]);
}
