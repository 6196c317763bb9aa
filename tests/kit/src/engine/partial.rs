//! T2: an update sends the changed members alone where the server takes them, told from the base that was kept, on the condition of
//! its version; else the record goes as a whole.

use serde_json::json;
use synctable_core::Record;
use synctable_core::query::Query;
use synctable_core::sync::{OperationState, Resolution};
use synctable_core::transport::{Change, ChangeKind};

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::record;

/// A server that takes changed members alone, and says so.
fn server() -> TestServer {
    let server = TestServer::new();
    server.configure(|options| (options.announces_members, options.takes_members) = (true, true));
    server
}

/// Someone else makes `a` this at the server.
fn someone_writes(server: &TestServer, members: &str) {
    server.put(&todo(), &record(&format!(r#"{{"id":"a",{members}}}"#)));
}

/// A device that holds `a` as the server does.
async fn at(harness: &dyn Place, server: &TestServer) -> Device {
    let device = Device::new(harness, server).await;
    someone_writes(server, r#""n":1,"title":"x","note":"long""#);
    device.pull().await;
    server.forget_requests();
    device
}

/// What was sent of each change: the members that went alone, or `whole`.
fn sent(server: &TestServer) -> Vec<String> {
    let words = |change: Change| match (change.kind, change.members) {
        (ChangeKind::Replace, Some(mut members)) => {
            // A store that keeps JSON by value has an order of its own.
            members.sort();
            assert!(change.if_match.is_some(), "a part goes on a condition");
            members.join(" ")
        }
        (ChangeKind::Replace, None) => "whole".to_owned(),
        (kind, members) => format!("{kind:?} {members:?}"),
    };
    server.changes().into_iter().map(words).collect()
}

fn text(row: Option<&Record>, name: &str) -> serde_json::Value {
    row.and_then(|row| row.member(name)).unwrap_or_default()
}

/// Only the members that differ from the base go out, those of all edits since; what others have stays as the server has it.
pub async fn t2_only_changed_members_go_out(harness: &dyn Place) {
    let device = at(harness, &server()).await;
    device.set("a", 2).await;
    device.push().await;
    let changes = json!({"title": "y", "more": null});
    device
        .todo
        .update("a", &changes)
        .await
        .expect("it is there");
    device.set("a", 3).await;
    device.set("a", 2).await;
    device.push().await;
    assert_eq!(sent(&device.server), ["n", "more title"]);
    device.is_in_sync().await;
    let row = device.server.row(&todo(), "a");
    assert_eq!(text(row.as_ref(), "note"), "long");
    assert_eq!(text(row.as_ref(), "title"), "y");
    assert_eq!(device.server.effects(&todo(), "a"), 2);
}

/// What another device did between base and push is met by the version, in whatever member it was.
pub async fn t2_another_member_changed_elsewhere_is_a_conflict(harness: &dyn Place) {
    let device = at(harness, &server()).await;
    device.set("a", 2).await;
    someone_writes(&device.server, r#""n":1,"title":"theirs","note":"long""#);
    device.push_to_conflict().await;
    assert_eq!(sent(&device.server), ["n"]);
    assert_eq!(device.server.n("a"), Some(1));
    assert_eq!(device.queue().await, ["replace a conflict"]);
    assert!(!device.only_operation().await.unsure);

    // Decided for this side, all that differs from the server's side goes out.
    let (seq, ours) = (device.only_seq().await, Resolution::Client);
    device.sync.resolve(seq, ours).await.expect("a conflict");
    device.push().await;
    assert_eq!(sent(&device.server), ["n", "n title"]);
    device.is_in_sync().await;
}

/// A member that was taken away is taken away at the server: the record goes as a whole.
pub async fn t2_a_removed_member_goes_as_a_whole(harness: &dyn Place) {
    let device = at(harness, &server()).await;
    let without = json!({"id": "a", "n": 2, "title": "x"});
    device.todo.replace(&without).await.expect("it is there");
    device.push().await;
    assert_eq!(sent(&device.server), ["whole"]);
    let row = device.server.row(&todo(), "a").expect("a");
    assert_eq!(row.member("note"), None);
    device.is_in_sync().await;
}

/// Where it is not known what the server holds, or nothing can be demanded of it, the record goes as a whole.
pub async fn t2_an_unknown_base_goes_as_a_whole(harness: &dyn Place) {
    // Rows without versions.
    let device = at(harness, &server()).await;
    device.server.bare_rows(true);
    device.server.set("b", 1);
    let full = device.todo.pull_full(Query::all());
    full.await.expect("the pull ends");
    device.set("b", 2).await;
    device.push().await;
    assert_eq!(sent(&device.server), ["whole"]);
    device.server.bare_rows(false);

    // New records, and such as come back.
    let place = harness.another();
    let device = at(&*place, &server()).await;
    device.insert("c", 1).await;
    device.push().await;
    device.server.drop_row("c");
    device.set("c", 2).await;
    let seq = device.push_to_conflict().await;
    let ours = Resolution::Client;
    device.sync.resolve(seq, ours).await.expect("a conflict");
    device.push().await;
    assert_eq!(sent(&device.server), ["Insert None", "n", "Undelete None"]);
    device.is_in_sync().await;

    // An edit that changes nothing.
    device.server.forget_requests();
    device.set("a", 1).await;
    device.push().await;
    assert_eq!(sent(&device.server), ["whole"]);
    device.is_in_sync().await;
}

/// An edit behind one that is at the server is told from the answer to that one.
pub async fn t2_an_edit_in_flight_is_told_from_the_answer(harness: &dyn Place) {
    let device = at(harness, &server()).await;
    device.set("a", 2).await;
    let app = device.clone();
    device.server.meanwhile(async move {
        let changes = json!({"title": "y"});
        app.todo.update("a", &changes).await.expect("it is there");
    });
    device.push().await;
    device.push().await;
    assert_eq!(sent(&device.server), ["n", "title"]);
    device.is_in_sync().await;
}

/// A server that refuses members alone gets the whole at once, as the same operation, and no more of them over this link.
pub async fn t2_a_server_of_whole_records_is_remembered(harness: &dyn Place) {
    let server = server();
    server.at("https://table.test");
    server.configure(|options| options.takes_members = false);
    let device = at(harness, &server).await;
    device.set("a", 2).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.aside, report.rejected), (1, 0, 0));
    let keys = server.changes().into_iter().map(|it| it.operation_id);
    let keys: Vec<_> = keys.collect();
    assert_eq!(keys[0], keys[1], "it is one operation");
    device.set("a", 3).await;
    device.push().await;
    // What was seen of the same server goes along.
    device
        .sync
        .connect(server.clone())
        .await
        .expect("connected");
    device.set("a", 4).await;
    device.push().await;
    assert_eq!(sent(&server), ["n", "whole", "whole", "whole"]);
    assert_eq!(server.effects(&todo(), "a"), 3);
    device.is_in_sync().await;

    // Another context finds out by itself; and a refusal after it says nothing of the content.
    let device = device.again().await;
    server.forget_requests();
    device.set("a", 5).await;
    let (report, _) = device.push_is_cut_at(1, Fault::LostAnswer).await;
    assert_eq!((report.pushed, report.rejected), (0, 0));
    let operation = device.only_operation().await;
    assert_eq!(
        (operation.state, operation.attempts),
        (OperationState::Attempted, 1)
    );
    assert_eq!(device.push().await.pushed, 1);
    assert_eq!(sent(&server), ["n", "whole"]);
    assert_eq!(server.effects(&todo(), "a"), 4);
    device.is_in_sync().await;
}

/// The answer is lost, and others changed a member since that was not sent: the operation is in, and both changes stay.
pub async fn t2_a_lost_answer_is_ours_by_what_was_sent(harness: &dyn Place) {
    let device = at(harness, &server()).await;
    device.set("a", 2).await;
    device.push_is_cut(Fault::LostAnswer).await;
    assert_eq!(
        device.only_operation().await.members,
        Some(vec!["n".to_owned()])
    );
    someone_writes(&device.server, r#""n":2,"title":"theirs","note":"long""#);
    let report = device.push().await;
    assert_eq!((report.pushed, report.conflicts), (1, 0));
    assert_eq!(sent(&device.server), ["n"]);
    device.is_in_sync().await;
    let row = device.server.row(&todo(), "a");
    assert_eq!(text(row.as_ref(), "title"), "theirs");
}

/// The answer is lost, and others changed a member since that was sent: nobody can tell, and the conflict says so.
pub async fn t2_a_lost_answer_is_open_where_what_was_sent_changed(harness: &dyn Place) {
    let device = at(harness, &server()).await;
    device.set("a", 2).await;
    device.push_is_cut(Fault::LostAnswer).await;
    someone_writes(&device.server, r#""n":7,"title":"x","note":"long""#);
    device.push_to_conflict().await;
    assert!(device.only_operation().await.unsure);
    assert_eq!(device.server.n("a"), Some(7));

    // What never arrived is an ordinary conflict.
    let place = harness.another();
    let device = at(&*place, &server()).await;
    device.set("a", 2).await;
    device.push_is_cut(Fault::LostRequest).await;
    someone_writes(&device.server, r#""n":1,"title":"theirs","note":"long""#);
    device.push_to_conflict().await;
    assert!(!device.only_operation().await.unsure);
}

/// A repeat sends what was sent, under the same key; another form of what never went out has another key, as another content has.
pub async fn t2_the_key_goes_with_what_is_sent(harness: &dyn Place) {
    let server = server();
    server.configure(|options| options.operation_ids = true);
    let device = at(harness, &server).await;
    let keys = || {
        let keys = server.changes().into_iter().map(|it| it.operation_id);
        keys.collect::<Vec<_>>()
    };
    device.set("a", 2).await;
    device.push_is_cut(Fault::LostAnswer).await;
    // It may have arrived: what else could be sent by now changes nothing.
    someone_writes(&server, r#""n":2,"title":"theirs","note":"long""#);
    assert_eq!(device.push().await.pushed, 1);
    assert_eq!(sent(&server), ["n", "n"]);
    assert_eq!(keys()[0], keys()[1]);
    assert_eq!(server.effects(&todo(), "a"), 1);
    device.is_in_sync().await;

    // It never went out, and the server takes whole records only by then.
    server.forget_requests();
    device.set("a", 3).await;
    device.push_is_cut(Fault::Offline).await;
    let key = device.only_operation().await.key;
    server.configure(|options| options.announces_members = false);
    device.push().await;
    assert_eq!(sent(&server), ["whole"]);
    assert_ne!(keys()[0], key);
    device.is_in_sync().await;
}
