//! The records of a table as an iterator over pages of a snapshot.

use std::ops::Range;

use synctable_core::store::StoreError;
use synctable_core::{Record, RecordId, TableName};

use crate::backend::{Entry, KvSnapshot};
use crate::key::{Key, behind};
use crate::value;

/// Entries read at once: enough to make the seek negligible, few enough to keep memory flat.
const PAGE: usize = 64;

/// All entries in a range of keys, in their order. Ends after an error.
pub(crate) struct Entries<'a> {
    snapshot: &'a dyn KvSnapshot,
    /// What is not read yet; `None` when all is read.
    keys: Option<Range<Vec<u8>>>,
    page: std::vec::IntoIter<Entry>,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(snapshot: &'a dyn KvSnapshot, keys: Range<Vec<u8>>) -> Self {
        Self {
            snapshot,
            keys: Some(keys),
            page: Vec::new().into_iter(),
        }
    }

    fn read_page(&mut self) -> Result<(), StoreError> {
        let Some(keys) = self.keys.take() else {
            return Ok(());
        };
        let page = self.snapshot.scan(&keys.start..&keys.end, PAGE)?;
        if let Some((last, _)) = page.get(PAGE - 1) {
            self.keys = Some(behind(last.clone())..keys.end);
        }
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.page.next() {
            return Some(Ok(entry));
        }
        match self.read_page() {
            Ok(()) => self.page.next().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

/// The records whose keys are in `keys`, a range within `table`, by ascending id.
pub(crate) fn records<'a>(
    snapshot: &'a dyn KvSnapshot,
    table: &'a TableName,
    keys: Range<Vec<u8>>,
) -> impl Iterator<Item = Result<Record, StoreError>> + 'a {
    Entries::new(snapshot, keys).map(move |entry| {
        let (key, value) = entry?;
        match Key::decode(&key) {
            Some(Key::Record { id, .. }) => value::decode(table, RecordId::system(id), &value),
            _ => Err(StoreError::corrupt(format!(
                "table {table}: a key is damaged"
            ))),
        }
    })
}
