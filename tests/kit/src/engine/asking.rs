//! Decisions that take as long as they take: nothing is held while the application is asked.

use std::future::{IntoFuture, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use futures_util::FutureExt;
use synctable_core::query::Query;
use synctable_core::sync::{
    ConflictDecision, ConflictDetails, ConflictHandler, ConflictPolicy, HandlerError, Resolution,
};
use synctable_core::threads::{BoxFuture, MaybeSend, MaybeSync};
use synctable_core::{Clock, Timestamp};
use tokio::sync::Notify;

use super::TestServer;
use super::device::{Device, number, todo};
use crate::Place;
use crate::fixture::record;
use crate::threads::InABox;

/// What a person sees (here and at the server) and does before they decide.
trait Person:
    Fn(usize, Option<i64>, Option<i64>) -> BoxFuture<'static, ConflictDecision> + MaybeSend + MaybeSync
{
}

impl<F> Person for F where
    F: Fn(usize, Option<i64>, Option<i64>) -> BoxFuture<'static, ConflictDecision>
        + MaybeSend
        + MaybeSync
{
}

/// A handler that asks a person.
struct Asks {
    person: Mutex<Option<Arc<dyn Person>>>,
    questions: AtomicUsize,
}

impl std::fmt::Debug for Asks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asks(..)")
    }
}

impl Asks {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            person: Mutex::default(),
            questions: AtomicUsize::new(0),
        })
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    /// `person` is given the number of the question, from 0, and both sides.
    fn answered_by(
        &self,
        person: impl Fn(usize, Option<i64>, Option<i64>) -> BoxFuture<'static, ConflictDecision>
        + MaybeSend
        + MaybeSync
        + 'static,
    ) {
        *self.person.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(person));
    }
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl ConflictHandler for Asks {
    async fn resolve(&self, conflict: &ConflictDetails) -> Result<ConflictDecision, HandlerError> {
        let question = self.questions.fetch_add(1, Ordering::SeqCst);
        let person = self
            .person
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let person = person.ok_or("nobody is there")?;
        let side = |record: &Option<synctable_core::Record>| record.as_ref().map(number);
        Ok(person(question, side(&conflict.local), side(&conflict.server)).await)
    }
}

/// A clock that stands where it is put.
#[derive(Debug, Clone, Default)]
struct Watch(Arc<std::sync::atomic::AtomicI64>);

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + self.0.load(Ordering::SeqCst))
    }
}

/// A device whose application is asked, with a record that both sides changed: 2 here, 9 at the server.
async fn in_conflict(harness: &dyn Place) -> (Device, Arc<Asks>, Watch) {
    let (asks, watch) = (Asks::new(), Watch::default());
    let (policy, clock) = (
        ConflictPolicy::Custom(Arc::clone(&asks) as _),
        watch.clone(),
    );
    let device = Device::built(harness, &TestServer::new(), |builder| {
        builder.conflicts(policy).clock(clock)
    })
    .await;
    device.server.set("a", 1);
    device.pull().await;
    device.set("a", 2).await;
    device.server.set("a", 9);
    (device, asks, watch)
}

