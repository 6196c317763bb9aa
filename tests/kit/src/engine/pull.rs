//! Pull: everything that changed, page by page, whatever happens meanwhile.

use serde_json::json;
use synctable_core::Error;
use synctable_core::query::{Query, RemoteQuery, field};
use synctable_core::sync::{CancelToken, PullReport};
use synctable_core::transport::InvalidRow;

use super::device::{Device, changes, take_turns, todo};
use super::{Fault, TestServer};
use crate::Place;
use crate::fixture::record;
use crate::threads::InABox;

/// Puts `count` records at the server, `r000` and so on.
pub(super) fn fill(server: &TestServer, count: i64) {
    for number in 0..count {
        server.set(&format!("r{number:03}"), number);
    }
}

/// Rows added, updated, deleted and unchanged.
fn counts(report: &PullReport) -> [u64; 4] {
    [
        report.added,
        report.updated,
        report.deleted,
        report.unchanged,
    ]
}

/// A full pull brings every record, every time, and writes only what differs.
pub async fn full_pull_brings_everything(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 7);
    let full = || async {
        device
            .todo
            .pull_full(Query::all())
            .page(3)
            .await
            .expect("a pull")
    };
    assert_eq!(counts(&full().await), [7, 0, 0, 0]);
    device.is_in_sync().await;
    let mut events = device.sync.events();
    device.server.set("r001", 9);
    device.server.drop_row("r002");
    assert_eq!(counts(&full().await), [0, 1, 1, 5]);
    assert_eq!(
        changes(&mut events),
        ["Pull Updated r001", "Pull Deleted r002"]
    );
    device.is_in_sync().await;
}

/// The second pull under a name brings what changed since the first, and nothing when nothing did.
pub async fn second_pull_brings_only_changes(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 20);
    let first = device.pull().await;
    assert_eq!((first.fetched, first.requests), (20, 1));
    let nothing = device.pull().await;
    assert_eq!((nothing.fetched, nothing.requests), (0, 1));
    device.server.set("r003", 33);
    device.server.set("new", 1);
    device.server.drop_row("r004");
    let changed = device.pull().await;
    assert_eq!((changed.fetched, counts(&changed)), (3, [1, 1, 1, 0]));
    device.is_in_sync().await;
}

/// Only records that match the filter come.
pub async fn filters_choose_records(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 20);
    let large = Query::all().filter(field("n").ge(15));
    for _ in 0..2 {
        device
            .todo
            .pull(large.clone(), "large")
            .await
            .expect("a pull");
        assert_eq!(device.rows().await.len(), 5);
    }
    device.server.set("r001", 50);
    device.server.set("r002", 3);
    device.todo.pull(large, "large").await.expect("a pull");
    assert_eq!(device.rows().await.len(), 6);
    device.is_sound().await;
}

/// A deleted record goes once, and one that is inserted anew under its id comes back.
pub async fn deletions_come_once(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 3);
    device.pull().await;
    device.server.drop_row("r001");
    assert_eq!(counts(&device.pull().await), [0, 0, 1, 0]);
    device.is_in_sync().await;
    device.server.set("r001", 5);
    device.server.set("never-seen", 1);
    device.server.drop_row("never-seen");
    assert_eq!(counts(&device.pull().await), [1, 0, 0, 1]);
    device.is_in_sync().await;
}

/// Rows that are as they are here are not written, and nobody is told.
pub async fn equal_rows_are_not_written(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::foreign()).await;
    fill(&device.server, 10);
    device.pull().await;
    let mut events = device.sync.events();
    let again = device.pull().await;
    assert_eq!(
        (again.added + again.updated + again.deleted, again.kept),
        (0, 0)
    );
    assert!(changes(&mut events).is_empty());
    device.is_in_sync().await;
}

/// Pages of 1, 2 and 50 records, of servers that say when nothing follows and of others, bring the same.
pub async fn every_page_size_brings_everything(harness: &dyn Place) {
    for page in [1, 2, 50] {
        for server in [TestServer::new(), TestServer::foreign()] {
            let place = harness.another();
            let device = Device::new(&*place, &server).await;
            fill(&server, 23);
            let pull = device.todo.pull(Query::all(), "all").page(page);
            assert_eq!(counts(&pull.await.expect("a pull")), [23, 0, 0, 0]);
            server.configure(|options| options.page = page);
            server.set("r000", 100);
            device.pull().await;
            device.is_in_sync().await;
        }
    }
}

