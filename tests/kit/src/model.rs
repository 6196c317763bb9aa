//! Random histories against plain maps, and random queries against the reference evaluation.
#![expect(
    clippy::future_not_send,
    reason = "random strategies stay on their thread; a behaviour is run by `block_on`"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proptest::prelude::*;
use proptest::sample::select;
use synctable_core::query::Query;
use synctable_core::store::{
    Durability, Expect, LocalStore, LocalStoreExt, Revision, StoreCapabilities, StoreErrorKind,
    Write, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};

use crate::fixture::{are_kept, declare, store_of, table};
use crate::{Place, arb, compare_query, for_all};

/// Batches of checks and writes on two tables, declarations, gets and queries, in any sequence: after each step
/// the store holds what plain maps hold.
pub async fn random_histories_match_a_map(harness: &dyn Place) {
    for_all(40, history(), async |history: History| {
        let harness = harness.another();
        let store = harness.open().await.map_err(|error| error.to_string())?;
        let mut model = Model::default();
        model.define(&*store, &history.first).await?;
        for (number, step) in history.steps.iter().enumerate() {
            model
                .step(&*store, step)
                .await
                .map_err(|error| format!("step {number}: {error}"))?;
        }
        Ok(())
    })
    .await;
}

/// Random records under a random schema, and random queries over them.
pub async fn random_queries_match_the_reference(harness: &dyn Place) {
    let case = arb::schema().prop_flat_map(|schema| {
        let queries = proptest::collection::vec(arb::query(&schema), 8);
        let records = arb::records(&schema, 12)
            .prop_map(|records| records.into_iter().map(Shown).collect::<Vec<_>>());
        (Just(schema), records, queries)
    });
    for_all(60, case, async |(schema, records, queries)| {
        let todo = table("todo");
        let harness = harness.another();
        let store = store_of(&*harness, &declare(&todo, schema.clone())).await;
        let records: Vec<Record> = records.into_iter().map(|Shown(record)| record).collect();
        let batch = records.iter().fold(WriteBatch::new(), |batch, record| {
            batch.put(&todo, record.clone())
        });
        store
            .commit(batch)
            .await
            .map_err(|error| error.to_string())?;
        for query in queries {
            compare_query(&store, &todo, &schema, &records, &query).await?;
        }
        Ok(())
    })
    .await;
}

fn tables() -> [TableName; 2] {
    [table("one"), table("two")]
}

/// A record that shows its contents when a history is printed.
#[derive(Clone)]
struct Shown(Record);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_json())
    }
}

#[derive(Debug, Clone)]
struct History {
    /// What table `one` declares at first. Table `two` declares no fields.
    first: TableSchema,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    /// Declares all fields of table `one`.
    Define(TableSchema),
    Commit(
        Vec<(usize, RecordId, Expected)>,
        Vec<(usize, Change)>,
        Durability,
    ),
    Get(usize, Vec<RecordId>),
    Query(usize, Query),
}

#[derive(Debug, Clone)]
enum Expected {
    Absent,
    Present,
    /// What the map holds: this check holds, unless there is nothing.
    AsStored,
    /// The same, by its revision.
    AtStored,
    /// A revision that the record had before, or else that it is there.
    AtFormer,
    Same(Shown),
}

#[derive(Debug, Clone)]
enum Change {
    Put(Shown),
    /// Puts the record as it is, if it is there.
    PutAgain(RecordId),
    Delete(RecordId),
    Clear,
}

fn history() -> BoxedStrategy<History> {
    arb::schema()
        .prop_flat_map(|whole| {
            let fields: Vec<_> = whole
                .fields
                .iter()
                .map(|(name, ty)| (name.to_owned(), ty.clone()))
                .collect();
            let steps = proptest::collection::vec(step(&whole), 1..16);
            (0..=fields.len(), steps).prop_map(move |(declared, steps)| {
                let first = fields[..declared].iter().cloned();
                let first = first.fold(TableSchema::new(), |table, (name, ty)| {
                    table.with_field(name, ty)
                });
                History { first, steps }
            })
        })
        .boxed()
}

