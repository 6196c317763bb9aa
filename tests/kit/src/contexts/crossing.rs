//! Checks of one user against what the other does.

use std::sync::Arc;

use futures_util::future::join;
use synctable_core::store::{
    Author, Durability, LocalStore, LocalStoreExt, StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, TableName};
use tokio::task::yield_now;

use super::users;
use crate::Place;
use crate::changes::{committed, is_named, refused, since};
use crate::fixture::{Store, assert_holds, assert_one, commit, get, id, put, record, table};
use crate::threads::{InABox, together};
use crate::unordered::{Guard, do_not_pass, settled};

/// Two batches that each rely on what the other one changes, a table or a row: only one lands, however they meet.
pub async fn crossing_batches_do_not_both_land(harness: &dyn Place) {
    let (one, other, two) = (table("one"), table("other"), table("two"));
    let users = users(harness, &[&one, &other, &two]).await;
    for round in 0..40 {
        let row = record(&format!(r#"{{"id":"{round}"}}"#));
        let mut crossing = Vec::new();
        for (user, relied, changed) in [(&users[0], &one, &other), (&users[1], &other, &one)] {
            let batch = if round % 2 == 0 {
                let batch = WriteBatch::new().author(Author::random());
                batch.expect_unchanged(relied, settled(user).await)
            } else {
                WriteBatch::new().expect_absent(relied, row.id())
            };
            let (user, batch) = (Arc::clone(user), batch.put(changed, row.clone()));
            crossing.push(async move { user.commit(batch).await }.in_a_box());
        }
        let mut landed = 0;
        for done in together(crossing, round % 4 < 2).await {
            match done {
                Ok(_) => landed += 1,
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{error}"),
            }
        }
        assert_eq!(
            landed, 1,
            "each of two batches demands what the other one changes: checks hold as if batches were done one by one, by whatever user \
             (LocalStore::commit)"
        );
    }
}

/// A record has one revision for both: what one has read is what the other may demand, until either writes it.
pub async fn revisions_hold_for_both(harness: &dyn Place) {
    const RULE: &str =
        "a record has one revision, whoever reads it and has the store open (Revision)";
    let one = table("one");
    let users = users(harness, &[&one]).await;
    let a = record(r#"{"id":"a","n":1}"#);
    put(&users[0], &one, std::slice::from_ref(&a)).await;
    let mut former: Vec<Record> = Vec::new();
    for round in 0..6 {
        let (mine, theirs) = (&users[round % 2], &users[(round + 1) % 2]);
        let read = get(mine, &one, a.id()).await.expect("it was put");
        let revision = get(theirs, &one, a.id()).await;
        let revision = revision.as_ref().and_then(Record::revision);
        assert!(read.revision().is_some(), "{RULE}");
        assert_eq!(read.revision(), revision, "{RULE}");
        for old in &former {
            let late = WriteBatch::new().expect_as_read(&one, old);
            let refused = theirs.commit(late.put(&one, a.clone())).await;
            let kind = refused.map_err(|error| error.kind());
            assert_eq!(
                kind,
                Err(StoreErrorKind::CheckFailed),
                "a revision that the record had before: one that is written again has another one, whoever writes it (LocalStore, Expect::At)"
            );
        }
        let batch = WriteBatch::new().expect_as_read(&one, &read);
        let done = theirs.commit(batch.put(&one, a.clone())).await;
        assert!(done.is_ok(), "{done:?}: nobody has written it. {RULE}");
        former.push(read);
    }
}

/// `expect_unchanged` counts what the other user does, by whatever author but that of the batch.
pub async fn expect_unchanged_counts_the_other(harness: &dyn Place) {
    const RULE: &str = "nobody but the author of a batch may have changed the table that it demands unchanged (WriteBatch::expect_unchanged)";
    let (one, two) = (table("one"), table("two"));
    let users = users(harness, &[&one, &two]).await;
    let row = |name: &str| record(&format!(r#"{{"id":"{name}"}}"#));
    for (me, you) in [(0, 1), (1, 0)] {
        let (mine, theirs) = (&users[me], &users[you]);
        let (author, other) = (Author::random(), Author::random());
        let demand = |here| {
            WriteBatch::new()
                .author(author)
                .expect_unchanged(&one, here)
        };
        let here = settled(mine).await;
        commit(mine, WriteBatch::new().author(author).put(&one, row("a"))).await;
        // The author counts, not through whom it commits.
        commit(theirs, WriteBatch::new().author(author).put(&one, row("b"))).await;
        let done = mine.commit(demand(here).put(&one, row("a"))).await;
        assert!(done.is_ok(), "{done:?}: only I have changed it. {RULE}");
        for batch in [
            WriteBatch::new().author(other).put(&one, row("a")),
            WriteBatch::new().put(&one, row("a")),
            WriteBatch::new().author(other).delete(&one, &id("missing")),
            WriteBatch::new().author(other).clear(&one),
        ] {
            let here = settled(mine).await;
            commit(theirs, batch).await;
            // Not even where the last change of all is mine.
            commit(mine, WriteBatch::new().author(author).put(&one, row("a"))).await;
            refused(mine, demand(here).put(&two, row("late"))).await;
            assert_eq!(get(mine, &two, &id("late")).await, None, "{RULE}");
            // They demand it of me, too.
            let here = settled(theirs).await;
            commit(mine, WriteBatch::new().author(author).put(&one, row("a"))).await;
            let late = WriteBatch::new().author(other).expect_unchanged(&one, here);
            refused(theirs, late).await;
        }
    }
}

/// Both add one to a counter many times, by the revision that they read or by its content: no addition is lost.
pub async fn counting_up_by_both_loses_nothing(harness: &dyn Place) {
    const ADDITIONS: u64 = 8;
    let one = table("one");
    let users = users(harness, &[&one]).await;
    let numbered = |n: u64| record(&format!(r#"{{"id":"counter","n":{n}}}"#));
    put(&users[0], &one, &[numbered(0)]).await;
    for (round, tasks) in [(1, false), (2, true)] {
        let adders = [0, 1, 0, 1].map(|user: usize| {
            let (store, one) = (Arc::clone(&users[user]), one.clone());
            let adds = async move {
                for number in 0..ADDITIONS {
                    add_one(&store, &one, number % 2 == 0).await;
                }
            };
            adds.in_a_box()
        });
        together(adders.into(), tasks).await;
        for store in &users {
            assert_holds(store, &one, &[numbered(round * 4 * ADDITIONS)]).await;
        }
    }
}

async fn add_one(store: &Store, one: &TableName, by_revision: bool) {
    // Every refusal means that somebody else has added since the read.
    for _ in 0..200 {
        let counter = get(store, one, &id("counter")).await.expect("it is there");
        let n = counter.member("n").and_then(|n| n.as_u64());
        let n = n.expect("a number");
        yield_now().await;
        let batch = WriteBatch::new().durability(Durability::Eventual);
        let batch = if by_revision {
            batch.expect_as_read(one, &counter)
        } else {
            batch.expect_same(one, counter)
        };
        let next = record(&format!(r#"{{"id":"counter","n":{}}}"#, n + 1));
        match store.commit(batch.put(one, next)).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{error}"),
        }
    }
    panic!("a check is refused though nothing was changed (LocalStore::commit)");
}

/// One reads what was changed: nothing. The other queues an edit. The page that one has pulled does not land over it, as it relies on the
/// queue; and where both are under way at once, the edit stands all the same.
pub async fn a_page_of_one_does_not_land_over_an_edit_of_the_other(harness: &dyn Place) {
    const RULE: &str = "a read of changes is never a check: what is relied on is judged when the batch lands (WriteBatch::expect_unchanged)";
    let (todo, queue, two) = (
        table("todo"),
        TableName::system("__operations"),
        table("two"),
    );
    let users = users(harness, &[&todo, &queue, &two]).await;
    for round in 0..20 {
        let (puller, editor) = (&users[round % 2], &users[(round + 1) % 2]);
        let (name, author) = (format!("{round}"), Author::random());
        let text = |by: &str| record(&format!(r#"{{"id":"{name}","by":"{by}"}}"#));
        let here = settled(puller).await;
        assert_eq!(since(puller, here, 100).await, Some(Vec::new()));
        let operation = record(&format!(r#"{{"id":"operation-{round}"}}"#));
        let edit = WriteBatch::new().author(Author::random());
        let edit = edit.put(&todo, text("edit")).put(&queue, operation.clone());
        let page = WriteBatch::new()
            .durability(Durability::Eventual)
            .author(author);
        let page = |here| page.clone().expect_unchanged(&queue, here);
        let rows = page(here).put(&todo, text("server"));
        if round < 4 {
            commit(editor, edit).await;
            refused(puller, rows).await;
        } else {
            // Whichever begins first, by more and more turns.
            let [page, edit] =
                [(1, rows, puller), (0, edit, editor)].map(|(at, batch, user)| async move {
                    for _ in 0..if round % 2 == at { round / 2 } else { 0 } {
                        yield_now().await;
                    }
                    user.commit(batch).await
                });
            let (edit, page) = join(edit, page).await;
            edit.expect("an edit relies on nothing");
            if let Err(error) = page {
                assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{error}");
            }
        }
        let found = puller.get_one(&todo, text("edit").id()).await;
        let by = found.expect("get answers").and_then(|row| row.member("by"));
        assert_eq!(by, text("edit").member("by"), "{RULE}");
        // It learns of the edit, and what it then relies on holds.
        let place = settled(puller).await;
        let changed = since(puller, here, 100).await.expect("it is known");
        assert!(
            is_named(&changed, &queue, operation.id()),
            "{changed:?}: {RULE}"
        );
        let row = record(&format!(r#"{{"id":"row-{round}"}}"#));
        committed(puller, page(place).put(&todo, row.clone())).await;
        assert_one(editor, &todo, &row).await;
    }
}

/// A commit of one that was dropped is done before the other moves what it demands, or never.
pub async fn a_dropped_commit_of_one_does_not_pass_the_other(harness: &dyn Place) {
    let [one, other] = users(harness, &[&table("one"), &table("two")]).await;
    do_not_pass(&one, &other, &Guard::ROWS).await;
    do_not_pass(&other, &one, &[Guard::Table]).await;
}
