//! The filter of a named pull changes: what it does not want any more leaves, and nothing that another pull wants is lost by it.

use std::future::IntoFuture;
use std::sync::Arc;

use synctable_core::Error;
use synctable_core::query::{Query, RemoteQuery, field};
use synctable_core::store::StoreErrorKind;
use synctable_core::sync::PullReport;
use synctable_core::transport::Rejection;

use super::device::{Device, changes, shown, todo};
use super::faulty::{Faulty, How};
use super::slow::{Dropped, Slow};
use super::{Fault, TestServer, faulty};
use crate::Place;
use crate::cancel::polled;
use crate::threads::InABox;

/// A future that needs more polls than this is not followed further.
const MOST_POLLS: usize = 400;

fn below(n: i64) -> Query {
    Query::all().filter(field("n").lt(n))
}

fn from(n: i64) -> Query {
    Query::all().filter(field("n").ge(n))
}

/// A device, and rows `r0` to `r9` at the server.
async fn of_ten(harness: &dyn Place) -> Device {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server);
    device
}

fn fill(server: &TestServer) {
    for n in 0..10 {
        server.set(&format!("r{n}"), n);
    }
}

async fn pull(device: &Device, query: impl Into<RemoteQuery>, name: &str) -> PullReport {
    let pull = device.todo.pull(query, name).without_push();
    pull.await.expect("the pull ends")
}

/// The ids of all local records without their `r`: `0 1 2`.
async fn here(device: &Device) -> String {
    let rows = device.rows().await;
    let ids: Vec<&str> = rows.iter().map(|row| row.id().as_str()).collect();
    ids.join(" ").replace('r', "")
}

/// A filter that wants less lets records leave, each of which is told; one that wants more brings them.
pub async fn filters_are_tightened_and_widened(harness: &dyn Place) {
    let device = of_ten(harness).await;
    let first = pull(&device, below(5), "some").await;
    assert_eq!((first.added, first.left), (5, 0));
    let mut events = device.sync.events();
    let less = pull(&device, below(3), "some").await;
    assert_eq!((less.left, less.added, less.deleted), (2, 0, 0));
    assert_eq!(here(&device).await, "0 1 2");
    assert_eq!(
        changes(&mut events),
        ["Pull Deleted r3", "Pull Deleted r4"],
        "each is told"
    );
    let again = pull(&device, below(3), "some").await;
    assert_eq!((again.left, again.fetched), (0, 0), "it has a position");
    let more = pull(&device, below(7), "some").await;
    assert_eq!((more.left, more.added), (0, 4));
    let moved = pull(&device, from(5), "some").await;
    assert_eq!((moved.left, moved.added), (5, 3));
    assert_eq!(here(&device).await, "5 6 7 8 9");
    let all = pull(&device, Query::all(), "some").await;
    assert_eq!((all.left, all.added), (0, 5));
    device.is_in_sync().await;
    assert_eq!(pull(&device, below(1), "some").await.left, 9);
    assert_eq!(here(&device).await, "0");
    device.is_sound().await;
}

/// History 19. Two named pulls, one changes its filter: the other's rows are all there after its next pull, those too that only the
/// server counts to it.
pub async fn history_19_two_named_pulls(harness: &dyn Place) {
    let device = of_ten(harness).await;
    pull(&device, below(6), "low").await;
    pull(&device, from(4), "high").await;
    let report = pull(&device, below(2), "low").await;
    assert_eq!(report.left, 2, "4 and 5 are wanted");
    assert_eq!(here(&device).await, "0 1 4 5 6 7 8 9");
    pull(&device, from(4), "high").await;
    assert_eq!(here(&device).await, "0 1 4 5 6 7 8 9");
    // A server that sees no difference between 3 and 4.
    device
        .server
        .configure(|options| options.ignores_filters = true);
    pull(&device, from(4), "other").await;
    assert_eq!(here(&device).await, "0 1 2 3 4 5 6 7 8 9");
    let report = pull(&device, below(1), "low").await;
    assert_eq!((report.left, report.added), (3, 3), "they come back");
    pull(&device, below(2), "low").await;
    for name in ["high", "other"] {
        assert_eq!(pull(&device, from(4), name).await.fetched, 10, "{name}");
        assert_eq!(here(&device).await, "0 1 2 3 4 5 6 7 8 9");
    }
    device.is_in_sync().await;
}