fn step(schema: &TableSchema) -> BoxedStrategy<Step> {
    let record = arb::record(schema).prop_map(Shown);
    let expected = prop_oneof![
        3 => Just(Expected::AsStored),
        3 => Just(Expected::AtStored),
        1 => Just(Expected::AtFormer),
        1 => Just(Expected::Absent),
        1 => Just(Expected::Present),
        1 => record.clone().prop_map(Expected::Same),
    ];
    let change = prop_oneof![
        8 => record.prop_map(Change::Put),
        2 => arb::id().prop_map(Change::PutAgain),
        3 => arb::id().prop_map(Change::Delete),
        1 => Just(Change::Clear),
    ];
    let checks = proptest::collection::vec((0..2usize, arb::id(), expected), 0..3);
    let changes = proptest::collection::vec((0..2usize, change), 0..8);
    let durability = select(vec![Durability::Eventual, Durability::Immediate]);
    prop_oneof![
        12 => (checks, changes, durability).prop_map(|(checks, changes, durability)| Step::Commit(checks, changes, durability)),
        2 => (0..2usize, proptest::collection::vec(arb::id(), 0..5)).prop_map(|(table, ids)| Step::Get(table, ids)),
        6 => (0..2usize, arb::query(schema)).prop_map(|(table, query)| Step::Query(table, query)),
        1 => Just(Step::Define(schema.clone())),
    ]
    .boxed()
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    schemas: [TableSchema; 2],
    records: [BTreeMap<RecordId, Record>; 2],
    /// What the store calls the records that it holds.
    revisions: [BTreeMap<RecordId, Revision>; 2],
    /// What it ever called a record, the last one last.
    given: Vec<(usize, RecordId, Revision)>,
    /// What the last step put.
    written: BTreeSet<(usize, RecordId)>,
}

impl Model {
    async fn define(&mut self, store: &dyn LocalStore, one: &TableSchema) -> Result<(), String> {
        self.schemas[0] = one.clone();
        let schema = tables().into_iter().zip(self.schemas.clone());
        let schema = schema.fold(Schema::new(), |schema, (name, table)| {
            schema.with_table(name, table)
        });
        store
            .define(&schema)
            .await
            .map_err(|error| error.to_string())
    }

    async fn step(&mut self, store: &dyn LocalStore, step: &Step) -> Result<(), String> {
        self.written.clear();
        match step {
            Step::Define(one) => self.define(store, one).await?,
            Step::Commit(checks, changes, durability) => {
                let changes = self.named(changes);
                let (batch, holds) = self.batch(checks, &changes, *durability);
                match store.commit(batch).await {
                    Ok(_) if holds => self.change(&changes),
                    Err(error) if !holds && error.kind() == StoreErrorKind::CheckFailed => {}
                    outcome => {
                        return Err(format!("the checks hold: {holds}, commit: {outcome:?}"));
                    }
                }
            }
            Step::Get(at, ids) => {
                let found = store
                    .get(&tables()[*at], ids)
                    .await
                    .map_err(|error| error.to_string())?;
                let expected: Vec<_> = ids
                    .iter()
                    .map(|id| self.records[*at].get(id).cloned())
                    .collect();
                return same(store.capabilities(), &found, &expected);
            }
            Step::Query(at, query) => {
                let records: Vec<Record> = self.records[*at].values().cloned().collect();
                return compare_query(store, &tables()[*at], &self.schemas[*at], &records, query)
                    .await;
            }
        }
        for (at, table) in tables().iter().enumerate() {
            let found = store
                .query_all(table, &Query::all())
                .await
                .map_err(|error| error.to_string())?;
            self.note_revisions(at, &found, step)?;
            let found: Vec<_> = found.into_iter().map(Some).collect();
            let expected: Vec<_> = self.records[at].values().cloned().map(Some).collect();
            same(store.capabilities(), &found, &expected)
                .map_err(|error| format!("table {table}: {error}"))?;
        }
        Ok(())
    }

    /// A record that was written has a revision that it never had; another one keeps its own, unless declarations changed.
    fn note_revisions(&mut self, at: usize, found: &[Record], step: &Step) -> Result<(), String> {
        let mut revisions = BTreeMap::new();
        for record in found {
            let id = record.id();
            let revision = record.revision().ok_or("a record without a revision")?;
            let changed = self.revisions[at].get(id) != Some(revision);
            let written = self.written.contains(&(at, id.clone()));
            let given = (at, id.clone(), revision.clone());
            if written && !changed {
                return Err(format!("{id} was written and keeps its revision"));
            }
            if changed && !written && !matches!(step, Step::Define(_)) {
                return Err(format!("{id} was not written and has another revision"));
            }
            if changed && self.given.contains(&given) {
                return Err(format!("{id} has a revision again that it had before"));
            }
            if changed {
                self.given.push(given);
            }
            revisions.insert(id.clone(), revision.clone());
        }
        self.revisions[at] = revisions;
        Ok(())
    }

