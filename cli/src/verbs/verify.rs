//! Whether the store holds together, and agrees with the server.

use std::collections::HashSet;

use serde::Serialize;
use synctable::query::Query;
use synctable::sync::{AuditReport, DifferenceKind, SyncTable, UnknownValue, UnknownValues};
use synctable::{Record, RecordId, TableName};

use super::records::for_each;
use super::sync::is_unknown_table;
use crate::args::Globals;
use crate::device::{Access, Device};
use crate::errors::{Done, Failure};
use crate::output::Output;

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
struct Finding {
    table: TableName,
    id: Option<RecordId>,
    problem: String,
}

/// A value that the schema does not know: no mistake, but good to know.
#[derive(Debug, Serialize)]
struct Unknown {
    table: TableName,
    id: RecordId,
    member: String,
    note: String,
}

impl From<UnknownValue> for Unknown {
    fn from(value: UnknownValue) -> Self {
        Self {
            table: value.table,
            id: value.id,
            member: value.member,
            note: format!(
                "the schema does not know this value, which is kept; expected {}",
                value.expected
            ),
        }
    }
}

/// What is said of a store without findings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sound {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    healed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_values: Option<u64>,
    /// Rows of the server that are no records.
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid: Option<u64>,
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

pub(crate) async fn verify(
    globals: &Globals,
    output: &mut Output,
    heal: bool,
) -> Result<Done, Failure> {
    let access = match globals.remote {
        _ if heal => Access::Heal,
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
            return Ok((findings, UnknownValues::default(), Compared::default()));
        }
        for found in device.sync.verify().await? {
            let id = found.id.as_ref();
            findings.push(Finding::new(&found.table, id, &found.problem));
        }
        // What is damaged may not be readable once more.
        let unknown = if findings.is_empty() {
            device.sync.unknown_values().await?
        } else {
            UnknownValues::default()
        };
        let compared = match access {
            Access::Inspect => Compared::default(),
            _ => compare(device, heal, &mut findings).await?,
        };
        Ok((findings, unknown, compared))
    };
    let (findings, unknown, compared) = globals.with_device(access, work).await?;
    let Compared { healed, invalid } = compared;
    if invalid > 0 {
        output.warn(&format!(
            "{invalid} rows of the server are no records, so that nothing could be compared with them"
        ));
    }
    for finding in &findings {
        output.answer(finding, || match &finding.id {
            Some(id) => format!("{} {id}: {}", finding.table, finding.problem),
            None => format!("{}: {}", finding.table, finding.problem),
        })?;
    }
    let count = unknown.count;
    for value in unknown.first.into_iter().map(Unknown::from) {
        output.answer(&value, || {
            let Unknown {
                table,
                id,
                member,
                note,
            } = &value;
            format!("{table} {id} {member}: {note}")
        })?;
    }
    if findings.is_empty() {
        let line = Sound {
            ok: true,
            healed: heal.then_some(healed),
            unknown_values: Some(count).filter(|count| *count > 0),
            invalid: Some(invalid).filter(|count| *count > 0),
        };
        output.summary(&line, || {
            let known = match count {
                0 => String::new(),
                1 => "; the schema does not know 1 value".into(),
                count => format!("; the schema does not know {count} values"),
            };
            match (heal, healed) {
                (false, _) | (true, 0) => format!("all is well{known}"),
                (true, healed) => format!("{healed} differences were healed; all is well{known}"),
            }
        })?;
        return Ok(Done::All);
    }
    let count = findings.len();
    let problems = if count == 1 { "problem" } else { "problems" };
    let also = match healed {
        0 => String::new(),
        healed => format!(", and {healed} differences were healed"),
    };
    Err(Failure::failed(format!(
        "the store has {count} {problems}{also}; each is a line of the output"
    )))
}

/// What a comparison with the server came to.
#[derive(Debug, Clone, Copy, Default)]
struct Compared {
    /// Records and positions.
    healed: u64,
    /// Rows of the server that are no records.
    invalid: u64,
}

/// Compares all synced tables with the server's, and heals them if that is asked for. Records with changes that were not pushed are
/// left alone.
async fn compare(
    device: &Device,
    heal: bool,
    findings: &mut Vec<Finding>,
) -> Result<Compared, Failure> {
    device.remote()?;
    let mut compared = Compared::default();
    for (name, declared) in device.sync.declarations().tables() {
        if declared.device.local_only {
            continue;
        }
        let table: SyncTable<Record> = device.sync.table(name.as_str())?;
        let audit = table.audit(Query::all());
        let audit = if heal { audit } else { audit.compare_only() };
        match audit.await {
            Ok(report) => {
                compared.invalid += report.left_out;
                if heal {
                    compared.healed +=
                        report.missing + report.stale + report.surplus + report.positions;
                }
                report_findings(name, &report, heal, findings);
            }
            Err(error) if is_unknown_table(&error) => {
                if has_more_than_new(device, name).await? {
                    findings.push(Finding::new(name, None, "the server has no such table"));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(compared)
}

/// What is not as at the server; after healing, what could not be healed.
fn report_findings(
    table: &TableName,
    report: &AuditReport,
    healed: bool,
    findings: &mut Vec<Finding>,
) {
    let mut unlisted = if healed {
        report.unsent
    } else {
        report.missing + report.stale + report.surplus + report.unsent
    };
    let differences = report.differences.iter();
    for left in differences.filter(|it| !healed || it.kind == DifferenceKind::Unsent) {
        findings.push(Finding::new(table, Some(&left.id), problem(left.kind)));
        unlisted = unlisted.saturating_sub(1);
    }
    if unlisted > 0 {
        let problem = format!("{unlisted} more records differ and are not listed");
        findings.push(Finding::new(table, None, &problem));
    }
    if report.positions > 0 && !healed {
        let problem = "a pull is further than anything that the server has; add --heal";
        findings.push(Finding::new(table, None, problem));
    }
}

fn problem(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Missing => "it is missing here; pull the table, or add --heal",
        DifferenceKind::Stale => "it differs from the server's; pull the table, or add --heal",
        DifferenceKind::Surplus => "it is not at the server; pull the table, or add --heal",
        DifferenceKind::Unsent => {
            "it was never at the server and nothing will send it; synctable enqueue TABLE queues it, or purge it"
        }
        _ => "it is not as at the server",
    }
}

/// True when a table holds records without changes that were not pushed.
async fn has_more_than_new(device: &Device, table: &TableName) -> Result<bool, Failure> {
    let operations = device.sync.pending().await?;
    let pending: HashSet<&RecordId> = operations
        .iter()
        .filter(|operation| operation.table == *table)
        .map(|operation| &operation.id)
        .collect();
    let mut more = false;
    for_each(device, table, Query::all(), |record| {
        more |= !pending.contains(record.id());
        Ok(())
    })
    .await?;
    Ok(more)
}
