//! A change log in memory: what a store of one process needs to answer for its changes.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use super::{Author, Changed, Changes, Position};
use crate::name::TableName;

/// How many changes are known at least.
pub const KNOWN_CHANGES: usize = 10_000;
/// The most names that one commit has in the log. Where it changed more, the log names its tables.
const NAMES: usize = 10_000;

/// The change log of an open store, in memory: the last 10,000 changes or more, and who changed each table last.
///
/// A store that one process has open keeps one and notes each commit while nobody else can commit, once it can be read: then a position that was
/// answered never passes a commit that a reader cannot see yet. It begins anew with each opening.
///
/// ```
/// use synctable_core::store::{Author, Changed, Changes, ChangeLog};
/// use synctable_core::{RecordId, TableName};
/// let table = TableName::new("todo").unwrap();
/// let milk = Changed::Record { table: table.clone(), id: RecordId::new("milk").unwrap() };
///
/// let mut log = ChangeLog::new();
/// let before = log.position();
/// let after = log.append(None, vec![milk.clone()]);
/// assert_eq!(log.since(before, 100), Changes::Known { changed: vec![milk], next: after, more: false });
/// assert!(!log.is_unchanged(&table, before, None));
/// assert!(log.is_unchanged(&table, after, None));
/// ```
#[derive(Debug, Clone)]
pub struct ChangeLog {
    id: u64,
    /// The number of the last commit; the first one has 1.
    last: u64,
    /// The number of the last commit that can be read.
    visible: u64,
    /// What was done up to this commit is not known.
    floor: u64,
    /// The last commits, oldest first, with their numbers in a row.
    commits: VecDeque<Box<[Changed]>>,
    /// How many names they hold.
    names: usize,
    tables: HashMap<TableName, LastChange>,
}

/// Who changed a table last, and when somebody else did: what a change log keeps of each table, to answer for
/// [`expect_unchanged`](super::WriteBatch::expect_unchanged). For stores whose log is kept elsewhere than in a [`ChangeLog`].
///
/// ```
/// use synctable_core::store::{Author, LastChange};
/// let [mine, theirs] = [1, 2].map(|it| Some(Author::from_number(it)));
/// let mut last = LastChange::new(theirs, 1);
/// last.changed(mine, 2);
/// last.changed(mine, 3);
/// assert_eq!((last.but_by(mine), last.but_by(theirs)), (1, 3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastChange {
    /// Who made the last commit that changed the table; `None` if they did not say.
    pub author: Option<Author>,
    /// The number of that commit.
    pub commit: u64,
    /// The number of the last commit of anybody but `author`; 0 if none is known. Without an author it has no meaning.
    pub others: u64,
}

impl Default for ChangeLog {
    fn default() -> Self {
        Self::new()
    }
}

impl ChangeLog {
    /// A log in which nothing has happened, under an id of its own.
    #[must_use]
    pub fn new() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        Self::continued(high ^ low, 0)
    }

    /// The log with this id as it goes on after `commit`; what was before is not known. For stores whose log is kept elsewhere.
    #[must_use]
    pub fn continued(id: u64, commit: u64) -> Self {
        Self {
            id,
            last: commit,
            visible: commit,
            floor: commit,
            commits: VecDeque::new(),
            names: 0,
            tables: HashMap::new(),
        }
    }

    /// Notes a commit that can be read: what it changed, each thing at least once. Returns the position behind it.
    pub fn append(&mut self, author: Option<Author>, changed: Vec<Changed>) -> Position {
        self.stage(author, changed);
        self.publish();
        self.position()
    }

    /// Notes a commit that cannot be read yet: [`is_unchanged`](Self::is_unchanged) counts it, positions do not reach it before
    /// [`publish`](Self::publish). For stores that do several batches in one transaction. Returns the position behind it.
    pub fn stage(&mut self, author: Option<Author>, changed: Vec<Changed>) -> Position {
        if changed.is_empty() {
            return Position::new(self.id, self.last, 0);
        }
        self.last += 1;
        let mut table: Option<&TableName> = None;
        for change in &changed {
            if table != Some(change.table()) {
                table = Some(change.table());
                self.tables
                    .entry(change.table().clone())
                    .and_modify(|last| last.changed(author, self.last))
                    .or_insert(LastChange::new(author, self.last));
            }
        }
        let names = if changed.len() > NAMES {
            Changed::tables_of(&changed)
        } else {
            changed
        };
        self.names += names.len();
        self.commits.push_back(names.into());
        while let Some(oldest) = self.commits.front()
            && self.names - oldest.len() >= KNOWN_CHANGES
        {
            self.names -= oldest.len();
            self.commits.pop_front();
        }
        Position::new(self.id, self.last, 0)
    }

    /// All that was staged can be read now; also if it was undone, as a name too many does no harm.
    pub fn publish(&mut self) {
        self.visible = self.last;
    }

    /// The place behind everything that can be read.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.id, self.visible, 0)
    }

    /// What was changed since a position, at most `limit` names, but at least one.
    #[must_use]
    pub fn since(&self, since: Position, limit: usize) -> Changes {
        let now = self.position();
        let known = self.last - self.commits.len() as u64;
        let behind = since.commit().checked_sub(known);
        let Some(behind) = behind.filter(|_| since <= now) else {
            return Changes::Unknown { now };
        };
        let behind = usize::try_from(behind).unwrap_or(usize::MAX);
        let (mut changed, mut next) = (Vec::new(), since);
        let ahead = usize::try_from(self.visible - since.commit().min(self.visible));
        for names in self
            .commits
            .iter()
            .skip(behind)
            .take(ahead.unwrap_or(usize::MAX))
        {
            let room = limit.max(1) - changed.len();
            let from = usize::try_from(next.place()).unwrap_or(usize::MAX);
            let rest = names.get(from..).unwrap_or_default();
            if room < rest.len() {
                changed.extend_from_slice(rest.get(..room).unwrap_or_default());
                // A commit has no more names than fit.
                let place = u32::try_from(from + room).unwrap_or(u32::MAX);
                next = Position::new(self.id, next.commit(), place);
                break;
            }
            changed.extend_from_slice(rest);
            next = Position::new(self.id, next.commit() + 1, 0);
        }
        Changes::Known {
            changed,
            next,
            more: next != now,
        }
    }

    /// Whether nobody but `author` has changed a table since a position; false where that is not known.
    #[must_use]
    pub fn is_unchanged(&self, table: &TableName, since: Position, author: Option<Author>) -> bool {
        let known = since.commit() >= self.floor && since <= Position::new(self.id, self.last, 0);
        let last = self.tables.get(table);
        let last = last.map_or(self.floor, |last| last.but_by(author));
        known && last <= since.commit()
    }
}

impl LastChange {
    /// The first change of a table that is noted.
    #[must_use]
    pub fn new(author: Option<Author>, commit: u64) -> Self {
        Self {
            author,
            commit,
            others: 0,
        }
    }

    /// The last commit of anybody but `author`; of anybody where there is none.
    #[must_use]
    pub fn but_by(self, author: Option<Author>) -> u64 {
        if author.is_some() && self.author == author {
            self.others
        } else {
            self.commit
        }
    }

    /// Notes a later commit that changes the table.
    pub fn changed(&mut self, author: Option<Author>, commit: u64) {
        if author.is_none() || self.author != author {
            self.others = self.commit;
            self.author = author;
        }
        self.commit = commit;
    }
}

#[cfg(test)]
mod tests;
