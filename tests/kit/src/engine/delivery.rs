//! Whose failure is it: one record, or one table, never holds up the others, and nobody is blamed for what is not theirs.

use serde_json::{Value, json};
use synctable_core::sync::{ConflictPolicy, Operation, OperationState};
use synctable_core::transport::{Rejection, TransportErrorKind};
use synctable_core::{Clock, Timestamp};

use super::device::{Device, todo};
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::table;

fn fails_where(server: &TestServer, prefix: &'static str, fault: Fault) {
    server.fail(move |_, change| change.id.as_str().starts_with(prefix).then_some(fault));
}

/// The operation on a record.
async fn operation(device: &Device, id: &str) -> Operation {
    let pending = device.sync.pending().await.expect("a queue");
    let found = pending
        .into_iter()
        .find(|operation| operation.id.as_str() == id);
    found.unwrap_or_else(|| panic!("{id} waits"))
}

/// Five records with an impossible value (a bare 500) ahead of nine good ones: the nine arrive in the first push, and the five
/// are refused after three pushes in which something was done.
pub async fn history_1_five_impossible_records(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fails_where(&device.server, "bad", Fault::Failure);
    for n in 0..5 {
        device.insert(&format!("bad{n}"), 1).await;
    }
    for n in 0..9 {
        device.insert(&format!("good{n}"), 1).await;
    }
    let report = device.push().await;
    assert_eq!((report.pushed, report.aside, report.rejected), (9, 5, 0));
    for n in 0..2 {
        device.insert(&format!("more{n}"), 1).await;
        let report = device.push().await;
        let rejected = if n == 0 { 0 } else { 5 };
        assert_eq!(
            (report.pushed, report.rejected, report.aside),
            (1, rejected, 5 - rejected)
        );
    }
    let parked = device.sync.parked().await.expect("a queue");
    assert!(parked.iter().all(|parked| parked.status == Some(500)));
    assert!(parked[0].message.starts_with("tried 3 times"), "{parked:?}");
    device.is_sound().await;
}

/// Three hundred records of a table that this user may not write ahead of another table: that one arrives in the first push.
pub async fn history_2_a_forbidden_table(harness: &dyn Place) {
    for reads_too in [false, true] {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::new()).await;
        device
            .server
            .fail(|table, _| (table.as_str() == "secret").then_some(Fault::Forbidden));
        if reads_too {
            device.server.hide(Fault::Forbidden);
        }
        let secret = device.sync.table::<Value>("secret").expect("a name");
        for n in 0..300 {
            let new = json!({"id": format!("s{n}")});
            secret.insert(&new).await.expect("new");
        }
        device.insert("a", 1).await;
        let report = device.push().await;
        assert_eq!((report.pushed, report.aside, report.rejected), (1, 300, 0));
        assert_eq!(device.server.n("a"), Some(1));
        device.is_sound().await;
        device.sync.close().await.expect("it closes");
    }
}

/// While a server is deployed an order and its first lines fail. In the next push the order and all lines arrive, in order, though the
/// server takes no line without its order.
pub async fn history_3_lines_wait_for_their_order(harness: &dyn Place) {
    for without_order in [400, 409, 500] {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::new()).await;
        let lines = device.sync.table::<Value>("lines").expect("a name");
        device.insert("order", 1).await;
        for n in 1..=2 {
            lines
                .insert(&json!({"id": format!("l{n}")}))
                .await
                .expect("new");
        }
        // The deploy.
        device.server.fault_from(0, Fault::Unavailable);
        device.push_stops().await;
        device.server.reconnect();
        for n in 3..=5 {
            lines
                .insert(&json!({"id": format!("l{n}")}))
                .await
                .expect("new");
        }
        // The order fails once more; the server demands it for each line.
        device.server.fault(Fault::Unavailable);
        device
            .server
            .demand(&table("lines"), &todo(), "order", without_order);
        let report = device.push().await;
        assert_eq!(
            (
                report.pushed,
                report.rejected,
                report.conflicts,
                report.aside
            ),
            (6, 0, 0, 0),
            "{without_order}"
        );
        let changes = device.server.changes();
        let done: Vec<&str> = changes
            .iter()
            .rev()
            .take(6)
            .map(|change| change.id.as_str())
            .collect();
        assert_eq!(done, ["l5", "l4", "l3", "l2", "l1", "order"]);
        device.is_sound().await;
        device.sync.close().await.expect("it closes");
    }
}

