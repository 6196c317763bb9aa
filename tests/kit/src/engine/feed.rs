//! A server that tells changes by itself (rule T1): everything comes once, what is gone leaves, whatever became of the position.

use synctable_core::Error;
use synctable_core::query::{Query, field};
use synctable_core::sync::{PullReport, Purge, Resolution};

use super::device::{Device, todo};
use super::{Call, Fault, FeedMake, TestServer};
use crate::Place;

const MAKES: [FeedMake; 2] = [FeedMake::Positions, FeedMake::Walks];

/// A device that has the server's rows `r0` to `r9`.
async fn of_ten(harness: &dyn Place, make: FeedMake) -> Device {
    let device = Device::new(harness, &TestServer::with_feed(make)).await;
    fill(&device.server);
    device.pull().await;
    device
}

fn fill(server: &TestServer) {
    for n in 0..10 {
        server.set(&format!("r{n}"), n);
    }
}

fn counts(report: &PullReport) -> [u64; 4] {
    let [added, updated] = [report.added, report.updated];
    [added, updated, report.deleted, report.unchanged]
}

/// What the feed was asked since the last time: `start`, or the kind of the token (`p` a position, the others the middle of a walk).
fn asked(server: &TestServer) -> Vec<String> {
    let requests = server.requests();
    server.forget_requests();
    let words = requests.iter().map(|request| match &request.call {
        Call::Changes(None) => "start".to_owned(),
        Call::Changes(Some(token)) => token.as_str()[..1].to_owned(),
        Call::Page(_) => "page".to_owned(),
        Call::Get(id) => format!("get {id}"),
        Call::Apply(_) => "apply".to_owned(),
    });
    words.collect()
}

async fn pull(device: &Device, filter: Query, name: &str) -> PullReport {
    let pull = device.todo.pull(filter, name).without_push();
    pull.await.expect("the pull ends")
}

fn low() -> Query {
    Query::all().filter(field("n").lt(5))
}

fn high() -> Query {
    Query::all().filter(field("n").ge(5))
}

/// Rows and deletions come once, pages are not asked for, and what was pushed here is not written again.
pub async fn a_feed_brings_changes_once(harness: &dyn Place) {
    for make in MAKES {
        for page in [1, 3, 100] {
            let server = TestServer::with_feed(make);
            server.configure(|options| options.page = page);
            let place = harness.another();
            let device = Device::new(&*place, &server).await;
            fill(&server);
            assert_eq!(counts(&device.pull().await), [10, 0, 0, 0]);
            let nothing = device.pull().await;
            assert_eq!((nothing.fetched, nothing.requests), (0, 1));
            server.set("r3", 33);
            server.set("new", 1);
            server.drop_row("r4");
            assert_eq!(counts(&device.pull().await), [1, 1, 1, 0]);
            device.is_in_sync().await;
            device.set("r5", 50).await;
            device.delete("r6").await;
            device.insert("mine", 7).await;
            let report = device.pull().await;
            assert_eq!((report.pushed, counts(&report)), (3, [0, 0, 0, 3]));
            device.is_in_sync().await;
            let asked = asked(&server);
            assert!(!asked.contains(&"page".to_owned()), "{asked:?}");
        }
    }
}

/// A walk that is cut off anywhere goes on from there, in another context, too; rows that were stored come no second time.
pub async fn t1_a_walk_that_is_cut_off_goes_on(harness: &dyn Place) {
    for make in MAKES {
        for ahead in 0.. {
            let server = TestServer::with_feed(make);
            server.configure(|options| options.page = 2);
            let place = harness.another();
            let device = Device::new(&*place, &server).await;
            fill(&server);
            server.fault_from(ahead, Fault::Offline);
            let cut = device.todo.pull(Query::all(), "all").await;
            server.reconnect();
            let held = device.rows().await.len() as u64;
            assert_eq!(held, (2 * ahead as u64).min(10), "pages that came are kept");
            server.set("r0", 100);
            server.drop_row("r9");
            let again = device.again().await;
            again.pull().await;
            again.is_in_sync().await;
            if cut.is_ok() {
                assert_eq!(ahead, 5);
                break;
            }
        }
    }
}

