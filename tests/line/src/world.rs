//! A device with changes to send, its server, and what the push of them came to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, LocalStoreExt, Page, Position, StoreCapabilities, StoreError, Write,
    WriteBatch,
};
use synctable_core::sync::{ConflictPolicy, RetryPolicy, SyncContext};
use synctable_core::{
    Clock, Declaration, Declarations, IdSource, Record, RecordId, Schema, TableName, Timestamp,
};
use synctable_http::{HttpTransport, TokioSleep};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;
use tokio::time::Instant;

use crate::far::{FarEnd, Gateway};
use crate::line::{Line, Rules, Way, dice};
use crate::wire::{Noted, Wire};

const TABLE: &str = "notes";
/// One record in so many is at the server already, and is changed.
const CHANGED: u64 = 5;
/// How long the application waits before it pushes again, where a push ended before all was sent.
const AGAIN: Duration = Duration::from_secs(1);

/// What is sent, and over what.
#[derive(Debug, Clone)]
pub struct World {
    /// How many changes.
    pub changes: u64,
    /// The line.
    pub rules: Rules,
    /// What stands before the server.
    pub gateway: Gateway,
    /// The accidents of the line, the waits and the contents.
    pub seed: u64,
    /// Requests at once, where operations go one by one.
    pub parallel: usize,
}

/// What a push came to.
#[derive(Debug)]
pub struct Done {
    /// From the first request to the last answer.
    pub took: Duration,
    /// Bytes of requests and answers that were sent, with their heads.
    pub up: u64,
    /// Bytes of answers.
    pub down: u64,
    /// How often the application pushed.
    pub pushes: u32,
    /// Each request.
    pub requests: Vec<Noted>,
}

/// The time, as tokio has it.
#[derive(Debug, Clone, Copy)]
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_767_225_600_000 + millis)
    }
}

/// Ids as those of the engine are, from a seed: twelve digits of time, 20 of chance.
#[derive(Debug)]
struct Ids(Mutex<u64>, Virtual);

impl IdSource for Ids {
    fn next_id(&self) -> RecordId {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (high, low) = (dice(&mut state, 1 << 31), dice(&mut state, 1 << 31));
        let low = low << 31 | dice(&mut state, 1 << 31);
        let millis = self.1.now().millis();
        let id = format!("{millis:012x}7{:03x}a{low:015x}", high & 0xfff);
        RecordId::new(&id).unwrap()
    }
}

/// How often each record was written.
#[derive(Debug)]
struct Counted {
    store: MemoryStore,
    written: Mutex<BTreeMap<String, u32>>,
}

#[async_trait]
impl LocalStore for Counted {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.store.define(schema).await
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        self.store.schema().await
    }

    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.store.get(table, ids).await
    }

    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.store.query(table, query).await
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let written: Vec<String> = batch
            .writes()
            .iter()
            .filter_map(|write| match write {
                Write::Put { table, record } if table.as_str() == TABLE => {
                    Some(record.id().as_str().to_owned())
                }
                _ => None,
            })
            .collect();
        let position = self.store.commit(batch).await?;
        let mut all = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for id in written {
            *all.entry(id).or_default() += 1;
        }
        Ok(position)
    }

    async fn position(&self) -> Result<Position, StoreError> {
        self.store.position().await
    }

    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.store.changes_since(since, limit).await
    }

    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }
}

