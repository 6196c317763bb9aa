//! Random interleavings of several handles, against what became visible and when.

use std::cell::RefCell;

use proptest::prelude::any;
use synctable_testkit::for_all;

use super::*;

const STEPS: usize = 400;
const TABLES: [&str; 3] = ["a", "b", "c"];

/// A small source of random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// What is seen of one commit.
#[derive(Debug, Clone)]
struct Visible {
    author: Option<Author>,
    /// Nothing for a stranger, who may have changed anything.
    changed: Option<Vec<Changed>>,
}

/// A batch of a transaction, and the position behind it.
type Staged = (Position, Visible);

/// How far the transaction has come that holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begun,
    Appended,
}

struct Model {
    store: Store,
    random: Random,
    handles: Vec<Option<Handle>>,
    visible: Vec<Visible>,
    /// Positions that were answered, and how many commits could be seen by then.
    positions: Vec<(Position, usize)>,
    /// Who holds the lock, and what its transaction changes.
    holder: Option<(usize, Stage, Vec<Staged>)>,
    /// Who has committed and not marked it yet.
    unmarked: Vec<usize>,
    /// Somebody died before the mark. A stranger who commits before somebody else looks is not told from the dead.
    dangling: bool,
    seen: Seen,
}

/// That the model is worth something.
#[derive(Debug, Default)]
struct Seen {
    known: usize,
    unknown: usize,
    passed: usize,
    failed: usize,
}

