//! Conflicts: every policy against every way in which two sides can differ, parking, and resolutions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::json;
use synctable_core::query::Query;
use synctable_core::sync::{
    ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy, ContextBuilder,
    HandlerError, Resolution,
};
use synctable_core::{Draft, Error, FieldType, TableSchema};

use super::device::{Device, number, todo};
use super::typed::assert_holds;
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::{declare, record};

/// The ways in which a device and someone else change the same record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clash {
    UpdateUpdate,
    UpdateDelete,
    DeleteUpdate,
    InsertInsert,
}

const CLASHES: [Clash; 4] = [
    Clash::UpdateUpdate,
    Clash::UpdateDelete,
    Clash::DeleteUpdate,
    Clash::InsertInsert,
];

impl Clash {
    /// The device has 2 or nothing, the server 9 or nothing, and both began at 1 or nothing.
    async fn happens(self, device: &Device, id: &str) {
        if self != Self::InsertInsert {
            device.server.set(id, 1);
            device.pull().await;
        }
        match self {
            Self::UpdateUpdate | Self::UpdateDelete => device.set(id, 2).await,
            Self::DeleteUpdate => device.delete(id).await,
            Self::InsertInsert => device.insert(id, 2).await,
        }
        match self {
            Self::UpdateDelete => device.server.drop_row(id),
            _ => device.server.set(id, 9),
        }
    }

    fn local(self) -> Option<i64> {
        (self != Self::DeleteUpdate).then_some(2)
    }

    fn server(self) -> Option<i64> {
        (self != Self::UpdateDelete).then_some(9)
    }
}

/// Servers that differ in what is left of a deleted record.
fn servers() -> [TestServer; 3] {
    let hidden = TestServer::new();
    hidden.configure(|options| options.shows_tombstones = false);
    let hard = TestServer::foreign();
    hard.configure(|options| options.soft_delete = false);
    [TestServer::new(), hidden, hard]
}

/// Every clash with every kind of server, each on a record of its own.
async fn every_clash(
    harness: &dyn Place,
    policy: &ConflictPolicy,
    check: impl AsyncFn(&Device, Clash, &str),
) {
    for server in servers() {
        // A place of its own for each server.
        let harness = harness.another();
        let device = Device::with(&*harness, &server, policy.clone()).await;
        for clash in CLASHES {
            let id = format!("{clash:?}");
            clash.happens(&device, &id).await;
            check(&device, clash, &id).await;
            device.is_sound().await;
        }
    }
}

/// The server's side is taken over, and the local change is dropped.
pub async fn server_wins_takes_the_servers_record(harness: &dyn Place) {
    every_clash(
        harness,
        &ConflictPolicy::ServerWins,
        async |device, clash, id| {
            let report = device.push().await;
            assert_eq!((report.conflicts, report.pending), (0, 0), "{clash:?}");
            assert_eq!(
                (device.n(id).await, device.server.n(id)),
                (clash.server(), clash.server())
            );
            assert_eq!(device.server.effects(&todo(), id), 0);
            device.is_in_sync().await;
        },
    )
    .await;
}

/// The local side is sent again, once, on the version that the server showed.
pub async fn client_wins_sends_the_local_record(harness: &dyn Place) {
    every_clash(
        harness,
        &ConflictPolicy::ClientWins,
        async |device, clash, id| {
            let report = device.push().await;
            assert_eq!((report.conflicts, report.pending), (0, 0), "{clash:?}");
            assert_eq!(
                (device.n(id).await, device.server.n(id)),
                (clash.local(), clash.local())
            );
            assert_eq!(device.server.effects(&todo(), id), 1, "{clash:?}");
            device.is_in_sync().await;
        },
    )
    .await;
}

