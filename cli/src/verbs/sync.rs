//! Push, pull, and both for every table.

use std::collections::BTreeSet;
use std::time::Instant;

use serde::Serialize;
use synctable::query::odata::Spelling;
use synctable::query::{Expr, Query};
use synctable::sync::{CancelToken, PullReport, SyncTable};
use synctable::transport::TransportErrorKind;
use synctable::{Error, QueryId, Record, TableName};

use crate::args::Globals;
use crate::device::{Access, Device};
use crate::errors::{Done, Failure};
use crate::filters::warn_of_unknown;
use crate::output::Output;
use crate::progress::Progress;
use crate::rounds::{PushLine, in_turn};
use crate::signals;

/// The name of pulls that are given none.
const DEFAULT_NAME: &str = "default";

#[derive(Serialize)]
struct PullLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a TableName>,
    fetched: u64,
    added: u64,
    updated: u64,
    deleted: u64,
    left: u64,
    unchanged: u64,
    kept: u64,
    /// Rows that were left out because they are no records.
    invalid: u64,
    /// Records that a pull in full did not bring, and that stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    stayed: Option<u64>,
    requests: u64,
    pushed: u64,
}

/// What to pull, and how.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PullArgs<'a> {
    pub(crate) name: Option<&'a QueryId>,
    pub(crate) filter: Option<&'a Expr>,
    pub(crate) full: bool,
    pub(crate) page: Option<u32>,
    /// The queue was pushed just now: what it left would only fail again, once for each table.
    pub(crate) pushed: bool,
}

pub(crate) async fn push(
    globals: &Globals,
    output: &mut Output,
    parallel: u8,
) -> Result<Done, Failure> {
    let cancel = signals::cancelled_by_stop()?;
    let work = async |device: &Device| {
        let began = Instant::now();
        let line = push_device(device, output, parallel, &cancel).await?;
        print_push(output, &line, began)
    };
    globals.with_device(Access::Sync, work).await
}

pub(crate) async fn pull(
    globals: &Globals,
    output: &mut Output,
    table: &TableName,
    args: PullArgs<'_>,
) -> Result<Done, Failure> {
    let cancel = signals::cancelled_by_stop()?;
    let work = async |device: &Device| {
        device.remote()?;
        let before = waiting(device).await?;
        let began = Instant::now();
        let report = pull_table(device, output, table, args, &cancel).await?;
        print_pull(output, table, &report, began, false, args)?;
        if report.fetched + report.kept == 0 {
            warn_of_unknown(device, output, table, args.filter).await?;
        }
        // What earlier pushes left is known; what the push inside this pull leaves is news.
        let news = !waiting(device).await?.is_subset(&before);
        Ok(Done::leaving(news))
    };
    globals.with_device(Access::Sync, work).await
}

pub(crate) async fn sync(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    let cancel = signals::cancelled_by_stop()?;
    let work = async |device: &Device| {
        let mut left = LeftOut::default();
        let mut done = Done::All;
        let began = Instant::now();
        match push_device(device, output, 1, &cancel).await {
            Ok(line) => done = print_push(output, &line, began)?,
            // The server may still show what others did.
            Err(error) if concerns_some(&error) && !error.needs_sign_in() => {
                left.failures.push(error.into());
            }
            Err(error) => return Err(error.into()),
        }
        let args = PullArgs {
            pushed: true,
            ..PullArgs::default()
        };
        for (table, declared) in device.sync.declarations().tables() {
            if declared.device.local_only {
                continue;
            }
            device.remote()?;
            let began = Instant::now();
            match pull_table(device, output, table, args, &cancel).await {
                Ok(report) => {
                    print_pull(output, table, &report, began, true, args)?;
                    left.pulled = true;
                }
                // One such table must not keep the others from being pulled.
                Err(error) if is_unknown_table(&error) => left.unknown.push(table.to_string()),
                Err(error) if concerns_some(&error) => {
                    let place = format!("table {table}");
                    left.failures.push(Failure::from(error).within(&place));
                }
                Err(error) => return Err(error.into()),
            }
        }
        left.end(done)
    };
    globals.with_device(Access::Sync, work).await
}

/// What a sync could not do, while it went on with the rest.
#[derive(Debug, Default)]
struct LeftOut {
    failures: Vec<Failure>,
    unknown: Vec<String>,
    pulled: bool,
}

impl LeftOut {
    /// All in one line; the first failure gives the exit code.
    fn end(mut self, done: Done) -> Result<Done, Failure> {
        if !self.unknown.is_empty() {
            let unknown = self.unknown.join(", ");
            let message = format!("the server has no table {unknown}");
            self.failures.push(Failure::failed(message));
        }
        let Some(failure) = self.failures.into_iter().reduce(Failure::and) else {
            return Ok(done);
        };
        Err(if self.pulled {
            failure.and(Failure::failed("the others were pulled"))
        } else {
            failure
        })
    }
}

