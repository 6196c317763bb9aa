//! What the processes that have one engine open at once must know of each other. It is kept in the engine, each part in the transaction that it is about: which
//! declarations hold, and what was changed.
//!
//! Only a store over an engine that [several processes](crate::Promises::multi_process) may open has it; the others know it by themselves.

mod log;
mod names;

use std::sync::{Arc, Mutex, PoisonError};

use synctable_core::store::{Author, StoreError};

use crate::catalogue::Catalogue;
use crate::key::Key;
use crate::read::{KvRead, KvReadExt, KvWrite};

pub(crate) use log::{append, is_unchanged, position, since};

const STAMP: u8 = 0;

/// The declarations as this process read them last, and the stamp that they had.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Option<(Vec<u8>, Arc<Catalogue>)>>);

impl Seen {
    /// The declarations of one moment. They are read again only where their stamp is another one.
    pub(crate) fn catalogue(&self, read: &dyn KvRead) -> Result<Arc<Catalogue>, StoreError> {
        let Some(stamp) = read.copy_of(&Key::Notes(&[STAMP]).encode())? else {
            return Ok(Arc::new(Catalogue::stored(read)?));
        };
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, catalogue)) = &*seen
            && *known == stamp
        {
            return Ok(Arc::clone(catalogue));
        }
        let catalogue = Arc::new(Catalogue::stored(read)?);
        *seen = Some((stamp, Arc::clone(&catalogue)));
        Ok(catalogue)
    }
}

/// Gives the declarations another stamp, or their first one.
pub(crate) fn stamp(write: &mut dyn KvWrite, are_new: bool) -> Result<(), StoreError> {
    let key = Key::Notes(&[STAMP]).encode();
    if are_new || write.get(&key)?.is_none() {
        write.put(&key, &Author::random().number().to_be_bytes())?;
    }
    Ok(())
}
