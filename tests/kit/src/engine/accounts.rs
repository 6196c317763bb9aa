//! Rows, positions and the queue belong to one account: nothing is sent in the name of another, and nothing of another is shown unawares.

use std::sync::{Arc, Mutex};

use serde_json::json;
use synctable_core::sync::{AcceptServer, SwitchAccount};
use synctable_core::transport::Change;
use synctable_core::{Error, ErrorKind};

use super::TestServer;
use super::device::Device;
use super::identity::{HERE, pull, server};
use crate::Place;

/// The same store in the hands of an account.
async fn as_account(device: &Device, account: &str) -> Device {
    let store = Arc::clone(&device.store);
    Device::over(store, &device.server, |builder| builder.account(account)).await
}

/// History 20. Ada is signed out and Bob in while her push runs: nothing of hers goes out with his token, and his device neither
/// shows her rows nor sends what she left, until he says what is to become of it.
pub async fn history_20_ada_is_signed_out_while_her_push_runs(harness: &dyn Place) {
    let server = server(HERE, None);
    server.sign_in("ada");
    let ada = Device::built(harness, &server, |builder| builder.account("ada")).await;
    server.set("a", 1);
    ada.pull().await;
    for n in 0..9 {
        ada.insert(&format!("r{n}"), 1).await;
    }
    let signs_in = server.clone();
    server.meanwhile_at(3, async move { signs_in.sign_in("bob") });
    let (report, error) = ada.push_stops().await;
    assert!(error.needs_sign_in(), "{error}");
    assert_eq!((report.pushed, report.rejected, report.pending), (4, 0, 5));
    assert!(
        server
            .users()
            .iter()
            .all(|user| *user == Some("ada".into()))
    );

    let bob = as_account(&ada, "bob").await;
    let made = server.made();
    both_refuse_the_account(&bob).await;
    assert_eq!(bob.n("a").await, Some(1), "local reads go on");
    refuses_changes(&bob).await;
    let refused = bob
        .sync
        .switch_account(SwitchAccount::Switch { discard: false })
        .await;
    assert!(
        matches!(refused, Err(Error::NotPushed { count: 5 })),
        "{refused:?}"
    );
    assert_eq!(server.made(), made, "nothing is sent");
    let switch = SwitchAccount::Switch { discard: true };
    bob.sync.switch_account(switch).await.expect("switched");
    assert!(bob.rows().await.is_empty() && bob.queue().await.is_empty());
    assert_eq!(bob.pull().await.added, 5, "from the start");
    bob.is_in_sync().await;
    // Her context is still there and does no harm.
    let made = server.made();
    refuses_changes(&ada).await;
    both_refuse_the_account(&ada).await;
    refuses_changes(&ada).await;
    assert_eq!(server.made(), made);
    let changes: Vec<Change> = server.changes();
    assert_eq!(changes.len(), 4);
}

/// While another context pushes, the store is not given away under it.
pub async fn nothing_is_given_away_under_a_push(harness: &dyn Place) {
    let server = server(HERE, Some("x"));
    let ada = Device::built(harness, &server, |builder| builder.account("ada")).await;
    server.set("a", 1);
    ada.pull().await;
    for n in 0..5 {
        ada.insert(&format!("r{n}"), n).await;
    }
    let bob = as_account(&ada, "bob").await;
    let refused = Arc::new(Mutex::new(Vec::new()));
    let (meanwhile, results) = (bob.clone(), Arc::clone(&refused));
    server.meanwhile_at(2, async move {
        let switch = SwitchAccount::Switch { discard: true };
        let switched = meanwhile.sync.switch_account(switch).await;
        let other = AcceptServer::Other { discard: true };
        let accepted = meanwhile.sync.accept_server(other).await;
        results.lock().expect("whole").extend([switched, accepted]);
    });
    assert_eq!(ada.push().await.pushed, 5);
    let refused = std::mem::take(&mut *refused.lock().expect("whole"));
    assert_eq!(refused.len(), 2);
    for result in refused {
        assert!(matches!(result, Err(Error::AnotherPusher)), "{result:?}");
    }
    ada.is_in_sync().await;
    let switch = SwitchAccount::Switch { discard: false };
    bob.sync.switch_account(switch).await.expect("switched");
    assert_eq!(bob.pull().await.added, 6);
}

