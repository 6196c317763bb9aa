//! What a handle knows of the log, under one lock.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use synctable_core::store::{ChangeLog, StoreError, StoreErrorKind};
use synctable_kv::files::io_error;

use super::entry;
use super::head::{Head, View};
use super::place::Place;
use super::ring::{Bytes, MOST, Ring};

/// How often readers look whether the file is still at its path.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What the log asks of the database, through the connection that writes.
pub(crate) trait Database {
    /// Another number once anybody else has committed.
    fn version(&self) -> Result<i64, StoreError>;
    /// The id of the log that stands in the database; 0 in a new one.
    fn log_id(&self) -> Result<u64, StoreError>;
    /// Writes it, as part of the transaction.
    fn set_log_id(&self, id: u64) -> Result<(), StoreError>;
    /// How SQLite's log looks from outside.
    fn stamp(&self) -> u64;
}

/// What is taken in, and how far.
#[derive(Debug)]
pub(super) struct Inner {
    /// `None` once closed.
    pub(super) place: Option<Place>,
    /// What is taken in.
    pub(super) memory: ChangeLog,
    pub(super) id: u64,
    /// Up to this offset it is taken in, and to this commit.
    pub(super) at: u64,
    pub(super) last: u64,
    /// The head that the last look found, or that was written since.
    pub(super) head: Option<Head>,
    /// What the database said at the last look that left nothing unexplained.
    pub(super) version: Option<i64>,
    /// That log is named in the database.
    pub(super) is_named: bool,
    pub(super) ours: Option<Ours>,
    /// The turn of a head whose last commit has no mark, and when it was seen first.
    pub(super) unmarked: Option<(u64, Instant)>,
    /// When a reader looked for the file.
    pub(super) looked: Instant,
    /// When the writing thread was asked to look.
    pub(super) asked: Option<Instant>,
}

/// The transaction of this handle, from the look to its end. No other can commit.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) version: i64,
    /// Entries to append.
    pub(super) entries: Vec<u8>,
    /// Whether they are appended.
    pub(super) appended: bool,
    /// The database is told the id in this transaction.
    pub(super) names: bool,
}

impl Inner {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place: Some(place),
            memory: ChangeLog::new(),
            id: 0,
            at: 0,
            last: 0,
            head: None,
            version: None,
            is_named: false,
            ours: None,
            unmarked: None,
            looked: Instant::now(),
            asked: None,
        }
    }

    pub(super) fn ring(&self) -> io::Result<&Ring> {
        let place = self.place.as_ref().map(Place::ring);
        place.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn view(&self) -> io::Result<Option<View>> {
        self.ring()?.view()
    }

    /// Whether the entries tell of all that others have committed. Somebody has, or this is the first look.
    pub(super) fn explains(
        &mut self,
        view: &View,
        database: &impl Database,
    ) -> Result<bool, StoreError> {
        let head = view.head;
        let named = database.log_id()?;
        if named != head.id && named != head.instead_of {
            return Ok(false);
        }
        let last = self.head.filter(|it| it.id == head.id);
        let is_news = last.is_none_or(|it| it.turn != head.turn);
        // Where the last commit has no mark, it is what has written to SQLite's log.
        let is_ours = match view.mark {
            Some(stamp) => stamp == database.stamp(),
            None => view.is_pending(),
        };
        self.is_named = named == head.id;
        Ok(is_news && is_ours)
    }

    /// Takes in entries up to an offset behind commit `last`. What is not there any more is not known from now on.
    pub(super) fn take_in(&mut self, to: u64, last: u64) -> io::Result<()> {
        if to <= self.at {
            return Ok(());
        }
        let entries = match self.ring()?.read(self.id, self.at, to)? {
            Bytes::Whole(bytes) => entry::decode(&bytes, (self.id, self.at)),
            Bytes::Gone => None,
        };
        let follow = entries.filter(|entries| {
            let numbers = entries.iter().map(|it| it.commit);
            numbers.eq(self.last + 1..=last)
        });
        match follow {
            Some(entries) => {
                for it in entries {
                    self.memory.stage(it.author, it.changed);
                }
                self.at = to;
                self.last = last;
            }
            None => self.continue_at(to, last),
        }
        Ok(())
    }

    /// What was before is not known.
    pub(super) fn continue_at(&mut self, at: u64, last: u64) {
        self.memory = ChangeLog::continued(self.id, last);
        self.at = at;
        self.last = last;
    }

    /// Goes over to the log that a view shows, at the end of what is done.
    pub(super) fn restart(&mut self, view: &View) {
        let (at, last) = view.done();
        self.id = view.head.id;
        self.head = None;
        self.continue_at(at, last);
    }

    /// What was staged is not in the ring: it is read from there again.
    pub(super) fn forget(&mut self) {
        match self.view() {
            Ok(Some(view)) => self.restart(&view),
            _ => self.continue_at(self.at, self.last),
        }
    }

    pub(super) fn append(
        &mut self,
        ours: &mut Ours,
        head: Head,
        database: &impl Database,
        path: &Path,
    ) -> Result<(), StoreError> {
        if ours.entries.len() > MOST {
            let message =
                "a batch changes more tables than the change log can name; make several of it";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        if !self.is_named {
            database.set_log_id(self.id)?;
            ours.names = true;
        }
        let appended = self
            .ring()
            .and_then(|ring| ring.append(&head, &ours.entries, self.last));
        let head = appended.map_err(|error| io_error(path, error))?;
        ours.appended = true;
        self.at = head.written;
        self.head = Some(head);
        Ok(())
    }

    /// Marks the last commit. Where that fails, whoever holds the lock next settles it.
    pub(super) fn mark(&self, stamp: u64) {
        let marked = self
            .ring()
            .and_then(|ring| ring.mark(self.id, self.last, stamp));
        if let Err(error) = marked {
            tracing::debug!(%error, "the change log cannot be written; other processes learn late of a commit");
        }
    }

    /// Takes in what others have done. True where the writing thread should look.
    pub(super) fn refresh(&mut self, patience: Duration) -> bool {
        // Nobody else commits meanwhile, and what is staged cannot be read yet.
        if self.ours.is_some() || self.place.is_none() {
            return false;
        }
        let again = LOOK_AGAIN.min(patience);
        let looks = self.needs_a_look(patience, again);
        let is_asked = |asked: Instant| asked.elapsed() < again;
        if !looks || self.asked.is_some_and(is_asked) {
            return false;
        }
        self.asked = Some(Instant::now());
        true
    }

    /// The same, each time that there is a reason.
    pub(super) fn needs_a_look(&mut self, patience: Duration, again: Duration) -> bool {
        let gone = self.looked.elapsed() >= again && {
            self.looked = Instant::now();
            !self.place.as_ref().is_some_and(Place::is_there)
        };
        let Ok(Some(view)) = self.view() else {
            return true;
        };
        if view.head.id != self.id {
            self.restart(&view);
            self.version = None;
        }
        let (to, last) = view.done();
        let failed = self.take_in(to, last).is_err();
        self.memory.publish();
        let settles = view.is_pending() && self.is_overdue(view.head.turn, patience);
        gone || failed || settles
    }

    /// Whether an entry has been without its mark for long.
    pub(super) fn is_overdue(&mut self, turn: u64, patience: Duration) -> bool {
        match self.unmarked {
            Some((seen, since)) if seen == turn => since.elapsed() >= patience,
            _ => {
                self.unmarked = Some((turn, Instant::now()));
                patience.is_zero()
            }
        }
    }
}
