//! Local changes: stored with their operations, durably, all or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::store::Durability;
use synctable_core::{Declaration, Error, FieldType, Schema, TableSchema};

use super::TestServer;
use super::device::{Device, todo};
use super::faulty::Faulty;
use super::typed::assert_holds;
use crate::Place;
use crate::fixture::{declare, declare_all, table};

/// Each change is in the store together with its operation: whoever opens the store next finds both.
pub async fn change_and_operation_are_stored_together(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    device.insert("b", 2).await;
    let next = device.again().await;
    assert_eq!(
        (next.n("b").await, next.queue().await),
        (Some(2), vec!["insert b".into()])
    );
    device.set("a", 3).await;
    let next = device.again().await;
    assert_eq!((next.n("a").await, next.queue().await.len()), (Some(3), 2));
    device.delete("a").await;
    let next = device.again().await;
    assert_eq!(next.n("a").await, None);
    assert_eq!(next.queue().await, ["insert b", "delete a"]);
    next.is_sound().await;
}

/// A change has to be on the disk before its answer where the context says so, unless the change says otherwise.
pub async fn a_change_is_as_durable_as_it_says(harness: &dyn Place) {
    let place = harness.another();
    let store = Faulty::new(place.open().await.expect("the store opens"), None);
    let device = Device::over(Arc::clone(&store) as _, &TestServer::new(), |builder| {
        builder.local_durability(Durability::Immediate)
    })
    .await;
    let before = store.immediate();
    device.insert("a", 1).await;
    assert_eq!(store.immediate(), before + 1);
    let (row, eventual) = (json!({"id": "b", "n": 2}), Durability::Eventual);
    let insert = device.todo.insert(&row).durability(eventual);
    insert.await.expect("the record is new");
    let delete = device.todo.delete("a").durability(eventual);
    delete.await.expect("the record is there");
    let mut transaction = device.sync.transaction().durability(eventual);
    let row = json!({"id": "c", "n": 3});
    transaction
        .insert(&device.todo, &row)
        .expect("a new record");
    transaction.commit().await.expect("it is stored");
    assert_eq!(store.immediate(), before + 1);
    assert_eq!(device.queue().await, ["insert b", "insert c"]);
    device.is_sound().await;
}

/// A record without an id, or with an empty one, gets a new one.
pub async fn ids_are_made_where_missing(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let mut ids = BTreeSet::new();
    for new in [
        json!({"n": 1}),
        json!({"id": null, "n": 2}),
        json!({"id": "", "n": 3}),
    ] {
        let stored = device.todo.insert(&new).await.expect("the record is new");
        let id = stored["id"].as_str().expect("an id").to_owned();
        assert_eq!(device.n(&id).await, new["n"].as_i64());
        ids.insert(id);
    }
    assert_eq!(ids.len(), 3);
    device.is_sound().await;
}

/// A change that cannot be is refused, and neither the records nor the queue differ afterwards.
pub async fn wrong_changes_change_nothing(harness: &dyn Place) {
    let schema = declare(
        &todo(),
        TableSchema::new().with_field("n", FieldType::Integer),
    );
    let device = Device::built(harness, &TestServer::new(), |builder| {
        builder.schema(schema).max_record_bytes(100)
    })
    .await;
    device.insert("a", 1).await;
    let before = (
        device.rows().await,
        device.sync.pending().await.expect("the queue"),
    );
    let todo = &device.todo;
    let long = json!({"id": "b", "text": "x".repeat(101)});
    let refused = [
        todo.insert(&json!({"id": "a"}))
            .await
            .expect_err("it exists"),
        todo.insert(&json!({"id": "b/c"}))
            .await
            .expect_err("not an id"),
        todo.insert(&json!({"id": 7})).await.expect_err("not an id"),
        todo.insert(&json!({"id": "b", "deleted": "no"}))
            .await
            .expect_err("reserved"),
        todo.insert(&json!({"id": "b", "updatedAt": 5}))
            .await
            .expect_err("reserved"),
        todo.insert(&json!([1])).await.expect_err("not an object"),
        todo.insert(&long).await.expect_err("too large"),
        todo.insert(&json!({"id": "b", "n": "one"}))
            .await
            .expect_err("another type"),
        todo.update("b", &json!({"n": 2}))
            .await
            .expect_err("there is none"),
        todo.update("a", &json!({"n": "two"}))
            .await
            .expect_err("another type"),
        todo.update("a", &json!({"text": "x".repeat(101)}))
            .await
            .expect_err("too large"),
        todo.replace(&json!({"id": "b", "n": 2}))
            .await
            .expect_err("there is none"),
        todo.replace(&json!({"n": 2})).await.expect_err("no id"),
        todo.upsert(&json!({"id": "a", "n": 1.5}))
            .await
            .expect_err("another type"),
        todo.delete("b").await.expect_err("there is none"),
        todo.delete("").await.expect_err("not an id"),
    ];
    for error in &refused {
        let text = error.to_string();
        assert!(
            !text.is_empty() && !text.contains(char::is_control),
            "{text}"
        );
    }
    assert!(matches!(refused[0], Error::AlreadyExists { .. }));
    assert!(matches!(refused[6], Error::TooLarge { .. }));
    assert!(matches!(refused[8], Error::NotFound { .. }));
    let after = (
        device.rows().await,
        device.sync.pending().await.expect("the queue"),
    );
    assert_eq!(before, after);
    device.is_sound().await;
}

