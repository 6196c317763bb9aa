//! Whether the store holds together, and agrees with the server.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::json;
use synctable::query::Query;
use synctable::store::LocalStore as _;
use synctable::transport::{Transport as _, TransportErrorKind};
use synctable::{Record, RecordId, TableName};

use super::records::for_each;
use crate::args::Globals;
use crate::device::{Access, Device, Remote};
use crate::errors::{Done, Failure};
use crate::output::Output;

/// Records asked for at once.
const PAGE: u32 = 1000;

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
struct Finding {
    table: TableName,
    id: Option<RecordId>,
    problem: String,
}

impl Finding {
    fn new(table: &TableName, id: Option<&RecordId>, problem: &str) -> Self {
        Self {
            table: table.clone(),
            id: id.cloned(),
            problem: problem.to_owned(),
        }
    }
}

pub(crate) async fn verify(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    let access = match globals.remote {
        Some(_) => Access::Compare,
        None => Access::Inspect,
    };
    let work = async |device: &Device| {
        let mut findings = Vec::new();
        if let Some(sealed) = &device.sealed {
            let table = TableName::system("__store");
            for found in sealed.verify(None)?.findings {
                findings.push(Finding::new(&table, None, &found.to_string()));
            }
        }
        // What cannot be opened cannot be read either.
        if !findings.is_empty() {
            return Ok(findings);
        }
        for found in device.sync.verify().await? {
            let id = found.id.as_ref();
            findings.push(Finding::new(&found.table, id, &found.problem));
        }
        if access == Access::Compare {
            compare(device, &mut findings).await?;
        }
        Ok(findings)
    };
    let findings = globals.with_device(access, work).await?;
    for finding in &findings {
        output.answer(finding, || match &finding.id {
            Some(id) => format!("{} {id}: {}", finding.table, finding.problem),
            None => format!("{}: {}", finding.table, finding.problem),
        })?;
    }
    if findings.is_empty() {
        output.summary(&json!({"ok": true}), || "all is well".into())?;
        return Ok(Done::All);
    }
    let count = findings.len();
    Err(Failure::failed(format!(
        "the store has {count} problems; each is a line of the output"
    )))
}

/// Compares the records of all synced tables with the server's, but for those with changes that were not pushed.
async fn compare(device: &Device, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let remote = device.remote()?;
    let operations = device.sync.pending().await?;
    for (table, schema) in device.sync.schema().tables() {
        if schema.local_only {
            continue;
        }
        let pending: HashSet<&RecordId> = operations
            .iter()
            .filter(|operation| operation.table == *table)
            .map(|operation| &operation.id)
            .collect();
        let mut found = |id: &RecordId, problem: &str| {
            if !pending.contains(id) {
                findings.push(Finding::new(table, Some(id), problem));
            }
        };
        let at_server = compare_pages(device, remote, table, &mut found).await?;
        for_each(device, table, Query::all(), |record, _| {
            if !at_server.contains(record.id()) {
                found(record.id(), "it is not at the server; pull the table");
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Compares the server's records with ours, page by page, and gives their ids.
async fn compare_pages(
    device: &Device,
    remote: &Remote,
    table: &TableName,
    found: &mut impl FnMut(&RecordId, &str),
) -> Result<HashSet<RecordId>, Failure> {
    let mut at_server = HashSet::new();
    let mut query = Query::all().order_by("id").page(PAGE);
    let mut cursor = None;
    loop {
        let page = match remote.page(table, &query, cursor.as_ref()).await {
            // A table that the server does not know has no records there.
            Err(error) if error.kind() == TransportErrorKind::UnknownTable => return Ok(at_server),
            page => page?,
        };
        let known = at_server.len();
        let ids: Vec<RecordId> = page.records.iter().map(|row| row.id().clone()).collect();
        let ours = device.sync.store().get(table, &ids).await?;
        for (theirs, ours) in page.records.iter().zip(&ours) {
            match ours {
                None => found(theirs.id(), "it is missing here; pull the table"),
                Some(ours) if !equal(ours, theirs) => {
                    found(theirs.id(), "it differs from the server's; pull the table");
                }
                Some(_) => {}
            }
        }
        at_server.extend(ids);
        match page.next {
            _ if page.last => return Ok(at_server),
            None if page.records.is_empty() => return Ok(at_server),
            _ if at_server.len() == known => {
                return Err(Failure::failed(format!(
                    "table {table}: the server's pages do not move on"
                )));
            }
            Some(next) => cursor = Some(next),
            None => {
                cursor = None;
                query.skip = at_server.len() as u64;
            }
        }
    }
}

fn equal(ours: &Record, theirs: &Record) -> bool {
    ours.version() == theirs.version() && ours.same_members(theirs)
}
