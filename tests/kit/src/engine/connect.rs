//! T3: server, address and account change while calls are under way. Each call ends with the server that it began with, and no answer
//! of one server is settled, stored or asked for under another.

use std::future::IntoFuture;
use std::sync::Arc;

use futures_util::future::join;
use synctable_core::query::Query;
use synctable_core::sync::{AcceptServer, CancelToken, Connection, SyncContext};
use synctable_core::transport::TransportErrorKind;
use synctable_core::{Error, TableName};

use super::device::{Device, todo};
use super::identity::{HERE, THERE, pull, server};
use super::slow::{Dropped, Slow};
use super::{Call, Fault, TestServer};
use crate::Place;
use crate::cancel::polled;

/// A future that needs more polls than this is not followed further.
pub(super) const MOST_POLLS: usize = 400;

/// The device's context goes by `server` from now on.
pub(super) async fn connect(device: &Device, to: impl Into<Connection>) -> Device {
    device.sync.connect(to).await.expect("the store answers");
    device.clone()
}

/// As [`connect`], to a server that a test looks at afterwards.
pub(super) async fn connect_to(device: &Device, server: &TestServer) -> Device {
    let mut device = connect(device, server.clone()).await;
    device.server = server.clone();
    device
}

/// During the request after `ahead` others of the device's server the context goes elsewhere.
fn connects_meanwhile(device: &Device, ahead: usize, to: &TestServer) {
    let (sync, to) = (device.sync.clone(), to.clone());
    device.server.meanwhile_at(ahead, async move {
        sync.connect(to).await.expect("the store answers");
    });
}

pub(super) fn is_missing(error: &Error) -> bool {
    let kind = match error {
        Error::Transport(error) => Some(error.kind()),
        Error::PushStopped { source, .. } => return is_missing(source),
        _ => None,
    };
    kind == Some(TransportErrorKind::Missing)
}

/// No change went there, and nothing was asked about a record.
fn knows_nothing(server: &TestServer) {
    assert!(server.changes().is_empty(), "{:?}", server.changes());
    let asked = server
        .requests()
        .into_iter()
        .find(|request| matches!(request.call, Call::Get(_)));
    assert_eq!(asked, None);
}

/// Nothing is sent to the server of now, and nothing of it is stored.
async fn is_another_server(device: &Device) {
    let (rows, queue) = (device.rows().await, device.queue().await);
    let error = pull(device).await.expect_err("it is another server");
    assert!(matches!(error, Error::ServerChanged { .. }), "{error}");
    if !queue.is_empty() {
        let (_, error) = device.push_stops().await;
        assert!(matches!(error, Error::ServerChanged { .. }), "{error}");
    }
    assert_eq!((device.rows().await, device.queue().await), (rows, queue));
    knows_nothing(&device.server);
}

/// A device that has met its server, with three records to send.
async fn at_work(harness: &dyn Place, server: &TestServer) -> Device {
    let device = Device::new(harness, server).await;
    server.set("s", 1);
    device.pull().await;
    for id in ["a", "b", "c"] {
        device.insert(id, 1).await;
    }
    server.forget_requests();
    device
}

/// The context goes to another server while the answer to a push is out: the push ends where it began, settled once by its answers.
/// The next one meets the other server, which gets nothing.
pub async fn t3_a_push_ends_where_it_began(harness: &dyn Place) {
    for ahead in 0..4 {
        let place = harness.another();
        let here = server(HERE, Some("x"));
        let device = at_work(&*place, &here).await;
        let there = server(THERE, Some("y"));
        connects_meanwhile(&device, ahead, &there);
        assert_eq!(device.push().await.pushed, 3, "{ahead}");
        assert_eq!(there.made(), 0, "{ahead}");
        device.is_in_sync().await;
        for id in ["a", "b", "c"] {
            assert_eq!(here.effects(&todo(), id), 1, "{ahead} {id}");
        }
        let elsewhere = Device {
            server: there.clone(),
            ..device.clone()
        };
        device.set("a", 2).await;
        is_another_server(&elsewhere).await;
        let device = connect_to(&device, &here).await;
        assert_eq!(device.push().await.pushed, 1);
        device.is_in_sync().await;
    }
}

