//! The genuine JavaScript client and this project's engine as two devices of one user.

use std::path::Path;

use serde_json::json;
use synctable_core::sync::{ConflictPolicy, Resolution};
use synctable_http::Dialect;

use crate::ours::{Device, http};
use crate::peers::{JsDevice, NodeServer, OurServer, packages};

#[tokio::test]
async fn on_the_genuine_server() {
    let Some(server) = NodeServer::start().await else {
        return;
    };
    story(&server.url, Dialect::Zumo2).await;
}

#[tokio::test]
async fn on_our_server_in_its_dialect() {
    on_ours(Dialect::Zumo2).await;
}

#[tokio::test]
async fn on_our_server_with_our_engine_in_the_newer_dialect() {
    on_ours(Dialect::Zumo3).await;
}

#[tokio::test]
async fn on_our_server_with_our_engine_in_the_dialect_of_the_toolkit() {
    on_ours(Dialect::Toolkit).await;
}

async fn on_ours(dialect: Dialect) {
    if packages().is_some() {
        let server = OurServer::start().await;
        story(&server.url, dialect).await;
    }
}

/// Pulls and pushes on both until neither has anything new, and compares.
async fn settle(ours: &Device, theirs: &mut JsDevice) {
    for _ in 0..2 {
        ours.push_all().await;
        theirs.push_all().await;
        ours.pull().await;
        theirs.done(json!(["pull", "all"])).await;
    }
    assert_eq!(ours.rows().await, theirs.rows().await);
}

async fn story(url: &str, dialect: Dialect) {
    let packages = packages().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file: &Path = &folder.path().join("theirs.db");
    let mut theirs = JsDevice::start(url, &packages, file);
    let ours = Device::with(http(url, dialect), ConflictPolicy::Park).await;

    // Both work offline, then meet.
    for n in 0..60 {
        ours.insert(json!({"id": format!("o{n}"), "text": format!("ours {n}"), "complete": false}))
            .await;
        theirs
            .done(json!(["insert", {"id": format!("t{n}"), "text": format!("theirs {n}")}]))
            .await;
    }
    settle(&ours, &mut theirs).await;
    assert_eq!(ours.rows().await.len(), 120);

    // Each edits and deletes rows of the other.
    for n in 0..10 {
        ours.text(&format!("t{n}"), "edited by us").await;
        theirs
            .done(json!(["update", {"id": format!("o{n}"), "text": "edited by them"}]))
            .await;
        ours.delete(&format!("t{}", n + 10)).await;
        theirs.done(json!(["delete", format!("o{}", n + 10)])).await;
    }
    settle(&ours, &mut theirs).await;
    let rows = ours.rows().await;
    assert_eq!(rows.len(), 100);
    assert_eq!(
        (&rows["t3"], &rows["o3"]),
        (&json!("edited by us"), &json!("edited by them"))
    );

    // Our edit meets theirs: parked, and put through.
    theirs
        .done(json!(["update", {"id": "o30", "text": "them"}]))
        .await;
    theirs.push_all().await;
    ours.text("o30", "us").await;
    let report = ours.push().await.unwrap();
    assert_eq!(report.conflicts, 1);
    let parked = ours.sync.conflicts().await.unwrap();
    let server = parked[0].conflict.server.as_ref().unwrap();
    assert_eq!(server.member("text"), Some(json!("them")));
    let seq = parked[0].operation.seq;
    ours.sync.resolve(seq, Resolution::Client).await.unwrap();
    settle(&ours, &mut theirs).await;
    assert_eq!(theirs.rows().await["o30"], "us");

    // Their edit meets ours, and takes our side.
    ours.text("o31", "us").await;
    ours.push_all().await;
    theirs
        .done(json!(["update", {"id": "o31", "text": "them"}]))
        .await;
    let pushed = theirs.done(json!(["push", "server"])).await;
    assert_eq!(pushed["handled"][0]["theirs"]["text"], "us");
    settle(&ours, &mut theirs).await;

    // A row that they deleted, made anew by us, is seen by them.
    ours.insert(json!({"id": "o15", "text": "again"})).await;
    let report = ours.push().await.unwrap();
    for parked in ours.sync.conflicts().await.unwrap() {
        let seq = parked.operation.seq;
        ours.sync.resolve(seq, Resolution::Client).await.unwrap();
    }
    assert!(report.pushed + report.conflicts == 1, "{report:?}");
    settle(&ours, &mut theirs).await;
    assert_eq!(theirs.rows().await["o15"], "again");
}
