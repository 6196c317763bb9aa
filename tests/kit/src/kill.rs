//! Processes that are killed at any moment: what they acknowledged is there, what they did not finish is whole or absent.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use synctable_core::Schema;
use synctable_core::store::StoreErrorKind;

use crate::Harness;
use crate::fixture::Store;
use crate::lab::{Child, End, Job, Lab, Ledger, Random, Said, State, declared};

/// A child is killed before it has made so many batches.
const MOST_BATCHES: u64 = 140;

/// One folder for the whole loop: a child commits random batches, is killed, and the store must hold exactly what
/// was acknowledged, and at most the one batch more that was under way. Every tenth time the process that opens the
/// store next is killed, too.
///
/// Batches of both durabilities have to survive. `SYNCTABLE_CYCLES` sets how many kills there are.
pub async fn killed_writer_loses_nothing_acknowledged<H: Harness>(_: &H, lab: &Lab) {
    let mut random = lab.random();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut ledger = Ledger::new();
    let mut schema = Schemas::default();
    for cycle in 0..lab.cycles() {
        let target = 1 + random.below(MOST_BATCHES);
        let mut child = writer(lab, folder.path(), cycle, &mut ledger, &mut random);
        let mut killed = 1;
        heard(&mut child, &mut ledger, &mut schema, cycle, Some(target));
        pause(&mut random, 1500);
        stop(&mut child, &mut ledger, &mut schema, cycle);
        if cycle % 10 == 9 {
            let mut child = writer(lab, folder.path(), cycle, &mut ledger, &mut random);
            assert_eq!(child.next(), Some(Said::Opening), "{}", child.errors());
            pause(&mut random, 4000);
            stop(&mut child, &mut ledger, &mut schema, cycle);
            killed += 1;
        }
        let store = opened::<H>(folder.path()).await;
        schema.check(&store.schema().await.expect("the declarations are read"));
        let found = State::of(&*store).await.expect("the store is read");
        if let Err(what) = ledger.check(found, End::Killed) {
            panic!("after kill {cycle}: {what}");
        }
        store.close().await.expect("the store closes");
        lab.count("kills", killed);
        lab.progress("kills", cycle + 1, lab.cycles());
    }
    lab.count("acknowledged", ledger.acknowledged());
}

/// A process that is killed while it makes the store leaves one that opens, or nothing.
pub async fn killed_maker_leaves_a_store_or_nothing<H: Harness>(_: &H, lab: &Lab) {
    let mut random = lab.random();
    for cycle in 0..lab.cycles().div_ceil(2) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut ledger, mut schema) = (Ledger::new(), Schemas::default());
        let mut child = writer(lab, folder.path(), cycle, &mut ledger, &mut random);
        assert_eq!(child.next(), Some(Said::Opening), "{}", child.errors());
        pause(&mut random, 8000);
        stop(&mut child, &mut ledger, &mut schema, cycle);
        let store = opened::<H>(folder.path()).await;
        schema.check(&store.schema().await.expect("the declarations are read"));
        let found = State::of(&*store).await.expect("the store is read");
        if let Err(what) = ledger.check(found, End::Killed) {
            panic!("after kill {cycle}: {what}");
        }
        store.close().await.expect("the store closes");
        lab.count("kills", 1);
    }
}

/// A store that one process at a time may open refuses everybody else at once, in the same process and in others;
/// once its owner is killed, anybody may open it. One for several processes lets them all in.
pub async fn lock_dies_with_its_owner<H: Harness>(_: &H, lab: &Lab) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = lab.start(folder.path(), Job::Hold);
    assert_eq!(child.next(), Some(Said::Opening), "{}", child.errors());
    assert!(
        matches!(child.next(), Some(Said::Holds { .. })),
        "{}",
        child.errors()
    );
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

async fn opened<H: Harness>(folder: &Path) -> Store {
    match H::open_in(folder).await {
        Ok(store) => store,
        Err(error) => panic!("the store does not open again: {error}"),
    }
}

fn writer(lab: &Lab, folder: &Path, round: u64, ledger: &mut Ledger, random: &mut Random) -> Child {
    let seed = ledger.begin(random.next());
    lab.start(folder, Job::Write { seed, round })
}

/// Listens until `target` batches are acknowledged, or to the end.
fn heard(
    child: &mut Child,
    ledger: &mut Ledger,
    schema: &mut Schemas,
    round: u64,
    target: Option<u64>,
) {
    let before = ledger.acknowledged();
    while target.is_none_or(|target| ledger.acknowledged() - before < target) {
        let Some(said) = child.next() else {
            assert!(target.is_none(), "the child has ended: {}", child.errors());
            return;
        };
        schema.note(&said, round);
        if let Err(what) = ledger.note(&said, End::Killed) {
            panic!("{what}; {}", child.errors());
        }
    }
}

/// Kills the child and hears what it had said.
fn stop(child: &mut Child, ledger: &mut Ledger, schema: &mut Schemas, round: u64) {
    child.kill();
    heard(child, ledger, schema, round, None);
}

/// Waits for up to `most` microseconds, so that the kill comes at any moment.
fn pause(random: &mut Random, most: u64) {
    sleep(Duration::from_micros(random.below(most)));
}

/// What the store may declare.
#[derive(Default)]
struct Schemas {
    known: Schema,
    /// Declared, but perhaps not acknowledged.
    wanted: Schema,
}

impl Schemas {
    fn note(&mut self, said: &Said, round: u64) {
        match said {
            Said::Holds { .. } => {
                let wanted = self.wanted.merged(&declared(round));
                self.wanted = wanted.expect("later rounds only add fields");
            }
            Said::Defined => self.known = self.wanted.clone(),
            _ => {}
        }
    }

    fn check(&mut self, found: &Schema) {
        assert!(
            [&self.known, &self.wanted].contains(&found),
            "the store declares neither what was acknowledged nor what was under way"
        );
        self.known = found.clone();
    }
}