/// A server that does not go on with a walk is asked from the last position, and not from the start.
pub async fn t1_a_refused_resume_falls_back_to_the_position(harness: &dyn Place) {
    let place = harness.another();
    let device = of_ten(&*place, FeedMake::Walks).await;
    let server = &device.server;
    server.configure(|options| options.page = 2);
    for n in 0..6 {
        server.set(&format!("r{n}"), 100 + n);
    }
    server.fault_from(2, Fault::Offline);
    let cut = device.todo.pull(Query::all(), "all").await;
    cut.expect_err("it is cut off");
    server.reconnect();
    server.drop_row("r0");
    server.end_walks();
    asked(server);
    let again = device.again().await;
    again.pull().await;
    assert_eq!(asked(server), ["n", "p", "n", "n"]);
    again.is_in_sync().await;
    // In the middle of a pull, too.
    for n in 1..6 {
        server.set(&format!("r{n}"), 200 + n);
    }
    let other = server.clone();
    server.meanwhile(async move { other.end_walks() });
    again.pull().await;
    assert_eq!(asked(server), ["p", "n", "p", "n", "n"]);
    again.is_in_sync().await;
}

/// Rows of a first walk that the server does not go on with may be deleted by the next one, which does not tell.
pub async fn t1_rows_of_a_refused_first_walk_are_asked_about(harness: &dyn Place) {
    let server = TestServer::with_feed(FeedMake::Walks);
    server.configure(|options| options.page = 2);
    let place = harness.another();
    let device = Device::new(&*place, &server).await;
    fill(&server);
    server.fault_from(3, Fault::Offline);
    let cut = device.todo.pull(Query::all(), "all").await;
    cut.expect_err("it is cut off");
    server.reconnect();
    server.drop_row("r1");
    server.forget_deletions(&todo());
    server.end_walks();
    device.pull().await;
    device.is_in_sync().await;
    // As above, but the walk is refused while the pull that begins anew is under way.
    server.expire_positions(&todo());
    server.set("r2", 20);
    server.expire_positions(&todo());
    let other = server.clone();
    server.meanwhile_at(2, async move {
        other.drop_row("r0");
        other.forget_deletions(&todo());
        other.end_walks();
    });
    device.pull().await;
    device.is_in_sync().await;
}

/// Deletions behind a position that the server refuses are found out; what has a change stays until that is decided, and what was never
/// sent stays.
pub async fn t1_an_expired_position_hides_no_deletion(harness: &dyn Place) {
    for make in MAKES {
        let place = harness.another();
        let device = of_ten(&*place, make).await;
        let server = &device.server;
        device.set("r1", 100).await;
        device.insert("new", 7).await;
        for id in ["r1", "r2", "r3"] {
            server.drop_row(id);
        }
        server.set("later", 1);
        server.forget_deletions(&todo());
        asked(server);
        let report = device.pull_only().await;
        assert_eq!((report.deleted, report.added), (2, 1), "{report:?}");
        assert_eq!(asked(server), ["p", "start", "get r2", "get r3", "page"]);
        assert_eq!(device.n("r1").await, Some(100));
        assert_eq!(device.queue().await, ["replace r1", "insert new"]);
        let next = device.pull_only().await;
        assert_eq!((next.fetched, next.requests), (0, 1), "it has a position");
        let seq = device.push_to_conflict().await;
        let resolved = device.sync.resolve(seq, Resolution::Server).await;
        resolved.expect("it is decided");
        device.pull().await;
        device.is_in_sync().await;
    }
}

/// Wherever the pull that lets records go is cut off, the next one does it.
pub async fn t1_a_return_that_is_cut_off_begins_anew(harness: &dyn Place) {
    for make in MAKES {
        for ahead in 0.. {
            let place = harness.another();
            let device = of_ten(&*place, make).await;
            device.server.configure(|options| options.page = 3);
            for id in ["r0", "r5", "r9"] {
                device.server.drop_row(id);
            }
            device.server.forget_deletions(&todo());
            device.server.fault_from(ahead, Fault::Offline);
            let cut = device.todo.pull(Query::all(), "all").await;
            device.server.reconnect();
            let again = device.again().await;
            again.pull().await;
            again.is_in_sync().await;
            if cut.is_ok() {
                assert!(ahead > 6, "{ahead} requests");
                break;
            }
        }
    }
}

