//! Two contexts of the engine over what two users have of a store.

use futures_util::future::join;
use serde_json::json;
use synctable_core::Error;
use synctable_core::sync::ConflictPolicy;

use super::beside;
use crate::Place;
use crate::engine::{Device, TestServer, todo};

async fn devices(harness: &dyn Place, server: &TestServer) -> [Device; 2] {
    let policy = ConflictPolicy::ClientWins;
    let one = Device::with(harness, server, policy.clone()).await;
    let store = beside(harness, &one.store).await;
    let other = Device::over(store, server, |builder| builder.conflicts(policy)).await;
    [one, other]
}

/// Both edit, different records and the same one; one pushes all of it, and the other pulls. Each edit has one effect.
pub async fn both_edit_one_pushes_the_other_pulls(harness: &dyn Place) {
    let server = TestServer::new();
    let [one, other] = devices(harness, &server).await;
    for id in ["a", "b", "c"] {
        server.set(id, 0);
    }
    one.pull().await;
    other.set("a", 1).await;
    one.set("b", 2).await;
    other.insert("new", 3).await;
    // They join with what the other context has queued.
    one.set("a", 4).await;
    one.set("new", 5).await;
    other.delete("c").await;
    let again = one.todo.update("c", &json!({"n": 9})).await;
    assert!(
        matches!(again, Err(Error::NotFound { .. })),
        "what the other context has deleted is deleted: {again:?}"
    );
    let queue = ["replace a", "replace b", "insert new", "delete c"];
    for device in [&one, &other] {
        let mut queued = device.queue().await;
        queued.sort_unstable();
        let mut expected = queue;
        expected.sort_unstable();
        assert_eq!(queued, expected, "one queue for both");
    }
    one.push().await;
    server.set("theirs", 6);
    other.pull().await;
    for device in [&one, &other] {
        device.is_in_sync().await;
        assert_eq!(device.n("a").await, Some(4));
        assert_eq!(device.n("theirs").await, Some(6));
    }
    for (id, n) in [
        ("a", Some(4)),
        ("b", Some(2)),
        ("new", Some(5)),
        ("c", None),
    ] {
        assert_eq!(
            server.n(id),
            n,
            "the server has what both have made of {id}"
        );
    }
    assert_eq!(server.effects(&todo(), "new"), 1, "it went out once");
}

/// One pulls what others change at the server, again and again, while the other edits the same records: no edit is lost.
pub async fn pulls_of_one_keep_the_edits_of_the_other(harness: &dyn Place) {
    const ROWS: i64 = 12;
    let server = TestServer::new();
    let [one, other] = devices(harness, &server).await;
    for row in 0..ROWS {
        server.set(&format!("r{row}"), row);
    }
    one.pull().await;
    let pulls = async {
        for round in 1..=6 {
            for row in 0..ROWS {
                server.set(&format!("r{row}"), 100 * round + row);
            }
            one.pull_only().await;
        }
    };
    let edits = async {
        for row in 0..ROWS {
            other.set(&format!("r{row}"), 1000 + row).await;
            other.insert(&format!("new{row}"), row).await;
            tokio::task::yield_now().await;
        }
    };
    join(pulls, edits).await;
    for row in 0..ROWS {
        let found = one.n(&format!("r{row}")).await;
        assert_eq!(found, Some(1000 + row), "a pull wrote over an edit");
    }
    other.push().await;
    one.pull().await;
    for row in 0..ROWS {
        assert_eq!(
            server.n(&format!("r{row}")),
            Some(1000 + row),
            "an edit is lost"
        );
        assert_eq!(
            server.n(&format!("new{row}")),
            Some(row),
            "an insert is lost"
        );
    }
    one.is_in_sync().await;
    other.is_in_sync().await;
}