/// Many rows with one time, or with times that differ in digits that the server does not show, are all brought, with pages
/// smaller than their number and few more requests than pages.
pub async fn ties_larger_than_a_page(harness: &dyn Place) {
    for (ticks, page) in [(0, 1), (0, 7), (10, 1), (10, 7), (10, 50), (4_000, 2)] {
        let place = harness.another();
        let server = TestServer::foreign();
        server.configure(|options| (options.ticks_per_write, options.page) = (ticks, page));
        let device = Device::new(&*place, &server).await;
        fill(&server, 60);
        let report = device.pull().await;
        assert_eq!((report.fetched, report.added), (60, 60), "{ticks} {page}");
        let most = 4 * u64::from(60_u32.div_ceil(page)) + 4;
        assert!(report.requests <= most, "{} requests", report.requests);
        device.is_in_sync().await;
        server.set("r059", 1_000);
        server.set("late", 1);
        device.pull().await;
        device.is_in_sync().await;
    }
}

/// Rows that change while pages are read move to the end of the order; none is missed, whichever moves, whenever.
pub async fn rows_that_move_between_pages(harness: &dyn Place) {
    for server in [TestServer::new(), TestServer::foreign()] {
        server.configure(|options| options.page = 2);
        let place = harness.another();
        let device = Device::new(&*place, &server).await;
        for ahead in 0..5usize {
            fill(&server, 9);
            for (number, id) in ["r000", "r001", "r004", "r008"].into_iter().enumerate() {
                let other = server.clone();
                let gone = number == ahead;
                server.meanwhile_at(ahead + number, async move {
                    if gone {
                        other.drop_row(id);
                    } else {
                        other.set(id, 77);
                    }
                });
            }
            device.pull().await;
            // What moves during the last request is brought by the next pull.
            server.calm();
            device.pull().await;
            device.is_in_sync().await;
        }
    }
}

/// A pull that fails at any page goes on from there the next time, and fetches nothing twice that it has stored.
pub async fn interrupted_pull_goes_on(harness: &dyn Place) {
    for fault in [Fault::LostRequest, Fault::LostAnswer] {
        for place in 0..5usize {
            let harness = harness.another();
            let server = TestServer::new();
            server.configure(|options| options.page = 2);
            let device = Device::new(&*harness, &server).await;
            fill(&server, 10);
            server.fault_at(place, fault);
            let failed = device.todo.pull(Query::all(), "all").await;
            assert!(matches!(failed, Err(Error::Transport(_))), "{failed:?}");
            assert_eq!(
                device.rows().await.len(),
                2 * place,
                "what came before stays"
            );
            device.is_sound().await;
            let rest = device.pull().await;
            assert_eq!(rest.fetched, 10 - 2 * place as u64);
            device.is_in_sync().await;
        }
    }
}

/// Other names and other tables have positions of their own.
pub async fn names_have_positions_of_their_own(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 10);
    let small = Query::all().filter(field("n").lt(5));
    device
        .todo
        .pull(small.clone(), "some")
        .await
        .expect("a pull");
    assert_eq!(device.pull().await.fetched, 10);
    let again = device.todo.pull(small, "some").await.expect("a pull");
    assert_eq!(again.fetched, 0);
    for name in ["", " ", "a|b", "a\nb", "x".repeat(256).as_str()] {
        let wrong = device.todo.pull(Query::all(), name).await;
        assert!(matches!(wrong, Err(Error::Name(_))), "{name:?}: {wrong:?}");
    }
    device.is_in_sync().await;
}

/// Queries that no pull can answer are refused before anything is asked.
pub async fn unfit_queries_are_refused(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 3);
    let all = RemoteQuery::all;
    let named = [
        all().order_by("n"),
        all().top(1),
        all().skip(1),
        all().select(["n"]),
        all().parameter("$filter", "x"),
        all().parameter("__includeDeleted", "false"),
    ];
    for query in named {
        let refused = device.todo.pull(query.clone(), "some").await;
        assert!(
            matches!(refused, Err(Error::PullQuery(_))),
            "{query:?}: {refused:?}"
        );
    }
    let refused = device.todo.pull_full(all().select(["n"])).await;
    assert!(matches!(refused, Err(Error::PullQuery(_))), "{refused:?}");
    assert!(device.server.requests().is_empty());
}

/// A full pull may have an order and a window of its own, over several pages.
pub async fn full_pull_takes_a_window(harness: &dyn Place) {
    for server in [TestServer::new(), TestServer::foreign()] {
        let place = harness.another();
        server.configure(|options| options.page = 3);
        let device = Device::new(&*place, &server).await;
        fill(&server, 20);
        let query = Query::all().order_by_desc("n").skip(2).top(8);
        let report = device.todo.pull_full(query).await.expect("a pull");
        assert_eq!(report.added, 8);
        let numbers: Vec<i64> = device
            .rows()
            .await
            .iter()
            .map(super::device::number)
            .collect();
        assert_eq!(numbers, (10..18).collect::<Vec<_>>());
        device.is_sound().await;
    }
}

