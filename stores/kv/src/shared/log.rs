//! The change log in the engine: what a [`ChangeLog`](synctable_core::store::ChangeLog) is in memory, and with the same answers.

use synctable_core::TableName;
use synctable_core::store::{Author, Changed, Changes, KNOWN_CHANGES, Position, StoreError};

use super::names::{self, damaged};
use crate::key::Key;
use crate::read::{KvRead, KvReadExt, KvWrite};

const HEAD: u8 = 1;
const LAST: u8 = 2;
const COMMIT: u8 = 3;
/// The most names that one commit has in the log. Where it changed more, the log names its tables.
const NAMES: usize = 10_000;

/// Which commits the log has, and how many names they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    id: u64,
    first: u64,
    last: u64,
    names: u64,
}

/// Who changed a table last, and when somebody else did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    author: Option<Author>,
    commit: u64,
    others: u64,
}

impl Head {
    fn read(read: &dyn KvRead) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = read.copy_of(&head_key())? else {
            return Ok(None);
        };
        let [id, first, last, names] = numbers(&bytes)?;
        Ok(Some(Self {
            id,
            first,
            last,
            names,
        }))
    }

    fn write(self, write: &mut dyn KvWrite) -> Result<(), StoreError> {
        let bytes = bytes([self.id, self.first, self.last, self.names]);
        write.put(&head_key(), &bytes)
    }

    fn position(self) -> Position {
        Position::new(self.id, self.last, 0)
    }
}

/// Notes what a transaction changes, before it is committed. Returns the position behind it. No entry is longer than `longest`.
pub(crate) fn append(
    write: &mut dyn KvWrite,
    longest: usize,
    author: Option<Author>,
    changed: &[Changed],
) -> Result<Position, StoreError> {
    let mut head = Head::read(write)?.unwrap_or_else(|| Head {
        id: Author::random().number(),
        first: 1,
        last: 0,
        names: 0,
    });
    if changed.is_empty() {
        head.write(write)?;
        return Ok(head.position());
    }
    head.last += 1;
    let tables = Changed::tables_of(changed);
    for table in &tables {
        Last::note(write, table.table(), author, head.last)?;
    }
    let changed = if changed.len() > NAMES {
        &tables
    } else {
        changed
    };
    for (part, chunk) in names::encode(changed, longest).iter().enumerate() {
        write.put(&commit_key(head.last, part), chunk)?;
    }
    head.names += changed.len() as u64;
    while head.first < head.last {
        let oldest = of_commit(write, head.first)?.len() as u64;
        if head.names.saturating_sub(oldest) < KNOWN_CHANGES as u64 {
            break;
        }
        let (start, end) = (commit_key(head.first, 0), commit_key(head.first + 1, 0));
        write.delete_range(&start..&end)?;
        head.names = head.names.saturating_sub(oldest);
        head.first += 1;
    }
    head.write(write)?;
    Ok(head.position())
}

/// The place behind everything that this moment shows.
pub(crate) fn position(read: &dyn KvRead) -> Result<Position, StoreError> {
    // Of a store in which nothing was noted yet there is one place only.
    let head = Head::read(read)?;
    Ok(head.map_or(Position::new(0, 0, 0), Head::position))
}

/// What was changed since a position, at most `limit` names, but at least one.
pub(crate) fn since(
    read: &dyn KvRead,
    since: Position,
    limit: usize,
) -> Result<Changes, StoreError> {
    let now = position(read)?;
    let first = Head::read(read)?.map_or(1, |head| head.first);
    let is_known = since <= now && since.commit() + 1 >= first;
    if !is_known {
        return Ok(Changes::Unknown { now });
    }
    let (mut changed, mut next) = (Vec::new(), since);
    while next != now {
        let names = of_commit(read, next.commit() + 1)?;
        let room = limit.max(1) - changed.len();
        let from = usize::try_from(next.place()).unwrap_or(usize::MAX);
        let rest = names.get(from..).unwrap_or_default();
        if room < rest.len() {
            changed.extend_from_slice(rest.get(..room).unwrap_or_default());
            // A commit has no more names than fit.
            let place = u32::try_from(from + room).unwrap_or(u32::MAX);
            next = Position::new(now.log(), next.commit(), place);
            break;
        }
        changed.extend_from_slice(rest);
        next = Position::new(now.log(), next.commit() + 1, 0);
    }
    let more = next != now;
    Ok(Changes::Known {
        changed,
        next,
        more,
    })
}

/// Whether nobody but `author` has changed a table since a position; false where that is not known.
pub(crate) fn is_unchanged(
    read: &dyn KvRead,
    table: &TableName,
    since: Position,
    author: Option<Author>,
) -> Result<bool, StoreError> {
    let last = match Last::read(read, table)? {
        Some(last) if author.is_some() && last.author == author => last.others,
        Some(last) => last.commit,
        None => 0,
    };
    Ok(since <= position(read)? && last <= since.commit())
}

impl Last {
    fn read(read: &dyn KvRead, table: &TableName) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = read.copy_of(&last_key(table))? else {
            return Ok(None);
        };
        let [has_author, author, commit, others] = numbers(&bytes)?;
        Ok(Some(Self {
            author: (has_author == 1).then(|| Author::from_number(author)),
            commit,
            others,
        }))
    }

    /// Notes that `author` changes a table in a commit.
    fn note(
        write: &mut dyn KvWrite,
        table: &TableName,
        author: Option<Author>,
        commit: u64,
    ) -> Result<(), StoreError> {
        let others = match Self::read(write, table)? {
            Some(last) if author.is_some() && last.author == author => last.others,
            Some(last) => last.commit,
            None => 0,
        };
        let number = author.map_or(0, Author::number);
        let bytes = bytes([u64::from(author.is_some()), number, commit, others]);
        write.put(&last_key(table), &bytes)
    }
}

/// The names of one commit.
fn of_commit(read: &dyn KvRead, commit: u64) -> Result<Vec<Changed>, StoreError> {
    let (start, end) = (commit_key(commit, 0), commit_key(commit + 1, 0));
    let parts = read.scan(&start..&end, usize::MAX)?;
    if parts.is_empty() {
        return Err(damaged());
    }
    let mut changed = Vec::new();
    for (_, part) in parts {
        changed.append(&mut names::decode(&part)?);
    }
    Ok(changed)
}

fn head_key() -> Vec<u8> {
    Key::Notes(&[HEAD]).encode()
}

fn last_key(table: &TableName) -> Vec<u8> {
    Key::Notes(&[&[LAST], table.as_str().as_bytes()].concat()).encode()
}

fn commit_key(commit: u64, part: usize) -> Vec<u8> {
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    let bytes = [&[COMMIT][..], &commit.to_be_bytes(), &part.to_be_bytes()];
    Key::Notes(&bytes.concat()).encode()
}

fn bytes(numbers: [u64; 4]) -> Vec<u8> {
    numbers.map(u64::to_be_bytes).concat()
}

fn numbers(bytes: &[u8]) -> Result<[u64; 4], StoreError> {
    let (chunks, rest) = bytes.as_chunks();
    let chunks: &[[u8; 8]; 4] = chunks.try_into().map_err(|_| damaged())?;
    if rest.is_empty() {
        Ok(chunks.map(u64::from_be_bytes))
    } else {
        Err(damaged())
    }
}