/// The token expires after 40 of 100: nothing is refused, and the user has to sign in.
pub async fn history_4_a_token_that_expires(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    for n in 0..100 {
        device.insert(&format!("r{n:02}"), 1).await;
    }
    device.server.fault_from(40, Fault::Unauthorized);
    for round in 0..4 {
        let (report, error) = device.push_stops().await;
        let pushed = if round == 0 { 40 } else { 0 };
        assert_eq!(
            (report.pushed, report.rejected, report.pending),
            (pushed, 0, 60)
        );
        assert!(error.needs_sign_in() && !error.is_offline(), "{error}");
    }
    device.server.reconnect();
    assert_eq!(device.push().await.pushed, 60);
    device.is_in_sync().await;
}

/// A row that is not this user's is answered with 401: no new token is asked for, the others arrive, and in the end it is refused.
pub async fn one_foreign_row_asks_for_no_new_token(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fails_where(&device.server, "foreign", Fault::Unauthorized);
    device.insert("mine", 1).await;
    device.insert("foreign", 1).await;
    for n in 0..3 {
        device.insert(&format!("r{n}"), 1).await;
        let report = device.push().await;
        assert_eq!(u64::from(n == 2), report.rejected);
    }
    assert_eq!(device.server.renewals(), 0);
    assert_eq!(device.queue().await, ["insert foreign rejected"]);
}

#[derive(Debug, Clone, Default)]
struct Watch(std::sync::Arc<std::sync::atomic::AtomicI64>);

impl Watch {
    fn pass(&self, minutes: i64) {
        self.0
            .fetch_add(minutes * 60_000, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        let passed = self.0.load(std::sync::atomic::Ordering::SeqCst);
        Timestamp::from_millis(1_800_000_000_000 + passed)
    }
}

/// A photo that always times out delays neither the pulls, nor a later conflict behind it for more than one push.
pub async fn history_5_a_photo_that_never_arrives(harness: &dyn Place) {
    let watch = Watch::default();
    let clock = watch.clone();
    let device = Device::built(harness, &TestServer::new(), |b| b.clock(clock)).await;
    device.server.set("a", 1);
    device.pull().await;
    // The request never arrives.
    device
        .server
        .fail(|_, change| (change.id.as_str() == "photo").then_some(Fault::Stuck));
    device.insert("photo", 1).await;
    device.set("a", 2).await;
    device.server.set("a", 9);
    device.server.set("b", 7);
    let report = device.push().await;
    assert_eq!((report.conflicts, report.aside, report.rejected), (1, 1, 0));
    device.pull().await;
    assert_eq!(device.n("b").await, Some(7));
    // From now on it rests: the pushes and pulls of the application do not wait for it.
    device.server.forget_requests();
    for n in 0..5 {
        device.insert(&format!("r{n}"), 1).await;
        let report = device.push().await;
        assert_eq!((report.pushed, report.aside), (1, 1));
    }
    let asked = device.server.made_for("photo");
    assert!(asked <= 4, "{asked} requests for the photo");
    // Later it is tried again, seldom; and at once if somebody asks for it.
    watch.pass(2);
    device.push().await;
    assert!(device.server.made_for("photo") > asked);
    let (seq, before) = (
        operation(&device, "photo").await.seq,
        device.server.made_for("photo"),
    );
    device.sync.retry(seq).await.expect("it is aside");
    device.push().await;
    assert!(device.server.made_for("photo") > before);
    // Not even a clock that goes back holds it for ever.
    watch.pass(-60 * 24 * 365);
    device.server.calm();
    device.push().await;
    assert_eq!(device.server.n("photo"), Some(1));
}

/// The controller of a table is missing for five minutes, so that each record is "not found": twenty deletes stay queued.
pub async fn history_14_a_table_that_is_not_there(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let others = device.sync.table::<Value>("others").expect("a name");
    for n in 0..20 {
        device.server.set(&format!("r{n:02}"), 1);
    }
    device.pull().await;
    for n in 0..20 {
        device.delete(&format!("r{n:02}")).await;
    }
    others.insert(&json!({"id": "o"})).await.expect("new");
    device.server.unmount(&todo());
    let report = device.push().await;
    assert_eq!((report.pushed, report.aside, report.pending), (1, 20, 20));
    assert_eq!(device.server.live(&table("others")).len(), 1);
    device.server.calm();
    assert_eq!(device.push().await.pushed, 20);
    assert!(device.server.live(&todo()).is_empty());
    device.is_in_sync().await;
}

/// A server that answers one record with the same failure each time: the others arrive, and pulls of every table go on.
pub async fn one_failing_record_holds_up_nothing(harness: &dyn Place) {
    let faults = [
        Fault::Forbidden,
        Fault::Unauthorized,
        Fault::Failure,
        Fault::Unavailable,
        Fault::Gateway(502),
        Fault::Gateway(504),
        Fault::LostRequest,
        Fault::Stuck,
        Fault::BadAnswer,
    ];
    for fault in faults {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::new()).await;
        fails_where(&device.server, "bad", fault);
        device.server.set("theirs", 7);
        device.insert("bad", 1).await;
        for n in 0..9 {
            device.insert(&format!("good{n}"), 1).await;
        }
        device.pull().await;
        assert_eq!(device.n("theirs").await, Some(7), "{fault:?}");
        for n in 0..9 {
            assert_eq!(device.server.n(&format!("good{n}")), Some(1), "{fault:?}");
        }
        device.is_sound().await;
        device.sync.close().await.expect("it closes");
    }
}

