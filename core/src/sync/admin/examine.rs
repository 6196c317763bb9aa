//! Looking at a store from outside, without a context: whose it is, and what waits or was left in it. Nothing is written.

use std::collections::{BTreeMap, HashSet};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::Query;
use crate::record::Record;
use crate::store::{LocalStore, LocalStoreExt, StoreError, StoreErrorKind};
use crate::sync::admin::copy;
use crate::sync::identity::session::Home;
use crate::sync::queue::operation::{Operation, OperationState};
use crate::sync::system::{DELTA, DeltaToken, LeaseRow, META, OPERATIONS, meta_value, read};
use crate::sync::tables::Stored;
use crate::timestamp::Timestamp;

/// Records that are read at once.
const PAGE: u32 = 500;
/// The table of a server with the last commit time of each of its tables.
const SEQUENCES: &str = "__server_sequences";
/// The rows of settings have ids that begin so.
const SETTING: &str = "setting|";

/// What [`examine`] found in a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examination {
    /// Who uses the store.
    pub role: StoreRole,
    /// The tables of a device.
    pub tables: Vec<ExaminedTable>,
    /// Operations in the queue.
    pub pending: u64,
    /// Of these: conflicts that wait for a decision.
    pub conflicts: u64,
    /// Of these: operations that the server refused.
    pub rejected: u64,
    /// Of these: operations that are left aside for a later push.
    pub aside: u64,
    /// When the oldest of them was queued, by the clock of the device.
    pub oldest: Option<Timestamp>,
    /// When a push that has not ended last gave a sign of life, by the clock of its device: it goes on, or was killed.
    pub pusher: Option<Timestamp>,
    /// Named pulls whose filter changed, and that were cut off before the records that left it were removed.
    pub unfinished_filters: u64,
    /// The id that the server announced to which the store belongs.
    pub server_id: Option<String>,
    /// The account that the store belongs to.
    pub account: Option<String>,
    /// What was kept with [`SyncContext::set_setting`](crate::sync::SyncContext::set_setting).
    pub settings: BTreeMap<String, String>,
}

/// Who uses a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreRole {
    /// Nobody yet.
    #[default]
    New,
    /// A device.
    Device,
    /// A table server.
    Server,
    /// Half a copy: the beginning of one that was cut off.
    HalfCopy,
}

/// A table of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExaminedTable {
    /// Its name.
    pub name: TableName,
    /// Whether its records stay here.
    pub local_only: bool,
    /// Records that are here.
    pub records: u64,
    /// Of these: records that no server was seen to have and that nothing will send.
    pub unsent: u64,
    /// Operations on it.
    pub pending: u64,
}

/// Looks at a store that no context need have opened: reads only, and makes nothing that is missing.
pub async fn examine(store: &dyn LocalStore) -> Result<Examination, Error> {
    let mut found = Examination {
        role: store_role(store).await?,
        ..Examination::default()
    };
    if found.role != StoreRole::Device {
        return Ok(found);
    }
    let meta = rows(store, &META).await?;
    let stored = Stored::read(store).await?;
    let operations = rows(store, &OPERATIONS).await?;
    let operations: Vec<Operation> = operations
        .iter()
        .map(Operation::from_row)
        .collect::<Result<_, _>>()?;
    found.count(&operations);
    found.read_meta(&meta)?;
    for row in rows(store, &DELTA).await? {
        found.unfinished_filters += u64::from(DeltaToken::from_row(&row)?.leaving);
    }
    for (name, table) in stored.declarations.tables() {
        let queued: HashSet<&RecordId> = operations
            .iter()
            .filter(|operation| operation.table == *name)
            .map(|operation| &operation.id)
            .collect();
        let (records, unsent) = count(store, name, &queued).await?;
        let pending = operations.iter().filter(|one| one.table == *name).count();
        found.tables.push(ExaminedTable {
            name: name.clone(),
            local_only: table.device.local_only,
            records,
            unsent: if table.device.local_only { 0 } else { unsent },
            pending: pending as u64,
        });
    }
    Ok(found)
}

