//! The operation queue: list, drop, resolve.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;
use synctable::sync::{Operation, OperationState, ParkedOperation, Resolution, SyncTable};
use synctable::{Draft, Error, Record, RecordId, TableName, Timestamp};

use crate::args::{Globals, OneOperation, Side, Target};
use crate::device::{Access, Device};
use crate::errors::{Done, Failure};
use crate::output::Output;

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    table: &'a TableName,
    id: &'a RecordId,
    kind: &'static str,
    state: &'static str,
    attempts: u32,
    #[serde(flatten)]
    said: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aside: Option<AsideLine<'a>>,
}

/// Why an operation waits for a decision, in the server's words.
#[derive(Serialize)]
struct Said<'a> {
    status: Option<u16>,
    message: &'a str,
}

/// Why an operation waits for a later push.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AsideLine<'a> {
    reason: &'a str,
    status: Option<u16>,
    message: &'a str,
    /// Not before this time does a push try it by itself; without one the next push does.
    next_try: Option<Timestamp>,
}

#[derive(Serialize)]
struct ConflictLine<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    base: Option<&'a Record>,
    local: Option<&'a Record>,
    server: Option<&'a Record>,
}

impl<'a> Line<'a> {
    fn new(operation: &'a Operation, parked: Option<&'a ParkedOperation>) -> Self {
        // A conflict may come without words: its two sides say it all.
        let said = parked
            .filter(|parked| {
                operation.state == OperationState::Rejected || !parked.message.is_empty()
            })
            .map(|parked| Said {
                status: parked.status,
                message: &parked.message,
            });
        let aside = operation.aside.as_ref().map(|aside| AsideLine {
            reason: &aside.kind,
            status: aside.status,
            message: &aside.message,
            next_try: aside.next_try,
        });
        Self {
            seq: operation.seq,
            table: &operation.table,
            id: &operation.id,
            kind: operation.kind.as_str(),
            state: operation.state.as_str(),
            attempts: operation.attempts,
            said,
            aside,
        }
    }

    fn text(&self) -> String {
        let Self {
            seq,
            table,
            id,
            kind,
            state,
            attempts,
            said,
            aside,
        } = self;
        let mut text = format!("{seq}  {kind} {table} {id}  {state}, sent {attempts} times");
        if let Some(aside) = aside {
            let _ = write!(text, ", aside ({}{})", aside.reason, status(aside.status));
            match aside.next_try {
                Some(time) => {
                    let _ = write!(text, ", tried again not before {time}");
                }
                None => text.push_str(", tried again by the next push"),
            }
            let _ = write!(text, ": {}", aside.message);
        }
        if let Some(said) = said {
            let _ = write!(text, "{}: {}", status(said.status), said.message);
        }
        text
    }
}

fn status(status: Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(", status {status}"))
}

pub(crate) async fn pending(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    let work = async |device: &Device| {
        let operations = device.sync.pending().await?;
        let parked = if operations.iter().any(Operation::is_parked) {
            device.sync.parked().await?
        } else {
            Vec::new()
        };
        for operation in &operations {
            let parked = parked
                .binary_search_by_key(&operation.seq, |parked| parked.operation.seq)
                .ok()
                .and_then(|place| parked.get(place));
            let line = Line::new(operation, parked);
            output.answer(&line, || line.text())?;
        }
        Ok(())
    };
    globals.with_device(Access::Inspect, work).await?;
    Ok(Done::All)
}

pub(crate) async fn enqueue(
    globals: &Globals,
    output: &mut Output,
    table: &TableName,
) -> Result<Done, Failure> {
    let work = async |device: &Device| {
        let table: SyncTable<Record> = device.sync.table(table.as_str())?;
        Ok(table.enqueue_unsent().await?)
    };
    let count = globals.with_device(Access::Write, work).await?;
    output.summary(&json!({"enqueued": count}), || {
        format!("{count} records of table {table} are queued; the next push sends them")
    })?;
    Ok(Done::All)
}

pub(crate) async fn conflicts(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    let work = async |device: &Device| {
        for parked in &device.sync.conflicts().await? {
            let conflict = &parked.conflict;
            let line = ConflictLine {
                line: Line::new(&parked.operation, Some(parked)),
                base: conflict.base.as_ref(),
                local: conflict.local.as_ref(),
                server: conflict.server.as_ref(),
            };
            if output.is_json() {
                output.answer(&line, String::new)?;
                continue;
            }
            output.answer(&(), || line.line.text())?;
            for (side, record) in [
                ("base  ", line.base),
                ("local ", line.local),
                ("server", line.server),
            ] {
                let shown = record.map_or_else(|| "none".into(), Record::to_json);
                output.answer(&(), || format!("  {side} {shown}"))?;
            }
        }
        Ok(())
    };
    globals.with_device(Access::Inspect, work).await?;
    Ok(Done::All)
}

pub(crate) async fn cancel(
    globals: &Globals,
    output: &mut Output,
    operation: &OneOperation,
) -> Result<Done, Failure> {
    let change = async |device: &Device, seq| device.sync.cancel(seq).await;
    changed(globals, output, operation, |_| true, change).await
}

pub(crate) async fn discard(
    globals: &Globals,
    output: &mut Output,
    operation: &OneOperation,
) -> Result<Done, Failure> {
    let change = async |device: &Device, seq| device.sync.discard(seq).await;
    changed(globals, output, operation, |_| true, change).await
}

pub(crate) async fn retry(
    globals: &Globals,
    output: &mut Output,
    operation: &OneOperation,
) -> Result<Done, Failure> {
    let failed = |one: &Operation| one.state == OperationState::Rejected || one.aside.is_some();
    let change = async |device: &Device, seq| device.sync.retry(seq).await;
    changed(globals, output, operation, failed, change).await
}

pub(crate) async fn resolve(
    globals: &Globals,
    output: &mut Output,
    operation: &OneOperation,
    side: &Side,
) -> Result<Done, Failure> {
    let resolution = match &side.with {
        Some(json) => Resolution::With(Draft::from_json(json)?),
        None if side.server => Resolution::Server,
        None if side.client => Resolution::Client,
        None => Resolution::Merge,
    };
    let undecided =
        |one: &Operation| one.state == OperationState::Conflict || one.other_id.is_some();
    let change = async |device: &Device, seq| device.sync.resolve(seq, resolution).await;
    changed(globals, output, operation, undecided, change).await
}

/// Changes the queue and prints the record as it is afterwards. Of several operations on a record the first one is meant that is `apt`,
/// else the first one.
async fn changed(
    globals: &Globals,
    output: &mut Output,
    operation: &OneOperation,
    apt: fn(&Operation) -> bool,
    change: impl AsyncFnOnce(&Device, u64) -> Result<Option<Record>, Error>,
) -> Result<Done, Failure> {
    let target = operation.target()?;
    let work = async |device: &Device| {
        let seq = match &target {
            Target::Number(seq) => *seq,
            Target::Record(table, id) => {
                let mut operations = device.sync.pending().await?;
                operations.retain(|one| one.table == *table && one.id == *id);
                let meant = operations.iter().find(|one| apt(one));
                let meant = meant.or_else(|| operations.first()).ok_or_else(|| {
                    Failure::failed(format!(
                        "table {table} has no queued operation on '{id}'; see synctable pending"
                    ))
                })?;
                meant.seq
            }
        };
        Ok(change(device, seq).await?)
    };
    let record = globals.with_device(Access::Amend, work).await?;
    output.changed(record.as_ref())?;
    Ok(Done::All)
}
