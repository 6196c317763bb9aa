//! Looking at a store: what is in it, and whether it holds together.

use std::collections::HashMap;

use crate::error::Error;
use crate::name::{QueryId, RecordId, TableName};
use crate::query::Query;
use crate::record::Record;
use crate::store::{LocalStoreExt, StoreErrorKind};
use crate::sync::context::SyncContext;
use crate::sync::queue::operation::{Operation, OperationKind, OperationState};
use crate::sync::system::{DELTA, DeltaToken, FAILURES, FailureRow, OPERATIONS, seq_of};
use crate::timestamp::Timestamp;

/// Unknown values that are listed.
const MAX_UNKNOWN: usize = 100;

/// What is in a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The known tables.
    pub tables: Vec<TableStatus>,
    /// The positions of named pulls.
    pub tokens: Vec<PullToken>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStatus {
    /// Its name.
    pub name: TableName,
    /// Records that are here.
    pub records: u64,
    /// Operations in the queue, parked ones too.
    pub pending: u64,
    /// Parked conflicts.
    pub conflicts: u64,
}

/// How far a named pull got.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullToken {
    /// The table.
    pub table: TableName,
    /// The query's name.
    pub query: QueryId,
    /// The filter as text.
    pub filter: String,
    /// Changes up to here were seen.
    pub time: Option<Timestamp>,
}

/// Something in a store that does not hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The table.
    pub table: TableName,
    /// The record, where it is about one.
    pub id: Option<RecordId>,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// A value that does not fit the declared type of its member. It is kept as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownValue {
    /// The table.
    pub table: TableName,
    /// The record.
    pub id: RecordId,
    /// The member.
    pub member: String,
    /// What would fit.
    pub expected: String,
}

/// The values of a store that do not fit their declared types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownValues {
    /// How many there are.
    pub count: u64,
    /// The first of them, at most 100.
    pub first: Vec<UnknownValue>,
}

impl UnknownValues {
    fn add(&mut self, value: impl FnOnce() -> UnknownValue) {
        self.count += 1;
        // A table may have one in every record.
        if self.first.len() < MAX_UNKNOWN {
            self.first.push(value());
        }
    }
}

impl SyncContext {
    /// Counts what is in the store.
    pub async fn inspect(&self) -> Result<Inspection, Error> {
        let mut counts: HashMap<TableName, (u64, u64)> = HashMap::new();
        for operation in self.pending().await? {
            let (pending, conflicts) = counts.entry(operation.table).or_default();
            *pending += 1;
            *conflicts += u64::from(operation.state == OperationState::Conflict);
        }
        let mut inspection = Inspection::default();
        for (name, _) in self.declarations().tables() {
            let records = self.inner.store.count(name, &Query::all()).await?;
            let (pending, conflicts) = counts.remove(name).unwrap_or_default();
            inspection.tables.push(TableStatus {
                name: name.clone(),
                records,
                pending,
                conflicts,
            });
        }
        for row in self.inner.store.query_all(&DELTA, &Query::all()).await? {
            let DeltaToken {
                table,
                query,
                filter,
                time,
                ..
            } = DeltaToken::from_row(&row)?;
            inspection.tokens.push(PullToken {
                table,
                query,
                filter,
                time,
            });
        }
        Ok(inspection)
    }

    /// Lists values that do not fit the declared type of their member: they came from the server, where a newer release of the app
    /// wrote them, or were here before the type was declared. They are kept as they are and do no harm.
    pub async fn unknown_values(&self) -> Result<UnknownValues, Error> {
        let mut found = UnknownValues::default();
        for (name, table) in self.declarations().tables() {
            if table.schema.fields.is_empty() {
                continue;
            }
            let mut query = Query::all().page(1000);
            loop {
                let page = self.inner.store.query(name, &query).await?;
                for record in &page.records {
                    for (member, ty) in table.schema.misfits(record) {
                        found.add(|| UnknownValue {
                            table: name.clone(),
                            id: record.id().clone(),
                            member,
                            expected: ty.to_string(),
                        });
                    }
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
        }
        Ok(found)
    }

    /// Reads everything and checks that records, operations, failures and pull positions fit together. Values that the schema does not
    /// know are no damage: [`unknown_values`](Self::unknown_values) lists them.
    pub async fn verify(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let store = &self.inner.store;
        let declared = self.declarations();
        for (name, _) in declared.tables() {
            let mut query = Query::all().page(1000);
            loop {
                let page = match store.query(name, &query).await {
                    Ok(page) => page,
                    Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                        findings.push(finding(name, None, error.to_string()));
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                for record in &page.records {
                    if let Err(error) = Record::from_json(&record.to_json()) {
                        findings.push(finding(name, Some(record.id()), error.to_string()));
                    }
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
        }
        self.verify_queue(&mut findings).await?;
        for row in store.query_all(&DELTA, &Query::all()).await? {
            match DeltaToken::from_row(&row) {
                Ok(token) if DeltaToken::id(&token.table, &token.query) == *row.id() => {}
                _ => findings.push(finding(
                    &DELTA,
                    Some(row.id()),
                    "the position of a pull is damaged; purge its table".into(),
                )),
            }
        }
        Ok(findings)
    }

    async fn verify_queue(&self, findings: &mut Vec<Finding>) -> Result<(), Error> {
        let store = &self.inner.store;
        let declared = self.declarations();
        let mut last_of: HashMap<(TableName, RecordId), Operation> = HashMap::new();
        for row in store
            .query_all(&OPERATIONS, &Query::all().page(1000))
            .await?
        {
            let operation = match Operation::from_row(&row) {
                Ok(operation) => operation,
                Err(error) => {
                    findings.push(finding(&OPERATIONS, Some(row.id()), error.to_string()));
                    continue;
                }
            };
            if declared.table(&operation.table).is_none() {
                findings.push(finding(
                    &OPERATIONS,
                    Some(row.id()),
                    format!("its table {} is unknown", operation.table),
                ));
                continue;
            }
            let failure = store.get_one(&FAILURES, row.id()).await?;
            if operation.is_parked() != failure.is_some() {
                findings.push(finding(
                    &OPERATIONS,
                    Some(row.id()),
                    "its state and its failure do not fit; retry or cancel it".into(),
                ));
            }
            if self.inner.queue.is_lost(&operation).await? {
                findings.push(finding(
                    &OPERATIONS,
                    Some(row.id()),
                    "the index of the queue does not name it, so changes and pulls pass it by; restore a backup".into(),
                ));
            }
            last_of.insert((operation.table.clone(), operation.id.clone()), operation);
        }
        for ((table, id), operation) in &last_of {
            let exists = store.get_one(table, id).await?.is_some();
            if exists == (operation.kind == OperationKind::Delete) {
                let problem = format!(
                    "operation {} ({}) does not fit the record; cancel it",
                    operation.seq,
                    operation.kind.as_str()
                );
                findings.push(finding(table, Some(id), problem));
            }
        }
        for row in store.query_all(&FAILURES, &Query::all()).await? {
            let known = FailureRow::from_row(&row).is_ok()
                && seq_of(row.id()).is_some()
                && store.get_one(&OPERATIONS, row.id()).await?.is_some();
            if !known {
                findings.push(finding(
                    &FAILURES,
                    Some(row.id()),
                    "it belongs to no operation".into(),
                ));
            }
        }
        Ok(())
    }
}

fn finding(table: &TableName, id: Option<&RecordId>, problem: String) -> Finding {
    Finding {
        table: table.clone(),
        id: id.cloned(),
        problem,
    }
}