/// The question stands open: the future waits for nothing else.
async fn waits<F: Future + Unpin>(future: &mut F, asks: &Asks, questions: usize) {
    // A store may be at work on a thread of its own, which wakes whoever waits.
    poll_fn(|context| {
        let poll = future.poll_unpin(context);
        assert!(matches!(poll, Poll::Pending), "it waits for the answer");
        if asks.questions() == questions {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// History 21. A person decides for 61 s, longer than any lease lasts, while a pull brings a newer row: they are asked again, about that row.
pub async fn history_21_a_newer_row_is_asked_about_again(harness: &dyn Place) {
    let (device, asks, watch) = in_conflict(harness).await;
    let app = device.clone();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    asks.answered_by(move |question, here, there| {
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((here, there));
        let (app, watch) = (app.clone(), watch.clone());
        async move {
            watch.0.fetch_add(61_000, Ordering::SeqCst);
            if question == 0 {
                app.server.set("a", 10);
                let pull = app.todo.pull(Query::all(), "all").without_push();
                assert_eq!(pull.await.expect("no pull waits").kept, 1);
            }
            ConflictDecision::Client
        }
        .in_a_box()
    });
    assert_eq!(device.push().await.conflicts, 0);
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(shown, [(Some(2), Some(9)), (Some(2), Some(10))]);
    assert_eq!(device.server.n("a"), Some(2));
    assert_eq!(device.server.effects(&todo(), "a"), 1);
    device.is_in_sync().await;
}

/// The same with an edit here while the person decides: what they decided about is not there any more.
pub async fn an_edit_while_it_is_decided_is_asked_about(harness: &dyn Place) {
    let (device, asks, _) = in_conflict(harness).await;
    let app = device.clone();
    asks.answered_by(move |question, here, _| {
        let app = app.clone();
        async move {
            if question == 0 {
                app.set("a", 3).await;
                return ConflictDecision::Server;
            }
            assert_eq!(here, Some(3));
            ConflictDecision::With(record(r#"{"id":"a","n":12}"#))
        }
        .in_a_box()
    });
    device.push().await;
    assert_eq!((asks.questions(), device.server.n("a")), (2, Some(12)));
    device.is_in_sync().await;
}

/// History 22. A handler pulls its own table, pushes and edits: nothing stands still.
pub async fn history_22_a_handler_uses_the_context(harness: &dyn Place) {
    let (device, asks, _) = in_conflict(harness).await;
    let app = device.clone();
    asks.answered_by(move |_, _, _| {
        let app = app.clone();
        async move {
            app.insert("b", 1).await;
            app.pull().await;
            app.push().await;
            assert_eq!(app.server.n("b"), Some(1), "others are not held up");
            ConflictDecision::Client
        }
        .in_a_box()
    });
    device.push().await;
    assert_eq!((asks.questions(), device.server.n("a")), (1, Some(2)));
    device.is_in_sync().await;
}

/// History 23. The app pushes and pulls all the time while a person decides: there is one question.
pub async fn history_23_one_question_at_a_time(harness: &dyn Place) {
    let (device, asks, watch) = in_conflict(harness).await;
    let decided = Arc::new(Notify::new());
    let waiting = Arc::clone(&decided);
    asks.answered_by(move |_, _, _| {
        let waiting = Arc::clone(&waiting);
        async move {
            waiting.notified().await;
            ConflictDecision::Client
        }
        .in_a_box()
    });
    let mut push = device.sync.push().into_future();
    waits(&mut push, &asks, 1).await;
    for n in 0..4 {
        watch.0.fetch_add(30_000, Ordering::SeqCst);
        device.insert(&format!("r{n}"), n).await;
        let report = device.push().await;
        assert_eq!((report.pushed, report.conflicts), (1, 1));
        device.pull().await;
    }
    assert_eq!(asks.questions(), 1);
    decided.notify_one();
    assert_eq!(push.await.expect("it goes on").pushed, 1);
    assert_eq!((asks.questions(), device.server.n("a")), (1, Some(2)));
    device.is_in_sync().await;
}

/// A program that ends while a person decides asks again at the next push; an answer "later" is one, and is not asked for again.
pub async fn open_questions_are_asked_again_and_answers_are_not(harness: &dyn Place) {
    let (device, asks, _) = in_conflict(harness).await;
    asks.answered_by(|_, _, _| std::future::pending().in_a_box());
    let mut push = device.sync.push().into_future();
    waits(&mut push, &asks, 1).await;
    drop(push);
    assert!(device.only_operation().await.unanswered);
    // The program ends, and starts again.
    let handler = Asks::new();
    let policy = ConflictPolicy::Custom(Arc::clone(&handler) as _);
    let store = Arc::clone(&device.store);
    let again = Device::over(store, &device.server, |b| b.conflicts(policy)).await;
    handler.answered_by(|_, _, _| async { ConflictDecision::Park }.in_a_box());
    for _ in 0..3 {
        assert_eq!(again.push().await.conflicts, 1);
    }
    assert_eq!(handler.questions(), 1);
    let operation = again.only_operation().await;
    assert!(!operation.unanswered && operation.is_parked());
    again
        .sync
        .resolve(operation.seq, Resolution::Server)
        .await
        .expect("it is in conflict");
    again.pull().await;
    again.is_in_sync().await;
}
