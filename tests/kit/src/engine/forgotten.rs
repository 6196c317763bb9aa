//! A server that removes tombstones: who was away longer reads everything anew, ends equal, and loses nothing that waits.
#![expect(
    clippy::future_not_send,
    reason = "random strategies stay on their thread; a behaviour is run by `block_on`"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use synctable_core::query::{Query, field};
use synctable_core::store::LocalStore;
use synctable_core::sync::{ConflictPolicy, Resolution};

use super::device::{Device, changes, shown, todo};
use super::{Fault, FeedMake, TestServer};
use crate::fixture::are_kept;
use crate::{Place, for_all};

/// A device that has the server's rows `r0` to `r9`.
async fn of_ten(harness: &dyn Place) -> Device {
    let device = Device::new(harness, &TestServer::new()).await;
    for n in 0..10 {
        device.server.set(&format!("r{n}"), n);
    }
    device.pull().await;
    device
}

/// Others delete rows, and the server forgets that they did.
fn forget(device: &Device, ids: &[&str]) {
    for id in ids {
        device.server.drop_row(id);
    }
    device.server.forget_deletions(&todo());
}

/// Records that are gone leave and are told; one with a change stays until that is decided; what was never sent stays.
pub async fn returning_device_lets_go_of_what_was_deleted(harness: &dyn Place) {
    let device = of_ten(harness).await;
    device.set("r1", 100).await;
    device.insert("new", 7).await;
    forget(&device, &["r1", "r2", "r3"]);
    device.server.set("later", 1);
    let mut events = device.sync.events();
    let report = device.pull_only().await;
    assert_eq!((report.deleted, report.added), (2, 1), "{report:?}");
    let told = changes(&mut events);
    assert!(told.contains(&"Pull Deleted r2".to_owned()), "{told:?}");
    assert_eq!(device.n("r1").await, Some(100));
    assert_eq!(device.n("new").await, Some(7));
    assert_eq!(device.queue().await, ["replace r1", "insert new"]);
    let next = device.pull_only().await;
    assert_eq!((next.fetched, next.requests), (0, 1), "it has a position");
    let seq = device.push_to_conflict().await;
    let resolved = device.sync.resolve(seq, Resolution::Server).await;
    resolved.expect("it is decided");
    device.pull().await;
    device.is_in_sync().await;
    // Who saw the deletions before they were forgotten reads nothing anew.
    device.server.drop_row("r4");
    device.pull().await;
    device.server.forget_deletions(&todo());
    assert_eq!(device.pull().await.fetched, 0);
    device.is_in_sync().await;
}

/// Where nothing is here yet no deletion can be missed: each page counts, and a pull that is cut off goes on.
pub async fn first_pull_from_a_forgetful_server_goes_on(harness: &dyn Place) {
    let server = TestServer::new();
    server.configure(|options| options.page = 2);
    let device = Device::new(harness, &server).await;
    for n in 0..10 {
        server.set(&format!("r{n}"), n);
    }
    server.drop_row("r9");
    server.set("r8", 80);
    server.forget_deletions(&todo());
    server.fault_from(2, Fault::Offline);
    let cut = device.todo.pull(Query::all(), "all").await;
    cut.expect_err("it is cut off");
    server.reconnect();
    let held = device.rows().await.len() as u64;
    assert!(held > 0);
    assert_eq!(device.pull().await.fetched, 9 - held);
    device.is_in_sync().await;
}

/// Wherever the pull that lets records go is cut off, the next one does it.
pub async fn cut_off_return_begins_anew(harness: &dyn Place) {
    for ahead in 0.. {
        let harness = harness.another();
        let device = of_ten(&*harness).await;
        device.server.configure(|options| options.page = 3);
        forget(&device, &["r0", "r5", "r9"]);
        device.server.fault_from(ahead, Fault::Offline);
        let cut = device.todo.pull(Query::all(), "all").await;
        device.server.reconnect();
        let again = device.again().await;
        again.pull().await;
        again.is_in_sync().await;
        if cut.is_ok() {
            assert!(ahead > 4, "{ahead} requests");
            return;
        }
    }
}

/// A delete of what the server has no more shows nothing that a pull met of it before.
pub async fn a_delete_of_what_is_forgotten_leaves_nothing(harness: &dyn Place) {
    let device = of_ten(harness).await;
    device.server.set("r1", 50);
    device.delete("r1").await;
    device.pull_only().await;
    forget(&device, &["r1"]);
    device.push().await;
    assert_eq!(device.n("r1").await, None);
    device.pull().await;
    device.is_in_sync().await;
}