/// What the application says about version, times and deletion does not count: these are the server's.
pub async fn system_properties_are_the_servers(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let forged = json!({"id": "a", "n": 1, "version": "mine", "deleted": true, "updatedAt": "2000-01-01T00:00:00Z"});
    device
        .todo
        .insert(&forged)
        .await
        .expect("the record is new");
    device.push().await;
    device.is_in_sync().await;
    let version = device.rows().await[0].version().cloned();
    let forged = json!({"n": 2, "version": "mine", "deleted": true});
    device.todo.update("a", &forged).await.expect("it is there");
    assert_eq!(device.rows().await[0].version().cloned(), version);
    device.push().await;
    assert_eq!(device.server.n("a"), Some(2));
    device.is_in_sync().await;
}

/// Records of a table that is local only are stored and queried, but never queued, pushed or pulled.
pub async fn local_only_tables_stay_here(harness: &dyn Place) {
    let schema = declare_all(&todo(), Declaration::new().with_local_only());
    let server = TestServer::new();
    let device = Device::built(harness, &server, |builder| builder.schema(schema)).await;
    device.insert("a", 1).await;
    device.set("a", 2).await;
    device.insert("b", 1).await;
    device.delete("b").await;
    assert_eq!(
        (
            device.n("a").await,
            device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted")
        ),
        (Some(2), 0)
    );
    device.push().await;
    let pulled = device.todo.pull(Query::all(), "all").await;
    assert!(matches!(pulled, Err(Error::LocalOnly { .. })), "{pulled:?}");
    assert!(server.requests().is_empty());
    device.is_sound().await;
}