/// The way to the server is taken away, or leads elsewhere, while a pull and the push before it are under way: both end where they
/// began, and what is stored is one server's.
pub async fn t3_a_pull_ends_where_it_began(harness: &dyn Place) {
    let here = server(HERE, Some("x"));
    here.configure(|options| options.page = 2);
    let device = at_work(harness, &here).await;
    for n in 0..9 {
        here.set(&format!("s{n}"), 1);
    }
    // The push asks who the server is, then comes a change at least, then pages.
    for ahead in 0..3 {
        device.insert(&format!("d{ahead}"), 1).await;
        here.set(&format!("e{ahead}"), 1);
        let sync = device.sync.clone();
        here.meanwhile_at(ahead, async move { sync.disconnect() });
        let report = device.pull().await;
        assert!(report.pushed > 0 && report.added > 0, "{report:?}");
        device.is_in_sync().await;
        assert!(!device.sync.is_connected());
        // Local work goes on.
        device
            .set("s", i64::try_from(ahead).expect("small") + 2)
            .await;
        for error in [
            pull(&device).await.expect_err("there is no server"),
            device.sync.push().await.expect_err("there is no server"),
            device
                .todo
                .audit(Query::all())
                .await
                .expect_err("there is no server"),
        ] {
            assert!(is_missing(&error), "{error}");
        }
        let device = connect_to(&device, &here).await;
        device.push().await;
        device.is_in_sync().await;
        let there = server(THERE, Some("y"));
        there.set("t", 1);
        device.insert(&format!("f{ahead}"), 1).await;
        here.set(&format!("g{ahead}"), 1);
        connects_meanwhile(&device, ahead, &there);
        assert!(device.pull().await.added > 0);
        device.is_in_sync().await;
        assert_eq!(there.made(), 0);
        let elsewhere = Device {
            server: there,
            ..device.clone()
        };
        is_another_server(&elsewhere).await;
        connect_to(&device, &here).await;
    }
}

/// The store is given to the other server while a pull of the one before is under way: nothing of that one is stored behind it.
pub async fn t3_an_accepted_server_waits_for_the_one_before(harness: &dyn Place) {
    let here = server(HERE, Some("x"));
    here.configure(|options| options.page = 1);
    let device = Device::new(harness, &here).await;
    for n in 0..5 {
        here.set(&format!("s{n}"), 1);
    }
    let there = server(THERE, Some("y"));
    there.set("t", 1);
    connects_meanwhile(&device, 1, &there);
    let accepts = async {
        while device.server.made() < 3 {
            tokio::task::yield_now().await;
        }
        let other = AcceptServer::Other { discard: false };
        device.sync.accept_server(other).await.expect("accepted");
    };
    let (pulled, ()) = join(pull(&device), accepts).await;
    pulled.expect("it ends where it began");
    assert!(device.rows().await.is_empty(), "nothing comes later");
    let mut device = device;
    device.server = there;
    device.pull().await;
    device.is_in_sync().await;
}

/// The first push of a store is under way as the context goes elsewhere: the server that it went to is the store's, though it announces
/// no id, and though a pull from the other one waits for each gap in the push.
pub async fn t3_the_first_server_is_remembered_before_anything_is_sent(harness: &dyn Place) {
    for fault in [None, Some(Fault::LostAnswer), Some(Fault::LostRequest)] {
        let place = harness.another();
        let here = server(HERE, None);
        let device = Device::new(&*place, &here).await;
        for n in 0..130 {
            device.insert(&format!("r{n}"), 1).await;
        }
        let there = server(THERE, None);
        there.set("t", 1);
        connects_meanwhile(&device, 1, &there);
        if let Some(fault) = fault {
            here.cut_at(1, fault);
        }
        let elsewhere = Device {
            server: there.clone(),
            ..device.clone()
        };
        let pulls = async {
            while here.made() < 2 {
                tokio::task::yield_now().await;
            }
            // For a request that is lost nothing happens meanwhile.
            connect(&device, there.clone()).await;
            let error = pull(&elsewhere).await.expect_err("it is another server");
            assert!(matches!(error, Error::ServerChanged { .. }), "{error}");
        };
        let (pushed, ()) = join(device.sync.push().into_future(), pulls).await;
        assert_eq!(pushed.is_ok(), fault.is_none(), "{pushed:?}");
        device.insert("last", 1).await;
        is_another_server(&elsewhere).await;
        here.reconnect();
        let device = connect_to(&device, &here).await;
        device.push().await;
        device.pull().await;
        device.is_in_sync().await;
        for n in 0..130 {
            assert_eq!(here.effects(&todo(), &format!("r{n}")), 1, "{fault:?} {n}");
        }
    }
}

