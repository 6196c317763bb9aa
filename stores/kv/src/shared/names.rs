//! The names of what a commit has changed, as bytes.

use synctable_core::store::{Changed, StoreError};
use synctable_core::{RecordId, TableName};

/// About how many bytes of names one entry has, where the engine takes so many.
const CHUNK: usize = 16 * 1024;

/// The names in entries of at most `longest` bytes. A record whose name does not fit into one is named by its table.
pub(super) fn encode(changed: &[Changed], longest: usize) -> Vec<Vec<u8>> {
    let most = longest.min(CHUNK);
    let mut chunks = vec![Vec::new()];
    for change in changed {
        let mut name = encoded(change);
        if name.len() > most {
            let table = change.table().clone();
            name = encoded(&Changed::Table { table });
        }
        match chunks.last_mut() {
            Some(chunk) if chunk.len() + name.len() <= most => chunk.append(&mut name),
            _ => chunks.push(name),
        }
    }
    chunks
}

/// The lengths of table and id, then both; a whole table has the length [`u32::MAX`] of an id.
fn encoded(change: &Changed) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let table = change.table().as_str();
    let (id, id_length) = match change {
        Changed::Record { id, .. } => (id.as_str(), length(id.as_str())),
        Changed::Table { .. } => ("", u32::MAX.to_be_bytes()),
    };
    let parts = [
        &length(table)[..],
        &id_length,
        table.as_bytes(),
        id.as_bytes(),
    ];
    parts.concat()
}

/// The names in one entry.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Changed>, StoreError> {
    let mut changed = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (change, behind) = first(rest).ok_or_else(damaged)?;
        changed.push(change);
        rest = behind;
    }
    Ok(changed)
}

fn first(bytes: &[u8]) -> Option<(Changed, &[u8])> {
    let (table_length, rest) = bytes.split_first_chunk()?;
    let (id_length, rest) = rest.split_first_chunk()?;
    let (table, rest) = rest.split_at_checked(size(*table_length)?)?;
    let table = TableName::stored(std::str::from_utf8(table).ok()?).ok()?;
    if *id_length == u32::MAX.to_be_bytes() {
        return Some((Changed::Table { table }, rest));
    }
    let (id, rest) = rest.split_at_checked(size(*id_length)?)?;
    let id = RecordId::system(std::str::from_utf8(id).ok()?);
    Some((Changed::Record { table, id }, rest))
}

fn size(length: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(length)).ok()
}

pub(super) fn damaged() -> StoreError {
    StoreError::corrupt("what the store has noted of its changes is damaged; restore a backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(table: &str, id: &str) -> Changed {
        Changed::Record {
            table: TableName::stored(table).unwrap(),
            id: RecordId::system(id),
        }
    }

    #[test]
    fn names_come_back_in_their_order() {
        let table = TableName::stored("__operations").unwrap();
        let mut names = vec![record("todo", ""), Changed::Table { table }];
        names.extend((0..5_000).map(|n| record("todo", &format!("\0é{n}"))));
        for longest in [64, 1_000, usize::MAX] {
            let chunks = encode(&names, longest);
            assert!(chunks.iter().all(|chunk| chunk.len() <= longest.min(CHUNK)));
            let read: Vec<Changed> = chunks.iter().flat_map(|it| decode(it).unwrap()).collect();
            assert_eq!(read, names);
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_that_of_its_table() {
        let long = record("todo", &"x".repeat(100));
        let table = TableName::stored("todo").unwrap();
        let chunks = encode(&[record("todo", "a"), long], 64);
        let read: Vec<Changed> = chunks.iter().flat_map(|it| decode(it).unwrap()).collect();
        assert_eq!(read, [record("todo", "a"), Changed::Table { table }]);
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        for length in 0..40 {
            for byte in [0, 1, 7, 0xff] {
                let _ = decode(&vec![byte; length]);
            }
        }
        assert!(decode(&[0, 0]).is_err());
    }
}
