//! T3: users sign out and in while calls are under way. What is queued, sent and open stays with the account that made it.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join;
use serde_json::json;
use synctable_core::Error;
use synctable_core::sync::{Connection, ContextBuilder, SwitchAccount, SyncContext};

use super::Fault;
use super::connect::{MOST_POLLS, connect, connect_to, is_missing};
use super::device::Device;
use super::identity::{HERE, pull, server};
use super::slow::{Dropped, Slow};
use crate::Place;
use crate::cancel::polled;

/// Ada signs out while her push runs, and Bob signs in: her push ends as hers, what she does meanwhile is hers, and nothing of hers
/// is sent, shown to be sent or kept as his.
pub async fn t3_sign_out_and_in_as_another_account(harness: &dyn Place) {
    let server = server(HERE, Some("x"));
    server.sign_in("ada");
    let ada = Device::built(harness, &server, |builder| builder.account("ada")).await;
    server.set("s", 1);
    ada.pull().await;
    for n in 0..5 {
        ada.insert(&format!("r{n}"), 1).await;
    }
    let sync = ada.sync.clone();
    server.meanwhile_at(2, async move { sync.disconnect() });
    assert_eq!(ada.push().await.pushed, 5);
    // Without a way to the server it is still hers.
    ada.set("s", 2).await;
    assert!(is_missing(&ada.push_stops().await.1));
    let as_of = |account: &str| Connection::new(server.clone()).account(account);
    let bob = connect(&ada, as_of("bob")).await;
    server.sign_in("bob");
    let made = server.made();
    let error = pull(&bob).await.expect_err("it is another account");
    assert!(matches!(error, Error::AccountChanged { .. }), "{error}");
    let (_, error) = bob.push_stops().await;
    assert!(matches!(error, Error::AccountChanged { .. }), "{error}");
    let edit = bob.todo.update("s", &json!({"n": 3})).await;
    assert!(
        matches!(edit, Err(Error::AccountChanged { .. })),
        "{edit:?}"
    );
    // Back again: what she left goes out as hers.
    server.sign_in("ada");
    let ada = connect(&bob, as_of("ada")).await;
    ada.set("r0", 2).await;
    assert_eq!(ada.push().await.pushed, 2);
    server.sign_in("bob");
    let bob = connect(&ada, as_of("bob")).await;
    let users = server.users();
    assert!(users.iter().all(|user| *user == Some("ada".into())));
    let switch = SwitchAccount::Switch { discard: false };
    bob.sync.switch_account(switch).await.expect("switched");
    bob.insert("b", 1).await;
    bob.pull().await;
    bob.is_in_sync().await;
    assert_eq!(server.users().last(), Some(&Some("bob".into())));
    assert!(server.made() > made);
}

/// Bob signs in while a long push of Ada's runs: all groups of it are hers, those that are marked afterwards, too, and what is open at
/// its end is known as hers.
pub async fn t3_a_long_push_is_of_one_account(harness: &dyn Place) {
    let server = server(HERE, Some("x"));
    server.sign_in("ada");
    let ada = Device::built(harness, &server, |builder| builder.account("ada")).await;
    server.set("s", 1);
    ada.pull().await;
    for n in 0..130 {
        ada.insert(&format!("r{n}"), 1).await;
    }
    let (sync, to) = (ada.sync.clone(), server.clone());
    server.meanwhile_at(9, async move {
        let bob = Connection::new(to).account("bob");
        sync.connect(bob).await.expect("the store answers");
    });
    server.cut_at(100, Fault::LostAnswer);
    ada.push_stops().await;
    server.reconnect();
    let pending = ada.sync.pending().await.expect("the queue is read");
    let attempted = pending.iter().filter(|operation| operation.key.is_some());
    let accounts: Vec<_> = attempted.map(|operation| &operation.account).collect();
    assert!(!accounts.is_empty());
    let hers = Some("ada".to_owned());
    assert!(
        accounts.iter().all(|account| **account == hers),
        "{accounts:?}"
    );
    let ada = connect(&ada, Connection::new(server.clone()).account("ada")).await;
    ada.push().await;
    ada.is_in_sync().await;
    assert!(server.users().iter().all(|user| *user == hers));
}

