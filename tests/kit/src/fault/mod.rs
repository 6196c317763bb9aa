//! Calls of the system that fail: an error is told, and what was acknowledged is there afterwards.
//!
//! A process commits a fixed history of batches while one of its calls on the store's files fails: the first one, the
//! second one, and so on; once or from then on. It goes on after errors and opens the store again where that is told.
//! It must not panic; its errors are `Io`, `Full`, `Permission` or `Unknown`; a batch that was refused is wholly absent
//! unless the error is `Unknown`, after which nothing more is taken before the store is opened again. Without faults the
//! store then opens, and holds what was acknowledged.
//!
//! Runs on Linux where there is a C compiler. `SYNCTABLE_FAULTS` sets how many calls of each kind fail in turn, `all`
//! for every one.

mod shim;

use std::path::Path;
use std::time::{Duration, Instant};

use synctable_core::store::LocalStore;

pub use self::shim::{Calls, Fault, Shim};
use crate::Harness;
use crate::lab::{End, Faults, Job, Lab, Ledger, Said, State, declared, no_process_starts};

/// How many batches the process commits, and how many where that takes longer than [`SLOW`].
const BATCHES: u64 = 60;
const FEW_BATCHES: u64 = 15;
const SLOW: Duration = Duration::from_millis(400);
/// All runs commit the same batches.
const SEED: u64 = 20;
/// The contract that all of these belong to.
const RULE: &str = "a store opens after any failed call, holds what was acknowledged, and nothing of a batch that failed but where the error said that it may be \
    done (synctable_core::store::LocalStore::commit, StoreErrorKind::Unknown)";

/// A write fails, or is done for half of its bytes.
pub async fn failed_writes_are_told<H: Harness>(_: &H, lab: &Lab) {
    sweep::<H>(lab, "write", &["EIO", "ENOSPC", "short"]).await;
}

/// The process is killed half-way through a write: what was acknowledged is there, and what is acknowledged next is not lost behind the torn end.
pub async fn torn_writes_lose_nothing_acknowledged<H: Harness>(_: &H, lab: &Lab) {
    sweep::<H>(lab, "write", &["torn"]).await;
}

/// A sync fails, and what was written since the last one is there or gone: no later acknowledgement rests on it.
pub async fn failed_syncs_are_told<H: Harness>(_: &H, lab: &Lab) {
    sweep::<H>(lab, "sync", &["EIO", "lost"]).await;
}

/// A file cannot be opened for writing.
pub async fn failed_opens_are_told<H: Harness>(_: &H, lab: &Lab) {
    sweep::<H>(lab, "open", &["EIO", "ENOSPC"]).await;
}

/// A file cannot be made longer or shorter.
pub async fn failed_resizes_are_told<H: Harness>(_: &H, lab: &Lab) {
    sweep::<H>(lab, "resize", &["EIO", "ENOSPC"]).await;
}

/// A file cannot be given another name.
pub async fn failed_renames_are_told<H: Harness>(_: &H, lab: &Lab) {
    sweep::<H>(lab, "rename", &["EIO", "ENOSPC"]).await;
}

async fn sweep<H: Harness>(lab: &Lab, call: &'static str, errors: &[&'static str]) {
    let shim = match Shim::build() {
        Ok(shim) => shim,
        Err(why) => return lab.not_run(&why),
    };
    let none = Fault {
        call,
        error: "EIO",
        at: 0,
        sticky: false,
    };
    let begun = Instant::now();
    let mut calls = attempt::<H>(lab, &shim, none, BATCHES).await.calls;
    let mut batches = BATCHES;
    if begun.elapsed() > SLOW {
        batches = FEW_BATCHES;
        calls = attempt::<H>(lab, &shim, none, batches).await.calls;
    }
    if calls.of("write") == 0 {
        let why = "the library that makes calls fail sees none; is this program linked statically?";
        return lab.not_run(why);
    }
    let calls = calls.of(call);
    for error in errors {
        // A process that has ended makes no later calls.
        let sticky: &[bool] = if *error == "torn" {
            &[false]
        } else {
            &[false, true]
        };
        for sticky in sticky.iter().copied() {
            let step = match lab.faults() {
                Faults::All => 1,
                Faults::Some(number) => calls.div_ceil(number.into()).max(1),
            };
            let mut at = 1;
            loop {
                let fault = Fault {
                    call,
                    error,
                    at,
                    sticky,
                };
                // A run may make a few calls more than the first one did.
                if at > calls && lab.faults() != Faults::All
                    || !attempt::<H>(lab, &shim, fault, batches).await.struck
                {
                    break;
                }
                lab.count("faults", 1);
                at += step;
            }
            lab.tell(&format!("{call} {error}, sticky: {sticky}, {calls} calls"));
        }
    }
}

struct Attempt {
    struck: bool,
    calls: Calls,
}

/// One run of the process, and the demands on what it leaves.
async fn attempt<H: Harness>(lab: &Lab, shim: &Shim, fault: Fault, batches: u64) -> Attempt {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The library compares whole paths.
    let path = folder.path().canonicalize().expect("the temporary folder");
    let may_lose = fault.error == "lost";
    let job = Job::Struggle {
        seed: SEED,
        batches,
        may_lose,
    };
    let mut child = lab.start_with(&path, job, &shim.environment(&path, fault));
    let mut ledger = Ledger::new();
    ledger.begin(SEED);
    let end = if may_lose { End::Cut } else { End::Killed };
    let mut last = None;
    while let Some(said) = child.next() {
        if let Err(what) = ledger.note(&said, end) {
            panic!("{fault:?}: {what}; {}", child.errors());
        }
        last = Some(said);
    }
    let status = child.ended();
    let (struck, calls) = shim.report();
    let as_it_should = if struck && fault.error == "torn" {
        status.code().is_none()
    } else {
        status.success() && last == Some(Said::Done)
    };
    assert!(
        as_it_should,
        "{fault:?}: the process ended with {status}: {}",
        child.errors()
    );
    assert!(
        struck || ledger.acknowledged() > batches / 2,
        "a run without a fault acknowledges {} batches of {batches}",
        ledger.acknowledged()
    );
    if let Err(what) = sound::<H>(&path, &mut ledger, end).await {
        panic!("{fault:?}: afterwards, without faults, {what}: {RULE}");
    }
    lab.count("acknowledged", ledger.acknowledged());
    Attempt { struck, calls }
}

/// Opens the store without faults: it holds what it must, and takes the next batch, which is there at the opening after that.
async fn sound<H: Harness>(folder: &Path, ledger: &mut Ledger, end: End) -> Result<(), String> {
    let store = H::open_in(folder)
        .await
        .map_err(|error| format!("the store does not open: {error}"))?;
    let failed = |error| format!("the store fails: {error}");
    ledger.check(State::of(&*store).await.map_err(failed)?, end)?;
    store.define(&declared(0)).await.map_err(failed)?;
    store.commit(ledger.next_change()).await.map_err(failed)?;
    ledger.next_change_is_done()?;
    store.close().await.map_err(failed)?;
    drop(store);
    no_process_starts();
    let again = |error| format!("the store does not open again: {error}");
    let store = H::open_in(folder).await.map_err(again)?;
    ledger.check(State::of(&*store).await.map_err(failed)?, End::Killed)?;
    store.close().await.map_err(failed)
}