/// A 409 for a unique or a foreign key is the server's word about this record: it is refused with that word, whatever the policy is.
pub async fn a_rule_of_the_table_is_no_conflict_of_versions(harness: &dyn Place) {
    let policies = [
        ConflictPolicy::Park,
        ConflictPolicy::ClientWins,
        ConflictPolicy::ServerWins,
    ];
    for policy in policies {
        let place = harness.another();
        let server = TestServer::new();
        let device = Device::with(&*place, &server, policy).await;
        server.set("old", 1);
        server.set("gone", 1);
        device.pull().await;
        server.clash(|_, change| {
            let n = change.record.as_ref().and_then(|record| record.member("n"));
            (n == Some(7.into()) || change.id.as_str() == "gone")
                .then(|| Rejection::new(Some(409), "n: there is a 7 already"))
        });
        device.insert("new", 7).await;
        device.set("old", 7).await;
        device.delete("gone").await;
        let report = device.push().await;
        assert_eq!(
            (report.rejected, report.conflicts, report.pushed),
            (3, 0, 0)
        );
        for parked in device.sync.parked().await.expect("a queue") {
            assert_eq!(parked.operation.state, OperationState::Rejected);
            assert_eq!(parked.status, Some(409));
            assert!(
                parked.message.contains("there is a 7 already"),
                "{parked:?}"
            );
        }
        assert_eq!(device.n("new").await, Some(7));
        device.set("new", 8).await;
        assert_eq!(device.push().await.pushed, 1);
        device.is_sound().await;
        device.sync.close().await.expect("it closes");
    }
}

/// A 412 whose row has the version that was sent comes from a replica that lags: it is no conflict.
pub async fn a_row_that_lags_is_read_again(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    device.set("a", 2).await;
    device.server.doubt_versions(true);
    device.server.forget_requests();
    let report = device.push().await;
    assert_eq!((report.conflicts, report.rejected, report.aside), (0, 0, 1));
    device.server.doubt_versions(false);
    assert_eq!(device.push().await.pushed, 1);
    device.is_in_sync().await;
}