/// Where no record leaves, the other pulls keep their positions.
pub async fn positions_of_others_stay_while_nothing_leaves(harness: &dyn Place) {
    let device = of_ten(harness).await;
    pull(&device, below(3), "low").await;
    pull(&device, from(5), "high").await;
    let report = pull(&device, below(4), "low").await;
    assert_eq!((report.left, report.added), (0, 1));
    assert_eq!(pull(&device, from(5), "high").await.fetched, 0);
    assert_eq!(pull(&device, below(1), "low").await.left, 3);
    assert_eq!(pull(&device, from(5), "high").await.fetched, 5);
}

/// Records with pending operations stay: queued, refused or in conflict.
pub async fn pending_records_stay(harness: &dyn Place) {
    let device = of_ten(harness).await;
    pull(&device, Query::all(), "some").await;
    device.set("r5", 50).await;
    device.set("r6", 60).await;
    device.server.set("r6", 61);
    device.set("r7", 70).await;
    device
        .server
        .reject(|_, change| (change.id.as_str() == "r7").then(|| Rejection::new(Some(400), "no")));
    let report = device.push().await;
    assert_eq!((report.conflicts, report.rejected), (1, 1));
    device.set("r4", 40).await;
    device.delete("r3").await;
    let queue = device.queue().await;
    let report = pull(&device, below(2), "some").await;
    assert_eq!(report.left, 4, "2, 5, 8 and 9");
    assert_eq!(here(&device).await, "0 1 4 6 7");
    assert_eq!(device.queue().await, queue);
    assert_eq!(device.n("r4").await, Some(40));
    device.is_sound().await;
    device.push().await;
    assert_eq!(
        (device.server.n("r4"), device.server.n("r3")),
        (Some(40), None)
    );
}

/// Records that were never at the server stay, whether something will send them or not.
pub async fn records_that_were_never_sent_stay(harness: &dyn Place) {
    let device = of_ten(harness).await;
    pull(&device, below(5), "some").await;
    device.insert("x", 100).await;
    let seq = device.only_seq().await;
    device.sync.discard(seq).await.expect("the operation goes");
    device.insert("y", 100).await;
    assert_eq!(pull(&device, below(1), "some").await.left, 4);
    assert_eq!(here(&device).await, "0 x y");
    device.is_sound().await;
    device.push().await;
    assert_eq!(device.server.n("y"), Some(100));
    // It has been there by now.
    assert_eq!(pull(&device, below(2), "some").await.left, 1);
    assert_eq!(here(&device).await, "0 1 x");
}

/// What parameters choose is not known here: a change of them reads everything again, and nothing leaves for it.
pub async fn changed_parameters_start_anew(harness: &dyn Place) {
    let device = of_ten(harness).await;
    let of = |query: Query, list: &str| query.parameter("list", list);
    pull(&device, of(below(5), "a"), "some").await;
    let other = pull(&device, of(below(5), "b"), "some").await;
    assert_eq!((other.left, other.fetched), (0, 5), "read anew");
    assert_eq!(pull(&device, of(below(5), "b"), "some").await.fetched, 0);
    let both = pull(&device, of(below(3), "c"), "some").await;
    assert_eq!((both.left, both.fetched), (2, 3));
    let none = pull(&device, below(3), "some").await;
    assert_eq!((none.left, none.fetched), (0, 3));
    // Whatever the filter of a pull with parameters matches may be what the server chose.
    pull(&device, of(below(6), "a"), "other").await;
    assert_eq!(pull(&device, below(1), "some").await.left, 0);
    assert_eq!(here(&device).await, "0 1 2 3 4 5");
}

