//! A loop of processes that end badly, over one folder.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use synctable_core::Schema;
use synctable_core::store::LocalStore;

use super::{Child, End, Job, Lab, Ledger, Random, Said, State, declared, no_process_starts};
use crate::Harness;
use crate::fixture::Store;

/// The contract that a round is about.
const RULE: &str = "what was acknowledged is there afterwards, whole and in its order; `Eventual` batches may be lost by a power cut alone \
    (synctable_core::store::LocalStore::define and commit, Durability)";

/// What is known of the store in the loop.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    lab: &'a Lab,
    end: End,
    random: Random,
    round: u64,
    ledger: Ledger,
    /// The declarations that were acknowledged, and with those that perhaps were not.
    known: Schema,
    wanted: Schema,
}

impl<'a> Trial<'a> {
    /// A folder that holds nothing, whose processes will end as `end` says.
    pub(crate) fn new(lab: &'a Lab, end: End, random: Random) -> Self {
        Self {
            lab,
            end,
            random,
            round: 0,
            ledger: Ledger::new(),
            known: Schema::new(),
            wanted: Schema::new(),
        }
    }

    pub(crate) fn lab(&self) -> &'a Lab {
        self.lab
    }

    /// Starts a process that commits random batches.
    pub(crate) fn writer(&mut self, folder: &Path) -> Child {
        let seed = self.ledger.begin(self.random.next());
        let round = self.round;
        self.lab.start(folder, Job::Write { seed, round })
    }

    /// The same, when it is about to open the store.
    pub(crate) fn opener(&mut self, folder: &Path) -> Child {
        let mut child = self.writer(folder);
        assert_eq!(child.next(), Some(Said::Opening), "{}", child.errors());
        child
    }

    /// Listens until the child has had a random number of batches, up to `most`, acknowledged.
    pub(crate) fn hear(&mut self, child: &mut Child, most: u64) {
        let target = self.ledger.acknowledged() + 1 + self.random.below(most);
        while self.ledger.acknowledged() < target {
            let Some(said) = child.next() else {
                panic!("the child has ended: {}", child.errors());
            };
            self.note(&said, child);
        }
    }

    /// Takes note of the rest of what a child said that has ended.
    pub(crate) fn hear_rest(&mut self, child: &mut Child) {
        while let Some(said) = child.next() {
            self.note(&said, child);
        }
    }

    fn note(&mut self, said: &Said, child: &Child) {
        match said {
            Said::Holds { .. } => {
                let wanted = self.known.merged(&declared(self.round));
                self.wanted = wanted.expect("later rounds only add fields");
            }
            Said::Defined => self.known = self.wanted.clone(),
            _ => {}
        }
        if let Err(what) = self.ledger.note(said, self.end) {
            panic!("round {}: {what}; {}", self.round, child.errors());
        }
    }

    /// Waits for up to `most` microseconds, so that the end comes at any moment.
    pub(crate) fn pause(&mut self, most: u64) {
        sleep(Duration::from_micros(self.random.below(most)));
    }

    /// Opens the store again: it holds what it must. The next round goes on from that.
    pub(crate) async fn check<H: Harness>(&mut self, folder: &Path) {
        let store = opened::<H>(folder).await;
        let schema = store.schema().await.expect("the declarations are read");
        assert!(
            [&self.known, &self.wanted].contains(&&schema),
            "round {}: the store declares neither what was acknowledged nor what was under way: {RULE}",
            self.round
        );
        self.known = schema;
        let found = State::of(&*store).await.expect("the store is read");
        if let Err(what) = self.ledger.check(found, self.end) {
            panic!("round {}: {what}: {RULE}", self.round);
        }
        store.close().await.expect("the store closes");
        self.round += 1;
    }

    /// How many batches were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged()
    }
}

/// The store in `folder`, which must open.
pub(crate) async fn opened<H: Harness>(folder: &Path) -> Store {
    no_process_starts();
    match H::open_in(folder).await {
        Ok(store) => store,
        Err(error) => panic!("the store does not open again: {error}"),
    }
}
