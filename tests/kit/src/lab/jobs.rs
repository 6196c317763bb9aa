//! What a child does, and the lines in which it speaks.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synctable_core::store::{LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{Record, RecordId, TableName, TableSchema};

use super::ledger::{End, Ledger};
use super::work::{State, declared};
use crate::Harness;
use crate::fixture::{declare, id, table};

/// Holds the order of a child; without it a child does nothing.
pub(super) const ORDER: &str = "SYNCTABLE_CHILD";
/// What the lines begin with that are meant for the parent.
pub(super) const MARK: &str = "synctable-child ";

/// What a child is to do in its folder.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Commit batches of the history `seed` until it is killed, with the tables as declared in `round`.
    Write { seed: u64, round: u64 },
    /// Commit `batches` batches of the history `seed` though calls fail: open the store again where that is told.
    Struggle {
        seed: u64,
        batches: u64,
        may_lose: bool,
    },
    /// Add one to the counter so often, whoever else does.
    Count { times: u64 },
    /// Append to the file [`Job::APPENDED`] until it is killed, without ever syncing it.
    Append,
    /// Open the store and hold it until it is killed.
    Hold,
}

impl Job {
    pub(crate) const APPENDED: &str = "appended";
}

/// A [`StoreError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            kind: format!("{:?}", error.kind()),
            message: error.to_string(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) folder: PathBuf,
    pub(super) job: Job,
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    /// It begins to open the store.
    Opening,
    /// The store is open, or was read after a failure, and holds `tag` as its last batch.
    Holds { tag: u64 },
    /// The tables are declared.
    Defined,
    /// A commit returned `Ok`.
    Acknowledged { number: u64 },
    /// A commit returned `CheckFailed`, as it should.
    Refused { number: u64 },
    /// A commit returned another error.
    Failed { number: u64, error: Failure },
    /// Another call returned an error.
    Broken { call: String, error: Failure },
    /// The job is done.
    Done,
    /// The store broke its contract.
    Wrong(String),
}

/// Does what the process that started this one wants, if any did: the one call of a test or program that a
/// [`Lab`](super::Lab) starts.
pub fn child_process<H: Harness>() {
    let Ok(order) = env::var(ORDER) else {
        return;
    };
    let order: Order = serde_json::from_str(&order).expect("an order of the kit");
    crate::run(async {
        let outcome = match order.job {
            Job::Write { seed, round } => write::<H>(&order.folder, seed, round).await,
            Job::Struggle {
                seed,
                batches,
                may_lose,
            } => struggle::<H>(&order.folder, seed, batches, may_lose).await,
            Job::Count { times } => count::<H>(&order.folder, times).await,
            Job::Append => append(&order.folder).map_err(|error| error.to_string()),
            Job::Hold => hold::<H>(&order.folder).await,
        };
        say(&outcome.map_or_else(Said::Wrong, |()| Said::Done));
    });
}

/// Ends the process when nobody listens any more.
fn say(said: &Said) {
    let text = serde_json::to_string(said).expect("a line");
    let line = format!("\n{MARK}{text}\n");
    let mut out = io::stdout().lock();
    if out
        .write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(1);
    }
}

async fn open<H: Harness>(folder: &Path) -> Result<(Arc<dyn LocalStore>, State), String> {
    say(&Said::Opening);
    let store = H::open_in(folder)
        .await
        .map_err(|error| format!("the store does not open: {error}"))?;
    let state = State::of(&*store)
        .await
        .map_err(|error| format!("the store is open but cannot be read: {error}"))?;
    say(&Said::Holds { tag: state.tag() });
    Ok((store, state))
}

async fn write<H: Harness>(folder: &Path, seed: u64, round: u64) -> Result<(), String> {
    let (store, mut state) = open::<H>(folder).await?;
    store
        .define(&declared(round))
        .await
        .map_err(|error| format!("define fails: {error}"))?;
    say(&Said::Defined);
    for number in state.tag() + 1.. {
        let (batch, holds) = state.batch(seed, number);
        let after = state.after(&batch);
        match store.commit(batch).await {
            Ok(_) if holds => {
                state = after;
                say(&Said::Acknowledged { number });
            }
            Err(error) if !holds && error.kind() == StoreErrorKind::CheckFailed => {
                say(&Said::Refused { number });
            }
            outcome => {
                return Err(format!(
                    "batch {number}: the checks hold: {holds}, commit: {outcome:?}"
                ));
            }
        }
    }
    Ok(())
}

async fn hold<H: Harness>(folder: &Path) -> Result<(), String> {
    let (store, _) = open::<H>(folder).await?;
    // The parent holds the other end until it kills this process, or ends itself.
    io::stdin()
        .read_line(&mut String::new())
        .map_err(|error| error.to_string())?;
    drop(store);
    Ok(())
}

fn append(folder: &Path) -> io::Result<()> {
    let mut file = File::create(folder.join(Job::APPENDED))?;
    for number in 1.. {
        writeln!(file, "{number}")?;
        say(&Said::Acknowledged { number });
    }
    Ok(())
}