/// A server that asks for time is given it, by the device's own pushes, too; but not by one that somebody asks for.
pub async fn waits_that_the_server_asks_for_are_kept(harness: &dyn Place) {
    let watch = Watch::default();
    let clock = watch.clone();
    let device = Device::built(harness, &TestServer::new(), |b| b.clock(clock)).await;
    fails_where(&device.server, "busy", Fault::BusyFor(120));
    device.insert("busy", 1).await;
    device.insert("a", 1).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.aside), (1, 1));
    assert_eq!(device.server.made_for("busy"), 1);
    device.push().await;
    assert_eq!(device.server.made_for("busy"), 1);
    watch.pass(3);
    device.push().await;
    assert!(device.server.made_for("busy") > 1);
    device.is_sound().await;
}

/// Two tables at whose every record the server fails, ahead of a third.
pub async fn two_failing_tables_do_not_hold_up_a_third(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device
        .server
        .fail(|table, _| (table.as_str() != "todo").then_some(Fault::Failure));
    for name in ["one", "two"] {
        let rows = device.sync.table::<Value>(name).expect("a name");
        for n in 0..5 {
            rows.insert(&json!({"id": format!("r{n}")}))
                .await
                .expect("new");
        }
    }
    device.insert("a", 1).await;
    let report = device.push().await;
    assert_eq!((report.pushed, report.aside, report.rejected), (1, 10, 0));
}

/// A record that is refused behind one that is aside waits for it in three pushes, and is then refused for itself.
pub async fn a_parent_that_never_comes_is_not_waited_for_for_ever(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fails_where(&device.server, "parent", Fault::Gateway(502));
    device.server.reject(|_, change| {
        (change.id.as_str() == "child").then(|| Rejection::new(Some(400), "no such parent"))
    });
    device
        .server
        .fail(|_, change| (change.id.as_str() == "parent").then_some(Fault::Unavailable));
    device.insert("parent", 1).await;
    device.insert("child", 1).await;
    for push in 0..3 {
        let report = device.push().await;
        assert_eq!((report.rejected, report.aside), (0, 2), "{push}");
    }
    let report = device.push().await;
    assert_eq!((report.rejected, report.aside), (1, 1));
    assert_eq!(
        operation(&device, "child").await.state,
        OperationState::Rejected
    );
}

/// A hotel's network answers instead of the server: the push stops, nothing counts against the records.
pub async fn nothing_is_sent_twice_while_the_network_answers(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    for n in 0..5 {
        device.insert(&format!("r{n}"), 1).await;
    }
    device.server.fault_always(Fault::Portal);
    for _ in 0..4 {
        let before = device.server.made();
        let (report, error) = device.push_stops().await;
        assert_eq!((report.rejected, report.pending), (0, 5));
        assert!(error.is_offline() && !error.needs_sign_in());
        let kind = error
            .as_transport()
            .map(synctable_core::transport::TransportError::kind);
        assert_eq!(kind, Some(TransportErrorKind::Portal));
        assert!(device.server.made() - before <= 2);
    }
    device.server.calm();
    assert_eq!(device.push().await.pushed, 5);
    device.is_in_sync().await;
}

/// A table that fails at everything, reads too, ahead of another one: that one is pushed and pulled.
pub async fn a_broken_table_does_not_hold_up_another(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let broken = table("broken");
    device.server.hide_table(&broken, Fault::Failure);
    device
        .server
        .fail(|table, _| (table.as_str() == "broken").then_some(Fault::Failure));
    let rows = device.sync.table::<Value>("broken").expect("a name");
    for n in 0..5 {
        let new = json!({"id": format!("r{n}")});
        rows.insert(&new).await.expect("new");
    }
    device.insert("a", 1).await;
    device.server.set("theirs", 7);
    device.pull().await;
    assert_eq!(
        (device.server.n("a"), device.n("theirs").await),
        (Some(1), Some(7))
    );
    // Alone it cannot be told from a broken server; nothing is blamed on its records.
    let (report, _) = device.push_stops().await;
    assert_eq!((report.rejected, report.pending), (0, 5));
}