/// Both sides are kept until they are resolved; each resolution ends the conflict, and the sides are equal after it.
pub async fn parked_conflicts_are_resolved_later(harness: &dyn Place) {
    for choice in ["server", "client", "with"] {
        every_clash(harness, &ConflictPolicy::Park, async |device, clash, id| {
            let seq = device.push_to_conflict().await;
            assert_eq!(
                (device.n(id).await, device.server.n(id)),
                (clash.local(), clash.server())
            );
            let parked = device.sync.conflicts().await.expect("the queue");
            let details = &parked[0].conflict;
            let base = (clash != Clash::InsertInsert).then_some(1);
            assert_eq!(details.base.as_ref().map(number), base);
            assert_eq!(details.local.as_ref().map(number), clash.local());
            assert_eq!(details.exists_at_server(), clash.server().is_some());
            device.is_sound().await;

            let (resolution, outcome) = match choice {
                "server" => (Resolution::Server, clash.server()),
                "client" => (Resolution::Client, clash.local()),
                _ => (Resolution::With(draft(r#"{"n":5}"#)), Some(5)),
            };
            device
                .sync
                .resolve(seq, resolution)
                .await
                .expect("resolved");
            assert_eq!(device.n(id).await, outcome, "{clash:?} {choice}");
            device.is_sound().await;
            device.push().await;
            assert_eq!(device.server.n(id), outcome, "{clash:?} {choice}");
            device.is_in_sync().await;
            let again = device.sync.resolve(seq, Resolution::Server).await;
            assert!(
                matches!(again, Err(Error::NoSuchOperation { .. })),
                "{again:?}"
            );
        })
        .await;
    }
}

fn draft(json: &str) -> Draft {
    Draft::from_json(json).expect("a draft")
}

/// Conflicts outlive the context, with everything that is needed to resolve them.
pub async fn parked_conflicts_are_durable(harness: &dyn Place) {
    let server = TestServer::new();
    let device = Device::new(harness, &server).await;
    Clash::UpdateUpdate.happens(&device, "a").await;
    let seq = device.push_to_conflict().await;
    let before = device.sync.parked().await.expect("the queue");
    let device = if device.store.capabilities().persistent {
        device.sync.close().await.expect("the store closes");
        drop(device);
        let store = harness.reopen().await.expect("the store opens again");
        Device::over(store, &server, |builder| builder).await
    } else {
        device.again().await
    };
    assert_eq!(device.sync.parked().await.expect("the queue"), before);
    device.is_sound().await;
    device
        .sync
        .resolve(seq, Resolution::Client)
        .await
        .expect("resolved");
    device.push().await;
    assert_eq!(server.n("a"), Some(2));
    device.is_in_sync().await;
}

/// A parked record can be edited and deleted; the resolution takes what it is then.
pub async fn parked_records_can_be_edited(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    for id in ["a", "b", "c"] {
        Clash::UpdateUpdate.happens(&device, id).await;
    }
    Clash::InsertInsert.happens(&device, "d").await;
    assert_eq!(device.push().await.conflicts, 4);
    device.set("a", 3).await;
    device.delete("b").await;
    device.delete("c").await;
    device.insert("c", 4).await;
    device.delete("d").await;
    device.is_sound().await;
    let parked = device.sync.conflicts().await.expect("the queue");
    assert_eq!(parked.len(), 4, "{:?}", device.queue().await);
    for conflict in parked {
        let seq = conflict.operation.seq;
        device
            .sync
            .resolve(seq, Resolution::Client)
            .await
            .expect("resolved");
        device.is_sound().await;
    }
    device.push().await;
    let outcome = ["a", "b", "c", "d"].map(|id| device.server.n(id));
    assert_eq!(outcome, [Some(3), None, Some(4), None]);
    device.is_in_sync().await;
}

/// A pull keeps a parked record, and the server's newer row is what the resolution then meets.
pub async fn pull_keeps_parked_records(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    Clash::UpdateUpdate.happens(&device, "a").await;
    Clash::UpdateUpdate.happens(&device, "b").await;
    device.push().await;
    device.server.set("a", 10);
    device.server.drop_row("b");
    let pulled = device.pull().await;
    assert_eq!(
        (pulled.kept, device.n("a").await, device.n("b").await),
        (2, Some(2), Some(2))
    );
    let parked = device.sync.conflicts().await.expect("the queue");
    assert_eq!(parked[0].conflict.server.as_ref().map(number), Some(10));
    assert!(!parked[1].conflict.exists_at_server());
    device.is_sound().await;
    for conflict in parked {
        let seq = conflict.operation.seq;
        device
            .sync
            .resolve(seq, Resolution::Server)
            .await
            .expect("resolved");
    }
    assert_eq!((device.n("a").await, device.n("b").await), (Some(10), None));
    device.is_in_sync().await;
}

/// Client wins never overwrites what it was not shown: a third change in between is a conflict of its own.
pub async fn client_wins_meets_a_third_writer(harness: &dyn Place) {
    let server = TestServer::new();
    let device = Device::with(harness, &server, ConflictPolicy::ClientWins).await;
    Clash::UpdateUpdate.happens(&device, "a").await;
    server.forget_requests();
    // While the conflict's answer is on its way, someone writes again.
    let third = server.clone();
    server.meanwhile(async move { third.set("a", 10) });
    device.push().await;
    let versions: Vec<_> = server
        .changes()
        .into_iter()
        .map(|change| change.if_match)
        .collect();
    assert_eq!(versions.len(), 3, "{versions:?}");
    assert!(versions.iter().all(Option::is_some));
    assert_eq!((server.n("a"), server.effects(&todo(), "a")), (Some(2), 1));
    device.is_in_sync().await;
}

/// A server whose record changes before every attempt does not keep a push busy for ever: the conflict is parked.
pub async fn rounds_are_bounded(harness: &dyn Place) {
    let server = TestServer::new();
    let device = Device::with(harness, &server, ConflictPolicy::ClientWins).await;
    Clash::UpdateUpdate.happens(&device, "a").await;
    for ahead in 0..50usize {
        let third = server.clone();
        let n = 100 + i64::try_from(ahead).expect("a small number");
        server.meanwhile_at(ahead, async move { third.set("a", n) });
    }
    server.forget_requests();
    let report = device.push().await;
    assert_eq!((report.conflicts, report.pushed), (1, 0));
    assert!(server.requests().len() < 20);
    let parked = device.sync.conflicts().await.expect("the queue");
    assert!(!parked[0].message.is_empty());
    device.is_sound().await;
}

/// Merging joins what both changed, and parks where it cannot.
pub async fn merge_joins_both_sides(harness: &dyn Place) {
    let server = TestServer::new();
    let device = Device::with(harness, &server, ConflictPolicy::Merge).await;
    for id in ["a", "b"] {
        server.put(&todo(), &record(&format!(r#"{{"id":"{id}","n":1,"m":1}}"#)));
    }
    device.pull().await;
    device
        .todo
        .update("a", &json!({"n": 2}))
        .await
        .expect("it is there");
    server.put(&todo(), &record(r#"{"id":"a","n":1,"m":3}"#));
    device
        .todo
        .update("b", &json!({"n": 2}))
        .await
        .expect("it is there");
    server.put(&todo(), &record(r#"{"id":"b","n":3,"m":1}"#));
    Clash::UpdateDelete.happens(&device, "c").await;
    assert_eq!(device.push().await.conflicts, 2);
    let row = server.row(&todo(), "a").expect("it is there");
    assert_holds(&device, &row, r#"{"n":2,"m":3}"#);
    let parked = device.sync.conflicts().await.expect("the queue");
    assert!(parked[0].message.contains('n'), "{}", parked[0].message);
    for conflict in parked {
        let seq = conflict.operation.seq;
        let merged = device.sync.resolve(seq, Resolution::Merge).await;
        assert!(
            matches!(merged, Err(Error::CannotMerge { .. })),
            "{merged:?}"
        );
        device
            .sync
            .resolve(seq, Resolution::Server)
            .await
            .expect("resolved");
    }
    device.is_in_sync().await;
}

/// A parked conflict whose sides fit together can be merged later.
pub async fn parked_conflicts_can_be_merged(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device
        .server
        .put(&todo(), &record(r#"{"id":"a","n":1,"m":1}"#));
    device.pull().await;
    device.set("a", 2).await;
    device
        .server
        .put(&todo(), &record(r#"{"id":"a","n":1,"m":3}"#));
    let seq = device.push_to_conflict().await;
    let merged = device
        .sync
        .resolve(seq, Resolution::Merge)
        .await
        .expect("resolved");
    assert_holds(&device, &merged.expect("it is there"), r#"{"n":2,"m":3}"#);
    device.push().await;
    device.is_in_sync().await;
}

/// A handler that does as it is told, and keeps what it was shown.
#[derive(Debug)]
struct Told {
    decide: fn(&ConflictDetails) -> Result<ConflictDecision, HandlerError>,
    shown: Mutex<Vec<ConflictDetails>>,
    calls: AtomicUsize,
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl ConflictHandler for Told {
    async fn resolve(&self, conflict: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(conflict.clone());
        tokio::task::yield_now().await;
        (self.decide)(conflict)
    }
}

fn told(
    decide: fn(&ConflictDetails) -> Result<ConflictDecision, HandlerError>,
) -> (Arc<Told>, ConflictPolicy) {
    let handler = Arc::new(Told {
        decide,
        shown: Mutex::default(),
        calls: AtomicUsize::new(0),
    });
    (Arc::clone(&handler), ConflictPolicy::Custom(handler))
}

/// A handler sees the record as it was, as it is here and as it is at the server, and may give another.
pub async fn handlers_see_all_sides(harness: &dyn Place) {
    let (handler, policy) = told(|_| Ok(ConflictDecision::With(record(r#"{"id":"other","n":7}"#))));
    let device = Device::with(harness, &TestServer::new(), policy).await;
    Clash::UpdateUpdate.happens(&device, "a").await;
    Clash::DeleteUpdate.happens(&device, "b").await;
    Clash::UpdateDelete.happens(&device, "c").await;
    assert_eq!(device.push().await.conflicts, 0);
    let shown = handler
        .shown
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let sides = |details: &ConflictDetails| {
        let side = |record: &Option<synctable_core::Record>| record.as_ref().map(number);
        (
            side(&details.base),
            side(&details.local),
            details.exists_at_server(),
        )
    };
    let sides: Vec<_> = shown.iter().map(sides).collect();
    let expected = [
        (Some(1), Some(2), true),
        (Some(1), None, true),
        (Some(1), Some(2), false),
    ];
    assert_eq!(sides, expected);
    for id in ["a", "b", "c"] {
        assert_eq!(
            (device.server.n(id), device.n(id).await),
            (Some(7), Some(7)),
            "{id}"
        );
    }
    device.is_in_sync().await;
}

/// A handler that fails, panics, or gives a record that does not fit parks the conflict, and others go on.
pub async fn failing_handlers_park(harness: &dyn Place) {
    let (handler, policy) = told(|conflict| match conflict.operation.id.as_str() {
        "fails" => Err("no idea\nat all".into()),
        "panics" => panic!("planted"),
        "unfit" => Ok(ConflictDecision::With(record(
            r#"{"id":"unfit","n":"seven"}"#,
        ))),
        "waits" => Ok(ConflictDecision::Park),
        _ => Ok(ConflictDecision::Client),
    });
    let schema = declare(
        &todo(),
        TableSchema::new().with_field("n", FieldType::Integer),
    );
    let device = Device::built(harness, &TestServer::new(), |builder| {
        builder.schema(schema).conflicts(policy)
    })
    .await;
    for id in ["fails", "panics", "unfit", "waits", "works"] {
        Clash::UpdateUpdate.happens(&device, id).await;
    }
    let report = device.push().await;
    assert_eq!((report.conflicts, report.pushed), (4, 1));
    assert_eq!(handler.calls.load(Ordering::Relaxed), 5);
    let parked = device.sync.conflicts().await.expect("the queue");
    let messages: Vec<&str> = parked
        .iter()
        .map(|parked| parked.message.as_str())
        .collect();
    assert_eq!(messages[0], "no idea at all");
    assert!(
        messages[1].contains("panicked") && messages[2].contains("fit"),
        "{messages:?}"
    );
    assert_eq!(device.server.n("works"), Some(2));
    for id in ["fails", "panics", "unfit", "waits"] {
        assert_eq!(
            (device.n(id).await, device.server.n(id)),
            (Some(2), Some(9))
        );
    }
    device.is_sound().await;
}

/// What is edited while the conflict is met is what the decision is about.
pub async fn edits_during_a_decision_count(harness: &dyn Place) {
    let (handler, policy) = told(|conflict| {
        let n = conflict.local.as_ref().map(number).unwrap_or_default() + 100;
        Ok(ConflictDecision::With(record(&format!(
            r#"{{"id":"a","n":{n}}}"#
        ))))
    });
    let device = Device::with(harness, &TestServer::new(), policy).await;
    Clash::UpdateUpdate.happens(&device, "a").await;
    let app = device.clone();
    device
        .server
        .meanwhile(async move { app.set("a", 3).await });
    device.push().await;
    assert_eq!(handler.calls.load(Ordering::Relaxed), 1);
    assert_eq!(
        (device.n("a").await, device.server.n("a")),
        (Some(103), Some(103))
    );
    device.is_in_sync().await;
}

/// A conflict that is parked while its record is edited keeps the edit.
pub async fn edits_during_parking_are_kept(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    Clash::UpdateUpdate.happens(&device, "a").await;
    let app = device.clone();
    device
        .server
        .meanwhile(async move { app.set("a", 3).await });
    assert_eq!(device.push().await.conflicts, 1);
    assert_eq!(device.n("a").await, Some(3));
    assert_eq!(device.queue().await, ["replace a conflict"]);
    device.is_sound().await;
}

/// Both delete the same record: done.
pub async fn delete_of_a_deleted_record_is_done(harness: &dyn Place) {
    for server in servers() {
        let place = harness.another();
        let device = Device::new(&*place, &server).await;
        server.set("a", 1);
        device.pull().await;
        device.delete("a").await;
        server.drop_row("a");
        let report = device.push().await;
        assert_eq!((report.pushed, report.conflicts), (1, 0));
        device.is_in_sync().await;
    }
}

/// A record that was deleted and is inserted anew goes over the tombstone, whoever left it; an application can ask to be asked.
pub async fn inserts_over_tombstones(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.server.set("b", 1);
    device.pull().await;
    device.delete("a").await;
    device.push_is_cut(Fault::LostAnswer).await;
    device.insert("a", 2).await;
    device.push().await;
    assert_eq!(device.server.n("a"), Some(2));
    device.is_in_sync().await;

    device.server.drop_row("b");
    device.pull().await;
    device.insert("b", 3).await;
    assert_eq!(device.push().await.pushed, 1);
    device.is_in_sync().await;

    device.server.drop_row("b");
    device.pull().await;
    let settings = |builder: ContextBuilder| builder.ask_before_undelete();
    let device = Device::over(Arc::clone(&device.store), &device.server, settings).await;
    device.insert("b", 3).await;
    let seq = device.push_to_conflict().await;
    device
        .sync
        .resolve(seq, Resolution::Client)
        .await
        .expect("resolved");
    device.push().await;
    assert_eq!(device.server.n("b"), Some(3));
    device.is_in_sync().await;
    let pulled = device.todo.pull_full(Query::all()).await.expect("a pull");
    assert_eq!(pulled.updated + pulled.added + pulled.deleted, 0);
}

/// A parked conflict says what the server said, and with which status.
pub async fn a_parked_conflict_has_the_words_of_the_server(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.insert("a", 1).await;
    device.server.set("a", 9);
    let words = "a: there is such a record";
    device
        .server
        .clash(move |_, _| Some(synctable_core::transport::Rejection::new(Some(409), words)));
    assert_eq!(device.push().await.conflicts, 1);
    let parked = device.sync.conflicts().await.expect("a queue").remove(0);
    assert_eq!((parked.status, parked.message.as_str()), (Some(409), words));
}
