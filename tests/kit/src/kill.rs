//! Processes that are killed at any moment: what they acknowledged is there, what they did not finish is whole or absent.

use synctable_core::store::{LocalStore, StoreErrorKind};

use crate::Harness;
use crate::lab::{Child, End, Job, Lab, Said, Trial, opened};

/// A child is killed before it has made so many batches.
const MOST_BATCHES: u64 = 140;

/// One folder for the whole loop: a child commits random batches, is killed, and the store must hold exactly what
/// was acknowledged, and at most the one batch more that was under way. Every tenth time the process that opens the
/// store next is killed, too.
///
/// Batches of both durabilities have to survive. `SYNCTABLE_CYCLES` sets how many kills there are.
pub async fn killed_writer_loses_nothing_acknowledged<H: Harness>(_: &H, lab: &Lab) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut trial = Trial::new(lab, End::Killed, lab.random());
    for cycle in 0..lab.cycles() {
        let mut child = trial.writer(folder.path());
        trial.hear(&mut child, MOST_BATCHES);
        trial.pause(1500);
        kill(&mut trial, &mut child, "kills");
        if cycle % 10 == 9 {
            let mut child = trial.opener(folder.path());
            trial.pause(4000);
            kill(&mut trial, &mut child, "kills while opening");
        }
        trial.check::<H>(folder.path()).await;
        lab.progress("kills", cycle + 1, lab.cycles());
    }
    lab.count("acknowledged", trial.acknowledged());
}

/// A process that is killed while it makes the store leaves one that opens, or nothing.
pub async fn killed_maker_leaves_a_store_or_nothing<H: Harness>(_: &H, lab: &Lab) {
    let mut random = lab.random();
    for _ in 0..lab.cycles().div_ceil(2) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut trial = Trial::new(lab, End::Killed, random.fork());
        let mut child = trial.opener(folder.path());
        trial.pause(8000);
        kill(&mut trial, &mut child, "kills while making");
        trial.check::<H>(folder.path()).await;
    }
}

/// Kills the child and hears what it had said.
fn kill(trial: &mut Trial<'_>, child: &mut Child, what: &str) {
    child.kill();
    trial.hear_rest(child);
    trial.lab().count(what, 1);
}

/// A store that one process at a time may open refuses everybody else at once, in the same process and in others;
/// once its owner is killed, anybody may open it. One for several processes lets them all in.
pub async fn lock_dies_with_its_owner<H: Harness>(_: &H, lab: &Lab) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = lab.start(folder.path(), Job::Hold);
    assert_eq!(child.next(), Some(Said::Opening), "{}", child.errors());
    let opens = child.next();
    assert_eq!(opens, Some(Said::Holds { tag: 0 }), "{}", child.errors());
    match H::open_in(folder.path()).await {
        Ok(store) => assert!(
            store.capabilities().multi_process,
            "two processes opened a store that does not claim `multi_process`"
        ),
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}"),
    }
    child.kill();
    let store = opened::<H>(folder.path()).await;
    let shared = store.capabilities().multi_process;
    match H::open_in(folder.path()).await {
        Ok(_) => assert!(
            shared,
            "one process opened a store twice that does not claim `multi_process`"
        ),
        Err(error) => assert!(
            !shared && error.kind() == StoreErrorKind::Locked,
            "the second to open is told: {error}"
        ),
    }
    store.close().await.expect("the store closes");
    drop(store);
    opened::<H>(folder.path()).await;
}
