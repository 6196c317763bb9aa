//! Rows, positions and the queue belong to one server: what is of another is noticed, and nothing is mixed.

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::sync::AcceptServer;
use synctable_core::{Declaration, Declarations, Error, ErrorKind};

use super::device::{Device, todo};
use super::slow::{Dropped, Slow};
use super::{Fault, TestServer};
use crate::Place;
use crate::cancel::polled;
use crate::fixture::{Store, table};

/// A future that needs more polls than this is not followed further.
const MOST_POLLS: usize = 400;

pub(super) const HERE: &str = "http://here";
pub(super) const THERE: &str = "http://there";

/// A server at an address, perhaps with an id.
pub(super) fn server(address: &str, id: Option<&str>) -> TestServer {
    let server = TestServer::new();
    server.at(address);
    server.announce(id);
    server
}

/// The same store with another server behind it.
async fn moved(device: &Device, server: &TestServer) -> Device {
    Device::over(Arc::clone(&device.store), server, |builder| builder).await
}

/// Nothing of it: neither a row nor a write.
fn is_untouched(server: &TestServer) {
    assert!(server.changes().is_empty(), "{:?}", server.changes());
}

pub(super) async fn pull(device: &Device) -> Result<(), Error> {
    let pull = device.todo.pull(Query::all(), "all").without_push();
    pull.await.map(drop)
}

