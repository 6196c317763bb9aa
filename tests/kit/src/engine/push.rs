//! Push: order, answers, edits in flight, lost requests and answers, refusals.

use serde_json::{Value, json};
use synctable_core::Error;
use synctable_core::sync::{Resolution, SyncContext};
use synctable_core::transport::{ChangeKind, Rejection, TransportError, TransportErrorKind};

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::table;

/// A device that holds `a` = 1 as the server does.
async fn with_a(harness: &dyn Place) -> Device {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    device.server.forget_requests();
    device
}

/// What was sent, in words.
fn sent(server: &TestServer) -> Vec<String> {
    let changes = server.changes().into_iter();
    changes
        .map(|change| format!("{:?} {}", change.kind, change.id))
        .collect()
}

/// Operations go out in the order in which they were queued, over all tables.
pub async fn operations_go_out_in_order(harness: &dyn Place) {
    let device = with_a(harness).await;
    let lines = device.sync.table::<Value>("lines").expect("a table name");
    device.insert("z", 1).await;
    lines.insert(&json!({"id": "y"})).await.expect("new");
    device.set("a", 2).await;
    lines.insert(&json!({"id": "x"})).await.expect("new");
    device.set("z", 2).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.pending), (4, 0));
    assert_eq!(
        sent(&device.server),
        ["Insert z", "Insert y", "Replace a", "Insert x"]
    );
    device.is_in_sync().await;
}

/// The server's answer becomes the record: its version, its times, and what it changed in the content.
pub async fn answers_become_the_record(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.insert("b", 1).await;
    assert_eq!(device.rows().await[1].version(), None);
    device.push().await;
    assert_eq!(
        device.rows().await[1].version(),
        device.server.row(&todo(), "b").expect("b").version()
    );
    device.set("b", 2).await;
    device.push().await;
    device.delete("a").await;
    device.push().await;
    device.is_in_sync().await;
    assert_eq!(sent(&device.server), ["Insert b", "Replace b", "Delete a"]);
}

/// A record that is edited while it is sent keeps the edit, and the edit goes out next, on the new version.
pub async fn edit_in_flight_goes_out_next(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    let app = device.clone();
    device.server.meanwhile(async move {
        app.set("a", 3).await;
        app.set("a", 4).await;
    });
    assert_eq!(device.push().await.pending, 1);
    assert_eq!(
        (device.n("a").await, device.server.n("a")),
        (Some(4), Some(2))
    );
    assert_eq!(device.queue().await, ["replace a"]);
    device.is_sound().await;
    device.push().await;
    assert_eq!(
        (device.server.n("a"), device.server.effects(&todo(), "a")),
        (Some(4), 2)
    );
    device.is_in_sync().await;
}

/// As before with an insert that is on its way.
pub async fn edit_of_an_insert_in_flight(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.insert("b", 1).await;
    let app = device.clone();
    device
        .server
        .meanwhile(async move { app.set("b", 2).await });
    device.push().await;
    device.push().await;
    assert_eq!(sent(&device.server), ["Insert b", "Replace b"]);
    assert_eq!(device.server.n("b"), Some(2));
    device.is_in_sync().await;
}

/// A record that is deleted while it is sent is deleted at the server next.
pub async fn delete_in_flight_goes_out_next(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    device.insert("b", 1).await;
    let app = device.clone();
    device
        .server
        .meanwhile(async move { app.delete("a").await });
    let app = device.clone();
    device
        .server
        .meanwhile_at(1, async move { app.delete("b").await });
    device.push().await;
    assert_eq!((device.n("a").await, device.n("b").await), (None, None));
    assert_eq!(device.queue().await, ["delete a", "delete b"]);
    device.is_sound().await;
    device.push().await;
    device.is_in_sync().await;
    assert!(device.server.live(&todo()).is_empty());
}

/// A record that is deleted and inserted anew while its delete or its edit is sent ends up as inserted.
pub async fn reinsert_in_flight_goes_out_next(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    let app = device.clone();
    device.server.meanwhile(async move {
        app.delete("a").await;
        app.insert("a", 3).await;
    });
    device.push().await;
    device.push().await;
    assert_eq!(device.server.n("a"), Some(3));
    device.is_in_sync().await;

    device.delete("a").await;
    let app = device.clone();
    device
        .server
        .meanwhile(async move { app.insert("a", 4).await });
    device.push().await;
    device.is_sound().await;
    device.push().await;
    assert_eq!(device.server.n("a"), Some(4));
    device.is_in_sync().await;
}