    fn batch(
        &self,
        checks: &[(usize, RecordId, Expected)],
        changes: &[(usize, Change)],
        durability: Durability,
    ) -> (WriteBatch, bool) {
        let mut batch = WriteBatch::new().durability(durability);
        let mut holds = true;
        for (at, id, expected) in checks {
            let stored = self.records[*at].get(id);
            let expect = match (expected, stored) {
                (Expected::Absent, _) | (Expected::AsStored | Expected::AtStored, None) => {
                    Expect::Absent
                }
                (Expected::Present, _) => Expect::Present,
                (Expected::AtStored, Some(_)) => Expect::At(self.revisions[*at][id].clone()),
                (Expected::AtFormer, _) => self.former(*at, id),
                (Expected::AsStored, Some(record)) => Expect::Same(Box::new(record.clone())),
                (Expected::Same(Shown(record)), _) => {
                    Expect::Same(Box::new(record.clone().with_id(id.clone())))
                }
            };
            holds &= match &expect {
                Expect::Absent => stored.is_none(),
                Expect::Present => stored.is_some(),
                Expect::At(revision) => self.revisions[*at].get(id) == Some(revision),
                Expect::Same(record) => stored == Some(&**record),
            };
            batch.check(&tables()[*at], id, expect);
        }
        for (at, change) in changes {
            let table = tables()[*at].clone();
            batch.push(match change {
                // `named` has put the record in the place of its id.
                Change::PutAgain(_) => continue,
                Change::Put(Shown(record)) => Write::Put {
                    table,
                    record: record.clone(),
                },
                Change::Delete(id) => Write::Delete {
                    table,
                    id: id.clone(),
                },
                Change::Clear => Write::Clear { table },
            });
        }
        (batch, holds)
    }

    /// The changes with the records that are to be put again.
    fn named(&self, changes: &[(usize, Change)]) -> Vec<(usize, Change)> {
        let again = |at: usize, id| self.records[at].get(id).cloned().map(Shown);
        let changes = changes.iter().filter_map(|(at, change)| match change {
            Change::PutAgain(id) => Some((*at, Change::Put(again(*at, id)?))),
            change => Some((*at, change.clone())),
        });
        changes.collect()
    }

    fn former(&self, at: usize, id: &RecordId) -> Expect {
        let mut given = self.given.iter();
        let former = given.find(|(table, record, revision)| {
            *table == at && record == id && self.revisions[at].get(id) != Some(revision)
        });
        former.map_or(Expect::Present, |(_, _, revision)| {
            Expect::At(revision.clone())
        })
    }

    fn change(&mut self, changes: &[(usize, Change)]) {
        for (at, change) in changes {
            let records = &mut self.records[*at];
            match change {
                Change::Put(Shown(record)) => {
                    self.written.insert((*at, record.id().clone()));
                    records.insert(record.id().clone(), record.clone());
                }
                Change::PutAgain(_) => {}
                Change::Delete(id) => {
                    records.remove(id);
                }
                Change::Clear => records.clear(),
            }
        }
    }
}

fn same(
    keeps: StoreCapabilities,
    found: &[Option<Record>],
    expected: &[Option<Record>],
) -> Result<(), String> {
    let mut pairs = found.iter().zip(expected);
    let alike = pairs.all(|pair| match pair {
        (Some(found), Some(expected)) => are_kept(
            keeps,
            std::slice::from_ref(found),
            std::slice::from_ref(expected),
        ),
        (found, expected) => found == expected,
    });
    if alike && found.len() == expected.len() {
        return Ok(());
    }
    let shown = |records: &[Option<Record>]| {
        let texts = records
            .iter()
            .map(|record| record.as_ref().map_or("none".into(), Record::to_json));
        texts.collect::<Vec<_>>().join(", ")
    };
    Err(format!(
        "\n  store [{}]\n  map   [{}]",
        shown(found),
        shown(expected)
    ))
}
