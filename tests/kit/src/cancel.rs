//! Dropping futures before they are done.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::join_all;
use synctable_core::query::Query;
use synctable_core::store::{LocalStore, Position, StoreError, WriteBatch};
use synctable_core::{Record, RecordId, TableSchema};

use crate::Place;
use crate::fixture::{
    all, assert_holds, assert_one, commit, declare, get, id, put, record, store_with, table,
};

/// A future that needs more polls than this is not followed further.
const MOST_POLLS: usize = 60;

/// Polls `future` up to `times` times, as its wakers ask, then drops it.
pub(crate) async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// For every n: a commit that is dropped after its n-th poll has done all of its batch or nothing, and the store
/// takes the next one.
pub async fn dropped_commit_is_whole_or_absent(harness: &dyn Place) {
    let (todo, other) = (table("todo"), table("other"));
    let store = store_with(harness, &[&todo, &other]).await;
    for polls in 0..MOST_POLLS {
        let ids: Vec<RecordId> = ["a", "b", "c"]
            .map(|name| id(&format!("{polls}-{name}")))
            .to_vec();
        let new = |id: &RecordId| Record::new(id.clone(), "{}").expect("a record");
        let batch = ids.iter().fold(WriteBatch::new(), |batch, id| {
            batch
                .expect_absent(&todo, id)
                .put(&todo, new(id))
                .put(&other, new(id))
        });
        let outcome = polled(store.commit(batch), polls).await;
        let finished = outcome.is_some();
        outcome.transpose().expect("the batch is taken");
        for round in 0..2 {
            let found = store.get(&todo, &ids).await.expect("get answers");
            let whole = found.iter().all(Option::is_some);
            assert!(
                whole || found.iter().all(Option::is_none),
                "half a batch after {polls} polls"
            );
            assert!(
                whole || !finished,
                "a finished batch is missing after {polls} polls"
            );
            if whole {
                let found = store.get(&other, &ids).await.expect("get answers");
                assert!(
                    found.iter().all(Option::is_some),
                    "half a batch after {polls} polls"
                );
            }
            let next = record(&format!(r#"{{"id":"next-{polls}-{round}"}}"#));
            put(&store, &todo, std::slice::from_ref(&next)).await;
            assert_eq!(get(&store, &todo, next.id()).await, Some(next));
        }
        if finished {
            break;
        }
    }
}

/// Commits that run beside dropped ones are done, each of them whole.
pub async fn dropped_commits_do_not_disturb_others(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    for polls in 0..4 {
        commit(&store, WriteBatch::new().clear(&todo)).await;
        let commits = (0..12usize).map(|number| {
            let pair =
                ["a", "b"].map(|name| record(&format!(r#"{{"id":"{polls}-{number}-{name}"}}"#)));
            let batch = pair.iter().fold(WriteBatch::new(), |batch, record| {
                batch.put(&todo, record.clone())
            });
            let times = if number % 2 == 0 { usize::MAX } else { polls };
            polled(store.commit(batch), times)
        });
        let outcomes: Vec<Option<Result<Position, StoreError>>> =
            join_all(commits.collect::<Vec<_>>()).await;
        let found = all(&store, &todo).await;
        let holds = |id: String| found.iter().any(|record| record.id().as_str() == id);
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let (a, b) = (
                holds(format!("{polls}-{number}-a")),
                holds(format!("{polls}-{number}-b")),
            );
            assert_eq!(a, b, "half a batch");
            match outcome {
                Some(outcome) => {
                    outcome.expect("the batch is taken");
                    assert!(a, "an acknowledged batch is missing");
                }
                None => assert!(number % 2 == 1, "a commit that was not dropped"),
            }
        }
    }
}

/// Dropped declarations and reads leave a store that works.
pub async fn dropped_calls_leave_the_store_usable(harness: &dyn Place) {
    let todo = table("todo");
    let store = store_with(harness, &[&todo]).await;
    let kept = record(r#"{"id":"a","n":1}"#);
    put(&store, &todo, std::slice::from_ref(&kept)).await;
    for polls in 0..MOST_POLLS {
        let new = table(&format!("new_{polls}"));
        let schema = declare(&new, TableSchema::new());
        let query = Query::all().order_by("n");
        let finished = [
            polled(store.define(&schema), polls)
                .await
                .map(|done| done.expect("define is taken"))
                .is_some(),
            polled(store.get(&todo, &[id("a")]), polls).await.is_some(),
            polled(store.query(&todo, &query), polls).await.is_some(),
            polled(store.count(&todo, &query), polls).await.is_some(),
        ];
        store.define(&schema).await.expect("define is taken");
        put(&store, &new, std::slice::from_ref(&kept)).await;
        assert_holds(&store, &new, std::slice::from_ref(&kept)).await;
        assert_one(&store, &todo, &kept).await;
        if finished == [true; 4] {
            break;
        }
    }
}
