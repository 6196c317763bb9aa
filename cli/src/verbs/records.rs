//! Records of one table: add, change, read, remove, query.

use serde_json::json;
use serde_json::value::RawValue;
use synctable::query::{Query, RemoteQuery};
use synctable::store::StoreErrorKind;
use synctable::sync::SyncTable;
use synctable::{Draft, Error, Record, TableName};

use crate::args::{Globals, OneRecord, RecordAndJson};
use crate::device::{Access, Device};
use crate::errors::{Done, Failure};
use crate::filters::warn_of_unknown;
use crate::output::Output;

/// Records read from the store at once.
const PAGE: u32 = 500;

pub(crate) async fn insert(
    globals: &Globals,
    output: &mut Output,
    table: &TableName,
    json: &str,
) -> Result<Done, Failure> {
    Draft::from_json(json)?;
    // As it was given: where it has no id, the engine makes one, and need not look for what waits under it.
    let record: Box<RawValue> = serde_json::from_str(json).map_err(synctable::RecordError::Json)?;
    let work = async |device: &Device| {
        let table: SyncTable<Box<RawValue>> = device.sync.table(table.as_str())?;
        let mut transaction = device.sync.transaction();
        transaction.insert(&table, &record)?;
        Ok(transaction.commit().await?.pop().flatten())
    };
    let stored = globals.with_device(Access::Write, work).await?;
    output.changed(stored.as_ref())?;
    Ok(Done::All)
}

pub(crate) async fn update(
    globals: &Globals,
    output: &mut Output,
    args: &RecordAndJson,
) -> Result<Done, Failure> {
    let OneRecord { table, id } = &args.place;
    Draft::from_json(&args.fields)?.check_id(id)?;
    // Raw text keeps the spelling of numbers.
    let changes: &RawValue =
        serde_json::from_str(&args.fields).map_err(synctable::RecordError::Json)?;
    let change = async |table: SyncTable<Record>| table.update(id, changes).await;
    changed(globals, output, Access::Amend, table, change).await
}

pub(crate) async fn replace(
    globals: &Globals,
    output: &mut Output,
    args: &RecordAndJson,
) -> Result<Done, Failure> {
    let OneRecord { table, id } = &args.place;
    let record = Draft::from_json(&args.fields)?.for_id(id)?;
    let change = async |table: SyncTable<Record>| table.replace(&record).await;
    changed(globals, output, Access::Amend, table, change).await
}

/// Makes a change and prints the record as it is afterwards.
async fn changed(
    globals: &Globals,
    output: &mut Output,
    access: Access,
    table: &TableName,
    change: impl AsyncFnOnce(SyncTable<Record>) -> Result<Record, Error>,
) -> Result<Done, Failure> {
    let work = async |device: &Device| Ok(change(device.sync.table(table.as_str())?).await?);
    let record = globals.with_device(access, work).await?;
    output.changed(Some(&record))?;
    Ok(Done::All)
}

pub(crate) async fn get(
    globals: &Globals,
    output: &mut Output,
    args: &OneRecord,
) -> Result<Done, Failure> {
    let OneRecord { table, id } = args;
    let work = async |device: &Device| {
        let ids = std::slice::from_ref(id);
        match device.sync.store().get(table, ids).await {
            Ok(mut records) => Ok(records.pop().flatten()),
            Err(error) if error.kind() == StoreErrorKind::UnknownTable => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    match globals.with_device(Access::Inspect, work).await? {
        Some(record) => output.record(Some(&record))?,
        None => {
            let (table, id) = (table.clone(), id.clone());
            return Err(Error::NotFound { table, id }.into());
        }
    }
    Ok(Done::All)
}

pub(crate) async fn delete(
    globals: &Globals,
    output: &mut Output,
    args: &OneRecord,
) -> Result<Done, Failure> {
    let OneRecord { table, id } = args;
    let work = async |device: &Device| {
        let table: SyncTable<Record> = device.sync.table(table.as_str())?;
        Ok(table.delete(id).await?)
    };
    globals.with_device(Access::Amend, work).await?;
    output.summary(&json!({"deleted": id}), || format!("deleted {table} {id}"))?;
    Ok(Done::All)
}

pub(crate) async fn query(
    globals: &Globals,
    output: &mut Output,
    table: &TableName,
    asked: RemoteQuery,
) -> Result<Done, Failure> {
    let work = async |device: &Device| {
        let handle: SyncTable<Record> = device.sync.table(table.as_str())?;
        let declared = device.sync.declarations();
        let declared = declared.table(table).cloned().unwrap_or_default();
        let asked = asked.named(&declared.schema);
        let query = handle.asked(asked.query);
        let mut found = false;
        if asked.total {
            let count = handle.count(&query).await?;
            found = count > 0;
            output.answer(&json!({"count": count}), || {
                format!("{count} records match")
            })?;
        }
        let filter = query.filter.clone();
        for_each(device, table, query, |record| {
            found = true;
            Ok(output.row(record, asked.select.as_deref())?)
        })
        .await?;
        if found {
            return Ok(());
        }
        output.flush()?;
        warn_of_unknown(device, output, table, filter.as_ref()).await
    };
    globals.with_device(Access::Inspect, work).await?;
    Ok(Done::All)
}

pub(crate) async fn explain(
    globals: &Globals,
    output: &mut Output,
    table: &TableName,
    query: Query,
) -> Result<Done, Failure> {
    let work = async |device: &Device| {
        let handle: SyncTable<Record> = device.sync.table(table.as_str())?;
        let query = handle.asked(query);
        // Not by the handle, which would make the table.
        Ok(device.sync.store().explain(table, &query).await?)
    };
    let plan = globals.with_device(Access::Inspect, work).await?;
    let plan = plan.to_string();
    output.answer(&json!({"plan": plan}), || plan.clone())?;
    Ok(Done::All)
}

/// Hands over the records of a query, a page at a time, as the table means it. A table that nobody used yet has none.
pub(crate) async fn for_each(
    device: &Device,
    table: &TableName,
    mut query: Query,
    mut use_record: impl FnMut(&Record) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // All pages are asked for at one time.
    let handle: SyncTable<Record> = device.sync.table(table.as_str())?;
    query = handle.asked(query).page(PAGE);
    loop {
        let page = match device.sync.store().query(table, &query).await {
            Err(error) if error.kind() == StoreErrorKind::UnknownTable => return Ok(()),
            page => page?,
        };
        for record in &page.records {
            use_record(record)?;
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}