/// Only what is asked for makes another filter, not how it is written.
pub async fn spelling_makes_no_other_filter(harness: &dyn Place) {
    let device = of_ten(harness).await;
    let asked = below(5).parameter("a", "1").parameter("b", "2");
    pull(&device, asked.clone(), "some").await;
    let written = [
        "$filter=n lt 5&a=1&b=2",
        "$filter=((n  lt (5)))&b=2&a=1",
        "?b=2&%24filter=n%20lt%205&$count=true&a=1",
        "a=1&b=2&$FILTER=n lt 5&__includeDeleted=true",
    ];
    let written = written.map(|text| RemoteQuery::from_odata(text).expect("a query"));
    let queries = written.into_iter().chain([
        asked.clone().with_total(),
        asked.clone().include_deleted(),
        asked.page(2),
    ]);
    for query in queries {
        let report = pull(&device, query.clone(), "some").await;
        assert_eq!((report.left, report.fetched), (0, 0), "{query:?}");
    }
}

/// Nothing leaves while the server cannot be asked, or for a filter that it does not take.
pub async fn nothing_leaves_for_a_filter_without_an_answer(harness: &dyn Place) {
    let device = of_ten(harness).await;
    pull(&device, below(5), "some").await;
    device.server.cut_at(0, Fault::Offline);
    let offline = device.todo.pull(below(1), "some").await;
    assert!(offline.expect_err("no network").is_offline());
    device.server.reconnect();
    device.server.fault(Fault::Status(400));
    let refused = device.todo.pull(below(1), "some").await;
    assert!(matches!(refused, Err(Error::Transport(_))), "{refused:?}");
    assert_eq!(here(&device).await, "0 1 2 3 4");
    let report = pull(&device, below(5), "some").await;
    assert_eq!((report.left, report.fetched), (0, 0), "it stands");
    assert_eq!(pull(&device, below(1), "some").await.left, 4);
}

/// While one context pulls, another changes the filter: the one does not put its position back behind what has left.
pub async fn positions_of_another_context_start_anew(harness: &dyn Place) {
    let server = TestServer::new();
    server.configure(|options| options.page = 2);
    let one = Device::new(harness, &server).await;
    fill(&server);
    let other = one.again().await;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    server.meanwhile_at(1, async move {
        // Where the store is on a thread, a page of the first one may land under this pull.
        let pull = other.todo.pull(below(5), "some").without_push();
        let _ = sender.send(pull.await.expect("the pull ends").left);
    });
    let high = one.todo.pull(from(4), "some").without_push();
    let begun_anew = high.await.expect("the pull ends");
    assert!(receiver.await.expect("the other one pulls") > 0);
    assert_eq!(begun_anew.left, 4);
    assert_eq!(here(&one).await, "4 5 6 7 8 9");
    one.is_sound().await;
}

/// Two contexts change the filter of one pull at once: whichever commit of the one the other comes ahead of, both pulls end, and what is here is what
/// the last one wants.
pub async fn a_filter_that_two_contexts_change_at_once(harness: &dyn Place) {
    for at in 0.. {
        let place = harness.another();
        let store = place.open().await.expect("the store opens");
        let slow = Slow::new(Arc::clone(&store), Dropped::Undone);
        let server = TestServer::new();
        let one = Device::over(Arc::clone(&slow) as _, &server, |it| it).await;
        fill(&server);
        pull(&one, Query::all(), "some").await;
        let other = Device::over(store, &server, |it| it).await;
        let others = async move {
            pull(&other, below(5), "some").await;
        };
        slow.ahead(at, others.in_a_box());
        let report = pull(&one, from(4), "some").await;
        if !slow.is_through() {
            assert!(at >= 3, "the pull has only {at} commits");
            return;
        }
        assert!(report.left <= 9, "ahead of commit {at}: {}", report.left);
        assert_eq!(here(&one).await, "4 5 6 7 8 9", "ahead of commit {at}");
        one.is_sound().await;
    }
}