/// An answer is lost and the context goes elsewhere, where there is a record that looks like the one that was sent: it is not taken
/// for ours, nor asked about. The server that it was sent to says what became of it.
pub async fn t3_an_open_answer_is_never_asked_elsewhere(harness: &dyn Place) {
    let here = server(HERE, Some("x"));
    let device = at_work(harness, &here).await;
    device.push_is_cut_at(1, Fault::LostAnswer).await;
    assert_eq!(
        device.queue().await,
        ["insert a attempted", "insert b", "insert c"]
    );
    for remembers in [false, true] {
        let there = server(THERE, Some("y"));
        there.configure(|options| options.operation_ids = remembers);
        there.set("a", 1);
        let device = connect_to(&device, &there).await;
        is_another_server(&device).await;
        let refused = device
            .sync
            .accept_server(AcceptServer::Other { discard: false })
            .await;
        let count = matches!(refused, Err(Error::NotPushed { count: 3 }));
        assert!(count, "{refused:?}");
    }
    let device = connect_to(&device, &here).await;
    assert_eq!(device.push().await.pushed, 3);
    assert_eq!(here.effects(&todo(), "a"), 1);
    device.is_in_sync().await;
}

/// A server with an id is met at another address in mid-push, and with an answer still open: nobody is asked anything, the answer is
/// found out there, and pulls go on where they were.
pub async fn t3_the_same_server_at_another_address(harness: &dyn Place) {
    let here = server(HERE, Some("x"));
    let device = at_work(harness, &here).await;
    let (sync, moved) = (device.sync.clone(), here.clone());
    here.meanwhile_at(2, async move {
        moved.at(THERE);
        sync.connect(moved).await.expect("the store answers");
    });
    here.fault_at(2, Fault::LostAnswer);
    here.fault_from(3, Fault::Offline);
    device.push_stops().await;
    here.reconnect();
    assert_eq!(device.push().await.pushed, 2);
    for id in ["a", "b", "c"] {
        assert_eq!(here.effects(&todo(), id), 1, "{id}");
    }
    here.set("new", 1);
    let report = device.pull_only().await;
    assert_eq!(report.added, 1, "not from the start: {report:?}");
    device.is_in_sync().await;
}

/// The name of a server is not taken over for another one, which would hide that it is another one; with the name said again it
/// is the same one wherever it is.
pub async fn t3_a_name_belongs_to_its_server(harness: &dyn Place) {
    let here = server(HERE, None);
    let device = Device::built(harness, &here, |builder| builder.server_name("work")).await;
    here.set("s", 1);
    device.pull().await;
    device.insert("a", 1).await;
    let there = server(THERE, None);
    let device = connect_to(&device, &there).await;
    is_another_server(&device).await;
    here.at(THERE);
    let named = Connection::new(here.clone()).server_name("work");
    let mut device = connect(&device, named).await;
    device.server = here;
    device.push().await;
    device.is_in_sync().await;
}

/// Clones, tables that were taken before and calls that were made before and not begun go by the way of now.
pub async fn t3_clones_share_the_way(harness: &dyn Place) {
    let (here, there) = (server(HERE, Some("x")), server(THERE, Some("x")));
    let device = Device::new(harness, &here).await;
    here.set("a", 1);
    device.pull().await;
    let other = device.sync.clone();
    let (pushes, pulls) = (other.push(), device.todo.pull(Query::all(), "all"));
    device.insert("b", 1).await;
    other.disconnect();
    assert!(!device.sync.is_connected());
    assert!(is_missing(&device.push_stops().await.1));
    device.sync.connect(there.clone()).await.expect("connected");
    let made = here.made();
    assert_eq!(pushes.await.expect("the push ends").pushed, 1);
    pulls.await.expect("the pull ends");
    assert_eq!((here.made(), there.changes().len()), (made, 1));
}

