//! How what was removed leaves the file: in commits of their own, each of which leaves a whole store.

use std::fs;
use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};
use synctable_core::store::StoreError;
use synctable_kv::files::io_error;

use crate::backend::TABLE;
use crate::error::{from_commit, from_storage, from_table, from_transaction};

/// Values that are written to free pages between two looks at the length of the file.
const FILLED: usize = 64;

const FILLER: TableDefinition<u64, &[u8]> = TableDefinition::new("filler");

/// Writes all entries anew: a page keeps what was removed from it behind what is still there.
pub(crate) fn rebuild(db: &Database) -> Result<(), StoreError> {
    const REBUILT: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rebuilt");
    let write = db.begin_write().map_err(from_transaction)?;
    {
        let old = write.open_table(TABLE).map_err(from_table)?;
        let mut new = write.open_table(REBUILT).map_err(from_table)?;
        for entry in old.iter().map_err(from_storage)? {
            let (key, value) = entry.map_err(from_storage)?;
            new.insert(key.value(), value.value())
                .map_err(from_storage)?;
        }
    }
    write.delete_table(TABLE).map_err(from_table)?;
    write.rename_table(REBUILT, TABLE).map_err(from_table)?;
    write.commit().map_err(from_commit)
}

/// Fills every free page of the file, which holds what was in it. A crash behind it leaves a table of zeros beside the entries, which the next
/// call removes: `cut_anywhere_it_loses_nothing_and_is_done_again` cuts there.
pub(crate) fn fill(db: &Database, path: &Path) -> Result<(), StoreError> {
    let length = || {
        let meta = fs::metadata(path).map_err(|error| io_error(path, error))?;
        Ok::<_, StoreError>(meta.len())
    };
    let before = length()?;
    let write = db.begin_write().map_err(from_transaction)?;
    {
        let mut filler = write.open_table(FILLER).map_err(from_table)?;
        let mut number = 0;
        // Values of which some share a page. The file grows when no page is free any more.
        while length()? <= before {
            for _ in 0..FILLED {
                filler
                    .insert(number, &[0; 1000][..])
                    .map_err(from_storage)?;
                number += 1;
            }
        }
    }
    write.commit().map_err(from_commit)
}

/// Removes what the pages were filled with, and what an earlier call may have left of it.
pub(crate) fn remove_filler(db: &Database) -> Result<(), StoreError> {
    let write = db.begin_write().map_err(from_transaction)?;
    write.delete_table(FILLER).map_err(from_table)?;
    write.commit().map_err(from_commit)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]

    use redb::{ReadableDatabase, ReadableTableMetadata, TableHandle};
    use synctable_core::store::Durability;
    use synctable_kv::{KvBackend, KvBatch, KvReadExt};

    use super::*;
    use crate::RedbStore;

    const SECRET: &[u8] = b"what nobody may find again";

    fn key(n: u32) -> Vec<u8> {
        n.wrapping_mul(2_654_435_761).to_be_bytes().to_vec()
    }

    fn holds_secret(path: &Path) -> bool {
        let bytes = fs::read(path).unwrap();
        bytes.windows(SECRET.len()).any(|window| window == SECRET)
    }

    /// A closed file in which every third of 900 entries is left.
    fn with_secrets(path: &Path) {
        let engine = RedbStore::builder(path).backend().unwrap();
        let mut batch = KvBatch::new(Durability::Immediate);
        for n in 0..900 {
            let value = if n % 3 == 0 { &b"kept"[..] } else { SECRET };
            batch.put(key(n), [value, &[7; 300]].concat());
        }
        batch.write_to(&engine).unwrap();
        let mut batch = KvBatch::new(Durability::Immediate);
        for n in (0..900).filter(|n| n % 3 != 0) {
            batch.delete(key(n));
        }
        batch.write_to(&engine).unwrap();
        engine.close().unwrap();
        assert!(holds_secret(path));
    }

    /// The file is copied as it lies there between two of the commits, as a cut of the power or the end of the process leaves it.
    #[test]
    fn cut_anywhere_it_loses_nothing_and_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.redb");
        with_secrets(&path);
        let whole = fs::metadata(&path).unwrap().len();
        let cuts = ["nothing", "rebuilt", "filled", "emptied"].map(|cut| folder.path().join(cut));
        let db = Database::open(&path).unwrap();
        fs::copy(&path, &cuts[0]).unwrap();
        rebuild(&db).unwrap();
        fs::copy(&path, &cuts[1]).unwrap();
        fill(&db, &path).unwrap();
        let filled = db.begin_read().unwrap();
        assert!(filled.open_table(FILLER).unwrap().len().unwrap() > 0);
        drop(filled);
        fs::copy(&path, &cuts[2]).unwrap();
        remove_filler(&db).unwrap();
        fs::copy(&path, &cuts[3]).unwrap();
        drop(db);
        for cut in cuts {
            let engine = RedbStore::builder(&cut).backend().unwrap();
            let entries = |what: &str| {
                let snapshot = engine.snapshot().unwrap();
                let all = snapshot.scan(&[]..&[255; 5], 1000).unwrap();
                assert_eq!(all.len(), 300, "{what}: {}", cut.display());
                for (_, value) in all {
                    assert!(value.starts_with(b"kept"), "{what}: {}", cut.display());
                }
            };
            entries("cut");
            engine.forget().unwrap();
            entries("forgotten");
            engine.close().unwrap();
            assert!(!holds_secret(&cut), "{}", cut.display());
            let length = fs::metadata(&cut).unwrap().len();
            assert!(length <= whole, "{}: {length} bytes", cut.display());
            let db = Database::open(&cut).unwrap();
            let read = db.begin_read().unwrap();
            let tables = read.list_tables().unwrap();
            let names: Vec<_> = tables.map(|table| table.name().to_owned()).collect();
            assert_eq!(names, ["synctable"], "{}", cut.display());
        }
    }
}
