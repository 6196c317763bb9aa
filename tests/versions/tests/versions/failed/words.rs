//! What the command says.

use std::process::Stdio;
use std::sync::{Mutex, mpsc};

use serde_json::json;
use synctable_core::store::{LocalStore as _, WriteBatch};
use synctable_core::{RecordId, TableName};
use synctable_sqlite::SqliteStore;

use crate::device::Device;
use crate::far_side::{FarSide, Reply, writes};
use crate::releases::{Release, both};
use crate::server::Server;
use crate::together::TABLE;

/// What a push says whose first round sends 65 of 66 records and loses the push to another process.
fn in_two_rounds(release: Release) -> String {
    let server = Server::new(Release::Today, &[TABLE]);
    let (at_the_gate, arrived) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let gate = FarSide::before(&server, move |request| {
        if !writes(request, "i65") || at_the_gate.send(()).is_err() {
            return None;
        }
        let _ = held.lock().unwrap().recv();
        Some(Reply::json(502, "{}"))
    });
    let device = gate.device(release);
    let records: Vec<_> = (0..66).map(|n| json!({"id": format!("i{n:02}")})).collect();
    device.import(TABLE, &records);
    let mut push = device.command(&["push"]);
    let push = push.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    arrived.recv().unwrap();
    drop(arrived);
    lose_the_push(&device);
    drop(go_on);
    let output = push.unwrap().wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// The store forgets who pushes it, as if another process had pushed and was done.
fn lose_the_push(device: &Device) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(device.folder().join("synctable.db")).unwrap();
        let (table, id) = (TableName::system("__meta"), RecordId::system("pusher"));
        let batch = WriteBatch::new().delete(&table, &id);
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn the_words_of_a_push_count_all_its_rounds() {
    let [before, today] = both(in_two_rounds);
    assert!(today.contains("66 pushed"), "{today}");
    assert!(!before.contains("66 pushed"), "{before}");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_refusal_names_the_member() {
    // 0.1 gave the words of the last two, too.
    for (content_type, body, words_of_0_1) in [
        (
            "application/json",
            r#"[{"memberNames":["Title"],"errorMessage":"The Title field is required."}]"#,
            "The Title field is required.",
        ),
        (
            "application/problem+json",
            r#"{"errors":{"Title":["The Title field is required."]},"title":"One or more validation errors occurred.","status":400}"#,
            "One or more validation errors occurred.",
        ),
        (
            "application/json",
            r#"{"code":"400","message":"Title: The Title field is required.","target":null,"details":null}"#,
            "Title: The Title field is required.",
        ),
        (
            "text/plain",
            "Title: The Title field is required.",
            "Title: The Title field is required.",
        ),
    ] {
        let [before, today] = both(|release| {
            let server = Server::new(Release::Today, &[TABLE]);
            let gate = FarSide::before(&server, move |request| {
                writes(request, "a").then(|| Reply::typed(400, content_type, body))
            });
            let device = gate.device(release);
            device.insert(TABLE, &["a"]);
            device.run(&["push"]).expect(3);
            device.pending()[0]["message"].clone()
        });
        assert_eq!(before, words_of_0_1, "{body}");
        assert_eq!(today, "Title: The Title field is required.", "{body}");
    }
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_retry_of_a_conflict_says_how_to_end_it() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &[TABLE]);
        let device = Device::of(release, &server.url());
        device.insert(TABLE, &["a"]);
        device.ok(&["sync"]);
        let other = Device::of(Release::Today, &server.url());
        other.ok(&["pull", TABLE]);
        other.ok(&["update", TABLE, "a", r#"{"n":1}"#]);
        other.ok(&["push"]);
        device.ok(&["update", TABLE, "a", r#"{"n":2}"#]);
        device.run(&["push"]).expect(3);
        device.run(&["retry", &device.seq()])
    });
    assert_eq!(today.code, 1);
    assert!(
        today.err.contains("is in conflict") && today.err.contains("synctable resolve"),
        "{today:?}"
    );
    assert!(!before.err.contains("synctable resolve"), "{before:?}");
}

#[test]
#[ignore = "needs the command of release 0.1"]
fn a_push_that_stops_says_what_arrived() {
    let [before, today] = both(|release| {
        let server = Server::new(Release::Today, &[TABLE]);
        // No network opens batches.
        let gate = FarSide::closed_before(&server, |request| {
            writes(request, "c").then(|| Reply::json(511, "{}"))
        });
        let device = gate.device(release);
        device.insert(TABLE, &["a", "b", "c", "d"]);
        device.text(&["push"]).expect(4).err
    });
    assert!(before.contains("(0 pushed, 2 still queued)"), "{before}");
    assert!(today.contains("(2 pushed, 2 still queued)"), "{today}");
    assert_eq!(today.matches("the network answers").count(), 1, "{today}");
}
