//! Whose failure is it: what the server does not take, and what it fails at, holds up nobody else, and every count is true.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};
use synctable::store::{LocalStoreExt as _, WriteBatch};
use synctable::{Missing, RecordId, StoreUrl, TableName};

use crate::gate::{Fate, Gate};
use crate::kit::{Device, Ran, Server, command, counts, lines};

/// True for the insert of a record.
fn inserts(request: &str, id: &str) -> bool {
    request.starts_with("POST ") && request.contains(&format!("\"id\":\"{id}\""))
}

/// A device that knows the gateway, with records of these ids in its queue.
fn device(gate: &Gate, table: &str, ids: &[&str]) -> Device {
    let device = Device::new();
    device.ok(&["push", "--remote", &gate.url]);
    insert(&device, table, ids);
    device
}

fn insert(device: &Device, table: &str, ids: &[&str]) {
    let records = lines(ids.len(), |n| json!({"id": ids[n]}));
    device.feed(&["import", table, "-"], &records).expect(0);
}

/// As a person sees it.
fn text(device: &Device, args: &[&str]) -> Ran {
    Ran::of(command(device.folder()).args(args))
}

#[test]
fn a_record_that_the_server_fails_at_holds_up_nobody() {
    for (fate, reason) in [
        (Fate::Answer(403, "{}"), "forbidden"),
        (Fate::Answer(500, "{}"), "failed"),
        (Fate::Answer(502, "{}"), "gateway"),
        (Fate::Answer(504, "{}"), "gateway"),
        (Fate::Cut, "broken"),
    ] {
        let server = Server::new(&["--table", "todoitem", "--table", "movies"]);
        let mended = Arc::new(AtomicBool::new(false));
        let open = Arc::clone(&mended);
        let gate = Gate::new(&server, move |request| {
            if inserts(request, "bad") && !open.load(Ordering::SeqCst) {
                fate
            } else {
                Fate::Pass
            }
        });
        let other = Device::of(&server);
        insert(&other, "movies", &["m"]);
        other.ok(&["push"]);
        let ids = ["a", "b", "c", "d", "bad", "f", "g", "h", "i", "j"];
        let device = device(&gate, "todoitem", &ids);
        let pushed = device.run(&["push"]).expect(3).counts();
        assert_eq!(
            pushed,
            json!({"pushed": 9, "conflicts": 0, "rejected": 0, "aside": 1, "pending": 1}),
            "{fate:?}"
        );
        let operation = device.ok(&["pending"]).line();
        assert_eq!(
            (&operation["id"], &operation["aside"]["reason"]),
            (&json!("bad"), &json!(reason))
        );
        let status = match fate {
            Fate::Answer(status, _) => json!(status),
            _ => Value::Null,
        };
        assert_eq!(operation["aside"]["status"], status);
        assert_eq!(operation["aside"]["nextTry"].is_string(), status.is_null());
        assert_eq!(operation.get("message"), None);
        let shown = text(&device, &["pending"]).expect(0).out;
        assert!(shown.contains(&format!("aside ({reason}")), "{shown}");
        assert!(shown.contains("tried again "), "{shown}");

        // Pulls go on, and it is no news to them.
        assert_eq!(other.ok(&["pull", "todoitem"]).line()["added"], 9);
        assert_eq!(device.ok(&["pull", "movies"]).line()["added"], 1);
        let pulled = device.ok(&["pull", "todoitem"]).line();
        assert_eq!(pulled["fetched"], 9, "{fate:?}");
        let synced = device.run(&["sync"]).expect(3).lines();
        assert_eq!((synced.len(), &synced[0]["aside"]), (3, &json!(1)));

        // The next push tries it at once where the user says so, whenever it was to be tried.
        mended.store(true, Ordering::SeqCst);
        device.ok(&["retry", &device.seq()]);
        assert_eq!(device.ok(&["push"]).line()["pushed"], 1, "{fate:?}");
        assert_eq!(device.ok(&["verify", "--remote"]).line()["ok"], true);
    }
}

