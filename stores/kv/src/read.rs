//! What can be read of an engine, and the transactions that write to it.

use std::fmt;
use std::iter;
use std::ops::Range;

use synctable_core::query::Direction;
use synctable_core::store::StoreError;

use crate::bytes::Bytes;
use crate::key::behind;

/// A key and its value, copied.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A key and its value as the engine hands them out.
pub type KvEntry<'a> = (Bytes<'a>, Bytes<'a>);

/// Entries in an order. An error is an item; whoever meets one reads no further.
pub type KvEntries<'a> = Box<dyn Iterator<Item = Result<KvEntry<'a>, StoreError>> + 'a>;

/// Reading: a snapshot, or a write transaction with what it has written so far.
pub trait KvRead {
    /// The value of `key`, if any.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError>;

    /// The entries whose keys are in `keys` (the start is included, the end is not), by rising keys or by falling ones. None where
    /// the start is not before the end.
    ///
    /// Ends of a range are no keys: the start may be empty, and neither need keep the [`Limits`](crate::Limits) but the longest key. An engine that can only
    /// read some entries at once uses [`pages`].
    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_>;
}

/// A write transaction: it reads what is stored and what it has written itself, and no one else writes before it is over.
///
/// Dropped without a [`commit`](Self::commit), nothing of it has happened.
pub trait KvWrite: KvRead {
    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// What breaks the engine's [`Limits`](crate::Limits) is refused, as [`Limits::check`](crate::Limits::check) does it.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes `key`, which may be missing.
    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError>;

    /// Removes all keys in `keys`. By default one by one.
    fn delete_range(&mut self, keys: Range<&[u8]>) -> Result<(), StoreError> {
        delete_each(self, keys)
    }

    /// Does all of it or nothing.
    ///
    /// After `Ok` every later snapshot shows it, and it is durable as the transaction was begun for. After an error nothing of it shows, now or
    /// after reopening, unless the kind is [`Unknown`](synctable_core::store::StoreErrorKind::Unknown): then the store takes no more writes; or
    /// [`InDoubt`](synctable_core::store::StoreErrorKind::InDoubt): then it is done or not, and not any more once the next transaction has begun or
    /// the engine was opened again. That shows which, as does every snapshot behind it; those before may show either.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Removes all keys in `keys` one by one, as [`KvWrite::delete_range`] does it by default.
pub fn delete_each(
    write: &mut (impl KvWrite + ?Sized),
    keys: Range<&[u8]>,
) -> Result<(), StoreError> {
    let mut start = keys.start.to_vec();
    loop {
        let mut some = {
            let entries = write.entries(&start..keys.end, Direction::Ascending);
            let found = entries.take(PAGE).map(|entry| Ok(entry?.0.into_vec()));
            found.collect::<Result<Vec<_>, StoreError>>()?
        };
        for key in &some {
            write.delete(key)?;
        }
        // From there on: whoever looks from the beginning passes over all that was removed, again and again.
        match some.pop() {
            Some(last) if some.len() + 1 == PAGE => start = last,
            _ => return Ok(()),
        }
    }
}

// So that no engine has to say how what it reads is printed, and none prints contents.
impl fmt::Debug for dyn KvRead + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KvRead")
    }
}

impl fmt::Debug for dyn KvWrite + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KvWrite")
    }
}

/// Entries that are read at once where an engine reads pages.
const PAGE: usize = 64;
/// Few at first: often no more are wanted.
const FIRST_PAGE: usize = 4;

/// Conveniences for whoever reads.
pub trait KvReadExt: KvRead {
    /// A copy of the value of `key`, if any.
    fn copy_of(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get(key)?.map(Bytes::into_vec))
    }

    /// Copies of the first `limit` entries whose keys are in `keys`.
    fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.entries(keys, Direction::Ascending).take(limit);
        entries.map(owned).collect()
    }

    /// Copies of the last `limit` entries whose keys are in `keys`, the last one first.
    fn scan_back(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.entries(keys, Direction::Descending).take(limit);
        entries.map(owned).collect()
    }

    /// True when no key is in `keys`.
    fn is_vacant(&self, keys: Range<&[u8]>) -> Result<bool, StoreError> {
        let first = self.entries(keys, Direction::Ascending).next();
        Ok(first.transpose()?.is_none())
    }
}

impl<R: KvRead + ?Sized> KvReadExt for R {}

fn owned(entry: Result<KvEntry<'_>, StoreError>) -> Result<Entry, StoreError> {
    let (key, value) = entry?;
    Ok((key.into_vec(), value.into_vec()))
}

/// The entries of an engine that cannot read at all.
pub fn failing<'a>(error: StoreError) -> KvEntries<'a> {
    Box::new(iter::once(Err(error)))
}

/// The entries of an engine that reads some at once: `read` gives up to so many of a range, in the direction, and fewer only where
/// there are no more.
pub fn pages<'a>(
    keys: Range<&[u8]>,
    direction: Direction,
    mut read: impl FnMut(Range<&[u8]>, usize) -> Result<Vec<Entry>, StoreError> + 'a,
) -> KvEntries<'a> {
    let mut rest = (keys.start < keys.end).then(|| keys.start.to_vec()..keys.end.to_vec());
    let mut page = Vec::new().into_iter();
    let mut wanted = FIRST_PAGE;
    Box::new(iter::from_fn(move || {
        loop {
            if let Some((key, value)) = page.next() {
                return Some(Ok((Bytes::from(key), Bytes::from(value))));
            }
            let keys = rest.take()?;
            let found: Vec<Entry> = match read(&keys.start..&keys.end, wanted) {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            if let Some((last, _)) = found.get(wanted - 1) {
                rest = Some(match direction {
                    Direction::Ascending => behind(last.clone())..keys.end,
                    Direction::Descending => keys.start..last.clone(),
                });
            }
            wanted = PAGE.min(wanted * 4);
            page = found.into_iter();
        }
    }))
}
