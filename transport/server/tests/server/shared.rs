//! Changes that wait at the same time share a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use proptest::prelude::*;
use synctable_core::{FieldOptions, FieldType, TableSchema};
use synctable_server::TableServer;

use crate::common::*;

async fn over(store: &Arc<TestStore>) -> TableServer {
    builder(Arc::<TestStore>::clone(store), &TestClock::new())
        .build()
        .await
        .unwrap()
}

fn commits(store: &TestStore) -> usize {
    store.log.lock().unwrap().len()
}

#[tokio::test]
async fn many_writers_make_few_commits() {
    for (ordered, yields) in [(true, 0), (true, 3), (false, 3)] {
        let store = TestStore::new(ordered, yields);
        let server = over(&store).await;
        let answers = join_all((0..200).map(|_| post(&server, "/tables/soft", "{}"))).await;
        for answer in answers {
            answer.expect(201);
        }
        let count = commits(&store);
        assert!(count <= 8, "{count} commits");
        let removals: Vec<String> = get(&server, "/tables/soft?$top=100").await.ids();
        let targets: Vec<String> = removals
            .iter()
            .map(|id| format!("/tables/soft/{id}"))
            .collect();
        for answer in join_all(targets.iter().map(|target| delete(&server, target))).await {
            answer.expect(204);
        }
        let count = commits(&store) - count;
        assert!(count <= 6, "{count} commits");
    }
}

