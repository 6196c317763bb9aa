//! Purge, and what is in the store.

use serde::Serialize;
use synctable::encrypted::Sealed;
use synctable::kv::KvBackend as _;
use synctable::query::Expr;
use synctable::sync::{Purge, SyncTable};
use synctable::{Error, Record, TableName, Timestamp};

use crate::args::Globals;
use crate::device::{Access, Device};
use crate::errors::{Done, Failure};
use crate::filters::warn_of_unknown;
use crate::output::Output;

pub(crate) async fn purge(
    globals: &Globals,
    output: &mut Output,
    table: &TableName,
    filter: Option<&Expr>,
    discard_pending: bool,
) -> Result<Done, Failure> {
    #[derive(Serialize)]
    struct Purged {
        purged: u64,
        discarded: u64,
    }
    let mut purge = filter.map_or_else(Purge::all, |filter| Purge::matching(filter.clone()));
    if discard_pending {
        purge = purge.discard_pending();
    }
    let work = async |device: &Device| {
        let table: SyncTable<Record> = device.sync.table(table.as_str())?;
        match table.purge(purge).await {
            Ok(report) => {
                if report.purged == 0 {
                    warn_of_unknown(device, output, table.name(), filter).await?;
                }
                Ok(report)
            }
            Err(Error::PendingOperations { table, count }) => Err(Failure::failed(format!(
                "table {table} has {count} operations that were not pushed; push first, or give --discard-pending"
            ))),
            Err(error) => Err(error.into()),
        }
    };
    let report = globals.with_device(Access::Amend, work).await?;
    let line = Purged {
        purged: report.purged,
        discarded: report.discarded,
    };
    output.summary(&line, || {
        format!(
            "{table}: {} records removed here, {} operations dropped",
            line.purged, line.discarded
        )
    })?;
    Ok(Done::All)
}

pub(crate) async fn inspect(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    #[derive(Serialize)]
    struct Inspected<'a> {
        store: String,
        #[serde(rename = "atLeast", skip_serializing_if = "Option::is_none")]
        at_least: Option<String>,
        tables: Vec<Table<'a>>,
        tokens: Vec<Token<'a>>,
    }
    #[derive(Serialize)]
    struct Table<'a> {
        name: &'a TableName,
        records: u64,
        pending: u64,
        conflicts: u64,
    }
    #[derive(Serialize)]
    struct Token<'a> {
        table: &'a TableName,
        query: &'a str,
        filter: &'a str,
        time: Option<Timestamp>,
    }
    let work = async |device: &Device| {
        let inspection = device.sync.inspect().await?;
        // Of what is only read nobody knows whether it would survive a power cut.
        let written = device.sealed.as_ref();
        let written = written.filter(|sealed| !sealed.promises().read_only);
        let anchor = written.map(Sealed::anchor).transpose()?;
        Ok((inspection, anchor))
    };
    let (inspection, anchor) = globals.with_device(Access::Inspect, work).await?;
    let tables = inspection.tables.iter().map(|table| Table {
        name: &table.name,
        records: table.records,
        pending: table.pending,
        conflicts: table.conflicts,
    });
    let tokens = inspection.tokens.iter().map(|token| Token {
        table: &token.table,
        query: token.query.as_str(),
        filter: &token.filter,
        time: token.time,
    });
    let all = Inspected {
        store: globals.store.to_string(),
        at_least: anchor.map(|anchor| anchor.to_string()),
        tables: tables.collect(),
        tokens: tokens.collect(),
    };
    if output.is_json() {
        output.answer(&all, String::new)?;
        return Ok(Done::All);
    }
    output.answer(&(), || {
        let url = &globals.store;
        let encrypted = if url.is_encrypted() {
            ", encrypted"
        } else {
            ""
        };
        format!(
            "{url}: a store of the kind {}{encrypted}",
            url.kind().as_str()
        )
    })?;
    if let Some(anchor) = &all.at_least {
        output.answer(&(), || {
            format!("written so far: {anchor}; keep this elsewhere, and give it as --at-least {anchor} to find an older copy")
        })?;
    }
    for table in &all.tables {
        output.answer(&(), || {
            format!(
                "table {}: {} records, {} operations queued, {} of them in conflict",
                table.name, table.records, table.pending, table.conflicts
            )
        })?;
    }
    for token in &all.tokens {
        output.answer(&(), || {
            let time = token
                .time
                .map_or_else(|| "nothing yet".into(), |time| time.to_string());
            format!(
                "pull {} of {}: up to {time}  {}",
                token.query, token.table, token.filter
            )
        })?;
    }
    Ok(Done::All)
}
