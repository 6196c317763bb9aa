//! This project's engine with the genuine server: two devices change the same record.

use serde_json::json;
use synctable_core::sync::{ConflictPolicy, Resolution};
use synctable_http::Dialect;

use crate::ours::{Device, http};
use crate::peers::NodeServer;

/// What each side does to a record that both have.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Edits,
    Deletes,
    Inserts,
}

async fn apply(device: &Device, does: Does, id: &str, text: &str) {
    match does {
        Edits => device.text(id, text).await,
        Deletes => device.delete(id).await,
        Inserts => device.insert(json!({"id": id, "text": text})).await,
    }
}

use Does::{Deletes, Edits, Inserts};

/// `theirs` happens first, then `ours` under a policy; the text that all agree on at the end, `None` for no record.
async fn met(
    server: &NodeServer,
    (theirs, ours): (Does, Does),
    policy: ConflictPolicy,
    id: &str,
) -> Option<String> {
    let them = Device::new(&server.url, Dialect::Zumo2).await;
    let us = Device::with(http(&server.url, Dialect::Zumo2), policy).await;
    if ours != Inserts {
        them.insert(json!({"id": id, "text": "start"})).await;
        them.sync().await;
        us.pull().await;
    }
    if ours == Inserts && theirs == Deletes {
        them.insert(json!({"id": id, "text": "start"})).await;
        them.push_all().await;
    }
    apply(&them, theirs, id, "theirs").await;
    them.push_all().await;
    apply(&us, ours, id, "ours").await;
    us.push_all().await;
    us.pull().await;
    them.pull().await;
    assert_eq!(us.records().await, them.records().await);
    let text = us.rows().await.get(id)?.as_str()?.to_owned();
    Some(text)
}

#[tokio::test]
async fn every_pair_of_changes_ends_as_the_policy_says() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let pairs = [
        (Edits, Edits),
        (Edits, Deletes),
        (Deletes, Edits),
        (Deletes, Deletes),
        (Inserts, Inserts),
        (Deletes, Inserts),
    ];
    for (n, pair) in pairs.into_iter().enumerate() {
        let id = format!("s{n}");
        let text = met(&server, pair, ConflictPolicy::ServerWins, &id).await;
        let expected = match pair {
            // Made again over a tombstone: no conflict at all.
            (Deletes, Inserts) => Some("ours".to_owned()),
            (theirs, _) => (theirs != Deletes).then(|| "theirs".to_owned()),
        };
        assert_eq!(text, expected, "server wins: {pair:?}");

        let id = format!("c{n}");
        let text = met(&server, pair, ConflictPolicy::ClientWins, &id).await;
        let expected = (pair.1 != Deletes).then(|| "ours".to_owned());
        assert_eq!(text, expected, "client wins: {pair:?}");
    }
}

#[tokio::test]
async fn a_parked_conflict_shows_all_sides_and_is_resolved_later() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let a = Device::new(&server.url, Dialect::Zumo2).await;
    let b = Device::new(&server.url, Dialect::Zumo2).await;
    for id in ["edit", "gone", "taken"] {
        a.insert(json!({"id": id, "text": "start"})).await;
    }
    a.sync().await;
    b.pull().await;
    b.text("edit", "by b").await;
    b.delete("gone").await;
    b.push_all().await;
    let c = Device::new(&server.url, Dialect::Zumo2).await;
    a.text("edit", "by a").await;
    a.text("gone", "by a").await;
    c.insert(json!({"id": "taken", "text": "by c"})).await;
    a.insert(json!({"id": "behind", "text": "goes through"}))
        .await;
    let report = a.push().await.unwrap();
    assert_eq!((report.pushed, report.conflicts), (1, 2));
    assert_eq!(c.push().await.unwrap().conflicts, 1);

    let told: Vec<_> = a.sync.conflicts().await.unwrap();
    let text = |record: &Option<synctable_core::Record>| {
        let record = record.as_ref()?;
        (!record.is_deleted()).then(|| record.member("text"))?
    };
    let sides: Vec<_> = told
        .iter()
        .map(|parked| {
            let conflict = &parked.conflict;
            (
                text(&conflict.base),
                text(&conflict.local),
                text(&conflict.server),
            )
        })
        .collect();
    let (start, ours, theirs) = (json!("start"), json!("by a"), json!("by b"));
    assert_eq!(
        sides,
        [
            (Some(start.clone()), Some(ours.clone()), Some(theirs)),
            (Some(start), Some(ours), None)
        ]
    );
    assert!(told[1].conflict.server.as_ref().unwrap().is_deleted());

    for parked in told {
        let resolution = Resolution::Client;
        a.sync
            .resolve(parked.operation.seq, resolution)
            .await
            .unwrap();
    }
    a.push_all().await;
    let parked = c.sync.conflicts().await.unwrap();
    let server_side = parked[0].conflict.server.clone().unwrap();
    assert_eq!(
        server_side.member("text"),
        Some(json!("start")),
        "not the echo of what was sent"
    );
    let seq = parked[0].operation.seq;
    c.sync.resolve(seq, Resolution::Server).await.unwrap();
    for device in [&a, &b, &c] {
        device.sync().await;
    }
    assert_eq!(a.records().await, b.records().await);
    assert_eq!(a.records().await, c.records().await);
    let rows = a.rows().await;
    assert_eq!(
        (&rows["edit"], &rows["gone"]),
        (&json!("by a"), &json!("by a"))
    );
    assert_eq!(rows["taken"], "start");
}

#[tokio::test]
async fn changes_of_different_members_are_merged() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    let a = Device::with(http(&server.url, Dialect::Zumo2), ConflictPolicy::Merge).await;
    let b = Device::new(&server.url, Dialect::Zumo2).await;
    a.insert(json!({"id": "x", "text": "start", "complete": false}))
        .await;
    a.sync().await;
    b.pull().await;
    b.todo
        .update("x", &json!({"complete": true}))
        .await
        .unwrap();
    b.push_all().await;
    a.text("x", "by a").await;
    a.push_all().await;
    b.pull().await;
    assert_eq!(a.records().await, b.records().await);
    let row = &a.records().await[0];
    assert_eq!(row.member("complete"), Some(json!(true)));
    assert_eq!(row.member("text"), Some(json!("by a")));
}