/// Which faults are mixed in.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    strangers: bool,
    removals: bool,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            store: Store::new(),
            random: Random(seed),
            handles: (0..4).map(|_| None).collect(),
            visible: Vec::new(),
            positions: Vec::new(),
            holder: None,
            unmarked: Vec::new(),
            dangling: false,
            seen: Seen::default(),
        }
    }

    fn step(&mut self, faults: Faults) {
        let at = self.random.below(self.handles.len());
        if self.handles[at].is_none() {
            self.handles[at] = Some(self.store.open());
            return;
        }
        match self.random.below(40) {
            0 => self.die(at),
            1 if faults.strangers && self.holder.is_none() && self.all_is_marked() => {
                self.store.commit_of_a_stranger();
                self.visible.push(Visible {
                    author: None,
                    changed: None,
                });
            }
            2 if faults.removals => {
                let _ = std::fs::remove_file(self.store.changes());
            }
            3 if faults.removals => std::fs::write(self.store.changes(), "nonsense").unwrap(),
            4..10 => {
                let position = self.handle(at).position();
                self.positions.push((position, self.visible.len()));
            }
            _ if self.unmarked.contains(&at) => {
                self.unmarked.retain(|it| *it != at);
                self.handle(at).log.committed(&self.handle(at).connection);
            }
            10..18 => self.read(at, faults),
            _ => self.go_on(at),
        }
    }

    fn all_is_marked(&self) -> bool {
        self.unmarked.is_empty() && !self.dangling
    }

    fn handle(&self, at: usize) -> &Handle {
        self.handles[at].as_ref().unwrap()
    }

    fn die(&mut self, at: usize) {
        if matches!(self.holder, Some((holder, ..)) if holder == at) {
            self.handle(at).connection.roll_back(true);
            self.holder = None;
            self.dangling = true;
        }
        self.dangling |= self.unmarked.contains(&at);
        self.unmarked.retain(|it| *it != at);
        self.handles[at].take().unwrap().kill();
    }

    /// The transaction goes one step further, or one begins.
    fn go_on(&mut self, at: usize) {
        match self.holder.take() {
            None => {
                self.handle(at).begin();
                self.dangling = false;
                self.holder = Some((at, Stage::Begun, Vec::new()));
            }
            Some((holder, stage, changes)) if holder != at => {
                self.holder = Some((holder, stage, changes));
            }
            Some((_, stage, _)) if self.random.below(8) == 0 => {
                let wrote = stage == Stage::Appended && self.random.below(2) == 0;
                let handle = self.handle(at);
                handle.connection.roll_back(wrote);
                handle.log.undone(&handle.connection);
            }
            Some((_, Stage::Begun, mut changes)) => {
                if changes.is_empty() || self.random.below(3) == 0 {
                    self.check(at, &changes);
                    let batch = self.batch();
                    let names = batch.changed.clone().unwrap();
                    let position = self.handle(at).log.stage(batch.author, names);
                    changes.push((position, batch));
                    self.holder = Some((at, Stage::Begun, changes));
                } else {
                    let handle = self.handle(at);
                    handle.log.append(&handle.connection, false).unwrap();
                    self.holder = Some((at, Stage::Appended, changes));
                }
            }
            Some((_, Stage::Appended, changes)) => {
                self.handle(at).connection.commit();
                for (position, batch) in changes {
                    self.visible.push(batch);
                    self.positions.push((position, self.visible.len()));
                }
                self.unmarked.push(at);
            }
        }
    }

    /// A check holds only where nobody else has changed the table.
    fn check(&mut self, at: usize, staged: &[Staged]) {
        if self.positions.is_empty() {
            return;
        }
        // Mostly a late one, as an early one hardly ever holds.
        let back = self.random.below(self.positions.len().min(12));
        let (since, seen) = self.positions[self.positions.len() - 1 - back];
        let name = table(TABLES[self.random.below(TABLES.len())]);
        let author = self.author();
        let all: Vec<&Visible> = {
            let staged = staged.iter().map(|(_, batch)| batch);
            self.visible.iter().chain(staged).collect()
        };
        let foreign = |it: &&Visible| match &it.changed {
            None => true,
            Some(changed) => {
                let is_own = author.is_some() && it.author == author;
                !is_own && changed.iter().any(|it| *it.table() == name)
            }
        };
        let is_changed = all
            .get(seen..)
            .is_some_and(|later| later.iter().any(foreign));
        let holds = self.handle(at).log.is_unchanged(&name, since, author);
        assert!(
            !holds || !is_changed,
            "a check passed over a foreign change"
        );
        self.seen.passed += usize::from(holds);
        self.seen.failed += usize::from(!holds);
    }

    fn author(&mut self) -> Option<Author> {
        let author = u64::try_from(self.random.below(3)).unwrap();
        (author > 0).then_some(Author::from_number(author))
    }

    fn batch(&mut self) -> Visible {
        // Some are so long that the ring is soon full.
        let length = if self.random.below(4) == 0 { 4000 } else { 9 };
        let changed = (0..=self.random.below(20)).map(|_| {
            let table = table(TABLES[self.random.below(TABLES.len())]);
            let id = format!("{:0length$}", self.random.below(1000));
            Changed::Record {
                table,
                id: RecordId::system(&id),
            }
        });
        let changed = changed.collect();
        Visible {
            author: self.author(),
            changed: Some(changed),
        }
    }

    /// A reader that goes on from a position.
    fn read(&mut self, at: usize, faults: Faults) {
        // What nobody has looked for cannot be known yet.
        let settled = self.holder.is_none() && self.unmarked.is_empty();
        if !settled || faults.removals || faults.strangers || self.positions.is_empty() {
            return;
        }
        let looks = self.handle(at).log.position().look;
        if looks {
            self.settle(at);
        }
        let back = self.random.below(self.positions.len().min(40));
        self.compare(at, self.positions.len() - 1 - back);
    }

    fn settle(&self, at: usize) {
        let handle = self.handle(at);
        handle.begin();
        handle.log.settle(&handle.connection);
        handle.roll_back();
    }

    fn compare(&mut self, at: usize, position: usize) {
        let (since, seen) = self.positions[position];
        let Some(told) = self.handle(at).since(since) else {
            self.seen.unknown += 1;
            return;
        };
        self.seen.known += 1;
        for it in self.visible.get(seen..).unwrap_or_default() {
            let changed = it
                .changed
                .as_ref()
                .expect("nobody knows what a stranger did");
            for change in changed {
                let whole = Changed::Table {
                    table: change.table().clone(),
                };
                let is_told = told.contains(change) || told.contains(&whole);
                assert!(is_told, "{change:?} is missed");
            }
        }
    }

    /// Everything ends, everybody looks, and from all positions all is known, or nothing.
    fn end(&mut self) {
        if let Some((holder, ..)) = self.holder.take() {
            self.handle(holder).roll_back();
        }
        for at in std::mem::take(&mut self.unmarked) {
            self.handle(at).log.committed(&self.handle(at).connection);
        }
        let living: Vec<usize> = (0..self.handles.len())
            .filter(|at| self.handles[*at].is_some())
            .collect();
        for at in living.iter().chain(&living) {
            self.settle(*at);
        }
        for at in living {
            for position in 0..self.positions.len() {
                self.compare(at, position);
            }
        }
    }
}

fn run(faults: Faults) -> Seen {
    let all = RefCell::new(Seen::default());
    let check = async |seed| {
        let mut model = Model::new(seed);
        for _ in 0..STEPS {
            model.step(faults);
        }
        model.end();
        let mut all = all.borrow_mut();
        all.known += model.seen.known;
        all.unknown += model.seen.unknown;
        all.passed += model.seen.passed;
        all.failed += model.seen.failed;
        Ok(())
    };
    synctable_testkit::run(for_all(60, any::<u64>(), check));
    all.into_inner()
}

#[test]
fn no_commit_is_missed_and_no_check_passes_over_one() {
    let seen = run(Faults::default());
    assert!(seen.known > 1000 && seen.passed > 100, "{seen:?}");
    assert!(seen.unknown > 100 && seen.failed > 100, "{seen:?}");
}

#[test]
fn what_a_stranger_commits_is_not_known() {
    let seen = run(Faults {
        strangers: true,
        removals: false,
    });
    assert!(seen.known > 1000 && seen.passed > 100, "{seen:?}");
}

#[test]
fn a_file_that_is_removed_or_damaged_makes_no_check_pass() {
    let seen = run(Faults {
        strangers: true,
        removals: true,
    });
    assert!(seen.known > 100 && seen.passed > 30, "{seen:?}");
}
