//! The ring in its file: reads and writes at places, without a cursor that several handles would share.

use std::fs::File;
use std::io;

use super::head::{self, Head, View};

/// Where the ring begins in the file.
const START: u64 = 4096;
/// The bytes of the ring.
const SIZE: u64 = 2 << 20;
/// The most bytes that one transaction appends. So far behind the last written byte something may be overwritten that the head does not
/// tell of yet.
pub(crate) const MOST: usize = 256 << 10;
/// How often a read is tried that meets a write.
const TRIES: usize = 5;

/// A ring of entries that several processes read, and one at a time writes.
#[derive(Debug)]
pub(crate) struct Ring {
    file: File,
}

/// What became of reading entries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    Whole(Vec<u8>),
    /// They were overwritten.
    Gone,
}

impl Ring {
    pub(crate) fn new(file: File) -> Self {
        Self { file }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Begins a log. What was in the file means nothing any more.
    pub(crate) fn begin(&self, head: &Head) -> io::Result<()> {
        // A new file, or one that somebody cut short. The ring grows as it is written.
        if self.file.metadata()?.len() < START {
            self.file.set_len(START)?;
        }
        self.write_head(head)
    }

    pub(crate) fn write_head(&self, head: &Head) -> io::Result<()> {
        write(&self.file, &head.encode(), 0)
    }

    /// Says of a commit that it can be read.
    pub(crate) fn mark(&self, id: u64, commit: u64, stamp: u64) -> io::Result<()> {
        let (place, bytes) = head::mark(id, commit, stamp);
        write(&self.file, &bytes, place)
    }

    /// What stands in front; `None` where it is damaged, and not only just being written.
    pub(crate) fn view(&self) -> io::Result<Option<View>> {
        let mut bytes = [0; head::LENGTH];
        for _ in 0..TRIES {
            if !read(&self.file, &mut bytes, 0)? {
                return Ok(None);
            }
            if let Some(view) = View::decode(&bytes) {
                return Ok(Some(view));
            }
            std::thread::yield_now();
        }
        Ok(None)
    }

    /// Writes entries behind what is written, and tells of them: what was there before is done. The caller holds SQLite's write lock.
    pub(crate) fn append(&self, head: &Head, entries: &[u8], last: u64) -> io::Result<Head> {
        let (first, second) = self.places(head.written, entries.len());
        let (front, rest) = entries.split_at_checked(first.1).unwrap_or((entries, &[]));
        write(&self.file, front, first.0)?;
        if !rest.is_empty() {
            write(&self.file, rest, second)?;
        }
        let head = Head {
            written: head.written + entries.len() as u64,
            commit: last,
            ..head.all_settled()
        };
        self.write_head(&head)?;
        Ok(head)
    }

    /// The bytes of the log `id` from one offset to another one, which is not behind what is written.
    pub(crate) fn read(&self, id: u64, from: u64, to: u64) -> io::Result<Bytes> {
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        if length as u64 > SIZE {
            return Ok(Bytes::Gone);
        }
        let mut bytes = vec![0; length];
        let (first, second) = self.places(from, length);
        let (front, rest) = bytes.split_at_mut(first.1);
        let whole = read(&self.file, front, first.0)? && read(&self.file, rest, second)?;
        // Only now: it may have been overwritten while it was read.
        let kept = self
            .view()?
            .is_some_and(|view| view.head.id == id && holds(&view.head, from));
        Ok(if whole && kept {
            Bytes::Whole(bytes)
        } else {
            Bytes::Gone
        })
    }

    /// Where `length` bytes from an offset on lie in the file: place and length up to the end of the ring, and the place of the rest.
    #[expect(clippy::unused_self, reason = "it is the ring's own arithmetic")]
    fn places(&self, offset: u64, length: usize) -> ((u64, usize), u64) {
        let at = offset % SIZE;
        let room = usize::try_from(SIZE - at).unwrap_or(usize::MAX);
        ((START + at, length.min(room)), START)
    }
}

/// Whether what is behind an offset cannot have been overwritten.
pub(crate) fn holds(head: &Head, offset: u64) -> bool {
    head.written.saturating_sub(offset) <= SIZE - MOST as u64
}

/// False where the file ends before.
fn read(file: &File, bytes: &mut [u8], at: u64) -> io::Result<bool> {
    match read_exact(file, bytes, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| true),
    }
}

#[cfg(unix)]
fn read_exact(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(unix)]
fn write(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let done = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if done == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = bytes.get_mut(done..).unwrap_or_default();
        at += done as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn write(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let done = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        if done == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(done..).unwrap_or_default();
        at += done as u64;
    }
    Ok(())
}
