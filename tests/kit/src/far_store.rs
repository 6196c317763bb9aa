//! A store as one over a database far away would be, with the dangers that our own stores lack.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::value::RawValue;
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, Check, Expect, LocalStore, Page, Plan, Position, ProcessLock, StoreCapabilities,
    StoreError, Write, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
use tokio::task::yield_now;

/// Another store, behind what a database may do to it: commits pass each other on the way
/// ([`ordered_commits`](StoreCapabilities::ordered_commits) is not claimed), and JSON is kept [by value](StoreCapabilities::by_value), as a `jsonb`
/// column keeps it: members sorted, numbers and strings in a spelling of its own.
///
/// The kit's suites and the simulator run over it, as what holds there holds for whoever brings such a store.
#[derive(Debug)]
pub struct FarStore<S> {
    inner: S,
    /// Whether calls take their time.
    slow: bool,
    commits: AtomicUsize,
}

impl<S: LocalStore> FarStore<S> {
    /// Another store, far away.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            slow: true,
            commits: AtomicUsize::new(0),
        }
    }

    /// One whose calls are done at once, so that only values are kept: for the simulator, whose own disk lets commits pass each other and keeps its
    /// books at the moment of each.
    pub fn at_once(inner: S) -> Self {
        Self {
            slow: false,
            ..Self::new(inner)
        }
    }

    async fn turns(&self, count: usize) {
        for _ in 0..if self.slow { count } else { 0 } {
            yield_now().await;
        }
    }
}

/// A record as it comes back.
fn respelled(record: &Record) -> Record {
    let body = respell(record.body()).unwrap_or_else(|| record.body().to_owned());
    Record::from_stored(record.id().clone(), record.system().clone(), body)
}

/// JSON in the spelling of the database.
fn respell(text: &str) -> Option<String> {
    let text = text.trim();
    Some(match text.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let members = members.iter().map(|(name, value)| {
                let name = serde_json::to_string(name).ok()?;
                Some(format!("{name}: {}", respell(value.get())?))
            });
            format!("{{{}}}", members.collect::<Option<Vec<_>>>()?.join(", "))
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let items = items.iter().map(|item| respell(item.get()));
            format!("[{}]", items.collect::<Option<Vec<_>>>()?.join(", "))
        }
        b'"' => serde_json::to_string(&serde_json::from_str::<String>(text).ok()?).ok()?,
        b'-' | b'0'..=b'9' if !text.contains(['e', 'E']) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            match fraction.trim_end_matches('0') {
                "" => whole.to_owned(),
                fraction => format!("{whole}.{fraction}"),
            }
        }
        _ => text.to_owned(),
    })
}

/// A batch as the database judges and does it.
fn as_kept(batch: WriteBatch) -> WriteBatch {
    let checks = batch.checks().iter().map(|check| Check {
        expect: match &check.expect {
            Expect::Same(record) => Expect::Same(Box::new(respelled(record))),
            other => other.clone(),
        },
        ..check.clone()
    });
    let checks = checks.collect();
    let writes = batch.writes().iter().map(|write| match write {
        Write::Put { table, record } => Write::Put {
            table: table.clone(),
            record: respelled(record),
        },
        other => other.clone(),
    });
    let writes = writes.collect();
    batch.with_checks(checks).with_writes(writes)
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl<S: LocalStore> LocalStore for FarStore<S> {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.inner.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.inner.schema().await
    }
    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        self.inner.redefine(table, declaration).await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.turns(1).await;
        self.inner.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.turns(1).await;
        self.inner.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        // The first of each three is passed by the other two.
        let turns = [5, 2, 0][self.commits.fetch_add(1, Ordering::Relaxed) % 3];
        self.turns(turns).await;
        let done = self.inner.commit(as_kept(batch)).await;
        // The answer takes its time, too.
        self.turns(1).await;
        done
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.inner.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.inner.changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        let inner = self.inner.capabilities();
        inner.with_ordered_commits(false).with_by_value(true)
    }
    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.inner.count(table, query).await
    }
    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        self.inner.explain(table, query).await
    }
    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        self.inner.try_lock().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }
    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        self.inner.backup(path, as_kept(mark)).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
