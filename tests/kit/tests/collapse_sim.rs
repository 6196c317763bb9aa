//! Every short history of one record on one device: however local changes join, and whatever was sent between them, the server
//! ends with what the last change left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::store::LocalStoreExt;
use synctable_core::sync::{Resolution, SyncContext};
use synctable_core::{Error, Record, TableName};
use synctable_memory::MemoryStore;
use synctable_testkit::engine::{Fault, TestServer};

/// The longest history, unless `SYNCTABLE_LONGEST` says another length.
fn longest(usual: u32) -> u32 {
    let text = std::env::var("SYNCTABLE_LONGEST").ok();
    text.map_or(usual, |text| text.parse().expect("a length"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// After a delete it brings the record back.
    Insert,
    Update,
    Delete,
}

/// What happens between a change and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    Sent,
    /// Sent, and nobody knows: it had its effect.
    AnswerLost,
    /// Sent, and nobody knows: it never arrived.
    RequestLost,
}

const CHANGES: [Change; 3] = [Change::Insert, Change::Update, Change::Delete];
const SURE: [Between; 2] = [Between::Nothing, Between::Sent];
const UNSURE: [Between; 4] = [
    Between::Nothing,
    Between::Sent,
    Between::AnswerLost,
    Between::RequestLost,
];

type History = Vec<(Change, Between)>;

/// A server of some make, and a record `a` that is there at the start, or is not.
#[derive(Debug, Clone, Copy)]
struct Start {
    operation_ids: bool,
    exists: bool,
}

/// Every history of up to `longest` changes that `allowed` lets go on.
fn histories(
    longest: u32,
    between: &[Between],
    allowed: impl Fn(&History) -> bool,
) -> Vec<History> {
    let mut all = Vec::new();
    let mut last = vec![Vec::new()];
    for _ in 0..longest {
        let longer = last.iter().flat_map(|history: &History| {
            let steps = CHANGES
                .iter()
                .flat_map(|change| between.iter().map(move |between| (*change, *between)));
            steps.map(move |step| [history.as_slice(), &[step]].concat())
        });
        last = longer.filter(&allowed).collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// True when no change is refused.
fn possible(history: &History, exists: bool) -> bool {
    let mut there = exists;
    history.iter().all(|(change, _)| {
        let fits = (*change == Change::Insert) != there;
        there = *change != Change::Delete;
        fits
    })
}

/// What a naive reader of the history expects.
#[derive(Debug, Default)]
struct Model {
    local: Option<i64>,
    server: Option<i64>,
    /// Something was changed here since everything was known to be at the server.
    changed: bool,
    /// An answer was lost since then.
    unsure: bool,
}

/// Pushes until nothing is left. The one conflict there may be is with the tombstone of a delete that was settled
/// before: what was done here counts.
async fn send(sync: &SyncContext, history: &History) {
    // What had no answer again and again rests, unless somebody asks for it.
    for operation in sync.pending().await.unwrap() {
        if operation.aside.is_some() {
            sync.retry(operation.seq).await.unwrap();
        }
    }
    sync.push().await.unwrap();
    for parked in sync.conflicts().await.unwrap() {
        let tombstone = parked
            .conflict
            .server
            .as_ref()
            .is_some_and(Record::is_deleted);
        assert!(tombstone, "{history:?}: {parked:?}");
        sync.resolve_parked(&parked, Resolution::Client)
            .await
            .unwrap();
    }
    sync.push().await.unwrap();
    assert_eq!(sync.pending_count().await.unwrap(), 0, "{history:?}");
}

async fn check(history: &History, start: Start) {
    let server = TestServer::new();
    server.configure(|options| {
        options.operation_ids = start.operation_ids;
    });
    let table = TableName::new("t").unwrap();
    let mut model = Model::default();
    if start.exists {
        server.put(&table, &Record::from_json(r#"{"id":"a","n":0}"#).unwrap());
        (model.local, model.server) = (Some(0), Some(0));
    }
    let store = Arc::new(MemoryStore::new());
    let open = SyncContext::builder(Arc::<MemoryStore>::clone(&store)).transport(server.clone());
    let sync = open.open().await.unwrap();
    let rows = sync.table::<Value>("t").unwrap();
    rows.pull(Query::all(), "all").await.unwrap();
    for (at, (change, between)) in history.iter().enumerate() {
        let n = i64::try_from(at).unwrap() + 1;
        let (result, fits) = match change {
            Change::Insert => {
                let new = json!({"id": "a", "n": n});
                let result = rows.insert(&new).await.map(drop);
                (result, model.local.is_none())
            }
            Change::Update => {
                let result = rows.update("a", &json!({ "n": n })).await.map(drop);
                (result, model.local.is_some())
            }
            Change::Delete => (rows.delete("a").await, model.local.is_some()),
        };
        match result {
            Ok(()) => assert!(fits, "{history:?}: change {at} was taken"),
            Err(Error::AlreadyExists { .. } | Error::NotFound { .. }) => {
                assert!(!fits, "{history:?}: change {at} was refused");
            }
            Err(error) => panic!("{history:?}: change {at}: {error}"),
        }
        if fits {
            model.local = (*change != Change::Delete).then_some(n);
            model.changed = true;
        }
        if !model.unsure {
            // All that was not sent is one operation, or none where nothing is left to do.
            let nothing = !model.changed || model.local.is_none() && model.server.is_none();
            assert_eq!(
                sync.pending_count().await.unwrap(),
                u64::from(!nothing),
                "{history:?}: {at}"
            );
        }
        match between {
            Between::Nothing => {}
            Between::Sent => {
                send(&sync, history).await;
                model = Model {
                    local: model.local,
                    server: model.local,
                    ..Model::default()
                };
            }
            lost => {
                let fault = match lost {
                    Between::AnswerLost => Fault::LostAnswer,
                    _ => Fault::LostRequest,
                };
                server.fail(move |_, _| Some(fault));
                match sync.push().await {
                    // What the lost answers said was found out before the push ended.
                    Ok(report) if report.pending == 0 => {
                        model = Model {
                            local: model.local,
                            server: model.local,
                            ..Model::default()
                        };
                    }
                    _ => model.unsure = true,
                }
                server.calm();
            }
        }
    }
    send(&sync, history).await;
    assert_eq!(server.violations(), [""; 0], "{history:?}");
    let at_server = server.live(&table);
    let numbers: Vec<_> = at_server.iter().map(|row| row.member("n")).collect();
    let expected: Vec<_> = model.local.map(|n| Some(n.into())).into_iter().collect();
    assert_eq!(numbers, expected, "{history:?} {start:?}");
    rows.pull(Query::all(), "all").await.unwrap();
    let here = store.query_all(&table, &Query::all()).await.unwrap();
    assert_eq!(here, at_server, "{history:?} {start:?}");
}

/// Checks all histories, some in each of two threads.
fn check_all(all: &[(History, Start)]) {
    std::thread::scope(|scope| {
        for half in all.chunks(all.len().div_ceil(2)) {
            scope.spawn(move || {
                synctable_testkit::run(async {
                    for (history, start) in half {
                        check(history, *start).await;
                    }
                });
            });
        }
    });
}

fn starts(operation_ids: &[bool]) -> Vec<Start> {
    let with = |operation_ids| {
        [false, true].map(|exists| Start {
            operation_ids,
            exists,
        })
    };
    operation_ids.iter().copied().flat_map(with).collect()
}

/// Checks what `allowed` lets go on, from both starts.
fn check_from_all_starts(
    longest: u32,
    between: &[Between],
    allowed: impl Fn(&History, Start) -> bool,
    operation_ids: &[bool],
) -> usize {
    let mut all = Vec::new();
    for start in starts(operation_ids) {
        let histories = histories(longest, between, |history| allowed(history, start));
        all.extend(histories.into_iter().map(|history| (history, start)));
    }
    println!("{} histories of up to {longest} changes", all.len());
    check_all(&all);
    all.len()
}

/// All changes, those that are refused too, each perhaps followed by a push.
#[test]
fn every_sequence_of_changes_ends_as_it_reads() {
    let longest = longest(4);
    let count = check_from_all_starts(longest, &SURE, |_, _| true, &[false]);
    // 6 ways to go on each time, two starts.
    assert_eq!(count, 2 * (6_usize.pow(longest + 1) - 6) / 5);
}

/// All changes that are possible, each perhaps followed by a push.
#[test]
fn every_possible_sequence_of_six_changes_ends_as_it_reads() {
    let possible = |history: &History, start: Start| possible(history, start.exists);
    assert_eq!(
        check_from_all_starts(6, &SURE, possible, &[false]),
        possible_count(6, 2)
    );
}

/// All changes that are possible, with pushes whose answer or request is lost.
#[test]
fn every_possible_sequence_with_lost_messages_ends_as_it_reads() {
    let possible = |history: &History, start: Start| possible(history, start.exists);
    let longest = longest(4);
    let count = check_from_all_starts(longest, &UNSURE, possible, &[false, true]);
    assert_eq!(count, 2 * possible_count(longest, 4));
}

/// How many there are from both starts, with so many ways to go on after each change: changes alone are counted by Fibonacci numbers.
fn possible_count(longest: u32, ways: usize) -> usize {
    let pairs = [3, 5, 8, 13, 21, 34].into_iter().zip(1..=longest);
    pairs.map(|(n, length)| n * ways.pow(length)).sum()
}