#[test]
fn a_table_that_is_forbidden_is_not_offline_and_holds_up_no_other() {
    let server = Server::new(&["--table", "todoitem", "--table", "secret"]);
    let gate = Gate::new(&server, |request| {
        if request.contains("/tables/secret") {
            Fate::Answer(403, "{}")
        } else {
            Fate::Pass
        }
    });
    let device = device(&gate, "secret", &["a", "b", "c", "d", "e"]);
    insert(&device, "todoitem", &["t"]);
    let pushed = device.run(&["push"]).expect(3).counts();
    assert_eq!(
        (&pushed["pushed"], &pushed["aside"], &pushed["pending"]),
        (&json!(1), &json!(5), &json!(5))
    );
    let refused = device.run(&["pull", "secret"]).expect(1);
    assert!(refused.err.contains("does not allow"), "{refused:?}");
    let other = Device::of(&server);
    insert(&other, "todoitem", &["u"]);
    other.ok(&["push"]);
    let synced = device.run(&["sync"]).expect(1);
    assert!(synced.err.contains("table secret: "), "{synced:?}");
    assert!(synced.err.contains("the others were pulled"), "{synced:?}");
    assert_eq!(synced.lines().last().unwrap()["added"], 1, "{synced:?}");
}

#[test]
fn a_table_that_the_server_does_not_know_stops_nothing() {
    let server = Server::new(&["--table", "todoitem"]);
    let device = Device::of(&server);
    insert(&device, "attic", &["a", "b"]);
    insert(&device, "todoitem", &["t"]);
    let other = Device::of(&server);
    insert(&other, "todoitem", &["u"]);
    other.ok(&["push"]);
    let synced = device.run(&["sync"]).expect(1);
    assert!(
        synced
            .err
            .contains("the server has no table attic; the others were pulled"),
        "{synced:?}"
    );
    let lines = synced.lines();
    assert_eq!(
        counts(lines[0].clone()),
        json!({"pushed": 1, "conflicts": 0, "rejected": 0, "aside": 2, "pending": 2})
    );
    assert_eq!((lines.len(), &lines[1]["fetched"]), (2, &json!(2)));
    assert_eq!(device.ok(&["pending"]).lines().len(), 2);
}