/// Cancelling an operation while it is at the server does not undo its effect, and the answer is taken over.
pub async fn cancel_in_flight_takes_the_answer(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    let (app, seq) = (device.clone(), device.only_seq().await);
    device
        .server
        .meanwhile(async move { _ = app.sync.cancel(seq).await.expect("it waits") });
    device.push().await;
    assert_eq!(device.n("a").await, Some(2));
    device.is_in_sync().await;
}

/// A delete that is cancelled while it is at the server has its effect: the record goes with the next pull at the latest.
pub async fn cancel_of_a_delete_in_flight(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.delete("a").await;
    let (app, seq) = (device.clone(), device.only_seq().await);
    device
        .server
        .meanwhile(async move { _ = app.sync.cancel(seq).await.expect("it waits") });
    device.push().await;
    device.is_sound().await;
    device.pull().await;
    device.is_in_sync().await;
}

/// Every kind of change, its request or its answer lost in every way, and pushed again: it takes effect exactly once.
pub async fn lost_requests_and_answers_have_one_effect(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let faults = [
        Fault::Offline,
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::BadAnswer,
        Fault::Gateway(503),
        Fault::Gateway(429),
        Fault::Gateway(408),
        Fault::Gateway(502),
        Fault::Gateway(500),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let ids = ["insert", "replace", "delete", "undelete"].map(|kind| format!("{kind}{number}"));
        for id in &ids[1..] {
            device.server.set(id, 1);
        }
        device.pull().await;
        // Someone deletes it; the device brings it back.
        device.set(&ids[3], 2).await;
        device.server.drop_row(&ids[3]);
        let seq = device.push_to_conflict().await;
        device
            .sync
            .resolve(seq, Resolution::Client)
            .await
            .expect("resolved");
        device.insert(&ids[0], 1).await;
        device.set(&ids[1], 2).await;
        device.delete(&ids[2]).await;
        device.server.forget_requests();
        for attempt in 0..8 {
            device.server.cut_at(attempt % 5, fault);
            let pushed = device.sync.push().await;
            if let Err(error) = pushed {
                assert!(matches!(error, Error::PushStopped { .. }), "{error}");
            }
            device.is_sound().await;
        }
        device.server.calm();
        // What had no answer again and again rests, unless somebody asks for it.
        for operation in device.sync.pending().await.expect("a queue") {
            device
                .sync
                .retry(operation.seq)
                .await
                .expect("it is no conflict");
        }
        device.push().await;
        device.is_in_sync().await;
        let kinds: Vec<ChangeKind> = device
            .server
            .changes()
            .iter()
            .map(|change| change.kind)
            .collect();
        assert!(kinds.contains(&ChangeKind::Undelete), "{kinds:?}");
        for id in &ids {
            assert_eq!(device.server.effects(&todo(), id), 1, "{id}");
        }
    }
}

/// After a lost answer someone else changes the record: nothing is sent again, both sides are kept.
pub async fn lost_answer_then_another_writer(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.server.set("d", 1);
    device.pull().await;
    device.server.forget_requests();
    for (id, effect) in [("a", "replace"), ("b", "insert"), ("d", "delete")] {
        match effect {
            "replace" => device.set(id, 2).await,
            "insert" => device.insert(id, 2).await,
            _ => device.delete(id).await,
        }
        // Before it the fate of the one before is found out.
        let ahead = usize::from(id != "a");
        device.push_is_cut_at(ahead, Fault::LostAnswer).await;
        device.server.set(id, 9);
    }
    let report = device.push().await;
    assert_eq!(report.conflicts, 3);
    assert_eq!(device.server.changes().len(), 3, "nothing is sent twice");
    for id in ["a", "b", "d"] {
        assert_eq!(
            (device.server.n(id), device.server.effects(&todo(), id)),
            (Some(9), 1)
        );
    }
    device.is_sound().await;
    for parked in device.sync.conflicts().await.expect("the queue") {
        device
            .sync
            .resolve(parked.operation.seq, Resolution::Server)
            .await
            .expect("resolved");
    }
    device.pull().await;
    device.is_in_sync().await;
}

/// A request is lost, and someone else changes the record before the next push: a conflict, not a lost update.
pub async fn lost_request_then_another_writer(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    device.push_is_cut(Fault::LostRequest).await;
    device.server.set("a", 9);
    assert_eq!(device.push().await.conflicts, 1);
    assert_eq!(
        (device.server.n("a"), device.n("a").await),
        (Some(9), Some(2))
    );
    device.is_sound().await;
}

