//! What others write between a read of the engine and the commit that rests on it, without a word to the queue: it is seen, not overwritten.

use std::sync::Arc;

use serde_json::json;
use synctable_core::query::{Query, field};
use synctable_core::store::{LocalStore, WriteBatch};
use synctable_core::sync::SyncContext;
use synctable_core::{Declaration, Error, Record, Step, Steps};

use super::TestServer;
use super::device::{Device, todo};
use super::slow::{Dropped, Slow};
use super::spelling::exact;
use super::steps::{first, old, over, put, rename, renamed, set};
use crate::Place;
use crate::fixture::{Store, all, commit, declare_all, id, record, table};
use crate::threads::InABox;

/// What another program makes of the row `a`.
enum Theirs {
    Another,
    Gone,
    AsAtTheServer,
}

/// Another program, which knows nothing of the queue, writes a row after a pull has read it and before the page is stored: the pull
/// looks again, and tells what it really did.
pub async fn rows_of_another_program_are_not_overwritten_unseen(harness: &dyn Place) {
    // What is here, what the server makes of it, what they do; and what the pull tells: added, updated, deleted, unchanged.
    for (here, server, theirs, told) in [
        (None, Some(5), Theirs::Another, [0, 1, 0, 0]),
        (None, Some(5), Theirs::AsAtTheServer, [0, 0, 0, 1]),
        (Some(1), Some(5), Theirs::Gone, [1, 0, 0, 0]),
        (Some(1), None, Theirs::Gone, [0, 0, 0, 1]),
    ] {
        let place = harness.another();
        let store = place.open().await.expect("the store opens");
        let slow = Slow::new(Arc::clone(&store), Dropped::Undone);
        let device = Device::over(Arc::clone(&slow) as _, &TestServer::new(), |it| it).await;
        device.server.set("b", 0);
        if let Some(n) = here {
            device.server.set("a", n);
        }
        device.pull_only().await;
        match server {
            Some(n) => device.server.set("a", n),
            None => device.server.drop_row("a"),
        }
        let batch = WriteBatch::new();
        let batch = match theirs {
            Theirs::Another => batch.put(&todo(), record(r#"{"id":"a","n":9}"#)),
            Theirs::Gone => batch.delete(&todo(), &id("a")),
            Theirs::AsAtTheServer => {
                let row = device.server.row(&todo(), "a").expect("it is there");
                batch.put(&todo(), row)
            }
        };
        slow.ahead(0, async move { commit(&store, batch).await }.in_a_box());
        let report = device.pull_only().await;
        assert!(slow.is_through(), "nobody wrote");
        let found = [
            report.added,
            report.updated,
            report.deleted,
            report.unchanged,
        ];
        assert_eq!(found, told, "here {here:?}, at the server {server:?}");
        assert_eq!(device.n("a").await, server);
        device.is_in_sync().await;
    }
}

/// What others do ahead of a commit of a conversion.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Crossing {
    /// Another context of the same release converts the store.
    Converts,
    /// One of the release before declares a table.
    Declares,
    /// A program changes a record.
    Edits,
    /// One takes an operation away.
    Settles,
    /// One notes another row of the server with a conflict.
    Notes,
    /// One takes positions away.
    Forgets,
}

impl Crossing {
    /// The commits ahead of which it may come: the note that a conversion begins, a portion that the step changes nothing of, and one that it does.
    const ALL: [(Self, std::ops::RangeInclusive<usize>); 6] = [
        (Self::Converts, 0..=2),
        (Self::Declares, 0..=0),
        (Self::Edits, 0..=2),
        (Self::Settles, 0..=2),
        (Self::Notes, 0..=2),
        (Self::Forgets, 0..=0),
    ];

    async fn happens(self, store: Store, server: TestServer) {
        let batch = WriteBatch::new();
        let batch = match self {
            Self::Converts => {
                over(&store, &server, renamed(), rename(true)).await;
                return;
            }
            Self::Declares => {
                let all = declare_all(&todo(), old());
                let notes = Declaration::new().with_local_only();
                let all = all.with_table(table("notes"), notes);
                let builder = SyncContext::builder(store).schema(all);
                builder.open().await.expect("the context opens");
                return;
            }
            Self::Edits => batch.put(&todo(), record(r#"{"id":"r205","title":"theirs"}"#)),
            Self::Settles => {
                let deletes = rows(&store, "__operations", r#""kind":"delete""#).await;
                assert_eq!(deletes.len(), 1, "one is deleted here");
                batch.delete(&table("__operations"), deletes[0].id())
            }
            Self::Notes => {
                let row = &rows(&store, "__failures", "there").await[0];
                let text = row.to_json().replace("there", "elsewhere");
                batch.put(&table("__failures"), record(&text))
            }
            Self::Forgets => {
                let positions = rows(&store, "__delta", "").await;
                assert_eq!(positions.len(), 2);
                positions.iter().fold(batch, |batch, row| {
                    batch.delete(&table("__delta"), row.id())
                })
            }
        };
        commit(&store, batch).await;
    }
}

/// The rows of an engine's table that contain this.
async fn rows(store: &Store, name: &str, part: &str) -> Vec<Record> {
    let mut rows = all(store, &table(name)).await;
    rows.retain(|row| row.to_json().replace(": ", ":").contains(part));
    rows
}

/// A store of the release before, with a conflict, positions and a queue: 200 records that the step changes nothing of, and some with both names.
async fn before(place: &dyn Place, server: &TestServer) -> Option<Device> {
    put(server, r#"{"id":"r230","n":1,"title":"x"}"#);
    let device = first(place, server).await?;
    device.pull().await;
    let some = Query::all().filter(field("title").ge("a"));
    let some = device.todo.pull(some, "some").without_push();
    some.await.expect("the pull ends");
    set(&device, "r230", json!({"title": "here"})).await;
    put(server, r#"{"id":"r230","n":1,"title":"there"}"#);
    device.push_to_conflict().await;
    let mut batch = WriteBatch::new();
    for n in 0..230 {
        let body = match n {
            0..200 => format!(r#""n":{n}"#),
            _ if n % 3 == 0 => format!(r#""title":"t{n}","name":"b""#),
            _ => format!(r#""title":"t{n}""#),
        };
        let row = format!(r#"{{"id":"r{n:03}","version":"v",{body}}}"#);
        batch = batch.put(&todo(), record(&row));
    }
    commit(&device.store, batch).await;
    set(&device, "r210", json!({"title": "edited"})).await;
    device.delete("r220").await;
    Some(device)
}

/// Whatever others do to a store ahead of any commit of its conversion is neither lost nor done twice.
pub async fn s11_conversions_see_what_others_do(harness: &dyn Place) {
    for (crossing, at) in Crossing::ALL {
        for at in at {
            let server = exact();
            let place = harness.another();
            let Some(device) = before(&*place, &server).await else {
                return;
            };
            let what = format!("{crossing:?} ahead of commit {at}");
            let store = Arc::clone(&device.store);
            let slow = Slow::new(Arc::clone(&store), Dropped::Undone);
            let others = crossing.happens(Arc::clone(&store), server.clone());
            slow.ahead(at, others.in_a_box());
            let converted = SyncContext::builder(Arc::clone(&slow) as Store)
                .schema(declare_all(&todo(), renamed()))
                .steps(rename(true));
            converted.open().await.expect(&what);
            assert!(slow.is_through(), "{what}: there is no such commit");
            let device = over(&store, &server, renamed(), rename(true)).await;
            assert_converted(&device, crossing, &what).await;
        }
    }
}

async fn assert_converted(device: &Device, crossing: Crossing, what: &str) {
    for row in device.rows().await {
        let n: u32 = row.id().as_str()[1..].parse().expect("a number");
        let name = match n {
            0..200 => None,
            205 if crossing == Crossing::Edits => Some("theirs".to_owned()),
            210 => Some("edited".to_owned()),
            230 => Some("here".to_owned()),
            _ => Some(format!("t{n}")),
        };
        assert_eq!(row.member("name"), name.map(Into::into), "{what}: {n}");
        let both = (200..230).contains(&n) && n.is_multiple_of(3);
        assert_eq!(row.member("title"), both.then(|| json!("b")), "{what}: {n}");
    }
    let mut queue = vec!["replace r230 conflict", "replace r210"];
    if crossing != Crossing::Settles {
        queue.push("delete r220");
    }
    assert_eq!(device.queue().await, queue, "{what}");
    let conflicts = device.sync.conflicts().await.expect("the queue is read");
    let server = conflicts[0].conflict.server.as_ref().expect("it is known");
    let there = if crossing == Crossing::Notes {
        "elsewhere"
    } else {
        "there"
    };
    assert_eq!(server.member("name"), Some(json!(there)), "{what}");
    let positions = all(&device.store, &table("__delta")).await.len();
    let expected = if crossing == Crossing::Forgets { 0 } else { 2 };
    assert_eq!(positions, expected, "{what}");
    if crossing == Crossing::Declares {
        let notes = device.sync.table::<Record>("notes").expect("a table name");
        let pulled = notes.pull(Query::all(), "all").await;
        assert!(
            matches!(pulled, Err(Error::LocalOnly { .. })),
            "{what}: {pulled:?}"
        );
    }
    device.is_sound().await;
}

/// Two releases open a store at once that has no table yet: the one with fewer steps does not take the others' away.
pub async fn s11_of_two_releases_at_once_the_newer_one_counts(harness: &dyn Place) {
    let store = harness.open().await.expect("the store opens");
    if !store.capabilities().redefines {
        return;
    }
    let context = |store: Store, steps| SyncContext::builder(store).steps(steps).open();
    let none = context(Arc::clone(&store), Steps::new()).await;
    none.expect("the context opens");
    let newer = rename(true).step(2, Step::remove("todo", "n").here());
    let others = {
        let store = Arc::clone(&store);
        async move {
            let opened = context(store, newer).await;
            opened.expect("the context opens");
        }
    };
    let slow = Slow::new(store, Dropped::Undone);
    slow.ahead(0, others.in_a_box());
    let older = context(Arc::clone(&slow) as Store, rename(true)).await;
    assert!(slow.is_through(), "nobody opened it");
    assert!(
        matches!(older, Err(Error::SchemaNewer { store: 2, here: 1 })),
        "{older:?}"
    );
}
