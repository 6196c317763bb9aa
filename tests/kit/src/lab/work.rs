//! Random batches that two processes can make alike, and the state that they build.

use std::collections::BTreeMap;

use synctable_core::query::Query;
use synctable_core::store::{
    Durability, Expect, LocalStore, LocalStoreExt, StoreError, Write, WriteBatch,
};
use synctable_core::{FieldType, Record, RecordId, Schema, TableName, TableSchema};

use crate::fixture::{id, table};

/// How many tables the batches write; one more holds the number of the last batch.
const TABLES: u64 = 3;
/// How many ids a table uses.
const IDS: u64 = 40;

/// Random numbers (`SplitMix64`): the same in every process for a seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Other numbers, of their own.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// True one time of `of`.
    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// What is declared in round `round` of a loop: from time to time one field more.
pub(crate) fn declared(round: u64) -> Schema {
    let mut fields = TableSchema::new()
        .with_field("n", FieldType::Integer)
        .with_index(["n"]);
    for number in 0..(round / 3).min(8) {
        fields = fields.with_field(format!("f{number}"), FieldType::String);
    }
    let schema = Schema::new().with_table(tag_table(), TableSchema::new());
    (0..TABLES).fold(schema, |schema, number| {
        schema.with_table(work_table(number), fields.clone())
    })
}

fn work_table(number: u64) -> TableName {
    table(&format!("work{number}"))
}

fn tag_table() -> TableName {
    table("tag")
}

/// Every record that a store holds. Each batch leaves its number in a record of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    records: BTreeMap<(TableName, RecordId), Record>,
}

impl State {
    /// What `store` holds; its tables must be declared.
    pub(crate) async fn of(store: &dyn LocalStore) -> Result<Self, StoreError> {
        let mut records = BTreeMap::new();
        let schema = store.schema().await?;
        for table in schema.tables().map(|(table, _)| table) {
            for record in store.query_all(table, &Query::all()).await? {
                records.insert((table.clone(), record.id().clone()), record);
            }
        }
        Ok(Self { records })
    }

    /// The number of the last batch; 0 before the first.
    pub(crate) fn tag(&self) -> u64 {
        let record = self.records.get(&(tag_table(), id("last")));
        let tag = record.and_then(|record| record.member("batch")?.as_u64());
        tag.unwrap_or(0)
    }

    /// Batch `number` of the history `seed` on this state, and whether its checks hold.
    pub(crate) fn batch(&self, seed: u64, number: u64) -> (WriteBatch, bool) {
        let mut random = Random::new(seed.wrapping_add(number.wrapping_mul(0xA24B_AED4_963E_E407)));
        let durability = if random.one_in(3) {
            Durability::Immediate
        } else {
            Durability::Eventual
        };
        let mut batch = WriteBatch::new().durability(durability);
        let mut holds = true;
        for _ in 0..random.below(3) {
            let (table, id) = place(&mut random);
            let stored = self.records.get(&(table.clone(), id.clone()));
            let expect = match stored {
                Some(record) => Expect::Same(Box::new(record.clone())),
                None if random.one_in(12) => {
                    holds = false;
                    Expect::Present
                }
                None => Expect::Absent,
            };
            batch.check(&table, &id, expect);
        }
        let writes = if random.one_in(20) {
            30 + random.below(30)
        } else {
            1 + random.below(8)
        };
        for _ in 0..writes {
            let (table, id) = place(&mut random);
            batch.push(match random.below(50) {
                0 => Write::Clear { table },
                1..12 => Write::Delete { table, id },
                _ => Write::Put {
                    table,
                    record: record(id, number, &mut random),
                },
            });
        }
        let tag = Record::new(id("last"), &format!(r#"{{"batch":{number}}}"#));
        (batch.put(&tag_table(), tag.expect("a record")), holds)
    }

    /// The state that `batch` leaves.
    pub(crate) fn after(&self, batch: &WriteBatch) -> Self {
        let mut records = self.records.clone();
        for write in batch.writes() {
            match write {
                Write::Put { table, record } => {
                    records.insert((table.clone(), record.id().clone()), record.clone());
                }
                Write::Delete { table, id } => {
                    records.remove(&(table.clone(), id.clone()));
                }
                Write::Clear { table } => records.retain(|(of, _), _| of != table),
            }
        }
        Self { records }
    }

    /// In what `found` differs from this state, in a few lines.
    pub(crate) fn difference(&self, found: &Self) -> String {
        let shown = |state: &Self, place: &(TableName, RecordId)| match state.records.get(place) {
            Some(record) => {
                let batch = record.member("n").or_else(|| record.member("batch"));
                format!("that of batch {}", batch.unwrap_or_default())
            }
            None => "none".to_owned(),
        };
        let places = self.records.keys().chain(found.records.keys());
        let mut lines: Vec<String> = places
            .filter(|place| self.records.get(place) != found.records.get(place))
            .map(|place| {
                let (table, id) = place;
                let (expected, found) = (shown(self, place), shown(found, place));
                format!("  {table} {id}: expected {expected}, found {found}")
            })
            .collect();
        lines.sort();
        lines.dedup();
        let more = lines.len().saturating_sub(8);
        lines.truncate(8);
        if more > 0 {
            lines.push(format!("  and {more} more"));
        }
        lines.join("\n")
    }
}

fn place(random: &mut Random) -> (TableName, RecordId) {
    let table = work_table(random.below(TABLES));
    (table, id(&format!("r{}", random.below(IDS))))
}

fn record(id: RecordId, batch: u64, random: &mut Random) -> Record {
    let length = match random.below(200) {
        0 => 60_000,
        1..20 => 2_000 + random.below(4_000),
        _ => random.below(200),
    };
    let letter = char::from(b'a' + u8::try_from(random.below(26)).unwrap_or(0));
    let text = letter
        .to_string()
        .repeat(usize::try_from(length).unwrap_or(0));
    Record::new(id, &format!(r#"{{"n":{batch},"text":"{text}"}}"#)).expect("a record")
}