/// Changes are refused, so that they are not sent in somebody else's name.
async fn refuses_changes(device: &Device) {
    let before = device.queue().await;
    let edit = device.todo.update("a", &json!({"n": 2})).await;
    let insert = device.todo.insert(&json!({"id": "new", "n": 1})).await;
    for error in [edit, insert].map(|result| result.expect_err("it is another account")) {
        assert!(matches!(error, Error::AccountChanged { .. }), "{error}");
    }
    assert_eq!(device.queue().await, before);
}

/// Changes of a context that names an account go into the queue of that account alone, whenever the store is given away.
pub async fn changes_of_another_account_are_refused(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    let ada = as_account(&device, "ada").await;
    let bob = as_account(&device, "bob").await;
    ada.set("a", 2).await;
    refuses_changes(&bob).await;
    ada.push().await;
    let switch = SwitchAccount::Switch { discard: false };
    bob.sync.switch_account(switch).await.expect("switched");
    bob.pull().await;
    bob.set("a", 3).await;
    // Her push, which is stopped, has read the queue since.
    let (_, error) = ada.push_stops().await;
    assert!(matches!(error, Error::AccountChanged { .. }), "{error}");
    refuses_changes(&ada).await;
    // The name alone changes: what she has done under the old one goes on under the new one.
    let renamed = as_account(&device, "ada@example.com").await;
    bob.push().await;
    let keep = SwitchAccount::Keep;
    renamed.sync.switch_account(keep).await.expect("kept");
    refuses_changes(&bob).await;
    renamed.set("a", 4).await;
    assert_eq!(renamed.push().await.pushed, 1);
    renamed.is_in_sync().await;
    // Who names nobody works for whoever the store belongs to.
    device.set("a", 5).await;
    assert_eq!(renamed.push().await.pushed, 1);
}

/// Push and pull both say that the account is another one, and ask the server nothing.
async fn both_refuse_the_account(device: &Device) {
    let error = pull(device).await.expect_err("it is another account");
    assert!(matches!(error, Error::AccountChanged { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::OtherAccount);
    let (_, error) = device.push_stops().await;
    assert!(matches!(error, Error::AccountChanged { .. }), "{error}");
    let checked = device.sync.check_identity().await;
    assert!(
        matches!(checked, Err(Error::AccountChanged { .. })),
        "{checked:?}"
    );
}

/// An account gets another name: with `Keep` the data stays, the queue too, and pulls go on where they were.
pub async fn an_account_may_get_another_name(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.set("a", 1);
    device.pull().await;
    device.set("a", 2).await;
    let named = as_account(&device, "ada").await;
    both_refuse_the_account(&named).await;
    let keep = SwitchAccount::Keep;
    named.sync.switch_account(keep).await.expect("kept");
    assert_eq!(named.push().await.pushed, 1);
    named.server.set("b", 1);
    assert_eq!(named.pull().await.added, 1, "not from the start");
    named.is_in_sync().await;
    let renamed = as_account(&named, "ada@example.com").await;
    both_refuse_the_account(&renamed).await;
    renamed.sync.switch_account(keep).await.expect("kept");
    renamed.pull().await;
    renamed.is_in_sync().await;
}

/// A store without an account takes one over while nothing is queued; a context that names none works for the store's.
pub async fn a_name_is_adopted_while_nothing_waits(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    device.server.sign_in("ada");
    device.server.set("a", 1);
    device.pull().await;
    let ada = as_account(&device, "ada").await;
    ada.insert("b", 1).await;
    assert_eq!(ada.push().await.pushed, 1);
    both_refuse_the_account(&as_account(&ada, "bob").await).await;
    // Without a name it is hers, and nothing goes out for somebody else.
    let unnamed = device.again().await;
    unnamed.set("a", 2).await;
    unnamed.server.sign_in("bob");
    let (_, error) = unnamed.push_stops().await;
    assert!(error.needs_sign_in(), "{error}");
    unnamed.server.sign_in("ada");
    assert_eq!(unnamed.push().await.pushed, 1);
    unnamed.is_in_sync().await;
}
