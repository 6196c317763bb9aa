//! Batches and their checks.

use synctable_core::store::{Durability, Expect, WriteBatch};
use synctable_core::{Record, SystemProperties, Timestamp, Version};

use crate::Place;
use crate::fixture::{assert_holds, commit, id, put, record, refused, store_with, table};

/// One check that does not hold, and nothing of the batch is done, in no table.
pub async fn failing_check_undoes_the_whole_batch(harness: &dyn Place) {
    let (one, two) = (table("one"), table("two"));
    let store = store_with(harness, &[&one, &two]).await;
    let (a, b) = (record(r#"{"id":"a","n":1}"#), record(r#"{"id":"b","n":1}"#));
    put(&store, &one, &[a.clone(), b.clone()]).await;
    put(&store, &two, std::slice::from_ref(&a)).await;
    let batch = WriteBatch::new()
        .expect_same(&one, a.clone())
        .expect_absent(&two, &id("x"))
        .expect_absent(&two, &id("a"))
        .put(&one, record(r#"{"id":"a","n":2}"#))
        .delete(&one, &id("b"))
        .put(&one, record(r#"{"id":"c"}"#))
        .clear(&two);
    refused(&store, batch, &two, &id("a")).await;
    assert_holds(&store, &one, &[a.clone(), b]).await;
    assert_holds(&store, &two, &[a]).await;
}

/// `Absent` holds exactly if there is no such record in that table.
pub async fn expect_absent_is_judged(harness: &dyn Place) {
    let (one, two) = (table("one"), table("two"));
    let store = store_with(harness, &[&one, &two]).await;
    let a = record(r#"{"id":"a"}"#);
    let insert = || {
        WriteBatch::new()
            .expect_absent(&one, a.id())
            .put(&one, a.clone())
    };
    commit(&store, insert()).await;
    refused(&store, insert(), &one, a.id()).await;
    commit(
        &store,
        WriteBatch::new()
            .expect_absent(&two, a.id())
            .delete(&one, a.id()),
    )
    .await;
    commit(&store, insert()).await;
    assert_holds(&store, &one, &[a]).await;
}

/// `Present` holds exactly if there is such a record in that table.
pub async fn expect_present_is_judged(harness: &dyn Place) {
    let (one, two) = (table("one"), table("two"));
    let store = store_with(harness, &[&one, &two]).await;
    let present = |table| {
        let mut batch = WriteBatch::new().put(&one, record(r#"{"id":"b"}"#));
        batch.check(table, &id("a"), Expect::Present);
        batch
    };
    refused(&store, present(&one), &one, &id("a")).await;
    let tombstone = record(r#"{"id":"a","deleted":true}"#);
    put(&store, &one, std::slice::from_ref(&tombstone)).await;
    refused(&store, present(&two), &two, &id("a")).await;
    assert_holds(&store, &one, std::slice::from_ref(&tombstone)).await;
    commit(&store, present(&one)).await;
    assert_holds(&store, &one, &[tombstone, record(r#"{"id":"b"}"#)]).await;
}

/// `Same` compares the text of the members and every system property.
pub async fn expect_same_is_judged_on_text_and_system_properties(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let system = SystemProperties {
        version: Some(Version::new("v1")),
        created_at: time("2024-02-29T12:00:00Z"),
        updated_at: time("2024-02-29T12:00:00.0000001Z"),
        deleted: false,
    };
    let body = r#"{"n":1.0,"t":"x","o":{"a":1}}"#;
    let kept = Record::new(id("a"), body)
        .expect("a record")
        .with_system(system.clone());
    put(&store, &one, std::slice::from_ref(&kept)).await;
    let bodies = [
        r#"{"n":1,"t":"x","o":{"a":1}}"#,
        r#"{"t":"x","n":1.0,"o":{"a":1}}"#,
        r#"{"n":1.0,"t":"x","o":{"a": 1}}"#,
        r#"{"n":1.0,"t":"x","o":{"a":1},"z":null}"#,
        r#"{"n":1.0,"t":"x"}"#,
        "{}",
    ];
    let other_bodies = bodies.map(|body| {
        Record::new(id("a"), body)
            .expect("a record")
            .with_system(system.clone())
    });
    let other_systems = [
        SystemProperties {
            version: Some(Version::new("V1")),
            ..system.clone()
        },
        SystemProperties {
            version: None,
            ..system.clone()
        },
        SystemProperties {
            created_at: None,
            ..system.clone()
        },
        SystemProperties {
            updated_at: time("2024-02-29T12:00:00Z"),
            ..system.clone()
        },
        SystemProperties {
            deleted: true,
            ..system
        },
    ]
    .map(|system| kept.clone().with_system(system));
    let keeps = store.capabilities();
    for other in other_bodies.into_iter().chain(other_systems) {
        if keeps.keeps_as(&kept, &other) {
            // Kept by value, it is the same.
            continue;
        }
        let batch = WriteBatch::new().expect_same(&one, other).clear(&one);
        refused(&store, batch, &one, &id("a")).await;
    }
    let missing = record(r#"{"id":"b"}"#);
    let batch = WriteBatch::new().expect_same(&one, missing).clear(&one);
    refused(&store, batch, &one, &id("b")).await;
    assert_holds(&store, &one, std::slice::from_ref(&kept)).await;
    commit(
        &store,
        WriteBatch::new().expect_same(&one, kept).clear(&one),
    )
    .await;
    assert_holds(&store, &one, &[]).await;
}

/// All checks are judged first: the writes of the batch do not show in them.
pub async fn checks_see_the_state_before_the_batch(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let (first, second) = (record(r#"{"id":"a","n":1}"#), record(r#"{"id":"a","n":2}"#));
    let batch = WriteBatch::new()
        .put(&one, first.clone())
        .expect_absent(&one, first.id())
        .expect_absent(&one, first.id());
    commit(&store, batch).await;
    let replace = WriteBatch::new()
        .put(&one, second.clone())
        .clear(&one)
        .put(&one, second.clone())
        .expect_same(&one, first.clone());
    commit(&store, replace).await;
    let batch = WriteBatch::new()
        .put(&one, first.clone())
        .expect_same(&one, first.clone());
    refused(&store, batch, &one, first.id()).await;
    assert_holds(&store, &one, &[second]).await;
}

/// A batch of checks alone is judged and writes nothing.
pub async fn checks_alone_write_nothing(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let a = record(r#"{"id":"a"}"#);
    commit(&store, WriteBatch::new().expect_absent(&one, a.id())).await;
    refused(
        &store,
        WriteBatch::new().expect_same(&one, a.clone()),
        &one,
        a.id(),
    )
    .await;
    assert_holds(&store, &one, &[]).await;
}

/// A batch without checks and writes is fine.
pub async fn empty_batch_is_taken(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    commit(&store, WriteBatch::new()).await;
    commit(&store, WriteBatch::new().durability(Durability::Eventual)).await;
    assert_holds(&store, &one, &[]).await;
}

/// Durability says when a batch is safe from a power cut, not when it is seen.
pub async fn eventual_batch_is_seen_at_once(harness: &dyn Place) {
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    let mut expected = Vec::new();
    for number in 0..10 {
        let next = record(&format!(r#"{{"id":"{number}"}}"#));
        let durability = if number % 3 == 0 {
            Durability::Immediate
        } else {
            Durability::Eventual
        };
        commit(
            &store,
            WriteBatch::new()
                .durability(durability)
                .put(&one, next.clone()),
        )
        .await;
        expected.push(next);
        assert_holds(&store, &one, &expected).await;
    }
}