impl World {
    /// Makes the changes, pushes until all have arrived, and checks that each has had its effect once, and that the device holds what the server
    /// holds.
    ///
    /// # Panics
    /// Where that is not so.
    pub async fn run(&self) -> Done {
        let table = TableName::new(TABLE).unwrap();
        let there = Arc::new(Counted {
            store: MemoryStore::new(),
            written: Mutex::default(),
        });
        let here = Arc::new(MemoryStore::new());
        let clock = Virtual(Instant::now());
        let server = TableServer::builder(Arc::clone(&there) as Arc<dyn LocalStore>)
            .table(table.clone(), Declaration::new().with_soft_delete())
            .host("server.test".parse().unwrap())
            .clock(Arc::new(clock));
        let server = server.build().await.unwrap();
        let line = Line::new(self.rules, self.seed);
        let wire = Wire::new(Arc::clone(&line), FarEnd::new(server, self.gateway.clone()));
        let transport = HttpTransport::builder("http://server.test")
            .exchange(Arc::clone(&wire) as _)
            .sleep(TokioSleep);
        let device = SyncContext::builder(Arc::clone(&here) as Arc<dyn LocalStore>)
            .schema(Declarations::new().with_table(table.clone(), Declaration::new()))
            .transport(transport.build().unwrap())
            .conflicts(ConflictPolicy::Park)
            .retry(RetryPolicy::default().with_seed(self.seed))
            .clock(clock)
            .ids(Ids(Mutex::new(self.seed | 1 << 40), clock))
            .sleep(TokioSleep)
            .open();
        let device = device.await.unwrap();
        let notes = device.table::<Value>(TABLE).unwrap();
        let mut state = self.seed.wrapping_mul(77) | 1;
        // What both hold before.
        let old: Vec<Record> = (0..self.changes / CHANGED)
            .map(|number| {
                let mut row = note(&mut state);
                row["id"] = json!(format!("{number:032x}"));
                row["version"] = json!(format!("AAAAAAAAAAAAAAAA{number:06x}=="));
                row["updatedAt"] = json!("2025-12-31T00:00:00.000Z");
                Record::from_json(&row.to_string()).unwrap()
            })
            .collect();
        let rows = |batch: WriteBatch, row: &Record| batch.put(&table, row.clone());
        let batch = old.iter().fold(WriteBatch::new(), rows);
        there.store.commit(batch.clone()).await.unwrap();
        here.commit(batch).await.unwrap();
        let mut transaction = device.transaction();
        for number in 0..self.changes {
            if number % CHANGED == 0
                && let Some(row) = old.get(usize::try_from(number / CHANGED).unwrap())
            {
                let changes = json!({"done": true, "title": words(&mut state, 3)});
                transaction
                    .update(&notes, row.id().as_str(), &changes)
                    .unwrap();
            } else {
                transaction.insert(&notes, &note(&mut state)).unwrap();
            }
        }
        transaction.commit().await.unwrap();

        let began = Instant::now();
        let mut pushes = 0;
        loop {
            pushes += 1;
            let outcome = device.push().parallel(self.parallel).await;
            if device.pending_count().await.unwrap() == 0 {
                break;
            }
            assert!(pushes < 2_000, "nothing gets on: {outcome:?}");
            if let Ok(report) = outcome {
                assert_eq!((report.conflicts, report.rejected), (0, 0), "{report:?}");
            }
            tokio::time::sleep(AGAIN).await;
        }
        let took = began.elapsed();

        let written = there
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        assert_eq!(u64::try_from(written.len()).unwrap(), self.changes);
        let often: Vec<_> = written.iter().filter(|(_, times)| **times != 1).collect();
        assert!(
            often.is_empty(),
            "had their effect more than once: {often:?}"
        );
        let (at_server, at_device) = (all(&there.store, &table).await, all(&here, &table).await);
        assert_eq!(at_server.len(), at_device.len());
        for (one, other) in at_server.iter().zip(&at_device) {
            // Not every dialect shows when a record was made.
            let held = |row: &Record| {
                (
                    row.id().clone(),
                    row.version().cloned(),
                    row.updated_at(),
                    row.body().to_owned(),
                )
            };
            assert_eq!(held(one), held(other));
        }
        Done {
            took,
            up: line.bytes(Way::Up),
            down: line.bytes(Way::Down),
            pushes,
            requests: wire.noted(),
        }
    }
}

/// All rows, by id.
async fn all(store: &MemoryStore, table: &TableName) -> Vec<Record> {
    store.query_all(table, &Query::all()).await.unwrap()
}

/// A record of about 185 bytes, with its id.
fn note(state: &mut u64) -> Value {
    json!({
        "title": words(state, 4),
        "text": words(state, 12),
        "done": false,
        "priority": dice(state, 5),
    })
}

/// Words as they come in notes: some often, some seldom.
fn words(state: &mut u64, count: usize) -> String {
    const BEGIN: [&str; 16] = [
        "re", "un", "ca", "mo", "ti", "fo", "la", "be", "so", "in", "pa", "de", "lu", "ha", "ge",
        "wo",
    ];
    const END: [&str; 16] = [
        "ning", "ter", "le", "nd", "se", "mer", "ch", "ve", "r", "st", "ly", "te", "n", "per",
        "ck", "low",
    ];
    let word = |state: &mut u64| {
        let often = dice(state, 2) == 0;
        let most = if often { 4 } else { 16 };
        let (begin, end) = (dice(state, most), dice(state, 16));
        format!(
            "{}{}",
            BEGIN[usize::try_from(begin).unwrap()],
            END[usize::try_from(end).unwrap()]
        )
    };
    (0..count)
        .map(|_| word(state))
        .collect::<Vec<_>>()
        .join(" ")
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batches = self.requests.iter().filter(|noted| noted.batch).count();
        let failed = self
            .requests
            .iter()
            .filter(|noted| noted.end.is_err())
            .count();
        write!(
            f,
            "{:.1} s, {} bytes up, {} down, {} pushes, {} requests ({batches} batches), {failed} of them failed",
            self.took.as_secs_f64(),
            self.up,
            self.down,
            self.pushes,
            self.requests.len(),
        )?;
        let mut ends: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
        for noted in &self.requests {
            let end = match noted.end {
                Ok(status) => status.to_string(),
                Err(kind) => kind.as_str().to_owned(),
            };
            let what = if noted.batch { "batch" } else { "one" };
            let (count, took) = ends.entry(format!("{what} {end}")).or_default();
            *count += 1;
            *took += noted.took;
        }
        for (end, (count, took)) in ends {
            write!(f, "\n  {end}: {count}, {:.1} s", took.as_secs_f64())?;
        }
        Ok(())
    }
}
