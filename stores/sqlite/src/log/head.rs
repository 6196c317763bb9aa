//! What stands in front of the ring: how far it is written, and what of it is done.
//!
//! Two parts, as two writers write them. The head is written by whoever holds SQLite's write lock. A mark says of one commit that it can be
//! read; its writer has let go of the lock by then, so marks have places of their own, by the number of the commit: one that comes late
//! harms none but the commit that took its place, which a later look settles.

use super::entry::sum;

/// The bytes of the head and all marks: they are read at once.
pub(crate) const LENGTH: usize = MARKS + PLACES * MARK;
/// Where the marks begin.
const MARKS: usize = 128;
/// The bytes from one mark to the next.
const MARK: usize = 32;
/// How many marks there are.
const PLACES: usize = 8;
/// "synclog" and the version of what is in the file.
const MAGIC: u64 = u64::from_le_bytes(*b"synclog1");
/// Words of the head.
const WORDS: usize = 9;

/// How far the ring is written. Offsets count all bytes that ever were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The id of the log; never 0.
    pub(crate) id: u64,
    /// The id that the database had when the log was begun by an opening, which writes nothing there; else 0.
    pub(crate) instead_of: u64,
    /// Up to here there are entries.
    pub(crate) written: u64,
    /// The number of the last of them.
    pub(crate) commit: u64,
    /// Up to here commits can be read, or were undone: whoever wrote what follows held the lock.
    pub(crate) settled: u64,
    /// The number of the last commit up to there.
    pub(crate) settled_commit: u64,
    /// Another one each time the head is written.
    pub(crate) turn: u64,
}

/// What is read in front of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) head: Head,
    /// How the file looked once the last commit was done; `None` before.
    pub(crate) mark: Option<u64>,
}

impl Head {
    /// The head of a log in which nothing has happened.
    pub(crate) fn new(id: u64, instead_of: u64, turn: u64) -> Self {
        Self {
            id,
            instead_of,
            written: 0,
            commit: 0,
            settled: 0,
            settled_commit: 0,
            turn,
        }
    }

    /// As it is once all that is written is done.
    pub(crate) fn all_settled(self) -> Self {
        Self {
            settled: self.written,
            settled_commit: self.commit,
            turn: self.turn.wrapping_add(1),
            ..self
        }
    }

    pub(crate) fn encode(&self) -> [u8; WORDS * 8] {
        let words = self.words();
        let mut bytes = [0; WORDS * 8];
        let all = words.iter().chain([&0]);
        for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(all) {
            *place = word.to_le_bytes();
        }
        if let Some(place) = bytes.last_chunk_mut() {
            *place = sum(MAGIC, &words).to_le_bytes();
        }
        bytes
    }

    fn words(&self) -> [u64; WORDS - 1] {
        [
            MAGIC,
            self.id,
            self.instead_of,
            self.written,
            self.commit,
            self.settled,
            self.settled_commit,
            self.turn,
        ]
    }
}

/// A mark, and where it stands.
pub(crate) fn mark(id: u64, commit: u64, stamp: u64) -> (u64, [u8; 24]) {
    let mut bytes = [0; 24];
    let words = [commit, stamp, sum(id, &[commit, stamp])];
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    (place(commit) as u64, bytes)
}

fn place(commit: u64) -> usize {
    // Less than eight.
    let number = commit % PLACES as u64;
    MARKS + usize::try_from(number).unwrap_or_default() * MARK
}

impl View {
    /// `None` where the head is not as it was written, or none of this kind.
    pub(crate) fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let field = |at: usize| word(at * 8);
        let head = Head {
            id: field(1)?,
            instead_of: field(2)?,
            written: field(3)?,
            commit: field(4)?,
            settled: field(5)?,
            settled_commit: field(6)?,
            turn: field(7)?,
        };
        let whole = field(0)? == MAGIC && field(8)? == sum(MAGIC, &head.words());
        let in_order = head.settled <= head.written && head.settled_commit <= head.commit;
        if !whole || !in_order || head.id == 0 {
            return None;
        }
        let at = place(head.commit);
        let (commit, stamp, sum_of) = (word(at)?, word(at + 8)?, word(at + 16)?);
        let valid = commit == head.commit && sum_of == sum(head.id, &[commit, stamp]);
        Some(Self {
            head,
            mark: valid.then_some(stamp),
        })
    }

    /// Up to which offset and commit all can be read.
    pub(crate) fn done(&self) -> (u64, u64) {
        let Head {
            written, commit, ..
        } = self.head;
        match self.mark {
            Some(_) => (written, commit),
            None => (self.head.settled, self.head.settled_commit),
        }
    }

    /// The last commit is written, but not known to be done.
    pub(crate) fn is_pending(&self) -> bool {
        self.done().0 < self.head.written
    }
}