#[tokio::test]
async fn removals_share_commits() {
    let store = TestStore::new(true, 1);
    let server = over(&store).await;
    let ids: Vec<String> = (0..100).map(|n| format!("/tables/hard/r{n}")).collect();
    join_all((0..100).map(|n| {
        let server = &server;
        async move { post(server, "/tables/hard", &format!(r#"{{"id":"r{n}"}}"#)).await }
    }))
    .await;
    let before = store.tries.load(Ordering::SeqCst);
    for answer in join_all(ids.iter().map(|target| delete(&server, target))).await {
        answer.expect(204);
    }
    let tries = store.tries.load(Ordering::SeqCst) - before;
    assert!(tries <= 6, "{tries} commits");
}

#[tokio::test]
async fn a_change_that_the_store_refuses_fails_alone() {
    for bad in [0, 17, 63] {
        let store = TestStore::new(true, 1);
        let server = over(&store).await;
        *store.refused.lock().unwrap() = Some("bad".into());
        let answers = join_all((0..64).map(|n| {
            let body = if n == bad { r#"{"x":"bad"}"# } else { "{}" };
            post(&server, "/tables/soft", body)
        }))
        .await;
        for (n, answer) in answers.into_iter().enumerate() {
            answer.expect(if n == bad { 500 } else { 201 });
        }
        let tries = store.tries.load(Ordering::SeqCst);
        assert!(tries <= 1 + 2 * 6 + 2, "{tries} commits");
    }
}

#[tokio::test]
async fn a_unique_value_is_had_by_one_of_those_who_share_a_commit() {
    let store = TestStore::new(true, 1);
    let options = FieldOptions::new().with_unique();
    let schema = TableSchema::new().with_field_options("code", FieldType::String, options);
    let server = TableServer::builder(Arc::<TestStore>::clone(&store) as _)
        .table(table("soft"), schema)
        .build()
        .await
        .unwrap();
    let answers = join_all((0..20).map(|n| {
        let server = &server;
        async move {
            post(
                server,
                "/tables/soft",
                &format!(r#"{{"code":"c{}"}}"#, n % 2),
            )
            .await
        }
    }))
    .await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.status == 400).count();
    assert_eq!((made, refused), (2, 18));
}

type Request<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

fn poll(request: &mut Request<'_>) -> Option<Answer> {
    let mut context = Context::from_waker(Waker::noop());
    match request.as_mut().poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// The request that was the first of a commit, and drives it, is dropped at each of its polls.
#[tokio::test]
async fn a_dropped_request_takes_no_other_with_it() {
    for ordered in [true, false] {
        for polls in 1..12 {
            let store = TestStore::new(ordered, 4);
            let server = over(&store).await;
            let post = || Box::pin(post(&server, "/tables/soft", "{}"));
            let (mut first, mut second, mut third): (Request<'_>, Request<'_>, Request<'_>) =
                (post(), post(), post());
            assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
            let done = (0..polls).any(|_| poll(&mut first).is_some());
            assert!(poll(&mut third).is_none());
            drop(first);
            second.await.expect(201);
            third.await.expect(201);
            let page = get(&server, "/tables/soft?$top=9").await;
            assert!(page.ids().len() >= 2 + usize::from(done));
        }
    }
}

/// A reader that goes on behind the last (time, id).
#[derive(Default)]
struct Reader {
    last: Option<(String, String)>,
    seen: BTreeMap<String, String>,
}

impl Reader {
    /// Reads a page of three; true where there was something.
    async fn read(&mut self, server: &TableServer) -> bool {
        let filter = match &self.last {
            None => String::new(),
            Some((time, id)) => format!(
                "&$filter=updatedAt%20gt%20{time}%20or%20(updatedAt%20eq%20{time}%20and%20id%20gt%20'{id}')"
            ),
        };
        let target =
            format!("/tables/soft?$orderby=updatedAt,id&$top=3&__includedeleted=true{filter}");
        let page = get(server, &target).await.expect(200).json();
        let items = page["items"].as_array().unwrap();
        for item in items {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            self.seen.insert(text("id"), text("version"));
            self.last = Some((text("updatedAt"), text("id")));
        }
        !items.is_empty()
    }
}

/// What a run of the property does next.
#[derive(Debug, Clone)]
enum Move {
    /// A change of this record begins, at one of the servers.
    Begin(u8, bool),
    /// A request is polled.
    Poll(prop::sample::Index),
    /// A request is dropped.
    Drop(prop::sample::Index),
    Read,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (0..6_u8, any::<bool>()).prop_map(|(id, other)| Move::Begin(id, other)),
        12 => any::<prop::sample::Index>().prop_map(Move::Poll),
        1 => any::<prop::sample::Index>().prop_map(Move::Drop),
        2 => Just(Move::Read),
    ];
    prop::collection::vec(one, 1..120)
}

async fn misses_nothing(moves: Vec<Move>, ordered: bool) {
    let store = TestStore::new(ordered, 2);
    let servers = [over(&store).await, over(&store).await];
    let mut requests: Vec<Request<'_>> = Vec::new();
    let mut reader = Reader::default();
    for step in moves {
        match step {
            Move::Begin(id, other) => {
                let server = &servers[usize::from(other)];
                requests.push(Box::pin(async move {
                    let body = format!(r#"{{"id":"r{id}"}}"#);
                    let made = post(server, "/tables/soft", &body).await;
                    if made.status == 201 {
                        return made;
                    }
                    put(server, &format!("/tables/soft/r{id}"), &body).await
                }));
            }
            Move::Poll(at) if !requests.is_empty() => {
                let at = at.index(requests.len());
                if poll(&mut requests[at]).is_some() {
                    drop(requests.swap_remove(at));
                }
            }
            Move::Drop(at) if !requests.is_empty() => {
                drop(requests.swap_remove(at.index(requests.len())));
            }
            Move::Read => {
                reader.read(&servers[0]).await;
            }
            Move::Poll(_) | Move::Drop(_) => {}
        }
    }
    for answer in join_all(requests).await {
        assert!(answer.status.is_success(), "{answer:?}");
    }
    while reader.read(&servers[0]).await {}
    let page = get(&servers[0], "/tables/soft?$top=100").await.json();
    let stored: BTreeMap<String, String> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| ["id", "version"].map(|name| item[name].as_str().unwrap().to_owned()))
        .map(|[id, version]| (id, version))
        .collect();
    assert_eq!(reader.seen, stored);
    let times: Vec<_> = store
        .log
        .lock()
        .unwrap()
        .iter()
        .map(|(_, time)| *time)
        .collect();
    let unique: BTreeSet<_> = times.iter().collect();
    assert!(
        times.is_sorted() && unique.len() == times.len(),
        "{times:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whoever reads on behind the last time and id while others write, and give up, at two servers over one store, sees all that is stored.
    #[test]
    fn a_reader_behind_the_last_time_and_id_misses_nothing(moves in moves(), ordered: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(misses_nothing(moves, ordered));
    }
}
