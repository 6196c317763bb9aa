//! Commits whose futures were dropped: they may still be done, but no check of theirs is passed over.

use synctable_core::store::{Author, Durability, Expect, LocalStore, Position, WriteBatch};
use synctable_core::{Record, RecordId, TableName};
use tokio::task::yield_now;

use crate::Place;
use crate::cancel::polled;
use crate::changes::committed;
use crate::fixture::{Store, commit, get, id, record, store_with, table};

/// A commit that needs more polls than this is not followed further.
const MOST_POLLS: usize = 60;

/// What a commit that is dropped demands, and what a fence then moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    Absent,
    Present,
    At,
    Same,
    /// That a table is unchanged, rather than a row.
    Table,
}

impl Guard {
    pub(crate) const ROWS: [Self; 4] = [Self::Absent, Self::Present, Self::At, Self::Same];
}

/// A commit that was dropped after any number of polls is done before a commit that moves the row which it demands, or never.
pub async fn a_dropped_commit_does_not_pass_what_moved_its_row(harness: &dyn Place) {
    let store = store_with(harness, &[&table("one"), &table("two")]).await;
    do_not_pass(&store, &store, &Guard::ROWS).await;
}

/// A commit that was dropped after any number of polls and demands an unchanged table is done before a commit of somebody else that writes to
/// it, or never; though that writes to a row which is not there.
pub async fn a_dropped_commit_does_not_pass_a_fence(harness: &dyn Place) {
    let store = store_with(harness, &[&table("one"), &table("two")]).await;
    do_not_pass(&store, &store, &[Guard::Table]).await;
}

/// Drops commits of `one` under each guard, which `other` then moves; the tables `one` and `two` are there.
pub(crate) async fn do_not_pass(one: &Store, other: &Store, guards: &[Guard]) {
    let mut dropped = Vec::new();
    for polls in 0..MOST_POLLS {
        let mut finished = 0;
        for (number, guard) in guards.iter().enumerate() {
            let late = Late::new(*guard, format!("{polls}-{number}"));
            let batch = late.batch(one).await;
            let outcome = polled(one.commit(batch), polls).await;
            if let Some(outcome) = outcome {
                outcome.expect("nobody has moved what it demands yet");
                assert!(late.is_there(other).await, "a finished commit is missing");
                finished += 1;
            }
            commit(other, late.fence()).await;
            late.has_not_passed(other).await;
            dropped.push(late);
        }
        for turn in 0..3 {
            let row = record(&format!(r#"{{"id":"turn-{turn}"}}"#));
            commit(one, WriteBatch::new().put(&table("two"), row)).await;
            yield_now().await;
        }
        if finished == guards.len() {
            break;
        }
    }
    for late in dropped {
        late.has_not_passed(one).await;
    }
}

/// A commit that will be dropped.
struct Late {
    guard: Guard,
    name: String,
    author: Author,
}

impl Late {
    fn new(guard: Guard, name: String) -> Self {
        Self {
            guard,
            name,
            author: Author::random(),
        }
    }

    fn row(&self, n: u32) -> (TableName, Record) {
        let json = format!(r#"{{"id":"guard-{}","n":{n}}}"#, self.name);
        (table("one"), record(&json))
    }

    /// What it writes.
    fn written(&self) -> (TableName, RecordId) {
        (table("two"), id(&format!("late-{}", self.name)))
    }

    /// The batch, once that which it demands is so.
    async fn batch(&self, store: &Store) -> WriteBatch {
        let (one, row) = self.row(1);
        let batch = WriteBatch::new().durability(Durability::Eventual);
        if matches!(self.guard, Guard::Present | Guard::At | Guard::Same) {
            commit(store, batch.clone().put(&one, row.clone())).await;
        }
        let batch = batch.author(self.author);
        let batch = match self.guard {
            Guard::Absent => batch.expect_absent(&one, row.id()),
            Guard::Present => {
                let mut batch = batch;
                batch.check(&one, row.id(), Expect::Present);
                batch
            }
            Guard::At => {
                let found = get(store, &one, row.id()).await.expect("it was put");
                batch.expect_as_read(&one, &found)
            }
            Guard::Same => batch.expect_same(&one, row),
            Guard::Table => batch.expect_unchanged(&one, settled(store).await),
        };
        let (two, id) = self.written();
        batch.put(&two, Record::new(id, "{}").expect("a record"))
    }

    /// Moves what the batch demands, and removes what it has written: if it is there afterwards, it came later.
    fn fence(&self) -> WriteBatch {
        let (one, row) = self.row(2);
        let (two, id) = self.written();
        let batch = WriteBatch::new().durability(Durability::Eventual);
        let batch = batch.delete(&two, &id);
        match self.guard {
            Guard::Absent | Guard::Same => batch.put(&one, row),
            Guard::Present => batch.delete(&one, row.id()),
            // The same content once more: only the revision tells.
            Guard::At => batch.put(&one, self.row(1).1),
            Guard::Table => batch
                .author(Author::random())
                .delete(&one, &RecordId::system("fence")),
        }
    }

    async fn is_there(&self, store: &Store) -> bool {
        let (two, id) = self.written();
        get(store, &two, &id).await.is_some()
    }

    async fn has_not_passed(&self, store: &Store) {
        assert!(
            !self.is_there(store).await,
            "{:?}: a commit that was dropped landed behind one that moved what it demands: its checks are judged when it lands, however late \
             (LocalStore::commit; of dropped futures LocalStore)",
            self.guard
        );
    }
}

/// The position behind all that was answered, to whomever: right behind a commit of one's own.
pub(crate) async fn settled(store: &Store) -> Position {
    let row = record(r#"{"id":"settled"}"#);
    let batch = WriteBatch::new().durability(Durability::Eventual);
    committed(store, batch.put(&table("two"), row)).await
}
