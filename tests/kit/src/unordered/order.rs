//! Commits that are under way together: what becomes of them is what some order, one after the other, makes of them.
#![expect(
    clippy::future_not_send,
    reason = "random strategies stay on their thread; a behaviour is run by `block_on`"
)]

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use synctable_core::store::{
    Author, Durability, Expect, LocalStore, Position, Revision, StoreErrorKind, WriteBatch,
};
use synctable_core::{RecordId, TableName};

use crate::changes::position;
use crate::fixture::{Store, all, commit, id, record, store_with, table};
use crate::threads::{InABox, together};
use crate::{Place, for_all};

/// The contract.
const RULE: &str =
    "all checks hold as if batches were done one by one, however they overlap (LocalStore::commit)";

/// The rows of a history: two in each of two tables.
const ROWS: usize = 4;

/// Random batches with checks of each kind, several under way at once: an order explains which were taken, what they left, and the positions
/// that were answered.
pub async fn overlapping_commits_are_as_one_after_the_other(harness: &dyn Place) {
    for_all(40, vec(round(), 1..4), async |rounds: Vec<Round>| {
        let harness = harness.another();
        let store = store_with(&*harness, &[&tables()[0], &tables()[1]]).await;
        let mut history = History::default();
        // Half of the rows are there.
        let both = WriteBatch::new().put(&tables()[0], numbered(0, 9998));
        commit(&store, both.put(&tables()[0], numbered(1, 9999))).await;
        history.rows[..2].copy_from_slice(&[Some(9998), Some(9999)]);
        for (number, round) in rounds.iter().enumerate() {
            let done = history.round(&store, number, round).await;
            done.map_err(|error| format!("round {number}: {error}"))?;
        }
        Ok(())
    })
    .await;
}