/// A record that only left the filter of one pull stays for the other.
pub async fn rows_of_other_pulls_stay(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    for n in 0..10 {
        device.server.set(&format!("r{n}"), n);
    }
    let pull = async |query: Query, name: &str| {
        let pull = device.todo.pull(query, name).await;
        pull.expect("the pull ends")
    };
    let low = Query::all().filter(field("n").lt(5));
    let high = Query::all().filter(field("n").ge(5));
    pull(low.clone(), "low").await;
    pull(high.clone(), "high").await;
    device.server.set("r3", 8);
    forget(&device, &["r1", "r7"]);
    let report = pull(low, "low").await;
    assert_eq!(report.deleted, 1, "{report:?}");
    assert_eq!(device.n("r3").await, Some(8));
    let report = pull(high, "high").await;
    assert_eq!(report.deleted, 1, "{report:?}");
    device.is_in_sync().await;
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8),
    Drop(u8),
    Forget,
    Edit(usize, u8),
    Delete(usize, u8),
    Insert(usize),
    Push(usize),
    Pull(usize),
    PullCut(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (id, device) = (0_u8..6, 0_usize..2);
    prop_oneof![
        3 => id.clone().prop_map(Step::Set),
        3 => id.clone().prop_map(Step::Drop),
        3 => Just(Step::Forget),
        2 => (device.clone(), id.clone()).prop_map(|(device, id)| Step::Edit(device, id)),
        1 => (device.clone(), id).prop_map(|(device, id)| Step::Delete(device, id)),
        1 => device.clone().prop_map(Step::Insert),
        1 => device.clone().prop_map(Step::Push),
        3 => device.clone().prop_map(Step::Pull),
        2 => (device, 0_usize..6).prop_map(|(device, at)| Step::PullCut(device, at)),
    ]
}

/// Two devices, others at the server, and a server that forgets at any time: in the end all are equal, and what a device made is there.
pub async fn random_absences_end_equal(harness: &dyn Place) {
    let history = (1_u32..4, vec(step(), 0..40));
    for_all(60, history, async |(page, steps)| {
        run(harness, &TestServer::new(), page, &steps).await
    })
    .await;
}

/// As [`random_absences_end_equal`], with servers that tell changes by themselves.
pub async fn random_absences_from_a_feed_end_equal(harness: &dyn Place) {
    let make = prop_oneof![Just(FeedMake::Positions), Just(FeedMake::Walks)];
    let history = (make, 1_u32..4, vec(step(), 0..40));
    for_all(60, history, async |(make, page, steps)| {
        run(harness, &TestServer::with_feed(make), page, &steps).await
    })
    .await;
}

async fn run(
    harness: &dyn Place,
    server: &TestServer,
    page: u32,
    steps: &[Step],
) -> Result<(), String> {
    server.configure(|options| options.page = page);
    let places = [harness.another(), harness.another()];
    let mut devices = Vec::new();
    for place in &places {
        devices.push(Device::with(&**place, server, ConflictPolicy::ServerWins).await);
    }
    let (mut n, mut made) = (0, Vec::new());
    for step in steps {
        n += 1;
        match step {
            Step::Set(id) => server.set(&format!("r{id}"), n),
            Step::Drop(id) => server.drop_row(&format!("r{id}")),
            Step::Forget => server.forget_deletions(&todo()),
            Step::Edit(which, id) => {
                let id = format!("r{id}");
                if devices[*which].n(&id).await.is_some() {
                    devices[*which].set(&id, n).await;
                }
            }
            Step::Delete(which, id) => {
                let id = format!("r{id}");
                if devices[*which].n(&id).await.is_some() {
                    devices[*which].delete(&id).await;
                }
            }
            Step::Insert(which) => {
                let id = format!("made{n}");
                devices[*which].insert(&id, n).await;
                made.push(id);
            }
            Step::Push(which) => drop(devices[*which].push().await),
            Step::Pull(which) => drop(devices[*which].pull_only().await),
            Step::PullCut(which, at) => {
                server.fault_from(*at, Fault::Offline);
                let pull = devices[*which].todo.pull(Query::all(), "all");
                // Whether it gets through is not the point.
                let _ = pull.without_push().await;
                server.reconnect();
            }
        }
    }
    for _ in 0..3 {
        for device in &devices {
            device.push().await;
            device.pull().await;
        }
    }
    let live = server.live(&todo());
    for device in &devices {
        device.is_sound().await;
        let rows = device.rows().await;
        if !are_kept(device.store.capabilities(), &rows, &live) {
            return Err(format!("{} and {}", shown(&rows), shown(&live)));
        }
    }
    match made.iter().find(|id| server.n(id).is_none()) {
        Some(id) => Err(format!("{id} is lost")),
        None => Ok(()),
    }
}
