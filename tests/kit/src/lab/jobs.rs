//! What a child does, and the lines in which it speaks.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synctable_core::store::{LocalStore, StoreErrorKind};

use super::work::{State, declared};
use crate::Harness;

/// Holds the order of a child; without it a child does nothing.
pub(super) const ORDER: &str = "SYNCTABLE_CHILD";
/// What the lines begin with that are meant for the parent.
pub(super) const MARK: &str = "synctable-child ";

/// What a child is to do in its folder.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Commit batches of the history `seed` until it is killed, with the tables as declared in `round`.
    Write { seed: u64, round: u64 },
    /// Open the store and hold it until it is killed.
    Hold,
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
    /// The store is open and holds `tag` as its last batch.
    Opened { tag: u64 },
    /// The tables are declared.
    Defined,
    /// A commit returned `Ok`.
    Acknowledged { number: u64 },
    /// A commit returned `CheckFailed`, as it should.
    Refused { number: u64 },
    /// A commit returned another error.
    Failed {
        number: u64,
        kind: String,
        message: String,
    },
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
            Job::Hold => hold::<H>(&order.folder).await,
        };
        say(&outcome.map_or_else(Said::Wrong, |()| Said::Done));
    });
}

/// Ends the process when nobody listens any more.
fn say(said: &Said) {
    let text = serde_json::to_string(said).expect("a line");
    let line = format!("\n{MARK}{text}\n");
    let mut out = std::io::stdout().lock();
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
    say(&Said::Opened { tag: state.tag() });
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
            Ok(()) if holds => {
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
    std::io::stdin()
        .read_line(&mut String::new())
        .map_err(|error| error.to_string())?;
    drop(store);
    Ok(())
}
