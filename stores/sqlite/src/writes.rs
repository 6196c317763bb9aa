//! What a batch does inside its transaction: its checks, then its writes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{CachedStatement, Connection};
use synctable_core::store::{Expect, Revisions, StoreError, Write, WriteBatch};
use synctable_core::{RecordId, TableName};

use crate::catalogue::Catalogue;
use crate::checks::judge;
use crate::error::from_sqlite;
use crate::rows;

/// Judges the checks of a batch and does its writes, inside the caller's transaction.
pub(crate) fn apply(
    conn: &Connection,
    catalogue: &Catalogue,
    batch: &WriteBatch,
    revisions: &mut Revisions,
) -> Result<(), StoreError> {
    // Where a record that is put must be new, its own insert tells.
    let new = new_records(batch);
    for (number, check) in batch.checks().iter().enumerate() {
        if !new.checks.get(number).is_some_and(|told| *told) {
            judge(conn, catalogue, check)?;
        }
    }
    // Most batches put many records into one table.
    let mut put: Option<(&TableName, bool, CachedStatement<'_>)> = None;
    for (number, write) in batch.writes().iter().enumerate() {
        let table = write.table();
        let layout = catalogue.table(table)?;
        let statements = &layout.statements;
        let done = match write {
            Write::Put { record, .. } => {
                let is_new = new.writes.get(number).is_some_and(|new| *new);
                let statement = match &mut put {
                    Some((last, of_new, statement)) if *last == table && *of_new == is_new => {
                        statement
                    }
                    other => {
                        let sql = if is_new {
                            &statements.insert
                        } else {
                            &statements.put
                        };
                        let statement = conn.prepare_cached(sql).map_err(from_sqlite)?;
                        &mut other.insert((table, is_new, statement)).2
                    }
                };
                let done = rows::bind(statement, layout, record, revisions.next_number())
                    .and_then(|()| statement.raw_execute());
                if is_new && matches!(done, Ok(0)) {
                    return Err(StoreError::check_failed(table, record.id()));
                }
                done
            }
            Write::Delete { id, .. } => conn
                .prepare_cached(&statements.delete)
                .and_then(|mut delete| delete.execute([id.as_str()])),
            Write::Clear { .. } => conn
                .prepare_cached(&statements.clear)
                .and_then(|mut clear| clear.execute([])),
        };
        done.map_err(from_sqlite)?;
    }
    Ok(())
}

/// Which checks of a batch need not be judged, as the writes with the same mark fail where they do not hold. Both are empty, or as long as the batch.
#[derive(Debug, Default, PartialEq)]
struct New {
    checks: Vec<bool>,
    writes: Vec<bool>,
}

/// The records that the batch demands to be absent and puts. None where it clears a table or writes a record twice: then the order of the writes
/// counts, and not only what was there before.
fn new_records(batch: &WriteBatch) -> New {
    let mut new = New::default();
    if !batch
        .checks()
        .iter()
        .any(|check| check.expect == Expect::Absent)
    {
        return new;
    }
    let mut places: HashMap<(&TableName, &RecordId), Option<usize>> =
        HashMap::with_capacity(batch.writes().len());
    for (number, write) in batch.writes().iter().enumerate() {
        let (id, place) = match write {
            Write::Put { record, .. } => (record.id(), Some(number)),
            Write::Delete { id, .. } => (id, None),
            Write::Clear { .. } => return new,
        };
        match places.entry((write.table(), id)) {
            Entry::Vacant(vacant) => vacant.insert(place),
            Entry::Occupied(_) => return new,
        };
    }
    new.checks = vec![false; batch.checks().len()];
    new.writes = vec![false; batch.writes().len()];
    for (check, told) in batch.checks().iter().zip(&mut new.checks) {
        if check.expect != Expect::Absent {
            continue;
        }
        let place = places.get(&(&check.table, &check.id)).copied().flatten();
        if let Some(is_new) = place.and_then(|place| new.writes.get_mut(place)) {
            (*told, *is_new) = (true, true);
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use synctable_core::Record;

    use super::*;

    fn table(name: &str) -> TableName {
        TableName::new(name).unwrap()
    }

    fn id(text: &str) -> RecordId {
        RecordId::new(text).unwrap()
    }

    fn record(name: &str) -> Record {
        Record::new(id(name), "{}").unwrap()
    }

    #[test]
    fn only_records_that_are_put_once_tell_by_their_insert() {
        let (t, u) = (table("t"), table("u"));
        let absent = |batch: WriteBatch, name: &str| batch.expect_absent(&t, &id(name));
        let two = absent(absent(WriteBatch::new(), "a"), "b");
        let told = |checks: &[bool], writes: &[bool]| New {
            checks: checks.to_vec(),
            writes: writes.to_vec(),
        };
        let batch = two.clone().put(&t, record("b")).put(&t, record("c"));
        assert_eq!(new_records(&batch), told(&[false, true], &[true, false]));
        // In another table it is another record.
        let batch = two.clone().put(&u, record("a")).put(&t, record("b"));
        assert_eq!(new_records(&batch), told(&[false, true], &[false, true]));
        // A delete tells nothing.
        let batch = two.clone().delete(&t, &id("a")).put(&t, record("b"));
        assert_eq!(new_records(&batch), told(&[false, true], &[false, true]));
        for batch in [
            two.clone().put(&t, record("a")).put(&t, record("a")),
            two.clone().delete(&t, &id("a")).put(&t, record("a")),
            two.clear(&t).put(&t, record("a")),
            WriteBatch::new().put(&t, record("a")),
        ] {
            assert_eq!(new_records(&batch), New::default(), "{batch:?}");
        }
    }
}