/// "Not found" is not believed of a table that is not there itself, as while a server is deployed.
pub async fn t1_a_missing_table_deletes_nothing(harness: &dyn Place) {
    let place = harness.another();
    let device = of_ten(&*place, FeedMake::Positions).await;
    let server = &device.server;
    server.drop_row("r1");
    server.forget_deletions(&todo());
    server.configure(|options| options.page = 1);
    let other = server.clone();
    // The last page of the walk is read, then the table goes.
    server.meanwhile_at(9, async move {
        other.drop_row("r2");
        other.unmount(&todo());
    });
    let pull = device.todo.pull(Query::all(), "all").await;
    pull.expect_err("the table does not answer");
    assert_eq!(device.rows().await.len(), 10);
    server.calm();
    device.pull().await;
    device.is_in_sync().await;
}

/// What the query does not describe any more leaves.
pub async fn t1_what_left_the_query_leaves(harness: &dyn Place) {
    for make in MAKES {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::with_feed(make)).await;
        fill(&device.server);
        assert_eq!(pull(&device, low(), "low").await.added, 5);
        device.server.set("r1", 50);
        device.server.set("r8", 80);
        let report = pull(&device, low(), "low").await;
        assert_eq!(counts(&report), [0, 0, 1, 1]);
        device.server.set("r1", 1);
        assert_eq!(counts(&pull(&device, low(), "low").await), [1, 0, 0, 0]);
        // It left while the position expired.
        device.server.set("r2", 50);
        device.server.expire_positions(&todo());
        device.server.set("r3", 4);
        device.server.expire_positions(&todo());
        assert_eq!(pull(&device, low(), "low").await.deleted, 1);
        assert_eq!(device.rows().await.len(), 4);
        device.is_sound().await;
    }
}

/// What left one pull and came with another stays, whichever of them is told first.
pub async fn t1_what_another_pull_wants_stays(harness: &dyn Place) {
    for make in MAKES {
        for order in [["low", "high"], ["high", "low"]] {
            let place = harness.another();
            let device = Device::new(&*place, &TestServer::with_feed(make)).await;
            fill(&device.server);
            let both = async || {
                for name in order {
                    let query = if name == "low" { low() } else { high() };
                    pull(&device, query, name).await;
                }
            };
            both().await;
            device.server.set("r1", 50);
            device.server.set("r8", 0);
            device.server.drop_row("r2");
            both().await;
            assert_eq!(
                (device.n("r1").await, device.n("r8").await),
                (Some(50), Some(0))
            );
            both().await;
            device.is_in_sync().await;
        }
    }
}

/// A record with a change that left the query stays until the change is at the server, or cancelled.
pub async fn t1_a_change_of_what_left_is_not_lost(harness: &dyn Place) {
    for make in MAKES {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::with_feed(make)).await;
        fill(&device.server);
        pull(&device, low(), "low").await;
        device.set("r1", 2).await;
        device.set("r2", 3).await;
        device.server.set("r1", 50);
        device.server.set("r2", 60);
        let report = pull(&device, low(), "low").await;
        assert_eq!((report.kept, report.deleted), (2, 0));
        let pending = device.sync.pending().await.expect("the queue is read");
        let cancelled = device.sync.cancel(pending[0].seq).await;
        cancelled.expect("it is cancelled");
        assert_eq!(device.n("r1").await, None);
        let seq = device.push_to_conflict().await;
        device
            .sync
            .resolve(seq, Resolution::Client)
            .await
            .expect("decided");
        device.push().await;
        assert_eq!(device.server.n("r2"), Some(3));
        pull(&device, low(), "low").await;
        assert_eq!(device.n("r2").await, Some(3));
        device.is_sound().await;
    }
}

/// A record in conflict that left the query is still at the server: deleting it here is no agreement with a deletion there.
pub async fn t1_a_delete_of_what_left_reaches_the_server(harness: &dyn Place) {
    for make in MAKES {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::with_feed(make)).await;
        fill(&device.server);
        pull(&device, low(), "low").await;
        device.set("r1", 2).await;
        device.delete("r2").await;
        device.server.set("r1", 3);
        device.server.set("r2", 4);
        device.push().await;
        device.server.set("r1", 50);
        device.server.set("r2", 60);
        pull(&device, low(), "low").await;
        assert_eq!(
            device.queue().await,
            ["replace r1 conflict", "delete r2 conflict"]
        );
        device.delete("r1").await;
        for operation in device.sync.pending().await.expect("the queue is read") {
            let resolved = device.sync.resolve(operation.seq, Resolution::Client).await;
            resolved.expect("decided");
        }
        device.push().await;
        assert_eq!((device.server.n("r1"), device.server.n("r2")), (None, None));
        device.is_sound().await;
    }
}

