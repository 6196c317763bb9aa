//! Push, pull, and both for every table.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use synctable::query::odata::Spelling;
use synctable::query::{Expr, Query};
use synctable::sync::{CancelToken, PullReport, PushReport, SyncTable};
use synctable::transport::{RetryPolicy, TransportErrorKind};
use synctable::{Error, QueryId, Record, TableName};

use crate::args::Globals;
use crate::device::{Access, Device};
use crate::errors::{Done, Failure, say};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

/// The name of pulls that are given none.
const DEFAULT_NAME: &str = "default";
/// How long to wait before looking again whether another process still pushes.
const LOOK: Duration = Duration::from_millis(100);
/// How often a push is begun while the server fails in ways that may pass.
const TRIES: u32 = 3;

#[derive(Serialize)]
struct PushLine {
    pushed: u64,
    conflicts: u64,
    rejected: u64,
    pending: u64,
}

#[derive(Serialize)]
struct PullLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a TableName>,
    fetched: u64,
    added: u64,
    updated: u64,
    deleted: u64,
    unchanged: u64,
    kept: u64,
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
}

pub(crate) async fn push(
    globals: &Globals,
    output: &mut Output,
    parallel: u8,
) -> Result<Done, Failure> {
    let cancel = signals::cancelled_by_stop()?;
    let work = async |device: &Device| push_device(device, output, parallel, &cancel).await;
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
        let before = parked(device).await?;
        let report = pull_table(device, output, table, args, &cancel).await?;
        print_pull(output, table, &report, false)?;
        // Conflicts of earlier pushes are known; those of the push inside this pull are news.
        let news = !parked(device).await?.is_subset(&before);
        Ok(Done::leaving(news))
    };
    globals.with_device(Access::Sync, work).await
}

pub(crate) async fn sync(globals: &Globals, output: &mut Output) -> Result<Done, Failure> {
    let cancel = signals::cancelled_by_stop()?;
    let work = async |device: &Device| {
        let done = push_device(device, output, 1, &cancel).await?;
        let mut unknown = Vec::new();
        for (table, schema) in device.sync.schema().tables() {
            if schema.local_only {
                continue;
            }
            device.remote()?;
            match pull_table(device, output, table, PullArgs::default(), &cancel).await {
                Ok(report) => print_pull(output, table, &report, true)?,
                // One such table must not keep the others from being pulled.
                Err(error) if is_unknown_table(&error) => unknown.push(table.as_str().to_owned()),
                Err(error) => return Err(error.into()),
            }
        }
        if unknown.is_empty() {
            return Ok(done);
        }
        Err(Failure::failed(format!(
            "the server has no table {}; the others were pulled",
            unknown.join(", ")
        )))
    };
    globals.with_device(Access::Sync, work).await
}

pub(crate) fn is_unknown_table(error: &Error) -> bool {
    error
        .as_transport()
        .is_some_and(|error| error.kind() == TransportErrorKind::UnknownTable)
}

/// True for an error behind which a change may have reached the server: the next push asks about it before it sends again, which a
/// transport that repeats requests cannot do. Answers that are known to mean nothing was done were repeated already.
fn may_pass(error: &Error) -> bool {
    error
        .as_transport()
        .is_some_and(|error| match error.kind() {
            TransportErrorKind::Unreachable => true,
            TransportErrorKind::Unavailable => !matches!(error.status(), Some(408 | 429 | 503)),
            _ => false,
        })
}

/// Tries again while another process pushes the store, as long as the device is patient.
async fn in_turn<T>(
    device: &Device,
    cancel: &CancelToken,
    mut attempt: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Err(error) if is_another_pusher(&error) && begun.elapsed() < device.patience => {}
            done => return done,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = cancel.cancelled() => return Err(Error::Cancelled),
        }
    }
}

fn is_another_pusher(error: &Error) -> bool {
    match error {
        Error::AnotherPusher => true,
        Error::PushStopped { source, .. } => is_another_pusher(source),
        _ => false,
    }
}

async fn push_device(
    device: &Device,
    output: &mut Output,
    parallel: u8,
    cancel: &CancelToken,
) -> Result<Done, Failure> {
    let progress = Progress::of(output, "pushed", &device.sync);
    let mut before = 0;
    let mut attempt = 1;
    let report = loop {
        let push = async || {
            let push = device.sync.push().parallel(parallel.into()).cancel(cancel);
            let outcome = push.await;
            if let Err(Error::PushStopped { report, source }) = &outcome
                && is_another_pusher(source)
            {
                // Before the other one took over.
                before += report.pushed;
            }
            outcome
        };
        match in_turn(device, cancel, push).await {
            Ok(report) => break report,
            Err(Error::PushStopped { report, source }) if attempt < TRIES && may_pass(&source) => {
                before += report.pushed;
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(RetryPolicy::default().delay(attempt, None)).await;
        attempt += 1;
    };
    drop(progress);
    let PushReport {
        pushed,
        conflicts,
        rejected,
        pending,
        ..
    } = report;
    let line = PushLine {
        pushed: before + pushed,
        conflicts,
        rejected,
        pending,
    };
    output.summary(&line, || {
        let mut text = format!("{pushed} pushed, {pending} still queued");
        if conflicts + rejected > 0 {
            let _ = write!(
                text,
                ", of these {conflicts} in conflict and {rejected} rejected; see synctable pending and synctable conflicts"
            );
        }
        text
    })?;
    output.flush()?;
    Ok(Done::leaving(conflicts + rejected > 0))
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
        pull.cancel(cancel).await
    };
    in_turn(device, cancel, pull).await
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
    named: bool,
) -> Result<(), Failure> {
    let line = PullLine {
        table: named.then_some(table),
        fetched: report.fetched,
        added: report.added,
        updated: report.updated,
        deleted: report.deleted,
        unchanged: report.unchanged,
        kept: report.kept,
        requests: report.requests,
        pushed: report.pushed,
    };
    output.summary(&line, || {
        format!(
            "{table}: {} fetched, {} added, {} updated, {} deleted, {} unchanged, {} kept for pending changes",
            line.fetched, line.added, line.updated, line.deleted, line.unchanged, line.kept
        )
    })?;
    output.flush()?;
    if let Some(row) = report.invalid.first() {
        say(&format!(
            "warning: table {table}: {} rows of the server are no records and were left out; the first: {}",
            report.invalid.len(),
            row.reason
        ));
    }
    Ok(())
}

/// The numbers of the operations that wait for a decision.
async fn parked(device: &Device) -> Result<BTreeSet<u64>, Failure> {
    if device.sync.pending_count() == 0 {
        return Ok(BTreeSet::new());
    }
    let operations = device.sync.pending().await?;
    let parked = operations.iter().filter(|operation| operation.is_parked());
    Ok(parked.map(|operation| operation.seq).collect())
}