/// A handler that answers late, after the context went elsewhere: its decision is about this server's record, and goes there.
pub async fn t3_decisions_go_where_the_conflict_was_met(harness: &dyn Place) {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use synctable_core::sync::{
        ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy, HandlerError,
    };

    #[derive(Debug, Default)]
    struct GoesElsewhere(Mutex<Option<(SyncContext, TestServer)>>);

    #[cfg_attr(not(synctable_single_threaded), async_trait)]
    #[cfg_attr(synctable_single_threaded, async_trait(?Send))]
    impl ConflictHandler for GoesElsewhere {
        async fn resolve(&self, _: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
            let next = self.0.lock().expect("whole").take();
            let (sync, there) = next.ok_or("asked twice")?;
            sync.connect(there).await?;
            Ok(ConflictDecision::Client)
        }
    }

    let (here, there) = (server(HERE, Some("x")), server(THERE, Some("y")));
    let handler = Arc::new(GoesElsewhere::default());
    let policy = ConflictPolicy::Custom(Arc::clone(&handler) as _);
    let device = Device::with(harness, &here, policy).await;
    here.set("a", 1);
    device.pull().await;
    here.set("a", 2);
    device.set("a", 3).await;
    let next = (device.sync.clone(), there.clone());
    *handler.0.lock().expect("whole") = Some(next);
    assert_eq!(device.push().await.pushed, 1);
    assert_eq!((here.n("a"), there.made()), (Some(3), 0));
    device.is_in_sync().await;
}

/// A push can be cancelled while it waits for the server to say who it is: nothing is sent.
pub async fn t3_a_push_is_cancelled_before_it_has_met_the_server(harness: &dyn Place) {
    let here = server(HERE, Some("x"));
    let device = at_work(harness, &here).await;
    let token = CancelToken::new();
    let cancels = token.clone();
    here.meanwhile(async move {
        cancels.cancel();
        std::future::pending::<()>().await;
    });
    match device.sync.push().cancel(&token).await {
        Err(Error::PushStopped { source, .. }) if matches!(*source, Error::Cancelled) => {}
        other => panic!("it is not cancelled: {other:?}"),
    }
    knows_nothing(&here);
    assert_eq!(device.push().await.pushed, 3);
    device.is_in_sync().await;
}

/// What became of `r`, and how often, at a server.
fn effects(server: &TestServer, table: &TableName) -> Vec<u64> {
    ["a", "b", "c"].map(|id| server.effects(table, id)).to_vec()
}

/// The context goes elsewhere at every point where a push waits; the push goes on, or its future is dropped there. Whatever was under
/// way, the other server gets nothing, and each change has one effect at its own.
pub async fn t3_a_change_at_every_await_of_a_push(harness: &dyn Place) {
    for (met, dropped, parallel) in [
        (true, false, 1),
        (true, true, 3),
        (false, false, 3),
        (false, true, 1),
    ] {
        // One that was not polled has not begun.
        for polls in 1..MOST_POLLS {
            let place = harness.another();
            let inner = place.open().await.expect("the store opens");
            let store = Slow::new(inner, Dropped::Held);
            let here = server(HERE, met.then_some("x"));
            let device = Device::over(Arc::clone(&store) as _, &here, |builder| builder).await;
            if met {
                here.set("s", 1);
                device.pull().await;
            }
            for id in ["a", "b", "c"] {
                device.insert(id, 1).await;
            }
            let mut push = device.sync.push().parallel(parallel).into_future();
            let ended = polled(&mut push, polls).await;
            let finished = ended.is_some();
            let there = server(THERE, met.then_some("y"));
            there.set("a", 1);
            let elsewhere = connect_to(&device, &there).await;
            if let Some(ended) = ended {
                ended.expect("the push ends");
            } else if dropped {
                drop(push);
            } else {
                let report = push.await.expect("the push ends");
                assert_eq!((report.pushed, there.made()), (3, 0), "{polls}");
            }
            store.land().await;
            // Where nothing was sent to any server yet, the next one may be the store's.
            if met || !here.changes().is_empty() {
                elsewhere.insert(&format!("late{polls}"), 1).await;
                is_another_server(&elsewhere).await;
                let device = connect_to(&device, &here).await;
                device.push().await;
                assert_eq!(
                    effects(&here, &todo()),
                    [1, 1, 1],
                    "{met} {dropped} {polls}"
                );
                device.pull().await;
                device.is_in_sync().await;
            }
            if finished {
                break;
            }
            assert!(polls + 1 < MOST_POLLS, "the push never ends");
        }
    }
}
