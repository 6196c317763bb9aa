//! What a batch does inside its transaction: its checks, then its writes.

use rusqlite::{CachedStatement, Connection};
use synctable_core::store::{Check, Expect, Revisions, StoreError, Write, WriteBatch};
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

/// Up to so many writes are compared with each other, as a local change has them; more are sorted, as a pulled page has them.
const FEW: usize = 8;

/// The records that the batch demands to be absent and puts. None where it clears a table or writes a record twice: then the order of the writes
/// counts, and not only what was there before.
fn new_records(batch: &WriteBatch) -> New {
    if !batch.checks().iter().any(is_of_absence) {
        return New::default();
    }
    let new = if batch.writes().len() <= FEW {
        by_comparing(batch)
    } else {
        by_sorting(batch)
    };
    new.unwrap_or_default()
}

fn by_comparing(batch: &WriteBatch) -> Option<New> {
    let mut before: &[Write] = &[];
    for (number, write) in batch.writes().iter().enumerate() {
        let key = Key::of(write)?;
        if before.iter().any(|other| Key::of(other) == Some(key)) {
            return None;
        }
        before = batch.writes().get(..=number)?;
    }
    let place = |wanted| {
        let mut keys = batch.writes().iter().map(Key::of);
        keys.position(|key| key == Some(wanted))
    };
    Some(told(batch, place))
}

fn by_sorting(batch: &WriteBatch) -> Option<New> {
    let keys: Vec<Key<'_>> = batch.writes().iter().map(Key::of).collect::<Option<_>>()?;
    // By hashes first: two numbers are compared at less cost than two names. Names that share a hash cost what they would without.
    let mut sorted: Vec<(u64, usize)> = keys.iter().map(|key| key.hash()).zip(0..).collect();
    sorted.sort_unstable_by(|(hash, at), (other_hash, other)| {
        let names = || keys.get(*at).cmp(&keys.get(*other));
        hash.cmp(other_hash).then_with(names)
    });
    let same = |pair: &[(u64, usize)]| match pair {
        [(hash, at), (other_hash, other)] => {
            hash == other_hash && keys.get(*at) == keys.get(*other)
        }
        _ => false,
    };
    if sorted.windows(2).any(same) {
        return None;
    }
    // Checks mostly have the order of their writes.
    let mut next = 0;
    Some(told(batch, |wanted| {
        let place = if keys.get(next) == Some(&wanted) {
            next
        } else {
            let sought = wanted.hash();
            let found = sorted.binary_search_by(|(hash, at)| {
                let name = || keys.get(*at).cmp(&Some(&wanted));
                hash.cmp(&sought).then_with(name)
            });
            sorted.get(found.ok()?)?.1
        };
        next = place + 1;
        Some(place)
    }))
}

/// Marks each check of absence whose record is put, with its write, where `place` says which write the only one of a record is.
fn told<'a>(batch: &'a WriteBatch, mut place: impl FnMut(Key<'a>) -> Option<usize>) -> New {
    let mut new = New {
        checks: vec![false; batch.checks().len()],
        writes: vec![false; batch.writes().len()],
    };
    let checks = batch.checks().iter().zip(&mut new.checks);
    for (check, told) in checks.filter(|(check, _)| is_of_absence(check)) {
        let place = place(Key {
            id: &check.id,
            table: &check.table,
        });
        if let Some(place) = place
            && let Some(Write::Put { .. }) = batch.writes().get(place)
            && let Some(is_new) = new.writes.get_mut(place)
        {
            (*told, *is_new) = (true, true);
        }
    }
    new
}

fn is_of_absence(check: &Check) -> bool {
    check.expect == Expect::Absent
}

/// What a write is of. The id is compared first, as it tells more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    id: &'a RecordId,
    table: &'a TableName,
}

impl<'a> Key<'a> {
    /// None for a whole table.
    fn of(write: &'a Write) -> Option<Self> {
        let (table, id) = match write {
            Write::Put { table, record } => (table, record.id()),
            Write::Delete { table, id } => (table, id),
            Write::Clear { .. } => return None,
        };
        Some(Self { id, table })
    }

    /// A number that most other ids do not have. Who chooses ids that have the same one makes the sorting no worse than by names.
    fn hash(self) -> u64 {
        let (words, rest) = self.id.as_str().as_bytes().as_chunks();
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        let words = words.iter().chain([&last]);
        words.fold(0, |hash: u64, word| {
            let mixed = hash.rotate_left(23) ^ u64::from_le_bytes(*word);
            mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
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

    /// One write: what it does, of which of two tables, and of which record.
    fn write(kind: u8, table: TableName, id: &str) -> Write {
        match kind {
            0 => Write::Clear { table },
            1..4 => {
                let id = RecordId::new(id).unwrap();
                Write::Delete { table, id }
            }
            _ => {
                let record = record(id);
                Write::Put { table, record }
            }
        }
    }

    proptest! {
        #[test]
        fn comparing_and_sorting_say_the_same(
            writes in prop::collection::vec((0..40u8, any::<bool>(), 0..60u8), 0..24),
            checks in prop::collection::vec((any::<bool>(), any::<bool>(), 0..60u8), 1..24),
            in_order in any::<bool>(),
        ) {
            let tables = [table("t"), table("u")];
            let of = |other: bool| tables[usize::from(other)].clone();
            let mut batch = WriteBatch::new();
            for (kind, other, number) in writes {
                batch.push(write(kind, of(other), &format!("record-{number}")));
                if in_order && number % 3 > 0 {
                    let id = id(&format!("record-{number}"));
                    batch = batch.expect_absent(&of(other), &id);
                }
            }
            for (is_absent, other, number) in checks {
                let expect = if is_absent { Expect::Absent } else { Expect::Present };
                batch.check(&of(other), &id(&format!("record-{number}")), expect);
            }
            prop_assert_eq!(by_comparing(&batch), by_sorting(&batch));
        }
    }

    #[test]
    fn records_that_share_a_hash_are_told_apart() {
        let (t, u) = (table("t"), table("u"));
        let ids: Vec<String> = (0..FEW + 2).map(|n| format!("{n}")).collect();
        let both = ids.iter().fold(WriteBatch::new(), |batch, name| {
            batch
                .expect_absent(&u, &id(name))
                .put(&t, record(name))
                .put(&u, record(name))
        });
        let new = new_records(&both);
        assert!(new.checks.iter().all(|told| *told), "{new:?}");
        let expected: Vec<bool> = (0..both.writes().len()).map(|at| at % 2 == 1).collect();
        assert_eq!(new.writes, expected);
    }
}