/// A time in the far future does not hide later changes.
pub async fn poisoned_times_do_not_hide_changes(harness: &dyn Place) {
    for server in [TestServer::new(), TestServer::foreign()] {
        let place = harness.another();
        let device = Device::new(&*place, &server).await;
        fill(&server, 3);
        let future = server.now().plus_millis(50 * 365 * 24 * 3_600_000);
        server.put_at(&todo(), &record(r#"{"id":"poison","n":1}"#), future);
        device.pull().await;
        device.is_in_sync().await;
        for round in 0..3 {
            server.set("r001", 10 + round);
            server.set(&format!("new{round}"), 1);
            device.pull().await;
            device.is_in_sync().await;
        }
    }
}

/// Rows that are no records are reported, and the others are stored.
pub async fn invalid_rows_are_reported(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 3);
    device
        .server
        .spoil(InvalidRow::new(Some("x".into()), "no object"));
    let report = device.pull().await;
    assert_eq!((report.left_out, report.added), (1, 3));
    assert_eq!(report.invalid[0].id.as_deref(), Some("x"));
    device.is_in_sync().await;
}

/// A server that commits in another order than that of its times: what comes late is still brought if it is not later
/// than the overlap, and a full pull brings the rest.
pub async fn overlap_catches_late_commits(harness: &dyn Place) {
    let server = TestServer::foreign();
    let device = Device::new(harness, &server).await;
    fill(&server, 3);
    device.pull().await;
    let late = server.now().plus_millis(-4_000);
    server.put_at(&todo(), &record(r#"{"id":"late","n":1}"#), late);
    device.pull().await;
    device.is_in_sync().await;
    let later = server.now().plus_millis(-60_000);
    server.put_at(&todo(), &record(r#"{"id":"later","n":1}"#), later);
    device.pull().await;
    assert_eq!(device.n("later").await, None);
    device.todo.pull_full(Query::all()).await.expect("a pull");
    device.is_in_sync().await;
}

/// A server that promised its order is replaced by one that does not: the last pull is overlapped after all.
pub async fn change_of_the_server_is_noticed(harness: &dyn Place) {
    let server = TestServer::new();
    let device = Device::new(harness, &server).await;
    fill(&server, 5);
    device.pull().await;
    server.configure(|options| (options.ordered, options.says_last) = (false, false));
    let late = server.now().plus_millis(-2_000);
    server.put_at(&todo(), &record(r#"{"id":"late","n":1}"#), late);
    device.pull().await;
    assert_eq!(device.n("late").await, Some(1));
    server.configure(|options| (options.ordered, options.says_last) = (true, true));
    server.set("r000", 50);
    device.pull().await;
    assert_eq!(device.n("r000").await, Some(50));
    device.is_sound().await;
}

/// A server that ignores the filter would be asked for ever; it is found out.
pub async fn pages_that_do_not_move_on_end_the_pull(harness: &dyn Place) {
    let server = TestServer::foreign();
    server.configure(|options| (options.ignores_filters, options.page) = (true, 2));
    let device = Device::new(harness, &server).await;
    for number in 0..5 {
        server.configure(|options| options.ticks_per_write = 100_000_000);
        server.set(&format!("r{number}"), number);
    }
    let stuck = device.todo.pull(Query::all(), "all").page(2).await;
    assert!(matches!(stuck, Err(Error::NoProgress { .. })), "{stuck:?}");
    let stuck = device.todo.pull_full(Query::all()).page(2).await;
    assert!(matches!(stuck, Err(Error::NoProgress { .. })), "{stuck:?}");
    assert!(server.requests().len() < 20);
    device.is_sound().await;
}

/// A record that is edited between the answer and its storing keeps the edit, which then meets the server's row.
pub async fn edits_between_page_and_store_are_kept(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 4);
    device.pull().await;
    for id in ["r000", "r001", "r002", "new"] {
        device.server.set(id, 50);
    }
    let app = device.clone();
    device.server.meanwhile(async move {
        app.set("r000", 100).await;
        app.delete("r001").await;
        app.insert("new", 100).await;
    });
    let report = device.pull().await;
    assert_eq!((report.kept, report.updated), (3, 1));
    let here = [
        device.n("r000").await,
        device.n("r001").await,
        device.n("new").await,
    ];
    assert_eq!(here, [Some(100), None, Some(100)]);
    device.is_sound().await;
    assert_eq!(device.push().await.conflicts, 3);
    device.is_sound().await;
}

/// A pull of a table with pending operations pushes first, all tables, and says how many it sent.
pub async fn pull_pushes_first(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    let lines = device
        .sync
        .table::<serde_json::Value>("lines")
        .expect("a table name");
    lines.insert(&json!({"id": "x"})).await.expect("new");
    assert_eq!(
        device.pull().await.pushed,
        0,
        "another table's operations do not matter"
    );
    device.insert("a", 1).await;
    let report = device.pull().await;
    assert_eq!(
        (
            report.pushed,
            device
                .sync
                .pending_count()
                .await
                .expect("the queue is counted")
        ),
        (2, 0)
    );
    device.is_in_sync().await;
    device.set("a", 2).await;
    device.server.fault_always(Fault::Unauthorized);
    let failed = device.todo.pull(Query::all(), "all").await;
    assert!(
        matches!(failed, Err(Error::PushStopped { .. })),
        "{failed:?}"
    );
    device.is_sound().await;
}

/// A push during a pull: the page that was read before it does not put an older record over the server's answer.
pub async fn pull_does_not_move_records_back(harness: &dyn Place) {
    let device = Device::new(harness, &TestServer::new()).await;
    fill(&device.server, 3);
    device.pull().await;
    device.set("r000", 100).await;
    device.server.set("r001", 50);
    let (app, (sender, receiver)) = (device.clone(), tokio::sync::oneshot::channel());
    device.server.meanwhile(async move {
        let push = async move { app.push().await };
        let _ = sender.send(take_turns(push.in_a_box()).await);
    });
    let mut events = device.sync.events();
    let full = device.todo.pull_full(Query::all()).without_push();
    full.await.expect("a pull");
    let push = receiver.await.expect("the push was started");
    assert_eq!(push.await.pushed, 1);
    device.is_in_sync().await;
    assert_eq!(
        changes(&mut events),
        ["Pull Updated r001", "Push Updated r000"]
    );
}

/// A cancelled pull ends at once; pages that were stored stay, and the next pull goes on from them.
pub async fn cancelled_pull_keeps_its_pages(harness: &dyn Place) {
    let server = TestServer::new();
    server.configure(|options| options.page = 2);
    let device = Device::new(harness, &server).await;
    fill(&server, 10);
    let token = CancelToken::new();
    let other = token.clone();
    server.meanwhile_at(2, async move { other.cancel() });
    let cancelled = device.todo.pull(Query::all(), "all").cancel(&token).await;
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    assert_eq!(device.rows().await.len(), 4);
    device.is_sound().await;
    let again = device.todo.pull(Query::all(), "all").cancel(&token).await;
    assert!(matches!(again, Err(Error::Cancelled)), "{again:?}");
    assert_eq!(device.pull().await.fetched, 6);
    device.is_in_sync().await;
}

/// Two contexts over one store: a pull of one keeps the edits of the other, though it did not see them being made.
pub async fn pull_keeps_edits_of_another_context(harness: &dyn Place) {
    let one = Device::new(harness, &TestServer::new()).await;
    fill(&one.server, 5);
    one.pull().await;
    let other = one.again().await;
    other.set("r004", 100).await;
    other.push().await;
    one.set("r000", 100).await;
    one.insert("new", 100).await;
    one.delete("r001").await;
    for id in ["r000", "r001", "new"] {
        one.server.set(id, 7);
    }
    let report = other.pull_only().await;
    assert_eq!(report.kept, 3);
    assert_eq!(
        (one.n("r000").await, one.n("r001").await),
        (Some(100), None)
    );
    one.is_sound().await;
    other.is_sound().await;
}

/// As before when a refused change of the other context left a gap in the numbers.
pub async fn pull_keeps_edits_behind_a_gap(harness: &dyn Place) {
    let one = Device::new(harness, &TestServer::new()).await;
    fill(&one.server, 5);
    one.pull().await;
    let other = one.again().await;
    // It has changed something itself, so it believes to know the queue.
    other.set("r004", 100).await;
    other.push().await;
    one.todo
        .update("r001", &json!({"n": "x".repeat(2 << 20)}))
        .await
        .expect_err("too large");
    one.set("r000", 100).await;
    one.server.set("r000", 7);
    let report = other.pull_only().await;
    assert_eq!((report.kept, one.n("r000").await), (1, Some(100)));
    one.is_sound().await;
}