/// Of batches that overlap and all rely on a table that each of them changes, one lands: whatever their authors read meanwhile.
pub async fn only_one_lands_of_those_that_rely_on_a_table(harness: &dyn Place) {
    const AUTHORS: usize = 8;
    let one = table("one");
    let store = store_with(harness, &[&one]).await;
    for round in 0..20 {
        let here = position(&store).await;
        let commits = (0..AUTHORS).map(|author| {
            let (store, one) = (Arc::clone(&store), one.clone());
            let commit = async move {
                // A read of changes is never a check: that nothing has changed yet says nothing of what lands next.
                if author % 2 == 0 {
                    store.changes_since(here, 10).await.expect("an answer");
                }
                let row = record(&format!(r#"{{"id":"{round}-{author}"}}"#));
                let batch = WriteBatch::new().author(Author::random());
                let batch = batch.expect_unchanged(&one, here).put(&one, row);
                store.commit(batch).await
            };
            commit.in_a_box()
        });
        let outcomes = together(commits.collect(), round % 2 == 1).await;
        let mut landed = Vec::new();
        for (author, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(_) => landed.push(author),
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{error}"),
            }
        }
        let names = all(&store, &one).await.into_iter();
        let names = names.filter(|row| row.id().as_str().starts_with(&format!("{round}-")));
        assert_eq!(
            (landed.len(), names.count()),
            (1, 1),
            "of {AUTHORS} batches that demanded an unchanged table and changed it, {landed:?} were taken: the check is judged when a batch lands, \
             not when it was begun (WriteBatch::expect_unchanged)"
        );
    }
}

fn tables() -> [TableName; 2] {
    [table("one"), table("two")]
}

/// The table and the id of a row.
fn row(number: usize) -> (TableName, RecordId) {
    let [one, two] = tables();
    let name = ["a", "b"][number % 2];
    (if number < 2 { one } else { two }, id(name))
}

/// Batches that are under way at once.
#[derive(Debug, Clone)]
struct Round {
    /// Each by a task of its own; else all of them by one.
    tasks: bool,
    batches: Vec<Planned>,
}

#[derive(Debug, Clone)]
struct Planned {
    /// Who makes it, if it says so.
    author: Option<usize>,
    /// Whose row is put where the last part says so.
    checks: Vec<(usize, Demand, bool)>,
    /// Demands that a table is unchanged since so many rounds ago.
    relies: Option<(usize, usize)>,
    changes: Vec<Change>,
    durability: Durability,
}

/// What is demanded of a row. What another batch of the round puts is known to all, as its number is its content.
#[derive(Debug, Clone)]
enum Demand {
    Absent,
    Present,
    /// As it was read when the round began.
    AsRead,
    /// As it was read when an earlier round began, if it was there.
    AsReadOnce,
    /// As the batch with this number in the round leaves it.
    AsLeftBy(usize),
}

#[derive(Debug, Clone)]
enum Change {
    Put(usize),
    Delete(usize),
    Clear(usize),
}

/// Each row with the number that it holds.
type Rows = [Option<u32>; ROWS];

/// A batch as a rule: what it demands of the rows, what it relies on, what it makes of them; and what became of it.
#[derive(Debug)]
struct Judged {
    author: Option<usize>,
    demands: Vec<(usize, Wanted)>,
    relies: Option<(usize, usize)>,
    number: u32,
    changes: Vec<Change>,
    /// The position behind it; nothing where it was refused.
    landed: Option<Position>,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Absent,
    Present,
    /// A number stands in a row from one write alone, so this is `Same` and `At` alike.
    Number(u32),
}

#[derive(Debug, Default)]
struct History {
    rows: Rows,
    /// What was read when each round began, and where the store was.
    read: Vec<([Option<Revision>; ROWS], Rows, Position)>,
    rounds: Vec<Vec<Judged>>,
}

fn round() -> BoxedStrategy<Round> {
    let demand = prop_oneof![
        1 => Just(Demand::Absent),
        1 => Just(Demand::Present),
        5 => Just(Demand::AsRead),
        1 => Just(Demand::AsReadOnce),
        2 => (0..6usize).prop_map(Demand::AsLeftBy),
    ];
    let change = prop_oneof![
        8 => (0..ROWS).prop_map(Change::Put),
        3 => (0..ROWS).prop_map(Change::Delete),
        1 => (0..2usize).prop_map(Change::Clear),
    ];
    let durability = prop_oneof![3 => Just(Durability::Eventual), 1 => Just(Durability::Immediate)];
    let planned = (
        proptest::option::of(0..3usize),
        vec((0..ROWS, demand, any::<bool>()), 0..3),
        proptest::option::weighted(0.3, (0..2usize, 0..3usize)),
        vec(change, 0..3),
        durability,
    );
    let planned = planned.prop_map(|(author, checks, relies, changes, durability)| Planned {
        author,
        checks,
        relies,
        changes,
        durability,
    });
    (any::<bool>(), vec(planned, 2..7))
        .prop_map(|(tasks, batches)| Round { tasks, batches })
        .boxed()
}

impl History {
    async fn round(&mut self, store: &Store, number: usize, round: &Round) -> Result<(), String> {
        let (revisions, rows) = read(store).await;
        assert_eq!(rows, self.rows, "nothing was under way: {RULE}");
        self.read.push((revisions, rows, position(store).await));
        let first = u32::try_from(number * 100).map_err(|error| error.to_string())?;
        let mut judged = Vec::new();
        let mut commits = Vec::new();
        for (number, planned) in (first..).zip(&round.batches) {
            let (batch, rule) = self.batch(planned, first, number);
            judged.push(rule);
            let store = Arc::clone(store);
            commits.push(async move { store.commit(batch).await }.in_a_box());
        }
        let outcomes = together(commits, round.tasks).await;
        for (judged, outcome) in judged.iter_mut().zip(outcomes) {
            judged.landed = match outcome {
                Ok(position) => Some(position),
                Err(error) if error.kind() == StoreErrorKind::CheckFailed => None,
                Err(error) => return Err(format!("a commit fails: {error}")),
            };
        }
        self.rounds.push(judged);
        let (_, end) = read(store).await;
        let start = std::mem::replace(&mut self.rows, end);
        if self.is_explained(start, end, 0, &mut HashSet::new()) {
            return Ok(());
        }
        Err(format!(
            "from {start:?} to {end:?}: no order explains what became of\n{:#?}\n{RULE}",
            self.rounds.last()
        ))
    }

    fn batch(&self, planned: &Planned, first: u32, number: u32) -> (WriteBatch, Judged) {
        let mut batch = WriteBatch::new().durability(planned.durability);
        if let Some(author) = planned.author {
            batch = batch.author(Author::from_number(author as u64));
        }
        let mut demands = Vec::new();
        let mut changes = planned.changes.clone();
        for (at, demand, moves) in &planned.checks {
            if *moves {
                changes.push(Change::Put(*at));
            }
            let (table, id) = row(*at);
            let (wanted, expect) = self.demand(*at, demand, first);
            batch.check(&table, &id, expect);
            demands.push((*at, wanted));
        }
        let now = self.read.len() - 1;
        let relies = planned
            .relies
            .map(|(table, ago)| (table, now.saturating_sub(ago)));
        if let Some((at, since)) = relies {
            batch = batch.expect_unchanged(&tables()[at], self.read[since].2);
        }
        for change in &changes {
            batch = match change {
                Change::Put(at) => batch.put(&row(*at).0, numbered(*at, number)),
                Change::Delete(at) => batch.delete(&row(*at).0, &row(*at).1),
                Change::Clear(at) => batch.clear(&tables()[*at]),
            };
        }
        let judged = Judged {
            author: planned.author,
            demands,
            relies,
            number,
            changes,
            landed: None,
        };
        (batch, judged)
    }

    fn demand(&self, at: usize, demand: &Demand, first: u32) -> (Wanted, Expect) {
        let read = |(revisions, rows, _): &([Option<Revision>; ROWS], Rows, Position)| {
            Some((rows[at]?, revisions[at].clone()?))
        };
        let found = match demand {
            Demand::Absent => None,
            Demand::Present => return (Wanted::Present, Expect::Present),
            Demand::AsRead => self.read.last().and_then(read),
            Demand::AsReadOnce => self.read.iter().find_map(read),
            Demand::AsLeftBy(other) => {
                let number = first + u32::try_from(*other).unwrap_or(0);
                let same = Expect::Same(Box::new(numbered(at, number)));
                return (Wanted::Number(number), same);
            }
        };
        match found {
            None => (Wanted::Absent, Expect::Absent),
            Some((number, revision)) => (Wanted::Number(number), Expect::At(revision)),
        }
    }

    /// True where the batches of the last round that are not in `done` lead from `rows` to `end` in some order.
    fn is_explained(
        &self,
        rows: Rows,
        end: Rows,
        done: u32,
        failed: &mut HashSet<(u32, Rows)>,
    ) -> bool {
        let batches = self.rounds.last().map_or(&[][..], Vec::as_slice);
        if done.count_ones() as usize == batches.len() {
            return rows == end;
        }
        if failed.contains(&(done, rows)) {
            return false;
        }
        for (index, batch) in batches.iter().enumerate() {
            let bit = 1 << index;
            if done & bit != 0 || !self.may_be_next(batch, done) {
                continue;
            }
            let next = match batch.landed {
                Some(_) if self.holds(batch, &rows, done) => batch.applied(rows),
                None if self.may_be_refused(batch, &rows, done) => rows,
                _ => continue,
            };
            if self.is_explained(next, end, done | bit, failed) {
                return true;
            }
        }
        failed.insert((done, rows));
        false
    }

    /// The order of positions is that of the commits.
    fn may_be_next(&self, batch: &Judged, done: u32) -> bool {
        let writes = |batch: &Judged| batch.landed.filter(|_| !batch.changes.is_empty());
        let Some(here) = writes(batch) else {
            return true;
        };
        let batches = self.rounds.last().into_iter().flatten().enumerate();
        let mut waiting = batches.filter(|(index, _)| done & (1 << index) == 0);
        !waiting.any(|(_, other)| writes(other).is_some_and(|there| there < here))
    }

    fn holds(&self, batch: &Judged, rows: &Rows, done: u32) -> bool {
        batch.demands_hold(rows) && !self.is_changed(batch, |index| done & (1 << index) != 0, false)
    }

    /// A store may count what a refused batch would have changed, as a name too many does no harm.
    fn may_be_refused(&self, batch: &Judged, rows: &Rows, done: u32) -> bool {
        !batch.demands_hold(rows)
            || self.is_changed(batch, |index| done & (1 << index) != 0, false)
            || self.is_changed(batch, |_| true, true)
    }

    /// Whether anybody else has changed the table that a batch relies on: among what was done, or what was refused.
    fn is_changed(&self, batch: &Judged, done: impl Fn(usize) -> bool, refused: bool) -> bool {
        let Some((at, since)) = batch.relies else {
            return false;
        };
        let now = self.rounds.len() - 1;
        self.rounds
            .iter()
            .enumerate()
            .skip(since)
            .any(|(number, batches)| {
                let mut others = batches.iter().enumerate().filter(|(index, other)| {
                    let own = other.author.is_some() && other.author == batch.author;
                    !own && !std::ptr::eq(*other, batch)
                        && (number < now || done(*index))
                        && other.landed.is_none() == refused
                });
                others.any(|(_, other)| other.changes.iter().any(|change| change.table() == at))
            })
    }
}

impl Judged {
    fn demands_hold(&self, rows: &Rows) -> bool {
        self.demands.iter().all(|(at, wanted)| match wanted {
            Wanted::Absent => rows[*at].is_none(),
            Wanted::Present => rows[*at].is_some(),
            Wanted::Number(number) => rows[*at] == Some(*number),
        })
    }

    fn applied(&self, mut rows: Rows) -> Rows {
        for change in &self.changes {
            match change {
                Change::Put(at) => rows[*at] = Some(self.number),
                Change::Delete(at) => rows[*at] = None,
                Change::Clear(at) => rows[at * 2..at * 2 + 2].fill(None),
            }
        }
        rows
    }
}

impl Change {
    fn table(&self) -> usize {
        match self {
            Self::Put(at) | Self::Delete(at) => at / 2,
            Self::Clear(at) => *at,
        }
    }
}

fn numbered(at: usize, number: u32) -> synctable_core::Record {
    let name = row(at).1;
    record(&format!(r#"{{"id":"{name}","n":{number}}}"#))
}

/// The revisions and the numbers of all rows.
async fn read(store: &Store) -> ([Option<Revision>; ROWS], Rows) {
    let mut found = BTreeMap::new();
    for table in tables() {
        for record in all(store, &table).await {
            found.insert((table.clone(), record.id().clone()), record);
        }
    }
    let (mut revisions, mut rows) = ([const { None }; ROWS], [None; ROWS]);
    for at in 0..ROWS {
        if let Some(record) = found.get(&row(at)) {
            revisions[at] = record.revision().cloned();
            let number = record.member("n").and_then(|value| value.as_u64());
            rows[at] = number.and_then(|number| u32::try_from(number).ok());
        }
    }
    (revisions, rows)
}
