//! The log with a database that only counts, which shows what a real one does too seldom.

mod files;
mod model;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use synctable_core::RecordId;
use tempfile::TempDir;

use super::*;

/// One database, as all handles see it.
#[derive(Debug, Default)]
struct State {
    /// Who made the commits: the number of a handle, or 0 for a program that knows nothing of the log.
    commits: Vec<u32>,
    log_id: u64,
    /// What was written to SQLite's log.
    writes: u64,
    handles: u32,
}

/// The connection of one handle.
#[derive(Debug)]
struct Connection {
    state: Arc<Mutex<State>>,
    number: u32,
    /// The id that its transaction writes.
    log_id: Mutex<Option<u64>>,
}

impl Connection {
    fn to(state: &Arc<Mutex<State>>) -> Self {
        let mut locked = state.lock().unwrap();
        locked.handles += 1;
        Self {
            state: Arc::clone(state),
            number: locked.handles,
            log_id: Mutex::default(),
        }
    }

    fn commit(&self) {
        let mut state = self.state.lock().unwrap();
        state.commits.push(self.number);
        state.writes += 1;
        if let Some(id) = self.log_id.lock().unwrap().take() {
            state.log_id = id;
        }
    }

    fn roll_back(&self, wrote: bool) {
        self.log_id.lock().unwrap().take();
        self.state.lock().unwrap().writes += u64::from(wrote);
    }
}

impl Database for Connection {
    fn version(&self) -> Result<i64, StoreError> {
        let state = self.state.lock().unwrap();
        let others = state.commits.iter().filter(|it| **it != self.number);
        Ok(i64::try_from(others.count()).unwrap())
    }

    fn log_id(&self) -> Result<u64, StoreError> {
        Ok(self.state.lock().unwrap().log_id)
    }

    fn set_log_id(&self, id: u64) -> Result<(), StoreError> {
        *self.log_id.lock().unwrap() = Some(id);
        Ok(())
    }

    fn stamp(&self) -> u64 {
        self.state.lock().unwrap().writes
    }
}

/// A database in a folder, for the log of which there is a file.
struct Store {
    folder: TempDir,
    state: Arc<Mutex<State>>,
}

/// One opening of it.
struct Handle {
    connection: Connection,
    log: Log,
}

impl Store {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            state: Arc::default(),
        }
    }

    fn changes(&self) -> PathBuf {
        self.folder.path().join("a.db-changes")
    }

    fn open(&self) -> Handle {
        let connection = Connection::to(&self.state);
        let mut log = Log::open(self.changes(), Duration::ZERO, &connection).unwrap();
        log.patience = Duration::ZERO;
        Handle { connection, log }
    }

    /// Commits as a program does that knows nothing of the log.
    fn commit_of_a_stranger(&self) {
        let mut state = self.state.lock().unwrap();
        state.commits.push(0);
        state.writes += 1;
    }
}

impl Handle {
    /// Takes the lock. True where the log had to begin anew.
    fn begin(&self) -> bool {
        let mut anew = false;
        while self.log.look(&self.connection).unwrap() == Look::Lost {
            assert!(!anew, "it begins anew once");
            anew = true;
            self.log.begin(&self.connection).unwrap();
            self.connection.commit();
            self.log.committed(&self.connection);
        }
        anew
    }

    fn roll_back(&self) {
        self.connection.roll_back(false);
        self.log.undone(&self.connection);
    }

    /// One whole commit.
    fn commit(&self, changed: Vec<Changed>) -> Position {
        self.begin();
        let position = self.log.stage(None, changed);
        self.log.append(&self.connection, false).unwrap();
        self.connection.commit();
        self.log.committed(&self.connection);
        position
    }

    fn position(&self) -> Position {
        self.log.position().value
    }

    /// All that was changed since; `None` where it is not known.
    fn since(&self, mut since: Position) -> Option<Vec<Changed>> {
        let mut all = Vec::new();
        loop {
            match self.log.since(since, 7).value {
                Changes::Unknown { .. } => return None,
                Changes::Known {
                    changed,
                    next,
                    more,
                } => {
                    all.extend(changed);
                    since = next;
                    if !more {
                        return Some(all);
                    }
                }
            }
        }
    }

    /// Dies.
    fn kill(self) {
        let place = self.log.lock().place.take();
        place.unwrap().abandon();
    }
}

fn table(name: &str) -> TableName {
    TableName::new(name).unwrap()
}

fn todo(id: &str) -> Changed {
    Changed::Record {
        table: table("todo"),
        id: RecordId::system(id),
    }
}