#[test]
fn a_sync_pushes_once_however_many_tables_wait() {
    let server = Server::new(&["--table", "todoitem", "--table", "movies"]);
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let gate = Gate::new(&server, move |request| {
        if !inserts(request, "bad") {
            return Fate::Pass;
        }
        if !request.contains("$batch") {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        Fate::Answer(502, "{}")
    });
    let device = device(&gate, "todoitem", &["bad"]);
    insert(&device, "movies", &["bad"]);
    let synced = device.run(&["sync"]).expect(3).lines();
    assert_eq!((synced.len(), &synced[0]["aside"]), (3, &json!(2)));
    // Each at its place, and once more at the end, besides what was tried with both together.
    assert_eq!(sent.load(Ordering::SeqCst), 4);
}

#[test]
fn words_and_json_count_the_same() {
    let server = Server::todos();
    let gate = Gate::new(&server, |request| {
        if inserts(request, "c") {
            Fate::Answer(502, "{}")
        } else {
            Fate::Pass
        }
    });
    let device = device(&gate, "todoitem", &["a", "b", "c"]);
    let pushed = text(&device, &["push"]).expect(3);
    assert_eq!(
        pushed.out,
        "2 pushed, 1 still queued, of these 1 aside (tried again by a later push), 0 in conflict and 0 rejected; \
         see synctable pending and synctable conflicts\n"
    );
    // A pull whose own push leaves something aside says so, once.
    let other = self::device(&gate, "todoitem", &["c"]);
    assert_eq!(
        other.run(&["pull", "todoitem"]).expect(3).line()["added"],
        2
    );
    other.ok(&["pull", "todoitem"]);
}

#[test]
fn a_push_that_stops_says_what_arrived() {
    let server = Server::todos();
    let gate = Gate::new(&server, |request| {
        if inserts(request, "c") {
            Fate::Answer(511, "{}")
        } else {
            Fate::Pass
        }
    });
    let device = device(&gate, "todoitem", &["a", "b", "c", "d"]);
    let stopped = text(&device, &["push"]).expect(4);
    assert_eq!(stopped.out, "");
    assert!(
        stopped.err.contains("(2 pushed, 2 still queued)"),
        "{stopped:?}"
    );
    // Each thing once.
    assert_eq!(stopped.err.matches("pushed").count(), 1, "{stopped:?}");
    assert_eq!(
        stopped.err.matches("the network answers").count(),
        1,
        "{stopped:?}"
    );
}

/// What a push with two rounds says. The first sends 66 records and loses the push to another process meanwhile; then `fate` is that
/// of the last record.
fn push_in_two_rounds(fate: Fate) -> Ran {
    let server = Server::todos();
    let (at_the_gate, arrived) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let gate = Gate::new(&server, move |request| {
        if !inserts(request, "i65") {
            return Fate::Pass;
        }
        // Later there is nobody to ask.
        if at_the_gate.send(()).is_ok() {
            let _ = held.lock().unwrap().recv();
            return Fate::Answer(502, "{}");
        }
        fate
    });
    let ids: Vec<String> = (0..66).map(|n| format!("i{n:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let device = device(&gate, "todoitem", &ids);
    let push = command(device.folder())
        .arg("push")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    arrived.recv().unwrap();
    drop(arrived);
    lose_the_push(&device);
    drop(go_on);
    let output = push.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The store forgets who pushes it, as if another process had pushed and was done.
fn lose_the_push(device: &Device) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url: StoreUrl = format!("sqlite:{}", device.store().display())
            .parse()
            .unwrap();
        let store = url.open(None, Missing::Refuse).unwrap().store;
        let (table, id) = (TableName::system("__meta"), RecordId::system("pusher"));
        assert!(store.get_one(&table, &id).await.unwrap().is_some());
        store
            .commit(WriteBatch::new().delete(&table, &id))
            .await
            .unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn every_round_of_a_push_counts() {
    let pushed = push_in_two_rounds(Fate::Pass).expect(0);
    assert_eq!(pushed.out, "66 pushed, 0 still queued\n");
    let stopped = push_in_two_rounds(Fate::Answer(511, "{}")).expect(4);
    assert!(
        stopped.err.contains("(65 pushed, 1 still queued)"),
        "{stopped:?}"
    );
}

#[test]
fn a_record_under_another_id_is_taken_over() {
    let server = Server::todos();
    let gate = Gate::new(&server, |request| {
        if inserts(request, "a") {
            Fate::Answer(
                201,
                r#"{"id":"made-there","text":"Milk","version":"AAAB","updatedAt":"2024-05-01T10:00:00.000Z"}"#,
            )
        } else {
            Fate::Pass
        }
    });
    let device = device(&gate, "todoitem", &["a"]);
    assert_eq!(device.run(&["push"]).expect(3).line()["rejected"], 1);
    let seq = device.seq();
    let message = device.ok(&["pending"]).line()["message"].clone();
    assert!(message.as_str().unwrap().contains("'made-there'"));
    for args in [&["retry", &seq][..], &["resolve", &seq, "--client"]] {
        let refused = device.run(args).expect(1);
        let how = format!("synctable resolve {seq} --server");
        assert!(
            refused.err.contains(&how) && refused.err.contains("'made-there'"),
            "{refused:?}"
        );
    }
    device.ok(&["resolve", &seq, "--server"]);
    assert_eq!(
        device.ok(&["get", "todoitem", "made-there"]).line()["text"],
        "Milk"
    );
    device.run(&["get", "todoitem", "a"]).expect(1);
    assert_eq!(device.ok(&["pending"]).out, "");
}

#[test]
fn a_refusal_names_the_member() {
    let server = Server::todos();
    let gate = Gate::new(&server, |request| {
        if inserts(request, "a") {
            Fate::Answer(
                400,
                r#"{"title":"One or more validation errors occurred.","status":400,"errors":{"Title":["The Title field is required."]}}"#,
            )
        } else {
            Fate::Pass
        }
    });
    let device = device(&gate, "todoitem", &["a"]);
    device.run(&["push"]).expect(3);
    let pending = device.ok(&["pending"]).line();
    assert_eq!(
        (&pending["status"], &pending["message"]),
        (&json!(400), &json!("Title: The Title field is required."))
    );
    let shown = text(&device, &["pending"]).expect(0).out;
    assert!(
        shown.contains("rejected, sent 1 times, status 400: Title: The Title field is required."),
        "{shown}"
    );
}