/// Another writer happens to write what we sent: there is nothing to resolve.
pub async fn equal_content_is_no_conflict(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    device.insert("b", 2).await;
    device.server.set("a", 2);
    device.server.set("b", 2);
    let report = device.push().await;
    assert_eq!((report.conflicts, report.pushed), (0, 2));
    device.is_in_sync().await;
}

/// Missing credentials, a busy server or a broken connection stop the push; it says why and what was done, and the
/// rest waits.
pub async fn stopped_push_loses_nothing(harness: &dyn Place) {
    let kinds = [
        (Fault::Unauthorized, TransportErrorKind::Unauthorized),
        (Fault::Unavailable, TransportErrorKind::Busy),
        (Fault::Offline, TransportErrorKind::Unreachable),
        (Fault::LostRequest, TransportErrorKind::Broken),
        (Fault::Gateway(503), TransportErrorKind::Busy),
    ];
    let device = with_a(harness).await;
    for (number, (fault, kind)) in kinds.into_iter().enumerate() {
        for place in 0..3 {
            device.insert(&format!("r{number}{place}"), 1).await;
        }
        device.server.fault_from(1, fault);
        let (report, error) = device.push_stops().await;
        device.server.reconnect();
        assert_eq!((report.pushed, report.pending), (1, 2));
        assert_eq!(error.as_transport().map(TransportError::kind), Some(kind));
        device.is_sound().await;
        assert_eq!(device.push().await.pushed, 2);
        device.is_in_sync().await;
        for place in 0..3 {
            let id = format!("r{number}{place}");
            assert_eq!(device.server.effects(&todo(), &id), 1, "{id}");
        }
    }
}

/// A refused operation is parked; other records, and later operations, go out.
pub async fn rejection_does_not_block_others(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.server.reject(|_, change| {
        (change.id.as_str() == "b").then(|| Rejection::new(Some(400), "no b today"))
    });
    device.insert("b", 1).await;
    device.insert("c", 1).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.rejected, report.pending), (1, 1, 1));
    assert_eq!(device.queue().await, ["insert b rejected"]);
    device.insert("d", 1).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.rejected), (1, 1));
    assert_eq!(device.server.live(&todo()).len(), 3);
    device.is_sound().await;
}

/// An operation behind a parked one on the same record waits for it.
pub async fn operations_behind_a_parked_one_wait(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.set("a", 2).await;
    device.push_is_cut(Fault::LostAnswer).await;
    device.set("a", 3).await;
    device.server.set("a", 9);
    assert_eq!(device.push().await.conflicts, 1);
    device.set("a", 4).await;
    device.server.forget_requests();
    let report = device.push().await;
    assert_eq!((report.pushed, report.conflicts), (0, 1));
    assert!(device.server.requests().is_empty());
    assert_eq!(device.n("a").await, Some(4));
    device.is_sound().await;
}

/// Edits that meet a refusal on the way: what was refused is not what would be sent now, so it is sent again.
pub async fn edit_during_a_refusal_is_sent(harness: &dyn Place) {
    let device = with_a(harness).await;
    device.server.reject(|_, change| {
        let n = change.record.as_ref()?.member("n")?.as_i64()?;
        (n == 13).then(|| Rejection::new(Some(400), "no luck"))
    });
    device.set("a", 13).await;
    let app = device.clone();
    device
        .server
        .meanwhile(async move { app.set("a", 14).await });
    device.push().await;
    device.push().await;
    assert_eq!(device.server.n("a"), Some(14));
    device.is_in_sync().await;
}

/// Eight at once come to the same result as one after the other.
pub async fn parallel_push_has_the_same_result(harness: &dyn Place) {
    let device = with_a(harness).await;
    for number in 0..100i64 {
        device.insert(&format!("r{number:02}"), number).await;
    }
    device.set("a", 2).await;
    device.server.cut_at(37, Fault::LostAnswer);
    let stopped = device.sync.push().parallel(8).await;
    assert!(
        matches!(stopped, Err(Error::PushStopped { .. })),
        "{stopped:?}"
    );
    device.is_sound().await;
    device.server.reconnect();
    let report = device.sync.push().parallel(8).await.expect("the push ends");
    assert_eq!(report.pending, 0);
    device.is_in_sync().await;
    for number in 0..100 {
        assert_eq!(device.server.effects(&todo(), &format!("r{number:02}")), 1);
    }
}

