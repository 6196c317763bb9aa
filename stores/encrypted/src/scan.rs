//! Reading many physical entries, some at a time.

use std::ops::Range;

use synctable_core::store::StoreError;
use synctable_kv::KvSnapshot;

/// Physical entries that are read at once.
const PAGE: usize = 256;

/// Hands on each key with its value, in the order of the keys.
pub(crate) fn each(
    snapshot: &dyn KvSnapshot,
    keys: Range<&[u8]>,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut start = keys.start.to_vec();
    loop {
        let page = snapshot.scan(start.as_slice()..keys.end, PAGE)?;
        for (key, value) in &page {
            take(key, value)?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => {
                start.clone_from(last);
                start.push(0);
            }
            _ => return Ok(()),
        }
    }
}