/// Push and pull both say that the server is another one.
async fn both_refuse_the_server(device: &Device) {
    let before = device.rows().await;
    let error = pull(device).await.expect_err("it is another server");
    assert!(matches!(error, Error::ServerChanged { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::OtherServer);
    let audit = device.todo.audit(Query::all()).await;
    assert!(
        matches!(audit, Err(Error::ServerChanged { .. })),
        "{audit:?}"
    );
    assert_eq!(device.rows().await, before, "no row of it is stored");
    if !device.queue().await.is_empty() {
        let (report, error) = device.push_stops().await;
        assert!(matches!(error, Error::ServerChanged { .. }), "{error}");
        assert_eq!(report.pushed, 0);
    }
    let checked = device.sync.check_identity().await;
    assert!(
        matches!(checked, Err(Error::ServerChanged { .. })),
        "{checked:?}"
    );
}

/// History 18. A server is upgraded, rolled back and upgraded: nobody is asked anything. Then it is another database at the same
/// address: no write lands there before it is noticed, and nothing of it is stored.
pub async fn history_18_upgrades_and_another_database(harness: &dyn Place) {
    let device = Device::new(harness, &server(HERE, None)).await;
    for (n, id) in [None, Some("x"), None, Some("x")].into_iter().enumerate() {
        device.server.announce(id);
        device.insert(&format!("r{n}"), 1).await;
        device.push().await;
        device.server.set(&format!("s{n}"), 1);
        device.pull().await;
        device.is_in_sync().await;
    }
    device.insert("mine", 1).await;
    device.set("s0", 2).await;
    device.server.with_new_database(Some("y"));
    device.server.set("theirs", 1);
    device.server.forget_requests();
    both_refuse_the_server(&device).await;
    is_untouched(&device.server);
    assert_eq!(device.n("mine").await, Some(1), "local reads go on");
    device.set("mine", 2).await;
    device.is_sound().await;
}

/// Another address without an id is another server: its rows are not hidden behind the position of the first, and its own are not
/// mixed with them.
pub async fn positions_belong_to_a_server(harness: &dyn Place) {
    let device = Device::new(harness, &server(HERE, None)).await;
    device.server.set("a", 1);
    device.pull().await;
    let other = server(THERE, None);
    other.set("b", 1);
    other.set("c", 1);
    let device = moved(&device, &other).await;
    device.set("a", 2).await;
    both_refuse_the_server(&device).await;
    is_untouched(&other);
    let refused = device
        .sync
        .accept_server(AcceptServer::Other { discard: false })
        .await;
    assert!(
        matches!(refused, Err(Error::NotPushed { count: 1 })),
        "{refused:?}"
    );
    let other = AcceptServer::Other { discard: true };
    device.sync.accept_server(other).await.expect("accepted");
    assert_eq!(device.queue().await, [""; 0]);
    assert_eq!(device.pull().await.added, 2);
    device.is_in_sync().await;
}

/// The same server under another address: by its id nobody is asked, else the application says so, and pulls go on where they were.
pub async fn a_server_that_moves_is_the_same(harness: &dyn Place) {
    let device = Device::new(harness, &server(HERE, Some("x"))).await;
    device.server.set("a", 1);
    device.pull().await;
    device.server.at(THERE);
    let device = moved(&device, &device.server).await;
    device.insert("b", 1).await;
    assert_eq!(device.push().await.pushed, 1);
    device.server.announce(None);
    device.server.at(HERE);
    let device = moved(&device, &device.server).await;
    device.server.set("c", 1);
    both_refuse_the_server(&device).await;
    let same = AcceptServer::Same;
    device.sync.accept_server(same).await.expect("accepted");
    assert_eq!(device.pull().await.added, 1, "not from the start");
    device.is_in_sync().await;
    device.server.announce(Some("x"));
    device.set("a", 2).await;
    device.push().await;
    device.is_in_sync().await;
}

/// Where a server announces nothing, the name that the application gives it tells whether it is another one.
pub async fn the_application_names_its_server(harness: &dyn Place) {
    let named = async |store: &Store, server: &TestServer, name: &str| {
        let store = Arc::clone(store);
        Device::over(store, server, |builder| builder.server_name(name)).await
    };
    let here = server(HERE, None);
    let device = Device::new(harness, &here).await;
    here.set("a", 1);
    device.pull().await;
    let device = named(&device.store, &here, "work").await;
    device.pull().await;
    here.at(THERE);
    let device = named(&device.store, &here, "work").await;
    here.set("b", 1);
    assert_eq!(device.pull().await.added, 1);
    let device = named(&device.store, &here, "home").await;
    both_refuse_the_server(&device).await;
}

/// A server that another one takes the place of while a push is under way gets no more than the request that shows it.
pub async fn a_server_that_changes_during_a_push(harness: &dyn Place) {
    let device = Device::new(harness, &server(HERE, Some("x"))).await;
    device.server.set("a", 1);
    device.pull().await;
    for n in 0..9 {
        device.insert(&format!("r{n}"), 1).await;
    }
    device.server.forget_requests();
    let server = device.server.clone();
    // After the look before the first write and three writes.
    device.server.meanwhile_at(3, async move {
        server.with_new_database(Some("y"));
    });
    let (report, error) = device.push_stops().await;
    assert!(matches!(error, Error::ServerChanged { .. }), "{error}");
    assert_eq!((report.pushed, report.pending), (3, 6));
    assert_eq!(device.server.changes().len(), 4);
    device.is_sound().await;
    let same = AcceptServer::Same;
    device.sync.accept_server(same).await.expect("accepted");
    assert_eq!(device.push().await.pushed, 6);
    for n in 3..9 {
        assert_eq!(device.server.effects(&todo(), &format!("r{n}")), 1);
    }
}

/// Before the first write one row is read where an id is known. A table that may not be read, or at which the server fails, is no
/// obstacle; where nobody answers nothing is written.
pub async fn a_server_is_known_before_the_first_write(harness: &dyn Place) {
    let device = Device::new(harness, &server(HERE, Some("x"))).await;
    device.server.set("a", 1);
    device.pull().await;
    device.insert("b", 1).await;
    device.server.forget_requests();
    device.server.fault_always(Fault::Offline);
    let (_, error) = device.push_stops().await;
    assert!(error.is_offline(), "{error}");
    device.server.calm();
    device.server.fault_always(Fault::Failure);
    let (_, error) = device.push_stops().await;
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    is_untouched(&device.server);
    device.server.calm();
    device.server.hide_table(&todo(), Fault::Forbidden);
    assert_eq!(device.push().await.pushed, 1);
    // A second table answers for the first.
    device.server.hide_table(&todo(), Fault::Failure);
    let lines = device.sync.table::<Value>("lines").expect("a table name");
    lines.insert(&json!({"id": "l"})).await.expect("new");
    device.insert("c", 1).await;
    assert_eq!(device.push().await.pushed, 2);
}

/// Tables that stay on the device, settings and numbers of the queue outlive a change of server.
pub async fn what_is_local_outlives_a_change(harness: &dyn Place) {
    let store = harness.open().await.expect("the store opens");
    let notes = Declaration::new().with_local_only();
    let schema = Declarations::new().with_table(table("notes"), notes);
    let here = server(HERE, Some("x"));
    let device = Device::over(store, &here, |builder| builder.schema(schema)).await;
    let notes = device.sync.table::<Value>("notes").expect("a table name");
    notes.insert(&json!({"id": "n"})).await.expect("new");
    device.sync.set_setting("k", "v").await.expect("kept");
    device.insert("a", 1).await;
    device.push().await;
    device.insert("b", 1).await;
    let seq = device.only_seq().await;
    let other = AcceptServer::Other { discard: true };
    device.sync.accept_server(other).await.expect("accepted");
    assert!(notes.contains("n").await.expect("get answers"));
    let setting = device.sync.setting("k").await.expect("read");
    assert_eq!(setting.as_deref(), Some("v"));
    assert!(device.rows().await.is_empty());
    let device = device.again().await;
    device.insert("c", 1).await;
    assert!(device.only_seq().await > seq, "no number is used twice");
    device.push().await;
    device.pull().await;
    device.is_in_sync().await;
}

/// A change of server that is cut off at any point is done or not, and can be done again.
pub async fn a_change_that_is_cut_off_is_whole_or_absent(harness: &dyn Place) {
    for dropped in Dropped::ALL {
        for polls in 0..MOST_POLLS {
            let place = harness.another();
            let store = Slow::new(place.open().await.expect("the store opens"), dropped);
            let here = server(HERE, Some("x"));
            let device = Device::over(Arc::clone(&store) as _, &here, |builder| builder).await;
            here.set("a", 1);
            device.pull().await;
            device.set("a", 2).await;
            here.with_new_database(Some("y"));
            here.set("b", 1);
            pull(&device).await.expect_err("it is another server");
            let other = AcceptServer::Other { discard: true };
            let finished = polled(device.sync.accept_server(other), polls).await;
            let finished = finished.transpose().expect("accepted").is_some();
            store.settle().await;
            let (rows, queue) = (device.rows().await, device.queue().await);
            let done = rows.is_empty() && queue.is_empty();
            assert!(
                done || !finished && (rows.len(), queue.len()) == (1, 1),
                "{dropped:?} {polls}: {rows:?} {queue:?}"
            );
            // As after a crash: another context, and the batch that was dropped may still come.
            let device = moved(&device, &here).await;
            store.land().await;
            if let Err(error) = device.sync.check_identity().await {
                assert!(matches!(error, Error::ServerChanged { .. }), "{error}");
                device.sync.accept_server(other).await.expect("accepted");
            }
            store.land().await;
            device.pull().await;
            device.is_in_sync().await;
            if finished {
                break;
            }
            assert!(polls + 1 < MOST_POLLS, "the call never ends");
        }
    }
}

/// A pull of another context that is under way while the server is changed stores nothing of the one before.
pub async fn a_pull_of_another_context_meets_a_change(harness: &dyn Place) {
    let here = server(HERE, None);
    let device = Device::new(harness, &here).await;
    here.set("a", 1);
    device.pull().await;
    let there = server(THERE, None);
    there.set("b", 1);
    let other = moved(&device, &there).await;
    here.set("c", 1);
    here.meanwhile(async move {
        let accept = AcceptServer::Other { discard: false };
        other.sync.accept_server(accept).await.expect("accepted");
        other.pull().await;
    });
    pull(&device).await.expect_err("the store is another's now");
    both_refuse_the_server(&device).await;
    moved(&device, &there).await.is_in_sync().await;
}

/// A pull of another context that is under way while everything of the same server is given up keeps no position behind which rows
/// are missing.
pub async fn a_pull_of_another_context_meets_a_fresh_start(harness: &dyn Place) {
    let here = server(HERE, Some("x"));
    let device = Device::new(harness, &here).await;
    here.set("a", 1);
    device.pull().await;
    here.set("b", 1);
    let other = device.again().await;
    here.meanwhile(async move {
        let accept = AcceptServer::Other { discard: false };
        other.sync.accept_server(accept).await.expect("accepted");
    });
    let error = pull(&device).await.expect_err("its position is gone");
    assert!(error.is_temporary(), "{error}");
    device.pull().await;
    device.is_in_sync().await;
}

/// A store without a server's identity takes the first one over without a word, whatever it is.
pub async fn the_first_contact_adopts(harness: &dyn Place) {
    let nameless = TestServer::new();
    let device = Device::new(harness, &nameless).await;
    nameless.set("a", 1);
    device.pull().await;
    nameless.at(HERE);
    nameless.announce(Some("x"));
    let device = moved(&device, &nameless).await;
    device.set("a", 2).await;
    device.push().await;
    device.is_in_sync().await;
    nameless.with_new_database(Some("y"));
    both_refuse_the_server(&device).await;
}