/// A record in conflict that the feed tells as deleted is gone once the server's side is taken.
pub async fn t1_a_conflict_over_what_was_deleted_ends_in_its_deletion(harness: &dyn Place) {
    for soft in [true, false] {
        let place = harness.another();
        let device = of_ten(&*place, FeedMake::Positions).await;
        device
            .server
            .configure(|options| options.soft_delete = soft);
        device.set("r1", 100).await;
        device.server.set("r1", 50);
        let seq = device.push_to_conflict().await;
        device.server.drop_row("r1");
        device.pull_only().await;
        device
            .sync
            .resolve(seq, Resolution::Server)
            .await
            .expect("decided");
        device.pull().await;
        device.is_in_sync().await;
    }
}

/// Pages without changes may lead on as often as they like; one that leads to itself ends the pull.
pub async fn t1_empty_pages_lead_on_and_circles_end(harness: &dyn Place) {
    for make in MAKES {
        let place = harness.another();
        let device = of_ten(&*place, make).await;
        let server = &device.server;
        server.set("r1", 11);
        server.idle(50);
        let report = device.pull().await;
        assert_eq!((report.requests, report.updated), (51, 1));
        server.set("r1", 12);
        server.stall(true);
        asked(server);
        let stalled = device.todo.pull(Query::all(), "all").await;
        assert!(
            matches!(stalled, Err(Error::NoProgress { .. })),
            "{stalled:?}"
        );
        assert!(asked(server).len() <= 3);
        server.stall(false);
        device.pull().await;
        device.is_in_sync().await;
    }
}

/// A server that begins to tell changes by itself, or ceases to, is read from the start: a time is no place in a feed.
pub async fn t1_another_kind_of_position_begins_at_the_start(harness: &dyn Place) {
    for make in MAKES {
        let server = TestServer::new();
        let place = harness.another();
        let device = Device::new(&*place, &server).await;
        fill(&server);
        device.pull().await;
        server.configure(|options| options.soft_delete = false);
        server.drop_row("r1");
        server.set("r2", 22);
        server.configure(|options| options.feed = Some(make));
        asked(&server);
        device.pull().await;
        assert_eq!(asked(&server)[0], "start");
        device.is_in_sync().await;
        server.configure(|options| (options.feed, options.soft_delete) = (None, true));
        server.drop_row("r3");
        server.set("r4", 44);
        assert_eq!(device.pull().await.fetched, 9, "tombstones and all");
        device.is_in_sync().await;
        assert_eq!(device.pull().await.fetched, 0);
    }
}

/// A filter that changes lets go what no pull wants, and begins at the start.
pub async fn t1_a_filter_of_a_feed_may_change(harness: &dyn Place) {
    for make in MAKES {
        let place = harness.another();
        let device = Device::new(&*place, &TestServer::with_feed(make)).await;
        fill(&device.server);
        pull(&device, low(), "some").await;
        pull(&device, Query::all().filter(field("n").lt(2)), "few").await;
        asked(&device.server);
        let report = pull(&device, high(), "some").await;
        assert_eq!((report.left, report.added), (3, 5));
        assert_eq!(asked(&device.server)[..2], ["start", "start"]);
        assert_eq!(device.rows().await.len(), 7);
        // Records left, so the other pull looks anew at what the server counts to it.
        pull(&device, Query::all().filter(field("n").lt(2)), "few").await;
        assert_eq!(asked(&device.server)[0], "start");
        device.is_sound().await;
    }
}

/// A page that was read before another context stored a newer one is not stored over it.
pub async fn t1_two_contexts_follow_one_feed(harness: &dyn Place) {
    for make in MAKES {
        let place = harness.another();
        let device = of_ten(&*place, make).await;
        let other = device.again().await;
        device.server.set("r1", 11);
        device.server.meanwhile(async move {
            other.server.set("r1", 12);
            other.server.drop_row("r2");
            other.pull_only().await;
        });
        device.pull_only().await;
        device.is_in_sync().await;
    }
}

/// A purge forgets the position in a feed: what it removed comes back.
pub async fn t1_a_purge_forgets_the_position(harness: &dyn Place) {
    for make in MAKES {
        let place = harness.another();
        let device = of_ten(&*place, make).await;
        let purge = device.todo.purge(Purge::all()).await;
        assert_eq!(purge.expect("nothing waits").purged, 10);
        assert_eq!(device.pull().await.added, 10);
        device.is_in_sync().await;
    }
}