pub(crate) fn is_unknown_table(error: &Error) -> bool {
    error
        .as_transport()
        .is_some_and(|error| error.kind() == TransportErrorKind::UnknownTable)
}

/// True for a failure that may be that of some tables alone: the server was reached.
fn concerns_some(error: &Error) -> bool {
    error
        .as_transport()
        .is_some_and(|error| !error.is_offline() && error.kind() != TransportErrorKind::Missing)
}

/// Pushes, and counts what was pushed before another process took over for a while.
async fn push_device(
    device: &Device,
    output: &Output,
    parallel: u8,
    cancel: &CancelToken,
) -> Result<PushLine, Error> {
    let _progress = Progress::of(output, "pushed", &device.sync);
    let push = async || {
        let push = device.sync.push().parallel(parallel.into()).cancel(cancel);
        push.await
    };
    let (before, last) = in_turn(device.patience, cancel, push).await;
    let mut report = last?;
    report.pushed += before;
    Ok(PushLine::from(&report))
}

fn print_push(output: &mut Output, line: &PushLine, began: Instant) -> Result<Done, Failure> {
    output.timed(line, began, || line.text())?;
    output.flush()?;
    Ok(line.done())
}

async fn pull_table(
    device: &Device,
    output: &Output,
    table: &TableName,
    args: PullArgs<'_>,
    cancel: &CancelToken,
) -> Result<PullReport, Error> {
    let table: SyncTable<Record> = device.sync.table(table.as_str())?;
    let _progress = Progress::of(output, &format!("{} fetched", table.name()), &device.sync);
    let query = match args.filter {
        Some(filter) => Query::all().filter(filter.clone()),
        None => Query::all(),
    };
    let pull = async || {
        let query = query.clone();
        let mut pull = match (args.full, args.name) {
            (true, _) => table.pull_full(query),
            (false, Some(name)) => table.pull(query, name.as_str()),
            (false, None) => table.pull(query, &default_name(args.filter)),
        };
        if let Some(page) = args.page {
            pull = pull.page(page);
        }
        if args.pushed {
            pull = pull.without_push();
        }
        pull.cancel(cancel).await
    };
    let (before, last) = in_turn(device.patience, cancel, pull).await;
    let mut report = last?;
    report.pushed += before;
    Ok(report)
}

/// A name for a pull that is given none: each filter has its own.
fn default_name(filter: Option<&Expr>) -> String {
    let Some(text) = filter.and_then(|filter| filter.to_odata(Spelling::V4).ok()) else {
        return DEFAULT_NAME.into();
    };
    // FNV-1a: the same in every release, unlike the hashes of the standard library.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{DEFAULT_NAME}-{hash:016x}")
}

fn print_pull(
    output: &mut Output,
    table: &TableName,
    report: &PullReport,
    began: Instant,
    in_list: bool,
    args: PullArgs<'_>,
) -> Result<(), Failure> {
    let line = PullLine {
        table: in_list.then_some(table),
        fetched: report.fetched,
        added: report.added,
        updated: report.updated,
        deleted: report.deleted,
        left: report.left,
        unchanged: report.unchanged,
        kept: report.kept,
        invalid: report.left_out,
        stayed: args.full.then_some(report.stayed),
        requests: report.requests,
        pushed: report.pushed,
    };
    output.timed(&line, began, || {
        let left = match line.left {
            0 => String::new(),
            left => format!(", {left} left with the old filter"),
        };
        let stayed = match report.stayed {
            0 => String::new(),
            stayed => {
                let left = match args.filter {
                    Some(_) => ", or they do not match the filter there",
                    None => "",
                };
                format!(
                    "; {stayed} records stay here that did not come: the server does not have them any more{left}; \
                     synctable verify --heal removes what it does not have"
                )
            }
        };
        format!(
            "{table}: {} fetched, {} added, {} updated, {} deleted{left}, {} unchanged, {} kept for pending changes{stayed}",
            line.fetched, line.added, line.updated, line.deleted, line.unchanged, line.kept
        )
    })?;
    output.flush()?;
    if let Some(row) = report.invalid.first() {
        let id = row.id.as_ref();
        let id = id.map_or_else(String::new, |id| format!(" (id '{id}')"));
        output.warn(&format!(
            "table {table}: {} rows of the server are no records and were left out; the first{id}: {}",
            report.left_out, row.reason
        ));
    }
    Ok(())
}

/// The numbers of the operations that wait for a decision, or for a later push because they failed.
async fn waiting(device: &Device) -> Result<BTreeSet<u64>, Failure> {
    if device.sync.pending_count().await? == 0 {
        return Ok(BTreeSet::new());
    }
    let operations = device.sync.pending().await?;
    let waiting = operations
        .iter()
        .filter(|operation| operation.is_parked() || operation.aside.is_some());
    Ok(waiting.map(|operation| operation.seq).collect())
}