/// The change of a filter that is dropped anywhere, and others after it: what is here in the end is what the last one wants.
pub async fn dropped_change_of_a_filter_goes_on(harness: &dyn Place) {
    for dropped in Dropped::ALL {
        let place = harness.another();
        let store = Slow::new(place.open().await.expect("the store opens"), dropped);
        let device = Device::over(Arc::clone(&store) as _, &TestServer::new(), |b| b).await;
        fill(&device.server);
        for polls in 0..MOST_POLLS {
            pull(&device, below(8), "low").await;
            pull(&device, from(7), "high").await;
            device.set("r6", 6).await;
            let change = device.todo.pull(below(2), "low").without_push();
            let finished = polled(change.into_future(), polls).await.is_some();
            store.settle().await;
            if polls % 2 == 0 {
                store.land().await;
            }
            let next = device.again().await;
            next.is_sound().await;
            let last = if polls % 3 == 0 { 4 } else { 2 };
            pull(
                if polls % 5 == 0 { &next } else { &device },
                below(last),
                "low",
            )
            .await;
            store.land().await;
            let what = format!("{dropped:?} {polls}");
            let low = if last == 4 { "0 1 2 3" } else { "0 1" };
            assert_eq!(here(&device).await, format!("{low} 6 7 8 9"), "{what}");
            assert_eq!(device.queue().await, ["replace r6"], "{what}");
            device.is_sound().await;
            device.push().await;
            pull(&device, from(7), "high").await;
            if finished {
                pull(&device, Query::all(), "low").await;
                device.is_in_sync().await;
                break;
            }
            assert!(polls + 1 < MOST_POLLS, "the pull never ends");
        }
    }
}

/// The program is killed before and after every commit of a change in which more leaves than one commit takes. The next program goes
/// on; so does one that pulls under another name first, or wants another filter by then.
pub async fn killed_change_of_a_filter_goes_on(harness: &dyn Place) {
    let place = harness.another();
    let commits = {
        let (device, store) = of_many(&*place).await;
        let before = store.commits();
        assert_eq!(pull(&device, below(2), "low").await.left, 1198);
        store.commits() - before
    };
    assert!(commits >= 3, "it is not done in one: {commits}");
    for at in 0..commits {
        for how in [How::WritesFromThen, How::DoneThenWrites] {
            let what = format!("{how:?} {at}");
            let place = harness.another();
            let (device, store) = of_many(&*place).await;
            store.fail(faulty::Fault {
                at: store.writes() + at,
                kind: StoreErrorKind::Io,
                how,
            });
            let cut = device.todo.pull(below(2), "low").await;
            assert!(matches!(cut, Err(Error::Store(_))), "{what}: {cut:?}");
            store.recover();
            let device = device.again().await;
            device.is_sound().await;
            let (low, expected) = match at % 3 {
                0 => (2, "0 1 2000 2001"),
                1 => {
                    pull(&device, from(2000), "high").await;
                    (2, "0 1 2000 2001")
                }
                _ => (3, "0 1 2 2000 2001"),
            };
            pull(&device, below(low), "low").await;
            assert_eq!(here(&device).await, expected, "{what}");
            let again = pull(&device, below(low), "low").await;
            assert_eq!((again.left, again.fetched), (0, 0), "{what}");
            pull(&device, from(2000), "high").await;
            assert_eq!(here(&device).await, expected, "{what}");
            device.is_sound().await;
        }
    }
}

/// A device with 1,200 rows of the pull `low` and two of `high`.
async fn of_many(place: &dyn Place) -> (Device, Arc<Faulty>) {
    let store = Faulty::new(place.open().await.expect("the store opens"), None);
    let device = Device::over(Arc::clone(&store) as _, &TestServer::new(), |b| b).await;
    device.server.configure(|options| options.page = 1000);
    for n in (0..1200).chain([2000, 2001]) {
        device.server.set(&format!("r{n}"), n);
    }
    pull(&device, below(1200), "low").await;
    pull(&device, from(2000), "high").await;
    let rows = device.rows().await;
    assert_eq!(rows.len(), 1202, "{}", shown(&rows));
    assert!(device.server.row(&todo(), "r0").is_some());
    (device, store)
}