/// A transaction over two tables is stored whole, or not at all when one of its changes cannot be.
pub async fn transactions_are_all_or_nothing(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let lines = device.sync.table::<Value>("lines").expect("a table name");
    device.insert("a", 1).await;

    let mut transaction = device.sync.transaction();
    let line = transaction
        .insert(&lines, &json!({"of": "b"}))
        .expect("staged");
    transaction
        .insert(&device.todo, &json!({"id": "b", "n": 1}))
        .expect("staged");
    transaction
        .update(&device.todo, "b", &json!({"n": 2}))
        .expect("staged");
    transaction.delete(&device.todo, "a").expect("staged");
    let after = transaction.commit().await.expect("stored");
    assert_eq!((after.len(), after[3].is_none()), (4, true));
    assert_eq!((device.n("a").await, device.n("b").await), (None, Some(2)));
    assert_eq!(
        device.queue().await,
        [format!("insert {line}"), "insert b".into()]
    );

    let before = (
        device.rows().await,
        device.sync.pending().await.expect("the queue"),
    );
    let mut transaction = device.sync.transaction();
    transaction
        .insert(&lines, &json!({"id": "c"}))
        .expect("staged");
    transaction
        .update(&device.todo, "b", &json!({"n": 3}))
        .expect("staged");
    transaction
        .insert(&device.todo, &json!({"id": "b"}))
        .expect("staged");
    let failed = transaction.commit().await;
    assert!(
        matches!(failed, Err(Error::AlreadyExists { .. })),
        "{failed:?}"
    );
    let after = (
        device.rows().await,
        device.sync.pending().await.expect("the queue"),
    );
    assert_eq!(before, after);
    assert!(!lines.contains("c").await.expect("get answers"));
    device.is_sound().await;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Todo {
    id: String,
    n: i64,
}

/// Typed and untyped handles see the same records, and an update through a type that knows a few members keeps
/// all others, as they are spelled.
pub async fn unknown_members_survive_typed_updates(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let server_record = crate::fixture::record(r#"{"id":"a","n":1,"price":1.50,"tags":["x"]}"#);
    device.server.put(&todo(), &server_record);
    device.pull().await;
    let typed = device.sync.table::<Todo>("todo").expect("a table name");
    let updated = typed
        .update("a", &json!({"n": 2}))
        .await
        .expect("it is there");
    assert_eq!(
        updated,
        Todo {
            id: "a".into(),
            n: 2
        }
    );
    assert_holds(
        &device,
        &device.rows().await[0],
        r#"{"n":2,"price":1.50,"tags":["x"]}"#,
    );
    device.push().await;
    device.is_in_sync().await;

    device
        .todo
        .insert(&json!({"id": "b", "n": "many"}))
        .await
        .expect("new");
    assert!(matches!(typed.get("b").await, Err(Error::Typed { .. })));
    let found = device.todo.query().order_by("id").await.expect("a query");
    assert_eq!(found.records.len(), 2);
}

/// Changes of many tasks at once all get their operation, with numbers of their own.
pub async fn many_tasks_insert_at_once(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let tasks = (0..64i64).map(|number| {
        let device = device.clone();
        crate::threads::spawn(async move {
            device.insert(&format!("r{number:02}"), number).await;
            device.set(&format!("r{number:02}"), number + 100).await;
        })
    });
    for task in join_all(tasks.collect::<Vec<_>>()).await {
        task.expect("a task of this test fails");
    }
    let pending = device.sync.pending().await.expect("the queue is read");
    let seqs: BTreeSet<u64> = pending.iter().map(|operation| operation.seq).collect();
    assert_eq!((seqs.len(), device.rows().await.len()), (64, 64));
    device.is_sound().await;
    device.push().await;
    device.is_in_sync().await;
}

/// Tasks that all change one record: the last one stands, in one operation.
pub async fn many_tasks_edit_one_record(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.insert("a", 0).await;
    let tasks = (1..=32i64).map(|number| {
        let device = device.clone();
        let changes = json!({format!("m{number}"): number});
        crate::threads::spawn(async move { device.todo.update("a", &changes).await.map(|_| ()) })
    });
    for task in join_all(tasks.collect::<Vec<_>>()).await {
        task.expect("a task of this test fails")
            .expect("it is there");
    }
    assert_eq!(
        device.rows().await[0].members().len(),
        33,
        "no update is lost"
    );
    assert_eq!(device.queue().await, ["insert a"]);
    device.is_sound().await;
}

/// Two contexts and many tasks raise one number; none of them writes over another's.
pub async fn steps_of_a_counter_are_not_lost(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.insert("a", 0).await;
    let other = device.again().await;
    let tasks = (0..32).map(|task| {
        let device = if task % 2 == 0 { &device } else { &other }.clone();
        crate::threads::spawn(async move {
            let step = |todo: Value| json!({"n": todo["n"].as_i64().unwrap_or_default() + 1});
            device.todo.modify("a", step).await.map(|_| ())
        })
    });
    for task in join_all(tasks.collect::<Vec<_>>()).await {
        task.expect("a task of this test fails")
            .expect("it is there");
    }
    assert_eq!(device.n("a").await, Some(32));
    let missing = device.todo.modify("b", |todo| todo).await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    let no_object = device.todo.modify("a", |_| json!(1)).await;
    assert!(no_object.is_err(), "{no_object:?}");
    assert_eq!(device.n("a").await, Some(32));
}

/// A number is never given twice, though the queue was emptied and the store opened again in between.
pub async fn numbers_are_never_used_again(harness: &dyn Place) {
    let server = TestServer::new();
    let mut device = Device::new(harness, &server).await;
    let mut highest = 0;
    for round in 0..4 {
        let id = format!("r{round}");
        device.insert(&id, round).await;
        device.insert(&format!("s{round}"), round).await;
        let seqs = device.sync.pending().await.expect("the queue is read");
        assert!(
            seqs.iter().all(|operation| operation.seq > highest),
            "{seqs:?}"
        );
        highest = seqs[1].seq;
        match round {
            0 => _ = device.push().await,
            1 => {
                for operation in seqs.iter().rev() {
                    device.sync.cancel(operation.seq).await.expect("it waits");
                }
            }
            2 => {
                let purge = synctable_core::sync::Purge::all().discard_pending();
                device.todo.purge(purge).await.expect("purged");
            }
            _ => {
                device.delete(&id).await;
                device.delete(&format!("s{round}")).await;
            }
        }
        assert_eq!(
            device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted"),
            0
        );
        device = if device.store.capabilities().persistent {
            device.sync.close().await.expect("the store closes");
            drop(device);
            let store = harness.reopen().await.expect("the store opens again");
            Device::over(store, &server, |builder| builder).await
        } else {
            device.again().await
        };
    }
    device.insert("last", 0).await;
    assert!(device.only_seq().await > highest);
}

/// Two contexts over one store, as two processes have: changes of different and of the same records are all kept, and
/// join in the queue as if one had made them.
pub async fn two_contexts_over_one_store_lose_nothing(harness: &dyn Place) {
    let one = Device::new(harness, &TestServer::new()).await;
    one.server.set("a", 0);
    one.pull().await;
    let other = one.again().await;
    one.insert("b", 1).await;
    other.insert("c", 1).await;
    let again = other.todo.insert(&json!({"id": "b", "n": 9})).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    other.set("b", 2).await;
    one.set("a", 3).await;
    other.delete("a").await;
    one.set("c", 4).await;
    one.delete("b").await;
    assert_eq!(other.n("b").await, None);
    assert_eq!(one.queue().await, ["insert c", "delete a"]);
    one.insert("d", 1).await;
    other.insert("e", 1).await;
    other.push().await;
    other.is_in_sync().await;
    one.push().await;
    one.is_in_sync().await;
    assert_eq!((one.server.n("c"), one.server.n("a")), (Some(4), None));
    assert_eq!(one.server.effects(&todo(), "b"), 0);
}

/// Contexts over one store that write at the same time never take each other's numbers or changes away.
pub async fn two_contexts_write_at_once(harness: &dyn Place) {
    let one = Device::new(harness, &TestServer::new()).await;
    let other = one.again().await;
    one.insert("shared", 0).await;
    let writers = [(one.clone(), "x"), (other.clone(), "y")].map(|(device, name)| {
        crate::threads::spawn(async move {
            for number in 0..20 {
                device.insert(&format!("{name}{number}"), number).await;
                let changes = json!({format!("{name}{number}"): number});
                device
                    .todo
                    .update("shared", &changes)
                    .await
                    .expect("it is there");
            }
        })
    });
    for writer in writers {
        writer.await.expect("a task of this test fails");
    }
    assert_eq!(one.rows().await.len(), 41);
    let shared = one
        .rows()
        .await
        .into_iter()
        .find(|row| row.id().as_str() == "shared");
    assert_eq!(
        shared.expect("it is there").members().len(),
        41,
        "no update is lost"
    );
    assert_eq!(one.queue().await.len(), 41);
    one.push().await;
    one.is_in_sync().await;
}

/// A refused change of one context uses up a number; what it queues next is seen by the other all the same.
pub async fn changes_behind_a_gap_join(harness: &dyn Place) {
    let one = Device::new(harness, &TestServer::new()).await;
    one.server.set("a", 1);
    one.pull().await;
    let other = one.again().await;
    other.insert("b", 1).await;
    one.insert("c", 1).await;
    let long = json!({"n": "x".repeat(2 << 20)});
    one.todo.update("a", &long).await.expect_err("too large");
    other.set("b", 2).await;
    one.todo.update("a", &long).await.expect_err("too large");
    one.set("a", 2).await;
    other.delete("a").await;
    assert_eq!(one.queue().await, ["insert b", "insert c", "delete a"]);
    other.push().await;
    other.is_in_sync().await;
}

/// Tables of the engine cannot be named, and what was declared once stays declared.
pub async fn declarations_are_kept(harness: &dyn Place) {
    let declared = TableSchema::new().with_field("n", FieldType::Integer);
    let schema = Schema::new().with_table(table("todo"), declared);
    let device = Device::built(harness, &TestServer::new(), |b| b.schema(schema)).await;
    assert!(device.sync.table::<Value>("__operations").is_err());
    let later = device.again().await;
    let wrong = later.todo.insert(&json!({"id": "a", "n": "one"})).await;
    assert!(matches!(wrong, Err(Error::Schema(_))), "{wrong:?}");
    let free = later.sync.table::<Value>("free").expect("a table name");
    free.insert(&json!({"id": "a", "n": "one"}))
        .await
        .expect("new");
    assert_eq!(device.again().await.sync.declarations().tables().count(), 2);
}

/// Tables that two contexts over one store made on first use are both known afterwards.
pub async fn tables_of_two_contexts_are_known(harness: &dyn Place) {
    let one = Device::new(harness, &TestServer::new()).await;
    let other = one.again().await;
    for (device, name) in [(&one, "first"), (&other, "second"), (&one, "third")] {
        let table = device.sync.table::<Value>(name).expect("a table name");
        table.insert(&json!({"id": "a"})).await.expect("new");
    }
    let next = one.again().await;
    assert_eq!(next.sync.declarations().tables().count(), 3);
    next.is_sound().await;
}