/// Who uses a store: some rows are read, whatever is in it, and nothing is written.
///
/// A device and a server tell each other's store from the time on when they first opened it, also where neither has written a record.
pub async fn store_role(store: &dyn LocalStore) -> Result<StoreRole, Error> {
    if copy::is_unfinished(store).await? {
        return Ok(StoreRole::HalfCopy);
    }
    let sequences = TableName::system(SEQUENCES);
    if has_rows(store, &sequences).await? {
        return Ok(StoreRole::Server);
    }
    let served = store.schema().await?.table(&sequences).is_some();
    let opened = copy::identity(store).await?.is_some();
    // Whoever looks into a server's store as a device does leaves an identity in it and nothing else; and earlier releases let a server
    // begin in a device's store.
    let used = opened
        && (Stored::read(store).await?.is_declared()
            || has_rows(store, &OPERATIONS).await?
            || has_rows(store, &DELTA).await?);
    Ok(match (served, opened) {
        (true, _) if !used => StoreRole::Server,
        (_, true) => StoreRole::Device,
        _ => StoreRole::New,
    })
}

async fn has_rows(store: &dyn LocalStore, table: &TableName) -> Result<bool, StoreError> {
    match store.query(table, &Query::all().top(1)).await {
        Err(error) if error.kind() == StoreErrorKind::UnknownTable => Ok(false),
        page => Ok(!page?.records.is_empty()),
    }
}

impl Examination {
    fn count(&mut self, operations: &[Operation]) {
        let states = |state| operations.iter().filter(move |one| one.state == state);
        self.pending = operations.len() as u64;
        self.conflicts = states(OperationState::Conflict).count() as u64;
        self.rejected = states(OperationState::Rejected).count() as u64;
        let aside = operations.iter().filter(|one| one.aside.is_some());
        self.aside = aside.count() as u64;
        self.oldest = operations.iter().map(|one| one.queued_at).min();
    }

    fn read_meta(&mut self, meta: &[Record]) -> Result<(), StoreError> {
        for row in meta {
            if let Some(name) = row.id().as_str().strip_prefix(SETTING) {
                self.settings.insert(name.to_owned(), meta_value(row)?);
            }
        }
        let find = |id: &RecordId| meta.iter().find(|row| row.id() == id);
        self.pusher = find(&LeaseRow::id())
            .and_then(LeaseRow::from_row)
            .map(|lease| lease.renewed);
        if let Some(row) = find(&Home::id()) {
            let home: Home = read(&META, row)?;
            self.server_id = home.server.id;
            self.account = home.account;
        }
        Ok(())
    }
}

/// How many records a table has, and how many of them no server knows and nothing will send.
async fn count(
    store: &dyn LocalStore,
    table: &TableName,
    queued: &HashSet<&RecordId>,
) -> Result<(u64, u64), StoreError> {
    let (mut records, mut unsent) = (0, 0);
    let mut query = Query::all().page(PAGE);
    loop {
        let page = match store.query(table, &query).await {
            Err(error) if error.kind() == StoreErrorKind::UnknownTable => return Ok((0, 0)),
            page => page?,
        };
        records += page.records.len() as u64;
        let new = page.records.iter().filter(|record| record.is_new());
        unsent += new.filter(|record| !queued.contains(record.id())).count() as u64;
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok((records, unsent)),
        }
    }
}

/// All rows of a table of the engine; none where there is no such table.
async fn rows(store: &dyn LocalStore, table: &TableName) -> Result<Vec<Record>, StoreError> {
    match store.query_all(table, &Query::all().page(PAGE)).await {
        Err(error) if error.kind() == StoreErrorKind::UnknownTable => Ok(Vec::new()),
        rows => rows,
    }
}