/// A push of some tables leaves the operations of others alone.
pub async fn tables_can_be_pushed_alone(harness: &dyn Place) {
    let device = with_a(harness).await;
    let lines = device.sync.table::<Value>("lines").expect("a table name");
    device.insert("b", 1).await;
    lines.insert(&json!({"id": "x"})).await.expect("new");
    let only = device.sync.push().tables([table("lines")]);
    assert_eq!(only.await.expect("the push ends").pushed, 1);
    assert_eq!(sent(&device.server), ["Insert x"]);
    assert_eq!(device.queue().await, ["insert b"]);
    device.push().await;
    device.is_in_sync().await;
}

/// Without operations, or with parked ones only, no server is needed.
pub async fn nothing_to_send_needs_no_server(harness: &dyn Place) {
    let store = harness.open().await.expect("the store opens");
    let sync = SyncContext::builder(store).open().await.expect("it opens");
    assert_eq!(sync.push().await.expect("nothing to do").pushed, 0);
    let todo = sync.table::<Value>("todo").expect("a table name");
    todo.insert(&json!({"id": "a"})).await.expect("new");
    let Err(Error::PushStopped { source, .. }) = sync.push().await else {
        panic!("there is no server");
    };
    let kind = source.as_transport().map(TransportError::kind);
    assert_eq!(kind, Some(TransportErrorKind::Missing));
    assert_eq!(sync.pending_count().await.expect("the queue is counted"), 1);
}

/// More operations than go into one group, some with a second one behind them, are all sent in one push.
pub async fn long_queues_are_sent(harness: &dyn Place) {
    let device = with_a(harness).await;
    for number in 0..150i64 {
        device.insert(&format!("r{number:03}"), number).await;
    }
    let report = device.push().await;
    assert_eq!((report.pushed, report.pending), (150, 0));
    device.is_in_sync().await;
    let order: Vec<String> = device
        .server
        .changes()
        .iter()
        .map(|c| c.id.to_string())
        .collect();
    assert!(order.is_sorted());
}

/// What waits behind an attempted operation goes out in the same push, once its fate is found out, and before what was
/// queued later.
pub async fn successors_follow_in_their_order(harness: &dyn Place) {
    let device = with_a(harness).await;
    for (fault, new) in [(Fault::LostRequest, "b"), (Fault::LostAnswer, "c")] {
        device.set("a", 20).await;
        device.push_is_cut(fault).await;
        device.set("a", 21).await;
        device.insert(new, 1).await;
        assert_eq!(
            device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted"),
            3
        );
        device.server.forget_requests();
        device.push().await;
        let order = sent(&device.server);
        assert_eq!(
            order[order.len() - 2..],
            ["Replace a".into(), format!("Insert {new}")]
        );
        assert_eq!(device.server.n("a"), Some(21));
        device.is_in_sync().await;
    }
}

/// The server remembers the first attempt, but others have changed or removed the record since: that is what is here then.
pub async fn remembered_answer_is_overtaken(harness: &dyn Place) {
    let server = TestServer::new();
    server.configure(|options| options.operation_ids = true);
    let device = Device::new(harness, &server).await;
    for (id, edited) in [("a", false), ("b", false), ("c", true)] {
        device.insert(id, 1).await;
        device.push_is_cut(Fault::LostAnswer).await;
        if edited {
            device.set(id, 2).await;
        }
        match id {
            "a" => server.drop_row(id),
            _ => server.set(id, 9),
        }
        // The position moves on: no later pull brings these rows again.
        device.pull_only().await;
        device.push().await;
    }
    assert_eq!((device.n("a").await, device.n("b").await), (None, Some(9)));
    let seq = device.only_seq().await;
    device.sync.cancel(seq).await.expect("the conflict ends");
    device.is_in_sync().await;
}

/// The server remembers that it deleted the record, but others have made it anew since: that is what is here then.
pub async fn remembered_deletion_is_overtaken(harness: &dyn Place) {
    let server = TestServer::new();
    server.configure(|options| options.operation_ids = true);
    server.set("a", 1);
    let device = Device::new(harness, &server).await;
    device.pull().await;
    device.delete("a").await;
    device.push_is_cut(Fault::LostAnswer).await;
    server.set("a", 9);
    // The position moves on: no later pull brings the row again.
    device.pull_only().await;
    device.push().await;
    assert_eq!(device.n("a").await, Some(9));
    device.is_in_sync().await;
}