fn counter() -> (TableName, RecordId) {
    (table("counters"), id("counter"))
}

/// What the counter in `store` holds.
pub(crate) async fn counted(store: &dyn LocalStore) -> Result<u64, String> {
    let (table, id) = counter();
    let record = store.get_one(&table, &id).await;
    let record = record.map_err(|error| format!("the counter cannot be read: {error}"))?;
    let number = record.as_ref().and_then(|it| it.member("n")?.as_u64());
    Ok(number.unwrap_or(0))
}

async fn count<H: Harness>(folder: &Path, times: u64) -> Result<(), String> {
    let store = H::open_in(folder)
        .await
        .map_err(|error| format!("the store does not open: {error}"))?;
    let (table, id) = counter();
    let fails = |error| format!("the store fails: {error}");
    let schema = declare(&table, TableSchema::new());
    store.define(&schema).await.map_err(fails)?;
    for _ in 0..times {
        loop {
            let found = store.get_one(&table, &id).await.map_err(fails)?;
            let number = found.as_ref().and_then(|it| it.member("n")?.as_u64());
            let number = number.unwrap_or(0) + 1;
            let batch = match found {
                Some(record) => WriteBatch::new().expect_same(&table, record),
                None => WriteBatch::new().expect_absent(&table, &id),
            };
            let next = Record::new(id.clone(), &format!(r#"{{"n":{number}}}"#));
            let batch = batch.put(&table, next.expect("a record"));
            match store.commit(batch).await {
                Ok(_) => {
                    say(&Said::Acknowledged { number });
                    break;
                }
                // Somebody else was faster.
                Err(error) if error.kind() == StoreErrorKind::CheckFailed => {}
                Err(error) => return Err(fails(error)),
            }
        }
    }
    store.close().await.map_err(fails)
}

/// How often a store is opened whose calls fail.
const OPENINGS: u32 = 4;
/// After so many failures in a row a store is opened again.
const FAILURES: u32 = 3;

async fn struggle<H: Harness>(
    folder: &Path,
    seed: u64,
    batches: u64,
    may_lose: bool,
) -> Result<(), String> {
    let end = if may_lose { End::Cut } else { End::Killed };
    let mut ledger = Ledger::new();
    ledger.begin(seed);
    for _ in 0..OPENINGS {
        say(&Said::Opening);
        let store = match H::open_in(folder).await {
            Ok(store) => store,
            Err(error) => {
                broken("open", error);
                continue;
            }
        };
        let mut failures = 0;
        while failures < FAILURES {
            if failures == 0 && !(holds(&*store, &mut ledger, end).await? && defined(&*store).await)
            {
                break;
            }
            match commits(&*store, &mut ledger, batches).await? {
                None => {
                    if let Err(error) = store.close().await {
                        broken("close", error);
                    }
                    return Ok(());
                }
                Some(StoreErrorKind::Unknown) => break,
                // The batch is not done: the store still is as it was.
                Some(_) => {
                    failures += 1;
                    if !holds(&*store, &mut ledger, end).await? {
                        break;
                    }
                }
            }
        }
        if let Err(error) = store.close().await {
            broken("close", error);
        }
    }
    Ok(())
}

fn broken(call: &str, error: StoreError) {
    let (call, error) = (call.to_owned(), error.into());
    say(&Said::Broken { call, error });
}

async fn defined(store: &dyn LocalStore) -> bool {
    match store.define(&declared(0)).await {
        Ok(()) => say(&Said::Defined),
        Err(error) => {
            broken("define", error);
            return false;
        }
    }
    true
}

/// Reads the store. `Ok(false)` if that fails, `Err` if it holds what it must not.
async fn holds(store: &dyn LocalStore, ledger: &mut Ledger, end: End) -> Result<bool, String> {
    match State::of(store).await {
        Ok(state) => {
            let said = Said::Holds { tag: state.tag() };
            ledger.check(state, end)?;
            ledger.note(&said, end)?;
            say(&said);
            Ok(true)
        }
        Err(error) => {
            broken("query", error);
            Ok(false)
        }
    }
}

/// Commits up to batch `last`, or to the first error, whose kind is returned.
async fn commits(
    store: &dyn LocalStore,
    ledger: &mut Ledger,
    last: u64,
) -> Result<Option<StoreErrorKind>, String> {
    while ledger.next() <= last {
        let number = ledger.next();
        let (batch, holds) = ledger.batch();
        let (said, failed) = match store.commit(batch).await {
            Ok(_) if holds => (Said::Acknowledged { number }, None),
            Ok(_) => return Err(format!("batch {number} was taken, its checks do not hold")),
            Err(error) if error.kind() == StoreErrorKind::CheckFailed && !holds => {
                (Said::Refused { number }, None)
            }
            Err(error) => {
                let kind = error.kind();
                let error = error.into();
                (Said::Failed { number, error }, Some(kind))
            }
        };
        ledger.note(&said, End::Killed)?;
        say(&said);
        if failed.is_some() {
            return Ok(failed);
        }
    }
    Ok(None)
}
