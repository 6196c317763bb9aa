//! A sorted map with a log file, in which bugs can be planted.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Mutex;

use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_kv::{Buffered, KvBackend, KvBatch, KvRead, KvWrite, Promises};
use synctable_memory::MemoryBackend;

use crate::Flaw;

/// A batch is one frame: its length, a sum over its bytes, and its bytes.
#[derive(Debug)]
pub(crate) struct LogFile<F> {
    file: File,
    map: MemoryBackend,
    /// What was acknowledged and is not written.
    late: Mutex<Vec<u8>>,
    /// Whoever writes.
    turn: Mutex<()>,
    flaw: PhantomData<F>,
}

impl<F: Flaw> LogFile<F> {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::load(path).map_err(|error| {
            let kind = match error.kind() {
                ErrorKind::WouldBlock => StoreErrorKind::Locked,
                _ => StoreErrorKind::Io,
            };
            StoreError::new(kind, "the log does not open").with_source(error)
        })
    }

    fn load(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        if !F::NO_LOCK {
            file.try_lock()?;
        }
        let map = MemoryBackend::new();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut rest = &bytes[..];
        while let Some(batch) = next(&mut rest) {
            batch.write_to(&map).expect("memory takes everything");
        }
        if !F::KEEPS_TORN_END {
            file.set_len((bytes.len() - rest.len()) as u64)?;
        }
        Ok(Self {
            file,
            map,
            late: Mutex::default(),
            turn: Mutex::default(),
            flaw: PhantomData,
        })
    }

    fn append(&self, batch: &KvBatch) -> io::Result<()> {
        let mut frames = if F::SPLITS {
            let writes: Vec<_> = batch.writes().collect();
            let (first, second) = writes.split_at(writes.len() / 2);
            vec![frame(first), frame(second)]
        } else {
            vec![frame(&batch.writes().collect::<Vec<_>>())]
        };
        if F::ACKNOWLEDGES_EARLY {
            let mut late = self.late.lock().unwrap();
            frames = vec![std::mem::replace(&mut *late, frames.concat())];
        }
        for frame in frames {
            let written = (&self.file).write_all(&frame);
            if !F::SWALLOWS_WRITE {
                written?;
            }
            if batch.durability() == Durability::Immediate && !F::NEVER_SYNCS {
                let synced = self.file.sync_data();
                if !F::SWALLOWS_SYNC {
                    synced?;
                }
            }
        }
        Ok(())
    }
}

impl<F: Flaw> KvBackend for LogFile<F> {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.map.snapshot()
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let apply = |batch: &KvBatch| {
            self.append(batch).map_err(|error| {
                StoreError::new(StoreErrorKind::Unknown, "writing failed").with_source(error)
            })?;
            batch.write_to(&self.map)
        };
        Buffered::begin(&self.turn, durability, || self.snapshot(), apply)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let synced = self.file.sync_data();
        synced.map_err(|error| {
            StoreError::new(StoreErrorKind::Unknown, "syncing failed").with_source(error)
        })
    }

    fn promises(&self) -> Promises {
        let base = Promises::default();
        base.with_persistent(true).with_durable(true)
    }
}

fn frame(writes: &[(&[u8], Option<&[u8]>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in writes {
        for part in [Some(*key), *value] {
            let length = part.map_or(u32::MAX, |part| u32::try_from(part.len()).unwrap());
            body.extend(length.to_le_bytes());
            body.extend(part.unwrap_or_default());
        }
    }
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_le_bytes(), &sum(&body).to_le_bytes(), &body[..]].concat()
}

/// The batch at the start of `bytes`, which is taken off, if it is whole.
fn next(bytes: &mut &[u8]) -> Option<KvBatch> {
    let mut rest = *bytes;
    let (length, expected) = (number(&mut rest)?, number(&mut rest)?);
    let mut body = rest.split_off(..length as usize)?;
    if sum(body) != expected {
        return None;
    }
    *bytes = rest;
    let mut batch = KvBatch::new(Durability::Eventual);
    while let Some(length) = number(&mut body) {
        let key = body.split_off(..length as usize)?.to_vec();
        match number(&mut body)? {
            u32::MAX => batch.delete(key),
            length => batch.put(key, body.split_off(..length as usize)?.to_vec()),
        }
    }
    Some(batch)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let number = bytes.split_off(..4)?;
    Some(u32::from_le_bytes(number.try_into().ok()?))
}

fn sum(bytes: &[u8]) -> u32 {
    let add = |sum: u32, byte: &u8| sum.rotate_left(5) ^ u32::from(*byte);
    bytes.iter().fold(1, add)
}