/// Another transport, or none, leaves the account as it is: what the context does is still in the name of that one, and refused once
/// the store is somebody else's.
pub async fn t3_an_account_stays_until_another_is_named(harness: &dyn Place) {
    for connected in [true, false] {
        let place = harness.another();
        let server = server(HERE, Some("x"));
        let ada = Device::built(&*place, &server, |builder| builder.account("ada")).await;
        server.set("s", 1);
        ada.pull().await;
        if connected {
            connect_to(&ada, &server).await;
        } else {
            ada.sync.disconnect();
        }
        ada.set("s", 2).await;
        let store = Arc::clone(&ada.store);
        let bob = Device::over(store, &server, |builder| builder.account("bob")).await;
        let switch = SwitchAccount::Switch { discard: true };
        bob.sync.switch_account(switch).await.expect("switched");
        bob.pull().await;
        let edit = ada.todo.update("s", &json!({"n": 3})).await;
        assert!(
            matches!(edit, Err(Error::AccountChanged { .. })),
            "{connected}: {edit:?}"
        );
    }
}

/// A context that is opened without a server and an account gets both later: what is queued from then on is the account's.
pub async fn t3_sign_in_after_opening(harness: &dyn Place) {
    let store = harness.open().await.expect("the store opens");
    let sync = SyncContext::builder(Arc::clone(&store)).open().await;
    let sync = sync.expect("the context opens");
    let server = server(HERE, None);
    server.sign_in("ada");
    let todo = sync.table("todo").expect("a table name");
    let device = Device {
        sync: sync.clone(),
        todo,
        server: server.clone(),
        store,
    };
    assert!(!sync.is_connected());
    assert!(is_missing(&pull(&device).await.expect_err("no server")));
    connect(&device, Connection::new(server.clone()).account("ada")).await;
    device.insert("a", 1).await;
    assert_eq!(device.only_operation().await.account, None);
    assert_eq!(device.push().await.pushed, 1);
    assert_eq!(server.users(), vec![Some("ada".into()); server.made()]);
    device.pull().await;
    device.is_in_sync().await;
    // A transport alone leaves the account as it is: nobody else's token goes with it.
    server.sign_in("bob");
    connect_to(&device, &server).await;
    device.set("a", 2).await;
    let (_, error) = device.push_stops().await;
    assert!(error.needs_sign_in(), "{error}");
}

/// The account changes at every point where a local change waits: it is in the queue of the one who made it, or refused. Where the
/// store is not given away it is done, as whoever made it was the store's account, and waits for them.
pub async fn t3_a_change_at_every_await_of_an_edit(harness: &dyn Place) {
    for given_away in [true, false] {
        for polls in 0..MOST_POLLS {
            let place = harness.another();
            let inner = place.open().await.expect("the store opens");
            let store = Slow::new(inner, Dropped::Ordered);
            let server = server(HERE, Some("x"));
            let settings = |builder: ContextBuilder| builder.account("ada");
            let ada = Device::over(Arc::clone(&store) as _, &server, settings).await;
            server.set("s", 1);
            ada.pull().await;
            let as_of = |account: &str| Connection::new(server.clone()).account(account);
            let changes = json!({"n": 2});
            let mut edit = ada.todo.update("s", &changes).into_future().fuse();
            let finished = polled(&mut edit, polls).await.is_some();
            let switch = async {
                let bob = connect(&ada, as_of("bob")).await;
                if given_away {
                    let switch = SwitchAccount::Switch { discard: true };
                    bob.sync.switch_account(switch).await.expect("switched");
                }
                bob
            };
            let (began, bob) = if finished {
                (true, switch.await)
            } else {
                let (edited, bob) = join(&mut edit, switch).await;
                match &edited {
                    Ok(_) => {}
                    Err(Error::AccountChanged { .. } | Error::NotFound { .. })
                        if given_away || polls == 0 => {}
                    Err(error) => panic!("{polls}: {error}"),
                }
                (edited.is_ok(), bob)
            };
            if given_away {
                assert_eq!(bob.queue().await, [""; 0], "{polls}");
                bob.pull().await;
                bob.is_in_sync().await;
                assert_eq!(server.n("s"), Some(1));
            } else if began {
                assert_eq!(bob.queue().await, ["replace s"], "{polls}");
                let (_, error) = bob.push_stops().await;
                assert!(matches!(error, Error::AccountChanged { .. }), "{error}");
                let ada = connect(&bob, as_of("ada")).await;
                assert_eq!(ada.push().await.pushed, 1);
            }
            if finished {
                break;
            }
            assert!(polls + 1 < MOST_POLLS, "the edit never ends");
        }
    }
}
