//! The operation queue: list, drop, resolve.

use std::fmt::Write as _;

use serde::Serialize;
use synctable::sync::{Operation, OperationState, ParkedOperation, Resolution};
use synctable::{Draft, Error, Record, RecordId, TableName};

use crate::args::{Globals, Side};
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
    rejection: Option<Rejection<'a>>,
}

/// Why the server refused an operation.
#[derive(Serialize)]
struct Rejection<'a> {
    status: Option<u16>,
    message: &'a str,
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
        let rejection = parked
            .filter(|_| operation.state == OperationState::Rejected)
            .map(|parked| Rejection {
                status: parked.status,
                message: &parked.message,
            });
        Self {
            seq: operation.seq,
            table: &operation.table,
            id: &operation.id,
            kind: operation.kind.as_str(),
            state: operation.state.as_str(),
            attempts: operation.attempts,
            rejection,
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
            rejection,
        } = self;
        let mut text = format!("{seq}  {kind} {table} {id}  {state}, sent {attempts} times");
        if let Some(rejection) = rejection {
            if let Some(status) = rejection.status {
                let _ = write!(text, ", status {status}");
            }
            let _ = write!(text, ": {}", rejection.message);
        }
        text
    }
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
    globals.with_device(Access::Read, work).await?;
    Ok(Done::All)
}

pub(crate) async fn conflicts(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    let work = async |device: &Device| {
        for parked in &device.sync.conflicts().await? {
            let conflict = &parked.conflict;
            let line = ConflictLine {
                line: Line::new(&parked.operation, None),
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
    globals.with_device(Access::Read, work).await?;
    Ok(Done::All)
}

pub(crate) async fn cancel(
    globals: &Globals,
    output: &mut Output,
    seq: u64,
) -> Result<Done, Failure> {
    let change = async |device: &Device| device.sync.cancel(seq).await;
    changed(globals, output, change).await
}

pub(crate) async fn discard(
    globals: &Globals,
    output: &mut Output,
    seq: u64,
) -> Result<Done, Failure> {
    let change = async |device: &Device| device.sync.discard(seq).await;
    changed(globals, output, change).await
}

pub(crate) async fn retry(
    globals: &Globals,
    output: &mut Output,
    seq: u64,
) -> Result<Done, Failure> {
    let change = async |device: &Device| device.sync.retry(seq).await;
    changed(globals, output, change).await
}

pub(crate) async fn resolve(
    globals: &Globals,
    output: &mut Output,
    seq: u64,
    side: &Side,
) -> Result<Done, Failure> {
    let resolution = match &side.with {
        Some(json) => Resolution::With(Draft::from_json(json)?),
        None if side.server => Resolution::Server,
        None if side.client => Resolution::Client,
        None => Resolution::Merge,
    };
    let change = async |device: &Device| device.sync.resolve(seq, resolution).await;
    changed(globals, output, change).await
}

/// Changes the queue and prints the record as it is afterwards.
async fn changed(
    globals: &Globals,
    output: &mut Output,
    change: impl AsyncFnOnce(&Device) -> Result<Option<Record>, Error>,
) -> Result<Done, Failure> {
    let work = async |device: &Device| Ok(change(device).await?);
    let record = globals.with_device(Access::Write, work).await?;
    output.record(record.as_ref())?;
    Ok(Done::All)
}
